"""A stream in several shards: a bronze table each, so that processes land them side by side and none waits for another.

A message belongs to the shard that its partition's number is left with, divided by how many there are, so that messages
of one key stay in one table. Every table's state tells of how many it is one (`of`). Where the project has more by now,
whoever lands first tells every table so, in a commit without rows: a process that goes by the old number finds its
table changed and stops. Only then are partitions read on, each where the tables say that it was left; where a stream
begins is told of all its partitions by the shard that lands first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from catchment.errors import fewer_shards
from catchment.interfaces import Lake, Source, Table
from catchment.naming import bronze_table, shard
from catchment.records import Change, Cursor, Feed, Progress, bronze_schema

_KEY = "shards"


@dataclass(frozen=True)
class Sharing:
    """One shard of a stream, or the whole of one that has no others."""

    lake: Lake
    feed: Feed
    source: Source

    def since(self, table: Table | None) -> Cursor | None:
        """Where the shard is read on; `table` is the shard's own. Changes nothing."""
        if table is not None and table.progress().shards > self._count:
            raise fewer_shards(self.feed.stream, table.progress().shards, self._count)
        if table is not None and self._is_settled(table.progress()):
            return _cursor(table)
        # A shard that has never landed begins where the stream did: whoever landed first has told it of all partitions.
        known = [*([] if table is None else [table]), *self._others()]
        told = [cursor for found in known if (cursor := _cursor(found))]
        return self.source.joined(self.feed, told) if told else None

    def place(self) -> Cursor | None:
        """The same as the lake tells it now; what is kept beside a place is not looked up."""
        glance = self.lake.glance(self.feed.table)
        if self._count > 1 and (glance is None or not self._is_settled(glance.progress)):
            return self.since(self.lake.open(self.feed.table))
        value = None if glance is None else glance.progress.cursors.get("land")
        return None if value is None else Cursor(value)

    def settled(self, table: Table | None) -> Table | None:
        """The shard's table once every table of the stream says how many there are.

        Raises ConfigError where there are more than the project says, and Conflict.
        """
        found = {0: table} if self._count == 1 else {}
        if self._count > 1 or table is None:
            found = {number: self.lake.open(self._name(number)) for number in range(self._count)}
        known = max((one.progress().shards for one in found.values() if one is not None), default=0)
        if known > self._count:
            raise fewer_shards(self.feed.stream, known, self._count)
        if known in (0, self._count) and all(o.progress().shards == known for o in found.values() if o is not None):
            return table
        for number in range(self._count):
            there = found[number]
            if there is None and number < known:
                there = self.lake.create(self._name(number), bronze_schema([]))
            if there is not None and there.progress().shards < self._count:
                self._hand_over(there)
        return self.lake.open(self.feed.table)

    def landed(self, progress: Progress) -> Mapping[str, Mapping[str, Any]]:
        """What the state of a commit of this shard says beside how far it was read."""
        if self._count == 1:
            return {}
        return {_KEY: {**progress.cursors.get(_KEY, {}), "of": self._count, "joined": True}}

    def above(self, table: Table) -> int:
        """The number that the next load must lie above: loads are told apart by their numbers in silver, and the rows
        that a partition brings to this table are newer than those that it brought to another."""
        progress = table.progress()
        if self._count == 1 or self._is_settled(progress):
            return 0
        return max((found.progress().generation for found in self._others()), default=0)

    def _hand_over(self, table: Table) -> None:
        before = table.progress()
        told = {"of": self._count, "joined": False}
        table.commit(table.claim(), Change(what="share"), replace(before, cursors={**before.cursors, _KEY: told}))

    def _is_settled(self, progress: Progress) -> bool:
        """Whether the shard has landed since there are so many."""
        joined = progress.cursors.get(_KEY, {}).get("joined", True)
        return progress.shards == self._count and bool(joined)

    @property
    def _count(self) -> int:
        return self.feed.shards

    def _name(self, number: int) -> Any:
        return bronze_table(shard(self.feed.stream, number))

    def _others(self) -> Sequence[Table]:
        if self._count == 1:
            return ()
        numbers = [number for number in range(self._count) if number != self.feed.shard]
        return [found for number in numbers if (found := self.lake.open(self._name(number))) is not None]


def _cursor(table: Table) -> Cursor | None:
    value = table.progress().cursors.get("land")
    return None if value is None else Cursor(value=value, seen=table.seen())
