"""Topics of the target's broker: JSON, text, Avro, Protobuf, or changes as Debezium tells them.

A read goes up to the messages that are the last when it begins, one partition after the other, so that messages of one
key land in their order. The next offset of each partition rides in the commit that adds the rows, wherefore each
message lands exactly once; nothing is kept with the broker. What retention took before it was read stops the step, or
is told and passed over, as the stream says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from catchment import naming
from catchment.errors import ConfigError, MissingExtra
from catchment.interfaces import Broker, Source
from catchment.records import Abilities, Batch, Budget, Cursor, Description, Feed, Finding
from catchment.sources.topic.following import Following, Place, left_out
from catchment.sources.topic.rows import Maker, Messages, Numbered, Reading, Values

if TYPE_CHECKING:
    import pyarrow as pa

    from catchment.sources.mirrors.objects import Objects
    from catchment.sources.topic.encoded import Registry
    from catchment.sources.topic.log import Log

_WITH_SCHEMAS: Mapping[str, Literal["avro", "protobuf"]] = {"avro": "avro", "protobuf": "protobuf"}


class TopicStream(Protocol):
    """What a project says about a topic."""

    @property
    def topic(self) -> str | None: ...
    @property
    def format(self) -> Literal["json", "text", "avro", "protobuf", "debezium"]: ...
    @property
    def from_(self) -> Literal["earliest", "latest"]: ...
    @property
    def on_gap(self) -> Literal["stop", "continue"]: ...
    @property
    def tombstones(self) -> Literal["row", "defect"]: ...
    @property
    def schema_(self) -> str | None: ...
    @property
    def message(self) -> str | None: ...
    @property
    def shards(self) -> int: ...
    @property
    def via(self) -> Literal["connect"] | None: ...


class Connector(Protocol):
    """What a project says about a connector that moves messages."""

    @property
    def type(self) -> str: ...


class TopicSource(Source):
    """Streams of messages, each the whole of one topic."""

    abilities: ClassVar[Abilities] = Abilities(brings_documents=True, takes_new=True, resumes=True, wakes=True)

    def __init__(
        self,
        name: str,
        streams: Mapping[str, TopicStream],
        folder: Path,
        *,
        broker: Broker,
        registry: Registry | None = None,
        connector: Connector | None = None,
    ) -> None:
        self.name = name
        self._streams = dict(streams)
        self._folder = folder
        self._broker = broker
        self._registry = registry
        self._connector = connector
        self._readings: dict[str, Reading] = {}  # kept between reads: schemas, and who says what is JSON

    def feeds(self) -> Sequence[Feed]:
        return [
            Feed(name := naming.shard(f"{self.name}.{stream}", number), naming.bronze_table(name), number, keys.shards)
            for stream, keys in self._streams.items()
            for number in range(keys.shards)
        ]

    def describe(self, feed: Feed, since: Cursor | None) -> Description:
        return self._following(feed, since).describe()

    def read(self, feed: Feed, since: Cursor | None, budget: Budget) -> Iterator[Batch]:
        """Raises Passed for messages that went before they were read, where the stream says stop."""
        yield from self._following(feed, since).read(self._maker(feed), budget)

    def wait(self, feed: Feed, since: Cursor | None, seconds: float) -> bool:
        return self._following(feed, since).wait(seconds)

    def acknowledge(self, feed: Feed, cursor: Cursor) -> None:
        """A broker does not want to hear: messages are not taken from a topic by reading them."""

    def joined(self, feed: Feed, cursors: Sequence[Cursor]) -> Cursor:
        """The furthest that each partition was read."""
        places = [Place.of(self._topic(feed), cursor, feed.name) for cursor in cursors]
        return Place.furthest(places).cursor()

    def recognize(self, feed: Feed, origins: pa.Table) -> Cursor:
        """After the last message of each partition that has landed. Raises ConfigError for rows of another topic."""
        topic, offsets = self._topic(feed), dict[int, int]()
        landed = zip(origins.column("_origin").to_pylist(), origins.column("last").to_pylist(), strict=True)
        for origin, last in landed:
            of, _, partition = str(origin).rpartition("/")
            if of != topic or not partition.isdigit():
                message = f"the rows of {feed.table} are not of topic {topic}: one was {origin}"
                raise ConfigError(message, hint="write the topic as it was, or move the table away and run again")
            offsets[int(partition)] = last + 1
        return Place(topic, offsets).cursor()

    def probe(self, feed: Feed) -> Sequence[Finding]:
        log, topic = self._log(feed, None), self._topic(feed)
        known = log.topics()
        if topic not in known:
            hint = naming.did_you_mean(topic, known) or "correct `topic:`, or wait for the first message"
            return [Finding(feed.name, "warning", f"there is no topic {topic}", hint)]
        self._look_at_schemas(feed)
        bounds = log.bounds(topic)
        if feed.shard >= len(bounds):
            return [Finding(feed.name, "warning", *left_out(topic, feed.shards, len(bounds)))]
        kept = sum(until - first for first, until in bounds.values())
        gone = sum(first for first, _ in bounds.values())
        past = f"; {gone:,} from before are not kept any more" if gone else ""
        split = f"{len(bounds):,} partition{'' if len(bounds) == 1 else 's'}"
        return [Finding(feed.name, "ok", f"{kept:,} messages in {split} of {topic}{past}")]

    def _look_at_schemas(self, feed: Feed) -> None:
        """Raises as `read` would where schemas cannot be had."""
        stream = self._stream(feed)
        if stream.format in _WITH_SCHEMAS:
            self._values(feed, stream)
            if stream.schema_ is None and self._registry is not None:
                self._registry.schema(1)  # any number: that it is not there is an answer too

    def close(self) -> None:
        self._broker.close()
        if "_objects" in self.__dict__:
            self._objects.close()
            del self.__dict__["_objects"]
        if self._registry is not None:
            self._registry.close()

    def _stream(self, feed: Feed) -> TopicStream:
        return self._streams[feed.stream.removeprefix(f"{self.name}.")]

    def _topic(self, feed: Feed) -> str:
        return self._stream(feed).topic or feed.stream.removeprefix(f"{self.name}.")

    def _following(self, feed: Feed, since: Cursor | None) -> Following:
        return Following(self._log(feed, since), feed, self._topic(feed), self._stream(feed), since)

    def _log(self, feed: Feed, since: Cursor | None) -> Log:
        """Where messages are read: from the broker, or where a connector that takes them out of the topic puts them."""
        if self._connector is None or self._stream(feed).via is None:
            return self._broker
        if self._connector.type == "snowflake":
            message = f"{feed.name}: its messages go into Snowflake by the connector, and are not read from there"
            raise ConfigError(message, hint="read the table in gold, or bring them by a connector of type s3")
        if self._connector.type != "s3":
            return self._broker
        topic = self._topic(feed)
        return self._objects.at(Place.of(topic, since, feed.name).offsets).of(topic)

    @cached_property
    def _objects(self) -> Objects:
        try:
            from catchment.sources.mirrors.objects import Objects
        except ModuleNotFoundError as error:
            message = f"source {self.name} reads from S3, and package `{error.name}` is not installed"
            raise MissingExtra(message, hint="pip install 'catchment[aws]'") from error
        return Objects(self._connector)  # type: ignore[arg-type]

    def _maker(self, feed: Feed) -> Maker:
        stream = self._stream(feed)
        if stream.format == "debezium":
            from catchment.sources.debezium import Envelopes

            return Envelopes(feed.name.removeprefix(f"{self.name}."))
        values = self._values(feed, stream)
        return Messages(values, documents=stream.format != "text", tombstones=stream.tombstones == "row")

    def _values(self, feed: Feed, stream: TopicStream) -> Reading:
        if feed.name not in self._readings:
            self._readings[feed.name] = self._reading(feed, stream)
        return self._readings[feed.name]

    def _reading(self, feed: Feed, stream: TopicStream) -> Reading:
        kind = _WITH_SCHEMAS.get(stream.format)
        if kind is None:
            return Values(json=False) if stream.format == "text" else Numbered()
        from catchment.sources.topic.schemas import encoded

        return encoded(feed.name, kind, stream, self._folder, self._registry)
