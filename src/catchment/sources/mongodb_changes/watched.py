"""What of a database is followed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bson.timestamp import Timestamp
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference

from catchment.errors import ConfigError
from catchment.records import Finding
from catchment.sources.mongodb.documents import Rendering
from catchment.sources.mongodb.server import Documents, Server
from catchment.sources.mongodb_changes.position import Position

# How more of the log is kept.
LARGER_OPLOG = "replSetResizeOplog with a larger size or minRetentionHours"

# With less of a log than this a run every night may come too late.
_SHORT_LOG_S = 24 * 3600


@dataclass(frozen=True)
class Followed:
    """A collection as one stream follows it."""

    collection: str
    rendering: Rendering


class Watched:
    """A database and the collections of it that are followed, by stream."""

    def __init__(self, feed: str, server: Server, streams: Mapping[str, Followed]) -> None:
        self.feed = feed
        self._server = server
        self.streams = streams
        self.database = server.client[server.database]
        self.origin = f"{server.place}/{server.database}"
        # What a cursor says that a stream follows; hosts come and go.
        self.places = {name: f"{server.database}.{stream.collection}" for name, stream in streams.items()}

    @cached_property
    def by_collection(self) -> Mapping[str, tuple[str, ...]]:
        """Streams by collection; two may follow one, in different forms."""
        found: dict[str, tuple[str, ...]] = {}
        for name, stream in self.streams.items():
            found[stream.collection] = (*found.get(stream.collection, ()), name)
        return found

    def following(self, position: Position) -> Position:
        """As the project has it now: what was not followed is to be read anew."""
        return position.following(self.places)

    def names(self, position: Position) -> set[str]:
        """Collections to ask for: also those that were followed up to now, or the event that a token names may be none
        that the server would give."""
        here = f"{self.database.name}."
        before = {one for one in position.collections.values() if one is not None and one.startswith(here)}
        return {one.removeprefix(here) for one in before} | set(self.by_collection)

    def documents(self, stream: Followed) -> Documents:
        """What a majority has, by the primary: nothing in it is older than a place in the change stream."""
        found = self.database[stream.collection]
        return found.with_options(read_preference=ReadPreference.PRIMARY, read_concern=ReadConcern("majority"))

    def must_be_there(self, stream: str) -> None:
        """Raises ConfigError for a collection that the server does not have."""
        self._server.collection(f"{self.feed}.{stream}", self.streams[stream].collection)

    def now(self) -> Timestamp:
        """The last operation that the server has done. Raises ConfigError where it counts none."""
        time = self.operation_time()
        if time is None:
            message = f"{self.feed}: {self._server.place} counts no operations: it is no replica set"
            raise ConfigError(message, hint="change streams need a replica set, if only of one server: rs.initiate()")
        return time

    def operation_time(self) -> Timestamp | None:
        time = self.database.command("ping").get("operationTime")
        return time if isinstance(time, Timestamp) else None

    def findings(self, streams: Mapping[str, Followed]) -> Iterator[Finding]:
        """What a run would meet. Raises ConfigError where a collection is not there, as a first read would."""
        for name, stream in streams.items():
            self.must_be_there(name)
            asked: dict[str, Any] = {"filter": {"name": stream.collection}, "nameOnly": True}
            told = next(iter(self.database.list_collections(**asked)), {})
            kind = told.get("type", "collection")
            if kind != "collection":
                message = f"{self.feed}.{name}: `{stream.collection}` is a {kind}, which has no changes"
                yield Finding(self.feed, "error", message, "name the collections below it, or read it by `mongodb`")
        reach = self._oplog_s()
        if reach is not None and reach < _SHORT_LOG_S:
            message = f"the oplog of {self._server.place} reaches back {_words(reach)} only: run more often than that"
            yield Finding(self.feed, "warning", message, f"or make it larger: {LARGER_OPLOG}")

    def oplog_words(self) -> str:
        reach = self._oplog_s()
        return "" if reach is None else f"; the oplog reaches back {_words(reach)}"

    def _oplog_s(self) -> int | None:
        """How far the oplog reaches back, None where this user may not look."""
        with suppress(OperationFailure):
            oplog = self._server.client["local"]["oplog.rs"]
            first, last = (oplog.find_one({}, {"ts": 1}, sort=[("$natural", way)]) for way in (1, -1))
            if first and last:
                return int(last["ts"].time - first["ts"].time)
        return None


def _words(seconds: int) -> str:
    return f"{seconds // 3600:,} hours" if seconds >= 7200 else f"{seconds // 60} minutes"
