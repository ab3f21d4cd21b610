"""JSON Lines: one document a line, landed whole as text."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catchment.errors import DataError, SchemaDrift
from catchment.sources.cuts import BOM, LONGEST_RECORD, Cut, Defect, Head, Places, first_bad_byte
from catchment.sources.file_shape import Shape

DOCUMENT = "document"


class JsonCutter:
    """Cuts at line feeds; what is no JSON value is a defect."""

    def __init__(self, encoding: str, *, longest: int = LONGEST_RECORD) -> None:
        self.longest = longest
        self._encoding = encoding

    def cut(self, data: bytes, *, last: bool) -> Cut:
        """The lines that `data` holds whole; with `last` all of it."""
        used = len(data) if last else data.rfind(b"\n") + 1
        starts = _filled_lines(data[:used])
        if not len(starts):
            return Cut(self._rows([]), starts, (), used)
        stops = np.append(starts[1:], used)
        raw = pa.Array.from_buffers(
            pa.binary(), len(starts), [None, pa.py_buffer(np.append(starts, used).astype(np.int32)), pa.py_buffer(data)]
        )
        text, unreadable = self._text(raw)
        good = self._valid(text)
        bad = np.flatnonzero(~good)
        lines = text.filter(pa.array(~good)).to_pylist()
        defects = [
            Defect(int(starts[place]), int(stops[place]), unreadable.get(int(place)) or _why(line))
            for place, line in zip(bad, lines, strict=True)
        ]
        kept = text if not len(bad) else text.filter(pa.array(good))
        return Cut(self._rows(kept), starts[good], defects, used)

    def cut_whole(self, data: bytes, begins: Places) -> Cut | None:
        """Several bodies in one: each ends with a line feed, so that none can reach into the next."""
        return self.cut(data, last=True)

    def _rows(self, lines: object) -> pa.Table:
        return pa.table({DOCUMENT: lines}, schema=pa.schema([(DOCUMENT, pa.string())]))

    def _text(self, raw: pa.Array) -> tuple[pa.Array, dict[int, str]]:
        """Lines as text without their ends; those that are no UTF-8 are empty, and why by place."""
        reasons: dict[int, str] = {}
        if self._encoding != "utf-8":
            text = pa.array([line.decode(self._encoding) for line in raw.to_pylist()], pa.string())
            return pc.utf8_rtrim(text, characters="\r\n"), reasons
        try:
            text = raw.cast(pa.string())
        except pa.ArrowInvalid:
            lines = raw.to_pylist()
            for place, line in enumerate(lines):
                bad = first_bad_byte(line)
                if bad is not None:
                    reasons[place] = f"not valid UTF-8 at byte {bad} of the row"
                    lines[place] = b""
            text = pa.array(lines, pa.binary()).cast(pa.string())
        return pc.utf8_rtrim(text, characters="\r\n"), reasons

    def _valid(self, text: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        import duckdb

        with duckdb.connect() as connection:
            connection.execute("set threads = 1")
            connection.register("lines", pa.table({DOCUMENT: text}))
            found = connection.execute(f"select json_valid({DOCUMENT}) as good from lines").fetchnumpy()
        good: np.ndarray[tuple[int], np.dtype[np.bool_]] = np.asarray(found["good"], np.bool_)
        return good


@dataclass(frozen=True)
class JsonHeads:
    """A JSON Lines file has no header: at most a byte order mark and blank lines come before its first row."""

    shape: Shape

    def read(self, origin: str, first: bytes, *, whole: bool) -> Head | None:
        """None where the file, `whole` in `first`, has no rows."""
        if first.startswith((b"\xff\xfe", b"\xfe\xff")):
            message = f"{origin} is written in UTF-16, which is not read yet"
            raise DataError(message, hint=f"convert it: iconv -f utf-16 -t utf-8 {origin} > new-name.jsonl")
        asked = "latin-1" if self.shape.settings.encoding == "latin-1" else "utf-8"
        place = len(BOM) if first.startswith(BOM) and asked == "utf-8" else 0
        place = len(first) - len(first[place:].lstrip(b"\r\n"))
        if place == len(first) and whole:
            return None
        if not self.shape.is_pinned:
            self.shape.pin({"format": "jsonl", "encoding": asked}, [DOCUMENT])
        pinned = self.shape.dialect["encoding"]
        if pinned != asked:
            message = f"{self.shape.feed} landed with `encoding: {pinned}`; the project now says {asked}"
            raise SchemaDrift(message, hint=f"write `encoding: {pinned}` again, or land the files as a new stream")
        return Head(first[:place], JsonCutter(pinned))


def _filled_lines(data: bytes) -> Places:
    """Where lines begin that hold something."""
    octets = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(octets == 10)
    starts = np.concatenate([np.zeros(1, np.int64), ends + 1])
    stops = np.append(ends, len(data))
    lengths = stops - starts
    only_return = np.zeros(len(starts), np.bool_)
    single = np.flatnonzero(lengths == 1)
    only_return[single] = octets[starts[single]] == 13
    found: Places = starts[(lengths > 0) & ~only_return]
    return found


def _why(line: str) -> str:
    """What Python's parser says of a line that DuckDB refuses."""
    if "\0" in line:
        return f"NUL byte at character {line.index(chr(0))} of the row"
    try:
        json.loads(line)
    except ValueError as error:
        return f"not valid JSON: {getattr(error, 'msg', error)} at character {getattr(error, 'pos', 0)}"
    except RecursionError:
        return "not valid JSON: nested too deeply"
    return "not valid JSON"
