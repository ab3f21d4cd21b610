"""Topics of the target's broker: JSON, text, Avro, Protobuf, or changes as Debezium tells them.

A read goes up to the messages that are the last when it begins, one partition after the other, so that messages of one
key land in their order. The next offset of each partition rides in the commit that adds the rows, wherefore each
message lands exactly once; nothing is kept with the broker. What retention took before it was read stops the step, or
is told and passed over, as the stream says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from catchment import naming
from catchment.errors import ConfigError
from catchment.interfaces import Broker, Source
from catchment.records import Abilities, Batch, Budget, Cursor, Description, Feed, Finding
from catchment.sources.topic.following import Following, Place
from catchment.sources.topic.rows import Maker, Messages, Numbered, Reading, Values

if TYPE_CHECKING:
    import pyarrow as pa

    from catchment.sources.topic.encoded import Encoded, Registry

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
    ) -> None:
        self.name = name
        self._streams = dict(streams)
        self._folder = folder
        self._broker = broker
        self._registry = registry
        self._encoded: dict[str, Encoded] = {}  # kept between reads: a schema is looked up once

    def feeds(self) -> Sequence[Feed]:
        names = [f"{self.name}.{stream}" for stream in self._streams]
        return [Feed(name, naming.bronze_table(name)) for name in names]

    def describe(self, feed: Feed, since: Cursor | None) -> Description:
        return self._following(feed, since).describe()

    def read(self, feed: Feed, since: Cursor | None, budget: Budget) -> Iterator[Batch]:
        """Raises Passed for messages that went before they were read, where the stream says stop."""
        yield from self._following(feed, since).read(self._maker(feed), budget)

    def wait(self, feed: Feed, since: Cursor | None, seconds: float) -> bool:
        return self._following(feed, since).wait(seconds)

    def acknowledge(self, feed: Feed, cursor: Cursor) -> None:
        """A broker does not want to hear: messages are not taken from a topic by reading them."""

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
        topic, known = self._topic(feed), self._broker.topics()
        if topic not in known:
            hint = naming.did_you_mean(topic, known) or "correct `topic:`, or wait for the first message"
            return [Finding(feed.name, "warning", f"there is no topic {topic}", hint)]
        self._look_at_schemas(feed)
        bounds = self._broker.bounds(topic)
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
        if self._registry is not None:
            self._registry.close()

    def _stream(self, feed: Feed) -> TopicStream:
        return self._streams[feed.name.removeprefix(f"{self.name}.")]

    def _topic(self, feed: Feed) -> str:
        return self._stream(feed).topic or feed.name.removeprefix(f"{self.name}.")

    def _following(self, feed: Feed, since: Cursor | None) -> Following:
        return Following(self._broker, feed.name, self._topic(feed), self._stream(feed), since)

    def _maker(self, feed: Feed) -> Maker:
        stream = self._stream(feed)
        if stream.format == "debezium":
            from catchment.sources.debezium import Envelopes

            return Envelopes(feed.name.removeprefix(f"{self.name}."))
        values = self._values(feed, stream)
        return Messages(values, documents=stream.format != "text", tombstones=stream.tombstones == "row")

    def _values(self, feed: Feed, stream: TopicStream) -> Reading:
        kind = _WITH_SCHEMAS.get(stream.format)
        if kind is None:
            return Values(json=False) if stream.format == "text" else Numbered()
        if feed.name not in self._encoded:
            from catchment.sources.topic.schemas import encoded

            self._encoded[feed.name] = encoded(feed.name, kind, stream, self._folder, self._registry)
        return self._encoded[feed.name]
