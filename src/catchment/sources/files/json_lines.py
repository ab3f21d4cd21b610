"""JSON Lines: one document a line, landed whole as text."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catchment.sources.files.cuts import LONGEST_RECORD, Cut, Defect, Places, not_text

if TYPE_CHECKING:
    import duckdb

DOCUMENT = "document"

Kept = np.ndarray[Any, np.dtype[np.bool_]]


class Validity:
    """Says which rows are JSON: DuckDB does, which reads them later. One for all files of a read."""

    def sort(self, raw: pa.Array, encoding: str) -> tuple[pa.Array, Kept, dict[int, str]]:
        """Good rows as text without line ends, which ones they are, and by place why the others are none."""
        text, reasons = _text(raw, encoding)
        good = self._valid(text)
        for place in np.flatnonzero(~good).tolist():
            reasons.setdefault(place, not_json(text[place].as_py()))
        return (text if good.all() else text.filter(pa.array(good))), good, dict(sorted(reasons.items()))

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        import duckdb

        connection = duckdb.connect()
        # One short question for each batch: to optimize it, and to draw its progress, takes longer than to answer it.
        connection.execute("set threads = 1; set enable_progress_bar = false; pragma disable_optimizer")
        return connection

    def _valid(self, text: pa.Array) -> Kept:
        if not len(text):
            return np.zeros(0, np.bool_)
        lines = self._connection.from_arrow(pa.table({DOCUMENT: text}))
        good: Kept = np.asarray(lines.project(f"json_valid({DOCUMENT}) as good").fetchnumpy()["good"], np.bool_)
        return good


class JsonCutter:
    """Cuts at line feeds; what is no JSON value is a defect."""

    def __init__(self, encoding: str, validity: Validity, *, longest: int = LONGEST_RECORD) -> None:
        self.longest = longest
        self._encoding = encoding
        self._validity = validity

    def cut(self, data: bytes, *, last: bool) -> Cut:
        """The lines that `data` holds whole; with `last` all of it."""
        used = len(data) if last else data.rfind(b"\n") + 1
        starts = _filled_lines(data[:used])
        if not len(starts):
            return Cut(pa.table({DOCUMENT: pa.array([], pa.string())}), starts, (), used)
        stops = np.append(starts[1:], used)
        raw = pa.Array.from_buffers(
            pa.binary(), len(starts), [None, pa.py_buffer(np.append(starts, used).astype(np.int32)), pa.py_buffer(data)]
        )
        text, good, reasons = self._validity.sort(raw, self._encoding)
        defects = [Defect(int(starts[place]), int(stops[place]), reason) for place, reason in reasons.items()]
        return Cut(pa.table({DOCUMENT: text}), starts[good], defects, used)

    def cut_whole(self, data: bytes, begins: Places) -> Cut | None:
        """Several bodies in one: each ends with a line feed, so that none can reach into the next."""
        return self.cut(data, last=True)


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


def _text(raw: pa.Array, encoding: str) -> tuple[pa.Array, dict[int, str]]:
    """Rows as text without their ends; those that are no text are empty, and why by place."""
    reasons: dict[int, str] = {}
    if encoding == "latin-1":
        text = pa.array([line.decode(encoding) for line in raw.to_pylist()], pa.string())
        return pc.utf8_rtrim(text, characters="\r\n"), reasons
    try:
        text = raw.cast(pa.string())
    except pa.ArrowInvalid:
        lines = raw.to_pylist()
        for place, line in enumerate(lines):
            reason = not_text(line, encoding)
            if reason is not None:
                reasons[place] = reason
                lines[place] = b""
        text = pa.array(lines, pa.binary()).cast(pa.string())
    has_end = any(pc.any(pc.ends_with(text, pattern=end)).as_py() for end in "\r\n")
    return (pc.utf8_rtrim(text, characters="\r\n") if has_end else text), reasons


def not_json(line: str) -> str:
    """What Python's parser says of a row that DuckDB refuses."""
    if "\0" in line:
        return f"NUL byte at character {line.index(chr(0))} of the row"
    try:
        json.loads(line)
    except ValueError as error:
        return f"not valid JSON: {getattr(error, 'msg', error)} at character {getattr(error, 'pos', 0)}"
    except RecursionError:
        return "not valid JSON: nested too deeply"
    return "not valid JSON"
