"""One consumer, assigned by hand: ranges of partitions as Arrow batches."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaError, KafkaException, TopicPartition

from catchment.records import message_schema
from catchment.topics.kafka.words import log

_LOOK_S = 0.1


class Reader:
    """Serves one caller at a time, and goes on where it is if that is asked for."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._consumer = Consumer(
            {
                "queued.max.messages.kbytes": "32768",
                # A server answers one question after the other: who is assigned anew waits for the answer to the last
                # one, which by default takes half a second where nothing is new.
                "fetch.wait.max.ms": "20",
                "fetch.queue.backoff.ms": "20",
                **settings,
                "group.id": f"catchment-{uuid.uuid4()}",  # asked for by the library; nothing is committed to it
                "enable.auto.commit": "false",
                "enable.partition.eof": "true",
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
            },
            logger=log,
        )
        self._at: dict[tuple[str, int], int] = {}
        self._waiting: list[Any] = []  # what came while somebody waited for it

    def close(self) -> None:
        self._consumer.close()

    def _go(self, topic: str, places: Mapping[int, int]) -> None:
        wanted = {(topic, number): start for number, start in places.items()}
        if wanted != self._at:
            self._at, self._waiting = wanted, []
            self._consumer.assign([TopicPartition(topic, number, start) for (_, number), start in wanted.items()])

    def wait(self, topic: str, places: Mapping[int, int], seconds: float) -> bool:
        self._go(topic, places)
        until = time.monotonic() + seconds
        while not self._waiting:
            left = until - time.monotonic()
            if left <= 0:
                return False
            self._waiting += [one for one in self._consumer.consume(1, left) if _is_message(one)]
        return True

    def place(self, topic: str, partition: int) -> int:
        """The next offset that is read."""
        return self._at[topic, partition]

    def read(
        self, topic: str, ranges: Mapping[int, tuple[int, int]], messages: int, silent: Callable[[float], None]
    ) -> Iterator[pa.RecordBatch]:
        """Ends where a range does, or where nothing more is there. `silent` hears for how many seconds nothing has
        come, and raises where that is too long.
        """
        self._go(topic, {number: start for number, (start, _) in ranges.items()})
        left = {number: end for number, (_, end) in ranges.items()}
        heard = time.monotonic()
        while left:
            room = sum(end - self._at[topic, number] for number, end in left.items())
            found, self._waiting = self._waiting, []
            found += self._consumer.consume(max(1, min(messages, room) - len(found)), 0 if found else _LOOK_S)
            if not found:
                silent(time.monotonic() - heard)
                continue
            for number, of_one in _by_partition(found).items():
                yield from self._taken(topic, number, of_one, left, messages)
            # Not the time that whoever reads has taken.
            heard = time.monotonic()
        # It may have gone further than was asked for; and nothing is fetched while nobody reads.
        self._at = {}
        self._consumer.unassign()

    def _taken(
        self, topic: str, number: int, found: Sequence[Any], left: dict[int, int], messages: int
    ) -> Iterator[pa.RecordBatch]:
        """What came of one partition, as far as it is asked for.

        That the end is reached is told apart from messages: the last offsets of a range may hold none, where a
        transaction ended or a topic is compacted.
        """
        good = [one for one in found if _is_message(one)]
        if number not in left:
            return
        inside = [one for one in good if one.offset() < left[number]]
        if inside:
            self._at[topic, number] = inside[-1].offset() + 1
        is_end = len(good) < len(found) or len(inside) < len(good) or self._at[topic, number] >= left[number]
        if is_end:
            del left[number]
        for start in range(0, len(inside), messages):
            yield _batch(inside[start : start + messages])


def _is_message(one: Any) -> bool:
    """Raises what the broker says instead of a message; a partition's end is none, and no error."""
    error = one.error()
    if error is None:
        return True
    if error.code() == KafkaError._PARTITION_EOF:
        return False
    raise KafkaException(error)


def _by_partition(found: Iterable[Any]) -> dict[int, list[Any]]:
    parts: dict[int, list[Any]] = {}
    for one in found:
        parts.setdefault(one.partition(), []).append(one)
    return parts


def _batch(found: Sequence[Any]) -> pa.RecordBatch:
    schema = message_schema()
    headers = [one.headers() for one in found]
    told = [None if of_one is None else [{"name": n, "value": v} for n, v in of_one] for of_one in headers]
    arrays = [
        pa.repeat(pa.scalar(found[0].partition(), pa.int32()), len(found)),
        pa.array([one.offset() for one in found], pa.int64()),
        _instants(found).view(schema.field("at").type),
        pa.array([one.key() for one in found], pa.binary()),
        pa.array([one.value() for one in found], pa.binary()),
        pa.array(told, schema.field("headers").type) if any(told) else _no_headers(len(found), schema),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _no_headers(count: int, schema: pa.Schema) -> pa.Array:
    kind = schema.field("headers").type
    nothing = pa.array([], kind.value_type)
    return pa.ListArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), count + 1), nothing, type=kind)


def _instants(found: Sequence[Any]) -> pa.Array:
    stamps = [one.timestamp() for one in found]
    return pa.array([0 if kind == TIMESTAMP_NOT_AVAILABLE else at * 1000 for kind, at in stamps], pa.int64())
