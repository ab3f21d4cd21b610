"""A metric counted once more, by DuckDB over silver, beside what the live store says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from catchment.answers import RowPair
from catchment.metric import TOLERANCE, WINDOW, LiveFeed, Metric, figures
from catchment.naming import literal, quoted
from catchment.records import JSON

if TYPE_CHECKING:
    import pyarrow as pa

    from catchment.interfaces import Engine, LiveStore, Table

# Windows that end so soon are left out: they leave the figures while these are compared.
_MARGIN = timedelta(minutes=2)
_TRIES = 3


@dataclass(frozen=True)
class Recounted:
    """A metric in its store and counted once more: how many figures each has, and those that differ."""

    metric: str
    rows: tuple[int, int]
    differ: int
    key: Sequence[str] = ()
    examples: Sequence[RowPair] = ()

    @property
    def is_equal(self) -> bool:
        return self.differ == 0


@dataclass(frozen=True)
class Recounting:
    """One metric over a handle of its silver table, at the version that the store has heard of."""

    metric: Metric
    feed: LiveFeed
    silver: Table
    engine: Engine[Any]

    def against(self, store: LiveStore, examples: int = 3) -> Recounted:
        """Figures over floating point numbers are equal within `metric.TOLERANCE`."""
        found = self._once(store, examples)
        # Without windows, rows leave the figures one by one while they are compared.
        for _ in range(_TRIES if self.metric.every_s is None and self.metric.keep_s is not None else 0):
            if found.is_equal:
                break
            found = self._once(store, examples)
        return found

    def _once(self, store: LiveStore, examples: int) -> Recounted:
        since = self._since()
        asked = f"SELECT * FROM live.{quoted(self.metric.name)}"
        if since is not None and self.metric.every_s is not None:
            asked += f" WHERE {WINDOW} >= {_in_any_dialect(since)}"
        live = store.query(asked).read_all()
        counted = self._counted(since)
        return self._compared(live, counted, examples)

    def _since(self) -> datetime | None:
        """The first instant that is compared, to the second."""
        if self.metric.keep_s is None:
            return None
        windows = self.metric.every_s is not None
        return (
            datetime.now(UTC) - timedelta(seconds=self.metric.keep_s) + (_MARGIN if windows else timedelta())
        ).replace(microsecond=0)

    def _counted(self, since: datetime | None) -> pa.Table:
        listed = ", ".join(f"{sql} AS {quoted(name)}" for name, sql in self._columns().items())
        rows = self._query(f"SELECT {listed} FROM whole", whole=self.engine.frame(self.silver.scan()))
        from_then = None if since is None else f"CAST({literal(since.isoformat())} AS TIMESTAMPTZ)"
        return self.engine.fetch(_parsed(figures(self.metric, "rows", since=from_then)), {"rows": rows})

    def _columns(self) -> dict[str, str]:
        return {**{name: quoted(name) for name in self.feed.key}, **self.feed.columns}

    def _query(self, sql: str, **frames: Any) -> Any:
        return self.engine.query(_parsed(sql), frames)

    def _compared(self, live: pa.Table, counted: pa.Table, examples: int) -> Recounted:
        key = self.metric.key
        frames = {"a": self.engine.frame(live), "b": self.engine.frame(counted)}
        on = " AND ".join(f"a.{quoted(name)} IS NOT DISTINCT FROM b.{quoted(name)}" for name in key) or "TRUE"
        unequal = [f"NOT ({_equal(measure.name)})" for measure in self.metric.measures]
        apart = " OR ".join(["a._there IS NULL", "b._there IS NULL", *unequal])
        one, other = (f"(SELECT *, TRUE AS _there FROM {side}) AS {side}" for side in ("a", "b"))
        joined = f"FROM {one} FULL OUTER JOIN {other} ON {on} WHERE {apart}"
        differ = self.engine.fetch(_parsed(f"SELECT count(*) AS n {joined}"), frames).column("n")[0].as_py()
        names = [*key, *(measure.name for measure in self.metric.measures)]
        sides = [
            f"a.{quoted(name)} AS {quoted(f'a {name}')}, b.{quoted(name)} AS {quoted(f'b {name}')}" for name in names
        ]
        shown = f"SELECT a._there AS _a, b._there AS _b, {', '.join(sides)} {joined} LIMIT {examples:d}"
        pairs = [_pair(row, names) for row in self.engine.fetch(_parsed(shown), frames).to_pylist()] if differ else []
        return Recounted(self.metric.name, (live.num_rows, counted.num_rows), int(differ), key, tuple(pairs))


def _in_any_dialect(instant: datetime) -> str:
    """An instant as every store reads it."""
    return f"CAST({literal(instant.strftime('%Y-%m-%d %H:%M:%S'))} AS TIMESTAMP)"


def _equal(name: str) -> str:
    a, b = f"a.{quoted(name)}", f"b.{quoted(name)}"
    close = f"abs(TRY_CAST({a} AS DOUBLE) - TRY_CAST({b} AS DOUBLE))"
    share = f"{TOLERANCE!r} * greatest(abs(TRY_CAST({a} AS DOUBLE)), abs(TRY_CAST({b} AS DOUBLE)), 1)"
    same = f"CAST({a} AS VARCHAR) IS NOT DISTINCT FROM CAST({b} AS VARCHAR)"
    return f"{same} OR COALESCE({close} <= {share}, FALSE)"


def _pair(row: Mapping[str, JSON], names: Sequence[str]) -> RowPair:
    one = {name: row[f"a {name}"] for name in names} if row["_a"] else None
    other = {name: row[f"b {name}"] for name in names} if row["_b"] else None
    return RowPair(one=one, other=other)


def _parsed(sql: str) -> Any:
    import sqlglot

    return sqlglot.parse_one(sql, read="duckdb")
