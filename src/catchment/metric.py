"""Live figures as values: metrics over silver tables, and what of each table a live store keeps for them.

What stands in catchment.yaml as an expression (`where`, what a measure is over) is computed by DuckDB when rows are fed
and becomes a column, so that a store only groups and counts: every store gives the same figures.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from catchment.naming import did_you_mean, quoted
from catchment.plain import Type

if TYPE_CHECKING:
    from sqlglot import exp

Kind = Literal["count", "count distinct", "sum", "avg", "min", "max", "quantile", "top", "share"]

# When a window of a metric begins.
WINDOW = "window_start"

# By these, in this order, the newest of several rows of a key is told; every store keeps them.
VERSION = ("_latest", "_load", "_row", "_rank")
# The key is gone since this version; and after when nobody asks for the row any more.
DELETED, EXPIRES = "_deleted", "_expires"

# How far a figure over floating point numbers may lie beside a recount, as a share of it: the order in which numbers
# are added is nobody's.
TOLERANCE = 1e-9

_EXAMPLE = (
    "write count(*), count(distinct x), sum(x), avg(x), min(x), max(x), quantile(x, 0.95), top(x, 5) or share(a, b)"
)
_MOST_OF_TOP = 1000
_INSTEAD = {
    "median": "write quantile(x, 0.5)",
    **dict.fromkeys(("mean", "average"), "write avg(x)"),
    **dict.fromkeys(("approx_distinct", "approx_count_distinct", "uniq"), "write count(distinct x)"),
}


@dataclass(frozen=True)
class Parsed:
    """A measure as it was written: the expressions it is over, as SQL, and its number."""

    kind: Kind
    over: tuple[str, ...] = ()
    number: float | None = None


@dataclass(frozen=True)
class Measure:
    """A measure over columns of a live feed: none for all rows, of a share those that count and those they are of."""

    name: str
    kind: Kind
    columns: tuple[str, ...] = ()
    number: float | None = None


@dataclass(frozen=True)
class Metric:
    """Figures over the rows of a live feed. `where` is a column of it, `every_s` and `keep_s` are seconds of `time`.

    Without `every_s` there is one figure over all that is kept; without `keep_s` everything is kept.
    """

    name: str
    feed: str
    measures: tuple[Measure, ...]
    by: tuple[str, ...] = ()
    where: str | None = None
    time: str | None = None
    every_s: int | None = None
    keep_s: int | None = None
    told: Mapping[str, Any] | None = None  # as the project declares it

    @property
    def key(self) -> tuple[str, ...]:
        """The columns of the figures by which they are told apart."""
        return (*((WINDOW,) if self.every_s is not None else ()), *self.by)

    @property
    def fingerprint(self) -> str:
        """Changes with everything that decides what is counted."""
        return _fingerprint({name: value for name, value in asdict(self).items() if name != "told"})


@dataclass(frozen=True)
class Through:
    """A refined topic, by which a feed's rows come into a store that reads topics itself.

    `servers` is where the store reaches the broker, `settings` are librdkafka's that it needs for it, `columns` the
    types of those columns of silver that stand in messages as plain values.
    """

    topic: str
    servers: str
    columns: Mapping[str, Type]
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LiveFeed:
    """What of a silver table is kept for metrics: `columns` are DuckDB expressions over a row of silver, by name.

    Of rows with one `key` the one with the greatest `VERSION` counts. `latest` is the SQL of its first part (None: the
    silver commit up to which is fed), `moment` that of the time from which a row is kept for `keep_s`. `whole_keys`
    says that a change of one row is a change of all rows of its `group` (versions of a key have ends), `traces` that a
    row which goes leaves one that says so, `anew` that each commit replaces all rows.
    """

    name: str
    key: tuple[str, ...]
    columns: Mapping[str, str]
    latest: str | None
    group: tuple[str, ...] = ()
    whole_keys: bool = False
    traces: bool = False
    anew: bool = False
    streams: tuple[str, ...] = ()
    moment: str | None = None
    keep_s: int | None = None
    through: Through | None = None  # where a topic brings what is new, after a first feeding

    @property
    def fingerprint(self) -> str:
        """Changes with everything that decides what is kept."""
        return _fingerprint(
            {name: value for name, value in asdict(self).items() if name != "through" or value is not None}
        )


@dataclass(frozen=True)
class Owner:
    """Whose figures a store keeps: a target of a project, with its environment (`local@mine`)."""

    project: str
    target: str

    def __str__(self) -> str:
        return f"target {self.target} of project {self.project}"


@dataclass(frozen=True)
class Live:
    """The live figures of a project."""

    metrics: Mapping[str, Metric]
    feeds: Mapping[str, LiveFeed]


def _fingerprint(told: Mapping[str, Any]) -> str:
    text = json.dumps(told, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def parsed(text: str) -> Parsed:
    """A measure. Raises ValueError(what is wrong, what to write instead)."""
    import sqlglot
    from sqlglot import exp

    try:
        trees = sqlglot.parse(text, dialect="duckdb")
    except (sqlglot.errors.SqlglotError, RecursionError, ValueError):
        message = "the measure cannot be read"
        raise ValueError(message, _EXAMPLE) from None
    tree = trees[0] if len(trees) == 1 else None
    if tree is None:
        message = "the measure is not one expression"
        raise ValueError(message, _EXAMPLE)
    if tree.find(exp.Window):
        message = "a measure is no window function: it is one figure of a group"
        raise ValueError(message, "leave `over` out, or make it in gold")
    if isinstance(tree, exp.Filter):
        message = "a measure has no filter of its own"
        raise ValueError(message, "write where: for the metric, or share(a, b)")
    return _known(tree, text)


def _known(tree: exp.Expr, text: str) -> Parsed:
    """The measure that an expression is."""
    from sqlglot import exp

    plain: dict[type[exp.Expr], Kind] = {exp.Sum: "sum", exp.Avg: "avg", exp.Min: "min", exp.Max: "max"}
    if isinstance(tree, exp.Count):
        return _count(tree)
    if type(tree) in plain and not tree.expressions and not isinstance(tree.this, exp.Distinct):
        return Parsed(plain[type(tree)], (_sql(tree.this),))
    if isinstance(tree, exp.Quantile):
        number = _number(tree.args.get("quantile"))
        if number is None or not 0 <= number <= 1:
            message = "quantile needs a share between 0 and 1"
            raise ValueError(message, "write quantile(x, 0.95)")
        return Parsed("quantile", (_sql(tree.this),), number)
    name, arguments = str(tree.name).lower() if isinstance(tree, exp.Anonymous) else "", list(tree.expressions)
    if name == "top":
        number = _number(arguments[1]) if len(arguments) == 2 else None
        if number is None or not float(number).is_integer() or not 1 <= number <= _MOST_OF_TOP:
            message = f"top needs an expression and how many of its values, 1 to {_MOST_OF_TOP}"
            raise ValueError(message, "write top(x, 5)")
        return Parsed("top", (_sql(arguments[0]),), number)
    if name == "share":
        if len(arguments) not in (1, 2):
            message = "share needs the condition that counts, and may have the one it is a share of"
            raise ValueError(message, "write share(status = 'completed', status <> 'pending')")
        return Parsed("share", tuple(_sql(argument) for argument in arguments))
    called = name or (str(tree.sql_name()).lower() if isinstance(tree, exp.Func) else "")
    known = ("count", "sum", "avg", "min", "max", "quantile", "top", "share")
    message = f"`{text[:60]}` is none of the measures {', '.join(known)}"
    raise ValueError(message, _INSTEAD.get(called) or (did_you_mean(called, known) if called else None) or _EXAMPLE)


def _count(tree: exp.Count) -> Parsed:
    from sqlglot import exp

    if isinstance(tree.this, exp.Star):
        return Parsed("count")
    if isinstance(tree.this, exp.Distinct):
        if len(tree.this.expressions) == 1:
            return Parsed("count distinct", (_sql(tree.this.expressions[0]),))
        message = "count(distinct …) takes one expression"
        raise ValueError(message, "write count(distinct x)")
    if tree.this is None or tree.expressions:
        message = "count takes * or one expression"
        raise ValueError(message, "write count(*)")
    return Parsed("count", (_sql(tree.this),))


def _number(tree: exp.Expr | None) -> float | None:
    from sqlglot import exp

    return float(tree.this) if isinstance(tree, exp.Literal) and not tree.is_string else None


def _sql(tree: exp.Expr) -> str:
    return str(tree.sql(dialect="duckdb"))


def figures(metric: Metric, rows: str, *, whole: Collection[str] = (), since: str | None = None) -> str:
    """The figures of a metric over `rows`, a relation with the columns of its feed, as DuckDB's SQL.

    With `since`, an SQL instant, only of windows that begin then or later. `whole` are columns of whole numbers.
    """
    chosen = [] if metric.where is None else [quoted(metric.where)]
    listed = [f"{_figure(measure, whole)} AS {quoted(measure.name)}" for measure in metric.measures]
    grouped = [quoted(name) for name in metric.by]
    if metric.time is not None and (metric.every_s is not None or since is not None):
        chosen.append(f"{quoted(metric.time)} IS NOT NULL")
    at = "" if metric.time is None else quoted(metric.time)
    if metric.every_s is not None:
        at = f"time_bucket(INTERVAL {metric.every_s} SECOND, {at}, TIMESTAMPTZ '1970-01-01 00:00:00+00')"
        grouped.insert(0, at)
    if since is not None:
        chosen.append(f"{at} >= {since}")
    shown = [f"{at} AS {WINDOW}"] if metric.every_s is not None else []
    return laid_out([*shown, *(quoted(name) for name in metric.by), *listed], rows, chosen, grouped)


def laid_out(shown: Sequence[str], rows: str, chosen: Sequence[str], grouped: Sequence[str]) -> str:
    """A query of figures as people like to read it."""
    sql = f"SELECT{listing(shown)}\nFROM {rows}"
    if chosen:
        sql += "\nWHERE " + "\n  AND ".join(chosen)
    return f"{sql}\nGROUP BY {', '.join(grouped)}" if grouped else sql


def listing(columns: Sequence[str]) -> str:
    """One a line."""
    return ",".join(f"\n    {column}" for column in columns)


def _figure(measure: Measure, whole: Collection[str]) -> str:
    of = [quoted(name) for name in measure.columns]
    if measure.kind == "count":
        return f"count({of[0] if of else '*'})"
    if measure.kind == "count distinct":
        return f"count(DISTINCT {of[0]})"
    if measure.kind == "quantile":
        return f"quantile_cont(CAST({of[0]} AS DOUBLE), {measure.number!r})"
    if measure.kind == "top":
        # The most frequent first, of equally frequent ones the least.
        counted = f"list_transform(map_entries(histogram({of[0]})), e -> {{'n': -CAST(e.value AS BIGINT), 'v': e.key}})"
        return f"coalesce(list_transform(list_sort({counted})[1:{measure.number:.0f}], e -> e.v), [])"
    if measure.kind == "share":
        counted = "count(*)" if len(of) == 1 else f"count(*) FILTER (WHERE {of[1]})"
        both = " AND ".join(of)
        return f"count(*) FILTER (WHERE {both}) / nullif({counted}, 0)"
    # DuckDB adds whole numbers up in 128 bits, which Arrow knows as a decimal only.
    added = measure.kind == "sum" and measure.columns[0] in whole
    return f"CAST(sum({of[0]}) AS BIGINT)" if added else f"{measure.kind}({of[0]})"
