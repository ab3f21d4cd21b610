"""The rules against one model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from sqlglot import exp

from catchment.gold.layers import meaning, sql
from catchment.gold.layers.models import LAYERS, Layer, Model, Read
from catchment.gold.layers.places import Places

# What no ref() leads to and a macro may read: the catalogue, and what changed since the last build (`new_rows`).
_OURS = ("information_schema", "_came_", "_left_")

_UNIONS = ("UNION", "EXCEPT", "INTERSECT", "MINUS")

# What dialects with partitions call them in a model's config.
_PARTITIONS = {
    "athena": ("partitioned_by",),
    "trino": ("partitioned_by", "properties"),
    "spark": ("partition_by", "liquid_clustered_by"),
    "databricks": ("partition_by", "liquid_clustered_by", "auto_liquid_cluster"),
}


@dataclass(frozen=True)
class Broken:
    """A rule that is broken at a line of the user's, in words that begin with what stands there."""

    rule: str
    line: int
    words: str


def broken(model: Model) -> list[Broken]:
    """Every place where a model breaks a rule, in no order."""
    places = Places(model.raw, model.sql, sql.dialect(model))
    found = list(_without_sql(model, places))
    if model.sql is None or not model.sql.strip():
        return found
    try:
        return [*found, *_with_sql(model, sql.parse(model), places)]
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        return [*found, Broken("any-readable", places.first, f"cannot be read: {why}")]


def _with_sql(model: Model, tree: exp.Expr, places: Places) -> Iterator[Broken]:
    yield from _hard_coded(model, tree, places)
    if model.layer is not None:
        yield from _BY_LAYER[model.layer](model, tree, places)


def _without_sql(model: Model, places: Places) -> Iterator[Broken]:
    """What follows from the model's place, its config and what it reads."""
    if model.layer is None:
        return
    if model.layer == "stg":
        yield from _one_source(model, places)
        if model.materialized not in {"view", "ephemeral"}:
            words = f"is materialized as {model.materialized or 'something else'}"
            yield Broken("stg-is-view", places.word("materialized"), words)
        return
    for read in model.reads:
        if read.kind == "source":
            yield Broken(f"{model.layer}-no-source", _called(read, places), f"reads the source {read.name}")
        elif read.layer is not None and LAYERS.index(read.layer) > LAYERS.index(model.layer):
            words = f"reads {read.name}, which is in {read.layer}, above {model.layer}"
            yield Broken("any-no-upward-ref", _called(read, places), words)
    if model.layer == "cur":
        yield from _partitioned(model, places)


def _one_source(model: Model, places: Places) -> Iterator[Broken]:
    raw = [read for read in model.reads if read.kind != "model"]
    for read in model.reads:
        if read.kind == "model":
            where = f" of {read.layer}" if read.layer is not None else ""
            yield Broken("stg-one-source", _called(read, places), f"reads the model {read.name}{where}")
    for read in raw[1:]:
        words = f"reads {read.name} beside {raw[0].name}"
        yield Broken("stg-one-source", _called(read, places), words)
    if not model.reads:
        yield Broken("stg-one-source", places.first, "reads no source")


def _called(read: Read, places: Places) -> int:
    name = read.name.rpartition(".")[2]
    return places.call("source" if read.kind == "source" else "ref", name)


def _partitioned(model: Model, places: Places) -> Iterator[Broken]:
    keys = _PARTITIONS.get(model.dialect)
    if keys is None or model.materialized not in {"table", "incremental"}:
        return
    if not any(_partition(key, model.config) for key in keys):
        yield Broken("cur-partitioned", places.word("materialized"), "has no partitions")


def _partition(key: str, config: Mapping[str, object]) -> bool:
    value = config.get(key)
    return "partition" in str(value) if key == "properties" else bool(value)


def _hard_coded(model: Model, tree: exp.Expr, places: Places) -> Iterator[Broken]:
    relations = [model.relation, *(read.relation for read in model.reads)]
    raw = model.raw.lower()
    for table in sql.tables(tree):
        name = ".".join(part.name for part in table.parts)
        is_file = any(mark in table.name for mark in "./*")
        # A source of dbt-duckdb may itself be a file, then source() has written its name.
        known = sql.is_one_of(table, relations) or (is_file and table.name.lower() not in raw)
        if not known and not table.db.lower().startswith(_OURS):
            yield Broken("any-no-hard-coded-table", places.of(table), f"reads the table {name} by name")
    for call in sql.files(tree):
        name = _name(call.this)
        if name in raw:
            yield Broken("any-no-hard-coded-table", places.of(call), f"reads files by itself, with {name}")


def _stg(model: Model, tree: exp.Expr, places: Places) -> Iterator[Broken]:
    for join in sql.joins(tree):
        yield Broken(
            "stg-no-join", places.of(join.this, "JOIN", ",", "LATERAL"), f"joins {join.this.alias_or_name or 'a query'}"
        )
    for query in sql.asides(tree):
        yield Broken("stg-no-join", places.of(query, "SELECT"), "joins by a query within an expression")
    for union in tree.find_all(exp.SetOperation):
        yield Broken("stg-no-union", places.of(union.expression, *_UNIONS), f"has {union.key}")
    yield from _aggregates(model, tree, places, "stg-no-aggregate")
    for query in sql.distincts(tree):
        yield Broken("stg-no-aggregate", places.of(query, "DISTINCT"), "has select distinct")
    for window in sql.windows(tree):
        yield Broken("stg-no-window", places.of(window), f"has {_name(window)} over a window")
    yield from _logic(tree, places)


def _logic(tree: exp.Expr, places: Places) -> Iterator[Broken]:
    for query in tree.find_all(exp.Select):
        for column in query.expressions:
            for part, words in meaning.decisions(column):
                keyword = ("CASE",) if isinstance(part, exp.Case) else ()
                yield Broken(
                    "stg-no-logic", places.of(part, *keyword), f"{words} in column {column.alias_or_name or '?'}"
                )
        where = query.args.get("where")
        if where is not None and not meaning.keeps(where.this):
            yield Broken("stg-no-filter", places.of(where, "WHERE"), "filters by what a value means")
        for clause in ("limit", "offset"):
            if query.args.get(clause) is not None:
                yield Broken("stg-no-filter", places.of(query.args[clause], clause.upper()), f"has {clause}")
        if query.find(exp.TableSample) is not None:
            yield Broken("stg-no-filter", places.of(query), "takes a sample")


def _std(model: Model, tree: exp.Expr, places: Places) -> Iterator[Broken]:
    yield from _aggregates(model, tree, places, "std-no-aggregate")
    for window in sql.metrics(tree):
        yield Broken("std-no-metric", places.of(window), f"computes {_name(window)} over a window")


def _aggregates(model: Model, tree: exp.Expr, places: Places, rule: str) -> Iterator[Broken]:
    for node in sql.aggregates(tree, model.relation):
        if isinstance(node, exp.Group):
            yield Broken(rule, places.of(node, "GROUP"), "has group by")
        elif isinstance(node, exp.Pivot):
            yield Broken(rule, places.of(node, "PIVOT"), "has a pivot")
        else:
            yield Broken(rule, places.of(node), f"aggregates with {_name(node)}")


def _name(node: exp.Expr) -> str:
    while isinstance(node, exp.Window | exp.IgnoreNulls | exp.RespectNulls | exp.Filter | exp.WithinGroup):
        node = node.this
    if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc):
        return str(node.name).lower()
    return node.sql_name().lower() if isinstance(node, exp.Func) else node.key


def _cur(_model: Model, tree: exp.Expr, places: Places) -> Iterator[Broken]:
    for table in sql.stars(tree):
        yield Broken("cur-named-columns", places.of(table, "*"), f"gives whatever columns {table.name} has")


_BY_LAYER: Mapping[Layer, Callable[[Model, exp.Expr, Places], Iterable[Broken]]] = {
    "stg": _stg,
    "std": _std,
    "cur": _cur,
}
