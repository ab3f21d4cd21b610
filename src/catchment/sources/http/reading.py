"""What is new of one stream as batches, with cursors where a load may end.

A stream with a cursor lands as it is read: the position after each page can ride in a commit, so that a read which was
killed goes on there. Its mark moves once all pages were read, for records come in any order. A stream without one is
read whole, as one load.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from catchment.errors import CatchmentError
from catchment.records import Batch, Budget, Cursor, Description, Notice
from catchment.sources.files.json_lines import Validity
from catchment.sources.http.endpoint import Since
from catchment.sources.http.landed import Landed
from catchment.sources.http.rows import SCHEMA, digest, rows
from catchment.sources.http.turns import Pages, Turn
from catchment.sources.http.waits import Clock

# A whole read up to this size is held until it is known whether anything has changed.
_HELD = 32 << 20

# An API is slow: a load ends where a read that is killed would lose so much, or so many seconds.
LOAD_BYTES = 32 << 20
LOAD_S = 120.0


@dataclass
class _Load:
    """How much has been read since the last cursor."""

    most: int
    clock: Clock
    size: int = 0

    def __post_init__(self) -> None:
        self._began = self.clock.now()

    def ends(self) -> bool:
        """Whether it is enough; then the next one begins."""
        if self.size < self.most and self.clock.now() < self._began + LOAD_S:
            return False
        self.size, self._began = 0, self.clock.now()
        return True


@dataclass
class Reading:
    """Turns as batches, with cursors where a load may end."""

    pages: Pages
    budget: Budget

    @cached_property
    def _validity(self) -> Validity:
        return Validity()

    def _batch(self, turn: Turn, first: int) -> Batch:
        found = rows(turn.records, turn.origin, first, self._validity, turn.given)
        return Batch(found, None, turn.bytes)

    def _is_enough(self, count: int) -> bool:
        return self.budget.rows is not None and count >= self.budget.rows

    def since(self, cursor: Cursor | None, since: Since) -> Iterator[Batch]:
        """What is new. A batch waits for the next page, so that the last one carries the end of the read."""
        landed = Landed.of(self.pages.endpoint.feed, since.order, cursor)
        unsettled, waiting, count = landed.going is not None, None, 0
        load = _Load(min(self.budget.bytes, LOAD_BYTES), self.pages.client.clock)
        turns = self.pages.since(landed, since)
        while True:
            try:
                turn = next(turns, None)
            except CatchmentError:
                if waiting is not None:
                    yield _with(waiting, landed.cursor())
                raise
            if turn is None:
                break
            if turn.records and waiting is not None:
                yield _with(waiting, landed.cursor() if load.ends() else None)
                waiting = None
                if self._is_enough(count):
                    return
            self.take(landed, turn)
            if turn.records:
                waiting = self._batch(turn, landed.rows - len(turn.records))
                load.size += turn.bytes
                count += len(turn.records)
        if waiting is not None:
            yield _with(waiting, landed.cursor())
        elif unsettled:
            yield Batch(SCHEMA.empty_table(), landed.cursor())

    @staticmethod
    def take(landed: Landed, turn: Turn) -> None:
        """Remember a turn's records, and where the next one is."""
        part = landed.part(turn.part.name)
        for mark, place in turn.marks:
            part.take(mark, place)
        landed.rows += len(turn.records)
        if turn.next is None:
            landed.finished(turn.part.name, last=turn.last)
        else:
            landed.goes_on(turn.part.name, turn.next)

    def whole(self, cursor: Cursor | None) -> Iterator[Batch]:
        """Everything as one load; nothing where it is what the last load was."""
        value = {} if cursor is None else cursor.value
        before = first = int(value.get("rows", 0))
        held: list[Batch] = []
        size = count = total = 0
        for turn in self.pages.whole():
            total += digest(turn.records, turn.part.name)
            count += len(turn.records)
            if turn.records:
                held.append(self._batch(turn, first))
            first += len(turn.records)
            size += turn.bytes
            if self._is_enough(count):
                yield from held
                return
            while size > _HELD and len(held) > 1:
                yield held.pop(0)
        now = {"records": count, "digest": f"{total % (1 << 128):032x}"}
        is_same = now == {name: value.get(name) for name in now}
        if (is_same and size <= _HELD) or (cursor is None and not count):
            return
        after = Cursor({**now, "rows": before if is_same else first})
        if not held:
            yield Batch(SCHEMA.empty_table(), after, notices=(_empty(self.pages.endpoint.feed),), unchanged=is_same)
        yield from held[:-1]
        for batch in held[-1:]:
            yield Batch(batch.rows, after, batch.bytes, unchanged=is_same)


def described(pages: Pages, cursor: Cursor | None, most: int) -> Description:
    """The pages that were read to find something new, none where nothing is; after `most` pages it is."""
    nothing = Description(item="page")
    endpoint, size = pages.endpoint, 0
    if endpoint.since is None:
        return _changed(pages, cursor, most) or nothing
    landed = Landed.of(endpoint.feed, endpoint.since.order, cursor)
    is_going = landed.going is not None
    for turn in pages.since(landed, endpoint.since):
        size += turn.bytes
        if turn.records or pages.read >= most:
            ends = turn.last and turn.next is None and not is_going
            return Description(pages.read, size, "page", at_least=not ends)
        Reading.take(landed, turn)
    return nothing


def _changed(pages: Pages, cursor: Cursor | None, most: int) -> Description | None:
    count, total, size = 0, 0, 0
    for turn in pages.whole():
        count, size = count + len(turn.records), size + turn.bytes
        total += digest(turn.records, turn.part.name)
        if not turn.last and (pages.read >= most or (cursor is None and count)):
            return Description(pages.read, size, "page", at_least=True)
    value = {} if cursor is None else cursor.value
    before = (value.get("records", 0), value.get("digest", f"{0:032x}"))
    is_same = before == (count, f"{total % (1 << 128):032x}")
    return None if is_same else Description(pages.read, size, "page")


def _empty(feed: str) -> Notice:
    message = f"{feed} has no records now; an empty answer deletes nothing"
    return Notice("empty_file", message, {"stream": feed})


def _with(batch: Batch, cursor: Cursor | None) -> Batch:
    return Batch(batch.rows, cursor, batch.bytes)
