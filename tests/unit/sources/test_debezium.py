"""Debezium's envelopes as rows of a log of changes."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from catchment.naming import CHANGE_COLUMNS
from catchment.records import message_schema
from catchment.sources.changes import SCHEMA
from catchment.sources.debezium import Envelopes

_SENT = datetime(2026, 3, 1, 12, tzinfo=UTC)
_SOURCE = {"connector": "postgresql", "ts_ms": 1_772_366_400_500, "ts_us": 1_772_366_400_500_250, "table": "users"}
_COMMITTED = datetime(2026, 3, 1, 12, 0, 0, 500_250, tzinfo=UTC)


def _rows(*values: bytes | None, keys: list[bytes | None] | None = None, maker: Envelopes | None = None) -> Any:
    count = len(values)
    columns = [
        [0] * count,
        list(range(5, 5 + count)),
        [_SENT] * count,
        keys or [None] * count,
        list(values),
        [[]] * count,
    ]
    schema = message_schema()
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    found = (maker or Envelopes("users")).rows(pa.RecordBatch.from_arrays(arrays, schema=schema), "users/0")
    assert found.schema == SCHEMA
    return found.to_pylist()


def _envelope(op: str | None, *, before: Any = None, after: Any = None, **parts: Any) -> dict[str, Any]:
    return {"before": before, "after": after, "source": _SOURCE, "op": op, "ts_ms": 1_772_366_401_000, **parts}


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _with_schema(columns: list[dict[str, Any]], envelope: dict[str, Any]) -> bytes:
    rows = [{"type": "struct", "field": name, "fields": columns} for name in ("before", "after")]
    return _json({"schema": {"type": "struct", "fields": rows, "name": "shop.users.Envelope"}, "payload": envelope})


def test_every_kind_of_change_is_a_row_of_the_log() -> None:
    one, other = {"id": 1, "name": "Zoë"}, {"id": 1, "name": "Ann"}
    found = _rows(
        _json(_envelope("r", after=one)),
        _json(_envelope("c", after=one)),
        _json(_envelope("u", before=one, after=other)),
        _json(_envelope("d", before=other)),
        _json(_envelope("t")),
    )
    told = [
        [row["op"], *(None if row[side] is None else json.loads(row[side]) for side in ("document", "before"))]
        for row in found
    ]
    assert told == [
        ["snapshot", one, None],
        ["insert", one, None],
        ["update", other, one],
        ["delete", other, None],
        ["truncate", None, None],
    ]
    assert {row["stream"] for row in found} == {"users"}
    assert {row["committed_at"] for row in found} == {_COMMITTED}
    assert {row["_defect"] for row in found} == {None}
    assert [row["_position"] for row in found] == [5, 6, 7, 8, 9]
    assert list(found[0])[4:] == list(CHANGE_COLUMNS)


def test_tombstones_are_left_out() -> None:
    rows = _rows(_json(_envelope("d", before={"id": 1})), None, _json(_envelope("c", after={"id": 2})), None)
    assert [(row["op"], row["_position"]) for row in rows] == [("delete", 5), ("insert", 7)]
    assert _rows(None) == []


def test_an_envelope_is_the_same_with_and_without_a_schema_and_in_any_order() -> None:
    plain = _envelope("u", before={"id": 1}, after={"id": 1, "n": 2})
    columns = [{"type": "int32", "field": "id"}]
    turned = {"payload": plain, "schema": {"fields": []}}
    maker = Envelopes("users")
    found = _rows(
        _json(plain),
        _with_schema(columns, plain),
        _with_schema(columns, plain),
        _json(turned),
        json.dumps(turned, indent=2).encode(),
        maker=maker,
    )
    assert [(row["op"], json.loads(row["document"]), row["_defect"]) for row in found] == [
        ("update", {"id": 1, "n": 2}, None)
    ] * 5


def test_a_document_is_the_text_that_came() -> None:
    text = '{"id": 12345678901234567890123, "price": 1.10, "ratio": 0.12345678901234567890123, "t": "\\u00e9\\" }"}'
    (row,) = _rows(b'{"op": "c", "after": %s, "more": [1, {"op": "d"}]}' % text.encode())
    assert row["document"] == text
    assert row["committed_at"] == _SENT


@pytest.mark.parametrize(
    ("source", "made", "expected"),
    [
        ({"ts_us": 1_772_366_400_500_250, "ts_ms": 1}, 2, _COMMITTED),
        ({"ts_ms": 1_772_366_400_500}, 2, datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)),
        ({"ts_ms": 0}, 1_772_366_401_000, datetime(2026, 3, 1, 12, 0, 1, tzinfo=UTC)),
        ({"ts_ms": "soon"}, 1e300, _SENT),
        ({"ts_ms": 1 << 80}, -5, _SENT),
        (None, None, _SENT),
    ],
)
def test_a_change_happened_when_the_database_says(source: Any, made: Any, expected: datetime) -> None:
    (row,) = _rows(_json({**_envelope("c", after={"id": 1}), "source": source, "ts_ms": made}))
    assert row["committed_at"] == expected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{", "not valid JSON"),
        (b"[1]", "no envelope of Debezium: it has no `op`"),
        (b"7", "no envelope of Debezium: it has no `op`"),
        (b"{}", "no envelope of Debezium: it has no `op`"),
        (_json({"id": 1, "name": "Ann"}), "no envelope of Debezium: it has no `op`"),
        (_json({"schema": {}, "payload": None}), "no envelope of Debezium: it has no `op`"),
        (_json(_envelope("m")), 'op "m" tells of no change of a row'),
        (_json(_envelope(None)), "op null tells of no change of a row"),
        (_json({**_envelope("c"), "op": {"a": 1}}), 'op {"a": 1} tells of no change of a row'),
        (_json(_envelope("u", before={"id": 1})), 'op "u" without the row after it'),
        (_json(_envelope("c", after=[1])), "the row before or after it is no object"),
        (_json(_envelope("c", after="text")), "the row before or after it is no object"),
        (_json(_envelope("d")), 'op "d" tells neither the row before it nor its key'),
        (b'{"op": "c", "after": {"n": %s}}' % (b"9" * 5000), "nested too deeply, or with a number of thousands"),
        (b'{"op": "c", "after": %s1%s}' % (b'{"a":' * 5000, b"}" * 5000), "nested too deeply, or with a number"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_understood_is_a_defect(value: bytes, reason: str) -> None:
    good = _json(_envelope("c", after={"id": 1}))
    rows = _rows(good, value, good)
    assert [row["_defect"] is None for row in rows] == [True, False, True]
    assert rows[1]["_defect"].startswith(reason)
    assert rows[1]["_raw"] == value[: 64 << 10]
    assert (rows[1]["document"], rows[1]["committed_at"]) == (None, _SENT)
    assert rows[1]["op"] == "update"


def test_a_delete_without_its_row_is_told_by_the_message_s_key() -> None:
    gone, schema = _json(_envelope("d")), {"type": "struct"}
    keys = [b'{"id": 7}', _json({"schema": schema, "payload": {"id": 8}}), b"seven", b"\xff", b"7"]
    rows = _rows(*[gone] * 5, keys=keys)
    assert [row["document"] for row in rows] == ['{"id": 7}', '{"id": 8}', None, None, None]
    assert [row["_defect"] is None for row in rows] == [True, True, False, False, False]


def test_rows_of_mongodb_are_text_in_text_and_its_key_is_an_id() -> None:
    source = {"connector": "mongodb", "ts_ms": 1_772_366_400_500}
    document = '{"_id": {"$oid": "65f0"}, "price": {"$numberDecimal": "1.10"}}'
    key = _json({"id": '{"$oid": "65f0"}'})
    rows = _rows(
        _json({"op": "c", "after": document, "source": source}),
        _json({"op": "d", "after": None, "source": source}),
        keys=[key, key],
    )
    assert [row["document"] for row in rows] == [document, '{"_id":{"$oid": "65f0"}}']
    assert [row["_defect"] for row in rows] == [None, None]


def test_a_large_value_that_an_update_left_as_it_was_is_taken_from_the_row_before_or_is_a_defect() -> None:
    told, binary = "__debezium_unavailable_value", base64.b64encode(b"__debezium_unavailable_value").decode()
    rows = _rows(
        _json(_envelope("u", before={"id": 1, "text": "long"}, after={"id": 1, "text": told})),
        _json(_envelope("u", before={"id": 1}, after={"id": 1, "text": told})),
        _json(_envelope("u", after={"id": 1, "picture": binary})),
        _json(_envelope("u", after={"id": 1, "text": f"it says {told}"})),
    )
    assert json.loads(rows[0]["document"]) == {"id": 1, "text": "long"}
    assert rows[1]["_defect"] == "column `text` did not change and is not told: the table needs REPLICA IDENTITY FULL"
    assert "`picture`" in rows[2]["_defect"]
    assert rows[3]["_defect"] is None


def _column(name: str, **parameters: str) -> dict[str, Any]:
    return {"type": "int64", "field": "x", "name": name, "optional": True, "parameters": parameters}


_TIME, _CONNECT = "io.debezium.time.", "org.apache.kafka.connect.data."


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        (_column(f"{_TIME}Date"), 20_454, "2026-01-01"),
        (_column(f"{_TIME}Date"), -1, "1969-12-31"),
        (_column(f"{_CONNECT}Date"), 0, "1970-01-01"),
        (_column(f"{_TIME}Timestamp"), 1_772_366_400_500, "2026-03-01T12:00:00.500000"),
        (_column(f"{_TIME}MicroTimestamp"), 1_772_366_400_500_250, "2026-03-01T12:00:00.500250"),
        (_column(f"{_TIME}MicroTimestamp"), -1, "1969-12-31T23:59:59.999999"),
        (_column(f"{_TIME}NanoTimestamp"), 1_772_366_400_500_250_999, "2026-03-01T12:00:00.500250"),
        (_column(f"{_CONNECT}Timestamp"), 1000, "1970-01-01T00:00:01"),
        (_column(f"{_TIME}MicroTimestamp"), 9_223_372_036_825_200_000, 9_223_372_036_825_200_000),
        (_column(f"{_TIME}ZonedTimestamp"), "2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z"),
        (_column(f"{_TIME}Time"), 1, "00:00:00.001000"),
        (_column(f"{_TIME}MicroTime"), 86_399_999_999, "23:59:59.999999"),
        (_column(f"{_TIME}MicroTime"), 86_400_000_000, 86_400_000_000),
        (_column(f"{_TIME}NanoTime"), 3_600_000_000_000, "01:00:00"),
        (_column(f"{_CONNECT}Decimal", scale="2"), base64.b64encode((1234).to_bytes(2, "big")).decode(), "12.34"),
        (_column(f"{_CONNECT}Decimal", scale="2"), base64.b64encode(b"\xff").decode(), "-0.01"),
        (
            _column(f"{_CONNECT}Decimal", scale="0"),
            base64.b64encode((10**37).to_bytes(16, "big")).decode(),
            str(10**37),
        ),
        (_column(f"{_CONNECT}Decimal", scale="-2"), base64.b64encode(b"\x05").decode(), "500"),
        (_column(f"{_CONNECT}Decimal", scale="2"), "12.30", "12.30"),
        (_column("io.debezium.data.VariableScaleDecimal"), {"scale": 3, "value": "BNI="}, "1.234"),
        (_column("io.debezium.data.Json"), '{"a": [1, 2]}', {"a": [1, 2]}),
        (_column("io.debezium.data.Json"), "{", "{"),
        (_column(f"{_TIME}Date"), "today", "today"),
        (_column(f"{_TIME}Date"), None, None),
        (_column("io.debezium.data.Uuid"), "6f1c", "6f1c"),
    ],
    ids=lambda value: str(value.get("name", value))[:40] if isinstance(value, dict) else None,
)
def test_values_are_what_the_schema_says(column: dict[str, Any], value: Any, expected: Any) -> None:
    message = _with_schema(
        [column, {"type": "string", "field": "y"}], _envelope("c", after={"x": value, "y": "as it is"})
    )
    (row,) = _rows(message)
    assert json.loads(row["document"]) == {"x": expected, "y": "as it is"}


def test_each_message_is_read_by_its_own_schema() -> None:
    day = [{"type": "int32", "field": "x", "name": f"{_TIME}Date"}]
    number = [{"type": "int32", "field": "x"}]
    envelope = _envelope("u", before={"x": 1}, after={"x": 2})
    values = [_with_schema(columns, envelope) for columns in (day, day, number, day)]
    rows = _rows(*values, _json(envelope))
    assert [json.loads(row["document"])["x"] for row in rows] == ["1970-01-03", "1970-01-03", 2, "1970-01-03", 2]
    assert json.loads(rows[0]["before"]) == {"x": "1970-01-02"}
