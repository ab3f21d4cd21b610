"""Whole runs over a real PostgreSQL: killed at every event, cut off between two loads, and what a database holds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.services.postgres.conftest import Database

from catchment.bronze.land import Landing
from catchment.engines.duckdb import DuckDBEngine
from catchment.errors import RetryableError
from catchment.lake.delta import DeltaLake
from catchment.opened import OpenProject
from catchment.project import load_project
from catchment.records import Budget
from catchment.sources.postgres.source import find
from catchment.testing import crash
from catchment.testing.proxy import FaultProxy

_PROJECT = """\
name: shop
sources:
  shop_db:
    type: postgres
    url: ${file:url.txt}
    streams:
      users: {table: public.users, cursor: updated_at, lookback: 1 hour}
      towns: {table: public.towns}
"""


def _project(folder: Path, database: Database) -> Path:
    folder.mkdir()
    (folder / "catchment.yaml").write_text(_PROJECT)
    (folder / "url.txt").write_text(database.url)
    return folder


def _landed(folder: Path, table: str) -> Counter[tuple[Any, ...]]:
    found = OpenProject(load_project(folder)).query(f"SELECT id, name FROM bronze.shop_db__{table}").read_all()
    return Counter((row["id"], row["name"]) for row in found.to_pylist())


def _kill_ever_later(folder: Path) -> int:
    kills = 0
    while (ended := crash.run_until(folder, kill_at=kills + 1)).killed:
        kills += 1
    assert ended.outcome in ("done", "nothing_new"), ended.causes
    return kills


def test_runs_killed_ever_later_land_every_row_once(database: Database, tmp_path: Path) -> None:
    database.run(
        "CREATE TABLE users (id int PRIMARY KEY, name text, updated_at timestamptz NOT NULL)",
        "CREATE TABLE towns (id int PRIMARY KEY, name text)",
        "INSERT INTO users SELECT i, 'user ' || i, '2026-01-01' FROM generate_series(1, 500) i",
        "INSERT INTO towns SELECT i, 'town ' || i FROM generate_series(1, 50) i",
    )
    folder = _project(tmp_path / "shop", database)
    first = _kill_ever_later(folder)
    database.run(
        "ALTER TABLE users ADD COLUMN more int",
        "INSERT INTO users SELECT i, 'user ' || i, '2026-01-01', 1 FROM generate_series(501, 600) i",
        "UPDATE users SET name = 'changed', updated_at = '2026-01-02' WHERE id <= 100",
    )
    second = _kill_ever_later(folder)
    assert first > 5
    assert second > 5
    users = Counter((number, f"user {number}") for number in range(1, 601))
    users.update((number, "changed") for number in range(1, 101))
    assert _landed(folder, "users") == users
    assert _landed(folder, "towns") == Counter((number, f"town {number}") for number in range(1, 51))
    assert crash.faults(folder) == []
    assert crash.run_until(folder).outcome == "nothing_new"


def _landing(database: Database, lake: DeltaLake, engine: DuckDBEngine, url: str, **keys: Any) -> Landing:
    source = database.source(url=url, **keys)
    budget = Budget(bytes=300_000)
    return Landing("land:shop.rows", source.feeds()[0], source, lake, engine, lambda _: None, lambda: None, budget)


def test_a_large_first_read_goes_on_behind_its_last_load(database: Database, tmp_path: Path) -> None:
    database.run(
        "CREATE TABLE rows (id int PRIMARY KEY, name text, updated_at timestamptz NOT NULL)",
        "INSERT INTO rows SELECT i, repeat('x', 100), timestamptz '2026-01-01' + (i / 7) * interval '1 second'"
        " FROM generate_series(1, 20000) i",
    )
    lake, engine = DeltaLake(tmp_path / "lake"), DuckDBEngine(memory_bytes=500_000_000, spill=tmp_path / "spill")
    keys = {"cursor": "updated_at", "lookback": "1 minute"}
    try:
        with FaultProxy(("127.0.0.1", database.postgres.port), cut_after=1_500_000) as proxy:
            url = database.postgres.url(database.name, port=proxy.port)
            with pytest.raises(RetryableError):
                _landing(database, lake, engine, url, **keys).run()
            table = lake.open(database.source().feeds()[0].table)
            assert table is not None
            halfway = engine.frame(table.scan())
            before = halfway.count("*").fetchall()[0][0]  # type: ignore[attr-defined]
            assert 0 < before < 20_000
            assert _landing(database, lake, engine, url, **keys).run()
            assert not _landing(database, lake, engine, url, **keys).run()
        table = lake.open(database.source().feeds()[0].table)
        assert table is not None
        rows: pa.Table = engine.frame(table.scan()).to_arrow_table()  # type: ignore[attr-defined]
    finally:
        engine.close()
    assert sorted(rows.column("id").to_pylist()) == list(range(1, 20_001))
    assert sorted(rows.column("_position").to_pylist()) == list(range(20_000))


def test_finding_tells_tables_keys_references_and_a_cursor_with_its_evidence(database: Database) -> None:
    database.run(
        "CREATE SCHEMA sales",
        'CREATE TABLE "Users" (id int PRIMARY KEY, email text NOT NULL, born date, tags text[], profile jsonb,'
        " updated_at timestamptz NOT NULL)",
        'CREATE INDEX ON "Users" (updated_at)',
        "COMMENT ON COLUMN \"Users\".email IS 'where to write'",
        'CREATE TABLE sales.orders (user_id int REFERENCES "Users", nr int, total numeric(10,2), modified timestamp,'
        " PRIMARY KEY (user_id, nr))",
        "CREATE VIEW totals AS SELECT sum(total) AS total FROM sales.orders",
        "CREATE TABLE secret (id int)",
        "CREATE ROLE guest LOGIN PASSWORD 'an-open-secret'",
        'GRANT SELECT ON "Users", sales.orders, totals TO guest',
        "GRANT USAGE ON SCHEMA sales, public TO guest",
        "INSERT INTO \"Users\" SELECT i, 'e', NULL, NULL, NULL, now() FROM generate_series(1, 40) i",
        'ANALYZE "Users"',
    )
    try:
        users, totals, orders = find(database.postgres.url(user="guest"), Path())
    finally:
        database.run("DROP OWNED BY guest", "DROP ROLE guest", "DROP SCHEMA sales CASCADE")
    assert (users.name, orders.name, totals.name) == ("users", "sales_orders", "totals")
    assert users.keys == {"table": 'public."Users"', "cursor": "updated_at", "lookback": "5 minutes"}
    assert [column.type for column in users.columns] == ["integer", "string", "date", "array", "object", "timestamp"]
    assert [column.required for column in users.columns] == [True, True, False, False, False, True]
    assert users.columns[1].description == "where to write"
    assert (users.key, users.rows) == (["id"], 40)
    assert "with an index" in users.evidence["cursor"]
    assert orders.references == [(["user_id"], 'public."Users"', ["id"])]
    assert (orders.key, orders.keys["cursor"]) == (["user_id", "nr"], "modified")
    assert "without an index" in orders.evidence["cursor"]
    assert dict(totals.keys) == {"table": "public.totals"}
