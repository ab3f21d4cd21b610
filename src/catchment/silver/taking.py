"""One silver commit in the making: rows taken, written, weighed by the rules over a load, committed or held.

Commit order: the rejected rows first, under the number that was claimed for the silver commit; then silver, whose state
names that number and the end of the span. A verdict whose silver commit never came is named by nothing and counts
nowhere; the next run takes the same span again under another number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from catchment import naming
from catchment.errors import Held
from catchment.events import CheckFailed, Noticed, RowsRefined
from catchment.interfaces import Table
from catchment.records import Change, Claim, DataFile, Progress, Scan, Verdict
from catchment.silver import definition as definitions
from catchment.silver import quality, truncates
from catchment.silver.held import frequent_reason, held_span, refused
from catchment.silver.judge import parsed, stacked
from catchment.silver.modes import DELETED, UNCHANGED, mode_of
from catchment.silver.rejects import commit_rejects, oldest_waiting, write_rejects
from catchment.silver.rows import Figures, Rows, lookups, refer, referred_keys, silver_schema
from catchment.silver.rules import figures, verdicts
from catchment.silver.span import Part, of_stream, referred_generations
from catchment.silver.usual import unusual
from catchment.silver.work import Work
from catchment.silver.write import Gone, Writing, Written


@dataclass(frozen=True)
class Weighed:
    """What a commit would bring, written and measured: good rows, rejected and waiting ones, and their figures.

    `told` are all rows, `judged` those that nobody has let pass.
    """

    taken: Sequence[Rows]
    written: Written
    rejects: Sequence[DataFile]
    measured: Mapping[str, int]
    load: quality.Load
    told: Figures
    judged: Figures
    score: float | None  # of the judged ones


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
        weighed = self.weigh(self.take(claim), claim)
        said = self._verdicts(weighed)
        stops = () if self.lenient else [one for one in said if not one.passed and one.severity == "stop"]
        refining.stopping()
        if stops:
            self._hold(weighed, stops, claim, fingerprint, spans)
        if weighed.rejects:
            commit_rejects(refining, weighed.rejects, claim)
        refining.stopping()
        progress = self._state(weighed, claim, fingerprint, spans)
        seen = None if self._is_idle(weighed) else weighed.load.table()
        self.silver.commit(claim, self.change(weighed.written), progress, seen=seen)
        self._report(weighed, said, claim)

    def _state(self, weighed: Weighed, claim: Claim, fingerprint: str, spans: Mapping[str, int]) -> Progress:
        """The state of the commit, once the rejected rows are there."""
        before = () if any(part.again is not None for part in self.parts) else tuple(self.progress.waiting)
        waiting = with_number(before, claim.number) if weighed.told.waiting else before
        cursors = {
            **{name: value for name, value in self.progress.cursors.items() if name != "waiting"},
            "refine": {**self.progress.cursors.get("refine", {}), **spans},
            **self._kept_for_later(weighed.taken, waiting),
        }
        judged = with_number(self.progress.judged, claim.number)
        return replace(self.progress, cursors=cursors, judged=judged, waiting=waiting, definition=fingerprint)

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
        table = self.refining.table
        new = of_stream(table, part.stream, engine, engine.frame(part.span.scan))
        if part.again is None:
            return new
        # The rows of the span are not among them: what waits was taken before.
        ours = f"SELECT * FROM again WHERE {part.ours}"
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
        frames = [rows.fresh() for rows in taken]
        for part, rows in zip(self.parts, taken, strict=True):
            before = [] if self.anew else truncates.known(self.progress, part.stream)
            if before or rows.truncates:
                present = None if self.anew else self.silver
                own: dict[str, Any] = {"number": rows.number, "new": rows.truncates, "before": before}
                frames.append(truncates.deletes(self.refining, present, rows.good(), **own))
        return stacked(self.refining.engine, frames)

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

    def weigh(self, taken: Sequence[Rows], claim: Claim) -> Weighed:
        """Write the rows that pass and the others, and measure both; nothing is committed."""
        refining, contract = self.refining, self.refining.table.contract
        refining.stopping()
        written = self.write(taken, claim)
        told = sum((rows.figures for rows in taken), start=Figures())
        judged = [
            rows.counted(part.passed) if part.passed > part.compared else rows.figures
            for part, rows in zip(self.parts, taken, strict=True)
        ]
        rejects = write_rejects(refining, self.bad(taken), claim) if told.rejected or told.waiting else []
        made = refining.table.function is not None
        wrong = quality.count_wrong(refining.engine, contract, rejects, self._let_pass, made=made)
        measured, values = self.measure(written, claim)
        load = quality.load_of(
            contract,
            number=claim.number,
            kind=self._kind,
            counts=told,
            wrong=wrong.rows,
            values=values,
        )
        strictly = sum(judged, start=Figures())
        score = quality.score(contract, strictly.read - quality.waiting(wrong.judged), wrong.judged)
        return Weighed(taken, written, rejects, measured, load, told, strictly, score)

    @property
    def _kind(self) -> str:
        if self.anew:
            return quality.REBUILD
        return quality.REFINE if any(part.span.scan.files for part in self.parts) else quality.AGAIN

    def _is_idle(self, weighed: Weighed) -> bool:
        """Whether rows were tried again and wait on: that is no load."""
        return self._kind == quality.AGAIN and not weighed.load.figures["rows", None]

    @property
    def _let_pass(self) -> str:
        """A condition on rows that somebody has let pass, where all are taken again."""
        passed = [f"({part.ours} AND _load <= {part.passed:d})" for part in self.parts if part.passed]
        return " OR ".join(passed) or "FALSE"

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
        new = [one for rows in taken for one in rows.truncates]
        if new:
            found["truncated"] = truncates.remembered({} if self.anew else self.progress.cursors, new)
        if waiting:
            # As they were before the rows were looked for: what came since is looked at by the next run.
            found["references"] = self.referred
            found["waiting"] = {"since": oldest_waiting(self.refining, waiting).isoformat()}
        return found

    def measure(self, written: Written, claim: Claim) -> tuple[dict[str, int], dict[quality.Figure, Any]]:
        """Counts of the rows that this commit writes, as the report and the set rules ask; and the figures of their
        values."""
        table, engine = self.refining.table, self.refining.engine
        files = Scan(files=tuple(file.path for file in written.add), schema=silver_schema(table))
        mode = mode_of(table)
        hides = mode is not None and naming.HIDDEN in mode.own_columns().names
        shown = f"{naming.HIDDEN} IS NULL" if hides else "TRUE"
        ours = f"SELECT * FROM written WHERE _judged = {claim.number}"
        frames = {"written": engine.frame(files)}
        fresh = {"fresh": engine.query(parsed(f"{ours} AND {shown}"), frames)}
        kept = quality.aggregates(table.contract)
        asked = {"_judged": "count(*)", **figures(table.contract.set_rules)}
        valued = {f"_value {place}": sql for place, sql in enumerate(kept.values())}
        if self._let_pass == "FALSE":
            found = self._aggregated({"_written": "count(*)", **asked, **valued}, fresh)
        else:
            found = self._aggregated({"_written": "count(*)", **valued}, fresh)
            judged = {"judged": engine.query(parsed(f"SELECT * FROM fresh WHERE NOT ({self._let_pass})"), fresh)}
            found |= self._aggregated(asked, judged)
        values = {name: found.pop(place) for name, place in zip(kept, valued, strict=True)}
        return {**found, **(self._hidden(ours, frames) if hides else {})}, values

    def _hidden(self, ours: str, frames: Mapping[str, Any]) -> dict[str, int]:
        """How many of the rows that this commit keeps hidden say what: that a key went, or nothing new."""
        gone, same = f"{naming.HIDDEN} = '{DELETED}'", f"{naming.HIDDEN} = '{UNCHANGED}'"
        counts = {"_deleted": gone, "_said_deleted": f"{gone} AND _row >= 0", "_unchanged": same}
        wanted = {name: f"count(*) FILTER (WHERE {condition})" for name, condition in counts.items()}
        hidden = self.refining.engine.query(parsed(f"{ours} AND {naming.HIDDEN} IS NOT NULL"), frames)
        return self._aggregated(wanted, {"hidden": hidden})

    def _aggregated(self, wanted: Mapping[str, str], frame: Mapping[str, Any]) -> dict[str, Any]:
        """One row of aggregates over the one frame that is given."""
        listed = ", ".join(f"{sql} AS {naming.quoted(name)}" for name, sql in wanted.items())
        row: dict[str, Any] = self.refining.engine.fetch(
            parsed(f"SELECT {listed} FROM {next(iter(frame))}"), frame
        ).to_pylist()[0]
        return row

    def _verdicts(self, weighed: Weighed) -> list[Verdict]:
        """What the set rules say of all that nobody has let pass."""
        rules = self.refining.table.contract.set_rules
        before: list[quality.Load] = []
        if any(rule.usual is not None for rule in rules) and self._kind == quality.REFINE:
            least = max(rule.usual.loads for rule in rules if rule.usual is not None)
            before = quality.loads(self.refining.lake, self.refining.name, self.progress, least=least)
        said = {rule.name: unusual(weighed.load, before, rule.usual) for rule in rules if rule.usual is not None}
        judged = weighed.judged
        return verdicts(
            rules,
            weighed.measured,
            read=judged.read,
            rejected=judged.rejected,
            good=judged.good,
            score=weighed.score,
            unusual=said,
        )

    def _report(self, weighed: Weighed, said: Sequence[Verdict], claim: Claim) -> None:
        refining, told, measured = self.refining, weighed.told, weighed.measured
        written = measured["_written"]
        unchanged = measured.get("_unchanged", 0) + sum(rows.unchanged for rows in weighed.taken)
        refining.tell(
            RowsRefined(
                step=refining.step,
                table=str(claim.table),
                rows=told.read,
                written=written,
                rejected=told.rejected,
                superseded=max(0, told.good - written - measured.get("_said_deleted", 0) - unchanged),
                filtered=max(0, told.read - told.rejected - told.waiting - told.good)
                if refining.table.function is not None
                else 0,
                load=claim.number,
                waiting=told.waiting,
                deleted=measured.get("_deleted", 0),
                unchanged=unchanged,
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
        weighed: Weighed,
        stops: Sequence[Verdict],
        claim: Claim,
        fingerprint: str,
        spans: Mapping[str, int],
    ) -> None:
        """Commit the rejected rows as held, and nothing else. Raises Held."""
        refining, rules = self.refining, self.refining.table.contract.set_rules
        for file in (*weighed.written.add, *weighed.rejects):
            Path(file.path).unlink(missing_ok=True)
        bad = [refining.engine.kept(frame) for frame in self.bad(weighed.taken, held=True)]
        held = {
            "spans": dict(spans),
            "after": self._after(),
            "passed": self._passed(),
            "by": self._rules(fingerprint),
            "judged": claim.number,
            "anew": self.anew,
            "silver": self.progress.generation,
            "message": "; ".join(verdict.message for verdict in stops),
            "compared": any(rule.usual for rule in rules if rule.name in {verdict.rule for verdict in stops}),
            "reason": frequent_reason(refining.engine, bad),
            "read": weighed.told.read,
            "rows": weighed.told.rejected + weighed.told.waiting,
        }
        commit_rejects(refining, write_rejects(refining, bad, claim), claim, held=held)
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


def with_number(numbers: Sequence[tuple[int, int]], number: int) -> tuple[tuple[int, int], ...]:
    """Closed ranges with `number`, which is larger than all of them."""
    if numbers and numbers[-1][1] == number - 1:
        return (*numbers[:-1], (numbers[-1][0], number))
    return (*numbers, (number, number))
