"""What comes over a bridge (dlt, Singer): its state, the rows that it gives again, and documents as rows of bronze.

Whoever is on the other side keeps its own state and may begin a little before the place where it ended. So what it
gave in its last run is remembered, 16 bytes a row, and a row that comes again as it was is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from catchment.records import JSON, Cursor
from catchment.sources.document_rows import MARK_BYTES, SCHEMA
from catchment.sources.files.cuts import LONGEST_RECORD
from catchment.sources.files.json_lines import Validity
from catchment.sources.files.shape import LONGEST_RAW

# So many rows of one run are remembered, the newest ones.
MOST = 1_000_000

# The state comes first, in a row of its own; it can be too long for a progress object.
SEEN = pa.schema([("mark", pa.binary(MARK_BYTES)), ("state", pa.string())])

_MARKS = np.dtype((np.bytes_, MARK_BYTES))


@dataclass(frozen=True)
class Landed:
    """What the last cursor says: how many rows have landed, the state, and what the last run gave."""

    rows: int = 0
    state: str | None = None
    marks: bytes = b""
    value: Mapping[str, JSON] | None = None

    @classmethod
    def of(cls, since: Cursor | None) -> Landed:
        if since is None:
            return cls()
        rows, seen = int(since.value.get("rows", 0)), since.seen
        if seen is None or not seen.num_rows:
            return cls(rows, value=since.value)
        states = seen.column("state").drop_null()
        marks = b"".join(seen.column("mark").drop_null().cast(pa.binary()).to_pylist())
        return cls(rows, states[0].as_py() if len(states) else None, marks, since.value)

    @property
    def is_nothing(self) -> bool:
        return self.value is None


def cursor(value: Mapping[str, JSON], state: str | None, marks: bytes) -> Cursor:
    """The cursor after rows that were given up to a state."""
    held = pa.Array.from_buffers(pa.binary(MARK_BYTES), len(marks) // MARK_BYTES, [None, pa.py_buffer(marks)])
    parts = [pa.table([held, pa.nulls(len(held), pa.string())], schema=SEEN)]
    if state is not None:
        parts.insert(0, pa.table([pa.nulls(1, pa.binary(MARK_BYTES)), pa.array([state])], schema=SEEN))
    return Cursor(dict(value), pa.concat_tables(parts).combine_chunks(), anew=True)


class Repeats:
    """Tells rows that were given before from new ones: each is left out as often as the last run gave it.

    A key that has a new row in this run is not looked at again: what went from A to B and back to A is three rows.
    """

    def __init__(self, marks: bytes) -> None:
        self._known, self._left = np.unique(np.frombuffer(marks, _MARKS), return_counts=True)
        self._now = bytearray()
        self._changed: set[bytes] = set()
        self.count = 0

    def new(self, marks: Sequence[bytes], keys: Sequence[bytes | None]) -> list[bool]:
        """Which rows of a run are new, asked once and in their order."""
        self.count += len(marks)
        self._now += b"".join(marks)
        if len(self._now) > 2 * MOST * MARK_BYTES:
            del self._now[: -MOST * MARK_BYTES]
        if not len(self._known):
            return [True] * len(marks)
        asked = np.frombuffer(b"".join(marks), _MARKS)
        places = np.minimum(np.searchsorted(self._known, asked), len(self._known) - 1)
        held = (self._known[places] == asked).tolist()
        return [
            self._is_new(place if is_held else None, key)
            for place, is_held, key in zip(places.tolist(), held, keys, strict=True)
        ]

    def _is_new(self, place: int | None, key: bytes | None) -> bool:
        if place is not None and self._left[place] and key not in self._changed:
            self._left[place] -= 1
            return False
        if key is not None:
            self._changed.add(key)
        return True

    def marks(self, *, done: bool) -> bytes:
        """For the cursor: what this run gave, and where it is not at its end what the last one gave besides."""
        now = bytes(self._now[-MOST * MARK_BYTES :])
        return now if done else np.repeat(self._known, self._left).tobytes() + now


@dataclass(frozen=True)
class Given:
    """One row as it was given: JSON as UTF-8, or the reason why it is none and its raw form."""

    raw: bytes
    reason: str | None = None


def documents(given: Sequence[Given], origin: str, first: int, validity: Validity) -> pa.Table:
    """Rows from position `first` on; what DuckDB does not take for JSON is a defect, too."""
    reasons = {place: reason for place, one in enumerate(given) if (reason := _refusal(one)) is not None}
    asked = pa.array([b"" if place in reasons else one.raw for place, one in enumerate(given)], pa.binary())
    text, good, invalid = validity.sort(asked, "utf-8")
    reasons = {**invalid, **reasons}
    kept = iter(text.to_pylist())
    columns = [
        pa.repeat(pa.scalar(origin), len(given)),
        pa.array(np.arange(first, first + len(given), dtype=np.int64)),
        pa.array(_words(given, reasons), pa.string()),
        pa.array([None if fine else one.raw[:LONGEST_RAW] for fine, one in zip(good, given, strict=True)], pa.binary()),
        pa.array([next(kept) if fine else None for fine in good], pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _refusal(one: Given) -> str | None:
    if one.reason is None and len(one.raw) > LONGEST_RECORD:
        return f"a document of more than {LONGEST_RECORD >> 20} MB of JSON text"
    return one.reason


def _words(given: Sequence[Given], reasons: Mapping[int, str]) -> Iterable[str | None]:
    for place, one in enumerate(given):
        reason = reasons.get(place)
        if reason is not None and len(one.raw) > LONGEST_RAW:
            reason = f"{reason}; the first {LONGEST_RAW:,} of {len(one.raw):,} bytes are kept"
        yield reason
