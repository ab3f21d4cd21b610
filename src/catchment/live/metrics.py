"""What catchment.yaml declares under `live`, as metrics and as what of silver they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from catchment.contract import Column, Contract
from catchment.metric import Live, LiveFeed, Measure, Metric, parsed
from catchment.naming import IDENTITY, VALID_FROM, quoted
from catchment.reading.durations import seconds

if TYPE_CHECKING:
    from catchment.reading.declaration import Metric as Declared

# More digits than 64 bits hold.
_DIGITS = 18


class SilverTable(Protocol):
    """What of a silver table's declaration decides how its rows replace each other."""

    @property
    def name(self) -> str: ...
    @property
    def streams(self) -> tuple[str, ...]: ...
    @property
    def contract(self) -> Contract: ...
    @property
    def mode(self) -> str: ...
    @property
    def latest_by(self) -> str | None: ...
    @property
    def event_time(self) -> str | None: ...
    @property
    def deleted_when(self) -> str | None: ...
    @property
    def lateness_s(self) -> int | None: ...
    @property
    def full(self) -> bool: ...
    @property
    def changes(self) -> bool: ...
    @property
    def function(self) -> object | None: ...


def live_of(declared: Mapping[str, Declared], tables: Mapping[str, SilverTable]) -> Live:
    """The metrics, and a feed for each silver table that they read."""
    metrics, columns = dict[str, Metric](), dict[str, dict[str, str]]()
    for name, keys in declared.items():
        table = tables[keys.from_]
        metrics[name], needed = _metric(name, keys, table)
        columns.setdefault(table.name, {}).update(needed)
    feeds = {
        name: _feed(tables[name], needed, [metric for metric in metrics.values() if metric.feed == name])
        for name, needed in columns.items()
    }
    return Live(metrics, feeds)


def event_time(table: SilverTable) -> str | None:
    """The column that says when, where a metric names none."""
    types = {column.name: column.type for column in table.contract.columns}
    named = (table.event_time, table.latest_by)
    return next((name for name in named if name is not None and types.get(name) == "timestamp"), None)


def _metric(name: str, keys: Declared, table: SilverTable) -> tuple[Metric, dict[str, str]]:
    """The metric, and the columns of its feed by name."""
    spelled = {column.name.lower(): column.name for column in table.contract.columns}
    needed: dict[str, str] = {}

    def column(sql: str, called: str) -> str:
        plain = _plain(sql)
        own = None if plain is None else spelled.get(plain.lower())
        chosen = own if own is not None else f"{computed_for(name)}{called}"
        computed = quoted(own) if own is not None else sql
        # A measure may be called `where`.
        while needed.setdefault(chosen, computed) != computed:
            chosen += "_"
        return chosen

    measures = []
    for called, text in keys.measures.items():
        read = parsed(text)
        conditions = read.kind == "share"
        over = [
            column(f"CAST({sql} AS BOOLEAN)" if conditions else sql, called if place == 0 else f"{called}_of")
            for place, sql in enumerate(read.over)
        ]
        measures.append(Measure(called, read.kind, tuple(over), read.number))
    time = keys.time or event_time(table)
    metric = Metric(
        name=name,
        feed=table.name,
        measures=tuple(measures),
        by=tuple(column(quoted(dimension), dimension) for dimension in keys.by),
        where=None if keys.where is None else column(f"CAST(({keys.where}) AS BOOLEAN)", "where"),
        time=None if time is None else column(quoted(time), "time"),
        every_s=None if keys.every is None else seconds(keys.every),
        keep_s=None if keys.keep is None else seconds(keys.keep),
        told=keys.model_dump(by_alias=True, exclude_defaults=True),
    )
    return metric, needed


def computed_for(metric: str) -> str:
    """How columns of a feed begin that are computed for one metric alone."""
    return f"_{metric}__"


def metric_of(column: str) -> str | None:
    """The metric that such a column is computed for; None for one of silver."""
    metric, two, _ = column.removeprefix("_").partition("__")
    return metric if two and column.startswith("_") else None


def _plain(sql: str) -> str | None:
    """The column that an expression is, None for any other."""
    import sqlglot
    from sqlglot import exp

    tree = sqlglot.parse_one(sql, read="duckdb")
    return tree.name if isinstance(tree, exp.Column) and not tree.table else None


def _feed(table: SilverTable, columns: Mapping[str, str], metrics: Sequence[Metric]) -> LiveFeed:
    contract, keyed = table.contract, table.contract.key
    whole = LiveFeed(
        name=table.name,
        # Rows of one origin are told apart by the key where a function makes several of one.
        key=(*IDENTITY, *(keyed if table.function is not None else ())),
        columns={name: sql for name, sql in sorted(columns.items()) if name not in keyed},
        latest="_judged",
        streams=table.streams,
        anew=table.mode == "replace",
        **_kept(metrics),
    )
    if table.mode == "merge":
        return replace(whole, key=keyed, latest=_latest(table, contract), traces=not _forgets(table))
    if table.mode == "history":
        return replace(whole, key=(*keyed, VALID_FROM), latest=None, group=keyed, whole_keys=True, traces=True)
    return replace(whole, columns={name: sql for name, sql in sorted(columns.items()) if name not in whole.key})


def latest(table: SilverTable) -> str:
    """What begins a row's version, as SQL: for readers of the table's refined topic as for a live store."""
    return _latest(table, table.contract) if table.mode == "merge" else "_judged"


def _latest(table: SilverTable, contract: Contract) -> str:
    """What tells first which row of a key is the latest: the column that says so where it can be a number and silver
    goes by it alone, else the commit that brought the row, for silver has settled it."""
    found = next((column for column in contract.columns if column.name == table.latest_by), None)
    settled = table.full or table.changes or _forgets(table)
    number = None if found is None or settled else _number(found)
    return "_judged" if number is None else number


def _forgets(table: SilverTable) -> bool:
    """Whether a delete may leave nothing behind."""
    return table.deleted_when is not None and table.lateness_s is not None


def _number(column: Column) -> str | None:
    """A column as a whole number of 64 bits in the same order, None where it cannot be one."""
    name = quoted(column.name)
    if column.type == "integer":
        return name
    if column.type in ("timestamp", "date"):
        return f"epoch_us(CAST({name} AS TIMESTAMP))"
    if column.type == "decimal" and (column.precision or _DIGITS) <= _DIGITS:
        return f"CAST({name} * {10 ** (column.scale or 0)} AS BIGINT)"
    return None


def _kept(metrics: Sequence[Metric]) -> dict[str, Any]:
    """How long rows are kept: as long as the metric that keeps them longest, a window more so that windows are whole;
    for ever where one keeps all."""
    times = {metric.time for metric in metrics}
    if any(metric.keep_s is None for metric in metrics) or len(times) > 1 or None in times:
        return {}
    longest = max((metric.keep_s or 0) + (metric.every_s or 0) for metric in metrics)
    return {"moment": quoted(next(iter(times)) or ""), "keep_s": longest}
