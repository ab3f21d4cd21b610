"""From a commit in PostgreSQL to silver, by `catchment stream` with no broker, while changes keep coming.

    python benchmarks/changes/latency.py [--rate 500] [--seconds 300] [--merge-every 2s] [--ahead 0]

Of ten changes six insert and four update a row that is there; each row tells when it was written, and silver's log when
the commit was made that brought it, for as long as the stream's `retention`. Once there are `--rows` rows all changes
are updates. `--ahead` changes of them are made first, and much faster, so that bronze holds what it would after hours.
Memory and files are looked at every five seconds. Prints JSON: the most and the least of each tenth of the time.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
WORK = ROOT / "build" / "bench" / "latency"

# Changes a second, of those that are made first: as many as the stream keeps up with.
_AHEAD_RATE = 8_000

SERVER = ("shared_buffers=256MB", "wal_level=logical", "max_replication_slots=4", "max_wal_senders=4")
PROJECT = """\
name: brisk
sources:
  shop_db:
    type: postgres_changes
    url: ${{file:url.txt}}
    streams:
      orders: {{table: public.orders}}
silver:
  orders: {{from: shop_db.orders, mode: merge}}
stream: {{merge_every: {merge_every}}}
"""
TABLE = "CREATE TABLE orders (id int PRIMARY KEY, status text, amount numeric, written_at timestamptz)"
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: orders
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
      - {name: id, logicalType: integer, primaryKey: true, primaryKeyPosition: 1}
      - {name: status, logicalType: string}
      - {name: amount, logicalType: number, physicalType: "decimal(12,2)"}
      - {name: written_at, logicalType: timestamp}
"""


def write(url: str, rate: int, seconds: float, most: int, made: int) -> int:
    """So many changes a second, each a transaction of its own, over `made` rows; how many there were."""
    import psycopg

    chance, began = random.Random(7), time.monotonic()
    with psycopg.connect(url, autocommit=True) as opened:
        count = 0
        while (gone := time.monotonic() - began) < seconds:
            if count >= gone * rate:
                time.sleep(0.001)
                continue
            count += 1
            if made < 100 or (made < most and chance.random() < 0.6):
                made += 1
                opened.execute("INSERT INTO orders VALUES (%s, 'new', 12.5, clock_timestamp())", (made,))
            else:
                changed = "UPDATE orders SET status = 'paid', written_at = clock_timestamp() WHERE id = %s"
                opened.execute(changed, (chance.randint(1, made),))
    return count


def write_ahead(url: str, changes: int, rows: int) -> None:
    """So many updates of so many rows, and wait until the stream has read nearly all of them."""
    import psycopg

    sql = "UPDATE orders SET status = 'sent', written_at = clock_timestamp() WHERE id IN (SELECT"
    sql += " (random() * %s)::int FROM generate_series(1, 1000))"
    behind = "SELECT max(pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)) FROM pg_replication_slots"
    made, began = 0, time.monotonic()
    with psycopg.connect(url, autocommit=True) as opened:
        opened.execute(
            "INSERT INTO orders SELECT n, 'new', 12.5, clock_timestamp() FROM generate_series(1, %s) n", (rows,)
        )
        while made < changes:
            time.sleep(max(0.0, made / _AHEAD_RATE - (time.monotonic() - began)))
            made += opened.execute(sql, (rows,)).rowcount
        while opened.execute(behind).fetchone()[0] > 1 << 20:  # type: ignore[index]
            time.sleep(1)


def looked(pid: int) -> dict[str, int]:
    """Memory of the stream, and its files: those that the newest versions name, and all that lie there."""
    from catchment.connected import Connected
    from catchment.project import load_project

    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    lake = Connected.of(load_project(WORK)).lake
    tables = [lake.open(name) for name in lake.list()]
    return {
        "mb": next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) // 1024,
        "live_files": sum(len(table.files()) for table in tables if table is not None),
        "files": sum(len(names) for _, _, names in os.walk(WORK / "lake")),
        "open_files": len(list(Path(f"/proc/{pid}/fd").iterdir())),
    }


def latencies() -> tuple[int, list[float]]:
    """How many rows silver holds; of those whose commit is still told of, the seconds from writing to commit."""
    import catchment
    from catchment.connected import Connected
    from catchment.naming import silver_table
    from catchment.project import load_project

    table = Connected.of(load_project(WORK)).lake.open(silver_table("orders"))
    assert table is not None
    at = {commit.pin.generation: commit.at for commit in table.history()}
    rows = catchment.open(WORK).query("SELECT _judged, written_at FROM silver.orders").read_all().to_pylist()
    took = [(at[row["_judged"]] - row["written_at"]).total_seconds() for row in rows if row["_judged"] in at]
    return len(rows), took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--merge-every", default="2s")
    parser.add_argument("--rows", type=int, default=1 << 62)
    parser.add_argument("--ahead", type=int, default=0, help="needs --rows")
    said = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from concurrent.futures import ThreadPoolExecutor

    import psycopg
    from tests.services.postgres.server import started

    shutil.rmtree(WORK, ignore_errors=True)
    (WORK / "contracts").mkdir(parents=True)
    (WORK / "contracts" / "orders.odcs.yaml").write_text(CONTRACT)
    (WORK / "catchment.yaml").write_text(PROJECT.format(merge_every=said.merge_every))
    with started(SERVER) as server:
        (WORK / "url.txt").write_text(server.url())
        with psycopg.connect(server.url(), autocommit=True) as opened:
            opened.execute(TABLE)
        log = (WORK / "stream.log").open("w")
        command = [sys.executable, "-m", "catchment", "--project", str(WORK), "stream"]
        stream = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            time.sleep(5)
            if said.ahead:
                write_ahead(server.url(), said.ahead, said.rows)
            looks: list[dict[str, int]] = []
            with ThreadPoolExecutor(1) as pool:
                writing = pool.submit(
                    write, server.url(), said.rate, said.seconds, said.rows, said.rows if said.ahead else 0
                )
                while not writing.done():
                    time.sleep(5)
                    if (WORK / "lake" / "silver").exists():
                        looks.append(looked(stream.pid))
            time.sleep(8)
        finally:
            stream.send_signal(signal.SIGTERM)
            assert stream.wait(60) == 0, (WORK / "stream.log").read_text()[-2000:]
        with psycopg.connect(server.url()) as opened:
            there = opened.execute("SELECT count(*) FROM orders").fetchone()
    rows, found = latencies()
    print(json.dumps(summary(rows, found, looks, writing.result(), said, there), indent=2))


def summary(
    rows: int, found: list[float], looks: list[dict[str, int]], changes: int, said: Any, there: Any
) -> dict[str, Any]:
    parts = statistics.quantiles(found, n=100)
    tenth = max(1, len(looks) // 10)
    tenths = [looks[at : at + tenth] for at in range(0, len(looks), tenth)]
    return {
        "changes": changes,
        "changes_per_second": round(changes / said.seconds),
        "rows": {"database": there[0], "silver": rows, "measured": len(found)},
        "seconds": {"p50": round(parts[49], 2), "p95": round(parts[94], 2), "p99": round(parts[98], 2)},
        "most_by_tenth": {name: [max(look[name] for look in part) for part in tenths] for name in looks[0]},
        "least_mb_by_tenth": [min(look["mb"] for look in part) for part in tenths],
    }


if __name__ == "__main__":
    main()
