"""Live figures in ClickHouse, a server or ClickHouse Cloud, over its HTTP interface.

A feed's rows come into a `ReplacingMergeTree(_version, _deleted)` ordered by the feed's key, and are read with `FINAL`:
what comes again or late is put out by the newest version whenever parts are merged, and before that by every query.
The database, `live` where the address names none, holds nothing else: `<feed>__<number>` are rows, `<feed>__rows` shows
those that count, `catchment__state` is what was applied. Metrics are views under their own names.

Nothing here is a transaction. Rows come before their token, so that after a kill they come again and replace
themselves; the state names the table whose rows count before views change over to it, and says when they have.
"""

from __future__ import annotations

import itertools
import json
import logging
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import clickhouse_connect
from clickhouse_connect.driver import exceptions

from catchment.errors import ConfigError, RetryableError
from catchment.metric import DELETED, EXPIRES, VERSION, WINDOW, LiveFeed, Measure, Metric
from catchment.naming import LIVE, literal
from catchment.records import Token
from catchment.stores.applied import TABLE, AppliedStore, Held, held_in, metrics_in

if TYPE_CHECKING:
    import pyarrow as pa
    from clickhouse_connect.driver.client import Client

_STATE = "catchment__state"
_INSERT_ROWS = 500_000

# Unsigned and in the order of `VERSION`: 64 bits from the sign on, 64, 48 and 16; a row of none (-1) comes first.
_ORDERED = (
    "bitShiftLeft(toUInt256(_latest) + toUInt256('9223372036854775808'), 128) + bitShiftLeft(toUInt256(_load), 64)"
    " + bitShiftLeft(toUInt256(_row + 1), 16) + toUInt256(_rank)"
)


def _silent(_: str) -> None:
    """Nobody listens to the named points."""


class ClickHouseLiveStore(AppliedStore):
    """`url` is `http://user:password@host:8123/database`, or `https://…`."""

    def __init__(self, url: str, *, suffix: str = "", reached: Callable[[str], None] = _silent) -> None:
        self._parts = urllib.parse.urlsplit(url)
        if self._parts.scheme not in ("http", "https") or not self._parts.hostname or not _has_port(self._parts):
            message = "the address of ClickHouse is none that can be used"
            raise ConfigError(message, hint="write url: http://host:8123/live, with https:// where it is encrypted")
        self._database = (self._parts.path.strip("/") or LIVE) + suffix
        self._reached = reached

    def feed(self, feed: LiveFeed, rows: pa.RecordBatchReader, token: Token, *, anew: bool = False) -> int:
        self._prepare()
        state = self._state()
        held = held_in(state, feed.name)
        if anew:
            return self._feed_anew(feed, rows, token, held, state)
        if held is None or held.fingerprint != feed.fingerprint:
            message = f"the live store has no rows of silver.{feed.name} that it could go on from"
            raise ConfigError(message, hint="feed them anew: catchment live feed")
        if not held.served:
            self._serve(feed.name, held, state)
        if held.token.generation >= token.generation:
            return 0
        count = self._insert(held.table, rows)
        self._reached("live.taken")
        self._remember({f"{TABLE}{feed.name}": replace(held, token=token).value()})
        self._reached("live.kept")
        return count

    def _feed_anew(
        self, feed: LiveFeed, rows: pa.RecordBatchReader, token: Token, held: Held | None, state: Mapping[str, Any]
    ) -> int:
        number = 1 if held is None else held.number + 1
        # Rows of one that died stay behind under their number.
        table = f"{feed.name}__{number}"
        self._command(f"DROP TABLE IF EXISTS {self._name(table)}")
        self._command(_created(self._name(table), feed, rows.schema))
        count = self._insert(table, rows)
        self._reached("live.taken")
        now_held = Held(table, number, feed.fingerprint, token, served=False)
        self._remember({f"{TABLE}{feed.name}": now_held.value()})
        self._reached("live.kept")
        self._serve(feed.name, now_held, state)
        return count

    def _serve(self, feed: str, held: Held, state: Mapping[str, Any]) -> None:
        """Show the rows of the table that the state names, and drop those of the others."""
        shown = f"SELECT * FROM {self._name(held.table)} FINAL"
        self._command(f"CREATE OR REPLACE VIEW {self._name(f'{feed}__rows')} AS {shown}")
        self._reached("live.shown")
        for metric in metrics_in(state, feed):
            self._command(self._view(metric, held))
        older = f"database = {literal(self._database)} AND match(name, {literal(f'^{feed}__[0-9]+$')})"
        listed = f"SELECT name FROM system.tables WHERE {older} AND name <> {literal(held.table)}"
        for (name,) in self._rows(listed):
            self._command(f"DROP TABLE IF EXISTS {self._name(name)}")
        self._remember({f"{TABLE}{feed}": replace(held, served=True).value()})
        self._reached("live.fed")

    def query(self, sql: str) -> pa.RecordBatchReader:
        import pyarrow as pa

        with self._telling():
            # The server refuses what is no reading statement; strings are text.
            asked = self._named(sql)
            found: pa.Table = self._client.query_arrow(asked, settings={"readonly": 2}, use_strings=True)
        return pa.RecordBatchReader.from_batches(found.schema, found.to_batches())

    def _named(self, sql: str) -> str:
        """A statement that names metrics in schema `live`, for the database that is called otherwise."""
        if self._database == LIVE:
            return sql
        import sqlglot
        from sqlglot import exp

        tokens = sqlglot.tokenize(sql, read="clickhouse")
        for before, dot in reversed(list(itertools.pairwise(tokens))):
            if dot.text == "." and before.text == LIVE:
                name = exp.to_identifier(self._database, quoted=True).sql(dialect="clickhouse")
                sql = f"{sql[: before.start]}{name}{sql[before.end + 1 :]}"
        return sql

    def close(self) -> None:
        if "_client" in self.__dict__:
            self._client.close()
            del self.__dict__["_client"]

    @cached_property
    def _client(self) -> Client:
        parts = self._parts
        secure = parts.scheme == "https"
        # It logs what it raises as well, and without a handler Python would print that.
        logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())
        return clickhouse_connect.get_client(
            host=parts.hostname,
            port=parts.port or (8443 if secure else 8123),
            username=urllib.parse.unquote(parts.username or "default"),
            password=urllib.parse.unquote(parts.password or ""),
            interface=parts.scheme,
            # Sessions would let no two statements go on at once, and we keep nothing in them.
            autogenerate_session_id=False,
            settings=dict(urllib.parse.parse_qsl(parts.query)),
        )

    @contextmanager
    def _telling(self) -> Iterator[None]:
        where = f"{self._parts.hostname}:{self._parts.port or 8123}"
        try:
            yield
        except exceptions.OperationalError as error:
            message = f"ClickHouse at {where} does not answer: {_cause(error)}"
            raise RetryableError(message, hint="is it running, and is url of the target right?") from error
        except exceptions.ClickHouseError as error:
            message = f"ClickHouse at {where} refuses: {_first_line(error)}"
            raise ConfigError(message, hint="metrics are views in schema live: catchment live status") from error

    def _name(self, table: str) -> str:
        return f"{_quoted(self._database)}.{_quoted(table)}"

    def _command(self, sql: str) -> None:
        with self._telling():
            self._client.command(sql)

    def _rows(self, sql: str) -> Sequence[Sequence[Any]]:
        with self._telling():
            found: Sequence[Sequence[Any]] = self._client.query(sql).result_rows
        return found

    def _insert(self, table: str, rows: pa.RecordBatchReader) -> int:
        import pyarrow as pa

        count, waiting = 0, list[pa.RecordBatch]()
        for batch in rows:
            waiting.append(batch)
            if sum(one.num_rows for one in waiting) >= _INSERT_ROWS:
                count += self._send(table, pa.Table.from_batches(waiting))
                waiting = []
        return count + (self._send(table, pa.Table.from_batches(waiting)) if waiting else 0)

    def _send(self, table: str, rows: pa.Table) -> int:
        if rows.num_rows:
            with self._telling():
                self._client.insert_arrow(table, rows, database=self._database, settings={"async_insert": "0"})
        return int(rows.num_rows)

    def _prepare(self) -> None:
        self._command(f"CREATE DATABASE IF NOT EXISTS {_quoted(self._database)}")
        self._command(
            f"CREATE TABLE IF NOT EXISTS {self._name(_STATE)} (name String, value String, number UInt64)"
            " ENGINE = ReplacingMergeTree(number) ORDER BY name"
        )

    def _state(self) -> dict[str, Any]:
        known = f"database = {literal(self._database)} AND name = {literal(_STATE)}"
        if not self._rows(f"SELECT 1 FROM system.tables WHERE {known}"):
            return {}
        rows = self._rows(f"SELECT name, value FROM {self._name(_STATE)} FINAL WHERE value <> ''")
        return {name: json.loads(value) for name, value in rows}

    def _remember(self, entries: Mapping[str, Any]) -> None:
        """All of them in one block, which is there as a whole or not at all."""
        newest = self._rows(f"SELECT max(number) FROM {self._name(_STATE)}")[0][0]
        rows = [[name, "" if value is None else json.dumps(value), newest + 1] for name, value in entries.items()]
        if rows:
            with self._telling():
                self._client.insert(_STATE, rows, column_names=["name", "value", "number"], database=self._database)

    def _do(self, statements: Sequence[str], entries: Mapping[str, Any]) -> None:
        self._prepare()
        for statement in statements:
            self._command(statement)
        self._remember(entries)

    def _view(self, metric: Metric, held: Held) -> str:
        rows = self._name(f"{metric.feed}__rows")
        return f"CREATE OR REPLACE VIEW {self._name(metric.name)} AS {_figures(metric, rows)}"

    def _dropped_view(self, metric: str) -> str:
        return f"DROP VIEW IF EXISTS {self._name(metric)}"

    def _dropped_feed(self, feed: str, held: Held) -> Sequence[str]:
        return [f"DROP VIEW IF EXISTS {self._name(f'{feed}__rows')}", f"DROP TABLE IF EXISTS {self._name(held.table)}"]


def _has_port(parts: urllib.parse.SplitResult) -> bool:
    """Whether the port, if there is one, is a number that can be one."""
    try:
        return parts.port is None or parts.port > 0
    except ValueError:
        return False


def _quoted(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _cause(error: BaseException) -> str:
    """What the operating system said, where that is at the bottom of it."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, OSError) and below.strerror:
            return below.strerror.lower()
        below = below.__cause__ or below.__context__
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def _created(table: str, feed: LiveFeed, schema: pa.Schema) -> str:
    columns = [f"{_quoted(field.name)} {_type(field.type, field.name not in _always(feed))}" for field in schema]
    keyed = ", ".join(map(_quoted, feed.key))
    # A row that expires leaves with its part; which rows count is told by `FINAL`.
    return (
        f"CREATE TABLE {table} ({', '.join(columns)}, `_version` UInt256 MATERIALIZED {_ORDERED})"
        f" ENGINE = ReplacingMergeTree(`_version`, `{DELETED}`) ORDER BY ({keyed}) TTL `{EXPIRES}`"
        f" SETTINGS allow_nullable_key = 1 COMMENT {literal(f'rows of silver.{feed.name} ({feed.fingerprint})')}"
    )


def _always(feed: LiveFeed) -> frozenset[str]:
    """Columns that are never null. A key may be, where a function makes it."""
    return frozenset({*VERSION, DELETED, EXPIRES, "_stream", "_shard"})


def _type(kind: pa.DataType, nullable: bool) -> str:
    """ClickHouse's type for an Arrow type. Raises ConfigError."""
    import pyarrow as pa

    simple = {
        pa.bool_(): "Bool",
        pa.int8(): "Int8",
        pa.int16(): "Int16",
        pa.int32(): "Int32",
        pa.int64(): "Int64",
        pa.uint8(): "UInt8",
        pa.float32(): "Float32",
        pa.float64(): "Float64",
        pa.date32(): "Date32",
        pa.string(): "String",
        pa.large_string(): "String",
    }
    if kind in simple:
        named = simple[kind]
    elif pa.types.is_decimal(kind):
        named = f"Decimal({kind.precision}, {kind.scale})"
    elif pa.types.is_timestamp(kind):
        # What expires is told in seconds: no other type of an instant can tell it on every server.
        named = "DateTime('UTC')" if kind.unit == "s" else "DateTime64(6, 'UTC')"
    else:
        message = f"a live figure is over values of type {kind}, which ClickHouse does not take from us"
        raise ConfigError(message, hint="cast it in the metric, to varchar for example")
    return f"Nullable({named})" if nullable else named


def _figures(metric: Metric, rows: str) -> str:
    """The figures of a metric over `rows` as ClickHouse's SQL; see `metric.figures`."""
    chosen = [] if metric.where is None else [_column(metric.where)]
    grouped = [_column(name) for name in metric.by]
    shown = [f"{_column(name)} AS {_quoted(name)}" for name in metric.by]
    at = "" if metric.time is None else _column(metric.time)
    if metric.every_s is not None:
        chosen.append(f"{at} IS NOT NULL")
        # toStartOfInterval gives a DateTime, which ends in 2106 and begins in 1970.
        at = f"toUnixTimestamp64Micro(assumeNotNull({at}))"
        at = f"fromUnixTimestamp64Micro({at} - positiveModulo({at}, {metric.every_s * 1_000_000}), 'UTC')"
        grouped.insert(0, at)
        shown.insert(0, f"{at} AS {_quoted(WINDOW)}")
    if metric.keep_s is not None:
        chosen.append(f"{at} >= now() - INTERVAL {metric.keep_s} SECOND")
    shown += [f"{_figure(measure)} AS {_quoted(measure.name)}" for measure in metric.measures]
    sql = f"SELECT {', '.join(shown)} FROM {rows} AS r"
    if chosen:
        sql += f" WHERE {' AND '.join(chosen)}"
    return f"{sql} GROUP BY {', '.join(grouped)}" if grouped else sql


def _column(name: str) -> str:
    """A column of the rows: without its table ClickHouse takes a figure of the same name for it."""
    return f"r.{_quoted(name)}"


def _figure(measure: Measure) -> str:
    # Of nothing at all there is no sum and no average: only over what may be null does ClickHouse say so.
    of = [f"toNullable({_column(name)})" for name in measure.columns]
    if measure.kind == "count":
        return f"count({', '.join(of)})"
    if measure.kind == "count distinct":
        return f"uniqExact({of[0]})"
    if measure.kind == "quantile":
        return f"quantileExactInclusive({measure.number!r})(toFloat64({of[0]}))"
    if measure.kind == "top":
        plain = f"assumeNotNull({of[0]})"
        counts = _quoted(f"{measure.name}__counts")
        counted = f"(sumMapIf([{plain}], [toUInt64(1)], {of[0]} IS NOT NULL) AS {counts})"
        paired = f"arraySort(t -> (-toInt64(t.2), t.1), arrayZip({counted}.1, {counts}.2))"
        return f"arrayMap(t -> t.1, arraySlice({paired}, 1, {measure.number:.0f}))"
    if measure.kind == "share":
        counted = "count()" if len(of) == 1 else f"countIf({of[1]})"
        return f"countIf({' AND '.join(of)}) / nullIf({counted}, 0)"
    return f"{measure.kind}({of[0]})"
