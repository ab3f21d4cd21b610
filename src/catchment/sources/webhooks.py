"""Deliveries that `catchment receive` has put into topics, each once however often it was sent.

A sender that hears no answer sends again, so that the topic may hold a delivery twice. Each message's key is the
delivery's id; one whose id was there before, within the time that the stream says, is left out and counted. The ids
that were seen ride in the commit that adds the rows, as the offsets do: a kill forgets none and doubles none.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import pyarrow as pa

from catchment.interfaces import Broker
from catchment.reading.durations import seconds
from catchment.reading.kinds.webhooks import ANSWERED_AGAIN_S
from catchment.records import Batch, Budget, Cursor, Description, Feed, Finding, Notice
from catchment.sources.topic.rows import key_text
from catchment.sources.topic.source import TopicSource

if TYPE_CHECKING:
    import duckdb

# So many deliveries are remembered, 24 bytes each; where more come within the time, the oldest are forgotten.
MOST_REMEMBERED = 2_000_000

# What was seen is written whole again after so many parts of it, or once most of it is too old to matter.
_MOST_PARTS = 64
_DEAD = 20_000

_MICRO = 1_000_000


class WebhookStream(Protocol):
    """What a project says about deliveries that a run reads; the rest concerns the receiver."""

    @property
    def topic(self) -> str | None: ...
    @property
    def format(self) -> Literal["json", "text"]: ...
    @property
    def on_gap(self) -> Literal["stop", "continue"]: ...
    @property
    def remember(self) -> str: ...


@dataclass(frozen=True)
class _Topic:
    """The stream as one of a topic."""

    topic: str | None
    format: Literal["json", "text", "avro", "protobuf", "debezium"]
    on_gap: Literal["stop", "continue"]
    from_: Literal["earliest", "latest"] = "earliest"
    tombstones: Literal["row", "defect"] = "defect"
    schema_: None = None
    message: None = None
    shards: int = 1
    via: None = None


class WebhooksSource(TopicSource):
    """Streams of deliveries, each the whole of one topic but for what came again."""

    def __init__(self, name: str, streams: Mapping[str, WebhookStream], folder: Path, *, broker: Broker) -> None:
        topics = {key: _Topic(stream.topic, stream.format, stream.on_gap) for key, stream in streams.items()}
        super().__init__(name, topics, folder, broker=broker)
        self._remember = {key: stream.remember for key, stream in streams.items()}

    def read(self, feed: Feed, since: Cursor | None, budget: Budget) -> Iterator[Batch]:
        """As of a topic; each load tells how many deliveries it left out."""
        memory = Memory(since, self._window_s(feed))
        left_out = 0
        for batch in super().read(feed, since, budget):
            fresh = memory.fresh(batch.rows.column("message_key"), batch.rows.column("message_at"))
            left_out += len(fresh) - int(fresh.sum())
            rows = batch.rows if fresh.all() else batch.rows.filter(pa.array(fresh))
            if batch.cursor is None:
                yield replace(batch, rows=rows)
                continue
            cursor, notices = memory.cursor(batch.cursor)
            told = [*batch.notices, *notices, *self._left_out(feed, left_out)]
            left_out = 0
            yield replace(batch, rows=rows, cursor=cursor, notices=told)

    def describe(self, feed: Feed, since: Cursor | None) -> Description:
        """Deliveries that came again are counted as new: reading them tells."""
        if since is None and self._topic(feed) not in self._broker.topics():
            return Description(item="message", notices=(Notice("nothing_found", self._nothing(feed)),))
        return super().describe(feed, since)

    def probe(self, feed: Feed) -> Sequence[Finding]:
        if self._topic(feed) not in self._broker.topics():
            return [Finding(feed.name, "warning", self._nothing(feed), "start it: catchment receive")]
        return super().probe(feed)

    def _nothing(self, feed: Feed) -> str:
        return f"nothing was received yet for {feed.name}: there is no topic {self._topic(feed)}"

    def recognize(self, feed: Feed, origins: pa.Table) -> Cursor:
        """What was seen is found again in the topic, as far as that is kept."""
        found = super().recognize(feed, origins)
        memory = Memory(None, self._window_s(feed))
        topic = self._topic(feed)
        until = {int(partition): offset for partition, offset in found.value["offsets"].items()}
        first = {partition: bounds[0] for partition, bounds in self._broker.bounds(topic).items()}
        for messages in self._broker.read(topic, first, until):
            memory.fresh(key_text(messages.column("key")), messages.column("at"))
        return memory.cursor(found)[0]

    def _window_s(self, feed: Feed) -> int:
        """The receiver answers some that come again by itself, so that the topic does not tell when they came last."""
        return (seconds(self._remember[feed.name.removeprefix(f"{self.name}.")]) or 0) + ANSWERED_AGAIN_S

    def _left_out(self, feed: Feed, count: int) -> Sequence[Notice]:
        if not count:
            return ()
        within = self._remember[feed.name.removeprefix(f"{self.name}.")]
        what = "delivery that came" if count == 1 else "deliveries that came"
        message = f"{count:,} {what} again within {within} left out"
        return [Notice("left_out", message, {"stream": feed.name, "deliveries": count})]


class Memory:
    """Ids of deliveries and when each came last, from which a next one is known."""

    def __init__(self, since: Cursor | None, window_s: int) -> None:
        self._seen = None if since is None else since.seen
        self._parts = 0 if since is None else int(since.value.get("parts", 0))
        self._window = window_s * _MICRO

    def fresh(self, keys: pa.ChunkedArray, instants: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which of them were not there before; all of them are remembered. One without a key is always new."""
        place = pa.array(np.arange(len(keys)))
        came = pa.table({"place": place, "key": keys, "came_at": instants.cast(pa.int64())})
        self._run(
            "CREATE OR REPLACE TEMP TABLE came AS"
            " SELECT place, unhex(left(sha256(key), 32)) AS id, came_at FROM given WHERE key IS NOT NULL",
            came,
        )
        again = self._run(
            "WITH known AS (SELECT id, max(last_at) AS last_at FROM seen SEMI JOIN came USING (id) GROUP BY id),"
            " placed AS (SELECT *, max(came_at) OVER earlier AS before FROM came WINDOW earlier AS"
            " (PARTITION BY id ORDER BY place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING))"
            " SELECT place FROM placed LEFT JOIN known USING (id)"
            f" WHERE abs(came_at - greatest(before, last_at)) <= {self._window}"
        )
        for table in ("seen", "added"):
            self._run(f"INSERT INTO {table} SELECT id, max(came_at) FROM came GROUP BY id")
        found = np.ones(len(keys), np.bool_)
        found[again.column("place").to_numpy()] = False
        return found

    def cursor(self, at: Cursor) -> tuple[Cursor, Sequence[Notice]]:
        """A place in the topic with what was seen up to it: mostly only what was added since the last one."""
        added = self._run("SELECT id, max(last_at) AS last_at FROM added GROUP BY id ORDER BY last_at, id")
        self._run("DELETE FROM added")
        if not added.num_rows:
            return replace(at, value={**at.value, "parts": self._parts}), ()
        kept, live = (self._count(where) for where in ("", f"WHERE last_at >= {self._horizon()}"))
        if self._parts < _MOST_PARTS and kept <= 2 * live + _DEAD and live <= MOST_REMEMBERED:
            self._parts += 1
            return Cursor({**at.value, "parts": self._parts}, added, counts=False), ()
        return self._whole(at)

    def _whole(self, at: Cursor) -> tuple[Cursor, Sequence[Notice]]:
        self._run(
            "CREATE OR REPLACE TEMP TABLE seen AS"
            f" SELECT id, max(last_at) AS last_at FROM seen WHERE last_at >= {self._horizon()} GROUP BY id"
        )
        known = self._count()
        self._run(f"CREATE OR REPLACE TEMP TABLE seen AS FROM seen ORDER BY last_at DESC, id LIMIT {MOST_REMEMBERED}")
        self._parts = 1
        cursor = Cursor({**at.value, "parts": 1}, self._run("FROM seen"), anew=True, counts=False)
        if known <= MOST_REMEMBERED:
            return cursor, ()
        message = f"more than {MOST_REMEMBERED:,} deliveries came within the time for which they are remembered"
        return cursor, [Notice("window_shortened", f"{message}: the oldest are forgotten")]

    def _horizon(self) -> int:
        """Who came last before this is forgotten. A clock that ran ahead must not make others forgotten."""
        newest = self._run("SELECT coalesce(max(last_at), 0) AS newest FROM seen").column("newest")[0].as_py()
        return min(int(newest), time.time_ns() // 1000) - self._window

    def _count(self, where: str = "") -> int:
        return int(self._run(f"SELECT count(*) AS n FROM seen {where}").column("n")[0].as_py())

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        import duckdb

        connection = duckdb.connect()
        connection.execute("SET threads = 1; SET memory_limit = '1GB'; SET temp_directory = ''")
        connection.execute(
            "CREATE TEMP TABLE seen (id BLOB, last_at BIGINT); CREATE TEMP TABLE added (id BLOB, last_at BIGINT)"
        )
        if self._seen is not None:
            connection.register("given", self._seen)
            connection.execute("INSERT INTO seen SELECT id, last_at FROM given")
            connection.unregister("given")
        return connection

    def _run(self, sql: str, given: pa.Table | None = None) -> pa.Table:
        if given is not None:
            self._connection.register("given", given)
        found = self._connection.execute(sql).to_arrow_table()
        if given is not None:
            self._connection.unregister("given")
        return found
