"""Messages that need a schema: read exactly, each by its own, and none lost that cannot be read."""

from __future__ import annotations

import contextlib
import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import fastavro
import pytest
from google.protobuf import descriptor_pool, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.services.registry.server import SchemaRegistryForTests, serving

from catchment.errors import ConfigError, RetryableError
from catchment.records import Budget, Message, MessageSchema, TopicSpec
from catchment.sources.topic.avro import AvroDecoder
from catchment.sources.topic.encoded import Undecodable
from catchment.sources.topic.protobuf import ProtobufDecoder, compiled
from catchment.sources.topic.source import TopicSource
from catchment.topics.embedded import EmbeddedBroker
from catchment.topics.registry import SchemaRegistry

ORDER = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "note", "type": ["null", "string"], "default": None},
        {"name": "total", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "clock", "type": {"type": "long", "logicalType": "time-micros"}},
        {"name": "raw", "type": "bytes"},
        {"name": "share", "type": "double"},
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["open", "paid"]}},
        {"name": "states", "type": {"type": "array", "items": "State"}},
        {"name": "key", "type": {"type": "string", "logicalType": "uuid"}},
    ],
}
WRITTEN = {
    "id": 2**63 - 1,
    "note": "ü",
    "total": Decimal("-1234567890.05"),
    "at": datetime(2026, 11, 21, 10, 30, 15, 123_456, tzinfo=UTC),
    "day": date(2026, 2, 28),
    "clock": time(9, 5, 0, 70),
    "raw": b"\xff\x00",
    "share": 0.1,
    "state": "paid",
    "states": ["open", "paid"],
    "key": UUID(int=7),
}
READ = {
    "id": 2**63 - 1,
    "note": "ü",
    "total": "-1234567890.05",
    "at": "2026-11-21T10:30:15.123456Z",
    "day": "2026-02-28",
    "clock": "09:05:00.000070",
    "raw": "/wA=",
    "share": 0.1,
    "state": "paid",
    "states": ["open", "paid"],
    "key": str(UUID(int=7)),
}


def avro(schema: Any, value: Any, number: int | None = None) -> bytes:
    """A message as fastavro writes it, with the number of its schema in front."""
    place = io.BytesIO()
    fastavro.schemaless_writer(place, fastavro.parse_schema(schema, named_schemas={}), value)
    return (b"" if number is None else b"\0" + number.to_bytes(4, "big")) + place.getvalue()


def read(schema: Any, message: bytes) -> Any:
    return json.loads(AvroDecoder(MessageSchema("avro", json.dumps(schema))).text(message, 0))


def _logical(kind: str, logical: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": logical, **more}


class TestAvro:
    def test_every_kind_of_value_is_exact(self) -> None:
        assert read(ORDER, avro(ORDER, WRITTEN)) == READ

    @pytest.mark.parametrize(
        ("schema", "message", "told"),
        [
            (_logical("long", "timestamp-millis"), b"\x01", "1969-12-31T23:59:59.999Z"),
            (_logical("long", "timestamp-nanos"), b"\x02", "1970-01-01T00:00:00.000000001Z"),
            (_logical("long", "local-timestamp-millis"), b"\x00", "1970-01-01T00:00:00"),
            (_logical("int", "time-millis"), b"\x02", "00:00:00.001"),
            # More digits than the schema says: none is cut.
            (_logical("bytes", "decimal", precision=2, scale=1), b"\x06\x00\x30\x39", "1234.5"),
            (_logical("bytes", "decimal", precision=9, scale=3), b"\x02\xff", "-0.001"),
            (_logical("fixed", "duration", size=12, name="D"), b"\1\0\0\0\2\0\0\0\3\0\0\0", "P1M2DT0.003S"),
            (_logical("fixed", "uuid", size=16, name="U"), bytes(15) + b"\x07", str(UUID(int=7))),
            (_logical("string", "nobody-knows"), b"\x02a", "a"),
            ("double", b"\0\0\0\0\0\0\xf8\x7f", "NaN"),
            (["null", "long"], b"\x02\x02", 1),
            ({"type": "map", "values": "float"}, b"\x02\x02a\0\0\0\x3f\0", {"a": 0.5}),
        ],
    )
    def test_values_are_written_as_contracts_read_them(self, schema: Any, message: bytes, told: Any) -> None:
        assert read(schema, message) == told

    @pytest.mark.parametrize(
        ("schema", "message", "why"),
        [
            ("string", b"\x06ab", "Expected 3 bytes, read 2"),
            ("string", b"\x04abc", "1 bytes are left over"),
            ("string", b"\x04\xff\xfe", "utf-8"),
            ("long", b"", "it ends too soon"),
            (["null", "string"], b"\x08", "out of range"),
            (_logical("int", "date"), b"\x80\x80\x80\x80\x0f", "not what its schema says"),
            (_logical("int", "time-millis"), b"\x01", "no time of a day"),
            ({"type": "record", "name": "R", "fields": [{"name": "r", "type": ["null", "R"]}]}, b"\2" * 10**5, "deep"),
        ],
    )
    def test_what_cannot_be_read_says_why(self, schema: Any, message: bytes, why: str) -> None:
        with pytest.raises(Undecodable, match=why):
            read(schema, message)

    @pytest.mark.parametrize("schema", ["nonsense", {"type": "array", "items": "null"}, 7, {"a": 1}])
    def test_a_schema_that_is_none_says_so(self, schema: Any) -> None:
        with pytest.raises(Undecodable):
            read(schema, b"")

    @settings(max_examples=60, deadline=None)
    @given(
        value=st.fixed_dictionaries(
            {
                "id": st.integers(-(2**63), 2**63 - 1),
                "note": st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
                "total": st.decimals("-9999999999.99", "9999999999.99", places=2),
                "at": st.datetimes(timezones=st.just(UTC)),
                "day": st.dates(),
                "clock": st.times(),
                "raw": st.binary(max_size=20),
                "share": st.floats(),
                "state": st.sampled_from(["open", "paid"]),
                "states": st.lists(st.sampled_from(["open", "paid"]), max_size=3),
                "key": st.uuids(),
            }
        )
    )
    def test_any_record_comes_through(self, value: dict[str, Any]) -> None:
        found = read(ORDER, avro(ORDER, value))
        assert found["id"] == value["id"]
        assert found["note"] == value["note"]
        assert Decimal(found["total"]) == value["total"]
        assert datetime.fromisoformat(found["at"]) == value["at"]
        assert found["day"] == value["day"].isoformat()
        assert time.fromisoformat(found["clock"]) == value["clock"]
        share = value["share"]
        assert found["share"] == share or (math.isnan(share) and found["share"] == "NaN") or math.isinf(share)
        assert found["key"] == str(value["key"])

    @settings(max_examples=200, deadline=None)
    @given(message=st.binary(max_size=60))
    def test_any_bytes_are_read_or_refused(self, message: bytes) -> None:
        with contextlib.suppress(Undecodable):
            assert isinstance(read(ORDER, message), dict)


PROTO = """
syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/struct.proto";
import "google/type/date.proto";
import "confluent/meta.proto";
import "confluent/type/decimal.proto";
message Other { message Line { int64 product_id = 1; } string name = 1; }
message Order {
  enum State { UNKNOWN = 0; PAID = 1; }
  uint64 id = 1 [(confluent.field_meta).doc = "its number"];
  optional string note = 2;
  string city = 3;
  google.protobuf.Timestamp at = 4;
  confluent.type.Decimal total = 5;
  repeated Other.Line lines = 6;
  map<string, double> shares = 7;
  google.protobuf.Int64Value points = 8;
  State state = 9;
  bytes raw = 10;
  Order before = 11;
  google.protobuf.Struct more = 12;
  google.protobuf.Duration took = 13;
  google.type.Date day = 14;
  oneof paid { int32 cash = 15; string card = 16; }
}
"""


def protobuf(name: str, value: Mapping[str, Any], proto: str = PROTO) -> bytes:
    """A message as Google's library writes it; `value` in the JSON form of Protobuf."""
    from google.protobuf import json_format

    pool = descriptor_pool.DescriptorPool()
    for file in compiled(MessageSchema("protobuf", proto)):
        pool.Add(file)
    made = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))()
    json_format.ParseDict(value, made)
    written: bytes = made.SerializeToString()
    return written


@pytest.fixture(scope="module")
def decoder() -> ProtobufDecoder:
    return ProtobufDecoder(MessageSchema("protobuf", PROTO), framed=True)


class TestProtobuf:
    def test_every_kind_of_value_is_exact(self, decoder: ProtobufDecoder) -> None:
        written = {
            "id": str(2**64 - 1),
            "at": "2026-11-21T10:30:15.123456789Z",
            "total": {"value": "MDk=", "precision": 9, "scale": 2},
            "lines": [{"product_id": "7"}, {}],
            "shares": {"a": 0.5, "b": "NaN"},
            "points": "0",
            "state": "PAID",
            "raw": "/wA=",
            "before": {"city": "Oslo"},
            "more": {"a": [1, None, "x", {"b": True}]},
            "took": "-1.500s",
            "day": {"year": 2026, "month": 2, "day": 28},
            "cash": 0,
        }
        before = {"id": 0, "city": "Oslo", "lines": [], "shares": {}, "state": "UNKNOWN", "raw": ""}
        assert json.loads(decoder.text(b"\x02\x02" + protobuf("shop.Order", written), 0)) == {
            "id": 2**64 - 1,
            "city": "",
            "at": "2026-11-21T10:30:15.123456789Z",
            "total": "123.45",
            "lines": [{"product_id": 7}, {"product_id": 0}],
            "shares": {"a": 0.5, "b": "NaN"},
            "points": 0,
            "state": "PAID",
            "raw": "/wA=",
            "before": before,
            "more": {"a": [1, None, "x", {"b": True}]},
            "took": "-1.500s",
            "day": "2026-02-28",
            "cash": 0,
        }

    def test_the_type_of_a_message_stands_before_it(self, decoder: ProtobufDecoder) -> None:
        assert json.loads(decoder.text(b"\0" + protobuf("shop.Other", {"name": "a"}), 0)) == {"name": "a"}
        assert json.loads(decoder.text(b"\x04\0\0" + protobuf("shop.Other.Line", {"product_id": 3}), 0)) == {
            "product_id": 3
        }

    @pytest.mark.parametrize(
        ("message", "why"),
        [
            (b"", "does not tell which type"),
            (b"\x02\x08", "a type that its schema does not have"),
            (b"\x01\x02", "does not tell which type"),
            (b"\x02\x02\xff\xff", "not what its schema says"),
            (b"\x02\x02\xa0\x06\x01", "fields that its schema does not have"),
            (b"\x02\x02" + b"\x22\x02\x10\x01"[:3], "not what its schema says"),
        ],
    )
    def test_what_cannot_be_read_says_why(self, decoder: ProtobufDecoder, message: bytes, why: str) -> None:
        with pytest.raises(Undecodable, match=why):
            decoder.text(message, 0)

    @settings(max_examples=200, deadline=None)
    @given(message=st.binary(max_size=60))
    def test_any_bytes_are_read_or_refused(self, decoder: ProtobufDecoder, message: bytes) -> None:
        with contextlib.suppress(Undecodable):
            assert isinstance(json.loads(decoder.text(b"\x02\x02" + message, 0)), dict)

    @pytest.mark.parametrize(
        ("schema", "why"),
        [
            (MessageSchema("protobuf", "nonsense"), "line 1:1"),
            (MessageSchema("protobuf", 'syntax = "proto3"; import "a.proto";'), "a.proto"),
            (MessageSchema("protobuf", "", (("../../a.proto", ""),)), "no name of an import"),
        ],
    )
    def test_a_schema_that_is_none_says_so(self, schema: MessageSchema, why: str) -> None:
        with pytest.raises(Undecodable, match=why):
            ProtobufDecoder(schema, framed=True)


@dataclass(frozen=True)
class Stream:
    format: Literal["json", "text", "avro", "protobuf", "debezium"]
    schema_: str | None = None
    message: str | None = None
    topic: str | None = "events"
    from_: Literal["earliest", "latest"] = "earliest"
    on_gap: Literal["stop", "continue"] = "stop"
    tombstones: Literal["row", "defect"] = "row"
    shards: int = 1
    via: None = None


@pytest.fixture
def registry() -> Iterator[SchemaRegistryForTests]:
    with serving() as found:
        yield found


@pytest.fixture
def broker(tmp_path: Path) -> EmbeddedBroker:
    broker = EmbeddedBroker(tmp_path / "topics")
    broker.declare([TopicSpec("events", 1)])
    return broker


def landed(folder: Path, stream: Stream, registry: SchemaRegistry | None) -> list[dict[str, Any]]:
    """The rows of one read."""
    source = TopicSource("web", {"events": stream}, folder, broker=EmbeddedBroker(folder / "topics"), registry=registry)
    (feed,) = source.feeds()
    try:
        return [row for batch in source.read(feed, None, Budget()) for row in batch.rows.to_pylist()]
    finally:
        source.close()


class TestTopicsWithARegistry:
    def test_each_message_is_read_by_its_own_schema(
        self, tmp_path: Path, broker: EmbeddedBroker, registry: SchemaRegistryForTests
    ) -> None:
        first = {"type": "record", "name": "E", "fields": [{"name": "a", "type": "int"}]}
        fields = [*first["fields"], {"name": "b", "type": "string", "default": ""}]
        second = {**first, "fields": fields}
        one = registry.register("events-value", json.dumps(first))
        two = registry.register("events-value", json.dumps(second))
        values = [avro(first, {"a": 1}, one), avro(second, {"a": 2, "b": "new"}, two), avro(first, {"a": 3}, one), None]
        broker.write("events", [Message(value, b"k") for value in values])
        rows = landed(tmp_path, Stream("avro"), SchemaRegistry(registry.url))
        assert [row["document"] for row in rows] == ['{"a":1}', '{"a":2,"b":"new"}', '{"a":3}', None]
        assert [row["_defect"] for row in rows] == [None] * 4
        # Each schema is asked for once.
        assert sorted(registry.asked) == ["GET /schemas/ids/1", "GET /schemas/ids/2"]

    def test_schemas_refer_to_others(
        self, tmp_path: Path, broker: EmbeddedBroker, registry: SchemaRegistryForTests
    ) -> None:
        inner = {"type": "record", "name": "Inner", "namespace": "x", "fields": [{"name": "n", "type": "int"}]}
        middle = {"type": "record", "name": "Middle", "namespace": "x", "fields": [{"name": "i", "type": "x.Inner"}]}
        outer = {"type": "record", "name": "Outer", "fields": [{"name": "m", "type": ["null", "x.Middle"]}]}
        registry.register("inner", json.dumps(inner))
        registry.register("middle", json.dumps(middle), references=(("x.Inner", "inner", 1),))
        number = registry.register("events-value", json.dumps(outer), references=(("x.Middle", "middle", 1),))
        registry.deleted.add(("inner", 1))
        body = b"\x02\x0e"  # the second of the union, and 7
        broker.write("events", [Message(b"\0" + number.to_bytes(4, "big") + body)])
        (row,) = landed(tmp_path, Stream("avro"), SchemaRegistry(registry.url))
        assert row["document"] == '{"m":{"i":{"n":7}}}'

    def test_protobuf_refers_to_others(
        self, tmp_path: Path, broker: EmbeddedBroker, registry: SchemaRegistryForTests
    ) -> None:
        registry.register("part", 'syntax = "proto3"; package p; message Part { int64 n = 1; }', "PROTOBUF")
        whole = 'syntax = "proto3"; import "deep/part.proto"; message Whole { p.Part part = 1; }'
        number = registry.register("events-value", whole, "PROTOBUF", (("deep/part.proto", "part", 1),))
        broker.write("events", [Message(b"\0" + number.to_bytes(4, "big") + b"\0\x0a\x02\x08\x07")])
        (row,) = landed(tmp_path, Stream("protobuf"), SchemaRegistry(registry.url))
        assert row["document"] == '{"part":{"n":7}}'

    def test_what_cannot_be_read_is_a_defect_among_good_rows(
        self, tmp_path: Path, broker: EmbeddedBroker, registry: SchemaRegistryForTests
    ) -> None:
        number = registry.register("events-value", '"string"')
        strange = registry.register("strange", "{}", "JSON")
        values = [
            avro("string", "good", number),
            b'{"a": 1}',
            b"",
            b"\0\0\0\0\x63\x02a",
            b"\0\0\0\0\x63\x02b",
            b"\0" + strange.to_bytes(4, "big"),
            b"\0" + number.to_bytes(4, "big") + b"\x06a",
        ]
        broker.write("events", [Message(value) for value in values])
        rows = landed(tmp_path, Stream("avro"), SchemaRegistry(registry.url))
        assert [row["document"] for row in rows] == ['"good"', *[None] * 6]
        assert [row["_defect"] for row in rows] == [
            None,
            "not written with a schema of the registry: the message begins with no number of a schema",
            "not written with a schema of the registry: the message is empty",
            "the registry has no schema 99",
            "the registry has no schema 99",
            f"schema {strange} is one of json, not of avro",
            "not what its schema says: Expected 3 bytes, read 1",
        ]
        assert [row["_raw"] for row in rows] == [None, *values[1:]]
        assert registry.asked.count("GET /schemas/ids/99") == 1

    def test_a_registry_that_is_not_there_holds_the_step_up(self, tmp_path: Path, broker: EmbeddedBroker) -> None:
        broker.write("events", [Message(avro("string", "a", 1))])
        with pytest.raises(RetryableError, match=r"127\.0\.0\.1:1: connection refused"):
            landed(tmp_path, Stream("avro"), SchemaRegistry("http://127.0.0.1:1"))

    def test_a_registry_that_is_not_well_is_asked_again(
        self, tmp_path: Path, broker: EmbeddedBroker, registry: SchemaRegistryForTests
    ) -> None:
        broker.write("events", [Message(avro("string", "a", registry.register("s", '"string"')))])
        registry.failures += [503, 500]
        (row,) = landed(tmp_path, Stream("avro"), SchemaRegistry(registry.url))
        assert row["document"] == '"a"'
        registry.failures += [503] * 3
        with pytest.raises(RetryableError, match="is not well: 503"):
            landed(tmp_path, Stream("avro"), SchemaRegistry(registry.url))

    def test_only_who_may_is_let_in(
        self, tmp_path: Path, broker: EmbeddedBroker, registry: SchemaRegistryForTests
    ) -> None:
        registry.user, registry.token = ("anna", "pass:wörd"), "t-1"
        broker.write("events", [Message(avro("string", "a", registry.register("s", '"string"')))])
        for good in (SchemaRegistry(registry.url, "anna", "pass:wörd"), SchemaRegistry(registry.url, token="t-1")):
            assert len(landed(tmp_path, Stream("avro"), good)) == 1
        for bad in (SchemaRegistry(registry.url, "anna", "hush"), SchemaRegistry(registry.url)):
            with pytest.raises(ConfigError, match=r"does not let us in \(401\)") as caught:
                landed(tmp_path, Stream("avro"), bad)
            assert "hush" not in str(caught.value)
            assert caught.value.hint is not None

    def test_an_address_that_is_no_registry_s_is_told(
        self, tmp_path: Path, broker: EmbeddedBroker, registry: SchemaRegistryForTests
    ) -> None:
        broker.write("events", [Message(avro("string", "a", 1))])
        for url, words in [
            (f"{registry.url}/elsewhere", "answers 404 to schemas/ids/1"),
            ("registry:8081", "is none of HTTP"),
        ]:
            with pytest.raises(ConfigError, match=words):
                landed(tmp_path, Stream("avro"), SchemaRegistry(url))

    def test_a_probe_asks_the_registry(
        self, tmp_path: Path, broker: EmbeddedBroker, registry: SchemaRegistryForTests
    ) -> None:
        for stream, asked, error in [
            (Stream("avro"), SchemaRegistry(registry.url), None),
            (Stream("avro"), SchemaRegistry("http://127.0.0.1:1"), RetryableError),
            (Stream("protobuf"), None, ConfigError),
            (Stream("json"), None, None),
        ]:
            source = TopicSource("web", {"events": stream}, tmp_path, broker=broker, registry=asked)
            (feed,) = source.feeds()
            with pytest.raises(error) if error is not None else contextlib.nullcontext():
                assert [finding.severity for finding in source.probe(feed)] == ["ok"]
            source.close()

    def test_json_may_begin_with_a_number_too(self, tmp_path: Path, broker: EmbeddedBroker) -> None:
        values = [b'\0\0\0\0\x07{"a": 1}', b'{"a": 2}', None, b"\0", b"\0\0\0\0\x07{"]
        broker.write("events", [Message(value) for value in values])
        rows = landed(tmp_path, Stream("json"), None)
        assert [row["document"] for row in rows] == ['{"a": 1}', '{"a": 2}', None, None, None]
        assert [row["_raw"] for row in rows] == [None, None, None, *values[3:]]


class TestTopicsWithAFile:
    def test_avro_without_a_registry(self, tmp_path: Path, broker: EmbeddedBroker) -> None:
        (tmp_path / "order.avsc").write_text(json.dumps(ORDER), encoding="utf-8")
        broker.write("events", [Message(avro(ORDER, WRITTEN)), Message(b"\xff")])
        good, bad = landed(tmp_path, Stream("avro", "order.avsc"), None)
        assert json.loads(good["document"]) == READ
        assert bad["_defect"].startswith("not what its schema says")

    def test_protobuf_without_a_registry_takes_the_type_that_is_named(
        self, tmp_path: Path, broker: EmbeddedBroker
    ) -> None:
        (tmp_path / "protos").mkdir()
        (tmp_path / "protos" / "part.proto").write_text('syntax = "proto3"; package p; message Part { int32 n = 1; }')
        whole = (
            'syntax = "proto3"; package w; import "part.proto"; message A { p.Part p = 1; } message B { int32 b = 1; }'
        )
        (tmp_path / "protos" / "whole.proto").write_text(whole)
        broker.write("events", [Message(b"\x0a\x02\x08\x07")])
        (row,) = landed(tmp_path, Stream("protobuf", "protos/whole.proto"), None)
        assert row["document"] == '{"p":{"n":7}}'
        for name in ("B", "w.B"):
            (row,) = landed(tmp_path, Stream("protobuf", "protos/whole.proto", name), None)
            assert row["_defect"] == "it holds fields that its schema does not have"
        with pytest.raises(ConfigError, match=r"there is no message C; there are w\.A, w\.B"):
            landed(tmp_path, Stream("protobuf", "protos/whole.proto", "C"), None)

    @pytest.mark.parametrize(
        ("content", "words"), [(None, "no such file"), (b"\xff", "no text in UTF-8"), (b"{", "cannot be read")]
    )
    def test_a_file_that_is_no_schema_is_told(
        self, tmp_path: Path, broker: EmbeddedBroker, content: bytes | None, words: str
    ) -> None:
        if content is not None:
            (tmp_path / "a.avsc").write_bytes(content)
        broker.write("events", [Message(b"")])
        with pytest.raises(ConfigError, match=words):
            landed(tmp_path, Stream("avro", "a.avsc"), None)

    def test_without_a_registry_and_a_file_there_is_nothing_to_read_with(
        self, tmp_path: Path, broker: EmbeddedBroker
    ) -> None:
        broker.write("events", [Message(b"")])
        with pytest.raises(ConfigError, match="nothing says with which schema") as caught:
            landed(tmp_path, Stream("avro"), None)
        assert "schema: schemas/event.avsc" in (caught.value.hint or "")


def test_a_schema_is_registered_once(registry: SchemaRegistryForTests) -> None:
    ours = SchemaRegistry(registry.url)
    schema = MessageSchema("avro", '{"type":"record","name":"R","fields":[]}')
    assert ours.register("events/value", schema) == ours.register("events/value", schema) == 1
    assert ours.schema(1) == schema
    stricter = '{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}'
    with pytest.raises(ConfigError, match="field a is new and has no default"):
        ours.register("events/value", MessageSchema("avro", stricter))
    assert ours.schema(2) is None
    ours.close()
    assert ours.schema(1) == schema
