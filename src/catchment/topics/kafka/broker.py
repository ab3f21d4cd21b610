"""Topics of a cluster as `Broker`.

Where one comes to is our own affair: no group is joined and no offset is committed. What a transaction has not
committed is not seen.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import Any

import pyarrow as pa
from confluent_kafka import KafkaError, KafkaException, Producer

from catchment.errors import ConfigError, Passed, RetryableError
from catchment.interfaces import Broker, Publication
from catchment.records import Message, Offsets, TopicSpec
from catchment.topics.kafka.access import access
from catchment.topics.kafka.admin import PATIENCE_S, Admin
from catchment.topics.kafka.groups import Groups
from catchment.topics.kafka.publication import KafkaPublication, Progresses
from catchment.topics.kafka.reader import Reader
from catchment.topics.kafka.words import MESSAGE_BYTES, Words, log
from catchment.topics.partitioning import partition_of

_LOOK_S = 0.1

# For so long what is known of a topic's bounds spares asking for them again. Retention that was faster is told.
_MOMENT_S = 1.0


class KafkaBroker(Broker):
    """Topics of the cluster at `servers` (`host:port`, several with commas); `settings` are librdkafka's own, and
    `sasl.mechanisms: AWS_MSK_IAM`.

    A message goes to the partition that Kafka's default partitioner chooses for its key. `write` waits for all replicas
    in sync; where it raises, a part of the messages may be there.
    """

    def __init__(self, servers: str, settings: Mapping[str, str] | None = None) -> None:
        """Opens nothing. Raises ConfigError where a file that settings name is not there."""
        self._servers = servers
        given = settings or {}
        self._words = Words(servers, given)
        let_in = access(servers, given)
        self._settings: dict[str, Any] = {**let_in, "bootstrap.servers": servers, "error_cb": self._words.heard}
        self._admin = Admin(servers, self._settings, self._words)
        self._lock = threading.Lock()
        self._idle: list[Reader] = []
        self._turn = 0
        self._looked: dict[str, tuple[float, Mapping[int, tuple[int, int]]]] = {}

    @cached_property
    def _producer(self) -> Producer:
        told = {
            "compression.type": "lz4",
            "linger.ms": "2",
            "message.max.bytes": str(MESSAGE_BYTES),
            "delivery.timeout.ms": str(int(PATIENCE_S * 1000)),
            **self._settings,
            "enable.idempotence": "true",  # all in-sync replicas, in order, none twice
        }
        told.pop("transactional.id", None)
        with self._words.told("a producer"):
            return Producer(told, logger=log)

    # Topics.

    def declare(self, topics: Sequence[TopicSpec], *, change: bool = True) -> Sequence[str]:
        return [words for wanted in topics for words in self._admin.declared(wanted, change=change)]

    def topics(self) -> Sequence[str]:
        return self._admin.topics()

    def spec(self, topic: str) -> TopicSpec:
        return self._admin.spec(topic)

    def size(self, topic: str) -> int | None:
        """Kafka tells it to its own tools only."""
        self._admin.partitions(topic)
        return None

    def bounds(self, topic: str) -> Mapping[int, tuple[int, int]]:
        before = self._admin.identity(topic)
        found = self._admin.bounds(topic)
        if before is not None and before != self._admin.identity(topic):
            self._let_go()  # they stand in the topic that was
        self._looked[topic] = time.monotonic(), found
        return found

    def _bounds(self, topic: str, offsets: Offsets, until: Offsets) -> Mapping[int, tuple[int, int]]:
        """As they were a moment ago, where that says enough of what is asked for; else as they are."""
        at, found = self._looked.get(topic, (0.0, {}))
        is_told = until.keys() <= offsets.keys() & found.keys() and all(end <= found[n][1] for n, end in until.items())
        return found if is_told and time.monotonic() - at < _MOMENT_S else self.bounds(topic)

    def identity(self, topic: str) -> str | None:
        at, _ = self._looked.get(topic, (-math.inf, {}))
        if time.monotonic() - at >= _MOMENT_S:
            self.bounds(topic)
        return self._admin.identity(topic)

    def expire(self, topic: str, now: datetime) -> int:
        """Kafka does so itself."""
        self._admin.partitions(topic)
        return 0

    # Messages.

    def write(self, topic: str, messages: Sequence[Message]) -> Offsets:
        partitions = self._admin.partitions(topic)
        wrong = [one.partition for one in messages if one.partition is not None and not 0 <= one.partition < partitions]
        if wrong:
            words = f"topic {topic} has partitions 0 to {partitions - 1}; nothing was written"
            raise ConfigError(words, hint="write to one of those, or leave the choice to the key")
        self._turn = keyless = (self._turn + 1) % partitions
        delivered = _Delivered()
        with self._lock:
            try:
                for message in messages:
                    partition = keyless if message.key is None else partition_of(message.key, partitions)
                    chosen = partition if message.partition is None else message.partition
                    self._produce(topic, message, chosen, delivered)
            except KafkaException as error:
                delivered.errors.append(error.args[0])
            left = self._producer.flush(PATIENCE_S * 2) if messages else 0
            if any(error.fatal() for error in delivered.errors):
                del self._producer  # it takes nothing more; the next write has another
        if delivered.errors:
            raise self._words.of(delivered.errors[0], topic)
        if left:
            message_ = f"Kafka at {self._servers} has not acknowledged {left:,} messages for topic {topic}"
            raise RetryableError(message_, hint="is it running, and are enough replicas in sync?")
        return delivered.ends

    def _produce(self, topic: str, message: Message, partition: int, delivered: _Delivered) -> None:
        at = 0 if message.at is None else _milliseconds(message.at)
        given: dict[str, Any] = {
            "key": message.key,
            "value": message.value,
            "headers": list(message.headers),
            "timestamp": at,
        }
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                self._producer.produce(topic, partition=partition, on_delivery=delivered, **given)
            except BufferError:  # its queue is full
                self._producer.poll(_LOOK_S)
            except KafkaException as error:
                if error.args[0].code() != KafkaError._UNKNOWN_PARTITION or time.monotonic() > until:
                    raise
                # The partition was added since the producer last looked.
                self._producer.list_topics(topic, timeout=PATIENCE_S)
            else:
                return

    def publication(self, topic: str, name: str) -> Publication:
        own: dict[str, Any] = {"settings": self._settings, "words": self._words, "admin": self._admin}
        return KafkaPublication(topic, name, progresses=self._progresses, **own)

    def published(self, topic: str, name: str) -> Mapping[str, Any] | None:
        self._admin.partitions(topic)
        return self._progresses.last(topic, name)

    def publications(self, topic: str) -> Mapping[str, Mapping[str, Any]]:
        self._admin.partitions(topic)
        return self._progresses.all(topic)

    @property
    def groups(self) -> Groups:
        """Where consumer groups stand, those of a live store that reads topics itself."""
        return Groups(lambda: self._admin.client, self._words)

    @property
    def _progresses(self) -> Progresses:
        return Progresses(self, self._admin)

    def read(self, topic: str, offsets: Offsets, until: Offsets, *, messages: int = 32_768) -> Iterator[pa.RecordBatch]:
        bounds = self._bounds(topic, offsets, until)
        ranges = {}
        for number, (first, end) in bounds.items():
            start = offsets.get(number, first)
            if number in until and start < min(until[number], end):
                if start < first:
                    raise _passed(topic, number, start, first)
                ranges[number] = (start, min(until[number], end))
        while ranges:
            yield from self._ranges(topic, ranges, messages)
            # More is asked for than there was.
            further = {number: end for number, (_, end) in ranges.items() if end < until[number]}
            bounds = self.bounds(topic) if further else {}
            ends = {number: min(until[number], bounds[number][1]) for number in further}
            ranges = {number: (start, ends[number]) for number, start in further.items() if start < ends[number]}

    def _ranges(self, topic: str, ranges: Mapping[int, tuple[int, int]], messages: int) -> Iterator[pa.RecordBatch]:
        with self._reader(topic) as reader, self._words.told(topic):
            try:
                yield from reader.read(topic, ranges, messages, lambda seconds: self._silent(topic, seconds))
            except KafkaException as error:
                if error.args[0].code() == KafkaError._AUTO_OFFSET_RESET:
                    self._refuse_passed(topic, reader.places(topic))
                raise

    def _silent(self, topic: str, seconds: float) -> None:
        """Raises where a topic that has messages gives none for too long."""
        self._words.refuse_lasting(topic)
        if seconds > PATIENCE_S:
            raise self._words.of(KafkaError(KafkaError._TIMED_OUT, f"no message within {PATIENCE_S:.0f} s"), topic)

    def _refuse_passed(self, topic: str, places: Mapping[int, int]) -> None:
        """Raises Passed where retention was faster than the read."""
        for number, (first, _) in self.bounds(topic).items():
            if places.get(number, first) < first:
                raise _passed(topic, number, places[number], first)

    def wait(self, topic: str, offsets: Offsets, seconds: float) -> bool:
        bounds = self._bounds(topic, offsets, dict.fromkeys(offsets, 0))
        places = {number: offsets.get(number, first) for number, (first, _) in bounds.items()}
        if any(places[number] < end for number, (_, end) in bounds.items()):
            return True
        with self._reader(topic) as reader, self._words.told(topic):
            return reader.wait(topic, places, seconds)

    @contextmanager
    def _reader(self, topic: str) -> Iterator[Reader]:
        """A consumer that nobody else uses, if there is one of this topic's; it is kept for the next one who reads."""
        with self._lock:
            self._idle.sort(key=lambda one: one.knows(topic))
            reader = self._idle.pop() if self._idle else None
        reader = reader or Reader(self._settings)
        try:
            yield reader
        except BaseException:
            reader.close()
            raise
        with self._lock:
            self._idle.append(reader)

    def _let_go(self) -> None:
        """Of the consumers that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for reader in idle:
            reader.close()

    def close(self) -> None:
        with self._lock:
            self.__dict__.pop("_producer", None)
            self._admin.close()
        self._let_go()


class _Delivered:
    """Hears of each message; the next offset of each partition, and what went wrong."""

    def __init__(self) -> None:
        self.ends: dict[int, int] = {}
        self.errors: list[KafkaError] = []

    def __call__(self, error: KafkaError | None, message: Any) -> None:
        if error is not None:
            self.errors.append(error)
        else:
            partition = message.partition()
            self.ends[partition] = max(self.ends.get(partition, 0), message.offset() + 1)


def _milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _passed(topic: str, partition: int, start: int, first: int) -> Passed:
    lost = f"messages {start:,} to {first - 1:,}" if first - start > 1 else f"message {start:,}"
    message = f"topic {topic}, partition {partition}: retention took {lost} unread"
    return Passed(message, hint=f"what is left begins at {first:,}; keep topics longer, or read them more often")
