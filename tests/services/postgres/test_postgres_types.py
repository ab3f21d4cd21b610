"""Every type of PostgreSQL with hard values: what lands is what is there, and no column's type depends on its rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from tests.services.postgres.conftest import Database

_TYPES = (
    "CREATE TYPE mood AS ENUM ('glad', 'sad; tired')",
    "CREATE TYPE pair AS (a int, b text)",
    "CREATE DOMAIN price AS numeric(10, 2) CHECK (VALUE >= 0)",
    "CREATE DOMAIN word AS text",
    "CREATE DOMAIN cost AS price",
)

# A type, the type it has in bronze, and values as (SQL, what lands).
_LAST = datetime.max.replace(tzinfo=UTC).replace(tzinfo=None)
_US, _UTC = pa.timestamp("us"), pa.timestamp("us", "UTC")
_KEPT: Sequence[tuple[str, pa.DataType, Sequence[tuple[str, Any]]]] = (
    ("boolean", pa.bool_(), [("true", True), ("false", False)]),
    ("smallint", pa.int16(), [("-32768", -32768), ("32767", 32767)]),
    ("integer", pa.int32(), [("-2147483648", -(2**31))]),
    ("bigint", pa.int64(), [("9223372036854775807", 2**63 - 1)]),
    ("oid", pa.int64(), [("4294967295", 2**32 - 1)]),
    ("real", pa.float32(), [("1.5", 1.5), ("'Infinity'", float("inf"))]),
    ("double precision", pa.float64(), [("0.1", 0.1), ("1e308", 1e308), ("'-Infinity'", float("-inf"))]),
    ("numeric(10, 2)", pa.decimal128(10, 2), [("12.50", Decimal("12.50")), ("-99999999.99", Decimal("-99999999.99"))]),
    ("numeric(38, 10)", pa.decimal128(38, 10), [("1e27", Decimal(10**27)), ("1e-10", Decimal("1e-10"))]),
    ("numeric(39, 1)", pa.string(), [("12.5", "12.5")]),
    ("numeric(5, -2)", pa.string(), [("12345", "12300")]),
    ("numeric(3, 5)", pa.string(), [("0.00123", "0.00123")]),
    ("numeric", pa.string(), [("1.500", "1.500"), ("'NaN'", "NaN"), ("1e50", "1" + "0" * 50)]),
    ("price", pa.decimal128(10, 2), [("3.10", Decimal("3.10"))]),
    ("cost", pa.decimal128(10, 2), [("3.10", Decimal("3.10"))]),
    ("money", pa.string(), [("'-12.50'", "-12.50")]),
    ("text", pa.string(), [("''", ""), ("'zwölf\n\tstraße'", "zwölf\n\tstraße")]),
    ("varchar(5)", pa.string(), [("'ab'", "ab")]),
    ("char(5)", pa.string(), [("'ab'", "ab   ")]),
    ("word", pa.string(), [("'w'", "w")]),
    ("name", pa.string(), [("'n'", "n")]),
    ('"char"', pa.string(), [("'c'", "c")]),
    ("bytea", pa.binary(), [("'\\x00ff27'", b"\x00\xff'"), ("''", b"")]),
    ("date", pa.date32(), [("'0001-01-01'", date(1, 1, 1)), ("'9999-12-31'", date(9999, 12, 31))]),
    ("timestamp", _US, [("'9999-12-31 23:59:59.999999'", _LAST)]),
    ("timestamptz", _UTC, [("'2026-03-29 02:30+02'", datetime(2026, 3, 29, 0, 30, tzinfo=UTC))]),
    ("timestamptz(3)", _UTC, [("'2026-03-29 02:30:00.123+00'", datetime(2026, 3, 29, 2, 30, 0, 123000, tzinfo=UTC))]),
    ("time", pa.string(), [("'24:00'", "24:00:00"), ("'12:00:00.000001'", "12:00:00.000001")]),
    ("timetz", pa.string(), [("'12:00+02'", "12:00:00+02")]),
    ("interval", pa.string(), [("'1 year 2 mons -3 days 04:05:06.7'", "P1Y2M-3DT4H5M6.7S")]),
    ("json", pa.string(), [('\'{"b": 1,  "a":[]}\'', '{"b": 1,  "a":[]}')]),
    ("jsonb", pa.string(), [('\'{"b": 1.10, "a": null}\'', '{"a": null, "b": 1.10}'), ("'null'", "null")]),
    ("uuid", pa.string(), [("'{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")]),
    ("inet", pa.string(), [("'10.0.0.1'", "10.0.0.1"), ("'::1/64'", "::1/64")]),
    ("cidr", pa.string(), [("'10.0.0.0/8'", "10.0.0.0/8")]),
    ("macaddr", pa.string(), [("'08:00:2b:01:02:03'", "08:00:2b:01:02:03")]),
    ("mood", pa.string(), [("'sad; tired'", "sad; tired")]),
    ("pair", pa.string(), [("ROW(1, 'a b')", '(1,"a b")')]),
    ("int4range", pa.string(), [("'[1,5)'", "[1,5)"), ("'empty'", "empty")]),
    ("tstzrange", pa.string(), [("'[2026-01-01,)'", '["2026-01-01 00:00:00+00",)')]),
    ("int4multirange", pa.string(), [("'{[1,2),[5,6)}'", "{[1,2),[5,6)}")]),
    ("bit(3)", pa.string(), [("B'101'", "101")]),
    ("varbit", pa.string(), [("B''", ""), ("B'1'", "1")]),
    ("xml", pa.string(), [("'<a>&amp;</a>'", "<a>&amp;</a>")]),
    ("point", pa.string(), [("'(1.5,2)'", "(1.5,2)")]),
    ("tsvector", pa.string(), [("'a b'", "'a' 'b'")]),
    ("pg_lsn", pa.string(), [("'16/B374D848'", "16/B374D848")]),
    ("integer[]", pa.list_(pa.int32()), [("'{1,NULL,3}'", [1, None, 3]), ("'{}'", [])]),
    ("text[]", pa.list_(pa.string()), [("ARRAY['a,b', NULL, '']", ["a,b", None, ""])]),
    ("boolean[]", pa.list_(pa.bool_()), [("'{t,f}'", [True, False])]),
    ("numeric[]", pa.list_(pa.string()), [("'{1.50,NaN}'", ["1.50", "NaN"])]),
    ("timestamptz[]", pa.list_(pa.string()), [("'{infinity}'", ["infinity"])]),
    ("uuid[]", pa.list_(pa.string()), [("'{}'", [])]),
    ("mood[]", pa.list_(pa.string()), [("'{glad}'", ["glad"])]),
    ("jsonb[]", pa.list_(pa.string()), [("ARRAY['{\"a\": 1}'::jsonb]", ['{"a": 1}'])]),
)

# What a type of Arrow cannot hold of PostgreSQL's: the row is a defect, and its raw form says all of it.
_DEFECTS = (
    ("numeric(10, 2)", "'NaN'", "NaN"),
    ("date", "'infinity'", "infinity"),
    ("date", "'0044-03-15 BC'", "0044-03-15 BC"),
    ("timestamp", "'-infinity'", "-infinity"),
    ("timestamp", "'294276-12-31 23:59:59'", "294276-12-31T23:59:59"),
    ("timestamptz", "'infinity'", "infinity"),
    ("timestamptz", "'10000-01-01 00:00:00+00'", "10000-01-01T00:00:00+00:00"),
    ("integer[]", "'{{1,2},{3,4}}'", [[1, 2], [3, 4]]),
    ("integer[]", "'[2:3]={1,2}'", [1, 2]),
    ("text[]", "'{{a},{b}}'", [["a"], ["b"]]),
)


def _made(database: Database, kinds: Sequence[str]) -> None:
    columns = ", ".join(f"c{place} {kind}" for place, kind in enumerate(kinds))
    database.run(*_TYPES, f"CREATE TABLE rows (id int PRIMARY KEY, {columns})")


def test_every_value_of_every_type_lands_as_it_is_and_every_type_can_be_null(database: Database) -> None:
    _made(database, [kind for kind, _, _ in _KEPT])
    most = max(len(values) for _, _, values in _KEPT)
    for row in range(most + 1):
        given = ["NULL" if row >= len(values) else values[row][0] for _, _, values in _KEPT]
        database.run(f"INSERT INTO rows VALUES ({row}, {', '.join(given)})")
    table = database.table()
    assert table.column("_defect").null_count == table.num_rows == most + 1
    for place, (kind, expected, values) in enumerate(_KEPT):
        column = table.column(f"c{place}")
        assert column.type == expected, kind
        assert column.to_pylist() == [wanted for _, wanted in values] + [None] * (most + 1 - len(values)), kind


def test_a_column_has_the_same_type_whether_there_are_rows_or_not(database: Database) -> None:
    _made(database, [kind for kind, _, _ in _KEPT])
    database.run("INSERT INTO rows (id) VALUES (1)")
    assert database.table().schema.types[5:] == [expected for _, expected, _ in _KEPT]


def test_what_no_type_of_ours_can_hold_is_a_defect_that_says_all_of_the_row(database: Database) -> None:
    _made(database, [kind for kind, _, _ in _DEFECTS])
    for place, (_, value, _) in enumerate(_DEFECTS):
        database.run(f"INSERT INTO rows (id, c{place}) VALUES ({place}, {value})")
    database.run("INSERT INTO rows (id) VALUES (100)")
    rows = database.rows()
    assert len(rows) == len(_DEFECTS) + 1
    for place, ((_, _, shown), row) in enumerate(zip(_DEFECTS, rows, strict=False)):
        assert f"c{place}" in row["_defect"]
        assert "as_text" in row["_defect"]
        assert "id" not in row
        raw = json.loads(row["_raw"])
        assert (raw["id"], raw[f"c{place}"]) == (place, shown)
    assert rows[-1]["_defect"] is None


def test_a_column_named_under_as_text_lands_whatever_it_holds(database: Database) -> None:
    _made(database, [kind for kind, _, _ in _DEFECTS])
    for place, (_, value, _) in enumerate(_DEFECTS):
        database.run(f"INSERT INTO rows (id, c{place}) VALUES ({place}, {value})")
    rows = database.rows(as_text=[f"c{place}" for place in range(len(_DEFECTS))])
    assert [row["_defect"] for row in rows] == [None] * len(_DEFECTS)
    for place, (_, value, _) in enumerate(_DEFECTS):
        assert rows[place][f"c{place}"] == value.strip("'")


def test_a_raw_form_that_is_very_long_is_cut_and_says_so(database: Database) -> None:
    database.run("CREATE TABLE rows (id int, note text, at date)")
    database.run("INSERT INTO rows VALUES (1, repeat('x', 100000), 'infinity')")
    (row,) = database.rows()
    assert len(row["_raw"]) == 65536
    assert "the first 65,536 of 100,0" in row["_defect"]


@pytest.mark.parametrize(
    "setting",
    ["DateStyle = 'German, DMY'", "IntervalStyle = sql_standard", "TimeZone = 'Asia/Tokyo'", "bytea_output = escape"],
)
def test_what_a_server_prefers_for_text_changes_nothing(database: Database, setting: str) -> None:
    database.run("CREATE TABLE rows (id int, a timestamptz[], b interval, c bytea[], d timetz)")
    values = "'{2026-02-01 00:00+00}', '1 day 2:00', ARRAY['\\x00ff'::bytea], '1:00+01'"
    database.run(f"INSERT INTO rows VALUES (1, {values})")
    database.run(f"ALTER ROLE postgres SET {setting}")
    try:
        (row,) = database.rows()
    finally:
        database.run("ALTER ROLE postgres RESET ALL")
    assert [row[name] for name in "abcd"] == [["2026-02-01 00:00:00+00"], "P1DT2H", ["\\x00ff"], "01:00:00+01"]


def test_names_with_capitals_blanks_and_quotes_are_found_and_made_legal(database: Database) -> None:
    table = '"My ""Rows"" of 2026"'
    database.run(f"""CREATE TABLE {table} ("Id" int PRIMARY KEY, "a b" text, "it's" date)""")
    database.run(f"INSERT INTO {table} VALUES (1, 'x', 'infinity'), (2, 'y', '2026-01-01')")
    first, second = database.rows(table=table, cursor="Id", key=["Id"])
    assert "it's" in first["_defect"]
    assert (second["Id"], second["a_b"], second["it's"]) == (2, "y", date(2026, 1, 1))
