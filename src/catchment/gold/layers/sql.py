"""What stands in the parsed SQL of a model; every function takes a tree and yields nodes of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sqlglot
from sqlglot import exp

from catchment.gold.layers.models import Model, Relation

# dbt puts an ephemeral model into the SQL of those who read it, under such a name.
_EPHEMERAL = "__dbt__cte__"

_NEIGHBOURS = (
    exp.RowNumber,
    exp.Rank,
    exp.DenseRank,
    exp.Lag,
    exp.Lead,
    exp.FirstValue,
    exp.LastValue,
    exp.NthValue,
)
_WRAPPERS = (exp.IgnoreNulls, exp.RespectNulls, exp.Filter, exp.WithinGroup)

# Aggregates that the parser takes for any other function.
_AGGREGATES = frozenset(
    {
        *("approx_most_frequent", "approx_percentile", "approx_set", "approx_top_k", "arbitrary", "bit_and", "bit_or"),
        *("bit_xor", "bool_and", "bool_or", "checksum", "collect_list", "collect_set", "count_min_sketch"),
        *("count_star", "entropy", "every", "favg", "fsum", "geomean", "geometric_mean", "histogram"),
        *("histogram_exact", "histogram_numeric", "kahan_sum", "learn_classifier", "mad", "map_union"),
        *("numeric_histogram", "percentile", "product", "quantile_cont", "quantile_disc", "reservoir_quantile"),
        *("set_union", "some", "sumkahan", "try_avg", "try_sum", "weighted_avg"),
    }
)
_FILES = frozenset(
    {
        *("delta_scan", "iceberg_scan", "parquet_scan", "postgres_scan", "read_csv", "read_csv_auto", "read_files"),
        *("read_json", "read_json_auto", "read_json_objects", "read_ndjson", "read_ndjson_auto", "read_parquet"),
        *("read_text", "sqlite_scan"),
    }
)


def parse(model: Model) -> exp.Expr:
    """The tree of a model's SQL, without the ephemeral models in it. Raises ValueError where it cannot be read."""
    try:
        tree = sqlglot.parse_one(model.sql or "", dialect=_dialect(model.dialect))
    except sqlglot.errors.SqlglotError as error:
        raise ValueError(str(error).splitlines()[0]) from error
    if not isinstance(tree, exp.Query | exp.Pivot):
        message = "it is no query"
        raise ValueError(message)
    ephemeral = [cte for cte in tree.find_all(exp.CTE) if cte.alias.lower().startswith(_EPHEMERAL)]
    for cte in ephemeral:
        clause = cte.parent
        cte.pop()
        if clause is not None and not clause.expressions:
            clause.pop()
    return tree


def _dialect(name: str) -> str | None:
    return name if name in sqlglot.Dialect.classes or sqlglot.Dialect.get(name) is not None else None


def dialect(model: Model) -> str | None:
    """sqlglot's word for it; None where it knows none, then the SQL is read as nobody's in particular."""
    return _dialect(model.dialect)


def tables(tree: exp.Expr) -> Iterator[exp.Table]:
    """What is read under a name: no CTE, no table function, no ephemeral model."""
    for table in tree.find_all(exp.Table):
        named = isinstance(table.this, exp.Identifier) and table.find_ancestor(exp.Hint) is None
        if named and not table.name.lower().startswith(_EPHEMERAL) and body(table) is None:
            yield table


def files(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Calls that read files or another database."""
    for table in tree.find_all(exp.Table):
        function = table.this
        named = isinstance(function, exp.Anonymous) and function.name.lower() in _FILES
        if named or isinstance(function, exp.ReadCSV | exp.ReadParquet):
            yield table


def is_one_of(table: exp.Table, relations: Sequence[Relation]) -> bool:
    """Whether a name means one of these relations: all of its parts are theirs, from the last on."""
    parts = [part.name.lower() for part in table.parts]
    return any(
        parts == [part.lower() for part in relation if part is not None][-len(parts) :] for relation in relations
    )


def body(table: exp.Table) -> exp.Expr | None:
    """The query of the CTE that a name means; None where it is a table."""
    if table.db:
        return None
    node: exp.Expr | None = table
    inside: set[int] = set()
    while node is not None:
        if isinstance(node, exp.CTE):
            inside.add(id(node))
        found = _visible(node.args.get("with_"), table.name.lower(), inside)
        if found is not None:
            return found
        node = node.parent
    return None


def _visible(clause: exp.With | None, name: str, inside: set[int]) -> exp.Expr | None:
    """A CTE sees those before it, and itself where the clause is recursive."""
    found: exp.Expr | None = None
    for cte in clause.expressions if clause is not None else ():
        here = id(cte) in inside
        if cte.alias.lower() == name and (not here or bool(clause is not None and clause.args.get("recursive"))):
            found = cte.this
        if here:
            break
    return found


def joins(tree: exp.Expr) -> Iterator[exp.Expr]:
    """What is joined: tables and queries, in joins, lateral ones too; not what a row's own list or map is opened to."""
    for join in tree.find_all(exp.Join):
        opened = isinstance(join.this, exp.Unnest | exp.Lateral | exp.TableFromRows | exp.Values) or (
            isinstance(join.this, exp.Table) and isinstance(join.this.this, exp.Func)
        )
        if not opened or join.this.find(exp.Query) is not None or join.args.get("on") is not None:
            yield join
    for lateral in tree.find_all(exp.Lateral):
        if not isinstance(lateral.parent, exp.Join) and lateral.find(exp.Query) is not None:
            yield lateral


def asides(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Queries in expressions: scalar ones, `exists`, `in`."""
    for query in tree.find_all(exp.Query):
        inner = query.parent if isinstance(query.parent, exp.Subquery) else query
        within = inner.parent if inner is not None else None
        if within is None or isinstance(within, exp.From | exp.Join | exp.CTE | exp.SetOperation | exp.Lateral):
            continue
        if isinstance(query, exp.Subquery):
            continue
        if not isinstance(within, exp.Subquery | exp.Pivot):
            yield query


def aggregates(tree: exp.Expr, own: Relation) -> Iterator[exp.Expr]:
    """Aggregate functions outside windows, `group by`, pivots; not what asks the model's own table how far it is."""
    for node in tree.walk():
        pivots = isinstance(node, exp.Pivot) and not node.args.get("unpivot")
        computed = _is_aggregate(node) and _window(node) is None
        if pivots or ((computed or isinstance(node, exp.Group)) and not _asks_itself(node, own)):
            yield node


def _is_aggregate(node: exp.Expr) -> bool:
    if isinstance(node, exp.Anonymous):
        name = node.name.lower()
        return name in _AGGREGATES or name.endswith("_agg")
    return isinstance(node, exp.AggFunc | exp.ApproxDistinct) and not isinstance(node, _NEIGHBOURS)


def _window(node: exp.Expr) -> exp.Window | None:
    """The window that a function is computed over."""
    above = node.parent
    while isinstance(above, _WRAPPERS):
        above = above.parent
    return above if isinstance(above, exp.Window) else None


def _asks_itself(node: exp.Expr, own: Relation) -> bool:
    query = node.parent_select
    read = list(tables(query)) if query is not None and query.parent is not None else []
    return bool(read) and all(is_one_of(table, [own]) and table.db for table in read)


def distincts(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Queries that say `distinct`."""
    return (query for query in tree.find_all(exp.Select) if query.args.get("distinct") is not None)


def windows(tree: exp.Expr) -> Iterator[exp.Window]:
    """Functions over windows; the windows that a query only names are none."""
    return (window for window in tree.find_all(exp.Window) if window.arg_key != "windows")


def metrics(tree: exp.Expr) -> Iterator[exp.Window]:
    """Windows that add up, average, count or score."""
    for window in windows(tree):
        function = window.this
        while isinstance(function, _WRAPPERS):
            function = function.this
        if not isinstance(function, _NEIGHBOURS):
            yield window


def stars(tree: exp.Expr | None) -> Iterator[exp.Expr]:
    """The stars that leave it to another table which columns a query gives."""
    if isinstance(tree, exp.SetOperation):
        yield from stars(tree.left)
        yield from stars(tree.right)
    elif isinstance(tree, exp.Subquery):
        yield from stars(tree.this)
    elif isinstance(tree, exp.Select):
        for column in tree.expressions:
            if isinstance(column, exp.Star) or (isinstance(column, exp.Column) and isinstance(column.this, exp.Star)):
                of = column.table if isinstance(column, exp.Column) else ""
                yield from (found for source in _sources(tree) for found in _starred(source, of))


def _sources(query: exp.Select) -> Iterator[exp.Expr]:
    clause = query.args.get("from_")
    if clause is not None:
        yield clause.this
    for join in query.args.get("joins") or ():
        yield join.this


def _starred(source: exp.Expr, of: str) -> Iterator[exp.Expr]:
    if of and source.alias_or_name.lower() != of.lower():
        return
    if isinstance(source, exp.Subquery):
        yield from stars(source.this)
    elif isinstance(source, exp.Table) and isinstance(source.this, exp.Identifier):
        query = body(source)
        if query is None:
            yield source
        elif not any(query is above for above in _above(source)):  # a recursive CTE
            yield from stars(query)


def _above(node: exp.Expr) -> Iterator[exp.Expr]:
    above = node.parent
    while above is not None:
        yield above
        above = above.parent
