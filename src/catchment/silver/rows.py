"""The rows of one stream on their way into silver: typed, refined by the user's function, parted into good and bad."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from catchment import naming
from catchment.contract import Contract
from catchment.errors import ConfigError, DataError
from catchment.interfaces import Engine, Lake
from catchment.records import Scan
from catchment.silver import snapshots, truncates
from catchment.silver.conform import DOCUMENT, arrow_type, conform
from catchment.silver.definition import Table
from catchment.silver.judge import Judge, parsed, stacked
from catchment.silver.modes import mode_of
from catchment.silver.refine import Lookup, RefineFunction
from catchment.silver.rules import faults


def silver_schema(table: Table) -> pa.Schema:
    """The contract's columns, then a row's identity in bronze, the number of the commit that brought it, and what the
    table's mode keeps."""
    columns = [(column.name, arrow_type(column)) for column in table.contract.columns]
    ours = [("_stream", pa.string()), ("_shard", pa.int32()), ("_load", pa.int64()), ("_row", pa.int64())]
    mode = mode_of(table)
    return pa.schema([*columns, *ours, ("_judged", pa.int64()), *(mode.own_columns() if mode is not None else ())])


def judge_of(table: Table, stream: str, bronze: pa.Schema) -> Judge:
    """The queries over one stream. Raises ConfigError where bronze lacks a column of the contract."""
    mode = mode_of(table)
    required = mode.required if mode is not None else ()
    found = faults(table.contract, required)
    read = bronze
    if table.changes:
        # What a log says of a change is no column of the row that changed; of one that went, its key has to be known.
        read = pa.schema([field for field in bronze if field.name in (*naming.BRONZE_COLUMNS, DOCUMENT)])
        found = [truncates.of_rows_that_stay(fault, table.contract.key) for fault in found]
    return Judge(
        stream=stream,
        contract=table.contract,
        conformed=conform(table.contract, read, derived=table.function is not None, heeded=table.heeded()),
        faults=found,
        schema=bronze,
        has_function=table.function is not None,
        made=mode.made() if mode is not None else {},
        changes=table.changes,
        timed=table.full or bool(table.contract.references) or (table.mode == "history" and table.latest_by is None),
    )


@dataclass(frozen=True)
class Referred:
    """What rows may refer to: for each reference of the contract the distinct values that are in silver.

    A row that landed at `since` or before has waited long enough for what is not there.
    """

    keys: Sequence[Any]
    since: datetime


@dataclass(frozen=True)
class Figures:
    """How many rows were read, and what became of them; `missing` ones name rows that are not there."""

    read: int = 0
    rejected: int = 0  # also of the missing ones those that have waited long enough
    waiting: int = 0
    good: int = 0
    missing: int = 0

    def __add__(self, other: Figures) -> Figures:
        return Figures(*map(sum, zip(astuple(self), astuple(other), strict=True)))


class Rows:
    """Computed once, when they are taken, and kept under the engine's memory limit.

    `after` is the last load that was taken before: rows up to it, of a stream that arrives whole, are only compared.
    """

    def __init__(
        self,
        table: Table,
        stream: str,
        engine: Engine[Any],
        bronze: pa.Schema,
        number: int,
        lookups: Mapping[str, Lookup],
        after: int = 0,
    ) -> None:
        self._table = table
        self._stream = stream
        self._engine = engine
        self.number = number
        self._lookups = lookups
        self._after = after
        self._since = datetime.min.replace(tzinfo=UTC)
        self._frames: dict[str, Any] = {}
        # Rows of a stream that arrives whole which say what the arrival before said; known once `fresh` was asked for.
        self.unchanged = 0
        self._judged: Any = None  # before it was looked for what its rows refer to
        self._judge = judge_of(table, stream, bronze)
        self.figures = Figures()
        self.truncates: Sequence[truncates.Truncate] = ()  # those among the rows that were taken

    @property
    def contract(self) -> Contract:
        return self._table.contract

    @property
    def absent(self) -> list[str]:
        """The contract's columns that the stream does not bring yet: they are null."""
        return self._judge.absent

    def over(self, bronze: Any) -> None:
        """Take the rows of a frame of bronze columns. Raises ConfigError, DataError for what a refine function made."""
        engine = self._engine
        if self._table.changes:
            self.truncates = truncates.among(engine, self._stream, bronze)
            bronze = engine.query(truncates.others(), {"bronze": bronze})
        typed = engine.kept(engine.query(self._judge.typed(), {"bronze": bronze}))
        self._frames = {"bronze": bronze, "typed": typed, "judged": typed}
        if self._table.function is not None:
            refined = self._refined(self._table.function)
            judged = engine.query(self._judge.judged(), {"refined": refined})
            if self._table.changes:
                judged = stacked(engine, [judged, engine.query(self._judge.deleted(), self._frames)])
            self._frames["judged"] = engine.kept(judged)
        self._judged = self._frames["judged"]
        self.figures = self.counted(self._after)

    def refer(self, referred: Referred, taken: Sequence[Rows]) -> int:
        """Look for what the rows refer to, in silver and, for their own table, among all that are `taken` with them;
        how many rows name one that is not there."""
        frames = {"judged": self._judged}
        for place, (reference, present) in enumerate(zip(self.contract.references, referred.keys, strict=True)):
            to = present
            if reference.table == self._table.name:
                names = ", ".join(map(naming.quoted, reference.to))
                coming = {f"part_{part}": rows.coming(names) for part, rows in enumerate(taken)}
                union = " UNION ".join(f"SELECT {names} FROM {name}" for name in ("present", *coming))
                to = self._engine.query(parsed(union), {"present": present, **coming})
            frames[f"to_{place}"] = to
        found = self._engine.kept(self._engine.query(self._judge.referred(), frames))
        self._frames["judged"] = found
        self._since = referred.since
        self.figures = self.counted(self._after)
        return self.figures.missing

    def coming(self, names: str) -> Any:
        """Columns of the rows that pass, as far as is known."""
        which = " AND _missing IS NULL" if self._looked else ""
        return self._engine.query(parsed(f"SELECT {names} FROM judged WHERE _reject IS NULL{which}"), self._frames)

    @property
    def _new(self) -> str:
        return f" WHERE _load > {self._after:d}" if self._after else ""

    @property
    def _looked(self) -> bool:
        """Whether it was looked for what the rows refer to."""
        return self._frames["judged"] is not self._judged

    def counted(self, after: int) -> Figures:
        """The figures of rows of loads after `after`."""
        where = f" WHERE _load > {after:d}" if after else ""
        listed = "count(*) AS n, count(*) FILTER (WHERE _reject IS NULL) AS good"
        typed = self._engine.fetch(parsed(f"SELECT {listed} FROM typed{where}"), self._frames).to_pylist()[0]
        rejected, good = typed["n"] - typed["good"], typed["good"]
        if self._judged is self._frames["typed"] and not self._looked:
            return Figures(typed["n"], rejected, 0, good)
        if self._looked:
            late = f"_loaded_at <= TIMESTAMPTZ {naming.literal(self._since.isoformat())}"
            listed += ", count(*) FILTER (WHERE _missing IS NOT NULL) AS missing"
            listed += f", count(*) FILTER (WHERE _missing IS NOT NULL AND {late}) AS late"
        judged = self._engine.fetch(parsed(f"SELECT {listed} FROM judged{where}"), self._frames).to_pylist()[0]
        if self._table.function is not None:
            rejected, good = rejected + judged["n"] - judged["good"], judged["good"]
        missing, late = judged.get("missing", 0), judged.get("late", 0)
        return Figures(typed["n"], rejected + late, missing - late, good - missing, missing)

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
        """Good rows: the contract's columns, identity and `_judged`."""
        return self._engine.query(self._judge.good(self.number), self._frames)

    def fresh(self) -> Any:
        """What the table's mode has to take in: good rows with the mode's own columns; of a stream that arrives whole,
        what its arrivals changed and what they took away."""
        good = self.good()
        if self._table.compares:
            changed = snapshots.changes(self.contract, self._stream, self.number, self._after)
            good = self._engine.kept(self._engine.query(changed, {"good": good, "keys": self._keys()}))
            counted = self._engine.fetch(parsed("SELECT count(*) AS n FROM good WHERE NOT _vanished"), {"good": good})
            self.unchanged = self.figures.good - counted.column("n")[0].as_py()
        return self._engine.query(self._judge.written(), {"good": good})

    def _keys(self) -> Any:
        """The key, as far as it can be read, and the load of every row, good or bad.

        `_left_out` are rows that a function may have left out: they have no key, and say that their arrival came.
        """
        keyed = ", ".join(map(naming.quoted, self.contract.key))
        every = f"SELECT {keyed}, _load, _loaded_at, FALSE AS _left_out FROM judged"
        if self._table.function is not None:
            typed = set(self._engine.schema(self._frames["typed"]).names)
            parts = [naming.quoted(n) if n in typed else f"NULL AS {naming.quoted(n)}" for n in self.contract.key]
            nulls = ", ".join(["NULL"] * len(parts))
            every += (
                f" UNION ALL SELECT {', '.join(parts)}, _load, _loaded_at, FALSE FROM typed WHERE _reject IS NOT NULL"
                f" UNION ALL SELECT {nulls}, _load, max(_loaded_at), TRUE FROM typed WHERE _reject IS NULL"
                " GROUP BY _load"
            )
        return self._engine.query(parsed(every), self._frames)

    def bad_identities(self, groups: Any, columns: Sequence[str]) -> Any:
        """Identities of rows that do not pass, of some groups."""
        names, using = ", ".join(naming.IDENTITY), ", ".join(map(naming.quoted, columns))
        chosen = f"SELECT DISTINCT {names} FROM judged SEMI JOIN groups USING ({using}) WHERE _reject IS NOT NULL"
        if self.contract.references:
            chosen += " OR _missing IS NOT NULL"
        return self._engine.query(parsed(chosen), {**self._frames, "groups": groups})

    def last_whole(self) -> int | None:
        """The newest whole arrival among them, of a stream that arrives whole."""
        if not self._table.compares:
            return None
        found = self._engine.fetch(snapshots.last_whole(self.contract.key), {"keys": self._keys()})
        newest: int | None = found.column("arrival")[0].as_py()
        return newest

    def bad(self, *, held: bool = False) -> list[Any]:
        """Frames that together hold the rejected and waiting rows, as quarantine has them."""
        queries = [self._judge.unread(self.number, held)]
        if self._table.function is not None:
            queries.append(self._judge.faulty(self.number, held))
        if self.contract.references:
            queries.append(self._judge.waiting(self.number, self._since, held))
        frames = [self._engine.query(query, self._frames) for query in queries]
        if not self._after:
            return frames
        return [self._engine.query(parsed(f"SELECT * FROM bad{self._new}"), {"bad": frame}) for frame in frames]


def lookups(table: Table, lake: Lake, engine: Engine[Any]) -> dict[str, Lookup]:
    """The silver tables under `with:` as they are now: the contract's columns, one row a key, or one a version where
    they are looked at as of a time; or empty."""
    found = {}
    for name, looked_up in (table.lookups or {}).items():
        contract = looked_up.contract
        columns = [column.name for column in contract.columns]
        if looked_up.as_of is not None:
            columns += [naming.VALID_FROM, naming.VALID_TO]
        present = lake.open(naming.silver_table(name))
        if present is None:
            frame = engine.frame(Scan(files=(), schema=lookup_schema(contract, versions=looked_up.as_of is not None)))
        else:
            now = f" WHERE {naming.VALID_TO} IS NULL" if looked_up.versions and looked_up.as_of is None else ""
            listed = ", ".join(map(naming.quoted, columns))
            frame = engine.query(parsed(f"SELECT {listed} FROM whole{now}"), {"whole": engine.frame(present.scan())})
        found[name] = Lookup(frame=frame, key=contract.key, as_of=looked_up.as_of)
    return found


def lookup_schema(contract: Contract, *, versions: bool) -> pa.Schema:
    """What a look-up gives a refine function."""
    columns = [(column.name, arrow_type(column)) for column in contract.columns]
    instant = pa.timestamp("us", tz="UTC")
    return pa.schema([*columns, *(((naming.VALID_FROM, instant), (naming.VALID_TO, instant)) if versions else ())])


def referred_keys(table: Table, lake: Lake, engine: Engine[Any], *, anew: bool = False) -> Referred:
    """What rows may refer to as it is now; of a table that is made `anew`, nothing that it holds so far."""
    frames = []
    for reference in table.contract.references:
        own = reference.table == table.name
        present = None if own and anew else lake.open(naming.silver_table(reference.table))
        listed = ", ".join(map(naming.quoted, reference.to))
        if present is None:
            kinds = {column.name: arrow_type(column) for column in table.contract.columns}
            types = [(theirs, kinds[ours]) for ours, theirs in zip(reference.columns, reference.to, strict=True)]
            frames.append(engine.frame(pa.schema(types).empty_table()))
        else:
            whole = engine.frame(present.scan())
            frames.append(engine.kept(engine.query(parsed(f"SELECT DISTINCT {listed} FROM whole"), {"whole": whole})))
    return Referred(frames, datetime.now(UTC) - timedelta(seconds=table.wait_s))


def refer(taken: Sequence[Rows], referred: Referred) -> None:
    """Part the rows whose references are missing from the rest.

    A row that names one of its own table which waits itself waits with it, however long the chain.
    """
    before, table = 0, taken[0].contract.table if taken else ""
    inward = any(reference.table == table for rows in taken for reference in rows.contract.references)
    while taken and referred.keys:
        missing = sum(rows.refer(referred, taken) for rows in taken)
        if missing == before or not inward:
            return
        before = missing


def refuse_wrong_columns(table: Table, made: pa.Schema) -> None:
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
