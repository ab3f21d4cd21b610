"""Files in folders and buckets: CSV, JSON and Parquet."""
