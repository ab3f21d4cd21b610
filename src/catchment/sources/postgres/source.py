"""Tables of PostgreSQL through ADBC: COPY into Arrow, in one read-only snapshot a read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from catchment.errors import CatchmentError, ConfigError, DataError
from catchment.naming import literal, quoted
from catchment.records import Budget, Feed, Finding
from catchment.sources.postgres.columns import CATALOG, Column, chosen, column, cursor_bounds, selection
from catchment.sources.postgres.connection import Session
from catchment.sources.postgres.find import TABLES, find
from catchment.sources.sql.found import did_you_mean_table
from catchment.sources.sql.tables import HAZARD, Snapshot, Span, TableSource, TableStream

__all__ = ["PostgresSource", "find"]

# Up to so many bytes a table's row versions are compared before it is read, about a second of the server's.
_COMPARED_BYTES = 256 << 20
# Beyond so many rows the server's estimate stands for a count.
_COUNTED_ROWS = 1_000_000

_TABLE = """\
SELECT c.oid::int8 AS oid, format('%I.%I', n.nspname, c.relname) AS name, c.relkind::text AS kind,
       n.nspname || '.' || c.relname AS shown, c.reltuples::int8 AS rows,
       CASE WHEN c.relkind IN ('r', 'm', 't') THEN pg_table_size(c.oid) ELSE 0 END AS size,
       has_table_privilege(c.oid, 'SELECT') AS readable
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass({table})"""

_KEY = """\
SELECT array_to_json(array_agg(a.attname ORDER BY k.place))::text AS key
FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k(number, place)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
WHERE i.indrelid = {oid} AND i.indisprimary"""

_INDEXED = """\
SELECT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = {oid} AND i.indisvalid AND i.indpred IS NULL
               AND i.indkey[0] = {number}) AS indexed"""


@dataclass(frozen=True)
class _Table:
    """What the catalog says of a table; `name` is quoted."""

    oid: int
    name: str
    kind: str
    shown: str
    rows: int
    size: int
    readable: bool


class PostgresSource(TableSource):
    """Streams of tables and views."""

    @contextmanager
    def _opened(self, feed: Feed, stream: TableStream) -> Iterator[Snapshot]:
        session = Session(self._url, feed.name)
        try:
            table = _table(session, feed, stream)
            # Views are locked with all that they are made of, which their readers may have no right to.
            session.begin(table.name if table.kind in ("r", "p") else None)
            yield _PostgresSnapshot(session, table, stream, feed)
        finally:
            session.close()

    def probe(self, feed: Feed) -> Sequence[Finding]:
        """Asks the catalog, and looks for one row that the cursor would never find."""
        stream = self._stream(feed)
        session = Session(self._url, feed.name)
        try:
            found = [Finding(feed.name, "warning", *words) for words in _warnings(session, feed, stream)]
        except ConfigError as error:
            return [Finding(feed.name, "error", error.message, error.hint)]
        finally:
            session.close()
        return found or [Finding(feed.name, "ok", f"{stream.table} at {session.place} can be read")]


def _table(session: Session, feed: Feed, stream: TableStream) -> _Table:
    """Raises ConfigError where it is not there or may not be read."""
    try:
        found = session.fetch(_TABLE.format(table=literal(stream.table)))
    except CatchmentError as error:
        if "refuses the query" not in error.message:  # no name that could be one
            raise
        found = []
    if not found:
        message = f"{feed.name}: there is no table `{stream.table}` at {session.place}"
        spelling = "write it as schema.table; names with capitals want double quotes in it"
        raise ConfigError(message, hint=_meant(session, stream.table) or spelling)
    table = _Table(**found[0])
    if table.kind not in ("r", "p", "v", "m", "f"):
        message = f"{feed.name}: `{stream.table}` at {session.place} is no table and no view"
        raise ConfigError(message, hint="name a table or a view")
    return table


def _meant(session: Session, table: str) -> str | None:
    known = session.fetch(f"SELECT quote_ident(q.schema) AS schema, quote_ident(q.name) AS name FROM ({TABLES}) q")
    return did_you_mean_table(table, [(row["schema"], row["name"]) for row in known], plain="public")


def _warnings(session: Session, feed: Feed, stream: TableStream) -> Iterator[tuple[str, str]]:
    table = _table(session, feed, stream)
    session.begin(table.name if table.kind in ("r", "p") else None)
    snapshot = _PostgresSnapshot(session, table, stream, feed)
    if not table.readable:
        session.fetch(f"SELECT 1 AS one FROM ({snapshot.select(Span())} LIMIT 0) q")
    where = f"{table.shown} at {session.place}"
    cursor = snapshot.cursor
    if cursor is None:
        return
    indexed = session.fetch(_INDEXED.format(oid=table.oid, number=cursor["number"]))[0]["indexed"]
    if not indexed and table.kind in ("r", "p", "m"):
        hint = f"CREATE INDEX ON {table.name} ({quoted(cursor['name'])})"
        yield f"{where}: cursor `{cursor['name']}` has no index, so that each run reads the whole table", hint
    if not cursor["required"] and snapshot.has_unfound():
        hint = "give them a value, or read the table whole"
        yield f"{where}: rows whose cursor `{cursor['name']}` is null or infinite are never taken", hint


class _PostgresSnapshot(Snapshot):
    """A transaction that has begun; it ends with its session."""

    def __init__(self, session: Session, table: _Table, stream: TableStream, feed: Feed) -> None:
        self._session, self._table, self._stream = session, table, stream
        self.origin = f"postgresql://{session.place}/{table.shown}"
        self._where = f"{feed.name}: {table.shown} at {session.place}"
        rows = session.fetch(CATALOG.format(oid=table.oid))
        self._found = chosen(rows, stream, self._where)
        self._columns = [column(row, row["name"] in stream.as_text) for row in self._found]
        self.schema = pa.schema([(one.name, one.type) for one in self._columns])
        about = session.fetch("SELECT now() AS now, current_setting('server_encoding') = 'SQL_ASCII' AS any_bytes")[0]
        self.now, self._any_bytes = about["now"], about["any_bytes"]
        self.cursor = next((row for row in rows if row["name"] == stream.cursor), None)
        self._bounds = None if self.cursor is None else cursor_bounds(self.cursor, self._where)

    def parts(self, span: Span, budget: Budget) -> Iterator[pa.Table]:
        order = self._order()
        sql = self.select(span) + (f" ORDER BY {', '.join(order)}" if order else "")
        if budget.rows is not None:
            sql += f" LIMIT {budget.rows}"
        for batch in self._session.stream(sql, budget.bytes):
            yield self._typed(batch)

    def select(self, span: Span) -> str:
        return f"SELECT {selection(self._columns)} {self._from(span)}"

    def count(self, span: Span) -> int:
        if span == Span() and self._table.rows > _COUNTED_ROWS and not self._stream.where:
            return self._table.rows
        return int(self._session.fetch(f"SELECT count(*) AS n {self._from(span)}")[0]["n"])

    def bytes(self) -> int:
        return self._table.size

    def mark(self) -> str | None:
        """The row versions that this snapshot sees; None for what has none of its own, or where they are too many."""
        table = self._table
        borrowed = any(found["kind"] in "ec" or found["element_kind"] in ("e", "c") for found in self._found)
        if table.kind not in ("r", "m") or not table.readable or self._stream.where or borrowed:
            return None
        if table.size > _COMPARED_BYTES:
            return None
        versions = "sum(hashtextextended(t.ctid::text, t.xmin::text::int8)::numeric)"
        found = self._session.fetch(f"SELECT count(*) AS n, {versions}::text AS versions {self._from(Span())}")[0]
        made = repr([self.select(Span()), [(one["number"], one["shown"], one["missing"]) for one in self._found]])
        return f"{found['n']}-{found['versions']}-{hashlib.sha256(made.encode()).hexdigest()[:16]}"

    def is_small(self) -> bool:
        """What has no row versions is read in any case: its rows would come over the wire twice."""
        return False

    def has_unfound(self) -> bool:
        condition = f"({self._bounds}) IS NOT TRUE"
        where = f"{condition} AND ({self._stream.where})" if self._stream.where else condition
        return bool(self._session.fetch(f"SELECT 1 AS one FROM {self._table.name} AS t WHERE {where} LIMIT 1"))

    def _from(self, span: Span) -> str:
        conditions = [f"({self._stream.where})"] if self._stream.where else []
        if self.cursor is not None:
            own, kind = f"t.{quoted(self.cursor['name'])}", self.cursor["shown"]
            conditions.append(str(self._bounds))
            if span.above is not None:
                conditions.append(f"{own} {'>=' if span.including else '>'} {_literal(span.above, kind)}")
            if span.upto is not None:
                conditions.append(f"{own} <= {_literal(span.upto, kind)}")
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return f"FROM {self._table.name} AS t{where}"

    def _order(self) -> list[str]:
        """A whole table comes as it lies; rows of one cursor value in the order of their key, or as they lie."""
        if self.cursor is None:
            return []
        names = [self.cursor["name"], *(name for name in self.key() if name != self.cursor["name"])]
        last = [] if self.key() or self._table.kind not in ("r", "m") else ["t.ctid"]
        return [*(f"t.{quoted(name)}" for name in names), *last]

    def key(self) -> Sequence[str]:
        return self._key

    @cached_property
    def _key(self) -> Sequence[str]:
        if self._stream.key is not None:
            return list(self._stream.key)
        found = self._session.fetch(_KEY.format(oid=self._table.oid))[0]["key"]
        return [] if found is None else list(json.loads(found))

    def _typed(self, batch: pa.RecordBatch) -> pa.Table:
        if self._any_bytes:
            self._look_at(batch)
        table = pa.Table.from_batches([batch])
        count = table.num_rows
        hazards = pa.chunked_array([pa.nulls(count, pa.string())])
        if HAZARD in table.column_names:
            told = table.column(HAZARD)
            lengths = pc.binary_length(told)
            if pc.max(lengths).as_py():
                hazards = pc.if_else(pc.greater(lengths, 0), told, pa.scalar(None, pa.string()))
        good = hazards.is_null() if hazards.null_count < count else None
        columns = [_typed(one, table.column(place), good) for place, one in enumerate(self._columns)]
        return pa.table([*columns, hazards], names=[*self.schema.names, HAZARD])

    def _look_at(self, batch: pa.RecordBatch) -> None:
        """A database without an encoding hands out any bytes as text."""
        try:
            batch.validate(full=True)
        except pa.ArrowInvalid:
            message = f"{self._where} holds text that is not UTF-8, and its database has no encoding (SQL_ASCII)"
            raise DataError(message, hint="leave the column out with `columns`, or convert it in a view") from None


def _typed(column: Column, values: pa.ChunkedArray, good: pa.ChunkedArray | None) -> pa.ChunkedArray:
    if values.type == column.type:
        return values
    if good is not None:
        values = pc.if_else(good, values, pa.scalar(None, values.type))
    return values.cast(column.type)


def _literal(value: Any, kind: str) -> str:
    return f"{literal(str(value.cast(pa.string()).as_py()))}::{kind}"
