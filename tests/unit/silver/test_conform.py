"""From what arrived to the contract's types: for each type a corpus of texts, by every way a value can come."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from catchment.contract import Column
from catchment.errors import ConfigError
from catchment.interfaces import Engine
from catchment.records import bronze_schema
from catchment.silver.conform import arrow_type, conform
from catchment.silver.definition import Table
from catchment.silver.judge import parsed
from catchment.silver.rows import Rows
from catchment.testing.fakes import column, contract


class _Bad:
    def __repr__(self) -> str:
        return "BAD"


BAD: Any = _Bad()

INTEGERS = {
    "1": 1,
    " 12 ": 12,
    "\t12\n": 12,
    "+5": 5,
    "-7": -7,
    "007": 7,
    "17850.0": 17850,
    "17850.": 17850,
    "-0.0": 0,
    "9223372036854775807": 2**63 - 1,
    "-9223372036854775808": -(2**63),
    "9223372036854775808": BAD,
    "2.9": BAD,
    "2.000001": BAD,
    "1e3": BAD,
    "1_000": BAD,
    "1,000": BAD,
    "nan": BAD,
    "0x1F": BAD,
    "0b1": BAD,
    "- ": BAD,
    "- 1": BAD,
    "+-1": BAD,
    "--1": BAD,
    ".0": BAD,
    "1 2": BAD,
    "12 ": 12,
    "\u00a012": BAD,
    "12\u00a0": BAD,
    " \u00a012 ": BAD,
    "９": BAD,
    "१": BAD,
    "abc": BAD,
    "true": BAD,
    "": None,
    "   ": None,
}

NUMBERS = {
    "2.9": 2.9,
    " -2.5 ": -2.5,
    "1e3": 1000.0,
    "1E+3": 1000.0,
    "-1.5e-2": -0.015,
    ".5": 0.5,
    "5.": 5.0,
    "0": 0.0,
    "1e400": BAD,
    "nan": BAD,
    "NaN": BAD,
    "inf": BAD,
    "-Infinity": BAD,
    "1_000.5": BAD,
    "1,5": BAD,
    "1.2.3": BAD,
    "0x1F": BAD,
    "1e": BAD,
    ".": BAD,
    "- ": BAD,
    "+-1": BAD,
    "\u00a01": BAD,
    "12 €": BAD,
    "50%": BAD,
    "": None,
}

DECIMALS = {  # (5, 2)
    "1.005": Decimal("1.01"),
    "-1.005": Decimal("-1.01"),
    "2.5": Decimal("2.50"),
    " 3 ": Decimal("3.00"),
    "12.344": Decimal("12.34"),
    "999.99": Decimal("999.99"),
    "-999.99": Decimal("-999.99"),
    "1e2": Decimal("100.00"),
    "1e-1": Decimal("0.10"),
    ".5": Decimal("0.50"),
    "999.995": BAD,
    "1000": BAD,
    "1e3": BAD,
    "1e99": BAD,
    "1_0": BAD,
    "nan": BAD,
    "1,5": BAD,
    "- ": BAD,
    "\u00a01": BAD,
    "": None,
}

BOOLEANS = {
    "true": True,
    "TRUE": True,
    " t ": True,
    "true ": True,
    "Yes": True,
    "y": True,
    "1": True,
    "false": False,
    "F": False,
    "no": False,
    "N": False,
    "0": False,
    "on": BAD,
    "2": BAD,
    "1.0": BAD,
    "wahr": BAD,
    "": None,
}

DATES = {
    "2026-01-31": date(2026, 1, 31),
    " 2026-01-31 ": date(2026, 1, 31),
    "2026-01-31 ": date(2026, 1, 31),
    "2024-02-29": date(2024, 2, 29),
    "2026-01-31T00:00:00": date(2026, 1, 31),
    "2026-01-31 00:00:00.000": date(2026, 1, 31),
    "2026-02-30": BAD,
    "2026-02-29": BAD,
    "2026-13-01": BAD,
    "2026-00-01": BAD,
    "2026-01-31 10:00:00": BAD,
    "2026-1-2": BAD,
    "20260131": BAD,
    "26-01-31": BAD,
    "31/01/2026": BAD,
    "epoch": BAD,
    "infinity": BAD,
    "0044-03-15 (BC)": BAD,
    "0000-01-01": BAD,
    "0001-01-01": date(1, 1, 1),
    "9999-12-31": date(9999, 12, 31),
    "": None,
}

DAYS_IN_TWO_FORMATS = {  # yyyy-MM-dd, dd/MM/yyyy
    "2026-01-31": date(2026, 1, 31),
    "31/01/2026": date(2026, 1, 31),
    "01/02/2026": date(2026, 2, 1),
    " 31/01/2026 ": date(2026, 1, 31),
    "31/01/2026 ": date(2026, 1, 31),
    "31/02/2026": BAD,
    "12/31/2026": BAD,
    "01/02/26": BAD,
    "01/02/02026": BAD,
    "31.01.2026": BAD,
    "31/01/2026 10:00": BAD,
    "": None,
}


def _utc(*when: int) -> datetime:
    return datetime(*when, tzinfo=UTC)  # type: ignore[misc,arg-type]


INSTANTS = {
    "2026-01-02T10:00:00Z": _utc(2026, 1, 2, 10),
    "2026-01-02 10:00:00Z": _utc(2026, 1, 2, 10),
    "2026-01-02T10:00:00+02:00": _utc(2026, 1, 2, 8),
    "2026-01-02T10:00:00+0200": _utc(2026, 1, 2, 8),
    "2026-01-02T10:00:00-05": _utc(2026, 1, 2, 15),
    "2026-01-02T10:00+05:30": _utc(2026, 1, 2, 4, 30),
    "2026-01-02T10:00:00.123456789Z": _utc(2026, 1, 2, 10, 0, 0, 123456),
    "2026-01-02T10:00:00": _utc(2026, 1, 2, 10),
    "2026-01-02 10:00": _utc(2026, 1, 2, 10),
    "2026-01-02": _utc(2026, 1, 2),
    "  2026-01-02T10:00:00Z ": _utc(2026, 1, 2, 10),
    "2026-01-02T10:00:00Z ": _utc(2026, 1, 2, 10),
    "2026-01-02T24:00:00Z": BAD,
    "2026-01-02 24:00": BAD,
    "2026-01-02T10:60:00Z": BAD,
    "2026-01-02T10:00:60Z": BAD,
    "2026-02-30T10:00:00Z": BAD,
    "2026-01-02T10Z": BAD,
    "2026-01-02 10:00:00 Europe/Lisbon": BAD,
    "10:00": BAD,
    "1767348000": BAD,
    "now": BAD,
    "infinity": BAD,
    "": None,
}

TIMES = {
    "10:00": "10:00:00",
    "23:59:59": "23:59:59",
    " 00:00:00 ": "00:00:00",
    "00:00:00 ": "00:00:00",
    "10:00:00.5": "10:00:00.5",
    "24:00": BAD,
    "10:60": BAD,
    "1:00": BAD,
    "10": BAD,
    "10:00 pm": BAD,
    "10:00:00Z": BAD,
    "": None,
}

OBJECTS = {
    '{"a": 1}': '{"a": 1}',
    ' {"a": {"b": [1]}} ': '{"a": {"b": [1]}}',
    "{}": "{}",
    "[1]": BAD,
    "1": BAD,
    '"a"': BAD,
    "null": BAD,
    '{"a": 1': BAD,
    "{'a': 1}": BAD,
    '{"a": NaN}': BAD,
    '{"a":-NaN}': BAD,
    '{"a": [1, nan]}': BAD,
    '{"a": Infinity}': BAD,
    '{"a":\n-Infinity}': BAD,
    '{"a": inf}': BAD,
    '{"a": {"b": -INF}}': BAD,
    '{"a": "\\\\", "b": NaN}': BAD,
    '{"a": 1,}': BAD,
    '{"a": [1 , ]}': BAD,
    '{"a": True}': BAD,
    '{"a": 01}': BAD,
    '{"a": .5}': BAD,
    '{"a": 1} x': BAD,
    '{"a": 1} // x': BAD,
    '{"a": "\t"}': BAD,
    '{"a": "\\x41"}': BAD,
    '{"NaN": "NaN", "b": ", Infinity"}': '{"NaN": "NaN", "b": ", Infinity"}',
    '{"a": "x\\", NaN", "b": ",}"}': '{"a": "x\\", NaN", "b": ",}"}',
    '{"a": [null, false, 1e5, "[nan]"]}': '{"a": [null, false, 1e5, "[nan]"]}',
    "": None,
}

ARRAYS = {
    "[1, 2]": "[1, 2]",
    "[]": "[]",
    '{"a": 1}': BAD,
    "[1": BAD,
    "1, 2": BAD,
    "[NaN]": BAD,
    "[1, -infinity]": BAD,
    "[1, ]": BAD,
    '["NaN", ",]"]': '["NaN", ",]"]',
    "": None,
}

CORPORA: dict[str, tuple[Column, Mapping[str, Any]]] = {
    "integer": (column("v", "integer"), INTEGERS),
    "number": (column("v", "number"), NUMBERS),
    "decimal": (column("v", "decimal", precision=5, scale=2), DECIMALS),
    "boolean": (column("v", "boolean"), BOOLEANS),
    "date": (column("v", "date"), DATES),
    "date in two formats": (column("v", "date", formats=("yyyy-MM-dd", "dd/MM/yyyy")), DAYS_IN_TWO_FORMATS),
    "timestamp": (column("v", "timestamp"), INSTANTS),
    "time": (column("v", "time"), TIMES),
    "object": (column("v", "object"), OBJECTS),
    "array": (column("v", "array"), ARRAYS),
}


def read(engine: Engine[Any], wanted: Column, given: pa.Array, source: str = "v") -> list[Any]:
    """What each value became, or BAD; a bad one has just the one reason, of the type."""
    arrived = bronze_schema([]).empty_table().schema
    ours = {field.name: pa.nulls(len(given), field.type) for field in arrived}
    ours["_row"] = pa.array(range(len(given)), pa.int64())
    bronze = pa.table({**ours, source: given})
    rows = Rows(Table("t", ("src.rows",), contract("t", wanted), "append"), "src.rows", engine, bronze.schema, 1, {})
    rows.over(engine.frame(bronze))
    found: dict[int, Any] = {}
    for good in rows_of(engine, rows.good()):
        found[good["_row"]] = good[wanted.name]
    for frame in rows.bad():
        for bad in rows_of(engine, frame):
            assert [reason["rule"] for reason in bad["reasons"]] == ["type"], bad
            found[bad["_row"]] = BAD
    return [found[place] for place in range(len(given))]


def rows_of(engine: Engine[Any], frame: Any) -> list[dict[str, Any]]:
    import sqlglot

    found: list[dict[str, Any]] = engine.fetch(sqlglot.parse_one("SELECT * FROM t"), {"t": frame}).to_pylist()  # type: ignore[arg-type]
    return found


def wrongly(texts: Sequence[Any], got: Sequence[Any], expected: Sequence[Any]) -> list[tuple[Any, Any, Any]]:
    """(what arrived, what it became, what it should have become), where they differ, in value or in type."""
    three = zip(texts, got, expected, strict=True)
    return [(t, g, e) for t, g, e in three if not (g is e or (type(g) is type(e) and g == e))]


@pytest.mark.parametrize("name", CORPORA)
def test_texts_become_values_or_reasons(engine: Engine[Any], name: str) -> None:
    wanted, corpus = CORPORA[name]
    assert wrongly(list(corpus), read(engine, wanted, pa.array(corpus)), list(corpus.values())) == []


@pytest.mark.parametrize("name", CORPORA)
def test_texts_in_a_document_become_the_same(engine: Engine[Any], name: str) -> None:
    wanted, corpus = CORPORA[name]
    in_document = column("v", wanted.type, **{f: getattr(wanted, f) for f in ("precision", "scale", "formats")})
    documents = pa.array([json.dumps({"v": text}) for text in corpus])
    assert wrongly(list(corpus), read(engine, in_document, documents, "document"), list(corpus.values())) == []


@pytest.mark.parametrize("name", CORPORA)
def test_what_is_null_is_null_and_no_reason(engine: Engine[Any], name: str) -> None:
    wanted, _ = CORPORA[name]
    assert read(engine, wanted, pa.array([None], pa.string())) == [None]
    documents = pa.array(['{"v": null}', "{}", None], pa.string())
    assert read(engine, wanted, documents, "document") == [None, None, None]


@pytest.mark.parametrize(
    ("wanted", "document", "value"),
    [
        (column("v", "integer"), '{"v": 12}', 12),
        (column("v", "integer"), '{"v": 12.0}', 12),
        (column("v", "integer"), '{"v": 2.9}', BAD),
        (column("v", "integer"), '{"v": true}', BAD),
        (column("v", "integer"), '{"v": {"a": 1}}', BAD),
        (column("v", "number"), '{"v": 1e3}', 1000.0),
        (column("v", "decimal", precision=5, scale=2), '{"v": 1.005}', Decimal("1.01")),
        (column("v", "boolean"), '{"v": true}', True),
        (column("v", "string"), '{"v": "0012"}', "0012"),
        (column("v", "string"), '{"v": 12}', "12"),
        (column("v", "string"), '{"v": ""}', ""),
        (column("v", "object"), '{"v": {"a": 1}}', '{"a":1}'),
        (column("v", "array"), '{"v": [1, "x"]}', '[1,"x"]'),
        (column("v", "object"), '{"v": [1]}', BAD),
        (column("v", "string", source="$.customer.id"), '{"customer": {"id": "c1"}}', "c1"),
        (column("v", "integer", source="$.items[1].n"), '{"items": [{"n": 1}, {"n": 2}]}', 2),
        (column("v", "string", source="a.b"), '{"a.b": "dotted"}', "dotted"),
        (column("v", "string", source="$.nothing.here"), '{"v": 1}', None),
    ],
)
def test_values_of_json_become_values_of_the_contract(
    engine: Engine[Any], wanted: Column, document: str, value: Any
) -> None:
    assert wrongly([document], read(engine, wanted, pa.array([document]), "document"), [value]) == []


@pytest.mark.parametrize(
    ("text", "zone", "instant"),
    [
        ("2026-01-02T10:00:00", "Europe/Lisbon", _utc(2026, 1, 2, 10)),
        ("2026-07-02T10:00:00", "Europe/Lisbon", _utc(2026, 7, 2, 9)),
        ("2026-07-02T10:00:00Z", "Europe/Lisbon", _utc(2026, 7, 2, 10)),
        ("2026-07-02", "Asia/Tokyo", _utc(2026, 7, 1, 15)),
        # The hour that daylight saving leaves out is read with the offset before it.
        ("2026-03-29T01:30:00", "Europe/Lisbon", _utc(2026, 3, 29, 1, 30)),
        ("2026-03-29T00:59:59", "Europe/Lisbon", _utc(2026, 3, 29, 0, 59, 59)),
        ("2026-03-29T02:00:00", "Europe/Lisbon", _utc(2026, 3, 29, 1)),
    ],
)
def test_a_time_without_an_offset_is_read_in_the_columns_zone(
    engine: Engine[Any], text: str, zone: str, instant: datetime
) -> None:
    assert read(engine, column("v", "timestamp", timezone=zone), pa.array([text])) == [instant]


@pytest.mark.parametrize(
    ("formats", "text", "value"),
    [
        (("yyyy-MM-dd'T'HH:mm:ssX", "dd/MM/yyyy"), "2026-01-02T10:00:00Z", _utc(2026, 1, 2, 10)),
        (("yyyy-MM-dd'T'HH:mm:ssX", "dd/MM/yyyy"), "2026-01-02T10:00:00+02:00", _utc(2026, 1, 2, 8)),
        (("yyyy-MM-dd'T'HH:mm:ssX", "dd/MM/yyyy"), "02/01/2026", _utc(2026, 1, 2)),
        (("yyyy-MM-dd'T'HH:mm:ssX", "dd/MM/yyyy"), "31/02/2026", BAD),
        (("yyyy-MM-dd'T'HH:mm:ssX", "dd/MM/yyyy"), "2026-01-02 10:00:00", BAD),
        (("dd.MM.yyyy HH:mm",), "02.01.2026 10:05", _utc(2026, 1, 2, 10, 5)),
        (("dd.MM.yyyy HH:mm",), "02.01.2026 24:00", BAD),
        (("yyyy-MM-dd HH:mm:ss.SSS",), "2026-01-02 10:00:00.250", _utc(2026, 1, 2, 10, 0, 0, 250000)),
        (("MM/dd/yyyy hh:mm a",), "01/02/2026 01:30 PM", _utc(2026, 1, 2, 13, 30)),
        (("d MMM yyyy",), "2 Jan 2026", _utc(2026, 1, 2)),
        (("dd/MM/yy",), "02/01/26", _utc(2026, 1, 2)),
        (("dd/MM/yy",), "02/01/2026", BAD),
    ],
)
def test_declared_formats_are_read_strictly_and_in_order(
    engine: Engine[Any], formats: tuple[str, ...], text: str, value: Any
) -> None:
    assert read(engine, column("v", "timestamp", formats=formats), pa.array([text])) == [value]


def test_a_string_is_kept_to_the_last_space_and_a_quoted_empty_one_is_not_null(engine: Engine[Any]) -> None:
    texts = ["", " ", " a ", "NULL", "\u00a0", "0012", None]
    assert read(engine, column("v"), pa.array(texts, pa.string())) == texts


def test_null_markers_are_null_only_where_they_are_declared(engine: Engine[Any]) -> None:
    texts = pa.array(["n/a", "", "NULL", "x", "N/A"])
    marked = column("v", null_markers=("n/a", "NULL"))
    assert read(engine, marked, texts) == [None, "", None, "x", "N/A"]
    numbers = pa.array(["n/a", "-", "3", "- "])
    assert read(engine, column("v", "integer", null_markers=("n/a", "-")), numbers) == [None, None, 3, BAD]
    assert read(engine, column("v", "integer"), numbers) == [BAD, BAD, 3, BAD]


_DAY = date(2026, 1, 2)
_NOON = datetime(2026, 1, 2, 12)  # noqa: DTZ001 - naive, as a Parquet file may hold it
_MIDNIGHT = datetime(2026, 1, 2)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("wanted", "given", "values"),
    [
        (column("v", "integer"), pa.array([1, None, -3], pa.int32()), [1, None, -3]),
        (column("v", "integer"), pa.array([2.0, 2.9, float("nan"), 1e19, float("inf")]), [2, BAD, BAD, BAD, BAD]),
        (column("v", "integer"), pa.array([Decimal("2.0"), Decimal("2.9")]), [2, BAD]),
        (column("v", "integer"), pa.array([True]), [BAD]),
        (column("v", "number"), pa.array([2.5, float("nan"), float("-inf"), None]), [2.5, BAD, BAD, None]),
        (column("v", "number"), pa.array([3], pa.int64()), [3.0]),
        (column("v", "number"), pa.array([Decimal("1.25")]), [1.25]),
        (
            column("v", "decimal", precision=5, scale=2),
            pa.array([Decimal("1.005"), Decimal("999.995"), Decimal("-1.005")]),
            [Decimal("1.01"), BAD, Decimal("-1.01")],
        ),
        (column("v", "decimal", precision=5, scale=2), pa.array([999, 1000]), [Decimal("999.00"), BAD]),
        (column("v", "decimal", precision=5, scale=2), pa.array([0.5, 1e9, float("nan")]), [Decimal("0.50"), BAD, BAD]),
        (column("v", "boolean"), pa.array([True, None]), [True, None]),
        (column("v", "boolean"), pa.array([1, 0, 2]), [True, False, BAD]),
        (column("v", "date"), pa.array([_DAY, None]), [_DAY, None]),
        (column("v", "date"), pa.array([_MIDNIGHT, _NOON]), [_DAY, BAD]),
        (column("v", "date"), pa.array([20260102]), [BAD]),
        (column("v", "timestamp"), pa.array([_utc(2026, 1, 2)]), [_utc(2026, 1, 2)]),
        (column("v", "timestamp", timezone="Asia/Tokyo"), pa.array([_NOON]), [_utc(2026, 1, 2, 3)]),
        (column("v", "timestamp", timezone="Asia/Tokyo"), pa.array([_DAY]), [_utc(2026, 1, 1, 15)]),
        (column("v", "string"), pa.array([7, None]), ["7", None]),
        (column("v", "string"), pa.array([True]), ["true"]),
        (column("v", "string"), pa.array([_DAY]), ["2026-01-02"]),
        (column("v", "object"), pa.array([{"a": 1}, None]), ['{"a":1}', None]),
        (column("v", "array"), pa.array([[1, 2], []]), ["[1,2]", "[]"]),
        (column("v", "object"), pa.array([[1]]), [BAD]),
        (column("v", "object"), pa.array([{"a": 1.5}, {"a": float("nan")}]), ['{"a":1.5}', BAD]),
        (column("v", "array"), pa.array([[float("-inf")], [1.0]]), [BAD, "[1.0]"]),
    ],
)
def test_typed_columns_become_values_without_a_way_through_text(
    engine: Engine[Any], wanted: Column, given: pa.Array, values: list[Any]
) -> None:
    assert wrongly(given.to_pylist(), read(engine, wanted, given), values) == []


def test_source_columns_are_found_without_regard_to_case_and_by_their_legal_names() -> None:
    schema = bronze_schema(["Order_ID", "amount"])
    found = conform(contract("t", column("id", source="order id"), column("n", source="AMOUNT")), schema, derived=False)
    assert [item.column.name for item in found] == ["id", "n"]


def test_a_column_that_bronze_lacks_names_what_it_has_and_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"column `id` reads `order_id`.*\(orderid, amount\)") as told:
        conform(contract("t", column("id", source="order_id")), bronze_schema(["orderid", "amount"]), derived=False)
    assert told.value.hint == "did you mean `orderid`?"


@pytest.mark.parametrize("needed", [{"required": True}, {}])
def test_a_column_that_rows_cannot_do_without_must_be_in_bronze(needed: dict[str, Any]) -> None:
    heeded = () if needed else ("at",)
    with pytest.raises(ConfigError, match="column `at` reads `at`"):
        conform(
            contract("t", column("id"), column("at", **needed)), bronze_schema(["id"]), derived=False, heeded=heeded
        )


def test_a_column_that_has_not_arrived_yet_is_null(engine: Engine[Any]) -> None:
    wanted = contract("t", column("id"), column("id_2", "integer"), column("day", "date"))
    found = conform(wanted, bronze_schema(["id"]), derived=False)
    listed = ", ".join(f'{item.value} AS "{item.column.name}"' for item in found)
    frame = engine.query(parsed(f"SELECT {listed} FROM bronze"), {"bronze": engine.frame(pa.table({"id": ["a"]}))})
    assert engine.fetch(parsed("SELECT * FROM f"), {"f": frame}).to_pylist() == [{"id": "a", "id_2": None, "day": None}]
    assert [engine.schema(frame).field(one.name).type for one in wanted.columns] == [
        arrow_type(c) for c in wanted.columns
    ]


def test_our_own_columns_are_no_source_columns() -> None:
    with pytest.raises(ConfigError):
        conform(contract("t", column("id", source="_load", required=True)), bronze_schema(["a"]), derived=False)


def test_what_a_function_derives_may_be_absent() -> None:
    made = contract("t", column("a"), column("b", derived=True))
    assert [item.column.name for item in conform(made, bronze_schema(["a"]), derived=True)] == ["a"]
