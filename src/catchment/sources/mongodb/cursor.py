"""How far a collection was read by a field: the last value, and what has landed of the window before it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from bson import ObjectId
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.timestamp import Timestamp

from catchment.errors import ConfigError, SchemaDrift
from catchment.reading.durations import seconds
from catchment.records import JSON, Cursor
from catchment.sources.document_rows import MARK_BYTES, Marks, Packed, packed
from catchment.sources.mongodb.documents import from_json, to_json

# How long before the last ObjectId one may still turn up: each begins with its client's clock, in seconds, and is
# made before it is sent.
OBJECT_ID_LOOKBACK_S = 600

# So many documents of the window are remembered at most: 80 MB.
MOST_SEEN = 5_000_000

# So many documents of one read are known again in it.
_MOST_MET = 500_000

# What a cursor can be, and the least of its kind: MongoDB compares values of one kind only. NaN is no number here.
LEAST: Mapping[str, Any] = {
    "number": float("-inf"),
    "string": "",
    "objectId": ObjectId(b"\0" * 12),
    "date": DatetimeMS(-(1 << 63)),
    "timestamp": Timestamp(0, 0),
}
_TYPES = {str: "string", ObjectId: "objectId", DatetimeMS: "date", Timestamp: "timestamp", Decimal128: "number"}
_CHUNK = 4096
_SEEN = pa.schema([("mark", pa.binary(MARK_BYTES)), ("until", pa.string())])
_Chunk: TypeAlias = tuple[Any, Packed]


def kind_of(value: Any) -> str | None:
    """What kind of cursor a value is, None where it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return None if math.isnan(value) else "number"
    if isinstance(value, Decimal128) and value.to_decimal().is_nan():
        return None
    return _TYPES.get(type(value))


def comparable(value: Any) -> Any:
    """As Python can compare it with others of its kind."""
    if isinstance(value, Decimal128):
        return value.to_decimal()
    if isinstance(value, DatetimeMS):
        return int(value)
    return (value.time, value.inc) if isinstance(value, Timestamp) else value


@dataclass(frozen=True)
class Position:
    """After the value `at` of a field of one kind, None before everything; `rows` have landed so far."""

    field: str
    kind: str
    at: Any = None
    rows: int = 0

    @classmethod
    def of(cls, feed: str, field: str, since: Cursor | None) -> Position | None:
        """None before the first read. Raises SchemaDrift where another field, or none, was the cursor."""
        if since is None:
            return None
        landed = since.value.get("field")
        if landed != field:
            was = "read whole" if landed is None else f"read by `{landed}`"
            message = f"{feed} was {was}; the project now says `cursor: {field}`"
            hint = f"write `cursor: {landed}` again" if landed else "remove `cursor` again"
            raise SchemaDrift(message, hint=f"{hint}, or land it as a new stream")
        at = from_json({"at": since.value["at"]}, "the cursor")["at"]
        return cls(field, since.value["kind"], at, since.value["rows"])

    def value(self) -> dict[str, JSON]:
        return {"field": self.field, "kind": self.kind, "at": to_json(self.at), "rows": self.rows}

    def after(self, at: Any, rows: int, now_ms: int) -> Position:
        """Not later than the server's clock: a document from the future would hide all that come before it."""
        if self.kind == "date":
            at = min(at, DatetimeMS(now_ms), key=int)
        elif self.kind == "objectId":
            at = min(at, ObjectId((now_ms // 1000).to_bytes(4, "big") + b"\xff" * 8))
        elif self.kind == "timestamp":
            at = min(at, Timestamp(now_ms // 1000, (1 << 32) - 1))
        if self.at is not None:
            at = max(at, self.at, key=comparable)
        return replace(self, at=at, rows=rows)

    def low(self, lookback: int) -> Any:
        """The least value to read."""
        if self.at is None:
            return LEAST[self.kind]
        if not lookback:
            return self.at
        if self.kind == "date":
            return DatetimeMS(max(int(self.at) - lookback * 1000, -(1 << 63)))
        if self.kind == "objectId":
            made = int.from_bytes(self.at.binary[:4], "big")
            return ObjectId(max(made - lookback, 0).to_bytes(4, "big") + b"\0" * 8)
        if self.kind == "timestamp":
            return Timestamp(max(self.at.time - lookback, 0), 0)
        return _less(self.at, lookback)


def _less(at: Any, lookback: int) -> Any:
    if isinstance(at, Decimal128):
        return Decimal128(at.to_decimal() - Decimal(lookback))
    return max(at - lookback, -(1 << 63))


def lookback_of(feed: str, said: str | int | None, kind: str) -> int:
    """In seconds, or in a cursor's own numbers. Raises ConfigError where it does not fit the cursor."""
    if said is None:
        return OBJECT_ID_LOOKBACK_S if kind == "objectId" else 0
    text = str(said).strip()
    time, number = seconds(text), int(text) if text.isdigit() else None
    if kind == "string":
        message = f"{feed}: its cursor is text, and `lookback: {text}` cannot be taken from it"
        raise ConfigError(message, hint="remove `lookback`")
    found = number if kind == "number" else time
    if found is None:
        message = f"{feed}: its cursor is a {kind}, and `lookback: {text}` does not fit it"
        raise ConfigError(message, hint="write lookback: 100" if kind == "number" else "write lookback: 5 minutes")
    return found


class Window:
    """What has landed of the window: the marks of its documents, by thousands under the last value among them."""

    def __init__(self, feed: str, since: Cursor | None) -> None:
        self._feed = feed
        self._before = [] if since is None or since.seen is None else list(_chunks(since.seen))
        self._read: list[tuple[Any, bytearray]] = []
        self._met: dict[bytes, None] = {}
        self.known = Marks(_together(self._before))

    def add(self, value: Any, mark: bytes) -> bool:
        """A document that was read, under the greatest value so far. True when it is time to `drop` some."""
        is_time = not self._read or len(self._read[-1][1]) >= _CHUNK * MARK_BYTES
        if is_time:
            self._read.append((value, bytearray()))
        marks = self._read[-1][1]
        marks += mark
        self._read[-1] = (value, marks)
        return is_time

    def meets(self, mark: bytes) -> bool:
        """Whether a read meets a document for the first time: a scan may give it twice where others write meanwhile."""
        if mark in self._met:
            return False
        self._met[mark] = None
        if len(self._met) > _MOST_MET:
            del self._met[next(iter(self._met))]
        return True

    def drop(self, low: Any) -> None:
        """Forget what lies before, so that a long read does not fill the memory."""
        least = comparable(low)
        self._read = [chunk for chunk in self._read if comparable(chunk[0]) >= least]

    def __len__(self) -> int:
        """How many that were read are remembered."""
        return sum(len(marks) for _, marks in self._read) // MARK_BYTES

    def seen(self, low: Any) -> pa.Table:
        """For the cursor: what was read from about `low` on. Raises ConfigError where it is too much.

        What was there before and was not met is kept as well: it may lie later, or a server may be behind for a moment.
        """
        read = [(value, packed([bytes(marks)])) for value, marks in self._read]
        met = Marks(_together(read))
        missed = [(value, marks[~met.hold(marks)]) for value, marks in self._before]
        least = comparable(low)
        chunks = [(value, marks) for value, marks in [*missed, *read] if comparable(value) >= least]
        count = sum(len(marks) for _, marks in chunks)
        if count > MOST_SEEN:
            message = f"{self._feed}: more than {MOST_SEEN:,} documents lie in the lookback or have one cursor value"
            raise ConfigError(message, hint="make `lookback` shorter, or name a cursor with more different values")
        return _seen(chunks)


def _together(chunks: Sequence[_Chunk]) -> Packed:
    return np.concatenate([packed([]), *(marks for _, marks in chunks)])


def _seen(chunks: Sequence[_Chunk]) -> pa.Table:
    marks = pa.py_buffer(b"".join(marks.tobytes() for _, marks in chunks))
    count = marks.size // MARK_BYTES
    until = [pa.repeat(json.dumps(to_json(value)), len(marks)) for value, marks in chunks]
    arrays = [
        pa.Array.from_buffers(pa.binary(MARK_BYTES), count, [None, marks]),
        pa.concat_arrays([pa.array([], pa.string()), *until]),
    ]
    return pa.Table.from_arrays(arrays, schema=_SEEN)


def _chunks(seen: pa.Table) -> Iterator[_Chunk]:
    for batch in seen.combine_chunks().to_batches():
        marks = packed([bytes(batch.column("mark").cast(pa.binary()).buffers()[2])])[-batch.num_rows :]
        until = batch.column("until").dictionary_encode()
        ends = np.append(np.flatnonzero(np.diff(until.indices.to_numpy())) + 1, batch.num_rows)
        for begin, end in zip([0, *ends[:-1]], ends, strict=True):
            value = from_json({"at": json.loads(until[int(begin)].as_py())}, "the cursor")["at"]
            yield value, marks[begin:end]
