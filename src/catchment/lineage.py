"""Where a project's columns come from and what they go into: contracts, refine functions and SQL in one graph.

Nothing is read but the project; gold's SQL is what dbt compiles of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from catchment import naming
from catchment.answers import Lineage, Traced, TracedTable
from catchment.connected import Connected
from catchment.errors import ConfigError

if TYPE_CHECKING:
    from catchment.project import Project

# A column of a table of the graph; ROWS stands for the table's rows.
Place = tuple[str, str]
ROWS = "*"

_SHOWN = 20


def lineage(project: Project, target: str | None = None, *, gold: bool = True) -> Lineage:
    """Every column of the project; without `gold` nothing after silver, and dbt is not asked.

    Raises ConfigError where a refine function or a model does not do, MissingExtra where there is no dbt.
    """
    from catchment.silver.lineage import traced

    connected = Connected.of(project, target)
    engine = connected.engine()
    try:
        silver = [traced(connected.silver(name), engine) for name in project.silver]
    finally:
        engine.close()
    found = [*_streams(connected.project, silver), *_after_what_they_read(silver)]
    if gold and project.gold is not None:
        found += _gold(connected, silver)
    return Lineage({table.name: table for table in found})


def _streams(project: Project, silver: Sequence[TracedTable]) -> Iterator[TracedTable]:
    """What lies outside, as far as contracts name fields of it."""
    read: dict[str, dict[str, None]] = {name: {} for name in project.streams()}
    for table in silver:
        for name, column in _named(table):
            if name in read and column != ROWS:
                read[name][column] = None
    for name, columns in read.items():
        yield TracedTable(name, "stream", [Traced(column) for column in columns], (), "catchment.yaml")


def _named(table: TracedTable) -> Iterator[Place]:
    for column in table.columns:
        yield from column.of
    yield from table.rows


def _after_what_they_read(silver: Sequence[TracedTable]) -> Iterator[TracedTable]:
    from graphlib import CycleError, TopologicalSorter

    tables = {table.name: table for table in silver}
    graph = {
        name: {read for read, _ in _named(table) if read in tables and read != name} for name, table in tables.items()
    }
    try:
        ordered = list(TopologicalSorter(graph).static_order())
    except CycleError:  # rows that refer to one another: any order does
        ordered = list(tables)
    return (tables[name] for name in ordered)


def _gold(connected: Connected, silver: Sequence[TracedTable]) -> Iterator[TracedTable]:
    from catchment.gold.lineage import traced

    columns = {table.name: [column.name for column in table.columns] for table in silver}
    return traced(connected.compiled(), connected.dbt, columns)


@dataclass(frozen=True)
class Found:
    """A walk through the graph from `start`: each place that was met, with the nearest steps it was met by.

    `steps` lead from a place to those next to it, in the direction of the walk; `distance` counts them.
    """

    start: Sequence[Place]
    steps: Mapping[Place, Sequence[Place]]
    distance: Mapping[Place, int]


@dataclass(frozen=True)
class Graph:
    """A lineage that can be walked, upstream to sources and downstream to exposures.

    With `rows` a walk also goes by what decides which rows there are: joins, filters, groups, keys, rules. Without, it
    goes by values alone, and from rows that are counted to the rows that they are made of.
    """

    lineage: Lineage
    _columns: dict[Place, Traced] = field(init=False, repr=False)
    _into: dict[Place, list[Place]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        columns = {(table.name, one.name): one for table in self.lineage.tables.values() for one in table.columns}
        into: dict[Place, list[Place]] = {}
        for place, column in columns.items():
            for of in column.of:
                into.setdefault(of, []).append(place)
        for table in self.lineage.tables.values():
            for of in table.rows:
                into.setdefault(of, []).append((table.name, ROWS))
        object.__setattr__(self, "_columns", columns)
        object.__setattr__(self, "_into", into)

    def places(self, name: str, *, ours: bool = True) -> Sequence[Place]:
        """What `gold.daily_sales.revenue`, `gold.daily_sales` or a stream's field names: one column, or all of a table;
        without `ours` all but those that we keep beside a silver table's contract. By its name each can be asked for.

        A field within a document is met by those that hold it and by those inside it. `bronze.shop_db__users` is the
        stream. Raises ConfigError, with the nearest name, for what is not there.
        """
        table, column = self._split(name)
        own = self.lineage.tables[table]
        if column is None:
            named = [one.name for one in own.columns if ours or not _is_ours(own, one.name)]
            return [*((table, one) for one in named), (table, ROWS)]
        near = [one.name for one in own.columns if _same(one.name, column, inside=own.kind == "stream")]
        if not near:
            known = [one.name for one in own.columns if not _is_ours(own, one.name)]
            cure = naming.did_you_mean(column, known) or f"there are {_some(known) or 'none that anything reads'}"
            message = f"{table} has no column {column}"
            if own.kind == "stream":
                message = f"no contract reads a field {column} of {table}"
            raise ConfigError(message, hint=cure)
        return [(table, one) for one in near]

    def _split(self, name: str) -> tuple[str, str | None]:
        """A name as a table and a column; the longest table that it begins with."""
        tables = {_folded(table): table for table in self.lineage.tables}
        feeds = [one.name for one in self.lineage.tables.values() if one.kind == "stream"]
        tables |= {str(naming.bronze_table(feed)): feed for feed in feeds}
        asked = _folded(name)
        fitting = [known for known in tables if asked == known or asked.startswith(f"{known}.")]
        if not fitting:
            bare = name.rsplit(".", 1)[0] if name.count(".") > 1 else name
            cure = naming.did_you_mean(bare, tables) or f"there are {_some(list(self.lineage.tables))}"
            message = f"nothing here is called {name}"
            raise ConfigError(message, hint=cure)
        longest = max(fitting, key=len)
        rest = name.strip()[len(longest) + 1 :].removeprefix("$.")
        return tables[longest], rest or None

    def column(self, place: Place) -> Traced:
        """What is known of a column; of a table's rows, that it has them."""
        table, name = place
        if name == ROWS:
            return Traced(ROWS, self.lineage.tables[table].rows if table in self.lineage.tables else ())
        return self._columns.get(place, Traced(name))

    def upstream(self, start: Sequence[Place], *, rows: bool = False, depth: int | None = None) -> Found:
        """What `start` is made of, and that in turn; at most `depth` steps away."""
        return _walk(start, lambda at: self._made_of(at, rows=rows), depth)

    def _made_of(self, at: Place, *, rows: bool) -> Sequence[Place]:
        table, name = at
        known = self.lineage.tables.get(table)
        if name == ROWS and known is not None and known.kind == "exposure":
            return [place for read, _ in known.rows for place in self.places(read)]  # who shows a table shows all of it
        of = self.column(at).of
        also = [(table, ROWS)] if rows and name != ROWS and known is not None and known.rows else []
        return [*of, *also] if rows or name != ROWS else [place for place in of if place[1] == ROWS]

    def downstream(self, start: Sequence[Place], *, rows: bool = False, depth: int | None = None) -> Found:
        """What is made of `start`, and of that in turn; at most `depth` steps away. Rows that a column decides are met
        in any case; what is made of these, only with `rows`."""
        begun = set(start)
        return _walk(start, lambda at: self._goes_into(at, rows=rows or at in begun), depth)

    def _goes_into(self, at: Place, *, rows: bool) -> Sequence[Place]:
        into = self._into.get(at, ())
        if at[1] == ROWS and rows:
            known = self.lineage.tables.get(at[0])
            return [*into, *((at[0], one.name) for one in (known.columns if known is not None else ()))]
        return into if at[1] != ROWS else ()

    def sources(self, found: Found) -> Sequence[Place]:
        """The fields outside, and rows as such, that a walk upstream has met: of streams, seeds, sources of others."""
        return sorted(place for place in found.distance if self._kind(place[0]) in ("stream", "source", "seed"))

    def exposures(self, found: Found) -> Sequence[str]:
        """The exposures that show a table of which a walk downstream has met anything."""
        met = {table for table, _ in found.distance}
        return [
            table.name
            for table in self.lineage.tables.values()
            if table.kind == "exposure" and any(read in met for read, _ in table.rows)
        ]

    def _kind(self, table: str) -> str:
        known = self.lineage.tables.get(table)
        return "source" if known is None else known.kind


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _is_ours(table: TracedTable, column: str) -> bool:
    """Whether a column of silver is one of ours. The interval of a version is the user's as well."""
    return table.kind == "silver" and column.startswith("_") and column not in (naming.VALID_FROM, naming.VALID_TO)


def _folded(name: str) -> str:
    return name.strip().lower()


def _same(known: str, asked: str, *, inside: bool) -> bool:
    """Whether a field is the one asked for; in a document also one that holds it or lies inside."""
    one, other = known.lower(), asked.lower()
    return one == other or (inside and (one.startswith((f"{other}.", f"{other}[")) or other.startswith(f"{one}.")))


def _walk(start: Sequence[Place], following: Callable[[Place], Sequence[Place]], depth: int | None) -> Found:
    distance: dict[Place, int] = dict.fromkeys(start, 0)
    steps: dict[Place, Sequence[Place]] = {}
    waiting = list(distance)
    for at in waiting:  # grows while it is gone through: nearest first
        if depth is not None and distance[at] >= depth:
            continue
        steps[at] = list(dict.fromkeys(following(at)))
        for place in steps[at]:
            if place not in distance:
                distance[place] = distance[at] + 1
                waiting.append(place)
    return Found(list(start), steps, distance)


def spelled(place: Place) -> str:
    """A place as people write it."""
    table, name = place
    return f"rows of {table}" if name == ROWS else f"{table}.{name}"
