"""Tables of any database that SQLAlchemy knows, streamed through its driver; SQLite is the embedded one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from catchment.errors import ConfigError
from catchment.naming import did_you_mean
from catchment.records import JSON, Budget, Feed, Finding, FoundColumn, FoundStream
from catchment.sources.sql.connection import connected, place_of
from catchment.sources.sql.found import did_you_mean_table, proposed_cursor, stream_names
from catchment.sources.sql.tables import Snapshot, Span, TableSource, TableStream, named
from catchment.sources.sql.values import Column, as_text, column_of, sqlite_column, table_of

# A part of a read: so many rows, or fewer where they are long.
_MOST_ROWS = 10_000
_PART_BYTES = 16 << 20

# Up to so many rows a whole table is read once to see whether it has changed, and again where it has.
_COMPARED_ROWS = 1_000_000


class SqlSource(TableSource):
    """Streams of tables and views."""

    @contextmanager
    def _opened(self, feed: Feed, stream: TableStream) -> Iterator[Snapshot]:
        with connected(self._url, self._folder, feed.name) as connection:
            yield _SqlSnapshot(connection, self._url, stream, feed)

    def probe(self, feed: Feed) -> Sequence[Finding]:
        """Asks the catalog, and looks for one row that the cursor would never find."""
        stream = self._stream(feed)
        try:
            with connected(self._url, self._folder, feed.name) as connection:
                snapshot = _SqlSnapshot(connection, self._url, stream, feed)
                found = [Finding(feed.name, "warning", *words) for words in _warnings(snapshot, stream)]
        except ConfigError as error:
            return [Finding(feed.name, "error", error.message, error.hint)]
        return found or [Finding(feed.name, "ok", f"{snapshot.origin} can be read")]


def _warnings(snapshot: _SqlSnapshot, stream: TableStream) -> Iterator[tuple[str, str]]:
    snapshot.look()
    if stream.cursor is None:
        return
    if snapshot.is_table and stream.cursor not in snapshot.indexed:
        hint = f"create an index that begins with {stream.cursor}"
        yield f"{snapshot.origin}: cursor `{stream.cursor}` has no index, so that each run reads the whole table", hint
    if snapshot.has_unfound():
        hint = "give them a value, or read the table whole"
        yield f"{snapshot.origin}: rows whose cursor `{stream.cursor}` is null or of another type are never taken", hint


class _SqlSnapshot(Snapshot):
    """A transaction that has begun; it ends with its connection."""

    def __init__(self, connection: Connection, url: str, stream: TableStream, feed: Feed) -> None:
        self._connection, self._stream = connection, stream
        self._inspector = sa.inspect(connection)
        self._name, self._schema = self._find(stream.table, feed)
        self.origin = f"{place_of(sa.make_url(url))}/{stream.table}"
        self._columns = self._chosen(feed)
        self.schema = pa.schema([(one.name, one.type) for one in self._columns])
        self.now = datetime.now(UTC)
        columns = [sa.column(name, self._kinds.get(name)) for name in self._known]
        self._table = sa.table(self._name, *columns, schema=self._schema)

    def _find(self, table: str, feed: Feed) -> tuple[str, str | None]:
        schema, _, name = table.rpartition(".")
        for one, place in ((table, None), (name, schema or None)):
            if self._inspector.has_table(one, place):
                return one, place
        known = self._tables(None)
        if schema in self._inspector.get_schema_names():
            known += self._tables(schema)
        names = [f"{place}.{name}" if place else name for place, name in known]
        message = f"{feed.name}: there is no table `{table}`"
        hint = did_you_mean_table(table, known, plain="")
        raise ConfigError(message, hint=hint or f"there are {', '.join(names[:20]) or 'none'}")

    def _tables(self, schema: str | None) -> list[tuple[str, str]]:
        names = [*self._inspector.get_table_names(schema), *self._inspector.get_view_names(schema)]
        return [(schema or "", name) for name in names]

    @cached_property
    def _known(self) -> dict[str, Any]:
        """Every column of the table, and what is declared of it."""
        if self._connection.dialect.name == "sqlite":
            # SQLAlchemy's names of types leave out what SQLite's own rule looks at.
            pragma = sa.text("SELECT name, type, hidden FROM pragma_table_xinfo(:name)")
            rows = self._connection.execute(pragma, {"name": self._name})
            return {str(one.name): sqlite_column(str(one.name), str(one.type)) for one in rows if one.hidden != 1}
        return {name: column_of(name, kind, str(kind)) for name, kind in self._kinds.items()}

    @cached_property
    def _kinds(self) -> dict[str, Any]:
        """What SQLAlchemy's types make of the driver's values; of SQLite's none, which are what they are."""
        if self._connection.dialect.name == "sqlite":
            return {}
        return {one["name"]: one["type"] for one in self._inspector.get_columns(self._name, self._schema)}

    def _selected(self, name: str) -> Any:
        """Documents as their text: a driver would make other numbers of theirs."""
        own = self._table.c[name]
        return sa.cast(own, sa.Text).label(name) if isinstance(self._kinds.get(name), sa.types.JSON) else own

    def _chosen(self, feed: Feed) -> list[Column]:
        stream, known = self._stream, self._known
        for name in named(stream):
            if name not in known:
                message = f"{feed.name}: {stream.table} has no column `{name}`"
                raise ConfigError(message, hint=did_you_mean(name, known) or f"it has {', '.join(known)}")
        if stream.cursor is not None and not _is_ordered(known[stream.cursor].type):
            message = f"{feed.name}: column `{stream.cursor}` is {known[stream.cursor].type}, which cannot be a cursor"
            raise ConfigError(message, hint="choose a column of instants, days, whole or decimal numbers, or text")
        return [
            as_text(name, one.declared) if name in stream.as_text else one
            for name, one in known.items()
            if stream.columns is None or name in stream.columns
        ]

    def parts(self, span: Span, budget: Budget) -> Iterator[pa.Table]:
        query = self._query(sa.select(*(self._selected(one.name) for one in self._columns)), span)
        query = query.order_by(*(self._table.c[name] for name in self._order())).limit(budget.rows)
        result = self._connection.execution_options(stream_results=True, max_row_buffer=_MOST_ROWS).execute(query)
        try:
            count = min(100, max(1, budget.bytes))
            while rows := result.fetchmany(count):
                part = table_of(self._columns, rows)
                yield part
                fitting = min(budget.bytes, _PART_BYTES) * len(rows) // max(1, part.nbytes)
                count = max(1, min(_MOST_ROWS, fitting))
        finally:
            result.close()

    def _query(self, query: Any, span: Span) -> Any:
        if self._stream.where:
            query = query.where(sa.text(f"({self._stream.where})"))
        if self._stream.cursor is not None:
            own = self._table.c[self._stream.cursor]
            query = query.where(self._bounds())
            if span.above is not None:
                above = _given(span.above)
                query = query.where(own >= above if span.including else own > above)
            if span.upto is not None:
                query = query.where(own <= _given(span.upto))
        return query

    def _bounds(self) -> Any:
        """The condition that rows must meet to be found by their cursor."""
        cursor = str(self._stream.cursor)
        own = self._table.c[cursor]
        if self._connection.dialect.name != "sqlite":
            return own.is_not(None)
        kinds = ["integer"] if pa.types.is_integer(self._known[cursor].type) else ["text", "integer", "real"]
        return sa.func.typeof(own).in_(kinds)

    def _order(self) -> list[str]:
        cursor = self._stream.cursor
        if cursor is None:
            return []
        return [cursor, *(name for name in self.key() if name != cursor)]

    def key(self) -> Sequence[str]:
        return self._stream.key or self._inspector.get_pk_constraint(self._name, self._schema)["constrained_columns"]

    def look(self) -> None:
        """Raises ConfigError where the table may not be read."""
        for _ in self.parts(Span(), Budget(rows=1)):
            return

    @property
    def is_table(self) -> bool:
        return self._name in self._inspector.get_table_names(self._schema)

    @property
    def indexed(self) -> set[str | None]:
        """Columns that an index or the key begins with."""
        key = self._inspector.get_pk_constraint(self._name, self._schema)["constrained_columns"]
        indexes = [one["column_names"] for one in self._inspector.get_indexes(self._name, self._schema)]
        unique = [one["column_names"] for one in self._inspector.get_unique_constraints(self._name, self._schema)]
        lists: list[Sequence[str | None]] = [key, *indexes, *unique]
        return {names[0] for names in lists if names}

    def has_unfound(self) -> bool:
        query = sa.select(sa.literal(1)).select_from(self._table).where(sa.not_(self._bounds())).limit(1)
        return self._connection.execute(query).first() is not None

    def count(self, span: Span) -> int:
        query = self._query(sa.select(sa.func.count()).select_from(self._table), span)
        return int(self._connection.execute(query).scalar_one())

    def bytes(self) -> int:
        return 0

    def mark(self) -> str | None:
        return None

    @cached_property
    def _is_small(self) -> bool:
        return self.count(Span()) <= _COMPARED_ROWS

    def is_small(self) -> bool:
        return self._is_small


def _given(value: Any) -> Any:
    """As the driver takes it: of numbers that landed as text it is text."""
    return sa.bindparam(None, value.as_py(), type_=sa.types.NullType())


def _is_ordered(kind: pa.DataType) -> bool:
    tests = (pa.types.is_integer, pa.types.is_decimal, pa.types.is_timestamp, pa.types.is_date, pa.types.is_string)
    return any(test(kind) for test in tests)


def find(url: str, folder: Path) -> Sequence[FoundStream]:
    """Every table and view of the address's own schema. Raises what `Source.read` may."""
    with connected(url, folder, "the database") as connection:
        inspector = sa.inspect(connection)
        tables = [*inspector.get_table_names(), *inspector.get_view_names()]
        names = stream_names([("", table) for table in tables], plain=None)
        return [_found(connection, name, table) for name, table in zip(names, tables, strict=True)]


def _found(connection: Connection, name: str, table: str) -> FoundStream:
    inspector = sa.inspect(connection)
    columns = [
        FoundColumn(one["name"], _logical(one["type"]), str(one["type"]), not one["nullable"], one.get("comment") or "")
        for one in inspector.get_columns(table)
    ]
    key = inspector.get_pk_constraint(table)["constrained_columns"]
    references = [
        (one["constrained_columns"], one["referred_table"], one["referred_columns"])
        for one in inspector.get_foreign_keys(table)
    ]
    keys: dict[str, JSON] = {"table": table}
    evidence = {"key": "the table's primary key"} if key else {}
    indexed = [str(names[0]) for one in inspector.get_indexes(table) if (names := one["column_names"])]
    cursor = proposed_cursor(columns, indexed)
    if cursor is not None:
        keys |= {"cursor": cursor[0], "lookback": "5 minutes"}
        evidence["cursor"] = cursor[1]
    rows = connection.execute(sa.select(sa.func.count()).select_from(sa.table(table))).scalar_one()
    return FoundStream(name, keys, columns, key, references, rows, evidence)


_LOGICAL = (
    (sa.types.Boolean, "boolean"),
    (sa.types.Integer, "integer"),
    (sa.types.Numeric, "number"),
    (sa.types.Float, "number"),
    (sa.types.DateTime, "timestamp"),
    (sa.types.Date, "date"),
    (sa.types.Time, "time"),
    (sa.types.JSON, "object"),
    (sa.types.ARRAY, "array"),
)


def _logical(kind: Any) -> str:
    return next((word for known, word in _LOGICAL if isinstance(kind, known)), "string")
