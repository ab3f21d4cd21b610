"""Writes what Confluent's own serializers make of known values into topics of a real Kafka; runs where they are.

Arguments: the broker's address and the registry's. The schemas change on the way, and one refers to another.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

FIRST = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "total", "type": {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 6}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "clock", "type": {"type": "int", "logicalType": "time-millis"}},
        {"name": "key", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "raw", "type": "bytes"},
        {"name": "share", "type": "double"},
        {"name": "tags", "type": {"type": "map", "values": ["null", "string"]}},
        {"name": "buyer", "type": ["null", "shop.Buyer"], "default": None},
    ],
}
BUYER = {"type": "record", "name": "Buyer", "namespace": "shop", "fields": [{"name": "name", "type": "string"}]}
SECOND = {**FIRST, "fields": [*FIRST["fields"], {"name": "city", "type": "string", "default": ""}]}

PROTO = """
syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "parts.proto";
message Other { string name = 1; message Deep { sint64 n = 1; } }
message Order {
  int64 id = 1;
  google.protobuf.Timestamp at = 2;
  repeated Line lines = 3;
  map<string, uint64> counts = 4;
  optional string note = 5;
  bytes raw = 6;
  State state = 7;
  enum State { OPEN = 0; PAID = 1; }
}
"""
PARTS = 'syntax = "proto3";\npackage shop;\nmessage Line { fixed64 product = 1; double price = 2; }\n'


def order(number: int) -> dict[str, Any]:
    return {
        "id": 2**63 - 1 - number,
        "total": Decimal(f"-{number}2345678901234567890123.000001"),
        "at": datetime(2026, 11, 21, 10, 30, 15, number, tzinfo=UTC),
        "day": date(2026, 2, 28),
        "clock": time(23, 59, 59, 999_000),
        "key": UUID(int=number),
        "raw": bytes([0, 255, number]),
        "share": 0.1 * number,
        "tags": {"ü": None, "b": "x"},
        "buyer": {"name": "Ana"} if number % 2 else None,
    }


def written_avro(registry: SchemaRegistryClient, topic: str) -> list[bytes]:
    registry.register_schema("buyer", Schema(json.dumps(BUYER), "AVRO"))
    found = []
    for number, schema in enumerate([FIRST, SECOND, FIRST, SECOND]):
        whole = Schema(json.dumps(schema), "AVRO", [SchemaReference("shop.Buyer", "buyer", 1)])
        write = AvroSerializer(registry, whole)
        value = {**order(number), **({"city": "Rom"} if schema is SECOND else {})}
        found.append(write(value, SerializationContext(topic, MessageField.VALUE)))
    return found


def written_protobuf(registry: SchemaRegistryClient, topic: str) -> list[bytes]:
    folder = Path(tempfile.mkdtemp())
    (folder / "orders.proto").write_text(PROTO)
    (folder / "parts.proto").write_text(PARTS)
    made = ["-I.", "--python_out=.", "orders.proto", "parts.proto"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *made], cwd=folder, check=True)
    sys.path.insert(0, str(folder))
    types = importlib.import_module("orders_pb2")
    one = types.Order(id=2**63 - 1, counts={"a": 2**64 - 1}, raw=b"\xff", state=1, note="")
    one.at.FromDatetime(datetime(2026, 11, 21, 10, 30, 15, 5))  # noqa: DTZ001 - UTC, as the library has it
    one.lines.add(product=7, price=0.5)
    context = SerializationContext(topic, MessageField.VALUE)
    values = [one, types.Order(), types.Other(name="x"), types.Other.Deep(n=-5)]
    return [ProtobufSerializer(type(value), registry)(value, context) for value in values]


def main(servers: str, url: str) -> None:
    registry = SchemaRegistryClient({"url": url})
    topics = {"avro": written_avro(registry, "avro"), "protobuf": written_protobuf(registry, "protobuf")}
    admin = AdminClient({"bootstrap.servers": servers})
    for made in admin.create_topics([NewTopic(topic, 1, 1) for topic in topics]).values():
        made.result(30)
    producer = Producer({"bootstrap.servers": servers})
    for topic, messages in topics.items():
        for message in messages:
            producer.produce(topic, message, b"k")
        producer.produce(topic, None, b"k")
    if producer.flush(30):
        raise SystemExit("not everything was written")


if __name__ == "__main__":
    main(*sys.argv[1:])
