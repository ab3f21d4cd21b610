"""One silver commit in the making: rows taken, written, weighed by the rules over a load, committed or held.

Commit order: the rejected rows first, under the number that was claimed for the silver commit; then silver, whose state
names that number and the end of the span. A verdict whose silver commit never came is named by nothing and counts
nowhere; the next run takes the same span again under another number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from catchment import naming
from catchment.errors import Held
from catchment.events import CheckFailed, Noticed, RowsQuarantined, RowsRefined
from catchment.interfaces import Table
from catchment.records import Change, Claim, Progress, Scan, Verdict
from catchment.silver import definition as definitions
from catchment.silver.held import frequent_reason, held_span, refused
from catchment.silver.judge import QUARANTINE, count_reasons, parsed, stacked
from catchment.silver.modes import DELETED, mode_of
from catchment.silver.rows import Figures, Rows, lookups, refer, referred_keys, silver_schema
from catchment.silver.rules import figures, verdicts
from catchment.silver.span import Part, referred_generations
from catchment.silver.work import Work
from catchment.silver.write import Gone, Writing, Written

_REASONS_TOLD = 3


@dataclass
class Taking:
    """One silver commit in the making. `anew` puts out what is there, `lenient` lets pass what set rules would stop."""

    refining: Work
    silver: Table
    progress: Progress
    parts: Sequence[Part]
    anew: bool = False
    lenient: bool = False
    referred: Mapping[str, int] = field(default_factory=dict)

    def run(self) -> None:
        refining, table = self.refining, self.refining.table
        definition = table.definition()
        fingerprint = definitions.fingerprint(definition)
        spans = {str(part.bronze.name): part.span.to for part in self.parts}
        held = self._held(fingerprint, spans)
        if held is not None and not self.lenient:
            raise self._refused(held)
        refining.lake.keep_definition(fingerprint, definition)
        claim = self.silver.claim()
        taken = self.take(claim)
        refining.stopping()
        written = self.write(taken, claim)
        measured = self.measure(written, claim)
        said = self._verdicts(taken, measured)
        stops = (
            [] if self.lenient else [verdict for verdict in said if not verdict.passed and verdict.severity == "stop"]
        )
        refining.stopping()
        if stops:
            self._hold(taken, written, stops, claim, fingerprint, spans)
        self.quarantine(taken, claim)
        refining.stopping()
        before = () if any(part.again is not None for part in self.parts) else tuple(self.progress.waiting)
        waiting = with_number(before, claim.number) if any(rows.figures.waiting for rows in taken) else before
        cursors = {
            **{name: value for name, value in self.progress.cursors.items() if name != "waiting"},
            "refine": {**self.progress.cursors.get("refine", {}), **spans},
            **self._kept_for_later(taken, waiting),
        }
        judged = with_number(self.progress.judged, claim.number)
        progress = replace(self.progress, cursors=cursors, judged=judged, waiting=waiting, definition=fingerprint)
        self.silver.commit(claim, self.change(written), progress)
        self._report(taken, measured, said, claim)

    def take(self, claim: Claim) -> list[Rows]:
        """The rows of every part, computed."""
        refining, table = self.refining, self.refining.table
        self.referred = referred_generations(table, refining.looks_in)
        looked_up = lookups(table, refining.looks_in, refining.engine)
        referred = referred_keys(table, refining.looks_in, refining.engine, anew=self.anew)
        taken = []
        for part in self.parts:
            schema = part.bronze.schema()
            rows = Rows(table, part.stream, refining.engine, schema, claim.number, looked_up, part.compared)
            rows.over(self._bronze(part))
            taken.append(rows)
            if rows.absent:
                message = f"{part.stream} brings no {', '.join(rows.absent)} yet: null in {refining.name}"
                refining.tell(Noticed(step=refining.step, kind="columns_absent", message=message))
            refining.stopping()
        refer(taken, referred)
        return taken

    def _bronze(self, part: Part) -> Any:
        engine = self.refining.engine
        new = engine.frame(part.span.scan)
        if part.again is None:
            return new
        # The rows of the span are not among them: what waits was taken before.
        ours = f"SELECT * FROM again WHERE _stream = {naming.literal(part.stream)}"
        bounds = parsed(f"SELECT min(_load) AS low, max(_load) AS high FROM ({ours})")
        row = engine.fetch(bounds, {"again": part.again}).to_pylist()[0]
        if row["low"] is None:
            return new
        old = engine.frame(part.bronze.scan(loads=(row["low"] - 1, row["high"])))
        names = ", ".join(naming.IDENTITY[1:])
        chosen = parsed(f"SELECT old.* FROM old SEMI JOIN ({ours}) AS again USING ({names})")
        tried = engine.query(chosen, {"old": old, "again": part.again})
        return stacked(engine, [new, tried])

    def fresh(self, taken: Sequence[Rows]) -> Any:
        """The rows of all parts for the table's mode."""
        return stacked(self.refining.engine, [rows.fresh() for rows in taken])

    def write(self, taken: Sequence[Rows], claim: Claim) -> Written:
        refining = self.refining
        present = None if self.anew else self.silver
        writing = Writing(refining.table, refining.engine, present, refining.stopping)
        # Of a row that a function makes several of, some may be there already while others waited.
        again = self.parts[0].again if refining.table.function is not None else None
        return writing.write(self.fresh(taken), self.silver.folder(), f"{claim.number:06d}", gone=Gone(again))

    def change(self, written: Written) -> Change:
        if self.anew:
            return Change(add=written.add, remove="all", schema=silver_schema(self.refining.table), what="rebuild")
        return Change(add=written.add, remove=written.remove, what="refine")

    def quarantine(self, taken: Sequence[Rows], claim: Claim) -> None:
        """Commit the rejected and waiting rows under the silver commit's number."""
        refining = self.refining
        if any(rows.figures.rejected or rows.figures.waiting for rows in taken):
            commit_rejects(refining, self.bad(taken), claim)

    def bad(self, taken: Sequence[Rows], *, held: bool = False) -> list[Any]:
        return [frame for rows in taken for frame in rows.bad(held=held)]

    def _kept_for_later(
        self, taken: Sequence[Rows], waiting: Sequence[tuple[int, int]]
    ) -> dict[str, Mapping[str, Any]]:
        """Cursors of their own: the last whole arrivals, and what waiting rows were tried against."""
        table, found = self.refining.table, dict[str, Mapping[str, Any]]()
        if table.compares:
            arrivals = dict(self.progress.cursors.get("arrivals", {}))
            for part, rows in zip(self.parts, taken, strict=True):
                newest = rows.last_whole()
                if newest is not None:
                    arrivals[str(part.bronze.name)] = newest
            found["arrivals"] = arrivals
        if waiting:
            # As they were before the rows were looked for: what came since is looked at by the next run.
            found["references"] = self.referred
            found["waiting"] = {"since": oldest_waiting(self.refining, waiting).isoformat()}
        return found

    def measure(self, written: Written, claim: Claim) -> dict[str, int]:
        """Figures of the rows that this commit writes: how many are shown, and what the set rules ask."""
        table, engine = self.refining.table, self.refining.engine
        files = Scan(files=tuple(file.path for file in written.add), schema=silver_schema(table))
        mode = mode_of(table)
        hides = mode is not None and naming.HIDDEN in mode.own_columns().names
        shown = f"{naming.HIDDEN} IS NULL" if hides else "TRUE"
        deleted = f"{naming.HIDDEN} = '{DELETED}'" if hides else "FALSE"
        wanted = [f"{sql} AS {naming.quoted(name)}" for name, sql in figures(table.contract.set_rules).items()]
        rows = parsed(f"SELECT * FROM written WHERE _judged = {claim.number} AND {shown}")
        frames = {"written": engine.frame(files)}
        passed = " OR ".join(
            f"(_stream = {naming.literal(part.stream)} AND _load <= {part.passed:d})"
            for part in self.parts
            if part.passed
        )
        fresh = {"fresh": engine.query(rows, frames)}
        judged = parsed(f"SELECT * FROM fresh WHERE NOT ({passed or 'FALSE'})")
        fresh["judged"] = engine.query(judged, fresh)
        wanted = ["(SELECT count(*) FROM fresh) AS _written", "count(*) AS _judged", *wanted]
        counted = parsed(f"SELECT {', '.join(wanted)} FROM judged")
        measured: dict[str, int] = engine.fetch(counted, fresh).to_pylist()[0]
        gone = parsed(
            f"SELECT count(*) AS n, count(*) FILTER (WHERE _row >= 0) AS said FROM written"
            f" WHERE _judged = {claim.number} AND {deleted}"
        )
        row = engine.fetch(gone, frames).to_pylist()[0]
        return {**measured, "_deleted": row["n"], "_said_deleted": row["said"]}

    def _verdicts(self, taken: Sequence[Rows], measured: Mapping[str, int]) -> list[Verdict]:
        """What the set rules say of all that nobody has let pass."""
        judged = [rows.counted(max(part.passed, part.compared)) for part, rows in zip(self.parts, taken, strict=True)]
        figures = sum(judged, start=Figures())
        rules = self.refining.table.contract.set_rules
        return verdicts(rules, measured, read=figures.read, rejected=figures.rejected, good=figures.good)

    def _report(
        self, taken: Sequence[Rows], measured: Mapping[str, int], said: Sequence[Verdict], claim: Claim
    ) -> None:
        refining = self.refining
        told = sum((rows.figures for rows in taken), start=Figures())
        written = measured["_written"]
        refining.tell(
            RowsRefined(
                step=refining.step,
                table=str(claim.table),
                rows=told.read,
                written=written,
                rejected=told.rejected,
                superseded=max(0, told.good - written - measured["_said_deleted"]),
                filtered=max(0, told.read - told.rejected - told.waiting - told.good)
                if refining.table.function is not None
                else 0,
                load=claim.number,
                waiting=told.waiting,
                deleted=measured["_deleted"],
            )
        )
        for verdict in said:
            if not verdict.passed:
                refining.tell(
                    CheckFailed(
                        step=refining.step,
                        table=str(claim.table),
                        rule=verdict.rule,
                        message=verdict.message,
                        severity="warn",
                    )
                )

    def _held(self, fingerprint: str, spans: Mapping[str, int]) -> Mapping[str, Any] | None:
        """What is held of just this span under just these rules; None where it is to be judged."""
        found = held_span(self.refining.lake, self.refining.name, passed_too=True)
        known = {"spans": dict(spans), "after": self._after(), "by": self._rules(fingerprint), "passed": self._passed()}
        return found if found is not None and {key: found[key] for key in known} == known else None

    def _after(self) -> dict[str, int]:
        return {str(part.bronze.name): part.span.after for part in self.parts}

    def _passed(self) -> dict[str, int]:
        return {str(part.bronze.name): part.passed for part in self.parts}

    def _rules(self, fingerprint: str) -> str:
        rules = repr(self.refining.table.contract.set_rules)
        return hashlib.sha256(f"{fingerprint}:{rules}".encode()).hexdigest()

    def _hold(
        self,
        taken: Sequence[Rows],
        written: Written,
        stops: Sequence[Verdict],
        claim: Claim,
        fingerprint: str,
        spans: Mapping[str, int],
    ) -> None:
        """Commit the rejected rows as held, and nothing else. Raises Held."""
        refining = self.refining
        for file in written.add:
            Path(file.path).unlink(missing_ok=True)
        bad = [refining.engine.kept(frame) for frame in self.bad(taken, held=True)]
        held = {
            "spans": dict(spans),
            "after": self._after(),
            "passed": self._passed(),
            "by": self._rules(fingerprint),
            "judged": claim.number,
            "anew": self.anew,
            "silver": self.progress.generation,
            "message": "; ".join(verdict.message for verdict in stops),
            "reason": frequent_reason(refining.engine, bad),
            "read": sum(rows.figures.read for rows in taken),
            "rows": sum(rows.figures.rejected + rows.figures.waiting for rows in taken),
        }
        commit_rejects(refining, bad, claim, held=held)
        for verdict in stops:
            refining.tell(
                CheckFailed(
                    step=refining.step,
                    table=str(refining.name),
                    rule=verdict.rule,
                    message=verdict.message,
                    severity="stop",
                )
            )
        raise self._refused(held)

    def _refused(self, held: Mapping[str, Any]) -> Held:
        is_empty = not self.silver.progress().cursors.get("refine")
        return refused(self.refining.name, None if is_empty else self.silver.pin.version, held)


def commit_rejects(
    refining: Work,
    frames: Sequence[Any],
    claim: Claim,
    *,
    held: Mapping[str, Any] | None = None,
    tell: bool = True,
) -> None:
    """Add rows to quarantine in a commit of its own; they count once silver's state names their number."""
    lake, engine = refining.lake, refining.engine
    name = naming.quarantine_table(claim.table)
    table = lake.open(name) or lake.create(name, QUARANTINE)
    prefix = f"{claim.number:06d}"
    files = [file for frame in frames for file in engine.write(frame, table.folder(), prefix)]
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


def with_number(numbers: Sequence[tuple[int, int]], number: int) -> tuple[tuple[int, int], ...]:
    """Closed ranges with `number`, which is larger than all of them."""
    if numbers and numbers[-1][1] == number - 1:
        return (*numbers[:-1], (numbers[-1][0], number))
    return (*numbers, (number, number))
