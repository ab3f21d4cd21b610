"""Files of text, CSV or JSON Lines, as pieces of rows: large ones chunk by chunk, small ones glued together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import pyarrow as pa

from catchment.records import Notice
from catchment.sources.cuts import Cut, Head, Places
from catchment.sources.file_bytes import GZIP_MAGIC, FileBytes, FoundFile, ReadFile, ahead, read_small
from catchment.sources.file_shape import LONGEST_RAW, Pinned, Shape, Unreadable

# Files up to this size are parsed together; one by one, Arrow's start for each would be most of the time.
SMALL = 1 << 20
_GLUE = 8 << 20
_LINE_END = re.compile(rb"[\r\n]")


@dataclass(frozen=True)
class Piece:
    """Rows in reading order, what was pinned by then, source bytes they took, and the files that end with them."""

    rows: pa.Table
    pinned: Pinned
    bytes: int = 0
    ended: Sequence[ReadFile] = ()
    notices: Sequence[Notice] = ()


class Heads(Protocol):
    def read(self, origin: str, first: bytes, *, whole: bool) -> Head | None: ...


@dataclass(frozen=True)
class _Places:
    """Which file a place in glued bodies belongs to (bodies begin at `begins`), and how far it is shifted there."""

    origins: Sequence[str]
    begins: Places
    shifts: Places

    @classmethod
    def of_one(cls, origin: str, shift: int) -> _Places:
        return cls([origin], np.zeros(1, np.int64), np.array([shift], np.int64))

    def which(self, starts: Places) -> Places:
        found: Places = np.searchsorted(self.begins, starts, side="right") - 1
        return found

    def names(self, which: Places) -> pa.Array:
        if len(self.origins) == 1:
            return pa.repeat(pa.scalar(self.origins[0]), len(which))
        return pa.array(self.origins).take(pa.array(which))

    def counts(self, starts: Sequence[Places]) -> Places:
        found: Places = np.bincount(self.which(np.concatenate(starts)), minlength=len(self.origins))
        return found


@dataclass
class _Glue:
    """Bodies of small files behind each other, each ended by a line feed.

    A place in them plus the file's shift is the place in the file.
    """

    pinned: Pinned
    notices: list[Notice] = field(default_factory=list)

    head: Head | None = None
    bodies: list[bytes] = field(default_factory=list)
    begins: list[int] = field(default_factory=list)
    shifts: list[int] = field(default_factory=list)
    origins: list[str] = field(default_factory=list)
    filled: list[int] = field(default_factory=list)  # which of the files those bodies belong to
    files: list[ReadFile] = field(default_factory=list)
    size: int = 0
    read: int = 0

    def add(self, head: Head | None, data: bytes, file: ReadFile) -> None:
        self.files.append(file)
        self.read += file.size
        if head is None:
            return
        self.head = head
        body = data[len(head.text) :]
        self.filled.append(len(self.files) - 1)
        self.begins.append(self.size)
        self.shifts.append(len(head.text) - self.size)
        self.origins.append(file.origin)
        self.bodies.append(body)
        self.size += len(body)
        if not body.endswith(b"\n"):
            self.bodies.append(b"\n")
            self.size += 1


class TextFiles:
    """Reads files one after the other. A generator of `read` may run in another thread, one at a time."""

    def __init__(self, shape: Shape, heads: Heads) -> None:
        self._shape = shape
        self._heads = heads
        self._known: Head | None = None  # of the last file: files of one header share it

    def read(self, files: Sequence[FoundFile]) -> Iterator[Piece]:
        """Every row of `files`; each file is among `ended` of the piece that holds its last row."""
        glue = _Glue(self._shape.pinned)
        for file in files:
            small = None if file.size > SMALL else read_small(file)
            if small is None or small[0].startswith(GZIP_MAGIC) or file.origin.lower().endswith(".gz"):
                yield from self._glued(glue)
                yield from self._streamed(file)
                glue = _Glue(self._shape.pinned)
                continue
            head = self._head(file.origin, small[0])
            if glue.size >= _GLUE or (head is not None and glue.head is not None and head is not glue.head):
                yield from self._glued(glue)
                glue = _Glue(self._shape.pinned)
            glue.pinned = self._shape.pinned
            glue.notices.extend(self._shape.take_notices())
            glue.add(head, *small)
        yield from self._glued(glue)

    def _head(self, origin: str, data: bytes) -> Head | None:
        known = self._known
        utf8 = self._shape.dialect.get("encoding") == "utf-8"  # a Latin-1 stream's files are each looked at for UTF-8
        if known is not None and utf8 and known.text and data.startswith(known.text):
            after = data[len(known.text) : len(known.text) + 1]
            if after and after not in b"\r\n":
                return known
        head = self._heads.read(origin, data, whole=True)
        if head is None or (known is not None and head.text == known.text):
            return None if head is None else known
        self._known = head
        return head

    def _glued(self, glue: _Glue) -> Iterator[Piece]:
        if not glue.files:
            return
        if glue.head is None:
            yield Piece(glue.pinned.schema.empty_table(), glue.pinned, glue.read, tuple(glue.files), glue.notices)
            return
        begins = np.array(glue.begins, np.int64)
        data = b"".join(glue.bodies)
        cut = glue.head.cutter.cut_whole(data, begins)
        if cut is None:
            yield self._apart(glue, data)
            return
        places = _Places(glue.origins, begins, np.array(glue.shifts, np.int64))
        counts = places.counts([cut.starts, np.array([defect.start for defect in cut.defects], np.int64)])
        files = list(glue.files)
        for which, count in zip(glue.filled, counts, strict=True):
            files[which] = replace(files[which], rows=int(count))
        yield Piece(rows_of(glue.pinned, cut, data, places), glue.pinned, glue.read, tuple(files), glue.notices)

    def _apart(self, glue: _Glue, data: bytes) -> Piece:
        """Each file by itself: something in one of them needs a closer look."""
        assert glue.head is not None
        stops = [*glue.begins[1:], glue.size]
        files, tables = list(glue.files), []
        for which, origin, begin, stop, shift in zip(
            glue.filled, glue.origins, glue.begins, stops, glue.shifts, strict=True
        ):
            body = data[begin : min(stop, files[which].size - shift)]  # without the line feed that glued it
            cut = glue.head.cutter.cut(body, last=True)
            tables.append(rows_of(glue.pinned, cut, body, _Places.of_one(origin, begin + shift)))
            files[which] = replace(files[which], rows=tables[-1].num_rows)
        return Piece(pa.concat_tables(tables), glue.pinned, glue.read, tuple(files), glue.notices)

    def _streamed(self, file: FoundFile) -> Iterator[Piece]:
        """A file chunk by chunk; what a chunk leaves over goes before the next one."""
        stream, body, told, count = FileBytes(file), None, 0, 0
        for chunk, end in _marked_last(ahead(stream.chunks())):
            last = end and stream.broken is None
            if body is None and (stream.broken is None or b"\n" in chunk):
                head = self._heads.read(file.origin, chunk, whole=last)
                if head is not None:
                    body = _Body(self._shape.pinned, head, file.origin)
            pinned = self._shape.pinned
            rows = pinned.schema.empty_table() if body is None else body.feed(chunk, last=last)
            if end and stream.broken is not None:
                rest = body.rest(stream.broken) if body is not None else _lost(pinned, stream, chunk, stream.broken)
                rows = pa.concat_tables([rows, rest])
            count += rows.num_rows
            size = stream.size
            yield Piece(rows, pinned, size - told, (stream.receipt(count),) if end else (), self._shape.take_notices())
            told = size


class _Body:
    """The rows of one large file while its chunks come in, the first with the head."""

    def __init__(self, pinned: Pinned, head: Head, origin: str) -> None:
        self._pinned = pinned
        self._cutter = head.cutter
        self._origin = origin
        self._head = len(head.text)  # bytes of the first chunk that are no rows
        self._offset = self._head  # of `_waiting` in the file
        self._waiting = b""
        self._skipping: tuple[bytes, int] | None = None  # the beginning of a line that is too long; its length so far

    def rest(self, why: str) -> pa.Table:
        """What a broken gzip file still held, as one defect; the rows before it have landed."""
        raw, length = self._skipping or (self._waiting, len(self._waiting))
        return self._pinned.defect_rows([Unreadable(self._origin, self._offset, raw, length, _and_the_rest(why))])

    def feed(self, chunk: bytes, *, last: bool) -> pa.Table:
        """The rows that end in this chunk, in order."""
        skipped = self._pinned.schema.empty_table()
        if self._skipping is not None:
            skipped, more = self._skip(chunk, last=last)
        else:
            more, self._head = chunk[self._head :], 0
        if self._skipping is not None:
            return skipped
        self._waiting += more
        cut = self._cutter.cut(self._waiting, last=last)
        rows = rows_of(self._pinned, cut, self._waiting, _Places.of_one(self._origin, self._offset))
        if not cut.used and not last and len(self._waiting) > self._cutter.longest:
            self._skipping = (self._waiting[:LONGEST_RAW], len(self._waiting))
        self._offset += cut.used
        self._waiting = b"" if self._skipping is not None else self._waiting[cut.used :]
        return pa.concat_tables([skipped, rows])

    def _skip(self, chunk: bytes, *, last: bool) -> tuple[pa.Table, bytes]:
        """Look for the end of a line that is too long to hold."""
        assert self._skipping is not None
        raw, length = self._skipping
        found = _LINE_END.search(chunk)
        stop = len(chunk) if found is None else found.start()
        self._skipping = (raw, length + stop)
        if found is None and not last:
            return self._pinned.schema.empty_table(), b""
        length += stop
        reason = f"a line of more than {self._cutter.longest:,} bytes"
        table = self._pinned.defect_rows([Unreadable(self._origin, self._offset, raw, length, reason)])
        self._offset += length
        self._skipping = None
        return table, chunk[stop:]


def rows_of(pinned: Pinned, cut: Cut, data: bytes, places: _Places) -> pa.Table:
    """What was cut, good rows and defects in the order of their places."""
    which = places.which(cut.starts)
    ours = {"_origin": places.names(which), "_position": pa.array(cut.starts + places.shifts[which])}
    good = pinned.arrange(ours, cut.rows, len(cut.starts))
    if not cut.defects:
        return good
    starts = np.array([defect.start for defect in cut.defects], np.int64)
    homes = places.which(starts)
    bad = pinned.defect_rows(
        [
            Unreadable(
                places.origins[home],
                defect.start + int(places.shifts[home]),
                raw[:LONGEST_RAW],
                len(raw),
                defect.reason,
            )
            for home, defect in zip(homes, cut.defects, strict=True)
            for raw in (data[defect.start : defect.end].rstrip(b"\r\n"),)
        ]
    )
    order = np.argsort(np.concatenate([cut.starts, starts]), kind="stable")
    return pa.concat_tables([good, bad]).take(pa.array(order))


def _lost(pinned: Pinned, stream: FileBytes, chunk: bytes, why: str) -> pa.Table:
    """A broken gzip file of which not even a first line could be had: what was unpacked, else the file as it lies."""
    raw, length = (chunk, len(chunk)) if chunk else (stream.beginning, stream.size)
    return pinned.defect_rows([Unreadable(stream.file.origin, 0, raw, length, _and_the_rest(why))])


def _and_the_rest(why: str) -> str:
    return f"{why}; what follows in the file cannot be read"


def _marked_last(chunks: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each chunk and whether it is the last; one empty chunk where there is none."""
    current = next(chunks, b"")
    for following in chunks:
        yield current, False
        current = following
    yield current, True
