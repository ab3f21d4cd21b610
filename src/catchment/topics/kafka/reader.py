"""One consumer, assigned by hand: ranges of partitions as Arrow batches."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaError, KafkaException, Message, TopicPartition

from catchment.records import message_schema
from catchment.topics.kafka.words import log

if TYPE_CHECKING:
    from numpy.typing import NDArray

# How long at once nothing may come before whoever reads is told, and before what came is handed on.
_LOOK_S = 0.1
_PAUSE_S = 0.005

# It is patient by itself: who looks first only spares a second.
_LOOKED_S = 2.0

# So many messages are taken from the library at a time: they stay in the processor's cache until all is read of them,
# and are fewer than those (700) after which Python looks for garbage. With ten thousand only counting them takes half
# as long again.
_AT_ONCE = 500

_MILLISECONDS = itemgetter(1)  # of what the library tells as time: which one it is, and when

_LAST_MS = 253_402_300_799_999  # of the year 9999

# A batch ends after so many bytes of keys and values, however few messages that are.
_BATCH_BYTES = 32 << 20


class Reader:
    """Serves one caller at a time, and goes on where it is if that is asked for."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._consumer = Consumer(
            {
                "queued.max.messages.kbytes": "32768",
                # A server answers one question after the other: who is assigned anew waits for the answer to the last
                # one, which by default takes half a second where nothing is new.
                "fetch.wait.max.ms": "20",
                # Where so many wait to be taken, nothing more is asked for; by default for a whole second.
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
        self._at: dict[tuple[str, int], int] = {}  # the next offset to hand on
        self._assigned: frozenset[tuple[str, int]] = frozenset()  # what the library brings messages of
        self._ended: dict[tuple[str, int], int] = {}  # where the library has met the end of a partition
        self._looked: set[str] = set()  # topics that the library knows
        self._waiting: list[Message] = []  # taken from the library and not handed on

    def close(self) -> None:
        self._consumer.close()

    def places(self, topic: str) -> Mapping[int, int]:
        """The next offset that is read, by partition."""
        return {partition: offset for (of, partition), offset in self._at.items() if of == topic}

    def knows(self, topic: str) -> bool:
        """Whether it is a topic's already."""
        return any(of == topic for of, _ in self._at)

    def _go(self, topic: str, places: Mapping[int, int]) -> None:
        """Be where these partitions are gone on with. Others stay assigned beside them while they are idle."""
        wanted = {(topic, number): start for number, start in places.items()}
        others = self._at.keys() - wanted.keys()
        idle = all(self._ended.get(place, -1) >= self._at[place] for place in others)
        # One that was let go of still brings messages, which would pass for those of the others.
        is_all = self._assigned <= self._at.keys()
        if not idle or not is_all or not wanted.items() <= self._at.items():
            self._at, self._ended, self._waiting = wanted, {}, []
            self._assigned = frozenset(wanted)
            self._look(topic)
            self._consumer.assign([TopicPartition(topic, number, start) for (_, number), start in wanted.items()])

    def _look(self, topic: str) -> None:
        """At where a topic is: the library itself looks once a second for one that it does not know yet."""
        if topic not in self._looked:
            with suppress(KafkaException):
                self._consumer.list_topics(topic, _LOOKED_S)
                self._looked.add(topic)

    def wait(self, topic: str, places: Mapping[int, int], seconds: float) -> bool:
        self._go(topic, places)
        until = time.monotonic() + seconds
        while not any(one.partition() in places for one in self._waiting):
            left = until - time.monotonic()
            if left <= 0:
                return False
            self._waiting += self._messages(self._consumer.consume(1, left))
        return True

    def read(
        self, topic: str, ranges: Mapping[int, tuple[int, int]], messages: int, silent: Callable[[float], None]
    ) -> Iterator[pa.RecordBatch]:
        """Batches of one partition each, until every range is read; none may reach beyond the end of its partition.

        `silent` hears for how many seconds nothing has come, and raises where that is too long.
        """
        self._go(topic, {number: start for number, (start, _) in ranges.items()})
        left = {number: end for number, (_, end) in ranges.items()}
        gathered = {number: _Gathered(number, messages) for number in left}
        several = len(self._assigned) > 1
        heard = time.monotonic()
        while left:
            some = any(one.count for one in gathered.values())
            room = sum(end - self._at[topic, number] for number, end in left.items())
            found = self._taken(left, max(1, min(_AT_ONCE, messages, room)), _PAUSE_S if some else _LOOK_S)
            came = False
            for number, of_one in _by_partition(found, several=several).items():
                came = came or number in left
                if number in left:
                    yield from gathered[number].add(self._inside(topic, number, of_one, left[number]))
                else:
                    self._keep(topic, number, of_one)
            # Let go of before more are taken: those come to lie where these lay, and are too few to look for garbage.
            found = of_one = ()
            for number in self._reached(topic, left):
                yield from gathered[number].batch()
                del left[number]
            if came:
                heard = time.monotonic()  # not the time that whoever reads has taken
            elif some:
                for one in gathered.values():
                    yield from one.batch()
            else:
                silent(time.monotonic() - heard)

    def _taken(self, wanted: Container[int], messages: int, seconds: float) -> Sequence[Message]:
        """What is there; where that is nothing, what comes first within so long."""
        if self._waiting:
            found = [one for one in self._waiting if one.partition() in wanted]
            if found:
                self._waiting = [one for one in self._waiting if one.partition() not in wanted]
                return found
        return self._messages(self._consumer.consume(messages, 0) or self._consumer.consume(1, seconds))

    def _keep(self, topic: str, number: int, found: Sequence[Message]) -> None:
        """What nobody wants yet is kept while it is little; else it is fetched again."""
        if (topic, number) not in self._at:
            return
        if len(self._waiting) + len(found) > _AT_ONCE:
            del self._at[topic, number]
            self._waiting = [one for one in self._waiting if one.partition() != number]
        else:
            self._waiting += found

    def _messages(self, found: list[Message]) -> list[Message]:
        """Those that are messages. Raises what the broker says instead; that a partition ends is no error."""
        if not any(map(Message.error, found)):
            return found
        for one in found:
            error = one.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            if error is not None:
                self._ended[_topic(one), _partition(one)] = _offset(one)
        return [one for one in found if one.error() is None]

    def _inside(self, topic: str, number: int, found: Sequence[Message], end: int) -> Sequence[Message]:
        """What of one partition's lies before the end of its range; what lies behind it is kept."""
        last = _offset(found[-1])
        if last < end:
            self._at[topic, number] = last + 1
            return found
        inside = [one for one in found if _offset(one) < end]
        self._at[topic, number] = end
        self._keep(topic, number, found[len(inside) :])
        return inside

    def _reached(self, topic: str, left: Mapping[int, int]) -> list[int]:
        """Partitions whose range is read.

        That the end is met is told apart from messages: the last offsets of a range may hold none, where a transaction
        ended or a topic is compacted.
        """
        found = []
        for number, end in left.items():
            place = topic, number
            if self._at.get(place, end) < end and self._ended.get(place, -1) >= end:
                self._at[place] = end
            if self._at.get(place, end) >= end:
                found.append(number)
        return found


def _by_partition(found: Sequence[Message], *, several: bool) -> dict[int, Sequence[Message]]:
    if not found:
        return {}
    if not several:
        return {_partition(found[0]): found}
    # Those of one partition mostly come together, some hundreds at a time.
    numbers = np.fromiter(map(Message.partition, found), np.int32, len(found))
    changes = np.flatnonzero(np.diff(numbers)) + 1
    parts: dict[int, list[Message]] = {}
    for begin, end in pairwise([0, *changes.tolist(), len(found)]):
        parts.setdefault(int(numbers[begin]), []).extend(found[begin:end])
    return dict(parts)


class _Gathered:
    """What came of one partition and was not handed on, column by column."""

    def __init__(self, partition: int, messages: int) -> None:
        self._partition = partition
        self._messages = messages
        self._begin()

    def _begin(self) -> None:
        self._offsets: list[NDArray[np.int64]] = []
        self._instants: list[NDArray[np.int64]] = []
        self._keys: list[pa.Array] = []
        self._values: list[pa.Array] = []
        self._headers: dict[int, list[Any]] = {}  # by how many messages came before
        self._bytes = 0
        self.count = 0

    def add(self, found: Sequence[Message]) -> Iterator[pa.RecordBatch]:
        """Gives a batch where there are enough messages for one."""
        while found:
            taken, found = found[: self._messages - self.count], found[self._messages - self.count :]
            self._take(taken)
            if self.count >= self._messages or self._bytes >= _BATCH_BYTES:
                yield from self.batch()

    def _take(self, found: Sequence[Message]) -> None:
        # Bound methods by the thousand: each turn of a loop in Python would cost as much as fetching a message. And
        # into Arrow at once, while all of it is in the processor's cache: later it takes a fifth longer to read.
        self._offsets.append(_offsets(found))
        self._instants.append(_instants(found))
        keys, values = (pa.array(list(map(of, found)), pa.binary()) for of in (Message.key, Message.value))
        self._keys.append(keys)
        self._values.append(values)
        if any(map(Message.headers, found)):
            self._headers[self.count] = list(map(Message.headers, found))
        self._bytes += keys.nbytes + values.nbytes
        self.count += len(found)

    def batch(self) -> Iterator[pa.RecordBatch]:
        """All that is there, which is handed on with it."""
        if not self.count:
            return
        schema = message_schema()
        arrays = [
            pa.repeat(pa.scalar(self._partition, pa.int32()), self.count),
            pa.array(np.concatenate(self._offsets)),
            pa.array(np.concatenate(self._instants)).view(schema.field("at").type),
            pa.concat_arrays(self._keys),
            pa.concat_arrays(self._values),
            _headers(self._headers, self.count, schema.field("headers").type),
        ]
        self._begin()
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _offsets(found: Sequence[Message]) -> NDArray[np.int64]:
    """They ascend, so that where none lacks between the first and the last they need not be asked for."""
    first, last = _offset(found[0]), _offset(found[-1])
    if last - first + 1 == len(found):
        return np.arange(first, last + 1)
    return np.fromiter(map(_offset, found), np.int64, len(found))


# The library's types say that these may lack, which they do of messages that are written and of none that is read.


def _topic(one: Message) -> str:
    topic = one.topic()
    assert topic is not None
    return topic


def _partition(one: Message) -> int:
    partition = one.partition()
    assert partition is not None
    return partition


def _offset(one: Message) -> int:
    offset = one.offset()
    assert offset is not None
    return offset


def _instants(found: Sequence[Message]) -> NDArray[np.int64]:
    """In microseconds; of what lies after 9999, as of a writer who tells other units than milliseconds, the last one
    that Python knows."""
    told = np.fromiter(map(_MILLISECONDS, map(Message.timestamp, found)), np.int64, len(found))
    if told.min() < 0:  # where there is none, one before 1970 is told
        kinds = np.fromiter((kind for kind, _ in map(Message.timestamp, found)), np.int64, len(found))
        told[kinds == TIMESTAMP_NOT_AVAILABLE] = 0
    return np.minimum(told, _LAST_MS) * 1000


def _headers(told: Mapping[int, list[Any]], count: int, kind: pa.DataType) -> pa.Array:
    if not told:
        ends = pa.repeat(pa.scalar(0, pa.int32()), count + 1)
        return pa.ListArray.from_arrays(ends, pa.array([], kind.value_type), type=kind)
    each: list[list[dict[str, Any]]] = [[]] * count
    for place, of_some in told.items():
        each[place : place + len(of_some)] = [[{"name": n, "value": v} for n, v in one or ()] for one in of_some]
    return pa.array(each, kind)
