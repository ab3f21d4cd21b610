"""Any database that SQLAlchemy reaches, and what all databases of tables share."""
