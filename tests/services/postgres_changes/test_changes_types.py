"""Every type with hard values: snapshot and log say the same, and what a polled table says of it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from catchment.engines.duckdb import DuckDBEngine
from catchment.opened import OpenProject
from catchment.project import load_project
from catchment.reading.kinds.sql import TableStream
from catchment.records import Budget
from catchment.sources.postgres.source import PostgresSource
from catchment.testing import crash
from catchment.testing.sources import rows_in
from tests.services.postgres.test_postgres_types import _DEFECTS, _KEPT, _TYPES
from tests.services.postgres_changes.conftest import Database

# What a polled table keeps as text, and a document as itself.
_EMBEDDED = ("json", "jsonb")


def _made(database: Database, kinds: list[str]) -> None:
    columns = ", ".join(f"c{place} {kind}" for place, kind in enumerate(kinds))
    database.run(*_TYPES, f"CREATE TABLE rows (id int PRIMARY KEY, {columns})")


def _fill(database: Database) -> int:
    most = max(len(values) for _, _, values in _KEPT)
    for row in range(most + 1):
        given = ["NULL" if row >= len(values) else values[row][0] for _, _, values in _KEPT]
        database.run(f"INSERT INTO rows VALUES ({row}, {', '.join(given)})")
    return most + 1


def test_a_document_says_of_each_value_what_a_polled_column_becomes_as_text(database: Database, tmp_path: Path) -> None:
    kinds = [kind for kind, _, _ in _KEPT]
    _made(database, kinds)
    database.land()
    count = _fill(database)
    documents = [json.loads(row["document"]) for row in database.land()]
    assert len(documents) == count
    polling = PostgresSource("shop", {"rows": TableStream(table="rows")}, Path(), database.url)
    polled = rows_in(polling.read(polling.feeds()[0], None, Budget()))
    engine = DuckDBEngine(memory_bytes=500_000_000, spill=tmp_path)
    try:
        wrong = [
            (kind, shown, said)
            for document, row in zip(documents, polled, strict=True)
            for place, kind in enumerate(kinds)
            if (shown := _as_silver(engine, row.get(f"c{place}"), kind))
            != (said := _said(engine, document, f"c{place}", kind))
        ]
    finally:
        engine.close()
    assert wrong == []


def _as_silver(engine: DuckDBEngine, value: Any, kind: str) -> Any:
    """What a column of a polled table is as text in silver, where it can be JSON as JSON."""
    if value is None:
        return None
    if kind in _EMBEDDED:
        return json.loads(value)
    if isinstance(value, list):
        return _fetched(engine, "to_json(?)::VARCHAR", value)
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, float) and kind == "real":
        return _fetched(engine, "CAST(? AS FLOAT)::DOUBLE::VARCHAR", value)
    return _fetched(engine, "?::VARCHAR", value)


def _said(engine: DuckDBEngine, document: dict[str, Any], name: str, kind: str) -> Any:
    if kind in _EMBEDDED:
        return document[name]
    said = _fetched(engine, f"json_extract_string(?, '$.{name}')", json.dumps(document))
    return _fetched(engine, "?::DOUBLE::VARCHAR", said) if isinstance(document[name], float) else said


def _fetched(engine: DuckDBEngine, sql: str, value: Any) -> Any:
    connection = engine._connection
    return connection.execute(f"SELECT {sql}", [value]).fetchall()[0][0]


_LOGICAL = {
    **dict.fromkeys(("boolean",), "boolean"),
    **dict.fromkeys(("smallint", "integer", "bigint", "oid"), "integer"),
    **dict.fromkeys(("real", "double precision"), "number"),
    **dict.fromkeys(("timestamp", "timestamptz", "timestamptz(3)"), "timestamp"),
    "date": "date",
}


def _contract(name: str, kinds: list[str]) -> str:
    columns = "      - {name: id, logicalType: integer, primaryKey: true, primaryKeyPosition: 1}\n"
    for place, kind in enumerate(kinds):
        logical = "array" if kind.endswith("[]") else _LOGICAL.get(kind, "string")
        physical = ", physicalType: 'decimal(38,10)'" if kind == "numeric(38, 10)" else ""
        logical = "number" if physical else logical
        columns += f"      - {{name: c{place}, logicalType: {logical}{physical}}}\n"
    head = f"apiVersion: v3.1.0\nkind: DataContract\nid: {name}\nversion: 1.0.0\nstatus: active\n"
    return f"{head}schema:\n  - name: {name}\n    properties:\n{columns}"


_PROJECT = """\
name: shop
sources:
  polled:
    type: postgres
    url: ${file:url.txt}
    streams: {rows: {table: public.rows}}
  shop:
    type: postgres_changes
    url: ${file:url.txt}
    streams: {rows: {table: public.rows}}
silver:
  polled: {from: polled.rows, mode: merge}
  followed: {from: shop.rows, mode: merge}
"""


def test_one_contract_makes_the_same_of_a_polled_and_of_a_followed_table(database: Database, tmp_path: Path) -> None:
    kinds = [kind for kind, _, _ in _KEPT]
    _made(database, kinds)
    folder = tmp_path / "shop"
    (folder / "contracts").mkdir(parents=True)
    (folder / "catchment.yaml").write_text(_PROJECT)
    (folder / "url.txt").write_text(database.url)
    for name in ("polled", "followed"):
        (folder / f"contracts/{name}.odcs.yaml").write_text(_contract(name, kinds))
    database.run("INSERT INTO rows (id) VALUES (0)")
    assert crash.run_until(folder, select=["bronze.shop__changes"]).outcome == "done"
    for row in range(3):
        given = [
            "NULL" if row >= len(values) or "nfinity" in values[row][0] else values[row][0] for *_, values in _KEPT
        ]
        database.run(f"INSERT INTO rows VALUES ({row + 1}, {', '.join(given)})")
    assert crash.run_until(folder).outcome == "done"
    opened = OpenProject(load_project(folder))
    columns = ", ".join(["id", *(f"c{place}" for place in range(len(kinds)))])
    polled, followed = (
        opened.query(f"SELECT {columns} FROM silver.{name} ORDER BY id").read_all().to_pylist()
        for name in ("polled", "followed")
    )
    assert len(polled) == len(followed) == 4
    for one, other in zip(polled, followed, strict=True):
        for place, kind in enumerate(kinds):
            name = f"c{place}"
            if kind in _EMBEDDED:  # in a document it is itself, and what is null there is null here
                one[name], other[name] = (
                    None if said is None else json.loads(said) for said in (one[name], other[name])
                )
            assert one[name] == other[name], kind


def test_snapshot_and_log_say_the_same_of_every_value(database: Database) -> None:
    _made(database, [kind for kind, _, _ in _KEPT])
    _fill(database)
    database.land()
    snapshot = [row["document"] for row in database.landed]
    database.run("UPDATE rows SET id = id")
    assert [row["document"] for row in database.land()] == snapshot


def test_what_no_column_of_ours_can_hold_is_said_as_it_is(database: Database) -> None:
    _made(database, [kind for kind, _, _ in _DEFECTS])
    for place, (_, value, _) in enumerate(_DEFECTS):
        database.run(f"INSERT INTO rows (id, c{place}) VALUES ({place}, {value})")
    rows = database.land()
    assert [row["_defect"] for row in rows] == [None] * len(_DEFECTS)
    for place, (kind, value, _) in enumerate(_DEFECTS):
        said = json.loads(rows[place]["document"])[f"c{place}"]
        if "[]" not in kind:
            assert said == value.strip("'")
    arrays = [json.loads(rows[place]["document"])[f"c{place}"] for place in (7, 8, 9)]
    assert arrays == [[[1, 2], [3, 4]], [1, 2], [["a"], ["b"]]]


@pytest.mark.parametrize(
    "setting",
    [
        "DateStyle = 'German, DMY'",
        "IntervalStyle = sql_standard",
        "TimeZone = 'Asia/Tokyo'",
        "bytea_output = escape",
        "extra_float_digits = -5",
        "client_encoding = 'LATIN1'",
        "statement_timeout = '10ms'",
    ],
)
def test_what_a_server_prefers_for_text_changes_nothing(database: Database, setting: str) -> None:
    database.run("CREATE TABLE rows (id int PRIMARY KEY, a timestamptz, b interval, c bytea, d float8, e text)")
    values = "'2026-02-01 00:00+00', '1 day 2:00', '\\x00ff', 0.1, 'zwölf'"
    database.run(f"INSERT INTO rows VALUES (1, {values})", f"ALTER ROLE postgres SET {setting}")
    try:
        database.land()
        database.run("UPDATE rows SET id = id" if "timeout" not in setting else "SELECT 1")
        database.land()
    finally:
        database.run("ALTER ROLE postgres RESET ALL")
    assert {row["document"] for row in database.landed} == {
        '{"id":1,"a":"2026-02-01 00:00:00+00","b":"P1DT2H","c":"\\\\x00\\\\xFF","d":0.1,"e":"zwölf"}'
    }


def test_text_of_a_database_without_an_encoding_is_a_defect_with_its_bytes(database: Database) -> None:
    database.run("DROP DATABASE IF EXISTS bytes")
    database.run("CREATE DATABASE bytes TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
    try:
        other = Database(database.postgres, "bytes")
        other.run("CREATE TABLE rows (id int PRIMARY KEY, name text)", "INSERT INTO rows VALUES (1, 'fine')")
        other.run("INSERT INTO rows VALUES (2, convert_from('\\xff41', 'SQL_ASCII'))")
        other.land()
        other.run("UPDATE rows SET id = id + 2")
        other.land()
        other.run("SELECT pg_drop_replication_slot('catchment_shop')")
    finally:
        database.run("DROP DATABASE bytes")
    wrong = [row for row in other.landed if row["_defect"] is not None]
    assert [(row["op"], row["_defect"]) for row in wrong] == [
        ("snapshot", "name: text that is no UTF-8"),
        ("update", "name: text that is no UTF-8"),
    ]
    assert wrong[0]["_raw"] == b'{"id":"2","name":"\xffA"}'
    assert len(other.landed) == 6
