"""Changes of collections of MongoDB, all in one bronze table, in the order of the database's change stream.

A place in the stream is taken first; then each collection is read whole, one load a collection; then the stream is
followed from that place. What changed while the collections were read comes twice, the second time as a newer row, so
that the end is the same. An update brings the document as it is when the server looks it up, which may be newer than
the update. Guarantee: exactly once in bronze, because the resume token rides in the commit; nothing is left out as
long as the server's oplog keeps what comes after the token, and a gap is said. Nothing is written to the database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import pyarrow as pa
from pymongo.errors import OperationFailure

from catchment import naming
from catchment.errors import ConfigError, Passed
from catchment.interfaces import Source
from catchment.records import Abilities, Batch, Budget, Cursor, Description, Feed, Finding, Notice
from catchment.sources.mongodb.documents import Rendering
from catchment.sources.mongodb.server import Server
from catchment.sources.mongodb_changes.position import Position
from catchment.sources.mongodb_changes.reading import Reading
from catchment.sources.mongodb_changes.tail import Tail, is_gap
from catchment.sources.mongodb_changes.watched import LARGER_OPLOG, Followed, Watched

# So many new events are counted one by one.
_COUNTED = 1000

# No replica set.
_ALONE = (40573,)


class MongoChangesStream(Protocol):
    """What a project says about a collection that is followed."""

    @property
    def collection(self) -> str: ...
    @property
    def extended_json(self) -> Literal["canonical", "relaxed"]: ...


class MongoChangesSource(Source):
    """Streams of collections of one database, as one log. Between reads its connection stays open, and so does the
    change stream, for whoever reads on from the cursor that was given last."""

    abilities: ClassVar[Abilities] = Abilities(keeps_types=True, brings_documents=True, takes_new=True, resumes=True)

    def __init__(
        self,
        name: str,
        streams: Mapping[str, MongoChangesStream],
        folder: Path,
        *,
        url: str,
        database: str | None = None,
        on_gap: Literal["stop", "snapshot"] = "stop",
    ) -> None:
        self.name = name
        self._server = Server(url, database)
        self._on_gap = on_gap
        self._streams = {
            stream: Followed(keys.collection, Rendering(keys.extended_json)) for stream, keys in streams.items()
        }
        self._open: tuple[Mapping[str, Any], Tail] | None = None  # a change stream, and the cursor that it goes on from

    def feeds(self) -> Sequence[Feed]:
        return [Feed(self.name, naming.changes_table(self.name))]

    def describe(self, feed: Feed, since: Cursor | None) -> Description:
        """Counts a thousand events at most, and documents of collections that are to be read whole by what the server
        believes."""
        with self._told(feed):
            watched = self._watched(feed)
            asked = Position.of(since)
            position = watched.following(asked)
            notices: tuple[Notice, ...] = ()
            events = 0
            if position.token is not None:
                try:
                    events = self._events(watched, asked)
                except OperationFailure as error:
                    notices = (self._gap(error, position),)
                    position = position.lost()
            missing = [stream for name, stream in self._streams.items() if position.collections.get(name) is None]
            documents = sum(watched.documents(stream).estimated_document_count() for stream in missing)
            at_least = bool(documents) or events >= _COUNTED
            return Description(events + documents, 0, "change", notices, at_least=at_least)

    def _events(self, watched: Watched, position: Position) -> int:
        tail = Tail(watched.database, watched.names(position), position.token, whole=False)
        try:
            end = watched.now()
            found = 0
            while found < _COUNTED and tail.next_until(end) is not None:
                found += 1
            return found
        finally:
            tail.close()

    def read(self, feed: Feed, since: Cursor | None, budget: Budget) -> Iterator[Batch]:
        """Up to what the server had done when the stream was asked; a load ends between two commits."""
        with self._told(feed):
            watched = self._watched(feed)
            position = Position.of(since)
            if since is None and budget.rows is not None:
                yield from Reading(watched, position, budget).look(budget.rows)
                return
            reading = Reading(watched, position, budget, self._taken(since))
            try:
                yield from self._batches(reading)
                self._keep(reading, since)
            finally:
                reading.close()

    def _batches(self, reading: Reading) -> Iterator[Batch]:
        """A gap that may be closed is, once a read: a server that forgets faster than it can be read is no cure."""
        try:
            yield from reading.batches()
        except OperationFailure as error:
            notice = self._gap(error, reading.position)
            yield from reading.begin_anew(notice)

    def _taken(self, since: Cursor | None) -> Tail | None:
        """The change stream that is open, where it goes on from there."""
        kept, self._open = self._open, None
        if kept is None:
            return None
        cursor, tail = kept
        if since is not None and dict(since.value) == cursor:
            return tail
        tail.close()
        return None

    def _keep(self, reading: Reading, since: Cursor | None) -> None:
        given = reading.given or (None if since is None else dict(since.value))
        tail = reading.give_up_tail()
        if given is not None and tail is not None:
            self._open = (given, tail)

    def _gap(self, error: OperationFailure, position: Position) -> Notice:
        """What is told before everything is read anew. Raises Passed where that is not wanted."""
        if not is_gap(error):
            raise error
        said = str((error.details or {}).get("errmsg", "")) or str(error)
        message = (
            f"{self._server.place} cannot give the changes after the last one in {self.name}, of {position.at}:"
            f" what came since may be lost ({said.rstrip('.')})"
        )
        if self._on_gap == "snapshot":
            return Notice("lost", f"{message}; every collection is read anew", {"stream": self.name})
        hint = (
            f"write `on_gap: snapshot` at sources.{self.name}: the next run reads every collection anew, and what is no"
            f" longer there goes; run more often, or make the oplog larger ({LARGER_OPLOG})"
        )
        raise Passed(message, hint=hint) from None

    def acknowledge(self, feed: Feed, cursor: Cursor) -> None:
        """The server keeps its oplog for a time or a size, whoever has read it."""

    def recognize(self, feed: Feed, origins: pa.Table) -> Cursor:
        """Raises ConfigError: rows in bronze do not hold the token."""
        message = f"the rows of {feed.table} do not tell how far {feed.name} was followed"
        raise ConfigError(message, hint=f"move {feed.table} away and run again: every collection is read anew")

    def probe(self, feed: Feed) -> Sequence[Finding]:
        """Opens a change stream and closes it again; reads no document."""
        with self._told(feed):
            self._server.client.admin.command("ping")
        found: list[Finding] = []
        try:
            with self._told(feed):
                watched = self._watched(feed)
                Tail(watched.database, watched.by_collection).close()
                found = list(watched.findings(self._streams))
                rows = sum(watched.documents(stream).estimated_document_count() for stream in self._streams.values())
        except ConfigError as error:
            return [Finding(feed.name, "error", error.message, error.hint)]
        reaches = watched.oplog_words()
        words = f"about {rows:,} documents in {len(self._streams)} collections of {watched.origin}{reaches}"
        return found or [Finding(feed.name, "ok", words)]

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None
        self._server.close()

    def _watched(self, feed: Feed) -> Watched:
        return Watched(feed.name, self._server, self._streams)

    @contextmanager
    def _told(self, feed: Feed) -> Iterator[None]:
        with self._server.told(feed.name):
            try:
                yield
            except OperationFailure as error:
                raise self._in_words(error, feed.name) from None

    def _in_words(self, error: OperationFailure, feed: str) -> Exception:
        """The error itself where it is one that any reader of MongoDB may meet."""
        place = self._server.place
        if error.code in _ALONE:
            hint = "start mongod with `--replSet rs0` and say `rs.initiate()` once, even to one server alone"
            return ConfigError(f"{feed}: {place} is no replica set, and only those have change streams", hint=hint)
        if is_gap(error):
            return Passed(
                f"{feed}: {place} forgets faster than its collections are read",
                hint=f"make its oplog larger: {LARGER_OPLOG}",
            )
        return error
