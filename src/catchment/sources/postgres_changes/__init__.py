"""The log of a PostgreSQL database: what was there, then every change, in the order of commits."""
