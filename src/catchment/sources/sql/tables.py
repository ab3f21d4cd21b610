"""Tables of databases, one snapshot a read: whole, or by a cursor column with a window that is looked at again.

Guarantee: at least once from the database; exactly once in bronze. Rows ride with the cursor that lies after them;
those of the window behind it are known by what they hold: a row that was committed late is found, and none is doubled.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catchment import naming
from catchment.errors import ConfigError, SchemaDrift
from catchment.interfaces import Source
from catchment.records import JSON, Abilities, Batch, Budget, Cursor, Description, Feed, Notice
from catchment.sources.files.shape import LONGEST_RAW, Shape
from catchment.sources.sql.window import Digest, Floor, Ways, Window, floor_of
from catchment.sources.types import widens

# The last column of what a snapshot gives: null in a good row, else why it is none, a line end, and all of it as JSON.
HAZARD = "_hazard"


class TableStream(Protocol):
    """What a project says about a table (`catchment.reading.kinds.sql` has the settings themselves)."""

    @property
    def table(self) -> str: ...
    @property
    def cursor(self) -> str | None: ...
    @property
    def lookback(self) -> str | int: ...
    @property
    def key(self) -> Sequence[str] | None: ...
    @property
    def columns(self) -> Sequence[str] | None: ...
    @property
    def where(self) -> str | None: ...
    @property
    def as_text(self) -> Sequence[str]: ...


def named(stream: TableStream) -> list[str]:
    """Every column that a project names of a table."""
    cursor = [] if stream.cursor is None else [stream.cursor]
    return [*(stream.columns or ()), *stream.as_text, *(stream.key or ()), *cursor]


@dataclass(frozen=True)
class Span:
    """Rows above a value of the cursor column, or from it on, up to another; with nothing said, all."""

    above: Any = None
    including: bool = False
    upto: Any = None


class Snapshot(ABC):
    """One table as it is at one moment, while it is open. Values of the cursor are Arrow scalars of its type.

    `schema` has the columns that a stream brings, under the database's names, in the types that bronze keeps them in.
    Rows whose cursor is null, infinite or outside the years 1 to 9999 are never given.
    """

    origin: str
    schema: pa.Schema
    now: datetime

    @abstractmethod
    def parts(self, span: Span, budget: Budget) -> Iterator[pa.Table]:
        """Rows in the order of cursor and key, `schema` and then `HAZARD`, streamed."""

    @abstractmethod
    def key(self) -> Sequence[str]:
        """The columns that name a row: those of the stream, else the primary key; none where there is none."""

    @abstractmethod
    def count(self, span: Span) -> int:
        """How many rows; about, where it is many and nobody can count them quickly."""

    @abstractmethod
    def bytes(self) -> int:
        """About how much the whole table takes there; 0 where it cannot be told."""

    @abstractmethod
    def mark(self) -> str | None:
        """The same as long as the table holds the same; None where the database has no such thing, or not quickly."""

    @abstractmethod
    def is_small(self) -> bool:
        """Whether all rows may be read once more, only to see whether they are other ones."""


class TableSource(Source):
    """Streams of tables; what is behind them is a subclass's business."""

    abilities: ClassVar[Abilities] = Abilities(keeps_types=True, takes_new=True, takes_whole=True, resumes=True)

    def __init__(self, name: str, streams: Mapping[str, TableStream], folder: Path, url: str) -> None:
        self.name = name
        self._streams = dict(streams)
        self._folder = folder
        self._url = url

    @abstractmethod
    def _opened(self, feed: Feed, stream: TableStream) -> AbstractContextManager[Snapshot]:
        """A connection of its own and a read-only transaction in it. Raises what `Source.read` may."""

    def feeds(self) -> Sequence[Feed]:
        names = [f"{self.name}.{stream}" for stream in self._streams]
        return [Feed(name, naming.bronze_table(name)) for name in names]

    def acknowledge(self, feed: Feed, cursor: Cursor) -> None:
        """A database does not want to hear."""

    def close(self) -> None:
        """Connections are open while something is read."""

    def recognize(self, feed: Feed, origins: pa.Table) -> Cursor:
        """Rows in bronze do not say which of them a next read would meet again."""
        message = f"the rows of {feed.table} do not tell how far {feed.name} was read"
        raise ConfigError(message, hint="move the table away and run again: everything is read anew")

    def describe(self, feed: Feed, since: Cursor | None) -> Description:
        """Counts what lies above the cursor, and looks at the window below it."""
        stream = self._stream(feed)
        with self._opened(feed, stream) as snapshot:
            if since is None:
                count = snapshot.count(Span())
                return _description(count, snapshot.bytes())
            reading = _Reading(feed, stream, snapshot, since)
            if stream.cursor is None:
                is_same = reading.is_same(snapshot.mark())
                return Description(item="row") if is_same else _description(snapshot.count(Span()), snapshot.bytes())
            late = sum(rows.num_rows for rows in reading.late(Budget()))
            return _description(late + snapshot.count(Span(above=reading.at)), 0)

    def read(self, feed: Feed, since: Cursor | None, budget: Budget) -> Iterator[Batch]:
        """Whole: one load, none where nothing has changed. By cursor: loads are cut where its value changes."""
        stream = self._stream(feed)
        with self._opened(feed, stream) as snapshot:
            reading = _Reading(feed, stream, snapshot, since)
            yield from reading.whole(budget) if stream.cursor is None else reading.after(budget)

    def _stream(self, feed: Feed) -> TableStream:
        return self._streams[feed.name.removeprefix(f"{self.name}.")]


def _description(count: int, size: int) -> Description:
    return Description(count, size, "row") if count else Description(item="row")


class _Reading:
    """One read of one stream: what its cursor says, the columns, and how many rows there were before."""

    def __init__(self, feed: Feed, stream: TableStream, snapshot: Snapshot, since: Cursor | None) -> None:
        self._feed, self._stream, self._snapshot = feed, stream, snapshot
        self._value: Mapping[str, JSON] = {} if since is None else since.value
        self._seen = None if since is None else since.seen
        if since is not None and self._value.get("by") != stream.cursor:
            before = self._value.get("by") or "no cursor"
            message = f"{feed.name} was read by {before} so far, and catchment.yaml says {stream.cursor or 'none'}"
            raise ConfigError(message, hint="put it back, or land the table as a new stream under another name")
        self._shape = Shape(feed.name, "evolve", self._value)
        self._names = _fit(self._shape, snapshot)
        self._count = int(self._value.get("rows", 0))
        self._spent = 0
        if stream.cursor is not None:
            self.at = self._scalar("at")

    @property
    def _cursor(self) -> str:
        assert self._stream.cursor is not None
        return self._stream.cursor

    def _scalar(self, key: str) -> Any:
        text = self._value.get(key)
        kind = self._snapshot.schema.field(self._cursor).type
        if text is None:
            return None
        try:
            return pa.scalar(text).cast(kind)
        except pa.ArrowInvalid:
            message = f"{self._feed.name} was read up to {self._cursor} {text}, which is no {kind}"
            raise SchemaDrift(message, hint=_DRIFT) from None

    def whole(self, budget: Budget) -> Iterator[Batch]:
        mark = self._snapshot.mark()
        if self.is_same(mark):
            return
        digest, before = Digest(), self._count
        for rows in self._snapshot.parts(Span(), budget):
            digest.add(rows)
            yield self._batch(rows)
        content = digest.value(self._snapshot.schema)
        empty = self._count == before
        if empty and not self._value:
            return
        value = {**self._shape.pinned.value(), "by": None, "rows": self._count, "digest": content, "mark": mark}
        notices = (*self._shape.take_notices(), *([_empty(self._feed, self._snapshot)] if empty else []))
        unchanged = content == self._value.get("digest")
        if not (empty and unchanged):
            yield Batch(self._shape.pinned.schema.empty_table(), Cursor(value), 0, notices, unchanged)

    def is_same(self, mark: str | None) -> bool:
        """Whether a table that is read whole holds what it held when it was read last, as far as that is told."""
        if not self._value:
            return False
        if mark is not None or not self._snapshot.is_small():
            return mark is not None and mark == self._value.get("mark")
        digest = Digest()
        for rows in self._snapshot.parts(Span(), Budget()):
            digest.add(rows)
        return digest.value(self._snapshot.schema) == self._value.get("digest")

    def late(self, budget: Budget) -> Iterator[pa.Table]:
        """Rows of the window that have not landed; the window knows them from then on."""
        self._window = self._new_window()
        if self.at is None:
            return
        floor = self._scalar("floor")
        span = Span(above=floor, including=not self._value.get("behind"), upto=self.at)
        for rows in self._snapshot.parts(span, Budget(budget.bytes)):
            fresh = self._window.fresh(rows)
            if fresh.num_rows:
                yield fresh

    def _new_window(self) -> Window:
        kind = self._snapshot.schema.field(self._cursor).type
        # A key that is not brought cannot be compared.
        key = [name for name in self._snapshot.key() if name in self._snapshot.schema.names]
        before = self._value.get("present")
        by_key = before is not None and before != self._snapshot.schema.names
        return Window(self._seen, kind, Ways(self._cursor, key, self._by_order, by_key))

    @property
    def _by_order(self) -> bool:
        """Databases have many orders of text; where there is a lookback it is instants that are written."""
        kind = self._snapshot.schema.field(self._cursor).type
        return not pa.types.is_string(kind) or self._stream.lookback != 0

    def after(self, budget: Budget) -> Iterator[Batch]:
        before, last = self._count, self.at
        for rows in self.late(budget):
            yield self._batch(rows)
        for rows in self._snapshot.parts(Span(above=self.at), budget):
            for piece, is_cut in _pieces(rows, self._cursor, last, self._spent >= budget.bytes):
                if piece.num_rows:
                    last = piece.column(self._cursor)[piece.num_rows - 1]
                    self._window.landed(piece, self._floor(last))
                batch = self._batch(piece)
                yield replace(batch, cursor=self._cursor_at(last)) if is_cut else batch
        if self._count > before:
            cursor = self._cursor_at(last)
            yield Batch(self._shape.pinned.schema.empty_table(), cursor, 0, self._shape.take_notices())

    def _floor(self, at: Any) -> Any:
        return floor_of(at, self._stream.lookback, self._snapshot.now)

    def _cursor_at(self, at: Any) -> Cursor:
        """The cursor behind a value; a window that begins below what was ever remembered begins there."""
        floor = Floor(self._floor(at))
        old = self._scalar("floor")
        if old is not None and self._by_order and old.as_py() >= floor.value.as_py():
            floor = Floor(old, bool(self._value.get("behind")))
        kept, floor = self._window.kept(floor)
        if floor.behind and not self._value.get("behind"):
            message = f"{kept.num_rows:,} rows of {self._feed.name} are remembered, and its lookback holds more"
            self._shape.tell("window_shortened", f"{message}: what is committed before them is not seen any more")
        self._spent = 0
        value = {
            **self._shape.pinned.value(),
            "by": self._cursor,
            "present": self._snapshot.schema.names,
            "rows": self._count,
            "at": _text(at),
            "floor": _text(floor.value.cast(at.type)),
            "behind": floor.behind,
        }
        return Cursor(value, kept, anew=True)

    def _batch(self, rows: pa.Table) -> Batch:
        size = rows.nbytes
        self._spent += size
        count = rows.num_rows
        hazards = rows.column(HAZARD)
        ours = {
            "_origin": pa.repeat(pa.scalar(self._snapshot.origin), count),
            "_position": pa.array(np.arange(self._count, self._count + count)),
        }
        own = self._own(rows)
        if hazards.null_count < count:
            good = hazards.is_null()
            own = pa.table([_only(column, good) for column in own.columns], names=own.column_names)
            ours |= _defects(hazards)
        self._count += count
        return Batch(self._shape.pinned.arrange(ours, own, count), None, size, self._shape.take_notices())

    def _own(self, rows: pa.Table) -> pa.Table:
        kinds = [self._shape.pinned.columns.field(name).type for name in self._names]
        columns = [rows.column(name) for name in self._snapshot.schema.names]
        both = zip(columns, kinds, strict=True)
        cast = [column if column.type == kind else column.cast(kind) for column, kind in both]
        return pa.table(cast, names=list(self._names))


_DRIFT = "give it its type back, or land the table as a new stream under another name"


def _fit(shape: Shape, snapshot: Snapshot) -> list[str]:
    """The stream's column for each of the table's; the first read pins them. Raises SchemaDrift."""
    schema = snapshot.schema
    if not shape.is_pinned:
        shape.pin({"format": "table"}, schema.names, schema.types)
        return list(shape.pinned.columns.names)
    if not shape.common(schema.names):
        message = f"{snapshot.origin} has none of the columns that {shape.feed} landed"
        raise SchemaDrift(message, hint="land the table as a new stream under another name")
    names = shape.fit(snapshot.origin, schema.names, schema.types)
    for name, found in zip(names, schema.types, strict=True):
        pinned = shape.pinned.columns.field(name).type
        if found != pinned and not widens(found, pinned):
            message = f"{snapshot.origin}: column `{name}` is {found} now; {shape.feed} landed it as {pinned}"
            raise SchemaDrift(message, hint=_DRIFT)
    return names


def _pieces(rows: pa.Table, cursor: str, last: Any, is_full: bool) -> Iterator[tuple[pa.Table, bool]]:
    """Rows, and whether a load may end behind them: where the load is full and the cursor's value changes."""
    at = rows.column(cursor)
    alike = pc.sum(pc.equal(at, at[len(at) - 1])).as_py() if is_full and len(at) else 0
    place = rows.num_rows - alike
    if alike and (place or (last is not None and last != at[0])):
        yield rows.slice(0, place), True
        yield rows.slice(place), False
    else:
        yield rows, False


def _text(scalar: Any) -> str:
    """A value as text that `pa.scalar(…).cast` reads back."""
    return str(scalar.cast(pa.string()).as_py())


def _only(column: pa.ChunkedArray, good: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(good, column, pa.scalar(None, column.type))


def _defects(hazards: pa.ChunkedArray) -> dict[str, Any]:
    """Why and raw of the rows that are none, null in the others."""
    told = [None if hazard is None else hazard.partition("\n") for hazard in hazards.to_pylist()]
    raws = [None if one is None else one[2].encode() for one in told]
    whys = [
        None if one is None or raw is None else one[0] if len(raw) <= LONGEST_RAW else _cut_words(one[0], len(raw))
        for one, raw in zip(told, raws, strict=True)
    ]
    kept = [None if raw is None else raw[:LONGEST_RAW] for raw in raws]
    return {"_defect": pa.array(whys, pa.string()), "_raw": pa.array(kept, pa.binary())}


def _cut_words(why: str, length: int) -> str:
    return f"{why}; the first {LONGEST_RAW:,} of {length:,} bytes are kept"


def _empty(feed: Feed, snapshot: Snapshot) -> Notice:
    message = f"{snapshot.origin} holds no rows; an empty table deletes nothing"
    return Notice("empty_file", message, {"stream": feed.name, "origin": snapshot.origin})
