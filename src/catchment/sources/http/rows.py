"""Records as rows of bronze: one document each, what is none as a defect, and what tells a record from others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from catchment.reading.selectors import Steps
from catchment.sources.files.cuts import LONGEST_RECORD
from catchment.sources.files.json_lines import DOCUMENT, Validity
from catchment.sources.files.shape import LONGEST_RAW, OURS
from catchment.sources.http.pages import Record, at

SCHEMA = pa.schema([*OURS, pa.field(DOCUMENT, pa.string())])

# What the record of a parent gave, in each document that was asked for by it.
PARENT = "_parent"


@dataclass(frozen=True)
class Identity:
    """What tells one record from another: its key, or all of it where it has none."""

    key: Sequence[Steps]

    def of(self, record: Record, *beside: str) -> bytes:
        """16 bytes; `beside` are further marks that make it another one."""
        return self.marked(record, self.named(record), *beside)

    @staticmethod
    def marked(record: Record, named: str | None, *beside: str) -> bytes:
        """The same, of what `named` gave."""
        return _digest(*beside, record.text if named is None else named)

    def named(self, record: Record) -> str | None:
        """Its key as text, None where a part of it is missing."""
        values = [at(record.value, path) for path in self.key]
        if not values or None in values:
            return None
        simple = all(isinstance(value, str | int) for value in values)
        return repr(values) if simple else json.dumps(values, sort_keys=True)


def digest(records: Sequence[Record], part: str = "") -> int:
    """Of texts as they came, in any order; digests may be added up."""
    return sum(int.from_bytes(_digest(part, record.text), "big") for record in records)


def rows(
    records: Sequence[Record], origin: str, first: int, validity: Validity, parent: Mapping[str, Any] | None = None
) -> pa.Table:
    """Rows from position `first` on, in the order of the records."""
    raw = [_within(record, parent) for record in records]
    refused = {place: reason for place, record in enumerate(records) if (reason := _refusal(record)) is not None}
    checked = pa.array([b"" if place in refused else data for place, data in enumerate(raw)], pa.binary())
    text, good, reasons = validity.sort(checked, "utf-8")
    reasons |= refused
    documents = np.full(len(records), None, dtype=object)
    kept = iter(text.to_pylist())
    for place in np.flatnonzero(good).tolist():
        documents[place] = next(kept)
    bad = [None if is_good else raw[place][:LONGEST_RAW] for place, is_good in enumerate(good.tolist())]
    columns = [
        pa.repeat(pa.scalar(origin), len(records)),
        pa.array(np.arange(first, first + len(records), dtype=np.int64)),
        pa.array([_told(reasons.get(place), raw[place]) for place in range(len(records))], pa.string()),
        pa.array(bad, pa.binary()),
        pa.array(documents, pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _refusal(record: Record) -> str | None:
    if record.value is None:
        return "null where a record is expected"
    if len(record.text) > LONGEST_RECORD:
        return f"longer than {LONGEST_RECORD >> 20} MB"
    return None


def _told(reason: str | None, raw: bytes) -> str | None:
    if reason is None or len(raw) <= LONGEST_RAW:
        return reason
    return f"{reason}; the first {LONGEST_RAW:,} of {len(raw):,} bytes are kept"


def _within(record: Record, parent: Mapping[str, Any] | None) -> bytes:
    """The record's bytes, with what its parent gave as a first member."""
    if parent is None or not isinstance(record.value, dict):
        return record.raw
    rest = record.raw[1:]
    joint = b"" if not record.value else b","
    return b'{"' + PARENT.encode() + b'":' + json.dumps(parent, ensure_ascii=False).encode() + joint + rest


def _digest(*parts: str) -> bytes:
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogateescape")
        found.update(len(data).to_bytes(8, "big") + data)
    return found.digest()
