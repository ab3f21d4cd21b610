"""Refine: what is new in bronze, through its contract, into quarantine and silver.

Commit order: the rejected rows first, under the number that was claimed for the silver commit; then silver, whose state
names that number and the end of the span. A verdict whose silver commit never came is named by nothing and counts
nowhere; the next run takes the same span again under another number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from catchment import naming
from catchment.contract import Contract
from catchment.errors import ConfigError, DataError, DefinitionChanged, Unfenced
from catchment.events import CheckFailed, RowsQuarantined, RowsRefined
from catchment.interfaces import Engine, Lake, Table, Tell
from catchment.records import Change, Claim, DataFile, Progress, Scan
from catchment.silver import definition as definitions
from catchment.silver.conform import arrow_type, conform
from catchment.silver.judge import QUARANTINE, Judge, count_reasons, parsed
from catchment.silver.modes import EVERYTHING, Merge
from catchment.silver.refine import Lookup, RefineFunction
from catchment.silver.rules import faults, figures, verdicts

_REASONS_TOLD = 3


def silver_schema(table: definitions.Table) -> pa.Schema:
    """The contract's columns, then a row's identity in bronze and the number of the commit that brought it."""
    columns = [(column.name, arrow_type(column)) for column in table.contract.columns]
    ours = [("_stream", pa.string()), ("_shard", pa.int32()), ("_load", pa.int64()), ("_row", pa.int64())]
    return pa.schema([*columns, *ours, ("_judged", pa.int64())])


@dataclass(frozen=True)
class Span:
    """Loads of one bronze table, `(after, to]`; `to` is fixed before the first row is read."""

    scan: Scan
    after: int
    to: int


def span(bronze: Table, progress: Progress) -> Span:
    """What a silver table with this progress has not taken of `bronze`. Raises Unfenced where what it took is gone."""
    after = int(progress.cursors.get("refine", {}).get(str(bronze.name), 0))
    if not bronze.descends(after):
        message = f"{bronze.name} no longer holds load {after}, which was refined: it was made anew or put back"
        raise Unfenced(message, hint="make the silver table anew from it: catchment run --rebuild silver.<table>")
    to = bronze.progress().generation
    return Span(scan=bronze.scan(loads=(after, to)), after=after, to=to)


@dataclass
class Refining:
    """One refine step; `stopping` raises Stopped when asked to."""

    step: str
    table: definitions.Table
    lake: Lake
    engine: Engine[Any]
    tell: Tell
    stopping: Callable[[], None]
    rebuild: bool = False
    _judge: Judge | None = field(default=None, init=False)

    def run(self) -> bool:
        """Refine what is new; whether there was anything. Raises Conflict, DefinitionChanged, ConfigError."""
        bronze = self.lake.open(naming.bronze_table(self.table.streams[0]))
        if bronze is None:
            return False
        name = naming.silver_table(self.table.name)
        silver = self.lake.open(name) or self.lake.create(name, silver_schema(self.table))
        progress = silver.progress()
        definition = self.table.definition()
        fingerprint = definitions.fingerprint(definition)
        self._refuse_changed(progress, definition, fingerprint)
        if self.rebuild:
            progress = replace(progress, cursors={**progress.cursors, "refine": {}}, judged=())
        new = span(bronze, progress)
        if not new.scan.files and not self.rebuild:
            return False
        self.lake.keep_definition(fingerprint, definition)
        claim = silver.claim()
        self._refine(silver, bronze, new, claim, replace(progress, definition=fingerprint))
        return True

    def _refuse_changed(self, progress: Progress, definition: Mapping[str, Any], fingerprint: str) -> None:
        if progress.definition in (None, fingerprint) or self.rebuild:
            return
        words = definitions.differences(self.lake.definition(progress.definition or ""), definition)
        message = f"silver.{self.table.name}: its definition is not the one its rows were made with\n" + "\n".join(
            f"  {line}" for line in words
        )
        raise DefinitionChanged(
            message, hint=f"make it anew from bronze: catchment run --rebuild silver.{self.table.name}"
        )

    def _refine(self, silver: Table, bronze: Table, new: Span, claim: Claim, progress: Progress) -> None:
        rows = Rows(self.table, self.engine, bronze.schema(), claim.number, lookups(self.table, self.lake, self.engine))
        rows.over(self.engine.frame(new.scan))
        self.stopping()
        self._quarantine(rows, claim)
        self.stopping()
        present = Scan(files=(), schema=silver.schema()) if self.rebuild else silver.scan()
        files, removed = self._write(rows, present, silver.folder(), claim)
        self.stopping()
        progress = replace(
            progress,
            cursors={**progress.cursors, "refine": {str(bronze.name): new.to}},
            judged=_with_number(progress.judged, claim.number),
        )
        if self.rebuild:
            change = Change(add=files, remove="all", schema=silver_schema(self.table))
        else:
            change = Change(add=files, remove=removed)
        figures_of = rows.measure(files, silver_schema(self.table))
        silver.commit(claim, change, progress)
        self._report(rows, figures_of, claim)

    def _quarantine(self, rows: Rows, claim: Claim) -> None:
        """Commit the rejected rows under the silver commit's number."""
        if not rows.rejected:
            return
        name = naming.quarantine_table(claim.table)
        table = self.lake.open(name) or self.lake.create(name, QUARANTINE)
        prefix = f"{claim.number:06d}"
        files = [file for frame in rows.bad() for file in self.engine.write(frame, table.folder(), prefix)]
        table.commit(table.claim(), Change(add=files), table.progress())
        written = Scan(files=tuple(file.path for file in files), schema=QUARANTINE)
        frequent = self.engine.fetch(count_reasons(_REASONS_TOLD), {"rejects": self.engine.frame(written)}).to_pylist()
        reasons = tuple((row["words"], row["n"]) for row in frequent)
        count = sum(file.rows for file in files)
        self.tell(RowsQuarantined(step=self.step, table=str(claim.table), rows=count, reasons=reasons))

    def _write(self, rows: Rows, present: Scan, folder: str, claim: Claim) -> tuple[Sequence[DataFile], Sequence[str]]:
        """(files to add, files to remove)."""
        prefix = f"{claim.number:06d}"
        if self.table.mode == "append":
            return self.engine.write(rows.good(), folder, prefix), ()
        return self._merge(rows, present, folder, prefix)

    def _merge(self, rows: Rows, present: Scan, folder: str, prefix: str) -> tuple[Sequence[DataFile], Sequence[str]]:
        mode = Merge(
            key=self.table.contract.key,
            latest_by=self.table.latest_by,
            rows_share_identity=self.table.function is not None,
        )
        fresh = rows.good()
        touched: list[str] = []
        if present.files:
            keys = self.engine.kept(self.engine.query(mode.keys(), {"fresh": fresh}))
            frames = {"present": self.engine.frame(present, file_column="_file"), "keys": keys}
            touched = self.engine.fetch(mode.touched("_file"), frames).column("file").to_pylist()
        touched_scan = replace(present, files=tuple(touched))
        frames = {"present": self.engine.frame(touched_scan), "fresh": fresh}
        counted = self.engine.fetch(parsed("SELECT count(*) AS n FROM present"), frames)
        everything = rows.good_rows + int(counted.column("n")[0].as_py())
        frames["winners"], winners = self._winners(mode, frames, everything)
        reduced = parsed(EVERYTHING) if winners == everything else mode.reduced()
        self.stopping()
        files = self.engine.write(self.engine.query(reduced, frames), folder, prefix)
        if sum(file.rows for file in files) != winners:
            message = f"silver.{self.table.name}: refine makes one key several times from one row"
            raise DataError(message, hint="add what tells them apart to the key, or leave the others out")
        return files, touched

    def _winners(self, mode: Merge, frames: Mapping[str, Any], everything: int) -> tuple[Any, int]:
        """The rows that shall be there, by key and identity, and how many they are."""
        buckets = mode.buckets(everything, self.engine.memory_bytes)
        parts = {}
        for bucket in range(buckets):
            self.stopping()
            ranked = self.engine.query(mode.winners(bucket, buckets), frames)
            parts[f"part_{bucket}"] = self.engine.kept(ranked)
        union = parsed(" UNION ALL ".join(f"SELECT * FROM {part}" for part in parts))
        winners = self.engine.query(union, parts)
        counted = self.engine.fetch(parsed("SELECT count(*) AS n FROM winners"), {"winners": winners})
        return winners, int(counted.column("n")[0].as_py())

    def _report(self, rows: Rows, measured: Mapping[str, int], claim: Claim) -> None:
        written, good, rejected = measured["_written"], rows.good_rows, rows.rejected
        self.tell(
            RowsRefined(
                step=self.step,
                table=str(claim.table),
                rows=rows.read,
                written=written,
                rejected=rejected,
                superseded=good - written,
                filtered=max(0, rows.read - rejected - good) if self.table.function is not None else 0,
                load=claim.number,
            )
        )
        for verdict in verdicts(self.table.contract.set_rules, measured, read=rows.read, rejected=rejected, good=good):
            if not verdict.passed:
                self.tell(
                    CheckFailed(
                        step=self.step,
                        table=str(claim.table),
                        rule=verdict.rule,
                        message=verdict.message,
                        severity=verdict.severity,
                    )
                )


def lookups(table: definitions.Table, lake: Lake, engine: Engine[Any]) -> dict[str, Lookup]:
    """The silver tables under `with:` as they are now: the contract's columns, one row a key; or empty."""
    found = {}
    for name, looked_up_in in (table.lookups or {}).items():
        contract = looked_up_in.contract
        columns = ", ".join(naming.quoted(column.name) for column in contract.columns)
        looked_up = lake.open(naming.silver_table(name))
        if looked_up is None:
            schema = pa.schema([(column.name, arrow_type(column)) for column in contract.columns])
            frame = engine.frame(Scan(files=(), schema=schema))
        else:
            whole = engine.frame(looked_up.scan())
            frame = engine.query(parsed(f"SELECT {columns} FROM whole"), {"whole": whole})
        found[name] = Lookup(frame=frame, key=contract.key)
    return found


def _with_number(judged: Sequence[tuple[int, int]], number: int) -> tuple[tuple[int, int], ...]:
    """Closed ranges with `number`, which is larger than all of them."""
    if judged and judged[-1][1] == number - 1:
        return (*judged[:-1], (judged[-1][0], number))
    return (*judged, (number, number))


class Rows:
    """The rows of one span on their way: typed, refined by the user's function, parted into good and bad.

    Computed once, when they are taken, and kept under the engine's memory limit.
    """

    def __init__(
        self,
        table: definitions.Table,
        engine: Engine[Any],
        bronze: pa.Schema,
        number: int,
        lookups: Mapping[str, Lookup],
    ) -> None:
        self._table = table
        self._engine = engine
        self._number = number
        self._lookups = lookups
        self._frames: dict[str, Any] = {}
        contract = table.contract
        self._judge = Judge(
            stream=table.streams[0],
            contract=contract,
            conformed=conform(contract, bronze, derived=table.function is not None),
            faults=faults(contract, keyed=table.mode != "append"),
            schema=bronze,
            has_function=table.function is not None,
        )
        self.read = 0
        self.rejected = 0
        self.good_rows = 0

    @property
    def contract(self) -> Contract:
        return self._table.contract

    def over(self, bronze: Any) -> None:
        """Take the rows of a frame of bronze columns. Raises ConfigError, DataError for what a refine function made."""
        engine = self._engine
        typed = engine.kept(engine.query(self._judge.typed(), {"bronze": bronze}))
        self._frames = {"bronze": bronze, "typed": typed, "judged": typed}
        self.read, self.good_rows = self._figures("typed")
        self.rejected = self.read - self.good_rows
        if self._table.function is not None:
            refined = self._refined(self._table.function)
            self._frames["judged"] = engine.kept(engine.query(self._judge.judged(), {"refined": refined}))
            made, self.good_rows = self._figures("judged")
            self.rejected += made - self.good_rows

    def _figures(self, name: str) -> tuple[int, int]:
        """(rows, rows without a fault) of a frame."""
        counted = parsed(f"SELECT count(*) AS n, count(*) FILTER (WHERE _reject IS NULL) AS good FROM {name}")
        row = self._engine.fetch(counted, self._frames).to_pylist()[0]
        return row["n"], row["good"]

    def _refined(self, function: RefineFunction) -> Any:
        readable = self._engine.query(self._judge.readable(), self._frames)
        made = function.call(self._engine, readable, self._lookups, explodes=bool(self.contract.key))
        refuse_wrong_columns(self._table, self._engine.schema(made))
        if not self.contract.key:
            self._refuse_multiplied(made)
        return made

    def _refuse_multiplied(self, made: Any) -> None:
        counted = parsed("SELECT count(*) - count(DISTINCT (_shard, _load, _row)) AS more FROM made")
        more = self._engine.fetch(counted, {"made": made}).column("more")[0].as_py()
        if more:
            message = f"silver.{self._table.name}: refine made {more:,} rows more than it was given"
            raise DataError(message, hint="without a key (primaryKey) in the contract one row stays one row")

    def good(self) -> Any:
        return self._engine.query(self._judge.good(self._number), self._frames)

    def bad(self) -> list[Any]:
        """Frames that together hold the rejected rows, as quarantine has them."""
        queries = [self._judge.unread(self._number)]
        if self._table.function is not None:
            queries.append(self._judge.faulty(self._number))
        return [self._engine.query(query, self._frames) for query in queries]

    def measure(self, files: Sequence[DataFile], schema: pa.Schema) -> dict[str, int]:
        """Figures of this span's rows that were written: how many, and what the set rules ask."""
        written = self._engine.frame(Scan(files=tuple(file.path for file in files), schema=schema))
        wanted = [f"{sql} AS {naming.quoted(name)}" for name, sql in figures(self.contract.set_rules).items()]
        query = f"SELECT {', '.join(['count(*) AS _written', *wanted])} FROM written WHERE _judged = {self._number}"
        measured: dict[str, int] = self._engine.fetch(parsed(query), {"written": written}).to_pylist()[0]
        return measured


def refuse_wrong_columns(table: definitions.Table, made: pa.Schema) -> None:
    """A refine function gives every column of the contract in its type, and no other. Raises ConfigError."""
    file = "refine" if table.function is None else table.function.file
    contract = {column.name: column for column in table.contract.columns}
    given = {name for name in made.names if not name.startswith("_")}
    absent = [name for name in contract if name not in given]
    if absent:
        message = f"{file}  refine does not give {', '.join(absent)}, which {table.contract.file} names"
        raise ConfigError(message, hint=f"it gives {', '.join(sorted(given))}")
    more = sorted(given - contract.keys())
    if more:
        message = f"{file}  refine gives {', '.join(more)}, which {table.contract.file} does not name"
        raise ConfigError(message, hint="add it to the contract, or leave it out with select or drop")
    for name, column in contract.items():
        kind = made.field(name).type
        if not _fits(kind, arrow_type(column)):
            message = f"{file}  refine gives {name} as {kind}, {table.contract.file} says {column.type}"
            raise ConfigError(message, hint="cast it in the function")


def _fits(kind: pa.DataType, wanted: pa.DataType) -> bool:
    if kind == wanted or (pa.types.is_null(kind)):
        return True
    if pa.types.is_integer(kind):
        return bool(pa.types.is_integer(wanted) or pa.types.is_floating(wanted) or pa.types.is_decimal(wanted))
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return bool(pa.types.is_floating(wanted) or pa.types.is_decimal(wanted))
    return bool(pa.types.is_timestamp(kind) and pa.types.is_timestamp(wanted))
