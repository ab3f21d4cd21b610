"""What comes through a topic is computed by ClickHouse as DuckDB computes it, for every plain expression and value."""

from __future__ import annotations

import itertools
import random
from typing import Any

import clickhouse_connect
import duckdb
import pytest
from tests.services.clickhouse.server import ClickHouseServer

from catchment.contract import Column
from catchment.plain import Type, plain
from catchment.refined.texts import plain as told
from catchment.stores.clickhouse_sql import expression, quoted, typed

TYPES = {
    "n": Type("integer"),
    "m": Type("integer"),
    "x": Type("number"),
    "y": Type("number"),
    "price": Type("decimal", 12, 2),
    "rate": Type("decimal", 6, 4),
    "status": Type("string"),
    "other": Type("string"),
    "seen": Type("timestamp"),
    "day": Type("date"),
    "ok": Type("boolean"),
    "paid": Type("boolean"),
}
VALUES: dict[str, list[str | None]] = {
    "n": [None, "0", "1", "-1", "2", "9007199254740993", "9223372036854775807", "-9223372036854775807"],
    "x": [None, "0.0", "-0.0", "0.1", "0.30000000000000004", "1e308", "-5e-324", "9007199254740992", "2.5", "1"],
    "price": [None, "0.00", "0.10", "-0.01", "9999999999.99", "2.50", "1.00"],
    "rate": [None, "0.0000", "0.1000", "-99.9999", "99.9999", "1.0000"],
    "status": [None, "", "a", "A", "b", "ä", "it''s", "a\\\\b", "completed", "completed "],
    "seen": [None, "1931-05-06 07:08:09.000005", "2026-11-01 10:00:00", "2026-11-01 10:00:00.000001", "2290-01-01"],
    "day": [None, "1931-05-06", "1969-12-31", "2026-11-01", "2290-01-01"],
    "ok": [None, "true", "false"],
}
VALUES |= {name: VALUES[like] for name, like in {"m": "n", "y": "x", "other": "status", "paid": "ok"}.items()}
DUCKDB = {
    "integer": "BIGINT",
    "number": "DOUBLE",
    "string": "VARCHAR",
    "timestamp": "TIMESTAMPTZ",
    "date": "DATE",
    "boolean": "BOOLEAN",
}
PAIRS = [("n", "m"), ("x", "y"), ("price", "rate"), ("status", "other"), ("ok", "paid"), ("n", "price"), ("n", "x")]
EXPRESSIONS = [
    *TYPES,
    *(f"{one} {sign} {other}" for (one, other), sign in itertools.product(PAIRS, ("=", "<>", "<", "<=", ">", ">="))),
    "x > 0.1",
    "x <= 0.1 or x > 2",
    "n = 1.0",
    "price >= 2.5 and price < 10000000000",
    "price * 2 + 1.5",
    "price - rate",
    "price * rate",
    "x * 2 - y + 0.1",
    "x * n",
    "case when n between -10 and 10 and m between -10 and 10 then n * m + 2 - n end",
    "status in ('a', 'completed', 'it''s', 'a\\b')",
    "not (status in ('a', 'b'))",
    "status between 'a' and 'b'",
    "seen >= '2026-11-01 10:00:00' or seen < '1970-01-01'",
    "seen = timestamptz '2026-11-01 10:00:00.000001+00'",
    "day > '2000-01-01' and day <> '2026-11-01'",
    "ok and not paid",
    "ok or paid",
    "not ok",
    "ok = true or paid is null",
    "status is not null and n is null",
    "case when ok then price when paid then rate else 7 end",
    "case when status = 'a' then 'x' when ok then other end",
    "coalesce(price, rate, 0)",
    "coalesce(status, other, 'none')",
    "case when ok and n > 5 or x < 0 then -1 else 1 end",
]


@pytest.fixture(scope="module")
def rows() -> duckdb.DuckDBPyConnection:
    """Values beside each other at random, each value of a column beside each of its pair."""
    chance = random.Random(3)
    beside = [
        dict(zip(pair, both, strict=True)) for pair in PAIRS for both in itertools.product(*map(VALUES.get, pair))
    ]  # type: ignore[arg-type]
    made = [{name: one.get(name, chance.choice(VALUES[name])) for name in TYPES} for one in beside]
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    listed = ", ".join(f"{name} {_duckdb(kind)}" for name, kind in TYPES.items())
    connection.execute(f"CREATE TABLE rows (number INTEGER, {listed})")
    for number, row in enumerate(made):
        values = ", ".join("NULL" if value is None else f"'{value}'" for value in row.values())
        connection.execute(f"INSERT INTO rows VALUES ({number}, {values})")
    return connection


def _duckdb(kind: Type) -> str:
    return f"DECIMAL({kind.precision}, {kind.scale})" if kind.kind == "decimal" else DUCKDB[kind.kind]


@pytest.fixture(scope="module")
def client(server: ClickHouseServer, rows: duckdb.DuckDBPyConnection) -> Any:
    """With the same rows as messages tell them: as text."""
    texts = ", ".join(
        told(Column(name, kind.kind, name, precision=kind.precision, scale=kind.scale))  # type: ignore[arg-type]
        for name, kind in TYPES.items()
    )
    found = clickhouse_connect.get_client(host="127.0.0.1", port=server.port, autogenerate_session_id=False)
    found.command("CREATE DATABASE IF NOT EXISTS expressions")
    listed = ", ".join(f"{quoted(name)} Nullable(String)" for name in TYPES)
    found.command(f"CREATE TABLE expressions.told (number Int32, {listed}) ENGINE = MergeTree ORDER BY number")
    table = rows.execute(f"SELECT number, {texts} FROM rows").fetchall()
    found.insert("told", table, column_names=["number", *TYPES], database="expressions")
    return found


@pytest.mark.parametrize("sql", EXPRESSIONS)
def test_an_expression_has_the_same_value_for_every_row(sql: str, client: Any, rows: duckdb.DuckDBPyConnection) -> None:
    inner = ", ".join(f"{typed(f'm.{quoted(name)}', kind)} AS {quoted(name)}" for name, kind in TYPES.items())
    inside = f"SELECT m.number AS number, {inner} FROM expressions.told AS m"
    asked = f"SELECT number, {expression(plain(sql, TYPES))} AS v FROM ({inside}) ORDER BY number"
    theirs = dict(client.query(asked).result_rows)
    ours = dict(rows.execute(f"SELECT number, {sql} FROM rows ORDER BY number").fetchall())
    assert len(ours) == len(theirs) > 100
    for number, value in ours.items():
        assert _plain(theirs[number]) == _plain(value), (sql, number)


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    return value.replace(tzinfo=None) if hasattr(value, "tzinfo") else value
