"""Land what is new in a log of changes and say how long it took: `land.py URL MEMORY`, always in the same folder."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from catchment.bronze.land import Landing
from catchment.engines.duckdb import DuckDBEngine
from catchment.events import Event, RowsLanded
from catchment.lake.delta import DeltaLake
from catchment.project import memory_bytes
from catchment.reading.kinds.postgres_changes import ChangesStream
from catchment.sources.postgres_changes.source import PostgresChangesSource


def main() -> None:
    url, memory = sys.argv[1:]
    streams = {"orders": ChangesStream(table="public.orders")}
    source = PostgresChangesSource("shop", streams, Path(), url=url)
    lake = DeltaLake(Path("lake").absolute())
    engine = DuckDBEngine(memory_bytes=memory_bytes(memory), spill=Path("spill").absolute())
    rows = 0

    def tell(event: Event) -> None:
        nonlocal rows
        rows += event.rows if isinstance(event, RowsLanded) else 0

    began, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    Landing("land:shop", source.feeds()[0], source, lake, engine, tell, lambda: None).run()
    seconds, usage = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    source.close()
    engine.close()
    cpu = usage.ru_utime + usage.ru_stime - used.ru_utime - used.ru_stime
    print(json.dumps({"rows": rows, "seconds": seconds, "cpu": cpu, "peak": usage.ru_maxrss * 1024}))


if __name__ == "__main__":
    main()
