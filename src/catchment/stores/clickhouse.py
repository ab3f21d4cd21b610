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
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import clickhouse_connect
from clickhouse_connect.driver import exceptions

from catchment.errors import ConfigError, RetryableError
from catchment.metric import LiveFeed, Metric, Owner, Through
from catchment.naming import LIVE, literal
from catchment.records import Token
from catchment.stores.applied import TABLE, AppliedStore, Held, fitting_in, going_on, metrics_in, table_in
from catchment.stores.clickhouse_sql import created, figures, quoted
from catchment.stores.clickhouse_topic import group as group_of
from catchment.stores.clickhouse_topic import queue, queue_sql, read_columns, taking, taking_sql, without_secrets

if TYPE_CHECKING:
    import pyarrow as pa
    from clickhouse_connect.driver.client import Client

_STATE = "catchment__state"
_IDENTITY = "store:identity"
_PROBE = "catchment__probe"
_INSERT_ROWS = 500_000


def _silent(_: str) -> None:
    """Nobody listens to the named points."""


class ClickHouseLiveStore(AppliedStore):
    """`url` is `http://user:password@host:8123/database`, or `https://…`."""

    def __init__(
        self, url: str, *, suffix: str = "", owner: Owner | None = None, reached: Callable[[str], None] = _silent
    ) -> None:
        self._parts = urllib.parse.urlsplit(url)
        if self._parts.scheme not in ("http", "https") or not self._parts.hostname or not _has_port(self._parts):
            message = "the address of ClickHouse is none that can be used"
            raise ConfigError(message, hint="write url: http://host:8123/live, with https:// where it is encrypted")
        self._database = (self._parts.path.strip("/") or LIVE) + suffix
        self._owner = owner
        self._reached = reached
        self._has_state = False
        self._is_ours = False
        self._newest = 0

    def feed(
        self,
        feed: LiveFeed,
        rows: pa.RecordBatchReader,
        token: Token,
        *,
        anew: bool = False,
        since: Token | None = None,
    ) -> int:
        state = self._claimed()
        held = going_on(state, feed, since, anew=anew)
        if anew or held is None:
            return self._feed_anew(feed, rows, token, held, state)
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
        self._prepare()
        number = 1 if held is None else held.number + 1
        # Rows of one that died stay behind under their number.
        table = f"{feed.name}__{number}"
        self._command(f"DROP TABLE IF EXISTS {self._name(table)}")
        self._command(created(self._name(table), feed, rows.schema))
        count = self._insert(table, rows)
        self._reached("live.taken")
        now_held = Held(table, number, feed.fingerprint, token, served=False)
        self._remember({f"{TABLE}{feed.name}": now_held.value()})
        self._reached("live.kept")
        self._serve(feed.name, now_held, state)
        return count

    def _serve(self, feed: str, held: Held, state: Mapping[str, Any]) -> None:
        """Show the rows of the table that the state names, and drop those of the others."""
        self._command(self._shown(feed, held.table))
        self._reached("live.shown")
        for metric in metrics_in(state, feed):
            self._command(self._view(metric, held))
        older = f"database = {literal(self._database)} AND match(name, {literal(f'^{feed}__[0-9]+$')})"
        listed = f"SELECT name FROM system.tables WHERE {older} AND name <> {literal(held.table)}"
        for (name,) in self._rows(listed):
            for statement in self._dropped_rows(name):
                self._command(statement)
        self._remember({f"{TABLE}{feed}": replace(held, served=True).value()})
        self._reached("live.fed")

    def _shown(self, feed: str, table: str) -> str:
        view = self._name(f"{feed}__rows")
        return f"CREATE OR REPLACE VIEW {view} AS\nSELECT * FROM {self._name(table)} FINAL"

    def query(self, sql: str) -> pa.RecordBatchReader:
        import pyarrow as pa

        if not self._is_ours:
            self._known()
            self._is_ours = True  # until it is closed
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
        self._has_state = self._is_ours = False

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
        where = self._server
        try:
            yield
        except exceptions.OperationalError as error:
            message = f"ClickHouse at {where} does not answer: {_cause(error)}"
            raise RetryableError(message, hint="is it running, and is url of the target right?") from error
        except exceptions.ClickHouseError as error:
            message = f"ClickHouse at {where} refuses: {_first_line(error)}"
            raise ConfigError(message, hint="metrics are views in schema live: catchment live status") from error

    @property
    def _server(self) -> str:
        return f"{self._parts.hostname}:{self._parts.port or (8443 if self._parts.scheme == 'https' else 8123)}"

    def _described(self) -> tuple[str, str]:
        cure = (
            "name another database in live.url of the target; or, where nobody needs those figures any more, take it"
            f" over: DROP DATABASE {quoted(self._database)} in ClickHouse, then catchment live feed"
        )
        return f"the database {self._database} of ClickHouse at {self._server}", cure

    def _name(self, table: str) -> str:
        return f"{quoted(self._database)}.{quoted(table)}"

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
        for statement in self._grounds():
            self._command(statement)

    def _grounds(self) -> Sequence[str]:
        return [
            f"CREATE DATABASE IF NOT EXISTS {quoted(self._database)}",
            f"CREATE TABLE IF NOT EXISTS {self._name(_STATE)} (name String, value String, number UInt64)"
            "\nENGINE = ReplacingMergeTree(number)\nORDER BY name",
        ]

    def _made(self, state: Mapping[str, Any], feed: LiveFeed, columns: pa.Schema) -> Sequence[str]:
        table = table_in(state, feed)
        found = [created(self._name(table), feed, columns), self._shown(feed.name, table)]
        if feed.through is not None:
            identity = state.get(_IDENTITY, f"{self._database}-[given by the first feeding]")
            found += self._taken_by(feed, without_secrets(feed.through), table, identity)
        return found

    def _state(self) -> dict[str, Any]:
        if not self._has_state:
            known = f"database = {literal(self._database)} AND name = {literal(_STATE)}"
            if not self._rows(f"SELECT 1 FROM system.tables WHERE {known}"):
                return {}
            self._has_state = True
        rows = self._rows(f"SELECT name, value, number FROM {self._name(_STATE)} FINAL")
        self._newest = max((number for *_, number in rows), default=0)
        return {name: json.loads(value) for name, value, _ in rows if value}

    def _remember(self, entries: Mapping[str, Any]) -> None:
        """All of them in one block, which is there as a whole or not at all; the state was read before."""
        import pyarrow as pa

        if entries:
            self._newest = max(self._newest + 1, time.time_ns() // 1000)
            values = ["" if value is None else json.dumps(value) for value in entries.values()]
            numbers = pa.array([self._newest] * len(entries), pa.uint64())
            # As Arrow: of other rows the client asks for the table's columns first.
            self._send(_STATE, pa.table({"name": list(entries), "value": values, "number": numbers}))

    def _do(self, statements: Sequence[str], entries: Mapping[str, Any]) -> None:
        self._prepare()
        for statement in statements:
            self._command(statement)
        self._remember(entries)

    def _view(self, metric: Metric, held: Held) -> str:
        return self._counted(metric)

    def _view_over(self, metric: Metric, columns: pa.Schema) -> str:
        return self._counted(metric)

    def _counted(self, metric: Metric) -> str:
        rows, told = self._name(f"{metric.feed}__rows"), literal(f"live.{metric.name} ({metric.fingerprint})")
        return f"CREATE OR REPLACE VIEW {self._name(metric.name)} AS\n{figures(metric, rows)}\nCOMMENT {told}"

    def _dropped_view(self, metric: str) -> str:
        return f"DROP VIEW IF EXISTS {self._name(metric)}"

    def _dropped_feed(self, feed: str, held: Held) -> Sequence[str]:
        return [f"DROP VIEW IF EXISTS {self._name(f'{feed}__rows')}", *self._dropped_rows(held.table)]

    def _dropped_rows(self, table: str) -> Sequence[str]:
        """Who reads goes first, then what is read from, then what is written into."""
        return [
            f"DROP VIEW IF EXISTS {self._name(taking(table))}",
            f"DROP TABLE IF EXISTS {self._name(queue(table))}",
            f"DROP TABLE IF EXISTS {self._name(table)}",
        ]

    # Rows that a topic brings.

    def group(self, feed: LiveFeed) -> str | None:
        """The consumer group of the feed's rows, None where there are none yet."""
        state = self._known()
        held = fitting_in(state, feed)
        return None if held is None else group_of(self._identity(state), held.table)

    def _identity(self, state: Mapping[str, Any]) -> str:
        """What tells this store from all others that read the same topics, also from one of the same name."""
        if _IDENTITY not in state:
            made = f"{self._database}-{uuid.uuid4().hex[:8]}"
            self._remember({_IDENTITY: made})
            return made
        found: str = state[_IDENTITY]
        return found

    def take(self, feed: LiveFeed) -> None:
        """Take rows from the feed's topic from now on; twice is once. Raises ConfigError for what cannot be computed
        here as it is elsewhere."""
        state = self._claimed()
        held = fitting_in(state, feed)
        if held is None or feed.through is None:
            message = f"the live store has no rows of silver.{feed.name} that a topic could go on with"
            raise ConfigError(message, hint="feed them anew: catchment live feed")
        for statement in self._taken_by(feed, feed.through, held.table, self._identity(state)):
            self._command(statement)
        self._reached("live.queued")
        if not held.taking:
            self._remember({f"{TABLE}{feed.name}": replace(held, taking=True).value()})

    def _taken_by(self, feed: LiveFeed, through: Through, table: str, identity: str) -> Sequence[str]:
        rows, source = self._name(table), self._name(queue(table))
        read, group = read_columns(feed, through), group_of(identity, table)
        return [
            queue_sql(source, through, read, group),
            taking_sql(self._name(taking(table)), rows, source, feed, through),
        ]

    def knock(self, through: Through, group: str | None) -> bool:
        """Have a consumer of that group join; whether it was let in by now. None: have done with it."""
        nowhere = self._name(_PROBE)
        if group is None:
            for statement in self._dropped_rows(_PROBE):
                self._command(statement)
            return True
        self._prepare()
        self._command(f"CREATE TABLE IF NOT EXISTS {nowhere} (value Nullable(String)) ENGINE = Null")
        self._command(queue_sql(self._name(queue(_PROBE)), through, ["value"], group))
        view, source = self._name(taking(_PROBE)), self._name(queue(_PROBE))
        self._command(f"CREATE MATERIALIZED VIEW IF NOT EXISTS {view} TO {nowhere} AS SELECT value FROM {source}")
        asked = f"SELECT sum(length(`assignments.topic`)) FROM system.kafka_consumers WHERE {self._queued(_PROBE)}"
        return bool(self._rows(asked)[0][0])

    def troubles(self, feed: LiveFeed) -> Sequence[str]:
        """What ClickHouse has met with when it read the feed's topic since it last took something, newest first, with
        the time."""
        held = fitting_in(self._known(), feed)
        if held is None:
            return []
        listed = (
            "SELECT arrayJoin(arrayZip(`exceptions.time`, `exceptions.text`)) AS told, last_commit_time AS taken"
            f" FROM system.kafka_consumers WHERE {self._queued(held.table)}"
        )
        since = f"SELECT toUnixTimestamp(told.1), told.2 FROM ({listed}) WHERE told.1 >= taken ORDER BY 1 DESC"
        return [
            f"{words.partition(chr(10))[0]} ({datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC)"
            for at, words in self._rows(since)
        ]

    def _queued(self, table: str) -> str:
        return f"database = {literal(self._database)} AND table = {literal(queue(table))}"


def _has_port(parts: urllib.parse.SplitResult) -> bool:
    """Whether the port, if there is one, is a number that can be one."""
    try:
        return parts.port is None or parts.port > 0
    except ValueError:
        return False


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
