"""What was read of a table, known by what the rows hold: those a next read will meet again, and all of them as one."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catchment.errors import ConfigError
from catchment.naming import literal, quoted
from catchment.reading.durations import seconds

if TYPE_CHECKING:
    import duckdb

# So many rows are remembered between two reads, about 70 bytes each; a window that holds more begins later.
MOST_REMEMBERED = 1_000_000

# Rows wait unhashed until they are known to lie in the window, or until there are so many bytes of them.
_WAITING_BYTES = 64 << 20

_UNZONED = timedelta(hours=12)  # local time anywhere is at most so far behind UTC; fourteen hours before it at most
_AHEAD = timedelta(hours=14)


@dataclass(frozen=True)
class Floor:
    """Where a window begins: at a value of the cursor, or behind it."""

    value: Any
    behind: bool = False


def floor_of(at: Any, lookback: str | int, now: datetime) -> Any:
    """Where the window begins that ends with `at`: never later than `now`, so that a clock that ran ahead hides
    nothing. `at` is an Arrow scalar, and so is the floor. Raises ConfigError for a lookback of another kind."""
    kind, value = at.type, at.as_py()
    back = seconds(lookback) if isinstance(lookback, str) else None
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return pa.scalar(_earlier(value, kind, _length(lookback, back), now), kind)
    if back is not None and pa.types.is_string(kind):
        return pa.scalar(_text_earlier(value, back), kind)
    if back is not None or (lookback and not _counts(kind)):
        message = f"lookback {lookback} does not fit a cursor of type {kind}"
        raise ConfigError(message, hint="write a number for one that counts, a length of time for one that tells time")
    if not lookback:
        return at
    return pa.scalar(value - (Decimal(lookback) if isinstance(value, Decimal) else int(lookback)), kind)


def _counts(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_decimal(kind))


def _length(lookback: str | int, back: int | None) -> timedelta:
    if back is None and lookback:
        message = f"lookback {lookback} says no unit, and the cursor tells time"
        raise ConfigError(message, hint=f"write one such as {lookback} seconds")
    return timedelta(seconds=back or 0)


def _earlier(value: Any, kind: pa.DataType, back: timedelta, now: datetime) -> Any:
    """In the years that Python knows, as the cursor's own bounds are."""
    if pa.types.is_date(kind):
        today = (now - _UNZONED).date() if value > (now + _AHEAD).date() else value
        days = math.ceil(back / timedelta(days=1))
        return today - timedelta(days=min(days, (today - date.min).days))
    if kind.tz is not None:
        capped = min(value, now)
    else:
        plain = now.astimezone(UTC).replace(tzinfo=None)
        capped = plain - _UNZONED if value > plain + _AHEAD else value
    least = datetime.min.replace(tzinfo=capped.tzinfo)
    return capped - min(back, capped - least)


def _text_earlier(text: str, back: int) -> str:
    """An instant written as text, earlier, in the same way of writing."""
    try:
        then = datetime.fromisoformat(text)
    except ValueError:
        message = f"lookback needs a cursor that tells time, and `{text[:40]}` does not"
        raise ConfigError(message, hint="remove lookback, or choose another cursor") from None
    earlier = then - timedelta(seconds=back)
    if len(text) == len("2026-01-01"):
        return earlier.date().isoformat()
    zulu = text.endswith("Z")
    # An even second ends without a fraction, and sorts before those with one.
    return earlier.replace(tzinfo=None if zulu else earlier.tzinfo).isoformat(sep=text[10])


class _Computing:
    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        import duckdb

        connection = duckdb.connect()
        connection.execute("SET threads = 1; SET memory_limit = '1GB'; SET temp_directory = ''")
        return connection


@dataclass(frozen=True)
class Ways:
    """How rows are known. `key` names them; `by_order` says that Arrow compares cursors as the database does, else a
    floor is the one value that matters. With `by_key` the columns are not the ones that were remembered, so that what
    rows hold cannot be compared: a row of one key and cursor is the one that landed."""

    cursor: str
    key: Sequence[str] = ()
    by_order: bool = True
    by_key: bool = False


class Window(_Computing):
    """Rows from a floor of the cursor on, each known by a hash of what it holds and how many are alike."""

    def __init__(self, seen: pa.Table | None, kind: pa.DataType, ways: Ways) -> None:
        self._cursor = ways.cursor
        self._ways = ways
        self._kind = pa.timestamp("us") if pa.types.is_timestamp(kind) else kind
        self._seen = seen
        self._waiting: list[pa.Table] = []
        self._bytes = 0
        self._begun = False

    def fresh(self, rows: pa.Table) -> pa.Table:
        """Of rows that are looked at again, those that have not landed; all of them are remembered."""
        known = self._known(rows)
        by = "key" if self._ways.by_key else "id"
        met, seen = (f"(SELECT {by}, sum(n) AS n FROM {name} GROUP BY {by}) AS {name}" for name in ("met", "seen"))
        found = self._run(
            f"WITH c AS (SELECT place, {by}, row_number() OVER (PARTITION BY {by} ORDER BY place) AS nth FROM known)"
            f" SELECT place FROM c LEFT JOIN {met} USING ({by}) LEFT JOIN {seen} USING ({by})"
            " WHERE nth + coalesce(met.n, 0) > coalesce(seen.n, 0) ORDER BY place",
            known=known,
        )
        self._meet(known)
        return rows.take(found.column("place"))

    def landed(self, rows: pa.Table, floor: Any) -> None:
        """Rows that were read for the first time; `floor` is where the window would begin now."""
        self._waiting.append(rows)
        self._bytes += rows.nbytes
        if self._bytes > _WAITING_BYTES:
            self._settle(floor)

    def kept(self, floor: Floor) -> tuple[pa.Table, Floor]:
        """What the next read is to receive, and where it has to begin: later where there would be too many."""
        self._settle(floor.value, behind=floor.behind)
        kept = self._run(
            "SELECT id, key, value, max(n) AS n FROM (FROM met UNION ALL FROM seen)"
            " GROUP BY ALL ORDER BY value DESC, id"
        ).cast(self._schema)
        if kept.num_rows <= MOST_REMEMBERED:
            return kept, floor
        edge = kept.column("value")[MOST_REMEMBERED]
        return kept.slice(0, MOST_REMEMBERED).filter(pc.not_equal(kept.column("value")[:MOST_REMEMBERED], edge)), Floor(
            edge, behind=True
        )

    @property
    def _schema(self) -> pa.Schema:
        return pa.schema([("id", pa.string()), ("key", pa.string()), ("value", self._kind), ("n", pa.int64())])

    def _settle(self, floor: Any, *, behind: bool = False) -> None:
        """Forget what lies before the floor."""
        self._begin()
        edge = pa.table({"value": pa.array([floor.as_py()], floor.type).cast(self._kind)})
        least = self._past(behind)
        for rows in self._waiting:
            inside = rows.filter(least(rows.column(self._cursor), floor))
            if inside.num_rows:
                self._meet(self._known(inside))
        self._waiting, self._bytes = [], 0
        beyond = "<=" if behind else ("<" if self._ways.by_order else "<>")
        for name in ("met", "seen"):
            self._run(f"DELETE FROM {name} WHERE value {beyond} (SELECT value FROM edge)", edge=edge)

    def _past(self, behind: bool) -> Any:
        if not self._ways.by_order:
            return pc.not_equal if behind else pc.equal
        return pc.greater if behind else pc.greater_equal

    def _meet(self, known: pa.Table) -> None:
        self._run(
            "INSERT INTO met SELECT id, any_value(key), any_value(value), count(*) FROM known GROUP BY id"
            " ON CONFLICT (id) DO UPDATE SET n = n + excluded.n",
            known=known,
        )

    def _known(self, rows: pa.Table) -> pa.Table:
        """Columns that hold nothing do not count, so that a column more or less makes no row another one."""
        self._begin()
        plain = _unzoned(rows)
        whole, key = (_hash(names) for names in (plain.column_names, [*self._ways.key, self._cursor]))
        known = self._run(f"SELECT {whole} AS id, {key} AS key FROM plain", plain=plain)
        known = known.append_column("value", plain.column(self._cursor).cast(self._kind))
        return known.append_column("place", pa.array(np.arange(rows.num_rows)))

    def _begin(self) -> None:
        if self._begun:
            return
        self._begun = True
        empty = self._schema.empty_table()
        self._run("CREATE TABLE met AS FROM given", given=empty)
        self._run("CREATE UNIQUE INDEX met_id ON met (id)")
        self._run("CREATE TABLE seen AS FROM given", given=empty if self._seen is None else self._seen)

    def _run(self, sql: str, **tables: pa.Table) -> pa.Table:
        for name, table in tables.items():
            self._connection.register(name, table)
        found = self._connection.execute(sql).to_arrow_table()
        for name in tables:
            self._connection.unregister(name)
        return found


def _hash(names: Sequence[str]) -> str:
    parts = ", ".join(f"{literal(name + '=')} || to_json({quoted(name)})" for name in names)
    return f"md5(concat_ws(chr(31), {parts}))"


def _unzoned(rows: pa.Table) -> pa.Table:
    """Instants as UTC without a zone: DuckDB would write them in the zone of this machine."""
    columns = [
        column.cast(pa.timestamp("us")) if pa.types.is_timestamp(column.type) else column for column in rows.columns
    ]
    return pa.table(columns, names=rows.column_names)


class Digest(_Computing):
    """What a whole table holds, in any order, as one short text."""

    def __init__(self) -> None:
        self._rows, self._sum, self._mixed = 0, 0, 0

    def add(self, rows: pa.Table) -> None:
        if not rows.num_rows:
            return
        self._connection.register("part", rows)
        # DuckDB may hash otherwise in another version: then one read too many says that something has changed.
        found = self._connection.execute("SELECT sum(hash(*COLUMNS(*))), bit_xor(hash(*COLUMNS(*))) FROM part")
        total, mixed = found.fetchall()[0]
        self._connection.unregister("part")
        self._rows += rows.num_rows
        self._sum = (self._sum + int(total)) & ((1 << 128) - 1)
        self._mixed ^= int(mixed)

    def value(self, schema: pa.Schema) -> str:
        columns = hashlib.sha256(str(schema).encode()).hexdigest()[:16]
        return f"{self._rows}-{self._sum:x}-{self._mixed:x}-{columns}"
