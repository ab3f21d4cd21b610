"""Which files of a table are worth joining.

A stream adds files for as long as it goes on. Where each compaction wrote the whole table anew, work and memory would
rise with the table: so a file is joined with smaller ones only once these hold as much as it does. Each row is then
written again once in every doubling of its file, and a table keeps a file for each doubling.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deltalake import WriterProperties

    from catchment.records import Leftover

# Files are filled up to this size; one of half of it is full enough.
_FULL = 128 << 20

# Up to this size a file is joined with anything: it takes a tenth of a second.
_LITTLE = 4 << 20

# Compaction holds one row group in memory, and delta-rs takes 1,048,576 rows for it: a gigabyte of documents of 1,000
# bytes. As many as DuckDB writes, which reads row groups side by side.
_ROWS = 122_880


def worth_joining(files: Iterable[Leftover]) -> list[Leftover]:
    """The small files that are to become one, smallest first; each that is left is larger than all smaller ones."""
    small = sorted((file for file in files if file.bytes < _FULL // 2), key=lambda file: file.bytes)
    count = total = 0
    for place, file in enumerate(small):
        if place and file.bytes <= max(total, _LITTLE):
            count = place + 1
        total += file.bytes
    return small[:count]


def target(found: Iterable[Leftover]) -> int:
    """The size up to which delta-rs is to join files, so that it takes these: it leaves out what is larger."""
    return min(_FULL, max(_LITTLE, sum(file.bytes for file in found)))


def written() -> WriterProperties:
    """How joined files are written: as delta-rs would, but for the row groups."""
    from deltalake import WriterProperties

    return WriterProperties(
        max_row_group_size=_ROWS, compression="ZSTD", compression_level=4, statistics_truncate_length=64
    )
