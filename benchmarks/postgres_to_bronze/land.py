"""Land one table, and say how long it took: `land.py URL MEMORY [CURSOR]`, in an empty folder."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from catchment.bronze.land import Landing
from catchment.engines.duckdb import DuckDBEngine
from catchment.lake.delta import DeltaLake
from catchment.project import memory_bytes
from catchment.reading.kinds.sql import TableStream
from catchment.sources.postgres.source import PostgresSource


def main() -> None:
    url, memory, *cursor = sys.argv[1:]
    keys = {"cursor": cursor[0], "lookback": "5 minutes"} if cursor else {}
    source = PostgresSource("shop", {"orders": TableStream(table="public.orders", **keys)}, Path(), url)
    lake = DeltaLake(Path("lake").absolute())
    engine = DuckDBEngine(memory_bytes=memory_bytes(memory), spill=Path("spill").absolute())
    began, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    landing = Landing("land:shop.orders", source.feeds()[0], source, lake, engine, lambda _: None, lambda: None)
    landed = landing.run()
    seconds, usage = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    engine.close()
    assert landed
    cpu = usage.ru_utime + usage.ru_stime - used.ru_utime - used.ru_stime
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": usage.ru_maxrss * 1024}))


if __name__ == "__main__":
    main()
