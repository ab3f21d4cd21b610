"""Refine: what is new in bronze, through its contract, into quarantine and silver; or what was ordered instead.

This file decides: is the table's definition the declared one, which spans are new, which rows are tried again. What
follows for one set of spans is one commit: `silver/taking.py`. Rows that are judged again: `silver/repair.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from catchment import naming
from catchment.events import SchemaChanged
from catchment.interfaces import Table
from catchment.records import Change, Claim, Progress
from catchment.silver import definition as definitions
from catchment.silver.differences import differences, least, refusal
from catchment.silver.forward import carried
from catchment.silver.judge import parsed
from catchment.silver.repair import Repairing
from catchment.silver.rows import silver_schema
from catchment.silver.span import Part, Span, opened, refers_anew, span
from catchment.silver.taking import Taking
from catchment.silver.work import Work


class Refining(Work):
    """One refine step."""

    def run(self) -> bool:
        """Do what is ordered, else refine what is new; whether there was anything to do.

        Raises Conflict, DefinitionChanged, ConfigError, and Held where a set rule stops the span.
        """
        verb = self.order.verb if self.order is not None else None
        if verb in ("replay", "backfill", "accept"):
            repaired = Repairing(self).run()
            if repaired is not None:
                return repaired
            verb = "rebuild"
        if not any(self.lake.open(bronze) for _, _, bronze in self.table.reads()):
            return False
        did = False if verb == "rebuild" else self.define()
        took, more = self._once(anew=verb == "rebuild")
        while more:
            _, more = self._once()
        return did or took

    def open(self) -> Table:
        """The silver table as it is now, made where it is not there."""
        return self.lake.open(self.name) or self.lake.create(self.name, silver_schema(self.table))

    def define(self) -> bool:
        """Bring the table under its declared definition; whether that took a commit. Raises DefinitionChanged."""
        silver = self.open()
        progress, definition = silver.progress(), self.table.definition()
        fingerprint = definitions.fingerprint(definition)
        if progress.definition in (None, fingerprint):
            return False
        before = self.lake.definition(progress.definition or "")
        found = differences(before, definition)
        ordered = self.order is not None and self.order.verb == "forward"
        way = least(found)
        if before is None or way == "rebuild" or (way == "forward" and not ordered):
            raise refusal(self.table.name, found)
        self.lake.keep_definition(fingerprint, definition)
        defined = replace(progress, definition=fingerprint)
        absent = [field for field in silver_schema(self.table) if field.name not in silver.schema().names]
        if way == "goes_on" and absent:
            silver.add_columns(silver.claim(), pa.schema(absent), defined)
            words = f"{self.name} has new columns, null in older rows"
            added = tuple(field.name for field in absent)
            self.tell(SchemaChanged(step=self.step, table=str(self.name), message=words, added=added))
            return True
        claim = silver.claim()
        change = self._forward(silver, before, definition, claim) if way == "forward" else Change(what="go on")
        silver.commit(claim, change, defined)
        return True

    def _forward(self, silver: Table, before: Mapping[str, Any], after: Mapping[str, Any], claim: Claim) -> Change:
        """The rows that are there, as the new definition's columns have them. Raises DefinitionChanged."""
        schema = silver_schema(self.table)
        rest = [field for field in silver.schema() if field.name.startswith("_")]
        if not schema.remove_metadata().equals(silver.schema().remove_metadata()):
            how = carried(before, after)
            frames = {"present": self.engine.frame(silver.scan(hidden=True))}
            self._refuse_lost(how.lost, frames, before, after)
            columns = [f"{sql} AS {naming.quoted(name)}" for name, sql in how.columns.items()]
            listed = ", ".join([*columns, *(field.name for field in rest)])
            moved = self.engine.query(parsed(f"SELECT {listed} FROM present"), frames)
            files = self.engine.write(moved, silver.folder(), f"{claim.number:06d}")
            return Change(add=files, remove="all", schema=schema, what="forward")
        return Change(what="forward")

    def _refuse_lost(
        self, lost: Mapping[str, str], frames: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]
    ) -> None:
        if not lost:
            return
        counts = ", ".join(f"count(*) FILTER (WHERE {sql}) AS {naming.quoted(name)}" for name, sql in lost.items())
        row = self.engine.fetch(parsed(f"SELECT {counts} FROM present"), frames).to_pylist()[0]
        told = [f"{count:,} values of {name} do not fit" for name, count in row.items() if count]
        if told:
            error = refusal(self.table.name, differences(before, after))
            message = f"{error.message}\n  it cannot go forward: {', '.join(told)}"
            raise type(error)(message, hint=f"catchment run --rebuild {self.name}")

    def _once(self, *, anew: bool = False) -> tuple[bool, bool]:
        """Refine one set of spans; whether there was any, and whether there may be more.

        Rows are made anew where the state is that of no row.
        """
        silver = self.open()
        progress = silver.progress()
        anew = anew or (not progress.cursors.get("refine") and bool(silver.scan(hidden=True).files))
        if anew:
            kept = {name: value for name, value in progress.cursors.items() if name == "accept"}
            progress = replace(progress, cursors=kept, judged=(), waiting=(), definition=None)
        retry = None if anew else self._waiting(progress)
        if retry is not None and self.table.only_anew(held=self.table.function is not None):
            return self._once(anew=True)
        parts = self._parts(progress, retry)
        if anew:
            passed = progress.cursors.get("accept", {})
            parts = [replace(part, passed=int(passed.get(str(part.bronze.name), 0))) for part in parts]
        all_passed = any(part.passed for part in parts) and all(part.passed >= part.span.to for part in parts)
        accepted = [] if anew else self._accepted(parts, progress)
        parts = accepted or parts
        if not anew and retry is None and not any(part.span.scan.files for part in parts):
            return False, False
        Taking(self, silver, progress, parts, anew=anew, lenient=bool(accepted) or all_passed).run()
        return True, bool(accepted)

    def _waiting(self, progress: Progress) -> Any | None:
        """Identities of the rows that wait and are to be tried again; None where none are."""
        if not refers_anew(self.table, self.looks_in, progress) and not self._may_bring_referred(progress):
            return None
        rejects = self.lake.open(naming.quarantine_table(self.name))
        if rejects is None:
            return None
        scan = replace(rejects.scan(), judged=(), waiting=tuple(progress.waiting))
        identities = parsed(f"SELECT DISTINCT {', '.join(naming.IDENTITY)} FROM q")
        return self.engine.kept(self.engine.query(identities, {"q": self.engine.frame(scan)}))

    def _may_bring_referred(self, progress: Progress) -> bool:
        """Whether rows wait for others of their own table, and there are new ones."""
        inward = any(reference.table == self.table.name for reference in self.table.contract.references)
        if not inward or not progress.waiting:
            return False
        return any(part.span.scan.files for part in self._parts(progress))

    def _parts(self, progress: Progress, retry: Any | None = None) -> list[Part]:
        found = []
        for stream, shard, name in self.table.reads():
            bronze = opened(self.lake, self.table, stream, name)
            if bronze is None:
                continue
            new, compared = span(bronze, progress, self.upto.get(str(bronze.name))), 0
            if self.table.compares and new.scan.files and new.after:
                compared = new.after
                # Where none was whole yet, all since the beginning.
                whole = int(progress.cursors.get("arrivals", {}).get(str(bronze.name), 0))
                new = replace(new, scan=bronze.scan(loads=(max(whole - 1, 0), new.to)))
            found.append(Part(bronze, stream, shard, new, again=retry, compared=compared))
        return found

    def _accepted(self, parts: Sequence[Part], progress: Progress) -> list[Part]:
        """Those whose span somebody has let pass, cut to it."""
        passed = progress.cursors.get("accept", {})
        found = []
        for part in parts:
            to = int(passed.get(str(part.bronze.name), 0))
            if part.span.after < to <= part.span.to and part.span.scan.files:
                cut = part.bronze.scan(loads=(part.span.scan.loads[0] if part.span.scan.loads else 0, to))
                found.append(replace(part, span=Span(scan=cut, after=part.span.after, to=to), again=None))
        return found
