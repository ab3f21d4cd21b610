"""Which files of a table are worth joining.

A stream adds files for as long as it goes on. Where each compaction wrote the whole table anew, work and memory would
rise with the table: so a file is joined with smaller ones only once these hold as much as it does. Each row is then
written again once in every doubling of its file, and a table keeps a file for each doubling.

delta-rs joins only what lies side by side in the table's log: between two files that are too large a small one stays
as it is, until smaller ones hold as much as a neighbour does. So a table has at most twice as many files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from catchment.records import Leftover

# Files are filled up to this size; one of half of it is full enough.
_FULL = 128 << 20

# Up to this size a file is joined with anything: it takes a tenth of a second.
_LITTLE = 4 << 20


def worth_joining(files: Sequence[Leftover]) -> list[Leftover]:
    """Of all files of a table, in the order of its log, those that delta-rs joins when it is told the `target`."""
    return [file for run in _runs(files, target(files)) for file in run]


def target(files: Sequence[Leftover]) -> int:
    """The size up to which files are to be joined: those that are left are larger than all smaller ones together."""
    enough = total = 0
    for number, size in enumerate(sorted(file.bytes for file in files if file.bytes < _FULL // 2)):
        if number and size <= max(total, _LITTLE):
            enough = total + size
        total += size
    return min(_FULL, max(_LITTLE, enough))


def _runs(files: Sequence[Leftover], most: int) -> Iterator[list[Leftover]]:
    """As delta-rs forms them: one that is too large ends a run (https://github.com/delta-io/delta-rs/pull/4326)."""
    run: list[Leftover] = []
    total = 0
    for file in files:
        if total + file.bytes > most:
            if len(run) > 1:
                yield run
            run, total = [], 0
        if file.bytes <= most:
            run.append(file)
            total += file.bytes
    if len(run) > 1:
        yield run
