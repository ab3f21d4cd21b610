"""Topics of the target's broker."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from catchment.reading.kinds.connectors import DebeziumMongo, DebeziumPostgres, Jdbc, OfTopics
from catchment.reading.kinds.keys import SourceKeys, StreamKeys
from catchment.settings import has_references

_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")


class TopicStream(StreamKeys):
    """A topic, landing in one bronze table, one row a message."""

    topic: Annotated[
        str | None,
        Field(description="The topic that is read; by default the stream's name."),
    ] = None
    format: Annotated[
        Literal["json", "text", "avro", "protobuf", "debezium"],
        Field(
            description="What a message is: `json`, one document; `text`, any UTF-8, in the column `value`; `avro` or"
            " `protobuf`, one document, read by the schema that it was written with; `debezium`, an envelope of"
            " Debezium as JSON, with or without its schema, landing as a change of a row."
        ),
    ] = "json"
    schema_: Annotated[
        str | None,
        Field(
            alias="schema",
            min_length=1,
            description="`avro`, `protobuf`: a file of the project with the schema, for messages without a registry."
            " Without it each message names its schema in the target's `registry`.",
        ),
    ] = None
    message: Annotated[
        str | None,
        Field(min_length=1, description="`protobuf` with `schema`: the type of the messages; by default the first."),
    ] = None
    from_: Annotated[
        Literal["earliest", "latest"],
        Field(
            alias="from",
            description="Where the first read begins: at the first message that is kept, or behind the last one that is"
            " there then. Of several shards the first that lands settles it for all.",
        ),
    ] = "earliest"
    on_gap: Annotated[
        Literal["stop", "continue"],
        Field(
            description="What to do when messages went before they were read, or the topic was made anew: stop and say"
            " which, or go on with the first one that is there and tell what is lost."
        ),
    ] = "stop"
    tombstones: Annotated[
        Literal["row", "defect"],
        Field(
            description="What a message without a value is: a row whose document is null, or a defect. Those of"
            " Debezium follow a delete, say nothing more and are left out."
        ),
    ] = "row"

    shards: Annotated[
        int,
        Field(
            ge=1,
            le=64,
            description="Into how many bronze tables it lands, partition by partition, so that several processes can"
            " land it at the same time. There can be more later, never fewer; one above the topic's partitions lands"
            " nothing.",
        ),
    ] = 1
    via: Annotated[
        Literal["connect"] | None,
        Field(
            description="`connect`: the source's `connector` moves its messages, into the topic or out of it; without"
            " it whoever writes the topic does, and it is read from the broker."
        ),
    ] = None

    @property
    def split(self) -> int:
        return self.shards

    @property
    def brings_documents(self) -> bool:
        return self.format != "text"

    @property
    def brings_changes(self) -> bool:
        return self.format == "debezium"

    @field_validator("topic")
    @classmethod
    def _name(cls, name: str | None) -> str | None:
        if name is not None and not has_references(name) and _NAME.fullmatch(name) is None:
            message = f"`{name[:40]}` is no name of a topic"
            raise ValueError(message, "write letters, digits, `.`, `_` and `-`, at most 249 of them")
        return name

    @model_validator(mode="after")
    def _schemas(self) -> TopicStream:
        if self.schema_ is not None and self.format not in ("avro", "protobuf"):
            message = f"`schema` says nothing of format {self.format}"
            raise ValueError(message, "remove it, or write format: avro or format: protobuf")
        if self.message is not None and (self.format != "protobuf" or self.schema_ is None):
            message = "`message` chooses among the types of a file of Protobuf"
            raise ValueError(message, "remove it, or write format: protobuf and schema: with the file")
        return self

    @model_validator(mode="after")
    def _one_order(self) -> TopicStream:
        if self.brings_changes and self.shards > 1:
            message = "changes as Debezium tells them land in one table, in one order"
            raise ValueError(message, "remove `shards`")
        return self

    @model_validator(mode="after")
    def _tombstones(self) -> TopicStream:
        if self.brings_changes and "tombstones" in self.model_fields_set:
            message = "`tombstones` says nothing of Debezium's: each follows a delete, and is left out"
            raise ValueError(message, "remove it")
        return self


class TopicSource(SourceKeys):
    """Topics of the target's broker: JSON, text, Avro, Protobuf, or changes as Debezium tells them."""

    reads_topics: ClassVar[bool] = True
    reads_schemas: ClassVar[bool] = True

    example: ClassVar[str] = """\
clicks:
  type: topic
  streams:
    user_events: {topic: user_events}
"""

    type: Literal["topic"]
    connector: Annotated[
        OfTopics | None,
        Field(description="The connector of Kafka Connect that moves the messages of streams with `via: connect`."),
    ] = None
    streams: Annotated[dict[str, TopicStream], Field(min_length=1, description="What it gives, by name.")]

    @model_validator(mode="after")
    def _by_connect(self) -> TopicSource:
        by_connect = {name: stream for name, stream in self.streams.items() if stream.via is not None}
        if self.connector is None and by_connect:
            message = f"stream `{next(iter(by_connect))}` comes via connect, and the source has no connector"
            raise ValueError(message, "write connector: {type: s3, bucket: …} at the source, or another type")
        if self.connector is not None and not by_connect:
            message = "there is a connector, and no stream comes by it"
            raise ValueError(message, "write via: connect at the streams that do, or remove the connector")
        if isinstance(self.connector, DebeziumPostgres | DebeziumMongo | Jdbc):
            _prefixed(self.connector, by_connect)
        return self

    def spared(self, streams: Iterable[str]) -> frozenset[str]:
        """The connector, where none of them comes by it."""
        by_connect = any(self.streams[name].via is not None for name in streams)
        return frozenset() if by_connect else frozenset({"connector"})


def _prefixed(connector: DebeziumPostgres | DebeziumMongo | Jdbc, streams: dict[str, TopicStream]) -> None:
    """Raises ValueError where a topic is not one that the connector writes, or is not read as it writes it."""
    wanted = "json" if isinstance(connector, Jdbc) else "debezium"
    begins = connector.prefix if isinstance(connector, Jdbc) else f"{connector.prefix}."
    for name, stream in streams.items():
        topic = stream.topic or name
        if not has_references(f"{topic}{begins}") and (not topic.startswith(begins) or topic == begins):
            message = f"stream `{name}` reads topic {topic}, and the connector writes those that begin with {begins}"
            raise ValueError(message, f"write topic: {begins}" + ("table" if wanted == "json" else "schema.table"))
        if stream.format != wanted:
            message = f"stream `{name}` is of format {stream.format}, and {connector.type} writes {wanted}"
            raise ValueError(message, f"write format: {wanted}")
