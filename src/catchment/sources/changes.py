"""Rows of a log of changes, as every source that follows one lands them: in commit order, one document a change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from catchment.sources.files.shape import LONGEST_RAW, OURS

SCHEMA = pa.schema(
    [
        *OURS,
        ("stream", pa.string()),
        ("op", pa.string()),
        ("committed_at", pa.timestamp("us", tz="UTC")),
        ("document", pa.string()),
        ("before", pa.string()),
    ]
)


def changes_table(
    origin: str,
    first: int,
    happened: tuple[Sequence[str], Sequence[str], Sequence[datetime] | pa.Array],
    rows: tuple[Sequence[str | None], Sequence[str | None]],
    faults: Mapping[int, tuple[str, bytes]],
) -> pa.Table:
    """Changes as a batch of bronze: (streams, ops, instants), (documents, befores), and by place why a change cannot be
    said and its raw form, of which the first 64 KB are kept. `first` is the position of the first change."""
    streams, ops, ats = happened
    documents, befores = rows
    count = len(ops)
    columns = [
        pa.repeat(pa.scalar(origin, pa.string()), count),
        pa.array(np.arange(first, first + count, dtype=np.int64)),
        *_defects(faults, count),
        pa.array(streams, pa.string()),
        pa.array(ops, pa.string()),
        pa.array(ats, pa.timestamp("us", tz="UTC")),
        pa.array(documents, pa.string()),
        pa.array(befores, pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _defects(faults: Mapping[int, tuple[str, bytes]], count: int) -> tuple[pa.Array, pa.Array]:
    if not faults:
        return pa.nulls(count, pa.string()), pa.nulls(count, pa.binary())
    words: list[str | None] = [None] * count
    raws: list[bytes | None] = [None] * count
    for place, (reason, raw) in faults.items():
        is_long = len(raw) > LONGEST_RAW
        words[place] = f"{reason}; the first {LONGEST_RAW:,} of {len(raw):,} bytes are kept" if is_long else reason
        raws[place] = raw[:LONGEST_RAW]
    return pa.array(words, pa.string()), pa.array(raws, pa.binary())


class Changes:
    """Changes on their way into one batch, one by one. `first` is the position of the first of them."""

    def __init__(self, first: int, origin: str) -> None:
        self.first = first
        self.bytes = 0
        self._origin = origin
        self._rows: list[tuple[str, str, datetime, str | None, str | None]] = []
        self._defects: dict[int, tuple[str, bytes]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, stream: str, op: str, at: datetime, document: str | None, before: str | None = None) -> None:
        """`op` is one of `naming`'s words; `document` is the row after it, of a delete what is known of it before."""
        self.bytes += len(document or "") + len(before or "")
        self._rows.append((stream, op, at, document, before))

    def add_defect(self, stream: str, op: str, at: datetime, reason: str, raw: bytes) -> None:
        """A change that is there and cannot be said as a document."""
        self._defects[len(self._rows)] = (reason, raw)
        self.add(stream, op, at, None)

    def table(self) -> pa.Table:
        streams, ops, ats, documents, befores = _columns(self._rows)
        return changes_table(self._origin, self.first, (streams, ops, ats), (documents, befores), self._defects)


def _columns(rows: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    return tuple(zip(*rows, strict=True)) if rows else ((),) * 5
