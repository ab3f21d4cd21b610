"""The same table with dlt, into plain Parquet files: `with_dlt.py URL BACKEND`, in an empty folder."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import dlt
from dlt.destinations import filesystem
from dlt.sources.sql_database import sql_table


def main() -> None:
    url, backend = sys.argv[1:]
    began = time.perf_counter()
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    orders = sql_table(
        credentials=url, table="orders", schema="public", backend=backend, chunk_size=200_000, reflection_level="full"
    )
    pipeline = dlt.pipeline("bench", destination=filesystem(str(Path("out").absolute())), dataset_name="bronze")
    pipeline.run(orders, loader_file_format="parquet", write_disposition="append")
    seconds = time.perf_counter() - began
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        for before, after in zip(used, usage, strict=True)
    )
    peak = max(one.ru_maxrss for one in usage) * 1024
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": peak}))


if __name__ == "__main__":
    main()
