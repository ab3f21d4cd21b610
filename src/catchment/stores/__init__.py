"""Where live figures are kept: DuckDB, ClickHouse."""
