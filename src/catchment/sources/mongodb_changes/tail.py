"""The end of a database's change stream, one event after the other."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from pymongo.change_stream import DatabaseChangeStream
from pymongo.database import Database
from pymongo.errors import OperationFailure

from catchment.sources.mongodb.documents import OPTIONS
from catchment.sources.mongodb_changes.position import time_of

Event = Mapping[str, Any]

# So long the server waits for a change before it says that there is none.
_WAIT_MS = 100

# So many events are asked for at a time; with the documents looked up, the server gives at most 16 MB.
_AT_A_TIME = 1000

# What follows a token is no longer there, the token is of another server, or an event is larger than 16 MB:
# CappedPositionLost, InvalidResumeToken, ChangeStreamFatalError, ChangeStreamHistoryLost, BSONObjectTooLarge.
_GAPS = (136, 260, 280, 286, 10334)

# Events of a database as a whole, which name no collection.
_OF_ALL = ("dropDatabase", "invalidate")


def is_gap(error: OperationFailure) -> bool:
    """Whether the server cannot go on from the place where the stream was followed to."""
    return error.code in _GAPS


class Tail:
    """Follows the named collections after `token`, from now on where it is None. Raises what PyMongo does."""

    def __init__(
        self, database: Database[Any], collections: Collection[str], token: Any = None, *, whole: bool = True
    ) -> None:
        """Without `whole` events come without their documents, to be counted."""
        self._database = database.with_options(OPTIONS.with_options(document_class=RawBSONDocument))
        self._pipeline = _pipeline(collections, whole=whole)
        self._whole = whole
        self._back: Event | None = None
        self._is_at_end = False
        self._stream = self._opened(token)
        self.token = self._after_all() if token is None else token

    def _opened(self, token: Any) -> DatabaseChangeStream[Any]:
        # Unlike `resume_after`, `start_after` goes on behind an invalidate too.
        return self._database.watch(
            self._pipeline,
            full_document="updateLookup" if self._whole else None,
            start_after=token,
            max_await_time_ms=_WAIT_MS,
            batch_size=_AT_A_TIME,
        )

    @property
    def is_at_end(self) -> bool:
        """Whether `token` lies after every event that was given."""
        return self._is_at_end and self._back is None

    def next(self) -> Event | None:
        """The next event, None where there is none for the moment."""
        event, self._back = self._back, None
        if event is not None:
            return event
        if not self._stream.alive:
            self.token = self._after_all()
            self._stream = self._opened(self.token)
        event = self._stream.try_next()
        self._is_at_end = event is None
        if event is None:
            self.token = self._after_all()
        return event

    def _after_all(self) -> dict[str, Any] | None:
        """The token behind what the server has looked through."""
        token = self._stream.resume_token
        return None if token is None else dict(token)

    def next_until(self, end: Timestamp) -> Event | None:
        """The next event, None where it happened after `end` or all up to then was told.

        The server may answer that there is nothing while it still looks through other collections' events. It ends as
        well where it gets no further: what a majority does not have yet is for the next read.
        """
        while True:
            before = self.token
            event = self.next()
            if event is not None:
                is_later = event["clusterTime"] > end
                self._back = event if is_later else None
                return None if is_later else event
            reached = time_of(self.token)
            if reached is None or reached >= end or self.token == before:
                return None

    def close(self) -> None:
        self._stream.close()


def _pipeline(collections: Collection[str], *, whole: bool) -> list[dict[str, Any]]:
    names = {"$in": sorted(collections)}
    mine = [{"ns.coll": names}, {"to.coll": names}, {"operationType": {"$in": list(_OF_ALL)}}]
    # What an update set lies in the document as well; with both an event may be too large.
    left_out = {"updateDescription": 0} if whole else {"updateDescription": 0, "fullDocument": 0}
    return [{"$match": {"$or": mine}}, {"$project": left_out}]
