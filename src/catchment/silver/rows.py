"""The rows of one stream on their way into silver: typed, refined by the user's function, parted into good and bad."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from catchment import naming
from catchment.contract import Contract
from catchment.errors import ConfigError, DataError
from catchment.interfaces import Engine, Lake
from catchment.records import Scan
from catchment.silver import snapshots
from catchment.silver.conform import arrow_type, conform
from catchment.silver.definition import Table
from catchment.silver.judge import Judge, parsed
from catchment.silver.modes import Newest, mode_of
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
    return Judge(
        stream=stream,
        contract=table.contract,
        conformed=conform(table.contract, bronze, derived=table.function is not None, heeded=table.heeded()),
        faults=faults(table.contract, required),
        schema=bronze,
        has_function=table.function is not None,
        made=mode.made() if mode is not None else {},
        timed=table.full or (table.mode == "history" and table.latest_by is None),
    )


_EVER = datetime.min.replace(tzinfo=UTC)


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
        referred: Sequence[Any] = (),
        after: int = 0,
    ) -> None:
        self._table = table
        self._stream = stream
        self._engine = engine
        self._number = number
        self._lookups = lookups
        self._referred = referred
        self._after = after
        self._frames: dict[str, Any] = {}
        self._judge = judge_of(table, stream, bronze)
        self.read = 0
        self.rejected = 0
        self.waiting = 0
        self.good_rows = 0

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
        typed = engine.kept(engine.query(self._judge.typed(), {"bronze": bronze}))
        self._frames = {"bronze": bronze, "typed": typed, "judged": typed}
        self.read, self.good_rows = self._figures("typed")
        self.rejected = self.read - self.good_rows
        if self._table.function is not None:
            refined = self._refined(self._table.function)
            self._frames["judged"] = engine.kept(engine.query(self._judge.judged(), {"refined": refined}))
            made, self.good_rows = self._figures("judged")
            self.rejected += made - self.good_rows
        if self.contract.references:
            self._refer()

    def _refer(self) -> None:
        frames = {"judged": self._frames["judged"]}
        for place, (reference, present) in enumerate(zip(self.contract.references, self._referred, strict=True)):
            to = present
            if reference.table == self._table.name:
                names = ", ".join(map(naming.quoted, reference.to))
                here = parsed(f"SELECT {names} FROM present UNION SELECT {names} FROM judged WHERE _reject IS NULL")
                to = self._engine.query(here, {"present": present, "judged": self._frames["judged"]})
            frames[f"to_{place}"] = to
        self._frames["judged"] = self._engine.kept(self._engine.query(self._judge.referred(), frames))
        counted = parsed(f"SELECT count(*) FILTER (WHERE _missing IS NOT NULL) AS n FROM judged{self._new}")
        self.waiting = self._engine.fetch(counted, self._frames).column("n")[0].as_py()
        self.good_rows -= self.waiting

    @property
    def _new(self) -> str:
        return f" WHERE _load > {self._after:d}" if self._after else ""

    def _figures(self, name: str) -> tuple[int, int]:
        """(rows, rows without a fault) of a frame."""
        counted = parsed(
            f"SELECT count(*) AS n, count(*) FILTER (WHERE _reject IS NULL) AS good FROM {name}{self._new}"
        )
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
        """Good rows: the contract's columns, identity and `_judged`."""
        return self._engine.query(self._judge.good(self._number), self._frames)

    def fresh(self) -> Any:
        """What the table's mode has to take in: good rows with the mode's own columns; of a stream that arrives whole,
        what its arrivals changed and what they took away."""
        good = self.good()
        if self._table.full and not isinstance(mode_of(self._table), Newest):
            changed = snapshots.changes(self.contract, self._stream, self._number, self._after)
            good = self._engine.kept(self._engine.query(changed, {"good": good, "keys": self._keys()}))
        return self._engine.query(self._judge.written(), {"good": good})

    def _keys(self) -> Any:
        """The key, as far as it can be read, and the load of every row, good or bad."""
        keyed = ", ".join(map(naming.quoted, self.contract.key))
        every = f"SELECT {keyed}, _load, _loaded_at FROM judged"
        if self._table.function is not None:
            typed = set(self._engine.schema(self._frames["typed"]).names)
            parts = [naming.quoted(n) if n in typed else f"NULL AS {naming.quoted(n)}" for n in self.contract.key]
            every += f" UNION ALL SELECT {', '.join(parts)}, _load, _loaded_at FROM typed WHERE _reject IS NOT NULL"
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
        if not self._table.full or not self.contract.key:
            return None
        found = self._engine.fetch(snapshots.last_whole(self.contract.key), {"keys": self._keys()})
        newest: int | None = found.column("arrival")[0].as_py()
        return newest

    def bad(self, waited_since: datetime = _EVER, *, held: bool = False) -> list[Any]:
        """Frames that together hold the rejected and waiting rows, as quarantine has them.

        A row that landed before `waited_since` has waited long enough for what it refers to.
        """
        queries = [self._judge.unread(self._number, held)]
        if self._table.function is not None:
            queries.append(self._judge.faulty(self._number, held))
        if self.contract.references:
            queries.append(self._judge.waiting(self._number, waited_since, held))
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


def referred_keys(table: Table, lake: Lake, engine: Engine[Any]) -> list[Any]:
    """For each reference of the contract, the distinct values that rows may refer to."""
    frames = []
    for reference in table.contract.references:
        present = lake.open(naming.silver_table(reference.table))
        listed = ", ".join(map(naming.quoted, reference.to))
        if present is None:
            own = {column.name: arrow_type(column) for column in table.contract.columns}
            types = [(theirs, own[ours]) for ours, theirs in zip(reference.columns, reference.to, strict=True)]
            frames.append(engine.frame(pa.schema(types).empty_table()))
        else:
            whole = engine.frame(present.scan())
            frames.append(engine.kept(engine.query(parsed(f"SELECT DISTINCT {listed} FROM whole"), {"whole": whole})))
    return frames


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
