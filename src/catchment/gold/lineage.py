"""Of which columns each model's columns are made, read from the SQL that dbt compiled."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from catchment.answers import Traced, TracedTable
from catchment.derivation import Derived, Uses, derive, remembered, to_remember
from catchment.errors import ConfigError
from catchment.gold.sources import SILVER, sources
from catchment.recall import Recall, digest

if TYPE_CHECKING:
    from sqlglot import exp

    from catchment.gold.compiled import Manifest, Node
    from catchment.gold.dbt import Dbt

# dbt puts an ephemeral model into the SQL that reads it as a CTE of this name.
_EPHEMERAL = "__dbt__cte__"

_WORD = re.compile(r"\w+")

_SNAPSHOT = ("dbt_scd_id", "dbt_updated_at", "dbt_valid_from", "dbt_valid_to")


def traced(manifest: Manifest, dbt: Dbt, lake: Mapping[str, Sequence[str]]) -> Iterator[TracedTable]:
    """Seeds, models, snapshots and exposures, each after what it reads.

    `lake` are the columns of its tables, by `silver.users`; a source that is none of them is told as a table of its
    own, with the columns that models read. Raises ConfigError where models go round in a circle.
    """
    also = sources(dbt, [name.partition(".")[2] for name in lake]).also
    aliases = {place: f"{SILVER}.{table}" for table, places in also.items() for place in places}
    folder = dbt.folder
    recall = Recall(dbt.state / "compiled" / "derived.json")
    reader = _Reader(manifest, dict(lake), folder, aliases, recall)
    for key in _in_order(manifest):
        yield reader.table(manifest.nodes[key])
    recall.save(manifest.nodes)
    yield from reader.outside()
    for exposure in manifest.exposures.values():
        reads = tuple((reader.names[key], "*") for key in exposure.reads if key in reader.names)
        file = f"{folder.name}/{exposure.file}"
        yield TracedTable(f"exposure.{exposure.name}", "exposure", (), reads, file)


def _in_order(manifest: Manifest) -> Iterator[str]:
    nodes = sorted(manifest.nodes.items())  # dbt's order is another each time
    graph = {key: sorted(one for one in node.refs if one in manifest.nodes) for key, node in nodes}
    try:
        yield from TopologicalSorter(graph).static_order()
    except CycleError as error:
        message = f"models read one another in a circle: {' -> '.join(error.args[1])}"
        raise ConfigError(message) from error


class _Reader:
    """Models one after the other; what is known of those before tells the columns of the next."""

    def __init__(
        self,
        manifest: Manifest,
        lake: dict[str, Sequence[str]],
        folder: Path,
        also: Mapping[str, str],
        recall: Recall,
    ) -> None:
        self._recall = recall
        self._manifest = manifest
        self._folder = folder
        self._known = lake  # columns by our name of a table
        self._in_sql: dict[str, str] = {}  # our name by the one in compiled SQL
        self._read: dict[str, set[str]] = {}  # of sources that nobody knows, the columns that models name
        self.names: dict[str, str] = {}  # our name by dbt's id
        for key, source in manifest.sources.items():
            _, schema, table = source.relation
            ours = f"{schema}.{table}".lower()
            name = also.get(f"{schema}.{table}", ours if ours in lake else f"{source.source}.{source.name}")
            self.names[key] = self._in_sql[(source.location or ours).lower()] = name
        for key, node in manifest.nodes.items():
            _, schema, table = node.relation
            self.names[key] = self._in_sql[f"{schema}.{table}".lower()] = f"gold.{node.name}"
            if node.materialized == "ephemeral":
                self._in_sql[f"{_EPHEMERAL}{node.name}".lower()] = f"gold.{node.name}"

    def table(self, node: Node) -> TracedTable:
        name, file = self.names[node.id], f"{self._folder.name}/{node.file}"
        if node.kind == "seed":
            found = TracedTable(name, "seed", [Traced(column) for column in self._header(node)], (), file)
        else:
            found = self._selected(node, name, file)
        self._known[name] = [column.name for column in found.columns]
        return found

    def outside(self) -> Iterator[TracedTable]:
        """Sources that are no table of the lake."""
        ours = {*self.names.values()} - {*self._known}
        for name in sorted(ours):
            file = next(
                f"{self._folder.name}/{source.file}"
                for key, source in self._manifest.sources.items()
                if self.names[key] == name
            )
            yield TracedTable(name, "source", [Traced(column) for column in sorted(self._read.get(name, ()))], (), file)

    def _header(self, node: Node) -> list[str]:
        path = self._folder / node.file
        delimiter = str(node.config.get("delimiter") or ",")
        try:
            with path.open(encoding="utf-8-sig", newline="") as lines:
                return next(csv.reader(lines, delimiter=delimiter), [])
        except (OSError, UnicodeDecodeError):
            return list(node.columns)  # a package's own, which lies elsewhere

    def _selected(self, node: Node, name: str, file: str) -> TracedTable:
        kind: Literal["snapshot", "model"] = "snapshot" if node.kind == "snapshot" else "model"
        if node.sql is None:
            return self._not_sql(node, name, file)
        derived = self._derived(node, node.sql)
        columns = [
            Traced(self._spelled(node, column), self._places(uses), derived.words.get(column, ""))
            for column, uses in derived.columns.items()
        ]
        if derived.other is not None:
            told = {column.name.lower() for column in columns}
            rest = [column for column in node.columns if column.lower() not in told]
            columns += [Traced(column, self._places(derived.other)) for column in rest]
        if node.kind == "snapshot":
            columns += _of_snapshot(node, name)
        return TracedTable(name, kind, columns, self._places(derived.rows), file, derived.unsure)

    def _not_sql(self, node: Node, name: str, file: str) -> TracedTable:
        """A Python model: whatever YAML tells of it may be made of everything that it reads."""
        reads = [self.names[key] for key in (*node.refs, *node.sources) if key in self.names]
        everything = tuple((table, column) for table in reads for column in self._known.get(table, ()))
        rows = tuple((table, "*") for table in reads)
        unsure = f"it is a {node.language} model: each column may be made of all that it reads"
        return TracedTable(
            name, "model", [Traced(c, everything) for c in node.columns], everything + rows, file, unsure
        )

    def _derived(self, node: Node, sql: str) -> Derived:
        """What the SQL says, remembered for as long as neither it nor the columns of what it reads have changed:
        reading a thousand models takes twenty seconds."""
        import sqlglot

        named_in_it = set(_WORD.findall(sql.lower()))
        known = {
            place: list(self._known[ours])
            for place, ours in self._in_sql.items()
            if ours in self._known and _last_word(place) in named_in_it
        }
        dialect = self._manifest.dialect
        key = digest(sql, dialect, str(getattr(sqlglot, "__version__", "")), json.dumps(known))
        found = self._recall.get(node.id, key)
        if found is not None:
            return remembered(found)
        derived = _read(sql, known, dialect)
        self._recall.put(node.id, key, to_remember(derived))
        return derived

    def _places(self, uses: Uses) -> tuple[tuple[str, str], ...]:
        found = []
        for table, column in sorted(uses.columns):
            name = self._in_sql.get(table, table)
            if name not in self._known:
                self._read.setdefault(name, set()).add(column)
            found.append((name, self._as_known(name, column)))
        return (*found, *((self._in_sql.get(table, table), "*") for table in sorted(uses.rows)))

    def _as_known(self, table: str, column: str) -> str:
        return next((known for known in self._known.get(table, ()) if known.lower() == column), column)

    @staticmethod
    def _spelled(node: Node, column: str) -> str:
        return next((told for told in node.columns if told.lower() == column), column)


@cache
def _last_word(place: str) -> str:
    words: list[str] = _WORD.findall(place)
    return words[-1] if words else ""


def _read(sql: str, known: Mapping[str, Sequence[str]], dialect: str) -> Derived:
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        tree = sqlglot.parse_one(sql, read=dialect)
    except SqlglotError as error:
        return Derived({}, Uses(), Uses(), f"its SQL is not understood: {_first_line(error)}")
    _without_ephemeral(tree)
    return derive(tree, known, dialect)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _without_ephemeral(tree: exp.Expr) -> None:
    """Take out the CTEs that dbt put in, so that an ephemeral model is a table like others."""
    from sqlglot import exp

    for cte in list(tree.find_all(exp.CTE)):
        if cte.alias.lower().startswith(_EPHEMERAL):
            clause = cte.parent
            cte.pop()
            if isinstance(clause, exp.With) and not clause.expressions:
                clause.pop()


def _of_snapshot(node: Node, name: str) -> list[Traced]:
    """What dbt adds: of the column that tells when a row changed, and of the key."""
    told = node.config.get("updated_at")
    keys = node.config.get("unique_key") or []
    named_keys = [keys] if isinstance(keys, str) else list(keys)
    of = [(name, column) for column in dict.fromkeys([*named_keys, *([str(told)] if told else [])])]
    return [Traced(column, tuple(of), "made by the snapshot") for column in _SNAPSHOT]
