"""The embedded log: topics as folders on a local disk, for one machine and its processes."""

from __future__ import annotations

import itertools
import json
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catchment.errors import ConfigError, Conflict, DataError, FatalError, Passed
from catchment.interfaces import Broker, Publication
from catchment.naming import did_you_mean
from catchment.records import Message, Offsets, TopicSpec
from catchment.topics import segments
from catchment.topics.folders import SPEC, TopicFolder, now, spoken
from catchment.topics.partitioning import partition_of
from catchment.topics.segments import Published, Row

if TYPE_CHECKING:
    import pyarrow as pa

# Kafka's rule.
_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")

# SQLite joins at most 500 SELECTs, and each partition is one; far fewer help on one machine.
_MOST_PARTITIONS = 256

# Pauses between looks at a topic that has nothing new.
_PAUSES_S = (0.001, 0.001, 0.002, 0.002, 0.005)


class EmbeddedBroker(Broker):
    """Topics of one machine: a folder each, in it segments of `segment_bytes` or a day, each a SQLite file.

    A message goes to the partition that Kafka's default partitioner chooses for its key; without a key all of one
    `write` go to one partition, those of the next to the next. Retention goes by the time of writing and takes whole
    segments. Any number of processes and threads may use one folder; after a fork each side goes on by itself.

    Guarantee: what `write` has returned for outlasts a kill and a power cut; offsets have no gaps.
    """

    def __init__(self, folder: Path, *, segment_bytes: int = 64 << 20, message_bytes: int = 16 << 20) -> None:
        """Opens nothing."""
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._message_bytes = message_bytes
        self._folders: dict[str, TopicFolder] = {}
        self._turns = itertools.count(secrets.randbelow(1 << 16))
        self._is_local = False

    def declare(self, topics: Sequence[TopicSpec], *, change: bool = True) -> Sequence[str]:
        self._refuse_remote()
        for wanted in topics:
            _check(wanted)
        return [words for wanted in topics for words in self._declared(wanted, change)]

    def _declared(self, wanted: TopicSpec, change: bool) -> list[str]:
        there = self._place(wanted.name).spec()
        if there is None and not change:
            return [f"topic {wanted.name}: would be new, with {_split(wanted.partitions)}"]
        if there is None:
            made = TopicFolder.create(self._folder / wanted.name, wanted)
            if made is not None:
                kept = spoken(made.retention_s or 0)
                alone = "; this machine alone keeps it" if wanted.replication or wanted.min_insync else ""
                return [f"topic {wanted.name}: new, {_split(made.partitions)}, kept for {kept}{alone}"]
            there = self.spec(wanted.name)
        told = _differences(there, wanted)
        if told and change:
            place = self._place(wanted.name)
            with place.locked():
                place.alter(wanted)
        return told

    def topics(self) -> Sequence[str]:
        if self._folder.is_file():
            message = f"topics cannot lie in {self._folder}: that is a file"
            raise ConfigError(message, hint="name a folder under `topics` of the target")
        found = (place.parent.name for place in self._folder.glob(f"*/{SPEC}"))
        return sorted(name for name in found if _is_name(name))

    def spec(self, topic: str) -> TopicSpec:
        place = self._place(topic)
        found = place.spec() if _is_name(topic) else None
        if found is None:
            self._folders.pop(topic, None)
            cure = did_you_mean(topic, self.topics())
            message = f"there is no topic {topic} in {self._folder}" + (f"; {cure}" if cure else "")
            raise ConfigError(message, hint="catchment topics list")
        self._refuse_remote()
        return found

    def bounds(self, topic: str) -> Mapping[int, tuple[int, int]]:
        spec, place = self.spec(topic), self._place(topic)
        while True:
            numbers = place.numbers()
            try:
                ends = place.open(numbers[-1]).ends(spec.partitions)
                starts = place.open(numbers[0]).starts
            except FileNotFoundError:
                continue  # retention was faster
            return {partition: (starts.get(partition, 0), end) for partition, end in ends.items()}

    def identity(self, topic: str) -> str | None:
        """None of topics that a version before 0.5 made."""
        self.spec(topic)
        return self._place(topic).identity()

    def size(self, topic: str) -> int:
        self.spec(topic)
        return self._place(topic).bytes()

    def read(self, topic: str, offsets: Offsets, until: Offsets, *, messages: int = 32_768) -> Iterator[pa.RecordBatch]:
        firsts, place = self.bounds(topic), self._place(topic)
        open_ended = [_Reading(place, n, offsets.get(n, firsts[n][0]), until[n]) for n in sorted(firsts.keys() & until)]
        # In turns, so that a long partition does not keep the others waiting.
        while open_ended:
            for reading in tuple(open_ended):
                batch = reading.next(messages)
                if batch is None:
                    open_ended.remove(reading)
                else:
                    yield batch

    def wait(self, topic: str, offsets: Offsets, seconds: float) -> bool:
        until = time.monotonic() + seconds
        pauses = itertools.chain(_PAUSES_S, itertools.repeat(_PAUSES_S[-1]))
        seen: tuple[int, int] | None = None
        while True:
            mark = self._mark(topic)
            if mark != seen:
                seen = mark
                bounds = self.bounds(topic).items()
                if any(end > offsets.get(partition, first) for partition, (first, end) in bounds):
                    return True
            left = until - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(next(pauses), left))

    def _mark(self, topic: str) -> tuple[int, int]:
        """Changes with every write of another thread or process."""
        self.spec(topic)
        place = self._place(topic)
        while True:
            newest = place.numbers()[-1]
            try:
                return newest, place.open(newest).version()
            except FileNotFoundError:
                continue

    def write(self, topic: str, messages: Sequence[Message]) -> Offsets:
        rows = self._rows(topic, messages)
        if not rows:
            return {}
        place = self._place(topic)
        with place.locked():
            return place.writable(self._segment_bytes).append(rows, now())

    def _rows(self, topic: str, messages: Sequence[Message]) -> dict[int, list[Row]]:
        """What each partition gets."""
        partitions = self.spec(topic).partitions
        keyless = next(self._turns) % partitions
        found: dict[int, list[Row]] = {}
        for message in messages:
            if message.partition is not None:
                partition = message.partition
            else:
                partition = keyless if message.key is None else partition_of(message.key, partitions)
            row = segments.row(message)
            if len(row[1] or b"") + len(row[2] or b"") + len(row[3] or "") > self._message_bytes:
                words = f"a message for topic {topic} is larger than {self._message_bytes:,} bytes; nothing was written"
                raise DataError(words, hint="put large things into files and their paths into messages")
            found.setdefault(partition, []).append(row)
        if found and not 0 <= min(found) <= max(found) < partitions:
            words = f"topic {topic} has partitions 0 to {partitions - 1}; nothing was written"
            raise ConfigError(words, hint="write to one of those, or leave the choice to the key")
        return found

    def publication(self, topic: str, name: str) -> Publication:
        self.spec(topic)
        return _Publication(self, topic, name)

    def published(self, topic: str, name: str) -> Mapping[str, Any] | None:
        self.spec(topic)
        found = self._place(topic).published(name)
        return None if found is None or found.progress is None else _told(found.progress)

    def publications(self, topic: str) -> Mapping[str, Mapping[str, Any]]:
        self.spec(topic)
        found = self._place(topic).publications()
        return {one.name: _told(one.progress) for one in found if one.progress is not None}

    def opened(self, topic: str, name: str) -> Published:
        """A publication with a number that fences whoever has an older one."""
        place = self._place(topic)
        with place.locked():
            before = place.published(name) or Published(name, 0)
            mine = replace(before, epoch=before.epoch + 1)
            place.writable(self._segment_bytes).publish(mine)
        return mine

    def write_published(self, topic: str, messages: Sequence[Message], mine: Published) -> None:
        """Messages and the progress of their publication, in one transaction. Raises Conflict for who is fenced."""
        rows = self._rows(topic, messages)
        place = self._place(topic)
        with place.locked():
            there = place.published(mine.name)
            if there is None or there.epoch != mine.epoch:
                message = f"topic {topic}: another process has taken over the publication {mine.name}"
                raise Conflict(message, hint="one of them is enough: look for a second stream or run")
            place.writable(self._segment_bytes).append(rows, now(), mine)

    def expire(self, topic: str, now: datetime) -> int:
        spec, place = self.spec(topic), self._place(topic)
        assert spec.retention_s is not None
        with place.locked():
            return place.forget(segments.microseconds(now) - spec.retention_s * 1_000_000)

    def close(self) -> None:
        # What another thread is using stays open until it is done with it.
        self._folders = {}

    def _place(self, topic: str) -> TopicFolder:
        found = self._folders.get(topic)
        return self._folders.setdefault(topic, TopicFolder(self._folder / topic)) if found is None else found

    def _refuse_remote(self) -> None:
        if not self._is_local:
            from catchment.topics.filesystems import refuse_remote

            refuse_remote(self._folder)
            self._is_local = True


class _Publication(Publication):
    """`progress` lies in the topic's newest segment: what is committed there is committed with it."""

    def __init__(self, broker: EmbeddedBroker, topic: str, name: str) -> None:
        self._broker = broker
        self._topic = topic
        self._mine = broker.opened(topic, name)

    def progress(self) -> Mapping[str, Any] | None:
        return None if self._mine.progress is None else _told(self._mine.progress)

    def write(self, messages: Iterable[Message], progress: Mapping[str, Any]) -> None:
        then = replace(self._mine, progress=json.dumps(progress, ensure_ascii=False))
        self._broker.write_published(self._topic, list(messages), then)
        self._mine = then

    def close(self) -> None:
        """Nothing of its own is open."""


def _told(progress: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(progress)
    return found


@dataclass
class _Reading:
    """One partition while it is read."""

    place: TopicFolder
    partition: int
    offset: int
    until: int
    number: int | None = None  # of the segment that holds `offset`

    def next(self, messages: int) -> pa.RecordBatch | None:
        """The messages from `offset` on, as far as one segment has them; None at the end."""
        while self.offset < self.until:
            # Looked up before reading: what has a successor then is complete.
            numbers = self.place.numbers()
            try:
                if self.number is None:
                    self.number = self._holder(numbers)
                batch = self.place.open(self.number).read(self.partition, self.offset, self.until, messages)
                if batch is not None:
                    return self._taken(batch)
                if self.number == numbers[-1]:
                    return None
                self.number = self._after(self.number)
            except FileNotFoundError:  # retention was faster
                self.number = None
        return None

    def _after(self, number: int) -> int:
        """The segment after one that was read to its end. Raises FatalError where the one that was next is gone, and
        retention did not take it: that begins with the oldest."""
        numbers = self.place.numbers()
        if number not in numbers:
            raise FileNotFoundError
        following = next((one for one in numbers if one > number), None)
        if following is None or self._start(following) > self.offset:
            raise self._lacking()
        return following

    def _holder(self, numbers: Sequence[int]) -> int:
        """The segment that holds the offset, or will; raises Passed where it is before all of them."""
        low, high = 0, len(numbers)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._start(numbers[middle]) <= self.offset else (low, middle)
        first = self._start(numbers[low])
        if self.offset < first:
            raise self._passed(first)
        return numbers[low]

    def _start(self, number: int) -> int:
        return self.place.open(number).starts.get(self.partition, 0)

    def _taken(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        first, last = batch["offset"][0].as_py(), batch["offset"][-1].as_py()
        if first != self.offset or last != first + batch.num_rows - 1:
            raise self._lacking()
        self.offset = last + 1
        return batch

    def _lacking(self) -> FatalError:
        message = f"topic {self.place.path.name}, partition {self.partition}: messages lack after {self.offset:,}"
        return FatalError(message, hint=f"bring {self.place.path} back from a copy, all files of one moment")

    def _passed(self, first: int) -> Passed:
        """What is lost: from which offset to which, and from when that was."""
        spec = self.place.spec()
        kept = "" if spec is None else f" ({spoken(spec.retention_s or 0)})"
        lost = f"messages {self.offset:,} to {first - 1:,}" if first - self.offset > 1 else f"message {self.offset:,}"
        message = f"topic {self.place.path.name}, partition {self.partition}: retention{kept} took {lost} unread"
        gone = [one for one in self.place.gone() if one.ends.get(self.partition, 0) > self.offset]
        if gone:
            since, until = (segments.instant(of).strftime("%Y-%m-%d %H:%M") for of in (gone[0].since, gone[-1].until))
            message += f", written from {since} to {until} UTC"
        return Passed(message, hint=f"what is left begins at {first:,}; keep topics longer, or read them more often")


def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and name not in (".", "..")


def _check(spec: TopicSpec) -> None:
    """Raises ConfigError for what cannot be kept."""
    if not _is_name(spec.name):
        message = f"`{spec.name}` is no name for a topic"
        raise ConfigError(message, hint="use letters, digits, `.`, `_` and `-`, at most 249 of them")
    if not 1 <= spec.partitions <= _MOST_PARTITIONS:
        message = f"topic {spec.name} cannot have {spec.partitions} partitions"
        raise ConfigError(message, hint=f"the embedded log has 1 to {_MOST_PARTITIONS} partitions a topic")
    if spec.compact:
        message = f"topic {spec.name} cannot be compacted by the embedded log"
        raise ConfigError(message, hint="remove `compact` from the topic, or name a target whose broker is Kafka")
    if spec.retention_s is not None and spec.retention_s < 1:
        message = f"topic {spec.name} cannot be kept for {spec.retention_s} s"
        raise ConfigError(message, hint="write a length of time such as 7 days")


def _split(partitions: int) -> str:
    return f"{partitions} partition{'' if partitions == 1 else 's'}"


def _differences(there: TopicSpec, wanted: TopicSpec) -> list[str]:
    """In words; raises ConfigError for fewer partitions."""
    told = []
    if wanted.partitions < there.partitions:
        message = f"topic {there.name} has {there.partitions} partitions and cannot have {wanted.partitions}"
        hint = (
            f"write `partitions: {there.partitions}`, or take a new topic: partitions hold messages and are never less"
        )
        raise ConfigError(message, hint=hint)
    if wanted.partitions > there.partitions:
        told.append(
            f"topic {there.name}: {wanted.partitions} partitions, were {there.partitions};"
            " messages of one key may come into another partition from now on"
        )
    if wanted.retention_s is not None and wanted.retention_s != there.retention_s:
        told.append(f"topic {there.name}: kept for {spoken(wanted.retention_s)}, was {spoken(there.retention_s or 0)}")
    return told
