"""A topic in a bucket, as an S3 sink of Kafka Connect keeps it there, read like the topic itself.

An object is named by its partition and its first message, and each line in it says its offset. Sinks write at least
once: after a kill an object comes again with more or fewer lines, or lines come again under another name. Offsets tell,
so that a message is given once however often it was written, and in its order.

Of objects that overlap only the time of their last change tells which came later: where one is younger than the one
behind it, messages are being written again. Up to there a read goes; the rest comes with the next one. Where still
younger objects lie behind a hole it will not be filled any more: those messages went before they were read.
"""

from __future__ import annotations

import re
import time
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from catchment.records import Offsets
from catchment.sources.files.found import FoundFile
from catchment.sources.files.s3 import Buckets
from catchment.sources.mirrors.lines import Lines

_NAME = re.compile(r"partition=(?P<partition>[0-9]+)/(?:.*[^0-9])?(?P<first>[0-9]{10,20})\.[^/]*")

# Objects that are kept while they are looked at and then read.
_KEPT = 4
_ENDS_KEPT = 10_000

# A connector begins again where it committed offsets last: so many objects further back it does not overlap.
_BACK = 32

# How often somebody who waits looks.
_LOOKS_S = 2.0


class Sink(Protocol):
    """What a project says of a sink, references resolved."""

    @property
    def bucket(self) -> str: ...
    @property
    def prefix(self) -> str: ...
    @property
    def endpoint(self) -> str | None: ...
    @property
    def region(self) -> str | None: ...
    @property
    def access_key(self) -> str | None: ...
    @property
    def secret_key(self) -> str | None: ...


@dataclass(frozen=True)
class Laid:
    """An object: its first offset, and when it was changed last."""

    first: int
    changed_us: int
    file: FoundFile


class Objects:
    """The topics of one sink. Kept between reads: connections, and the objects that were read last."""

    def __init__(self, sink: Sink) -> None:
        """Opens nothing."""
        self._root = f"s3://{sink.bucket}/" + (f"{sink.prefix}/" if sink.prefix else "")
        self._buckets = Buckets(
            endpoint=sink.endpoint, region=sink.region, access_key=sink.access_key, secret_key=sink.secret_key
        )
        self._lines = Lines()
        self._kept: OrderedDict[tuple[str, str], pa.Table] = OrderedDict()
        self._ends: OrderedDict[tuple[str, str], int] = OrderedDict()

    def at(self, offsets: Offsets) -> Mirror:
        """The topics as one read sees them that begins at these offsets."""
        return Mirror(self, offsets)

    def listed(self, topic: str) -> dict[int, list[Laid]]:
        """The objects of a topic by partition and first offset. Raises as listing a bucket does."""
        found: dict[int, list[Laid]] = {}
        folder = f"{self._root}{topic}/"
        for file in self._buckets.found(f"{folder}partition=*/*").files:
            named = _NAME.fullmatch(file.origin.removeprefix(folder))
            if named is not None:
                laid = Laid(int(named["first"]), file.modified_us, file)
                found.setdefault(int(named["partition"]), []).append(laid)
        return {partition: sorted(found[partition], key=lambda laid: laid.first) for partition in sorted(found)}

    def messages(self, laid: Laid, partition: int) -> pa.Table:
        """All of one object. Raises RetryableError where it was replaced meanwhile, DataError where it is none."""
        known = (laid.file.origin, laid.file.tag)
        if known not in self._kept:
            with self._buckets.open(laid.file) as opened:
                parts = []
                while data := opened.read():
                    parts.append(data)
            self._kept[known] = self._lines.messages(b"".join(parts), laid.file.origin, partition)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(known)
        return self._kept[known]

    def end(self, laid: Laid, partition: int) -> int:
        """Behind the last message of an object. Raises as `messages` does."""
        known = (laid.file.origin, laid.file.tag)
        if known not in self._ends:
            rows = self.messages(laid, partition)
            self._ends[known] = int(rows.column("offset")[-1].as_py()) + 1 if rows.num_rows else laid.first
            if len(self._ends) > _ENDS_KEPT:
                self._ends.popitem(last=False)
        return self._ends[known]

    def close(self) -> None:
        self._buckets.close()
        self._kept.clear()


class Mirror:
    """A `Log` over the objects as they were listed when it was first asked."""

    def __init__(self, objects: Objects, offsets: Offsets) -> None:
        self._objects = objects
        self._offsets = offsets
        self._listed: dict[str, dict[int, list[Laid]]] = {}

    def of(self, topic: str) -> Mirror:
        """The same: for whoever has a topic at hand only."""
        self._found(topic)
        return self

    def topics(self) -> Sequence[str]:
        """Those asked for so far that have an object."""
        return [topic for topic in self._listed if self._found(topic)]

    def bounds(self, topic: str) -> Mapping[int, tuple[int, int]]:
        """First kept and next offset, as far as nothing is missing from where the read begins; all partitions of which
        something was read are there, kept or not."""
        found = {partition: self._bounds(partition, laid) for partition, laid in self._found(topic).items()}
        for partition, offset in self._offsets.items():
            found.setdefault(partition, (offset, offset))
        return found

    def identity(self, topic: str) -> str | None:
        """Objects do not tell of which topic they were."""
        return None

    def read(self, topic: str, offsets: Offsets, until: Offsets) -> Iterator[pa.RecordBatch]:
        """Of each partition that `until` names the messages from its offset on, object by object."""
        listed = self._found(topic)
        for partition, end in until.items():
            laid = listed.get(partition, [])
            place = offsets.get(partition, laid[0].first if laid else 0)
            while place < end and (rows := self._at(partition, laid, place)) is not None:
                wanted = rows.filter(pc.less(rows.column("offset"), end))
                yield from wanted.combine_chunks().to_batches()
                place = rows.column("offset")[-1].as_py() + 1

    def wait(self, topic: str, offsets: Offsets, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while True:
            if any(end > offsets.get(partition, 0) for partition, (_, end) in self.bounds(topic).items()):
                return True
            left = until - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, _LOOKS_S))
            self._listed.pop(topic, None)

    def _found(self, topic: str) -> dict[int, list[Laid]]:
        """Listed once, and again as long as nothing is there."""
        if not self._listed.get(topic):
            self._listed[topic] = self._objects.listed(topic)
        return self._listed[topic]

    def _bounds(self, partition: int, laid: Sequence[Laid]) -> tuple[int, int]:
        first = laid[0].first
        place = reach = self._offsets.get(partition, first)
        begin = max(bisect_right([one.first for one in laid], place) - 1, 0)
        newest = max(one.changed_us for one in laid[: begin + 1])
        for number in range(begin, len(laid) - 1):
            behind = laid[number + 1]
            newest = max(newest, laid[number].changed_us)
            if newest <= behind.changed_us:
                continue
            reach = self._reach(partition, laid, number, reach)
            if reach >= behind.first:
                continue
            if not any(one.changed_us > newest for one in laid[number + 1 :]):
                return min(first, place), max(reach, place)
            if place < reach:
                return first, reach
            if place < behind.first:
                first = place = behind.first
        return first, self._reach(partition, laid, len(laid) - 1, max(reach, place))

    def _reach(self, partition: int, laid: Sequence[Laid], number: int, least: int) -> int:
        """Behind the last message of an object and of those before it that it may lie within."""
        ends = (self._objects.end(one, partition) for one in (laid[number], *_beneath(laid, number)))
        return max(least, *ends)

    def _at(self, partition: int, laid: Sequence[Laid], place: int) -> pa.Table | None:
        """Messages of one object from `place` on, or from the first one behind it; None where there are none."""
        number = bisect_right([one.first for one in laid], place) - 1
        here = [laid[number], *_beneath(laid, number)] if number >= 0 else []
        for one in (*here, *laid[number + 1 :]):
            rows = self._objects.messages(one, partition)
            rows = rows.filter(pc.greater_equal(rows.column("offset"), place))
            if rows.num_rows:
                return rows
        return None


def _beneath(laid: Sequence[Laid], number: int) -> Sequence[Laid]:
    """Objects before one that may go further than it, the next one first: none where all were written in order."""
    window = laid[max(0, number - _BACK) : number + 2]
    if all(one.changed_us <= other.changed_us for one, other in pairwise(window)):
        return ()
    return laid[max(0, number - _BACK) : number][::-1]
