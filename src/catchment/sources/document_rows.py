"""Documents of databases as rows of bronze, and what is remembered of those that have landed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from catchment.records import Batch, Cursor, Notice
from catchment.sources.files.cuts import LONGEST_RECORD
from catchment.sources.files.json_lines import DOCUMENT
from catchment.sources.files.shape import LONGEST_RAW, OURS

SCHEMA = pa.schema([*OURS, (DOCUMENT, pa.string())])

# Of what has landed: the mark of a document's bytes. Two documents of one mark would be one in 10^38.
MARK_BYTES = 16

_MARKS = np.dtype((np.bytes_, MARK_BYTES))
_TWO_TO_128 = 1 << (8 * MARK_BYTES)


def mark(*parts: bytes) -> bytes:
    """What a document is known by: equal for equal bytes."""
    digest = hashlib.blake2b(digest_size=MARK_BYTES)
    for part in parts:
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.digest()


class Rows:
    """Documents on their way into one batch. `first` is the position of the first of them."""

    def __init__(self, first: int) -> None:
        self.first = first
        self._origins: list[str] = []
        self._documents: list[str | None] = []
        self._defects: list[str | None] = []
        self._raws: list[bytes | None] = []

    def __len__(self) -> int:
        return len(self._origins)

    def add(self, origin: str, document: str) -> None:
        """A document of more than 16 MB of text is a defect."""
        if len(document) > LONGEST_RECORD:
            text = document[:LONGEST_RAW].encode()
            self.add_defect(
                origin, f"a document of more than {LONGEST_RECORD >> 20} MB of JSON text", text, len(document)
            )
            return
        self._put(origin, document, None, None)

    def add_defect(self, origin: str, reason: str, raw: bytes, length: int | None = None) -> None:
        """What is no document; its first 64 KB are kept. `length` is that of the whole, where `raw` is not."""
        whole = len(raw) if length is None else length
        if whole > LONGEST_RAW:
            reason = f"{reason}; the first {min(len(raw), LONGEST_RAW):,} of {whole:,} bytes are kept"
        self._put(origin, None, reason, raw[:LONGEST_RAW])

    def _put(self, origin: str, document: str | None, defect: str | None, raw: bytes | None) -> None:
        self._origins.append(origin)
        self._documents.append(document)
        self._defects.append(defect)
        self._raws.append(raw)

    def table(self) -> pa.Table:
        columns = [
            pa.array(self._origins, pa.string()),
            pa.array(np.arange(self.first, self.first + len(self), dtype=np.int64)),
            pa.array(self._defects, pa.string()),
            pa.array(self._raws, pa.binary()),
            pa.array(self._documents, pa.string()),
        ]
        return pa.Table.from_arrays(columns, schema=SCHEMA)


Packed = np.ndarray[Any, np.dtype[np.bytes_]]


def packed(marks: Iterable[bytes]) -> Packed:
    """Marks side by side."""
    return np.frombuffer(b"".join(marks), _MARKS)


class Marks:
    """A set of marks in 16 bytes each, so that millions of them fit: sorted runs, each twice as long as the next."""

    def __init__(self, marks: Packed | None = None) -> None:
        self._runs: list[Packed] = []
        if marks is not None and len(marks):
            self._runs.append(np.unique(marks))

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def add(self, marks: Packed) -> None:
        """They must not be in it yet."""
        if not len(marks):
            return
        run = np.unique(marks)
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]))
        self._runs.append(run)

    def hold(self, marks: Packed) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which of them are in it."""
        found = np.zeros(len(marks), np.bool_)
        for run in self._runs:
            places = np.searchsorted(run, marks)
            places[places == len(run)] = 0
            found |= run[places] == marks
        return found


class Digest:
    """What a whole read held, in whatever order it came."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0

    def add(self, one: bytes) -> None:
        """The mark of one document."""
        self.count += 1
        self._sum = (self._sum + int.from_bytes(one, "big")) % _TWO_TO_128

    def __str__(self) -> str:
        return f"{self.count}-{self._sum:032x}"


class Whole:
    """A read of everything that there is, which is one load; thrown away where it holds what the last one held."""

    def __init__(self, feed: str, origin: str, since: Cursor | None) -> None:
        self._feed = feed
        self._origin = origin
        self._before = None if since is None else since.value.get("digest")
        self._position = 0 if since is None else int(since.value["rows"])
        self._is_first = since is None
        self.digest = Digest()

    def rows(self) -> Rows:
        """For the next documents; give them to `batch` before the next are asked for."""
        return Rows(self._position)

    def batch(self, rows: Rows, size: int) -> Batch:
        self._position += len(rows)
        return Batch(rows.table(), None, size)

    def end(self) -> Iterator[Batch]:
        """The batch with the cursor; none where there is nothing, and was nothing before."""
        is_same = self._before == str(self.digest)
        if not self.digest.count and (self._is_first or is_same):
            return
        notices = () if self.digest.count else (self._emptied(),)
        cursor = Cursor({"digest": str(self.digest), "rows": self._position})
        yield Batch(SCHEMA.empty_table(), cursor, 0, notices, unchanged=is_same)

    def _emptied(self) -> Notice:
        message = f"{self._origin} holds nothing any more for {self._feed}; what is empty deletes nothing"
        return Notice("empty_file", message, {"stream": self._feed, "origin": self._origin})
