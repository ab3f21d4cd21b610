"""What a schema of Avro says of columns, where a sample of messages could only guess."""

from __future__ import annotations

import io
import json
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pytest
from tests.services.registry.server import serving

from catchment.cli import main
from catchment.draft.schemas import Declared, declared_by
from catchment.records import Message, MessageSchema, TopicSpec
from catchment.topics.embedded import EmbeddedBroker

MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}
INSTANT = {"type": "long", "logicalType": "timestamp-micros"}
ORDER = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [
        {"name": "order_id", "type": "long"},
        {"name": "amount", "type": MONEY},
        {"name": "paid_at", "type": ["null", INSTANT], "default": None},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "code", "type": "string"},
    ],
}
ORDERS = [
    {
        "order_id": number,
        "amount": Decimal("12.00"),
        "paid_at": datetime(2026, 1, 2, tzinfo=UTC) if number % 2 else None,
        "day": date(2026, 1, 2),
        "code": f"C{number}",
    }
    for number in range(1, 31)
]


def declared(schema: Any, *beside: Any) -> dict[str, tuple[str, str | None]]:
    texts = tuple((str(place), json.dumps(one)) for place, one in enumerate(beside))
    found = declared_by(MessageSchema("avro", json.dumps(schema), texts))
    return {path: (said.type, said.physical) for path, said in found.items()}


def record(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": key, "type": kind} for key, kind in fields.items()]}


def test_logical_types_and_unions_with_null_decide() -> None:
    found = declared_by(MessageSchema("avro", json.dumps(ORDER)))
    assert found == {
        "$.order_id": Declared("integer", "long"),
        "$.amount": Declared("number", "decimal(12,2)", "decimal(12,2)"),
        "$.paid_at": Declared("timestamp", "timestamp-micros"),
        "$.day": Declared("date", "date"),
    }


def test_records_within_records_give_paths() -> None:
    inner = record("Inner", n="int", tags={"type": "array", "items": "string"}, more={"type": "map", "values": "int"})
    assert declared(record("Outer", inner=["null", inner], ok="boolean")) == {
        "$.inner.n": ("integer", None),
        "$.inner.tags": ("array", None),
        "$.inner.more": ("object", None),
        "$.ok": ("boolean", None),
    }


def test_types_are_found_by_name_here_and_in_other_files() -> None:
    money = {**MONEY, "type": "fixed", "size": 8, "name": "Money", "namespace": "shop"}
    place = {**record("Place", lat="double"), "namespace": "geo"}
    outer = {**record("Order", price=money, tax="Money", at="geo.Place"), "namespace": "shop"}
    assert declared(outer, place) == {
        "$.price": ("number", "decimal(12,2)"),
        "$.tax": ("number", "decimal(12,2)"),
        "$.at.lat": ("number", None),
    }


@pytest.mark.parametrize(
    "kind",
    [
        "string",
        "bytes",
        ["int", "string"],
        "null",
        {"type": "enum", "name": "E", "symbols": ["A"]},
        {"type": "fixed", "name": "F", "size": 4},
        {"type": "bytes", "logicalType": "decimal", "precision": 50, "scale": 2},
        {"type": "string", "logicalType": "uuid"},
    ],
)
def test_of_what_it_does_not_tell_the_sample_decides(kind: Any) -> None:
    assert declared(record("R", v=kind)) == {}


def test_a_schema_that_contains_itself_comes_to_an_end() -> None:
    assert declared(record("Node", n="int", next=["null", "Node"])) == {"$.n": ("integer", None)}


def written(number: int | None, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(ORDER), value)
    return (b"" if number is None else b"\0" + number.to_bytes(4, "big")) + out.getvalue()


@pytest.mark.parametrize("by", ["registry", "file"])
def test_peek_proposes_the_types_of_the_schema(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with serving() as registry, closing(EmbeddedBroker(tmp_path / "topics")) as broker:
        number = registry.register("orders-value", json.dumps(ORDER)) if by == "registry" else None
        (tmp_path / "order.avsc").write_text(json.dumps(ORDER))
        stream = "{format: avro}" if by == "registry" else "{format: avro, schema: order.avsc}"
        (tmp_path / "catchment.yaml").write_text(
            f"name: shop\nsources: {{web: {{type: topic, streams: {{orders: {stream}}}}}}}\n"
            f'targets: {{local: {{registry: {{url: "{registry.url}"}}}}}}\n'
        )
        broker.declare([TopicSpec("orders")])
        broker.write("orders", [Message(written(number, one)) for one in ORDERS])
        assert main(["peek", "web.orders", "--contract"]) == 0
    text = capsys.readouterr().out
    assert (
        "      # decimal(12,2) in the schema of its messages; no row lacks it\n"
        "      - name: amount\n"
        "        logicalType: number\n"
        "        physicalType: decimal(12,2)\n"
    ) in text
    assert (
        "      # timestamp-micros in the schema of its messages; empty in 15 of 30 rows (50.0 %)\n"
        "      - name: paid_at\n"
        "        logicalType: timestamp\n"
    ) in text
    assert "# text; no row lacks it\n      - name: code\n        logicalType: string\n" in text
