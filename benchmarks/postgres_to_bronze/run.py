"""A table of PostgreSQL into bronze: Catchment against `COPY … TO STDOUT` and against dlt, in one run.

    python benchmarks/postgres_to_bronze/run.py [--rows 10000000] [--rounds 3] [--memory 512MB] [--dlt connectorx]

COPY goes through psql to /dev/null; Catchment lands whole and by cursor, in a Delta table with all its promises; dlt
writes plain Parquet files with its fastest backend, out of an environment of its own that is made on the first run.
Seconds, CPU seconds and peak memory are the client's, its imports left out. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
WORK = ROOT / "build" / "bench" / "postgres_to_bronze"
DLT = ROOT / ".venvs" / "bench-dlt"
DLT_NEEDS = ["dlt[filesystem,parquet,sql-database]>=1.15", "connectorx", "psycopg[binary]", "pandas"]

MADE = """\
CREATE TABLE orders AS SELECT
  i::bigint AS id, (i * 7919 % 100000)::int AS customer_id,
  (ARRAY['new', 'paid', 'shipped', 'returned'])[1 + i % 4] AS status,
  ((i * 37 % 1000000) / 100.0)::numeric(12, 2) AS amount, ((i * 31 % 10000) / 100.0)::numeric(12, 2) AS shipping,
  (i % 9)::smallint AS quantity, 'note number ' || i AS note, i % 3 = 0 AS is_paid, i / 7.0::float8 AS ratio,
  date '2020-01-01' + (i % 2000)::int AS ordered_on,
  timestamptz '2024-01-01' + i * interval '3 seconds' AS created_at,
  timestamptz '2024-01-01' + i * interval '3 seconds' + i % 7 * interval '1 hour' AS updated_at
FROM generate_series(1::bigint, {rows}) i"""
SERVER = ("fsync=off", "full_page_writes=off", "shared_buffers=512MB", "max_wal_size=8GB", "work_mem=64MB")


def fill(server: Any, rows: int) -> None:
    after = "ALTER TABLE orders ADD PRIMARY KEY (id)", "CREATE INDEX ON orders (updated_at)", "VACUUM ANALYZE orders"
    for statement in (MADE.format(rows=rows), *after):
        subprocess.run([*psql(server), "-c", statement], check=True, env=asking(server))


def psql(server: Any) -> list[str]:
    return [str(server.programs / "psql"), "-q", "-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres"]


def asking(server: Any) -> dict[str, str]:
    return {**os.environ, "PGPASSWORD": server.url().partition(":")[2].split(":")[1].split("@")[0]}


def copy(server: Any) -> dict[str, float]:
    began = time.perf_counter()
    words = [*psql(server), "-c", "COPY orders TO STDOUT"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, env=asking(server))
    _, code, usage = os.wait4(process.pid, 0)
    assert code == 0
    return {
        "seconds": time.perf_counter() - began,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss * 1024,
    }


def measured(python: Path, script: str, *words: str) -> dict[str, float]:
    """What a child says of its own work: it imports first and measures then."""
    folder = WORK / "out"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    done = subprocess.run(
        [python, HERE / script, *words], cwd=folder, check=False, capture_output=True, text=True,
        env={**os.environ, "RUNTIME__DLTHUB_TELEMETRY": "false", "DLT_DATA_DIR": str(folder / "dlt")},
    )  # fmt: skip
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def dlt_python() -> Path:
    python = DLT / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", DLT], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *DLT_NEEDS], check=True)
    return python


def summary(rounds: list[dict[str, float]], rows: int) -> dict[str, float]:
    seconds = statistics.median(one["seconds"] for one in rounds)
    cpu = statistics.median(one["cpu"] for one in rounds)
    return {
        "seconds": round(seconds, 2),
        "rows_per_second": round(rows / seconds),
        "rows_per_cpu_second": round(rows / cpu),
        "peak_mb": round(max(one["peak"] for one in rounds) / 1e6),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", default="512MB")
    parser.add_argument(
        "--dlt", nargs="*", default=["connectorx", "pyarrow"], help="its backends; none to leave it out"
    )
    said = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from tests.services.postgres.server import started

    with started(SERVER) as server:
        fill(server, said.rows)
        ours = Path(sys.executable)
        ways = {
            "copy": lambda: copy(server),
            "catchment": lambda: measured(ours, "land.py", server.url(), said.memory),
            "catchment_by_cursor": lambda: measured(ours, "land.py", server.url(), said.memory, "updated_at"),
        }
        for backend in said.dlt:
            words = ("with_dlt.py", server.url(), backend)
            ways[f"dlt_{backend}"] = partial(measured, dlt_python(), *words)
        rounds: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
        for _ in range(said.rounds):
            for name, way in ways.items():
                rounds[name].append(way())
    found = {name: summary(of, said.rows) for name, of in rounds.items()}
    for figures in found.values():
        figures["speed_of_copy"] = round(found["copy"]["seconds"] / figures["seconds"], 2)
    print(json.dumps({"rows": said.rows, "rounds": said.rounds, "memory": said.memory, **found}, indent=2))


if __name__ == "__main__":
    main()
