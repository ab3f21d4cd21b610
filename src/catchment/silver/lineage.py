"""Of which fields a silver table's columns are made: told by its contract, its refine function and its mode."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catchment import naming
from catchment.answers import Traced, TracedTable
from catchment.derivation import Derived, Uses, derive, named
from catchment.silver.conform import arrow_type
from catchment.silver.modes import mode_of
from catchment.silver.refine import Lookup, trace
from catchment.silver.rows import lookup_schema, silver_schema

if TYPE_CHECKING:
    from sqlglot import exp

    from catchment.contract import Contract
    from catchment.interfaces import Engine
    from catchment.silver.definition import Table

Place = tuple[str, str]


def traced(table: Table, engine: Engine[Any]) -> TracedTable:
    """The table's columns and what they are made of: fields of its streams, and columns of other silver tables.

    The engine is asked only where there is a refine function, and computes nothing. Raises ConfigError where the
    function does not do.
    """
    own = str(naming.silver_table(table.name))
    fields = {c.name: [(stream, field_name(c.source)) for stream in table.streams] for c in table.contract.columns}
    columns, rows = _refined(table, engine, fields) if table.function is not None else _conformed(fields)
    of = {column.name: column.of for column in columns}
    for name in _heeded(table):
        rows |= set(of.get(name, ()))
    rows |= {(stream, "*") for stream in table.streams}
    for reference in table.contract.references:
        rows |= {(str(naming.silver_table(reference.table)), name) for name in reference.to}
        rows |= {place for name in reference.columns for place in of.get(name, ())}
    columns += _kept(table, own)
    return TracedTable(own, "silver", tuple(columns), tuple(sorted(rows)), table.contract.file)


def field_name(source: str) -> str:
    """A contract's source as a field: a column's header, or the path in the document without `$.`."""
    return source.removeprefix("$.").replace('"', "") if source.startswith("$.") else source


def _conformed(fields: Mapping[str, list[Place]]) -> tuple[list[Traced], set[Place]]:
    return [Traced(name, tuple(of)) for name, of in fields.items()], set()


def _heeded(table: Table) -> set[str]:
    """Columns that decide which rows there are, by the mode and by the contract's rules."""
    conditions = _named(table.contract, (rule.condition for rule in table.contract.row_rules))
    required = {column.name for column in table.contract.columns if column.required}
    return {*table.heeded(), *conditions, *required}


def _named(contract: Contract, conditions: Iterable[str]) -> set[str]:
    """The contract's columns that conditions name."""
    import sqlglot
    from sqlglot import exp

    spelled = {
        column.name.lower()
        for condition in conditions
        for column in sqlglot.parse_one(condition, read="duckdb").find_all(exp.Column)
    }
    return {column.name for column in contract.columns if column.name.lower() in spelled}


def _kept(table: Table, own: str) -> list[Traced]:
    """What stands in silver beside the contract's columns: identity is ours, the rest is made by the mode."""
    mode = mode_of(table)
    deciding = [] if table.deleted_when is None else sorted(_named(table.contract, [table.deleted_when]))
    begins = [] if table.latest_by is None else [table.latest_by]
    ends = list(dict.fromkeys([*table.contract.key, *begins, *deciding]))
    until = [*table.contract.key, *([] if table.event_time is None else [table.event_time])]
    made = {naming.VALID_FROM: begins, naming.VALID_TO: ends, naming.HIDDEN: deciding, naming.UNTIL: until}
    known = {column.name for column in table.contract.columns}
    words = f"mode: {table.mode}" if mode is not None else ""
    return [
        Traced(name, tuple((own, c) for c in made.get(name, [])), words if made.get(name) else "")
        for name in silver_schema(table).names
        if name not in known
    ]


def _refined(table: Table, engine: Engine[Any], fields: Mapping[str, list[Place]]) -> tuple[list[Traced], set[Place]]:
    """By the SQL that comes out of the function over empty frames."""
    function, contract = table.function, table.contract
    assert function is not None
    watched = _Watched(engine)
    arrived = [(c.name, arrow_type(c)) for c in contract.columns if not c.derived]
    ours = [(name, silver_schema(table).field(name).type) for name in naming.IDENTITY]
    first = engine.frame(pa.schema([*arrived, *ours]).empty_table())
    lookups = {
        name: Lookup(
            frame=engine.frame(lookup_schema(found.contract, versions=found.as_of is not None).empty_table()),
            key=found.contract.key,
            as_of=found.as_of,
        )
        for name, found in (table.lookups or {}).items()
    }
    made = trace(function, watched, first, lookups, explodes=bool(contract.key))  # type: ignore[arg-type]
    tree = watched.whole(engine.tree(made))
    frames = {_only_table(engine.tree(first)): ""} | {
        _only_table(engine.tree(lookup.frame)): name for name, lookup in lookups.items()
    }
    known = {frame: _columns(frame, frames, first, lookups, engine) for frame in frames}
    derived = derive(tree, known, "duckdb")
    places = _Places(frames, fields)
    columns = [_column(c.name, derived, places, function.file) for c in contract.columns]
    return columns, set(places.of(derived.rows))


def _columns(
    frame: str, frames: Mapping[str, str], first: Any, lookups: Mapping[str, Lookup], engine: Engine[Any]
) -> list[str]:
    shown = lookups[frames[frame]].frame if frames[frame] else first
    return list(engine.schema(shown).names)


def _only_table(tree: exp.Expr) -> str:
    from sqlglot import exp

    return next(named(table) for table in tree.find_all(exp.Table))


@dataclass(frozen=True)
class _Places:
    """Where the columns of the frames come from: `frames` are the look-ups by their tables' names, "" the first."""

    frames: Mapping[str, str]
    fields: Mapping[str, list[Place]]

    def of(self, uses: Uses) -> Iterator[Place]:
        by_name = {name.lower(): places for name, places in self.fields.items()}
        for frame, column in sorted(uses.columns):
            lookup = self.frames[frame]
            if lookup:
                yield str(naming.silver_table(lookup)), column
            else:
                yield from by_name.get(column, [])
        for frame in sorted(uses.rows):
            if self.frames[frame]:
                yield str(naming.silver_table(self.frames[frame])), "*"


def _column(name: str, derived: Derived, places: _Places, file: str) -> Traced:
    uses = derived.columns.get(name.lower(), derived.other or Uses())
    passed = uses.columns == {(next((f for f, lookup in places.frames.items() if not lookup), ""), name.lower())}
    is_said = name.lower() in derived.words or not passed
    return Traced(name, tuple(dict.fromkeys(places.of(uses))), file if is_said else "")


@dataclass
class _Watched:
    """An engine that remembers what went into a query by name, which the finished tree no longer shows."""

    engine: Engine[Any]
    views: dict[str, exp.Expr] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def query(self, sql: exp.Query, frames: Mapping[str, Any]) -> Any:
        """As the engine's; a frame's view has the alias that the frame had as a name."""
        from sqlglot import exp

        made = self.engine.query(sql, frames)
        for table in self.engine.tree(made).find_all(exp.Table):
            if table.alias in frames:
                self.views[named(table)] = self.engine.tree(frames[table.alias])
        return made

    def whole(self, tree: exp.Expr) -> exp.Expr:
        """The tree with the frames' own trees in place of their names."""
        from sqlglot import exp

        for table in list(tree.find_all(exp.Table)):
            inner = self.views.get(named(table))
            if inner is not None:
                alias = exp.TableAlias(this=exp.to_identifier(table.alias_or_name))
                table.replace(exp.Subquery(this=self.whole(inner.copy()), alias=alias))
        return tree
