"""Files as a drafted source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from catchment.draft.drafted import DraftedSource, DraftedTable
from catchment.draft.scalars import comment, scalar
from catchment.draft.streams import SOURCE
from catchment.draft.tables import TableGuess, shown_path
from catchment.observe.words import plural


def drafted_files(tables: Sequence[TableGuess], folder: Path) -> DraftedSource:
    """A project in `folder` over files that were studied."""
    files, rows = sum(len(table.stream.files) for table in tables), sum(table.rows for table in tables)
    return DraftedSource(
        name=SOURCE,
        keys=("type: files",),
        head=f"Drafted from {plural(files, 'file')} with {plural(rows, 'row')}: guesses with their evidence.",
        above=("New files land once in bronze, as they are.",),
        modes=(
            "`append` keeps every good row, `merge` the newest of each key. Merge is drafted only where a column tells",
            "which row is newer: a wrong guess would lose rows. Rows that break their contract wait in quarantine.",
        ),
        tables=[_drafted(table, folder) for table in tables],
    )


def _drafted(table: TableGuess, folder: Path) -> DraftedTable:
    return DraftedTable(
        name=table.name,
        stream=tuple(_stream(table, folder)),
        head=_head(table),
        columns=table.columns,
        key=table.key,
        mode=table.mode,
        beside=table.key.evidence if table.key.columns else table.key.words,
    )


def _stream(table: TableGuess, folder: Path) -> Iterator[str]:
    if table.has_odd_header:
        names = ", ".join(f"column_{place}" for place in range(1, len(table.columns) + 1))
        yield "# The first line looks like a row. If it is one, name the columns here, as in"
        yield f"# header: [{names}], and in the contract (transformSourceObjects)."
    yield f"{table.name}: {{path: {scalar(shown_path(table.stream.path, folder), always=True)}}}"


def _head(table: TableGuess) -> tuple[str, ...]:
    unread = f"; {plural(table.defects, 'line')} cannot be read and will wait in quarantine" if table.defects else ""
    files = f"{plural(len(table.stream.files), 'file')} ({comment(table.stream.shown)})"
    return (
        f"Drafted from {files}, {plural(table.rows, 'row')}{unread}.",
        "Each column says what its type rests on. Correct what you know better, then delete the comments.",
    )
