"""Changes of PostgreSQL: Catchment to bronze, exactly once, against Debezium to Kafka, in one run.

    python benchmarks/changes/run.py [--changes 300000] [--rounds 1] [--memory 512MB]

One table in a local server; inserts, updates and deletes in transactions of a hundred wait in two slots. Catchment
lands them in a Delta table; Debezium, on Kafka Connect with the default JIT, writes them to a topic of one partition,
JSON without schemas. Debezium's seconds are counted twice: from the moment its connector goes on, and from its first
message to its last. Its CPU is that of Connect and of Kafka. Prints JSON.
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
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
WORK = ROOT / "build" / "bench" / "changes"

SERVER = (
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=256MB",
    "max_wal_size=8GB",
    "wal_level=logical",
    "max_replication_slots=4",
    "max_wal_senders=4",
)
TABLE = """\
CREATE TABLE orders (
  id bigint PRIMARY KEY, customer_id int, status text, amount numeric(12, 2), shipping numeric(12, 2),
  quantity smallint, note text, is_paid boolean, ordered_on date, updated_at timestamptz)"""
# Of ten changes six insert, three update and one deletes.
CHANGES = """\
DO $$ BEGIN FOR t IN 0 .. {transactions} - 1 LOOP
  INSERT INTO orders SELECT {first} + t * 60 + i, i % 1000, 'new', i / 4.0, i / 10.0, i % 9, 'note number ' || i,
    i % 3 = 0, date '2026-01-01' + i::int, now() FROM generate_series(1, 60) i;
  UPDATE orders SET status = 'paid', updated_at = now()
    WHERE id > {first} + t * 60 AND id <= {first} + t * 60 + 30;
  DELETE FROM orders WHERE id > {first} + t * 60 + 30 AND id <= {first} + t * 60 + 40;
  COMMIT;
END LOOP; END $$"""


def sql(server: Any, statement: str) -> None:
    words = [str(server.programs / "psql"), "-q", "-v", "ON_ERROR_STOP=1", "-d", server.url(), "-c", statement]
    subprocess.run(words, check=True)


def catchment(server: Any, memory: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, HERE / "land.py", server.url(), memory], cwd=WORK, check=False, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def connector(server: Any) -> dict[str, str]:
    url = urlsplit(server.url())
    return {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "database.hostname": "127.0.0.1",
        "database.port": str(url.port),
        "database.user": str(url.username),
        "database.password": str(url.password),
        "database.dbname": "postgres",
        "topic.prefix": "shop",
        "plugin.name": "pgoutput",
        "slot.name": "debezium",
        "publication.name": "debezium",
        "table.include.list": "public.orders",
        "snapshot.mode": "no_data",
        "decimal.handling.mode": "string",
        "tombstones.on.delete": "false",
        "topic.creation.default.replication.factor": "1",
        "topic.creation.default.partitions": "1",
        # As many as it wants at a time: the defaults are for many connectors on one worker.
        "max.batch.size": "8192",
        "max.queue.size": "32768",
    }


def debezium(connect: Any, kafka: Any, changes: int, before: int) -> dict[str, float]:
    """Let it go on until so many more messages than `before` are in its topic."""
    from confluent_kafka import Consumer, TopicPartition

    pids = (connect.server.pid, kafka.server.pid)
    used = sum(map(cpu_of, pids))
    watching = Consumer({"bootstrap.servers": kafka.address, "group.id": "watching"})
    place = TopicPartition("shop.public.orders", 0)
    began, first, last = time.perf_counter(), 0.0, before
    connect.ask("/connectors/shop/resume", method="PUT")
    while last < before + changes:
        time.sleep(0.02)
        last = watching.get_watermark_offsets(place, timeout=10)[1]
        if last > before and not first:
            first = time.perf_counter()
    ended = time.perf_counter()
    watching.close()
    connect.ask("/connectors/shop/stop", method="PUT")
    return {
        "rows": last - before,
        "seconds": ended - began,
        "from_first": ended - first,
        "cpu": sum(map(cpu_of, pids)) - used,
        "peak": sum(map(peak_of, pids)),
    }


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_of(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def summary(rounds: list[dict[str, float]]) -> dict[str, float]:
    seconds = statistics.median(one["seconds"] for one in rounds)
    found = {
        "seconds": round(seconds, 2),
        "rows_per_second": round(rounds[0]["rows"] / seconds),
        "rows_per_cpu_second": round(rounds[0]["rows"] / statistics.median(one["cpu"] for one in rounds)),
        "peak_mb": round(max(one["peak"] for one in rounds) / 1e6),
    }
    if "from_first" in rounds[0]:
        from_first = statistics.median(one["from_first"] for one in rounds)
        found["rows_per_second_from_first"] = round(rounds[0]["rows"] / from_first)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--memory", default="512MB")
    said = parser.parse_args()
    transactions = said.changes // 100
    sys.path.insert(0, str(ROOT))
    from tests.services.connect.server import started as connect_started
    from tests.services.kafka.server import FAST
    from tests.services.kafka.server import started as kafka_started
    from tests.services.postgres.server import started

    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    rounds: dict[str, list[dict[str, float]]] = {"catchment": [], "debezium": []}
    with started(SERVER) as server, kafka_started(FAST) as kafka, connect_started(kafka, FAST) as connect:
        sql(server, TABLE)
        catchment(server, said.memory)
        connect.run("shop", connector(server))
        # The topic is made with its first message.
        sql(server, CHANGES.format(transactions=1, first=0))
        catchment(server, said.memory)
        debezium(connect, kafka, 100, 0)
        for number in range(said.rounds):
            changes = CHANGES.format(transactions=transactions, first=1_000_000 * (number + 1))
            sql(server, changes)
            rounds["catchment"].append(catchment(server, said.memory))
            rounds["debezium"].append(debezium(connect, kafka, transactions * 100, 100 + number * transactions * 100))
    found = {name: summary(of) for name, of in rounds.items()}
    ratio = found["catchment"]["rows_per_second"] / found["debezium"]["rows_per_second_from_first"]
    told = {"changes": transactions * 100, "rounds": said.rounds, **found, "speed_of_debezium": round(ratio, 2)}
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
