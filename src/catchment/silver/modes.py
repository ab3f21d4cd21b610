"""Write modes as reducers: (present rows of the touched groups, fresh rows) -> the rows that shall be there.

A reducer is a function of the set of rows alone: the same rows in any order, in any number of batches, leave the same
table. Frames are named `present`, the rows of files that hold a touched group, and `fresh`. Rows are ranked on few
columns, in hash buckets where that takes much memory; the wide rows then pass by those that survived.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from catchment.naming import HIDDEN, IDENTITY, UNTIL, VALID_FROM, VALID_TO, quoted
from catchment.silver.judge import parsed

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlglot import exp

    from catchment.silver.definition import Table

# Why a row is kept and not shown.
DELETED, UNCHANGED = "deleted", "unchanged"

EVERYTHING = "SELECT * FROM present UNION ALL BY NAME SELECT * FROM fresh"
_ALL = f"({EVERYTHING})"

# A few rows that come very late shall not make all be read that lies between them and the others; so many looks.
_MOST_PARTS = 8

# Measured on a key of 36 characters: hash table, struct and strings of one key.
_RANKED_BYTES = 200


@dataclass(frozen=True)
class Mode(ABC):
    """`group` are the columns by which rows matter to one another; no two rows of different groups do."""

    group: tuple[str, ...]
    # A refine function may make several rows of one, and a snapshot or a truncate deletes several keys at once: then
    # identity alone does not tell rows apart.
    rows_share_identity: bool = False

    @property
    def required(self) -> tuple[str, ...]:
        """Columns of the contract that may not be null in this mode."""
        return self.group

    def own_columns(self) -> pa.Schema:
        """What the mode keeps beside the contract's columns and the row's identity."""
        import pyarrow as pa

        return pa.schema([])

    def made(self) -> dict[str, str]:
        """How fresh rows come by the mode's own columns: SQL over a good row, by column."""
        return {}

    def groups(self) -> exp.Query:
        """The distinct groups of `fresh`."""
        return parsed(f"SELECT DISTINCT {self._grouped} FROM fresh")

    def bounds(self) -> dict[str, tuple[str, str]]:
        """Where present rows that matter lie: aggregates over `fresh` for the least and greatest value, by column."""
        return {name: (f"min({quoted(name)})", f"max({quoted(name)})") for name in self.group}

    def parted(self) -> str:
        """`fresh` with a column `_part`, the same in rows whose `bounds` are worth a look of their own: as SQL."""
        return "SELECT *, 0 AS _part FROM fresh"

    def settled(self) -> exp.Query | None:
        """What names rows of `fresh` that leave the table as it is, as `present` shows it; None where none is known."""
        return None

    @staticmethod
    def buckets(rows: int, memory_bytes: int) -> int:
        """How many buckets keep the ranking of so many rows within half the memory."""
        return 1 + rows * _RANKED_BYTES * 2 // memory_bytes

    @abstractmethod
    def survivors(self, bucket: int, buckets: int) -> exp.Query:
        """What names the rows that shall be there, and what is computed of them."""

    @abstractmethod
    def reduced(self) -> exp.Query:
        """The rows of `present` and `fresh` that are among `survivors`."""

    @property
    def counts_survivors(self) -> bool:
        """Whether each survivor names one row."""
        return True

    @property
    def forgets(self) -> bool:
        """Whether silver may hold no longer what puts out a row that comes later than was declared."""
        return False

    @property
    def _grouped(self) -> str:
        return ", ".join(map(quoted, self.group))

    @property
    def names_a_row(self) -> str:
        """Columns by which one row is told from another."""
        return ", ".join([*map(quoted, self.group), *IDENTITY] if self.rows_share_identity else IDENTITY)

    def _inside(self, bucket: int, buckets: int) -> str:
        return f" WHERE hash({self._grouped}) % {buckets} = {bucket}" if buckets > 1 else ""


# One struct to order by instead of five columns: DuckDB keeps the greatest of each key in a hash table instead of
# sorting all (measured on five million rows: 2.2 s of CPU, and 9 s for a sort of whole rows).
_ARRIVAL = "'_load': _load, '_row': _row, '_shard': _shard, '_stream': _stream"


@dataclass(frozen=True)
class Merge(Mode):
    """The latest row of each key, by `latest_by` (null is oldest), then by identity; a deleted key stays hidden.

    Of a stream that arrives whole (`full`) the newest arrival says what is there, whatever `latest_by` tells. A delete
    that is `lateness_s` older than the newest row it is reduced with is forgotten.
    """

    latest_by: str | None = None
    deletes: str | None = None  # an SQL condition; of a full stream, `_vanished`
    full: bool = False
    lateness_s: int | None = None

    @property
    def forgets(self) -> bool:
        return self.deletes is not None and self.lateness_s is not None and self.latest_by is not None

    def own_columns(self) -> pa.Schema:
        import pyarrow as pa

        return pa.schema([(HIDDEN, pa.string())] if self.deletes is not None else [])

    def made(self) -> dict[str, str]:
        return {} if self.deletes is None else {HIDDEN: _hidden(self.deletes)}

    def survivors(self, bucket: int, buckets: int) -> exp.Query:
        latest = "" if self.latest_by is None else quoted(self.latest_by)
        order = f"'there': {latest} IS NOT NULL, 'latest': {latest}, {_ARRIVAL}" if latest else _ARRIVAL
        order = f"{{'arrival': _load, {order}}}" if self.full else f"{{{order}}}"
        names = [*map(quoted, self.group), *([latest] if latest else []), *IDENTITY]
        remembered = ""
        if self.forgets:
            names.append(HIDDEN)
            at = f"CAST({latest} AS TIMESTAMPTZ)"
            old = f"{at} < max({at}) OVER () - INTERVAL {self.lateness_s} SECOND"
            remembered = f" AND NOT COALESCE({HIDDEN} = '{DELETED}' AND {old}, FALSE)"
        columns = ", ".join(dict.fromkeys(names))
        return parsed(
            f"SELECT {self.names_a_row} FROM (SELECT {columns} FROM {_ALL}{self._inside(bucket, buckets)})"
            f" QUALIFY row_number() OVER (PARTITION BY {self._grouped} ORDER BY {order} DESC) = 1{remembered}"
        )

    def reduced(self) -> exp.Query:
        return parsed(f"SELECT * FROM {_ALL} SEMI JOIN survivors USING ({self.names_a_row})")


def _hidden(deletes: str) -> str:
    return f"CASE WHEN COALESCE({deletes}, FALSE) THEN '{DELETED}' END"


@dataclass(frozen=True)
class History(Mode):
    """Every version of each key with the interval in which it is valid, from `latest_by` to the next version.

    Of two versions of one instant the one that arrived later counts. A delete ends a version and is kept hidden, so
    that what comes back-dated finds it. Without `latest_by` a version begins when it landed, or as the log of changes
    says when it was committed, and one that says what the version before it says is kept hidden. Of a stream that
    arrives whole, arrivals come one after the other: no version begins before the last one, and a key that comes back
    does so when it landed, unless it tells a later time.
    """

    latest_by: str | None = None
    deletes: str | None = None
    full: bool = False
    begins: str = "_loaded_at"  # without `latest_by`: the column that says since when a version is valid
    compared: tuple[str, ...] = ()  # the contract's columns

    @property
    def required(self) -> tuple[str, ...]:
        return self.group if self.latest_by is None else (*self.group, self.latest_by)

    def own_columns(self) -> pa.Schema:
        import pyarrow as pa

        instant = pa.timestamp("us", tz="UTC")
        return pa.schema([(VALID_FROM, instant), (VALID_TO, instant), (HIDDEN, pa.string())])

    def made(self) -> dict[str, str]:
        begins = self.begins if self.latest_by is None else f"CAST({quoted(self.latest_by)} AS TIMESTAMPTZ)"
        begins = f"CASE WHEN _vanished THEN _loaded_at ELSE {begins} END" if self.full else begins
        hidden = "NULL" if self.deletes is None else _hidden(self.deletes)
        return {
            VALID_FROM: begins,
            # Until it is computed it carries when a row landed.
            VALID_TO: "_loaded_at" if self.full else "CAST(NULL AS TIMESTAMPTZ)",
            HIDDEN: f"CAST({hidden} AS VARCHAR)",
        }

    def survivors(self, bucket: int, buckets: int) -> exp.Query:
        said = ", ".join(f"{quoted(c)}: {quoted(c)}" for c in self.compared)
        said = f"md5(CAST(to_json({{{said}}}) AS VARCHAR))" if self.latest_by is None else "NULL"
        key, names = self._grouped, self.names_a_row
        columns = ", ".join(dict.fromkeys([*map(quoted, self.group), *IDENTITY]))
        events = (
            f"SELECT {columns}, {VALID_FROM} AS _moment, COALESCE({HIDDEN} = '{DELETED}', FALSE) AS _gone,"
            f" {VALID_TO} AS _landed, _settled, {said} AS _said FROM ({_SETTLED}){self._inside(bucket, buckets)}"
        )
        if self.full:
            events = self._in_order(events)
        one_each = (
            f"SELECT * FROM ({events}) QUALIFY row_number() OVER"
            f" (PARTITION BY {key}, _moment ORDER BY {{{_ARRIVAL}}} DESC) = 1"
        )
        follows = f"OVER (PARTITION BY {key} ORDER BY _moment)"
        marked = (
            f"SELECT *, CASE WHEN _gone THEN '{DELETED}' WHEN _said = lag(_said) {follows} AND NOT lag(_gone) {follows}"
            f" THEN '{UNCHANGED}' END AS _why FROM ({one_each})"
        )
        ends = f"lead(CASE WHEN _why IS DISTINCT FROM '{UNCHANGED}' THEN _moment END IGNORE NULLS) {follows}"
        return parsed(
            f"SELECT {names}, _moment AS {VALID_FROM}, CASE WHEN _why IS NULL THEN {ends} END AS {VALID_TO},"
            f" _why AS {HIDDEN} FROM ({marked})"
        )

    def _in_order(self, events: str) -> str:
        """Events of whole arrivals, each not before the one that arrived before it."""
        arrives = f"OVER (PARTITION BY {self._grouped} ORDER BY _load, _gone, _moment, _row)"
        reopened = (
            f"SELECT * REPLACE (CASE WHEN NOT _settled AND lag(_gone) {arrives} AND _moment <= lag(_moment) {arrives}"
            f" THEN _landed ELSE _moment END AS _moment) FROM ({events})"
        )
        return f"SELECT * REPLACE (max(_moment) {arrives} AS _moment) FROM ({reopened})"

    def reduced(self) -> exp.Query:
        own = {VALID_FROM, VALID_TO, HIDDEN}
        listed = ", ".join(f"survivors.{name}" for name in (VALID_FROM, VALID_TO, HIDDEN))
        everything = f"(SELECT * EXCLUDE ({', '.join(sorted(own))}) FROM {_ALL})"
        names = [*self.group, *IDENTITY] if self.rows_share_identity else list(IDENTITY)
        on = " AND ".join(f"rows.{quoted(name)} = survivors.{quoted(name)}" for name in names)
        return parsed(f"SELECT rows.*, {listed} FROM {everything} AS rows JOIN survivors ON {on}")


# Present rows have their instant; fresh ones of a full stream may get another.
_SETTLED = "SELECT *, TRUE AS _settled FROM present UNION ALL BY NAME SELECT *, FALSE AS _settled FROM fresh"


@dataclass(frozen=True)
class Newest(Mode):
    """`delete_insert`: of each slice the rows of the newest load that has any. Without a group, `replace`: of all."""

    @property
    def counts_survivors(self) -> bool:
        return False

    def survivors(self, bucket: int, buckets: int) -> exp.Query:
        if not self.group:
            return parsed(f"SELECT max(_load) AS _load FROM {_ALL}")
        inside = self._inside(bucket, buckets)
        return parsed(f"SELECT {self._grouped}, max(_load) AS _load FROM {_ALL}{inside} GROUP BY {self._grouped}")

    def reduced(self) -> exp.Query:
        names = ", ".join([*map(quoted, self.group), "_load"])
        return parsed(f"SELECT * FROM {_ALL} SEMI JOIN survivors USING ({names})")


@dataclass(frozen=True)
class Window(Mode):
    """Of each key the first row of every run in which no two neighbours are further apart than `lateness_s`.

    Rows that were left out still hold a run together: the row that is kept says how far its run reaches.
    """

    event_time: str = ""
    lateness_s: int = 0

    @property
    def required(self) -> tuple[str, ...]:
        return (*self.group, self.event_time)

    def own_columns(self) -> pa.Schema:
        import pyarrow as pa

        return pa.schema([(UNTIL, pa.timestamp("us", tz="UTC"))])

    def made(self) -> dict[str, str]:
        return {UNTIL: f"CAST({quoted(self.event_time)} AS TIMESTAMPTZ)"}

    def bounds(self) -> dict[str, tuple[str, str]]:
        at = f"CAST({quoted(self.event_time)} AS TIMESTAMPTZ)"
        apart = f"INTERVAL {self.lateness_s} SECOND"
        return {
            **super().bounds(),
            self.event_time: ("NULL", f"max({at}) + {apart}"),
            UNTIL: (f"min({at}) - {apart}", "NULL"),
        }

    def parted(self) -> str:
        # Of seconds: the sum of an instant and an interval has an end.
        second = f"epoch(CAST({quoted(self.event_time)} AS TIMESTAMPTZ))"
        far = f"CASE WHEN {second} - lag({second}) OVER (ORDER BY {second}) > {2 * self.lateness_s} THEN 1 ELSE 0 END"
        counted = f"SELECT *, sum(_far) OVER (ORDER BY {second}) AS _part FROM (SELECT *, {far} AS _far FROM fresh)"
        return (
            f"SELECT * REPLACE (greatest(_part - max(_part) OVER () + {_MOST_PARTS - 1}, 0) AS _part) FROM ({counted})"
        )

    def settled(self) -> exp.Query:
        """Rows within a run that a row before them begins already: what is delivered again, as a rule."""
        names = ", ".join(f"fresh.{name}" for name in self.names_a_row.split(", "))
        same = " AND ".join(f"fresh.{quoted(name)} = present.{quoted(name)}" for name in self.group)
        at = f"CAST({{0}}.{quoted(self.event_time)} AS TIMESTAMPTZ)"
        order = "{0}._load, {0}._row, {0}._shard, {0}._stream"
        before, after = (f"({at}, {order})".format(frame) for frame in ("present", "fresh"))
        return parsed(
            f"SELECT DISTINCT {names} FROM fresh JOIN present ON {same} AND {before} < {after}"
            f" AND {at.format('fresh')} <= present.{UNTIL}"
        )

    def survivors(self, bucket: int, buckets: int) -> exp.Query:
        key, order = self._grouped, "_moment, _load, _row, _shard, _stream"
        columns = ", ".join(dict.fromkeys([*map(quoted, self.group), *IDENTITY]))
        rows = (
            f"SELECT {columns}, CAST({quoted(self.event_time)} AS TIMESTAMPTZ) AS _moment, {UNTIL} FROM {_ALL}"
            f"{self._inside(bucket, buckets)}"
        )
        before = f"OVER (PARTITION BY {key} ORDER BY {order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
        begins = f"_moment > max({UNTIL}) {before} + INTERVAL {self.lateness_s} SECOND"
        begun = f"SELECT *, CASE WHEN {begins} THEN 1 ELSE 0 END AS _begins FROM ({rows})"
        runs = f"SELECT *, sum(_begins) OVER (PARTITION BY {key} ORDER BY {order}) AS _run FROM ({begun})"
        return parsed(
            f"SELECT {self.names_a_row}, max({UNTIL}) OVER (PARTITION BY {key}, _run) AS {UNTIL} FROM ({runs})"
            f" QUALIFY row_number() OVER (PARTITION BY {key}, _run ORDER BY {order}) = 1"
        )

    def reduced(self) -> exp.Query:
        names = [*self.group, *IDENTITY] if self.rows_share_identity else list(IDENTITY)
        on = " AND ".join(f"rows.{quoted(name)} = survivors.{quoted(name)}" for name in names)
        everything = f"(SELECT * EXCLUDE ({UNTIL}) FROM {_ALL})"
        return parsed(f"SELECT rows.*, survivors.{UNTIL} FROM {everything} AS rows JOIN survivors ON {on}")


def mode_of(table: Table) -> Mode | None:
    """The reducer of a table; None where rows are only added (`append`)."""
    key, shared = table.contract.key, table.function is not None or table.full or table.changes
    deletes = "_vanished" if table.full else "_deleted" if table.changes else table.deleted_when
    if table.full and table.deleted_when is not None:
        deletes = f"_vanished OR ({table.deleted_when})"
    if table.mode == "append":
        return None
    if table.mode == "merge":
        lateness = table.lateness_s
        return Merge(key, shared, latest_by=table.latest_by, deletes=deletes, full=table.full, lateness_s=lateness)
    if table.mode == "history":
        compared = tuple(column.name for column in table.contract.columns)
        begins = "_committed_at" if table.changes else "_loaded_at"
        return History(key, shared, table.latest_by, deletes, full=table.full, begins=begins, compared=compared)
    if table.mode == "window":
        return Window(key, shared, event_time=table.event_time or "", lateness_s=table.lateness_s or 0)
    return Newest(table.slice, shared)
