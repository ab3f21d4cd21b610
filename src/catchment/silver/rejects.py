"""Rows that do not pass on their way into quarantine: written, counted, committed under the silver commit's number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from catchment import naming
from catchment.events import RowsQuarantined
from catchment.records import Change, Claim, DataFile, Scan
from catchment.silver.judge import QUARANTINE, count_reasons, parsed
from catchment.silver.work import Work

_REASONS_TOLD = 3


def write_rejects(refining: Work, frames: Sequence[Any], claim: Claim) -> list[DataFile]:
    """Files of quarantine that count nowhere yet."""
    lake, engine = refining.lake, refining.engine
    name = naming.quarantine_table(claim.table)
    table = lake.open(name) or lake.create(name, QUARANTINE)
    prefix = f"{claim.number:06d}"
    return [file for frame in frames for file in engine.write(frame, table.folder(), prefix)]


def commit_rejects(
    refining: Work,
    files: Sequence[DataFile],
    claim: Claim,
    *,
    held: Mapping[str, Any] | None = None,
    tell: bool = True,
) -> None:
    """Add rows to quarantine in a commit of its own; they count once silver's state names their number."""
    lake, engine = refining.lake, refining.engine
    name = naming.quarantine_table(claim.table)
    table = lake.open(name) or lake.create(name, QUARANTINE)
    progress = table.progress()
    if held is not None:
        progress = replace(progress, cursors={**progress.cursors, "held": held})
    table.commit(table.claim(), Change(add=files, what="hold" if held is not None else "reject"), progress)
    if held is not None or not tell:
        return
    written = Scan(files=tuple(file.path for file in files), schema=QUARANTINE)
    frequent = engine.fetch(count_reasons(_REASONS_TOLD), {"rejects": engine.frame(written)}).to_pylist()
    reasons = tuple((row["words"], row["n"]) for row in frequent)
    count = sum(file.rows for file in files)
    refining.tell(RowsQuarantined(step=refining.step, table=str(claim.table), rows=count, reasons=reasons))


def oldest_waiting(refining: Work, numbers: Sequence[tuple[int, int]]) -> datetime:
    """When the oldest row landed that waits under one of the numbers."""
    quarantine = refining.lake.open(naming.quarantine_table(refining.name))
    assert quarantine is not None
    scan = quarantine.scan(within={"_judged": (numbers[0][0], numbers[-1][1])})
    scan = replace(scan, judged=(), waiting=tuple(numbers))
    oldest = parsed("SELECT min(_loaded_at) AS since FROM q")
    since: datetime = refining.engine.fetch(oldest, {"q": refining.engine.frame(scan)}).column("since")[0].as_py()
    return since or datetime.now(UTC)
