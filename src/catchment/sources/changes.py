"""Rows of a log of changes, as every source that follows one lands them: in commit order, one document a change."""

from __future__ import annotations

from datetime import datetime

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


class Changes:
    """Changes on their way into one batch. `first` is the position of the first of them."""

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
        """A change that is there and cannot be said as a document; its first 64 KB are kept."""
        if len(raw) > LONGEST_RAW:
            reason = f"{reason}; the first {LONGEST_RAW:,} of {len(raw):,} bytes are kept"
        self._defects[len(self._rows)] = (reason, raw[:LONGEST_RAW])
        self.add(stream, op, at, None)

    def table(self) -> pa.Table:
        count = len(self)
        streams, ops, ats, documents, befores = zip(*self._rows, strict=True) if count else ((),) * 5
        defects = [self._defects.get(place, (None, None)) for place in range(count)] if self._defects else None
        columns = [
            pa.repeat(pa.scalar(self._origin, pa.string()), count),
            pa.array(np.arange(self.first, self.first + count, dtype=np.int64)),
            pa.nulls(count, pa.string()) if defects is None else pa.array([one[0] for one in defects], pa.string()),
            pa.nulls(count, pa.binary()) if defects is None else pa.array([one[1] for one in defects], pa.binary()),
            pa.array(streams, pa.string()),
            pa.array(ops, pa.string()),
            pa.array(ats, pa.timestamp("us", tz="UTC")),
            pa.array(documents, pa.string()),
            pa.array(befores, pa.string()),
        ]
        return pa.Table.from_arrays(columns, schema=SCHEMA)
