"""Two places of one project side by side: table by table, row by row, whatever the order of rows.

Places are targets, or a target and an environment in it. What tells where a row lies (`_load`, `_judged` …) is left
out: equal tables may have been made in other steps.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catchment import naming
from catchment.answers import Compared, RowPair
from catchment.connected import Connected
from catchment.errors import ConfigError
from catchment.naming import TableName, quoted
from catchment.project import Project
from catchment.records import Scan
from catchment.silver.judge import parsed

if TYPE_CHECKING:
    from catchment.interfaces import Engine

# What a table keeps of its own making; the interval of a version is what it says.
_KEPT = (naming.VALID_FROM, naming.VALID_TO)


def compare(
    project: Project,
    one: str | None,
    other: str | None,
    tables: Sequence[str] = (),
    *,
    tolerance: float = 0.0,
    examples: int = 3,
) -> Iterator[Compared]:
    """Each table that either place has, or those that are named (`silver.sales`, `gold.daily_sales`, `silver`).

    Numbers with a floating point are equal when they differ by at most `tolerance`, as a share of the larger one (and
    absolutely below 1). Rows with a key are compared by it, others as they are. Raises ConfigError.
    """
    sides = [_Side(Connected.of(project, place)) for place in (one, other)]
    engine = sides[0].connected.engine()
    sides[0].connected.state.mkdir(exist_ok=True)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="compare-", dir=sides[0].connected.state))
        for side in sides:
            stack.enter_context(side.connected.reads.at_work())
        try:
            for name in _chosen(sides, tables):
                yield _compared(_Pair(project, name, engine, Path(folder), tolerance, examples), sides)
        finally:
            engine.close()


@dataclass(frozen=True)
class _Side:
    connected: Connected

    def tables(self) -> list[TableName]:
        lake = [name for name in self.connected.reads.list() if name.layer != "quarantine"]
        served = self.connected.warehouse.served() or {}
        return [*lake, *(TableName("gold", model) for model in sorted(served.get("models", ())))]

    def frame(self, name: TableName, engine: Engine[Any], folder: Path) -> Any | None:
        """The table's rows on the engine, None where it is not there; gold comes over in files."""
        if name.layer == "gold":
            if name not in self.tables():
                return None
            reader = self.connected.warehouse.query(f"SELECT * FROM gold.{quoted(name.name)}", {})
            place = folder / f"{self.connected.target_name}-{name.name}"
            place.mkdir(parents=True, exist_ok=True)
            files = engine.write_batches(reader, reader.schema, str(place), "rows")
            return engine.frame(Scan(files=tuple(file.path for file in files), schema=reader.schema))
        table = self.connected.reads.open(name)
        return None if table is None else engine.frame(table.scan())


@dataclass(frozen=True)
class _Pair:
    project: Project
    name: TableName
    engine: Engine[Any]
    folder: Path
    tolerance: float
    examples: int

    def rows(self, sql: str, **frames: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.engine.fetch(parsed(sql), frames).to_pylist()
        return found

    def count(self, sql: str, **frames: Any) -> int:
        return int(self.rows(f"SELECT count(*) AS n FROM ({sql})", **frames)[0]["n"])

    @property
    def key(self) -> tuple[str, ...]:
        """By which rows are found on the other side; empty where the contract tells none."""
        declared = self.project.silver.get(self.name.name)
        if self.name.layer != "silver" or declared is None:
            return ()
        key = self.project.contracts[self.name.name].key
        if declared.mode == "history":
            return (*key, naming.VALID_FROM)
        return key if declared.mode in ("merge",) else ()


def _chosen(sides: Sequence[_Side], tables: Sequence[str]) -> list[TableName]:
    known = list(dict.fromkeys(name for side in sides for name in side.tables()))
    if len({side.connected.target_name.partition("@")[0] for side in sides}) == 1:
        known = [name for name in known if name.layer != "bronze"]  # both read the same
    if not tables:
        return known
    found: list[TableName] = []
    for wanted in tables:
        meant = [name for name in known if wanted in (str(name), name.layer)]
        if not meant:
            message = f"neither place has {wanted}"
            names = [*map(str, known), *{name.layer for name in known}]
            raise ConfigError(message, hint=naming.did_you_mean(wanted, names) or f"there are {', '.join(names)}")
        found += meant
    return list(dict.fromkeys(found))


def _compared(pair: _Pair, sides: Sequence[_Side]) -> Compared:
    frames = [side.frame(pair.name, pair.engine, pair.folder) for side in sides]
    here = [side.connected.target_name for side, frame in zip(sides, frames, strict=True) if frame is not None]
    if len(here) < 2:
        return Compared(table=str(pair.name), only_in=here[0] if here else None)
    schemas = [_told(pair.engine.schema(frame)) for frame in frames]
    columns = [name for name in schemas[0] if name in schemas[1]]
    absent = tuple(sorted(schemas[0].keys() ^ schemas[1].keys()))
    kinds = {name: (schemas[0][name], schemas[1][name]) for name in columns}
    retyped = tuple(sorted(name for name, (a, b) in kinds.items() if a != b))
    one, other = (_taken(pair, frame, kinds) for frame in frames)
    counts = [pair.count("SELECT * FROM f", f=frame) for frame in (one, other)]
    key = pair.key if set(pair.key) <= set(columns) else ()
    found = _by_key(pair, one, other, kinds, key) if key else _as_they_are(pair, one, other, columns)
    return Compared(
        table=str(pair.name), rows=(counts[0], counts[1]), columns_in_one=absent, types_differ=retyped, **found
    )


def _told(schema: pa.Schema) -> dict[str, pa.DataType]:
    """What a table says, without what it keeps of its own making."""
    return {field.name: field.type for field in schema if not field.name.startswith("_") or field.name in _KEPT}


def _taken(pair: _Pair, frame: Any, kinds: dict[str, tuple[pa.DataType, pa.DataType]]) -> Any:
    """The columns that both have; as text where their types differ."""
    listed = [
        quoted(name) if one == other else f"CAST({quoted(name)} AS VARCHAR) AS {quoted(name)}"
        for name, (one, other) in kinds.items()
    ]
    return pair.engine.kept(pair.engine.query(parsed(f"SELECT {', '.join(listed)} FROM f"), {"f": frame}))


def _by_key(
    pair: _Pair, one: Any, other: Any, kinds: dict[str, tuple[pa.DataType, pa.DataType]], key: Sequence[str]
) -> dict[str, Any]:
    using = " AND ".join(f"a.{quoted(name)} = b.{quoted(name)}" for name in key)
    listed = ", ".join(map(quoted, key))
    gone = {"a": one, "b": other}
    only_one = f"SELECT a.* FROM a ANTI JOIN b ON {using}"
    only_other = f"SELECT b.* FROM b ANTI JOIN a ON {using}"
    others = [name for name in kinds if name not in key]
    unequal = [f"NOT ({_equal(name, kinds[name][0], pair.tolerance)})" for name in others]
    both = f"FROM a JOIN b ON {using} WHERE {' OR '.join(unequal) or 'FALSE'}"
    by_column = ", ".join(
        f"count(*) FILTER (WHERE {wrong}) AS {quoted(name)}" for name, wrong in zip(others, unequal, strict=True)
    )
    counted = pair.rows(f"SELECT {by_column} {both}", **gone)[0] if others else {}
    shown = pair.rows(
        f"SELECT struct_pack({', '.join(f'{quoted(n)} := a.{quoted(n)}' for n in kinds)}) AS one,"
        f" struct_pack({', '.join(f'{quoted(n)} := b.{quoted(n)}' for n in kinds)}) AS other {both}"
        f" ORDER BY {', '.join(f'a.{quoted(name)}' for name in key)} LIMIT {pair.examples}",
        **gone,
    )
    pairs = [RowPair(one=row["one"], other=row["other"]) for row in shown]
    for side, sql in (("one", only_one), ("other", only_other)):
        limited = pair.rows(f"SELECT * FROM ({sql}) ORDER BY {listed} LIMIT {pair.examples}", **gone)
        pairs += [RowPair(**{side: row}) for row in limited]
    return {
        "key": tuple(key),
        "only": (pair.count(only_one, **gone), pair.count(only_other, **gone)),
        "differ": pair.count(f"SELECT 1 AS x {both}", **gone),
        "by_column": {name: count for name, count in counted.items() if count},
        "examples": tuple(pairs),
    }


def _equal(name: str, kind: pa.DataType, tolerance: float) -> str:
    a, b = f"a.{quoted(name)}", f"b.{quoted(name)}"
    same = f"{a} IS NOT DISTINCT FROM {b}"
    if not pa.types.is_floating(kind) or tolerance <= 0:
        return same
    return f"{same} OR COALESCE(abs({a} - {b}) <= {tolerance!r} * greatest(abs({a}), abs({b}), 1), FALSE)"


def _as_they_are(pair: _Pair, one: Any, other: Any, columns: Sequence[str]) -> dict[str, Any]:
    """Rows without a key, each as often as it is there; floating point rounded to the tolerance."""
    listed = ", ".join(_rounded(pair, one, name) for name in columns)
    frames = {
        name: pair.engine.query(parsed(f"SELECT {listed} FROM f"), {"f": frame})
        for name, frame in (("a", one), ("b", other))
    }
    only = [f"SELECT * FROM {x} EXCEPT ALL SELECT * FROM {y}" for x, y in (("a", "b"), ("b", "a"))]
    pairs = []
    for side, sql in zip(("one", "other"), only, strict=True):
        rows = pair.rows(f"SELECT * FROM ({sql}) ORDER BY ALL LIMIT {pair.examples}", **frames)
        pairs += [RowPair(**{side: row}) for row in rows]
    return {"only": tuple(pair.count(sql, **frames) for sql in only), "examples": tuple(pairs)}


def _rounded(pair: _Pair, frame: Any, name: str) -> str:
    kind = pair.engine.schema(frame).field(name).type
    if not pa.types.is_floating(kind) or pair.tolerance <= 0:
        return quoted(name)
    return f"round({quoted(name)} / {pair.tolerance!r}) * {pair.tolerance!r} AS {quoted(name)}"
