"""Bytes of CSV -> records with their places, and what is no record as defects.

A record is `field (delimiter field)* line-end`. A field that begins with the quote ends with it, and inside it the
quote is doubled; any other field is text up to the next delimiter, quotes in it included. Line ends are LF, CRLF and
CR, mixed at will; blank lines belong to the record before. A field may span lines only where its quote is closed and
the record then has the right number of fields; otherwise its first line alone is a defect and cutting goes on with the
next line.

There are two ways to the same records. The fast one looks at all line ends and quotes of a chunk at once and lets Arrow
parse it; it is taken only where nothing is wrong, and the two counts must agree. The slow one matches one record after
the other. What they find does not depend on where chunks begin and end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from catchment.sources.files.cuts import (
    BOM,
    LONGEST_RECORD,
    Cut,
    Defect,
    Places,
    first_bad_byte,
    not_text,
    place_in_row,
)

# Arrow's threads each take a block of a chunk; a record must fit into one.
_BLOCK = 2 << 20

_END = rb"(?P<end>\r\n?|\n|\Z)[\r\n]*+"
_LINE = re.compile(rb"[^\r\n]*+" + _END)
_BLANK = re.compile(rb"[\r\n]*+")


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written. An empty quote means that the quote sign is text."""

    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8"

    @property
    def octets(self) -> str:
        """What the bytes are that are cut: UTF-16 comes as UTF-8."""
        return "latin-1" if self.encoding == "latin-1" else "utf-8"


@dataclass(frozen=True)
class _Lines:
    """Records by the fast way: where each begins, where the last one ends."""

    starts: Places
    used: int
    longest: int
    spanning: bool  # some field holds a line end


class Cutter:
    """Cuts chunks of one dialect into records of `columns`; knows nothing of files."""

    def __init__(self, dialect: Dialect, columns: Sequence[str], *, longest: int = LONGEST_RECORD) -> None:
        self.dialect = dialect
        self.columns = list(columns)
        self.longest = longest
        self._delimiter = dialect.delimiter.encode(dialect.octets)
        self._quote = dialect.quote.encode(dialect.octets)
        self._grammar = Grammar(dialect, len(self.columns))

    def cut(self, data: bytes, *, last: bool) -> Cut:
        """The records that `data`, which begins with one, holds whole; with `last` all of it.

        Call again with `data[used:]` and what follows it.
        """
        if not data:
            return Cut(self._nothing(), np.zeros(0, np.int64), (), 0)
        quick = self._fast(data, last=last)
        return self._slow(data, last=last) if quick is None else quick

    def cut_whole(self, data: bytes, begins: Places) -> Cut | None:
        """Several bodies in one, each begun with a record at `begins`; None where one of them needs a closer look."""
        lines = self._lines(data, last=True)
        if lines is None or lines.used < len(data) or not np.isin(begins, lines.starts, assume_unique=True).all():
            return None
        rows = self._parse(data, lines)
        return None if rows is None else Cut(rows, lines.starts, (), lines.used)

    def _fast(self, data: bytes, *, last: bool) -> Cut | None:
        lines = self._lines(data, last=last)
        if lines is None or (last and lines.used < len(data)):
            return None
        if lines.used == 0:
            wait = not last and len(data) <= self.longest
            return Cut(self._nothing(), lines.starts, (), 0) if wait else None
        rows = self._parse(memoryview(data)[: lines.used], lines)
        return None if rows is None else Cut(rows, lines.starts, (), lines.used)

    def _lines(self, data: bytes, *, last: bool) -> _Lines | None:
        """Where records begin if every quote stands where one may; None where it does not, or there is a NUL."""
        if b"\0" in data:
            return None
        octets = np.frombuffer(data, np.uint8)
        ends, widths = _line_ends(data, octets, last=last)
        spanning = False
        quotes = np.flatnonzero(octets == self._quote[0]) if self._quote and self._quote in data else None
        if quotes is not None:
            outside = (np.searchsorted(quotes, ends) & 1) == 0
            spanning = not bool(outside.all())
            ends, widths = ends[outside], widths[outside]
        used = int(ends[-1] + widths[-1]) if len(ends) else 0
        if quotes is not None:
            quotes = quotes[: np.searchsorted(quotes, used)]
            if not self._well_placed(octets, quotes, used):
                return None
        starts = np.concatenate([np.zeros(1, np.int64), ends + widths])
        filled = ends > starts[:-1]
        longest = int((ends - starts[:-1]).max(initial=0))
        return None if longest > self.longest else _Lines(starts[:-1][filled], used, longest, spanning)

    def _well_placed(self, octets: np.ndarray[Any, Any], quotes: Places, used: int) -> bool:
        """Every opening quote follows a delimiter, a line end or its twin; every closing one is followed by such."""
        if len(quotes) % 2:
            return False
        around = np.zeros(256, np.bool_)
        around[[10, 13, self._delimiter[0], self._quote[0]]] = True
        opening, closing = quotes[::2], quotes[1::2]
        before = around[octets[opening - 1]] | (opening == 0)
        after = around[octets[np.minimum(closing + 1, used - 1)]] | (closing == used - 1)
        return bool(before.all() and after.all())

    def _parse(self, data: bytes | memoryview, lines: _Lines) -> pa.Table | None:
        """Arrow's rows if there are as many as records; None where it refuses one or counts otherwise."""
        try:
            rows = self._arrow(data, lines.longest, spanning=lines.spanning)
        except pa.ArrowInvalid:
            return None
        return rows if rows.num_rows == len(lines.starts) else None

    def _arrow(self, data: bytes | memoryview, longest: int, *, spanning: bool) -> pa.Table:
        text = data if self.dialect.octets == "utf-8" else bytes(data).decode(self.dialect.octets).encode()
        if self._grammar.blank(text, 0) == len(text):
            return self._nothing()
        if text[:3] == BOM:
            text = b"\n" + bytes(text)  # or Arrow takes the first row's own U+FEFF for a byte order mark
        if text[-1] not in b"\r\n":
            text = bytes(text) + b"\n"  # or Arrow takes an empty last field for a quoted one: "", gives no null
        return pyarrow.csv.read_csv(
            pa.BufferReader(text),
            pyarrow.csv.ReadOptions(column_names=self.columns, block_size=max(_BLOCK, 4 * longest)),
            pyarrow.csv.ParseOptions(
                delimiter=self.dialect.delimiter,
                quote_char=self.dialect.quote or False,
                newlines_in_values=spanning,
            ),
            self._convert,
        )

    @cached_property
    def _convert(self) -> pyarrow.csv.ConvertOptions:
        return pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(self.columns, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        )

    def _nothing(self) -> pa.Table:
        return pa.schema([(name, pa.string()) for name in self.columns]).empty_table()

    def _slow(self, data: bytes, *, last: bool) -> Cut:
        """One record after the other."""
        starts, good, defects = [], [], []
        place = self._grammar.blank(data, 0)
        sound = b"\0" not in data and self._is_text(data)
        while place < len(data):
            end, reason = self._next(data, place, last=last, sound=sound)
            if end is None:
                break
            if reason is None:
                starts.append(place)
                good.append((place, end))
            else:
                defects.append(Defect(place, end, reason))
            place = end
        return Cut(self._parse_some(data, good), np.array(starts, np.int64), defects, place)

    def _next(self, data: bytes, place: int, *, last: bool, sound: bool) -> tuple[int | None, str | None]:
        """Where the record at `place` ends and what is wrong with it; no end where more bytes are needed to tell."""
        found = self._grammar.record.match(data, place)
        if found is not None and (last or found["end"]) and found.start("end") - place <= self.longest:
            return found.end(), None if sound else self._unsound(data[place : found.end()])
        line = self._grammar.line(data, place)
        if not last and not line["end"]:
            return None, None
        may_go_on = not last and len(data) - place <= self.longest
        if may_go_on and self._grammar.beginning.match(data, place) is not None:
            return None, None
        return line.end(), self._reason(data[place : line.start("end")])

    def _reason(self, line: bytes) -> str:
        """Why a line that is no record is none."""
        if len(line) > self.longest:
            return f"a line of more than {self.longest:,} bytes"
        unsound = self._unsound(line)
        if unsound is not None:
            return unsound
        count, trouble = self._grammar.count_fields(line)
        if trouble is not None:
            return trouble
        return f"{count} {'field' if count == 1 else 'fields'} where {len(self.columns)} are expected"

    def _is_text(self, data: bytes) -> bool:
        """May be wrong about a character that the end of `data` cuts in two; then each record is looked at."""
        return self.dialect.octets != "utf-8" or data.isascii() or first_bad_byte(data) is None

    def _unsound(self, record: bytes) -> str | None:
        nul = record.find(b"\0")
        if nul >= 0:
            return f"NUL byte at byte {place_in_row(record, nul, self.dialect.encoding)} of the row"
        return not_text(record, self.dialect.encoding) if self.dialect.octets == "utf-8" else None

    def _parse_some(self, data: bytes, good: Sequence[tuple[int, int]]) -> pa.Table:
        if not good:
            return self._nothing()
        longest = max(end - start for start, end in good)
        text = b"".join(data[start:end] for start, end in _joined(good))
        rows = self._arrow(text, longest, spanning=bool(self._quote))
        if rows.num_rows != len(good):
            message = f"Arrow reads {rows.num_rows} rows where the cutter finds {len(good)}"
            raise AssertionError(message)
        return rows


class Grammar:
    """Regular expressions of a dialect. Nothing in them can be matched in two ways, so they never go back.

    `record` is a record of so many fields, its line end (group `end`, empty at the end of the data) and the blank lines
    after it; `beginning` is data that ends before such a record does.
    """

    def __init__(self, dialect: Dialect, fields: int = 1) -> None:
        mark = re.escape(dialect.delimiter.encode(dialect.octets))
        self._quote = dialect.quote.encode(dialect.octets)
        sign = re.escape(self._quote)
        bare = rb"[^%b\r\n]*+" % mark
        field, unfinished, self._closed = bare, bare + rb"\Z", None
        if self._quote:
            opened = rb"%b[^%b]*+(?:%b%b[^%b]*+)*+" % (sign, sign, sign, sign, sign)
            field = rb"(?>%b%b(?=[%b\r\n]|\Z)|(?!%b)%b)" % (opened, sign, mark, sign, bare)
            unfinished = rb"(?:%b%b?+|%b)\Z" % (opened, sign, bare)
            self._closed = re.compile(opened + sign)
        self.record = re.compile(rb"%b(?:%b%b){%d}" % (field, mark, field, fields - 1) + _END)
        self.any_record = re.compile(rb"%b(?:%b%b)*+" % (field, mark, field) + _END)
        self.beginning = re.compile(rb"(?:%b%b){0,%d}+" % (field, mark, fields - 1) + unfinished)
        self._field = re.compile(field)

    def line(self, data: bytes, place: int) -> re.Match[bytes]:
        """The line at `place` whatever stands in it, with the blank lines after it."""
        found = _LINE.match(data, place)
        assert found is not None  # it matches nothing at all, too
        return found

    def blank(self, data: bytes | memoryview, place: int) -> int:
        """Where the blank lines at `place` end."""
        found = _BLANK.match(data, place)
        return place if found is None else found.end()

    def count_fields(self, line: bytes) -> tuple[int, str | None]:
        """How many fields a line has, and what is wrong with its quotes."""
        body = line.rstrip(b"\r\n")
        place, count = 0, 0
        while place <= len(body):
            found = self._field.match(body, place)
            if found is None:
                closed = self._closed is not None and self._closed.match(body, place)
                return count, "text after a closing quote" if closed else "quote opened and not closed"
            count += 1
            place = found.end() + 1
        return count, None

    def split(self, record: bytes) -> list[bytes]:
        """The fields of one good record, without their quotes."""
        body = record.rstrip(b"\r\n")
        fields, place = [], 0
        while place <= len(body):
            found = self._field.match(body, place)
            assert found is not None
            text, place = found[0], found.end() + 1
            if self._quote and text.startswith(self._quote):
                text = text[1:-1].replace(self._quote * 2, self._quote)
            fields.append(text)
        return fields


def _line_ends(data: bytes, octets: np.ndarray[Any, Any], *, last: bool) -> tuple[Places, Places]:
    """Where lines end and how wide each end is. A CR as the very last byte may be half of an end: not yet one."""
    ends: Places = np.flatnonzero(octets == 10)
    widths = np.ones(len(ends), np.int64)
    if b"\r" in data:
        returns: Places = np.flatnonzero(octets == 13)
        followed = octets[np.minimum(returns + 1, len(data) - 1)] == 10
        alone = returns[~followed]
        if not last and len(alone) and alone[-1] == len(data) - 1:
            alone = alone[:-1]
        paired = (ends > 0) & (octets[ends - 1] == 13)
        ends, widths = ends - paired, widths + paired
        if len(alone):
            ends, widths = np.concatenate([ends, alone]), np.concatenate([widths, np.ones(len(alone), np.int64)])
            order = np.argsort(ends, kind="stable")
            ends, widths = ends[order], widths[order]
    if last and data and data[-1] not in b"\r\n":
        ends, widths = np.append(ends, len(data)), np.append(widths, 0)
    return ends, widths


def _joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans that touch, as one."""
    joined: list[tuple[int, int]] = []
    begin, end = spans[0]
    for start, stop in spans[1:]:
        if start != end:
            joined.append((begin, end))
            begin = start
        end = stop
    return [*joined, (begin, end)]
