"""From topics of Avro and Protobuf to silver: contracts read every kind of value exactly, and what cannot be read goes
to quarantine."""

from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pytest
from tests.services.registry.server import serving

from catchment.opened import OpenProject
from catchment.project import load_project
from catchment.records import Message, TopicSpec
from catchment.topics.embedded import EmbeddedBroker

_PROJECT = """\
name: shop
sources:
  web:
    type: topic
    streams:
      orders: {format: avro}
      clicks: {format: protobuf}
silver:
  orders: {from: web.orders}
  clicks: {from: web.clicks}
targets:
  local: {registry: {url: "${env:REGISTRY}"}}
"""
_CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: {name}
version: 1.0.0
status: active
schema:
  - name: {name}
    properties:
      - {{name: id, logicalType: integer, required: true}}
      - {{name: total, logicalType: number, required: true, physicalType: "decimal(38,6)"}}
      - {{name: sent_at, logicalType: timestamp, required: true}}
"""
_DAY = "      - {name: day, logicalType: date, required: true}\n"

_TOTAL = {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 6}
_ORDER = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "total", "type": _TOTAL},
        {"name": "sent_at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
    ],
}
_CLICK = """
syntax = "proto3";
import "google/protobuf/timestamp.proto";
import "confluent/type/decimal.proto";
message Click { int64 id = 1; confluent.type.Decimal total = 2; google.protobuf.Timestamp sent_at = 3; }
"""
_AT = datetime(2026, 11, 21, 10, 30, 15, 123_456, tzinfo=UTC)
_MONEY = Decimal("-12345678901234567890123456789012.000001")


def _framed(number: int, content: bytes) -> bytes:
    return b"\0" + number.to_bytes(4, "big") + content


def _avro(value: dict[str, Any]) -> bytes:
    place = io.BytesIO()
    fastavro.schemaless_writer(place, fastavro.parse_schema(_ORDER, named_schemas={}), value)
    return place.getvalue()


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2, len(content)]) + content


def _varint(number: int) -> bytes:
    told = b""
    while number > 0x7F:
        told, number = told + bytes([number & 0x7F | 0x80]), number >> 7
    return told + bytes([number])


def _click() -> bytes:
    unscaled = int(str(_MONEY).replace(".", "")).to_bytes(16, "big", signed=True)
    total = _field(1, unscaled) + b"\x10\x26" + b"\x18\x06"
    at = b"\x08" + _varint(int(_AT.timestamp())) + b"\x10" + _varint(_AT.microsecond * 1000)
    return b"\0\x08" + _varint(2**63 - 1) + _field(2, total) + _field(3, at)


def test_contracts_read_what_avro_and_protobuf_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "contracts").mkdir()
    (tmp_path / "catchment.yaml").write_text(_PROJECT)
    (tmp_path / "contracts" / "orders.odcs.yaml").write_text(_CONTRACT.format(name="orders") + _DAY)
    (tmp_path / "contracts" / "clicks.odcs.yaml").write_text(_CONTRACT.format(name="clicks"))
    broker = EmbeddedBroker(tmp_path / "topics")
    broker.declare([TopicSpec("orders", 1), TopicSpec("clicks", 1)])
    with serving() as registry:
        monkeypatch.setenv("REGISTRY", registry.url)
        order = _framed(registry.register("orders-value", json.dumps(_ORDER)), _avro(_value()))
        click = _framed(registry.register("clicks-value", _CLICK, "PROTOBUF"), _click())
        broker.write("orders", [Message(order), Message(order[:-1]), Message(b"{}")])
        broker.write("clicks", [Message(click), Message(click[:-1])])
        project = OpenProject(load_project(tmp_path), None)
        assert project.run() == "done"
    both = "id, total, sent_at AT TIME ZONE 'UTC' AS sent_at"
    (found,) = project.query(f"SELECT {both}, day FROM silver.orders").read_all().to_pylist()
    assert found == {**_value(), "sent_at": _AT.replace(tzinfo=None)}
    (found,) = project.query(f"SELECT {both} FROM silver.clicks").read_all().to_pylist()
    assert found == {"id": 2**63 - 1, "total": _MONEY, "sent_at": _AT.replace(tzinfo=None)}
    rejected = project.query("SELECT count(*) AS n FROM quarantine.orders").read_all().to_pylist()
    assert rejected == [{"n": 2}]
    broker.close()


def _value() -> dict[str, Any]:
    return {"id": 2**63 - 1, "total": _MONEY, "sent_at": _AT, "day": date(2026, 2, 28)}
