"""What cutting text into rows gives, whatever the format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from catchment.sources.files import utf16

if TYPE_CHECKING:
    import pyarrow as pa

# A record may be this long; a longer one is a defect, so that a lost quote cannot pull a whole file into memory.
LONGEST_RECORD = 16 << 20

BOM = b"\xef\xbb\xbf"

Places = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Defect:
    """Bytes `start` to `end` of the chunk that are no record, and why."""

    start: int
    end: int
    reason: str


@dataclass(frozen=True)
class Cut:
    """What a chunk held: good records, begun at `starts`, and defects. What lies after `used` waits for more bytes.

    With `rest` nothing after `used` can be cut, to the end of the file, and this says why.
    """

    rows: pa.Table
    starts: Places
    defects: Sequence[Defect]
    used: int
    rest: str | None = None


class RowCutter(Protocol):
    """Cuts what comes after a file's head; knows nothing of files."""

    @property
    def longest(self) -> int:
        """No record is longer."""

    def cut(self, data: bytes, *, last: bool) -> Cut:
        """The rows that `data`, which begins with one, holds whole; with `last` all of it."""

    def cut_whole(self, data: bytes, begins: Places) -> Cut | None:
        """Several bodies in one, each begun at `begins`; None where one of them needs a closer look."""


@dataclass(frozen=True)
class Head:
    """The first bytes of a file that are no rows, and who cuts the rest.

    A cutter that is not `shared` remembers where it is in its file, and is for that file alone.
    """

    text: bytes
    cutter: RowCutter
    shared: bool = True


def first_bad_byte(data: bytes) -> int | None:
    """Where `data` stops being UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.start
    return None


def not_text(row: bytes, encoding: str) -> str | None:
    """Why a row, UTF-8 or recoded to it, is no text; None where it is."""
    bad = first_bad_byte(row)
    if bad is None:
        return None
    name = "UTF-16" if encoding.startswith("utf-16") else "UTF-8"
    return f"not valid {name} at byte {place_in_row(row, bad, encoding)} of the row"


def place_in_row(row: bytes, place: int, encoding: str) -> int:
    """A place in a row as it was cut, counted in bytes of the file."""
    return utf16.length(row[:place]) if encoding.startswith("utf-16") else place
