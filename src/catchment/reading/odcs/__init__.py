"""ODCS documents read into a Contract: the document, its columns, its quality rules, their conditions and patterns."""
