"""What Confluent's serializers have written to a real Kafka is read exactly, each message by its own schema."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from tests.services.kafka.server import Kafka, started
from tests.services.registry.server import SchemaRegistryForTests, serving
from tests.services.servers import ENVIRONMENTS

from catchment.records import Budget
from catchment.sources.topic.source import TopicSource
from catchment.topics.kafka.broker import KafkaBroker
from catchment.topics.registry import SchemaRegistry

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Stream:
    format: Literal["json", "text", "avro", "protobuf", "debezium"]
    topic: str | None
    schema_: str | None = None
    message: str | None = None
    from_: Literal["earliest", "latest"] = "earliest"
    on_gap: Literal["stop", "continue"] = "stop"
    tombstones: Literal["row", "defect"] = "row"
    shards: int = 1
    via: Literal["connect"] | None = None


@pytest.fixture(scope="module")
def written() -> Iterator[tuple[Kafka, SchemaRegistryForTests]]:
    with started() as kafka, serving() as registry:
        python = ENVIRONMENTS / "schemas" / "bin" / "python"
        assert python.exists(), f"run {HERE}/install.sh"
        subprocess.run([python, HERE / "writer.py", kafka.address, registry.url], check=True, timeout=120)
        yield kafka, registry


def landed(written: tuple[Kafka, SchemaRegistryForTests], kind: Literal["avro", "protobuf"]) -> list[Any]:
    kafka, registry = written
    broker, asked = KafkaBroker(kafka.address), SchemaRegistry(registry.url)
    source = TopicSource("web", {"events": Stream(kind, kind)}, HERE, broker=broker, registry=asked)
    (feed,) = source.feeds()
    try:
        rows = [row for batch in source.read(feed, None, Budget()) for row in batch.rows.to_pylist()]
    finally:
        source.close()
    assert [row["_defect"] for row in rows] == [None] * len(rows)
    return [None if row["document"] is None else json.loads(row["document"]) for row in rows]


def test_avro(written: tuple[Kafka, SchemaRegistryForTests]) -> None:
    *found, tombstone = landed(written, "avro")
    assert tombstone is None
    assert found == [
        {
            "id": 2**63 - 1 - number,
            "total": f"-{number or ''}2345678901234567890123.000001",
            "at": f"2026-11-21T10:30:15{f'.{number:06}' if number else ''}Z",
            "day": "2026-02-28",
            "clock": "23:59:59.999",
            "key": f"00000000-0000-0000-0000-{number:012}",
            "raw": ["AP8A", "AP8B", "AP8C", "AP8D"][number],
            "share": 0.1 * number,
            "tags": {"ü": None, "b": "x"},
            "buyer": {"name": "Ana"} if number % 2 else None,
            **({"city": "Rom"} if number % 2 else {}),
        }
        for number in range(4)
    ]


def test_protobuf(written: tuple[Kafka, SchemaRegistryForTests]) -> None:
    *found, tombstone = landed(written, "protobuf")
    assert tombstone is None
    assert found == [
        {
            "id": 2**63 - 1,
            "at": "2026-11-21T10:30:15.000005Z",
            "lines": [{"product": 7, "price": 0.5}],
            "counts": {"a": 2**64 - 1},
            "note": "",
            "raw": "/w==",
            "state": "PAID",
        },
        {"id": 0, "lines": [], "counts": {}, "raw": "", "state": "OPEN"},
        {"name": "x"},
        {"n": -5},
    ]
