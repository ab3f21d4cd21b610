"""Judge rows of bronze again: those in quarantine (`replay`), those of a span (`backfill`); and let pass what is held.

Each is a commit like any other and leaves what a fresh table would hold: rows that pass now are reduced with those that
are there, rows that no longer pass go, and where one goes that had put out others of its key, these come back from
bronze. Every verdict that still counts is written again under the new number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from catchment import naming
from catchment.errors import ConfigError
from catchment.events import RowsReplayed, SpanAccepted
from catchment.interfaces import Table
from catchment.naming import IDENTITY, TableName, did_you_mean, literal, quoted
from catchment.records import Change, Claim, Order, Progress
from catchment.silver import definition as definitions
from catchment.silver.differences import differences, refusal
from catchment.silver.held import held_span
from catchment.silver.judge import QUARANTINE, WAITING, parsed, stacked
from catchment.silver.modes import Mode, mode_of
from catchment.silver.rejects import commit_rejects, oldest_waiting, write_rejects
from catchment.silver.rows import Figures, Rows
from catchment.silver.span import Part, Span, opened, refuse_unknown_loads, span
from catchment.silver.taking import Taking
from catchment.silver.work import Work
from catchment.silver.write import Gone, Writing, Written

_IDENTITY = ", ".join(IDENTITY)


@dataclass
class Repairing:
    """One repair of one silver table."""

    refining: Work

    def run(self) -> bool | None:
        """Whether anything was repaired; None where the table has to be made anew instead.

        Raises ConfigError where there is nothing to repair, DefinitionChanged, Conflict.
        """
        order = self.refining.order
        assert order is not None
        silver = self.refining.lake.open(self.refining.name)
        if silver is None:
            message = f"{self.refining.name} is not there yet"
            raise ConfigError(message, hint="catchment run makes it")
        if order.verb == "accept":
            return self._accept(silver)
        self._refuse_changed(silver.progress())
        table = self.refining.table
        if table.only_anew(held=order.verb == "backfill" or table.function is not None):
            return None
        return self._again(silver, order)

    def _refuse_changed(self, progress: Progress) -> None:
        definition = self.refining.table.definition()
        if progress.definition in (None, definitions.fingerprint(definition)):
            return
        before = self.refining.lake.definition(progress.definition or "")
        raise refusal(self.refining.table.name, differences(before, definition))

    def _accept(self, silver: Table) -> bool:
        """A generation without rows that lets the held span pass."""
        held, progress = held_span(self.refining.lake, self.refining.name, passed_too=True), silver.progress()
        if held is None:
            message = f"nothing of {self.refining.name} is held"
            raise ConfigError(message, hint="catchment status shows where its rows are")
        passed = {**progress.cursors.get("accept", {}), **held["spans"]}
        if passed != progress.cursors.get("accept"):
            state = replace(progress, cursors={**progress.cursors, "accept": passed})
            silver.commit(silver.claim(), Change(what="accept"), state)
        self.refining.tell(
            SpanAccepted(step=self.refining.step, table=str(self.refining.name), spans=dict(held["spans"]))
        )
        return True

    def _again(self, silver: Table, order: Order) -> bool:
        """Judge rows again and commit what follows from it."""
        progress = silver.progress()
        standing = self._standing(progress)
        parts = self._parts(progress, order, standing)
        claim = silver.claim()
        taking = Taking(self.refining, silver, progress, parts)
        taken = taking.take(claim)
        self.refining.stopping()
        gone = self._gone(silver, parts, standing, order)
        fresh, again = self._regain(taking, silver, taking.fresh(taken), gone, claim)
        writing = Writing(self.refining.table, self.refining.engine, silver, self.refining.stopping)
        written = writing.write(fresh, silver.folder(), f"{claim.number:06d}", gone=again.gone)
        self.refining.stopping()
        waits = self._verdicts(taking, taken, standing, again, order, claim)
        self.refining.stopping()
        self._commit(silver, claim, taking, written, waits=waits, verb=order.verb)
        self._report(taken, order)
        return True

    def _commit(self, silver: Table, claim: Claim, taking: Taking, written: Written, *, waits: bool, verb: str) -> None:
        number = ((claim.number, claim.number),)
        cursors = {name: value for name, value in taking.progress.cursors.items() if name != "waiting"}
        if waits:
            cursors["references"] = taking.referred
            cursors["waiting"] = {"since": oldest_waiting(self.refining, number).isoformat()}
        definition = self.refining.table.definition()
        fingerprint = definitions.fingerprint(definition)
        self.refining.lake.keep_definition(fingerprint, definition)
        waiting = number if waits else ()
        state = replace(taking.progress, cursors=cursors, judged=number, waiting=waiting, definition=fingerprint)
        silver.commit(claim, Change(add=written.add, remove=written.remove, what=verb), state)

    def _standing(self, progress: Progress) -> Any:
        """The rows in quarantine that count, rejected and waiting."""
        quarantine = self.refining.lake.open(naming.quarantine_table(self.refining.name))
        if quarantine is None:
            return self.refining.engine.frame(QUARANTINE.empty_table())
        scan = replace(quarantine.scan(), judged=tuple(progress.judged), waiting=tuple(progress.waiting))
        return self.refining.engine.kept(self.refining.engine.frame(scan))

    def _parts(self, progress: Progress, order: Order, standing: Any) -> list[Part]:
        engine, lake = self.refining.engine, self.refining.lake
        identities = None
        if order.verb == "replay":
            identities = engine.kept(self._query(f"SELECT DISTINCT {_IDENTITY} FROM standing", standing=standing))
        found = []
        for stream, shard, name in self._reads(order):
            bronze = opened(lake, self.refining.table, stream, name)
            taken = span(bronze, progress).after if bronze is not None else 0
            if bronze is None or (not taken and order.loads is None):
                continue
            loads = (taken, taken)
            if order.verb == "backfill":
                loads = order.loads or (0, taken)
                refuse_unknown_loads(bronze, loads, taken)
            scan = bronze.scan(loads=loads)
            new = Span(scan=scan, after=loads[0], to=loads[1])
            found.append(Part(bronze, stream, shard, new, again=identities))
        if not found:
            message = f"{self.refining.name} has taken no rows that could be judged again"
            raise ConfigError(message, hint=f"catchment run --select {self.refining.name}")
        return found

    def _reads(self, order: Order) -> Sequence[tuple[str, int, TableName]]:
        """The bronze tables whose rows are judged again, as `Table.reads`. Raises ConfigError."""
        name, reads = self.refining.name, self.refining.table.reads()
        split = self.refining.table.shards
        known = [f"{stream}/{number}" if split.get(stream, 1) > 1 else stream for stream, number, _ in reads]
        chosen = [read for read, feed in zip(reads, known, strict=True) if order.stream in (None, feed, read[0])]
        if not chosen:
            message = f"{name} takes no rows from `{order.stream}`"
            cure = did_you_mean(order.stream or "", known) or f"it takes them from {', '.join(known)}"
            raise ConfigError(message, hint=cure)
        if order.loads is not None and len(chosen) > 1:
            message = f"{name} has several streams or shards, each with loads of its own: {', '.join(known)}"
            raise ConfigError(message, hint=f"name one, such as --stream {known[-1]}")
        return chosen

    def _query(self, sql: str, **frames: Any) -> Any:
        return self.refining.engine.query(parsed(sql), frames)

    def _count(self, frame: Any, where: str = "TRUE") -> int:
        counted = parsed(f"SELECT count(*) AS n FROM f WHERE {where}")
        return int(self.refining.engine.fetch(counted, {"f": frame}).column("n")[0].as_py())

    def _gone(self, silver: Table, parts: Sequence[Part], standing: Any, order: Order) -> Gone:
        """Identities whose rows are judged again, as far as silver may hold any."""
        engine = self.refining.engine
        if order.verb == "replay":
            # A rejected row is not in silver, but for others that a function made of the same row of bronze.
            made = self.refining.table.function is not None
            return Gone(parts[0].again if made and parts else None)
        frames = []
        for part in parts:
            scan = silver.scan(loads=(part.span.after, part.span.to), hidden=True)
            chosen = parsed(f"SELECT DISTINCT {_IDENTITY} FROM present WHERE {part.ours}")
            frames.append(engine.query(chosen, {"present": engine.frame(scan)}))
        return Gone(engine.kept(stacked(engine, frames)))

    def _regain(self, taking: Taking, silver: Table, fresh: Any, gone: Gone, claim: Claim) -> tuple[Any, Regained]:
        """Fresh rows, and from all of bronze those of groups in which a row went that may have put out others, or one
        may have been forgotten that puts out a fresh one."""
        mode = mode_of(self.refining.table)
        if mode is None or not mode.group or (gone.identities is None and not mode.forgets):
            return fresh, Regained(gone)
        engine, group = self.refining.engine, ", ".join(map(quoted, mode.group))
        present = engine.frame(silver.scan(hidden=True))
        affected = self._affected(mode, present, fresh, gone)
        if not self._count(affected):
            return fresh, Regained(gone)
        whole = Taking(self.refining, silver, taking.progress, self._everything(taking.progress))
        rows = whole.take(claim)
        others = self._query(
            f"SELECT * FROM w SEMI JOIN a USING ({group}) ANTI JOIN f USING ({_IDENTITY})",
            w=whole.fresh(rows),
            a=affected,
            f=fresh,
        )
        others = engine.kept(others)
        union = engine.kept(stacked(engine, [fresh, others]))
        # Those that were there, or come back in part, may leave a part behind.
        parts = f"SELECT {_IDENTITY} FROM o UNION SELECT {_IDENTITY} FROM p SEMI JOIN a USING ({group})"
        touched = engine.kept(self._query(parts, o=others, p=present, a=affected))
        bad = [
            self._query("SELECT * FROM b UNION SELECT * FROM t", b=one.bad_identities(affected, mode.group), t=touched)
            for one in rows
        ]
        return union, Regained(Gone(gone.identities, affected), whole, rows, bad, others)

    def _affected(self, mode: Mode, present: Any, fresh: Any, gone: Gone) -> Any:
        """The groups that silver alone does not know enough of."""
        group, wanted = ", ".join(map(quoted, mode.group)), []
        frames = {"present": present, "fresh": fresh}
        if gone.identities is not None:
            columns = ", ".join([*(quoted(column.name) for column in self.refining.table.contract.columns), *IDENTITY])
            removed = f"SELECT {columns} FROM present SEMI JOIN gone USING ({_IDENTITY})"
            wanted.append(f"SELECT DISTINCT {group} FROM ({removed} EXCEPT SELECT {columns} FROM fresh)")
            frames["gone"] = gone.identities
        if mode.forgets:
            wanted.append(f"SELECT {group} FROM fresh")
        return self.refining.engine.kept(self._query(" UNION ".join(wanted), **frames))

    def _everything(self, progress: Progress) -> list[Part]:
        found = []
        for stream, shard, name in self.refining.table.reads():
            bronze = opened(self.refining.lake, self.refining.table, stream, name)
            if bronze is not None:
                taken = span(bronze, progress).after
                found.append(Part(bronze, stream, shard, Span(bronze.scan(loads=(0, taken)), 0, taken)))
        return found

    def _verdicts(
        self, taking: Taking, taken: Sequence[Rows], standing: Any, again: Regained, order: Order, claim: Claim
    ) -> bool:
        """Commit every verdict that counts from now on, under the new number; whether any row waits."""
        frames = taking.bad(taken)
        if again.back is not None:
            standing = self._query(f"SELECT * FROM s ANTI JOIN b USING ({_IDENTITY})", s=standing, b=again.back)
        tried = [part for part in taking.parts if order.verb == "backfill"]
        inside = " OR ".join(
            f"({part.ours} AND _load > {part.span.after} AND _load <= {part.span.to})" for part in tried
        )
        if inside:
            carried = f"SELECT * REPLACE (CAST({claim.number} AS BIGINT) AS _judged) FROM standing WHERE NOT ({inside})"
            frames.append(self._query(carried, standing=standing))
        for rows, identities in zip(again.rows, again.bad, strict=True):
            new = f"SELECT bad.* FROM bad SEMI JOIN i USING ({_IDENTITY}) ANTI JOIN standing USING ({_IDENTITY})"
            outside = f"SELECT * FROM ({new}) WHERE NOT ({inside or 'FALSE'})"
            assert again.taking is not None
            frames += [
                self._query(outside, bad=bad, i=identities, standing=standing) for bad in again.taking.bad([rows])
            ]
        every = self.refining.engine.kept(stacked(self.refining.engine, frames))
        if not self._count(every):
            return False
        commit_rejects(self.refining, write_rejects(self.refining, [every], claim), claim, tell=False)
        return self._count(every, f"status = {literal(WAITING)}") > 0

    def _report(self, taken: Sequence[Rows], order: Order) -> None:
        figures = sum((rows.figures for rows in taken), start=Figures())
        self.refining.tell(
            RowsReplayed(
                step=self.refining.step,
                table=str(self.refining.name),
                verb=order.verb,
                tried=figures.read,
                passed=figures.read - figures.rejected - figures.waiting,
                rejected=figures.rejected,
                waiting=figures.waiting,
            )
        )


@dataclass(frozen=True)
class Regained:
    """What goes before fresh rows come; and where all of bronze was read again for some groups: its rows, and the
    identities of those in these groups of which something may not pass, and the rows that came `back`."""

    gone: Gone
    taking: Taking | None = None
    rows: Sequence[Rows] = ()
    bad: Sequence[Any] = ()
    back: Any | None = None
