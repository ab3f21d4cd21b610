"""One read of a change stream: collections that are to be read whole, then what happened since."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from typing import Any

from bson.datetime_ms import DatetimeMS
from bson.timestamp import Timestamp

from catchment.errors import ConfigError
from catchment.naming import DELETE, INSERT, SNAPSHOT, TRUNCATE, UPDATE
from catchment.records import Batch, Budget, Notice
from catchment.sources.changes import Changes
from catchment.sources.files.cuts import LONGEST_RECORD
from catchment.sources.mongodb.documents import Unrepresentable, documents
from catchment.sources.mongodb_changes.position import REFRESH_S, Clock, Position, instant
from catchment.sources.mongodb_changes.tail import Event, Tail
from catchment.sources.mongodb_changes.watched import Watched

# Rows wait for each other until they are worth handing on.
_BATCH = 8 << 20

# So many documents are asked for at a time when a collection is read whole.
_AT_A_TIME = 2000

# MongoDB's word for what happened to a document, and ours.
_OPS = {"insert": INSERT, "update": UPDATE, "replace": UPDATE, "delete": DELETE}


class Reading:
    """From a position on: `position` moves with what was given, `given` is the last cursor that was."""

    def __init__(self, watched: Watched, position: Position, budget: Budget, tail: Tail | None = None) -> None:
        self.position = watched.following(position)
        self.given: dict[str, Any] | None = None
        self._watched = watched
        self._names = watched.names(position)
        self._budget = budget
        self._tail = tail
        self._clock = Clock(position.committed)
        self._rows = Changes(position.rows, watched.origin)
        self._bytes = 0  # of the load so far
        self._notices: list[Notice] = []
        self._gone = 0  # updates of documents that were gone when they were looked up

    def close(self) -> None:
        tail = self.give_up_tail()
        if tail is not None:
            tail.close()

    def give_up_tail(self) -> Tail | None:
        tail, self._tail = self._tail, None
        return tail

    def look(self, rows: int) -> Iterator[Batch]:
        """About the first so many documents, without a change stream."""
        time = self._watched.operation_time()
        self._clock.last = 0 if time is None else instant(time)
        for name in self._watched.streams:
            self._watched.must_be_there(name)
            for _ in self._document_blocks(name, self._clock.next(), rows - len(self._rows)):
                pass
            if len(self._rows) >= rows:
                break
        yield Batch(self._rows.table(), self.position.cursor(), self._rows.bytes)

    def begin_anew(self, notice: Notice) -> Iterator[Batch]:
        """After a gap: everything that has landed goes, and every collection is read."""
        if self._rows or self._bytes:
            yield self._flush(ends=True)
        self.close()
        self._notices.append(notice)
        self.position = self.position.lost()
        yield from self.batches()

    def batches(self) -> Iterator[Batch]:
        if self.position.token is None:
            self._take_a_place()
        is_more = True
        while is_more:
            for name in self._missing():
                yield from self._snapshot(name)
            is_more = yield from self._follow()

    def _missing(self) -> list[str]:
        return [name for name in self._watched.streams if self.position.collections.get(name) is None]

    def _take_a_place(self) -> None:
        """Before any collection is read, so that nothing falls between it and the stream."""
        time = self._watched.now()
        self._tail = Tail(self._watched.database, self._names)
        if self._tail.token is None:
            message = f"{self._watched.feed}: the server gives no resume token: it is older than MongoDB 4.0.7"
            raise ConfigError(message, hint="read its collections with `type: mongodb`")
        self._clock.last = max(self._clock.last, instant(time))
        self.position = replace(self.position, token=self._tail.token, moved=time.time)

    def _snapshot(self, name: str) -> Iterator[Batch]:
        """A collection whole, as one load; what has landed of it before goes first."""
        if name in self.position.collections:
            self._rows.add(name, TRUNCATE, self._clock.next(), None)
        else:
            self._watched.must_be_there(name)  # a slip of the pen would bring nothing for ever
        for _ in self._document_blocks(name, self._clock.next()):
            if self._rows.bytes >= _BATCH:
                yield self._flush()
        followed = {**self.position.collections, name: self._watched.places[name]}
        self.position = replace(self.position, collections=followed)
        yield self._flush(ends=True)

    def _document_blocks(self, name: str, at: datetime, limit: int = 0) -> Iterator[None]:
        """Adds the documents of a collection, as they come from the server."""
        stream = self._watched.streams[name]
        found: Any = self._watched.documents(stream).find_raw_batches(sort=[("_id", 1)], limit=limit)
        found.batch_size(_AT_A_TIME)
        with closing(found):
            for block in found:
                for raw in documents(block):
                    self._add(name, SNAPSHOT, at, raw)
                yield

    def _follow(self) -> Generator[Batch, None, bool]:
        """What happened up to now; whether a collection is to be read anew before it goes on."""
        if self._tail is None:
            self._tail = Tail(self._watched.database, self._names, self.position.token)
        end = self._watched.now()
        while (event := self._tail.next_until(end)) is not None:
            if self._bytes >= max(self._budget.bytes, 1) and self._clock.is_new(event["clusterTime"]):
                yield self._flush(ends=True)
            if self._take(event):
                self.position = replace(self.position, token=dict(event["_id"]), moved=end.time)
            if self._missing():
                break
            if self._rows.bytes >= _BATCH:
                yield self._flush()
        if self._missing():
            yield self._flush(ends=True)
            return True
        yield from self._end(end)
        return False

    def _end(self, end: Timestamp) -> Iterator[Batch]:
        """The last load, also without a row where the position has not moved for long."""
        is_at_end = self._tail is not None and self._tail.is_at_end
        is_old = is_at_end and end.time - self.position.moved >= REFRESH_S
        if not (self._rows or self._bytes or is_old):
            return
        if self._tail is not None and is_at_end:
            self.position = replace(self.position, token=self._tail.token, moved=end.time)
        yield self._flush(ends=True)

    def _take(self, event: Event) -> bool:
        """Add what an event says; whether it says anything of a collection that is followed."""
        place, what = event.get("ns") or {}, event["operationType"]
        names = self._watched.by_collection.get(place.get("coll", ""), ())
        if what in _OPS:
            for name in names:
                self._change(name, event)
            return bool(names)
        if what == "rename":
            self._renamed(names, event)
        elif what == "drop" and names:
            self._truncate(names, event, f"{self._watched.origin}.{place['coll']} was dropped")
        return bool(names) or what in ("rename", "invalidate")

    def _change(self, name: str, event: Event) -> None:
        op, at = _OPS[event["operationType"]], self._at(event)
        document = event["documentKey"] if op == DELETE else event.get("fullDocument")
        if document is None:
            # It was deleted since, or its collection was dropped: that follows, and nobody can tell what it was.
            self._gone += 1
        else:
            self._add(name, op, at, document.raw)

    def _at(self, event: Event) -> datetime:
        wall = event.get("wallTime")  # from MongoDB 6.0 on
        return self._clock.at(event["clusterTime"], wall if isinstance(wall, DatetimeMS) else None)

    def _truncate(self, names: tuple[str, ...], event: Event, what: str) -> None:
        for name in names:
            self._rows.add(name, TRUNCATE, self._at(event), None)
            self._bytes += 1
        detail = {"streams": list(names)}
        self._notices.append(Notice("said", f"{what}: all rows of {self._listed(names)} go", detail))

    def _renamed(self, names: tuple[str, ...], event: Event) -> None:
        """What had the old name is gone; what has the new one now was never told, and is read."""
        old, new = event["ns"]["coll"], event["to"]["coll"]
        words = f"{self._watched.origin}.{old} was renamed to {new}"
        if names:
            self._truncate(names, event, words)
        arrived = self._watched.by_collection.get(new, ())
        if arrived and event["to"]["db"] == event["ns"]["db"]:
            detail = {"streams": list(arrived)}
            self._notices.append(Notice("said", f"{words}, which is read anew for {self._listed(arrived)}", detail))
            self.position = self.position.lost(arrived)

    def _listed(self, names: tuple[str, ...]) -> str:
        return ", ".join(f"{self._watched.feed}.{name}" for name in names)

    def _add(self, name: str, op: str, at: datetime, raw: bytes) -> None:
        self._bytes += len(raw)
        try:
            text = self._watched.streams[name].rendering(raw)
        except Unrepresentable as error:
            self._rows.add_defect(name, op, at, str(error), raw)
            return
        if len(text) > LONGEST_RECORD:
            reason = f"a document of more than {LONGEST_RECORD >> 20} MB of JSON text"
            self._rows.add_defect(name, op, at, reason, text.encode())
        else:
            self._rows.add(name, op, at, text)

    def _flush(self, *, ends: bool = False) -> Batch:
        """The rows so far; with a cursor where a load may end."""
        rows, size = self._rows.table(), self._rows.bytes
        self.position = replace(self.position, rows=self.position.rows + len(self._rows), committed=self._clock.last)
        self._rows = Changes(self.position.rows, self._watched.origin)
        if self._gone and ends:
            what = "an update was" if self._gone == 1 else f"{self._gone:,} updates were"
            message = f"{what} left out, of what was gone when the server looked for the document"
            self._notices.append(Notice("left_out", message, {"stream": self._watched.feed, "updates": self._gone}))
            self._gone = 0
        notices, self._notices = tuple(self._notices), []
        if not ends:
            return Batch(rows, None, size, notices)
        self._bytes = 0
        cursor = self.position.cursor()
        self.given = dict(cursor.value)
        return Batch(rows, cursor, size, notices)
