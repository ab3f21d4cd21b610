"""A shop that goes on in PostgreSQL and Kafka: killed and taken up again, nothing is lost and nothing comes twice."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import pytest
from adbc_driver_postgresql import dbapi
from tests.services.kafka import server as kafka_server
from tests.services.kafka.server import Kafka
from tests.services.postgres import server as postgres_server
from tests.services.postgres.server import Postgres

from catchment.connected import Connected
from catchment.generate.endless import Endless
from catchment.generate.into_topics import EVENTS, ORDERS, TOPICS
from catchment.generate.sequence import Clock, Shares, stretch
from catchment.project import load_project

DIRT = ("--late", "0.05", "--duplicates", "0.05")


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres_server.started() as server:
        yield server


@pytest.fixture(scope="module")
def kafka() -> Iterator[Kafka]:
    with kafka_server.started() as broker:
        yield broker


def shop(shares: Shares | None = None) -> Endless:
    return Endless.of(1, 128, Clock(datetime(2026, 11, 21, tzinfo=UTC), Fraction(1000)), shares or Shares())


def command(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "catchment", "--project", str(folder), "generate", "--rate", "max", "--json", *words]


def killed(words: list[str], after_s: float) -> None:
    """Started, and killed so long after it has begun to send."""
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as going:
        assert going.stderr is not None
        told = ""
        while "Sending" not in told:
            line = going.stderr.readline()
            assert line, told
            told += line
        time.sleep(after_s)
        going.send_signal(signal.SIGKILL)


def done(words: list[str]) -> dict[str, object]:
    ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, object] = json.loads(ended.stdout)
    return found


def test_orders_in_a_database_go_on_where_a_kill_left_them(database: Postgres, tmp_path: Path) -> None:
    chance = random.Random(4)
    into = ("--into", database.url(), "--days", "1")
    killed(command(tmp_path, *into), 0.5)
    for _ in range(3):
        killed(command(tmp_path, *into, "--resume"), chance.random())
    reached = int(_one(database, "SELECT next_ordinal FROM generated"))
    done(command(tmp_path, *into, "--resume", "--count", str(max(1, 30_000 - reached))))
    end = int(_one(database, "SELECT next_ordinal FROM generated"))
    expected = {}
    for row in shop().orders.changes(0, end).rows.to_pylist():
        expected[row["transaction_id"]] = (row["status"], row["total"], row["updated_at"])
    with dbapi.connect(database.url()) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT transaction_id, status, total::text, to_char(updated_at AT TIME ZONE 'UTC',"
            " 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') FROM transactions WHERE created_at >= '2026-11-21'"
        )
        found = {row[0]: (row[1], row[2], row[3]) for row in cursor.fetchall()}
    assert found == expected
    assert len(Counter(status for status, _, _ in found.values())) == 4
    assert int(_one(database, "SELECT count(*) FROM users")) > 1000  # those of the first day


def _one(database: Postgres, sql: str) -> str:
    with dbapi.connect(database.url()) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return str(cursor.fetchone()[0])


def test_a_log_of_changes_sees_each_status(database: Postgres, tmp_path: Path) -> None:
    """An order that settles in the same write as it is placed is inserted, then updated."""
    url = database.url()
    with dbapi.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS seen (status text, id text)")
        cursor.execute(
            "CREATE OR REPLACE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN INSERT INTO seen VALUES (NEW.status, NEW.transaction_id); RETURN NULL; END $$"
        )
        cursor.execute("CREATE TRIGGER see AFTER INSERT OR UPDATE ON transactions FOR EACH ROW EXECUTE FUNCTION see()")
    done(command(tmp_path, "--into", url, "--seed", "2", "--count", "5000"))
    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id, status FROM seen")
        seen = Counter(cursor.fetchall())
    changes = Endless.of(2, 128, shop().clock, Shares()).orders.changes(0, 5000).rows.to_pylist()
    assert seen == Counter((row["transaction_id"], row["status"]) for row in changes)


def test_clicks_in_kafka_go_on_where_a_kill_left_them(kafka: Kafka, tmp_path: Path) -> None:
    (tmp_path / "catchment.yaml").write_text(
        f"name: g\ntargets: {{local: {{default: true, broker: {{type: kafka, servers: '{kafka.address}'}}}}}}\n"
    )
    chance = random.Random(7)
    killed(command(tmp_path, *DIRT), 0.3)
    for _ in range(4):
        killed(command(tmp_path, *DIRT, "--resume"), chance.random())
    told = done(command(tmp_path, *DIRT, "--resume", "--count", "20000"))
    end = int(str(told["next"]))
    broker = Connected.of(load_project(tmp_path)).broker
    dirty = shop(Shares(late=0.05, duplicates=0.05))
    part = stretch(1, dirty.shares, 0, end)
    lines, _ = dirty.clicks.lines(part.clicks, dirty.clock.seconds(part.clicks))
    orders = dirty.orders.changes(0, end).documents()
    expected = {EVENTS: Counter(lines.to_pylist()), ORDERS: Counter(orders.to_pylist())}
    for topic in TOPICS:
        ends = {partition: bound for partition, (_, bound) in broker.bounds(topic).items()}
        values = Counter(
            value.decode() for batch in broker.read(topic, {}, ends) for value in batch["value"].to_pylist()
        )
        assert values.total() > 2000
        assert values == expected[topic]
    broker.close()
