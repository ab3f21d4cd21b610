"""One read of a topic: from the offsets in the cursor to those that are next when it begins, partition by partition."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, Protocol

import pyarrow.compute as pc

from catchment.errors import ConfigError, DataError, Passed
from catchment.naming import did_you_mean
from catchment.records import JSON, Batch, Budget, Cursor, Description, Feed, Notice

if TYPE_CHECKING:
    import pyarrow as pa

    from catchment.sources.topic.log import Log
    from catchment.sources.topic.rows import Maker


# So few messages are read of all partitions at once: each partition by itself would wait for an answer of its own.
_FEW = 2_000


class Reads(Protocol):
    """What a project says about where a topic's messages are read from."""

    @property
    def from_(self) -> Literal["earliest", "latest"]: ...
    @property
    def on_gap(self) -> Literal["stop", "continue"]: ...


@dataclass(frozen=True)
class Place:
    """How far a topic was read: by partition the next offset, and the time of the last message that was read.

    `identity` is what `Broker.identity` said; `anew` is when it was found that this topic is not the one before.
    """

    topic: str
    offsets: Mapping[int, int] = field(default_factory=dict)
    instants: Mapping[int, str] = field(default_factory=dict)
    identity: str | None = None
    anew: str = ""

    @classmethod
    def of(cls, topic: str, since: Cursor | None, feed: str) -> Place:
        """Raises ConfigError where the cursor is another topic's."""
        if since is None:
            return cls(topic)
        told = since.value
        if told.get("topic") != topic:
            message = f"{feed} was read from topic {told.get('topic')}; the project now says {topic}"
            raise ConfigError(message, hint="write the topic as it was, or land the other one under another name")
        offsets = {int(partition): offset for partition, offset in told["offsets"].items()}
        instants = {int(partition): at for partition, at in told.get("at", {}).items()}
        return cls(topic, offsets, instants, told.get("id"), told.get("anew", ""))

    @classmethod
    def furthest(cls, places: Sequence[Place]) -> Place:
        """Of several places in one topic, for each partition the one that lies furthest; those in a topic that was
        removed since do not count."""
        newest = max(places, key=lambda place: (place.anew, place.identity or ""))
        alive = [one for one in places if one.identity == newest.identity or not (one.identity or newest.anew)]
        offsets: dict[int, int] = {}
        instants: dict[int, str] = {}
        for place in alive:
            for partition, offset in place.offsets.items():
                if offset > offsets.get(partition, -1):
                    offsets[partition] = offset
                    instants.pop(partition, None)
                    if partition in place.instants:
                        instants[partition] = place.instants[partition]
        return replace(newest, offsets=offsets, instants=instants)

    def cursor(self) -> Cursor:
        """Partitions of which nothing was read are left out: they begin at 0."""
        offsets: dict[str, JSON] = {str(number): self.offsets[number] for number in sorted(self.offsets)}
        instants: dict[str, JSON] = {str(number): self.instants[number] for number in sorted(self.instants)}
        read = {number: offset for number, offset in offsets.items() if offset}
        beside: dict[str, JSON] = {"at": instants, "id": self.identity, "anew": self.anew}
        return Cursor({"topic": self.topic, "offsets": read, **{key: told for key, told in beside.items() if told}})


@dataclass(frozen=True)
class Gap:
    """Messages of one partition that went before they were read: those from `after` on and before `first`.

    `last` is the time of the last one that was read, `kept` that of the first one that is there, as far as known.
    """

    partition: int
    after: int
    first: int
    last: datetime | None
    kept: datetime | None

    def __len__(self) -> int:
        return self.first - self.after

    def __str__(self) -> str:
        which = f"{self.after:,}" if len(self) == 1 else f"{self.after:,} to {self.first - 1:,}"
        lay = [
            *([] if self.last is None else [f"the last one read is of {_shown(self.last)}"]),
            *([] if self.kept is None else [f"the first one kept of {_shown(self.kept)}"]),
        ]
        return f"{which} of partition {self.partition}" + (f" ({', '.join(lay)})" if lay else "")


class Following:
    """One read. Messages that are written while it goes on are left to the next one."""

    def __init__(self, broker: Log, feed: Feed, topic: str, reads: Reads, since: Cursor | None) -> None:
        self._broker = broker
        self._feed = feed.name
        self._shard, self._shards = feed.shard, feed.shards
        self._topic = topic
        self._reads = reads
        self._since = Place.of(topic, since, feed.name)
        self._is_first = since is None
        self._next = dict(self._since.offsets)
        self._instants = dict(self._since.instants)
        self._lost: list[Notice] = []

    def describe(self) -> Description:
        """Raises Passed and DataError as `read` would."""
        everywhere = self._bounds()
        if everywhere is None:
            return Description(item="message", notices=(self._absent(),) if self._is_first else ())
        bounds = self._of_ours(everywhere)
        if not bounds:
            return Description(item="message", notices=(self._left_out(everywhere),))
        begins = self._begin(bounds, look=None)
        if self._is_first and self._reads.from_ == "latest":
            there = sum(until - first for first, until in bounds.values())
            message = f"begins behind the {there:,} messages that are there (from: latest)"
            return Description(1, 0, "place", (Notice("said", message, {"stream": self._feed}),))
        self._pass_over(self._gaps(bounds, begins), begins)
        new = sum(until - begins[partition] for partition, (_, until) in bounds.items())
        notices = (*self._lost, *self._nearly_lost(bounds, begins))
        return Description(1, 0, "gap", notices) if self._lost and not new else Description(new, 0, "message", notices)

    def read(self, maker: Maker, budget: Budget) -> Iterator[Batch]:
        """A load may end after any batch; what was lost is told with the batch that comes next."""
        everywhere = self._bounds()
        if everywhere is None:
            return
        bounds = self._of_ours(everywhere)
        if not bounds:
            return
        wanted = budget.rows if self._is_first else None
        # What this shard knows of the partitions of others goes on, for who lands them later: where a stream begins is
        # settled for all of it by the first who reads.
        others = self._begin(everywhere, look=None) if self._is_first else self._since.offsets
        self._next = {**others, **self._begin(bounds, look=wanted)}
        self._pass_over(self._gaps(bounds, self._next), self._next)
        ended, size, count = self._since, 0, 0
        for messages in self._messages(bounds):
            rows = maker.rows(messages, f"{self._topic}/{messages.column('partition')[0].as_py()}")
            weight = _weight(messages)
            size, count = size + weight, count + rows.num_rows
            is_end = size >= budget.bytes
            yield Batch(rows, self._place().cursor() if is_end else None, weight, self._told())
            if is_end:
                ended, size = self._place(), 0
            if wanted is not None and count >= wanted:
                break
        moved = self._place().cursor() != ended.cursor() or (self._is_first and self._reads.from_ == "latest")
        if moved or self._lost:
            yield Batch(maker.schema.empty_table(), self._place().cursor(), 0, self._told())

    def wait(self, seconds: float) -> bool:
        """Whether a message that was not read is there, at the latest after so long."""
        if self._topic not in self._broker.topics():
            time.sleep(seconds)
            return self._topic in self._broker.topics()
        bounds = self._broker.bounds(self._topic)
        if self._is_another(self._broker.identity(self._topic), bounds):
            return True
        begins = self._begin(self._of_ours(bounds), look=None)
        # What comes for other shards from now on wakes this one for nothing, once a read.
        others = {partition: until for partition, (_, until) in bounds.items()}
        return self._broker.wait(self._topic, {**others, **begins}, seconds)

    def _bounds(self) -> dict[int, tuple[int, int]] | None:
        """First kept and next offset by partition, of all shards; None where there is no such topic and never was."""
        if self._is_first and self._topic not in self._broker.topics():
            return None
        bounds = dict(self._broker.bounds(self._topic))
        there = self._broker.identity(self._topic)
        if self._is_another(there, bounds):
            self._begin_anew()
        elif lacking := self._lacking(bounds):
            hint = (
                "it was put back from an older copy, or made anew: bring a newer copy, or read again from an earlier"
                f" place: catchment rewind {self._feed} --to-time, or --to-start"
            )
            raise DataError(lacking, hint=hint)
        # A cursor of before topics were told apart takes the one that is there.
        self._since = replace(self._since, identity=there or self._since.identity)
        return bounds

    def _is_another(self, there: str | None, bounds: Mapping[int, tuple[int, int]]) -> bool:
        """Whether the topic was removed and made anew since it was read. Of one that was read when nobody could tell,
        that it ends before what has landed says so."""
        known = self._since.identity
        return there is not None and there != known and (known is not None or bool(self._lacking(bounds)))

    def _lacking(self, bounds: Mapping[int, tuple[int, int]]) -> str:
        """Which messages have landed that the topic does not have yet; empty where there are none."""
        for partition, offset in self._since.offsets.items():
            _, until = bounds.get(partition, (0, 0))
            if self._is_ours(partition) and until < offset:
                landed = f"{self._feed}: messages up to {offset - 1:,} of {self._topic}/{partition} have landed"
                return f"{landed}, and it now ends before {until:,}"
        return ""

    def _begin_anew(self) -> None:
        """Go on with the topic that has taken the place of the one that was read. Raises DataError where the stream
        says stop."""
        words = f"topic {self._topic} was made anew since it was read: what had not landed of the one before is lost"
        if self._reads.on_gap == "stop":
            hint = (
                "go on with the new one from its beginning: on_gap: continue at the stream, at least for one run. What"
                " has landed stays"
            )
            message = f"{self._feed}: {words}"
            raise DataError(message, hint=hint)
        before: dict[str, JSON] = {str(number): offset for number, offset in sorted(self._since.offsets.items())}
        detail: dict[str, JSON] = {"stream": self._feed, "topic": self._topic, "landed": before}
        self._lost.append(Notice("lost", f"{words}; the new one is read from its beginning", detail))
        self._since = Place(self._topic, anew=datetime.now(UTC).isoformat())
        self._next, self._instants = {}, {}

    def _is_ours(self, partition: int) -> bool:
        return partition % self._shards == self._shard

    def _of_ours(self, found: Mapping[int, tuple[int, int]]) -> dict[int, tuple[int, int]]:
        return {partition: found[partition] for partition in sorted(found) if self._is_ours(partition)}

    def _left_out(self, everywhere: Mapping[int, tuple[int, int]]) -> Notice:
        message = "; ".join(left_out(self._topic, self._shards, len(everywhere)))
        return Notice("said", message, {"stream": self._feed, "shards": self._shards, "partitions": len(everywhere)})

    def _absent(self) -> Notice:
        known = self._broker.topics()
        near = did_you_mean(self._topic, known) or (f"there are {', '.join(known)}" if known else "there are none yet")
        return Notice("nothing_found", f"there is no topic {self._topic}: {near}", {"stream": self._feed})

    def _begin(self, bounds: Mapping[int, tuple[int, int]], look: int | None) -> dict[int, int]:
        """The offset at which each partition is gone on with; one that is new since the last read from its beginning.

        Who only wants a look is shown the last messages of a stream that begins behind them.
        """
        if not self._is_first:
            return {partition: self._since.offsets.get(partition, 0) for partition in bounds}
        if self._reads.from_ == "earliest":
            return {partition: first for partition, (first, _) in bounds.items()}
        return {partition: max(first, until - (look or 0)) for partition, (first, until) in bounds.items()}

    def _gaps(self, bounds: Mapping[int, tuple[int, int]], begins: Mapping[int, int]) -> list[Gap]:
        return [
            self._gap(partition, begins[partition], first, until)
            for partition, (first, until) in bounds.items()
            if begins[partition] < first
        ]

    def _gap(self, partition: int, after: int, first: int, until: int) -> Gap:
        last, kept = self._instants.get(partition), self._instant(partition, first, until)
        return Gap(partition, after, first, None if last is None else datetime.fromisoformat(last), kept)

    def _nearly_lost(self, bounds: Mapping[int, tuple[int, int]], begins: Mapping[int, int]) -> Iterator[Notice]:
        """Partitions that retention takes from, and of which most of what is kept is not read.

        Times would tell nothing: messages may be of long ago, and retention goes by when they were written.
        """
        for partition, (first, until) in bounds.items():
            unread, kept = until - begins[partition], until - first
            if first and not self._is_first and 2 * unread > kept:
                message = (
                    f"{unread:,} of the {kept:,} messages that {self._topic}/{partition} keeps are not read, and it has"
                    " let go of older ones: land it more often, or let the topic keep them longer"
                )
                yield Notice("said", message, {"stream": self._feed, "partition": partition})

    def _instant(self, partition: int, offset: int, until: int) -> datetime | None:
        """The time of one message, None where it is not there."""
        if offset >= until:
            return None
        try:
            found = next(iter(self._broker.read(self._topic, {partition: offset}, {partition: offset + 1})), None)
        except Passed:
            return None
        instant: datetime | None = None if found is None else found.column("at")[0].as_py()
        return instant

    def _pass_over(self, gaps: Sequence[Gap], places: dict[int, int]) -> None:
        """Go on behind gaps, which are told. Raises Passed where the stream says stop."""
        if not gaps:
            return
        count = sum(map(len, gaps))
        what = f"{count:,} message{'' if count == 1 else 's'} of topic {self._topic}"
        words = f"{what} went before they were read: {'; '.join(map(str, gaps))}"
        if self._reads.on_gap == "stop":
            hint = (
                "go on with what is kept: on_gap: continue at the stream. That it does not happen again: a longer"
                " retention of the topic, or runs closer together"
            )
            message = f"{self._feed}: {words}"
            raise Passed(message, hint=hint)
        ranges: dict[str, JSON] = {str(gap.partition): [gap.after, gap.first - 1] for gap in gaps}
        detail = {"stream": self._feed, "topic": self._topic, "messages": count, "partitions": ranges}
        self._lost.append(Notice("lost", words, detail))
        places.update({gap.partition: gap.first for gap in gaps})

    def _messages(self, bounds: Mapping[int, tuple[int, int]]) -> Iterator[pa.RecordBatch]:
        """New messages, one partition after the other; each batch is read when it is given, as `_next` tells."""
        ends = {partition: until for partition, (_, until) in bounds.items()}
        if sum(until - self._next[partition] for partition, until in ends.items()) <= _FEW:
            yield from self._up_to(ends)
            return
        for partition, until in ends.items():
            yield from self._up_to({partition: until})

    def _up_to(self, ends: Mapping[int, int]) -> Iterator[pa.RecordBatch]:
        while any(self._next[partition] < until for partition, until in ends.items()):
            try:
                yield from self._found(ends)
            except Passed:
                bounds = self._broker.bounds(self._topic)
                firsts = {partition: min(bounds[partition][0], until) for partition, until in ends.items()}
                gaps = [
                    self._gap(partition, self._next[partition], first, ends[partition])
                    for partition, first in firsts.items()
                    if self._next[partition] < first
                ]
                if not gaps:
                    raise
                # Retention took them while others were read.
                self._pass_over(gaps, self._next)
            else:
                self._next.update(ends)

    def _found(self, ends: Mapping[int, int]) -> Iterator[pa.RecordBatch]:
        begins = {
            partition: self._next[partition] for partition, until in ends.items() if self._next[partition] < until
        }
        found = self._broker.read(self._topic, begins, {one: ends[one] for one in begins})
        if len(begins) > 1:
            # A broker gives them as they come; a load has them in the same order whoever reads it.
            found = iter(sorted(found, key=_partition))
        for messages in found:
            if messages.num_rows:
                partition = _partition(messages)
                self._next[partition] = messages.column("offset")[-1].as_py() + 1
                self._instants[partition] = messages.column("at")[-1].as_py().isoformat()
                yield messages

    def _place(self) -> Place:
        return replace(self._since, offsets=dict(self._next), instants=dict(self._instants))

    def _told(self) -> tuple[Notice, ...]:
        """What was lost and not told yet."""
        told, self._lost = tuple(self._lost), []
        return told


def left_out(topic: str, shards: int, partitions: int) -> tuple[str, str]:
    """What is to be said of a shard whose number is greater than that of any partition, and the cure."""
    some = f"{partitions:,} partition{'' if partitions == 1 else 's'}"
    cure = f"write partitions: {shards} for it under topics, or shards: {partitions} before any of it has landed"
    return f"nothing lands in this one of {shards} shards, because topic {topic} has {some}", cure


def _partition(messages: pa.RecordBatch) -> int:
    partition: int = messages.column("partition")[0].as_py()
    return partition


def _weight(messages: pa.RecordBatch) -> int:
    """Bytes of keys and values."""
    lengths = [pc.sum(pc.binary_length(messages.column(name))).as_py() for name in ("key", "value")]
    return sum(length or 0 for length in lengths)


def _shown(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"
