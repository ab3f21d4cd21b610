"""Redis: keys of a pattern with their values, and streams.

Keys are found with SCAN and read in small steps, so that the server goes on answering others; a key that was there
from beginning to end is read once, one that came or went meanwhile may be. Each read is whole, and thrown away where
nothing but times to live has changed. Streams are read by id: exactly once into bronze, because the last id rides in
the commit that adds the rows. Nothing is written to the server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Protocol

import pyarrow as pa

from catchment import naming
from catchment.errors import ConfigError, RetryableError
from catchment.interfaces import Source
from catchment.records import Abilities, Batch, Budget, Cursor, Description, Feed, Finding
from catchment.sources.document_rows import Marks, Whole, mark, packed
from catchment.sources.redis.find import find
from catchment.sources.redis.server import Client, Server
from catchment.sources.redis.streams import Following, recognized
from catchment.sources.redis.values import Values

__all__ = ["RedisSource", "find"]

# So many places of the server's table of keys are looked at in one step of SCAN, about 0.1 ms.
_STEP = 200

# Keys wait for each other until they are worth handing on.
_BATCH = 8 << 20


class RedisStream(Protocol):
    """What a project says about keys, or a stream."""

    @property
    def keys(self) -> str | None: ...
    @property
    def stream(self) -> str | None: ...


class RedisSource(Source):
    """Streams of keys and of entries, of one database."""

    abilities: ClassVar[Abilities] = Abilities(brings_documents=True, takes_new=True, takes_whole=True)

    def __init__(self, name: str, streams: Mapping[str, RedisStream], folder: Path, *, url: str) -> None:
        self.name = name
        self._streams = dict(streams)
        self._server = Server(url)

    def feeds(self) -> Sequence[Feed]:
        names = [f"{self.name}.{stream}" for stream in self._streams]
        return [Feed(name, naming.bronze_table(name)) for name in names]

    def describe(self, feed: Feed, since: Cursor | None) -> Description:
        """Of keys only whether there are any: reading them tells what has changed."""
        stream = self._stream(feed)
        with self._server.told(feed.name):
            if stream.stream is not None:
                return self._following(feed, stream.stream, since).describe()
            _was_keys(feed, since)
            if since is not None:
                return Description(1, 0, "whole read")
            keys = sum(map(len, scan(self._server.client, str(stream.keys))))
            return Description(keys, 0, "key")

    def read(self, feed: Feed, since: Cursor | None, budget: Budget) -> Iterator[Batch]:
        """Keys are one load; a load of a stream may end after any entry."""
        stream = self._stream(feed)
        with self._server.told(feed.name):
            if stream.stream is not None:
                yield from self._following(feed, stream.stream, since).read(budget)
            else:
                _was_keys(feed, since)
                yield from self._keys(feed, str(stream.keys), since, budget)

    def _keys(self, feed: Feed, pattern: str, since: Cursor | None, budget: Budget) -> Iterator[Batch]:
        origin, started = self._server.place, self._server.run_id()
        whole, values = Whole(feed.name, origin, since), Values(self._server.client)
        rows, size = whole.rows(), 0
        wanted = budget.rows if since is None else None
        for keys in scan(self._server.client, pattern):
            for found in values.read(keys):
                whole.digest.add(found.mark)
                if found.defect is None:
                    rows.add(origin, found.document())
                else:
                    rows.add_defect(origin, f"key {found.shown}: {found.defect}", found.raw, found.size or None)
                size += found.size
                if size >= _BATCH:
                    yield whole.batch(rows, size)
                    rows, size = whole.rows(), 0
            if wanted is not None and whole.digest.count >= wanted:
                break
        if self._server.run_id() != started:
            message = f"{feed.name}: {origin} was started again while its keys were read"
            raise RetryableError(message, hint="they are read again")
        if len(rows):
            yield whole.batch(rows, size)
        yield from whole.end()

    def acknowledge(self, feed: Feed, cursor: Cursor) -> None:
        """Redis does not want to hear: entries are not taken from a stream by reading them."""

    def recognize(self, feed: Feed, origins: pa.Table) -> Cursor:
        """The last entry of a stream that has landed. Raises ConfigError for keys."""
        if self._stream(feed).stream is None:
            message = f"the rows of {feed.table} do not tell how far {feed.name} was read"
            raise ConfigError(message, hint=f"move {feed.table} away and run again: the keys are read anew")
        landed = zip(origins.column("_origin").to_pylist(), origins.column("rows").to_pylist(), strict=True)
        return recognized(feed.name, str(feed.table), landed)

    def probe(self, feed: Feed) -> Sequence[Finding]:
        """Reads at most one step of keys and the value of the first."""
        stream = self._stream(feed)
        with self._server.told(feed.name):
            self._server.client.ping()
        try:
            with self._server.told(feed.name):
                self._server.run_id()
                if stream.stream is not None:
                    return [self._probe_stream(feed, stream.stream)]
                return [self._probe_keys(feed, str(stream.keys))]
        except ConfigError as error:
            return [Finding(feed.name, "error", error.message, error.hint)]

    def _probe_stream(self, feed: Feed, key: str) -> Finding:
        following = self._following(feed, key, None)
        found = following.standing()
        if found is None:
            hint = "correct `stream:`, or wait for the first entry"
            return Finding(feed.name, "warning", f"there is no stream {following.shown}", hint)
        return Finding(feed.name, "ok", f"{found.length:,} entries in {following.shown}")

    def _probe_keys(self, feed: Feed, pattern: str) -> Finding:
        client = self._server.client
        first = next((keys for keys in scan(client, pattern) if keys), [])
        list(Values(client).read(first[:1]))
        if not first:
            return Finding(feed.name, "warning", f"no key in {self._server.place} fits {pattern}", "correct `keys:`")
        size = client.dbsize()
        return Finding(feed.name, "ok", f"keys that fit {pattern} among {size:,} in {self._server.place}")

    def close(self) -> None:
        self._server.close()

    def _stream(self, feed: Feed) -> RedisStream:
        return self._streams[feed.name.removeprefix(f"{self.name}.")]

    def _following(self, feed: Feed, key: str, since: Cursor | None) -> Following:
        return Following(self._server.client, feed.name, self._server.place, key, since)


def scan(client: Client, pattern: str) -> Iterator[list[bytes]]:
    """The keys that fit, a step at a time and sorted in it, each once: SCAN may give a key twice."""
    cursor, known = 0, Marks()
    while True:
        cursor, found = client.scan(cursor, match=pattern, count=_STEP)
        keys = sorted(set(found))
        marks = packed([mark(key) for key in keys])
        new = ~known.hold(marks)
        known.add(marks[new])
        yield [key for key, is_new in zip(keys, new.tolist(), strict=True) if is_new]
        if cursor == 0:
            return


def _was_keys(feed: Feed, since: Cursor | None) -> None:
    """Raises ConfigError where the stream was one of entries."""
    if since is not None and "id" in since.value:
        message = f"{feed.name} was read as a stream; the project now says `keys:`"
        raise ConfigError(message, hint="write `stream:` again, or land the keys under another name")
