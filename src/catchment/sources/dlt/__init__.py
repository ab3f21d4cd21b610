"""Sources and resources of dlt."""
