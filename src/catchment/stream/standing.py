"""Where a stream begins: how far every table has come, as the lake tells."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from catchment.connected import Connected
from catchment.errors import Unfenced
from catchment.interfaces import Lake
from catchment.naming import TableName
from catchment.records import Glance, Progress, Step
from catchment.stream.board import Attempts, Board, Bronze, Load, Silver, Sink
from catchment.stream.paces import Paces

# A process that is started beside this one needs so long before it lands anything.
_LEAST_QUIET_S = 5.0


def glance(lake: Lake, name: TableName) -> Glance | None:
    """Where a table stands; None also of one that cannot be trusted, which its own step tells."""
    try:
        return lake.glance(name)
    except Unfenced:
        return None


def board_of(connected: Connected, steps: Sequence[Step], paces: Paces, *, shared: bool = False) -> Board:
    """Where everything stands in the lake at the start. Where the work is `shared`, others land what is not among the
    steps."""
    silver = {step.name: _silver(connected, step, steps, paces) for step in steps if step.kind == "refine"}
    bronze = {name: Bronze() for table in silver.values() for name in table.reads}
    for step in steps:
        if step.kind == "land":
            bronze[step.writes] = Bronze(Attempts(step), read_until=-math.inf)
    now = time.monotonic()
    asked = {str(feed.table): paces.every[feed.name] for feed in connected.project.feeds()}
    for name, found in bronze.items():
        there = glance(connected.reads, TableName.parse(name))
        if there is not None:
            found.newest = there.progress.generation
            found.loads.append(Load(0, found.newest, now, now))
        if shared and found.attempts is None:
            # How the others are getting on nobody tells here; each of them looks for what is new at its feed's pace.
            found.found, found.quiet_s = now, max(_LEAST_QUIET_S, asked[name])
    sinks = {
        step.writes: Sink(Attempts(step), table=step.reads[0]) for step in steps if step.kind in ("publish", "feed")
    }
    return Board(bronze, silver, sinks)


def _silver(connected: Connected, step: Step, steps: Sequence[Step], paces: Paces) -> Silver:
    name = step.name.partition(".")[2]
    declared = connected.project.silver[name]
    there = {other.name for other in steps if other.kind == "refine"}
    before = [one for other in connected.project.looks_at(name) if (one := f"silver.{other}") in there]
    in_time = {f"silver.{other}" for other, how in declared.with_.items() if how != "current"}
    found = glance(connected.lake, TableName.parse(step.name))
    progress = Progress() if found is None else found.progress
    return Silver(
        name=step.name,
        attempts=Attempts(step),
        pace=paces.refines(name, declared),
        reads=tuple(read for read in step.reads if read.startswith("bronze.")),
        before=tuple(before),
        as_of=tuple(one for one in before if one in in_time),
        taken={table: int(load) for table, load in progress.cursors.get("refine", {}).items()},
        waits=bool(progress.waiting),
    )
