"""Files of text, CSV or JSON Lines, as pieces of rows: large ones chunk by chunk, small ones glued together."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import pyarrow as pa

from catchment.records import Notice
from catchment.sources.files import utf16
from catchment.sources.files.cuts import Cut, Head, Places
from catchment.sources.files.found import FileBytes, FoundFile, ReadFile, ahead, fetched, packing
from catchment.sources.files.shape import LONGEST_RAW, Pinned, Shape, Unreadable

# Small files are parsed together; one by one, Arrow's start for each would be most of the time.
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
    needs_line: bool  # whether a head is worth looking for in a file that broke off before its first line ended

    def read(self, origin: str, first: bytes, *, whole: bool, order: utf16.Order | None = None) -> Head | None: ...


@dataclass(frozen=True)
class _Places:
    """Which file a place in glued bodies belongs to (bodies begin at `begins`), and how far it is shifted there.

    With an `order` there is one body, and it was UTF-16.
    """

    origins: Sequence[str]
    begins: Places
    shifts: Places
    order: utf16.Order | None = None

    @classmethod
    def of_one(cls, origin: str, shift: int, order: utf16.Order | None = None) -> _Places:
        return cls([origin], np.zeros(1, np.int64), np.array([shift], np.int64), order)

    def in_file(self, data: bytes, starts: Places, which: Places) -> Places:
        found: Places = (starts if self.order is None else utf16.places(data, starts)) + self.shifts[which]
        return found

    def as_written(self, raw: bytes) -> bytes:
        return raw if self.order is None else utf16.as_written(raw, self.order)

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

    def __init__(self, shape: Shape, heads: Heads, encoding: str | None) -> None:
        self._shape = shape
        self._heads = heads
        self._said = "utf-8" if encoding == "utf-8-sig" else encoding
        self._known: Head | None = None  # of the last file: files of one header share it

    def read(self, files: Sequence[FoundFile]) -> Iterator[Piece]:
        """Every row of `files`; each file is among `ended` of the piece that holds its last row."""
        glue = _Glue(self._shape.pinned)
        for file, small in fetched(files):
            if small is None or self._is_apart(file.origin, small[0]):
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

    @property
    def _encoding(self) -> str | None:
        return self._shape.dialect.get("encoding") or self._said

    def _is_apart(self, origin: str, data: bytes) -> bool:
        """Whether a small file's bytes are not what is cut."""
        wide = (self._encoding or "").startswith("utf-16") or data[:2] in utf16.MARKS
        return wide or data.startswith(b"\0\0\xfe\xff") or packing(origin, data) is not None

    def _head(self, origin: str, data: bytes) -> Head | None:
        known = self._known
        utf8 = self._shape.dialect.get("encoding") == "utf-8"  # a Latin-1 stream's files are each looked at for UTF-8
        if known is not None and utf8 and known.text and data.startswith(known.text):
            after = data[len(known.text) : len(known.text) + 1]
            if after and after not in b"\r\n":
                return known
        head = self._heads.read(origin, data, whole=True)
        if head is None or not head.shared:
            return head
        if known is not None and head.text == known.text:
            return known
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
            rows = rows_of(glue.pinned, cut, body, _Places.of_one(origin, begin + shift))
            if cut.rest is not None:
                raw = body[cut.used :]
                lost = Unreadable(origin, begin + shift + cut.used, raw[:LONGEST_RAW], len(raw), cut.rest)
                rows = pa.concat_tables([rows, glue.pinned.defect_rows([lost])])
            tables.append(rows)
            files[which] = replace(files[which], rows=rows.num_rows, broken=cut.rest)
        return Piece(pa.concat_tables(tables), glue.pinned, glue.read, tuple(files), glue.notices)

    def _streamed(self, file: FoundFile) -> Iterator[Piece]:
        """A file chunk by chunk; what a chunk leaves over goes before the next one."""
        stream, body, told, count = FileBytes(file), None, 0, 0
        order, chunks = self._text(stream)
        for chunk, end in _marked_last(ahead(chunks)):
            last = end and stream.broken is None
            if body is None and (stream.broken is None or b"\n" in chunk or not self._heads.needs_line):
                head = self._heads.read(file.origin, chunk, whole=last, order=order)
                if head is not None:
                    body = _Body(self._shape.pinned, head, file.origin, order)
            pinned = self._shape.pinned
            rows = pinned.schema.empty_table() if body is None else body.feed(chunk, last=last)
            if end and stream.broken is not None:
                rest = body.rest(stream.broken) if body is not None else _lost(pinned, stream, chunk, order)
                rows = pa.concat_tables([rows, rest])
            count += rows.num_rows
            size = stream.size
            broken = stream.broken or (None if body is None else body.broken)
            ended = (stream.receipt(count, broken),) if end else ()
            yield Piece(rows, pinned, size - told, ended, self._shape.take_notices())
            told = size

    def _text(self, stream: FileBytes) -> tuple[utf16.Order | None, Iterator[bytes]]:
        """What a file holds, in bytes that can be cut."""
        chunks = stream.chunks()
        first = next(chunks, b"")
        order = utf16.order_of(self._shape.feed, stream.file.origin, first, self._encoding)
        whole = itertools.chain([first] if first else [], chunks)
        return order, whole if order is None else utf16.recoded(whole, order)


class _Body:
    """The rows of one large file while its chunks come in, the first with the head."""

    def __init__(self, pinned: Pinned, head: Head, origin: str, order: utf16.Order | None) -> None:
        self.broken: str | None = None  # why nothing that follows can be cut
        self._pinned = pinned
        self._cutter = head.cutter
        self._origin = origin
        self._order = order
        self._head = len(head.text)  # bytes of the first chunk that are no rows
        self._offset = self._length(head.text)  # of `_waiting` in the file
        self._waiting = b""
        self._skipping: tuple[bytes, int] | None = None  # the beginning of what is not cut; its length so far

    def _length(self, text: bytes) -> int:
        return len(text) if self._order is None else utf16.length(text)

    def _defect(self, raw: bytes, length: int, reason: str) -> pa.Table:
        written = raw if self._order is None else utf16.as_written(raw, self._order)
        return self._pinned.defect_rows([Unreadable(self._origin, self._offset, written, length, reason)])

    def rest(self, why: str) -> pa.Table:
        """What a file that broke off in its packing still held, as one defect; the rows before it have landed."""
        raw, length = self._skipping or (self._waiting, self._length(self._waiting))
        return self._defect(raw, length, self.broken or _and_the_rest(why))

    def feed(self, chunk: bytes, *, last: bool) -> pa.Table:
        """The rows that end in this chunk, in order."""
        skipped = self._pinned.schema.empty_table()
        if self.broken is not None:
            return self._lose(chunk, last=last)
        if self._skipping is not None:
            skipped, more = self._skip(chunk, last=last)
        else:
            more, self._head = chunk[self._head :], 0
        if self._skipping is not None:
            return skipped
        self._waiting += more
        cut = self._cutter.cut(self._waiting, last=last)
        rows = rows_of(self._pinned, cut, self._waiting, _Places.of_one(self._origin, self._offset, self._order))
        self._offset += self._length(self._waiting[: cut.used])
        left, self._waiting = self._waiting[cut.used :], b""
        if cut.rest is not None:
            self.broken, self._skipping = cut.rest, (b"", 0)
            return pa.concat_tables([skipped, rows, self._lose(left, last=last)])
        if not cut.used and not last and len(left) > self._cutter.longest:
            self._skipping = (left[:LONGEST_RAW], self._length(left))
        else:
            self._waiting = left
        return pa.concat_tables([skipped, rows])

    def _lose(self, chunk: bytes, *, last: bool) -> pa.Table:
        """Everything from here on is one defect, told when all of it has come."""
        assert self._skipping is not None
        assert self.broken is not None
        raw, length = self._skipping
        self._skipping = ((raw + chunk[:LONGEST_RAW])[:LONGEST_RAW], length + self._length(chunk))
        return self._defect(*self._skipping, self.broken) if last else self._pinned.schema.empty_table()

    def _skip(self, chunk: bytes, *, last: bool) -> tuple[pa.Table, bytes]:
        """Look for the end of a line that is too long to hold."""
        assert self._skipping is not None
        raw, length = self._skipping
        found = _LINE_END.search(chunk)
        stop = len(chunk) if found is None else found.start()
        length += self._length(chunk[:stop])
        self._skipping = (raw, length)
        if found is None and not last:
            return self._pinned.schema.empty_table(), b""
        table = self._defect(raw, length, f"a line of more than {self._cutter.longest:,} bytes")
        self._offset += length
        self._skipping = None
        return table, chunk[stop:]


def rows_of(pinned: Pinned, cut: Cut, data: bytes, places: _Places) -> pa.Table:
    """What was cut, good rows and defects in the order of their places."""
    which = places.which(cut.starts)
    ours = {"_origin": places.names(which), "_position": pa.array(places.in_file(data, cut.starts, which))}
    good = pinned.arrange(ours, cut.rows, len(cut.starts))
    if not cut.defects:
        return good
    starts = np.array([defect.start for defect in cut.defects], np.int64)
    homes = places.which(starts)
    bad = pinned.defect_rows(
        [
            Unreadable(places.origins[home], position, raw[:LONGEST_RAW], len(raw), defect.reason)
            for home, position, defect in zip(
                homes, places.in_file(data, starts, homes).tolist(), cut.defects, strict=True
            )
            for raw in (places.as_written(data[defect.start : defect.end].rstrip(b"\r\n")),)
        ]
    )
    order = np.argsort(np.concatenate([cut.starts, starts]), kind="stable")
    return pa.concat_tables([good, bad]).take(pa.array(order))


def _lost(pinned: Pinned, stream: FileBytes, chunk: bytes, order: utf16.Order | None) -> pa.Table:
    """A broken file of which not even a first line could be had: what was unpacked, else the file as it lies."""
    assert stream.broken is not None
    unpacked = chunk if order is None else utf16.as_written(chunk, order)
    raw, length = (unpacked, len(unpacked)) if chunk else (stream.beginning, stream.size)
    return pinned.defect_rows([Unreadable(stream.file.origin, 0, raw, length, _and_the_rest(stream.broken))])


def _and_the_rest(why: str) -> str:
    return f"{why}; what follows in the file cannot be read"


def _marked_last(chunks: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each chunk and whether it is the last; one empty chunk where there is none."""
    current = next(chunks, b"")
    for following in chunks:
        yield current, False
        current = following
    yield current, True
