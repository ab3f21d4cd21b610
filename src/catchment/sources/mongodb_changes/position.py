"""How far a change stream was followed, and what time each change is given."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bson.datetime_ms import DatetimeMS
from bson.timestamp import Timestamp

from catchment.records import JSON, Cursor
from catchment.sources.mongodb.documents import from_json, to_json

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000

# A position without new rows is kept once in so long, so that the server still keeps what comes after it.
REFRESH_S = 3600


@dataclass(frozen=True)
class Position:
    """After `token` in the log, None before it was ever asked for.

    `collections` are those that are followed, with their database, by stream; None for a stream that has rows in bronze
    and is to be read anew. `rows` have landed so far, the last of them committed at `committed`, in microseconds since
    1970; `moved` is the server's time at the token, in seconds.
    """

    token: Any = None
    rows: int = 0
    collections: Mapping[str, str | None] = field(default_factory=dict)
    committed: int = 0
    moved: int = 0

    @classmethod
    def of(cls, since: Cursor | None) -> Position:
        if since is None:
            return cls()
        value = since.value
        token = from_json({"at": value["token"]}, "the cursor")["at"]
        return cls(token, value["rows"], dict(value["collections"]), value["committed"], value["moved"])

    def value(self) -> dict[str, JSON]:
        return {
            "token": to_json(self.token),
            "rows": self.rows,
            "collections": dict(self.collections),
            "committed": self.committed,
            "moved": self.moved,
        }

    def cursor(self) -> Cursor:
        return Cursor(self.value())

    def following(self, streams: Mapping[str, str]) -> Position:
        """With no stream followed but these; what else has landed is to be read anew."""
        kept = {name: found if streams.get(name) == found else None for name, found in self.collections.items()}
        return replace(self, collections=kept)

    def lost(self, streams: Collection[str] | None = None) -> Position:
        """With so many streams to be read anew, by default all."""
        known = {name: None if streams is None or name in streams else one for name, one in self.collections.items()}
        return replace(self, collections=known, token=None if streams is None else self.token)

    @property
    def at(self) -> str:
        """For people: when the last change that landed was committed, to the second."""
        return f"{moment(self.committed):%Y-%m-%d %H:%M:%S} UTC"


class Clock:
    """Gives each commit a time after that of the one before, so that changes have one order by time and by place."""

    def __init__(self, last: int) -> None:
        self.last = last
        self._commit: Timestamp | None = None

    def is_new(self, commit: Timestamp) -> bool:
        """Whether a change belongs to another commit than the last one."""
        return commit != self._commit

    def at(self, commit: Timestamp, wall: DatetimeMS | None) -> datetime:
        """When a change was committed; all of one commit (a transaction) at once."""
        if commit != self._commit:
            told = instant(commit) if wall is None else int(wall) * 1000
            self.last = max(told, self.last + 1)
            self._commit = commit
        return moment(self.last)

    def next(self) -> datetime:
        """Just after everything so far, for what the log does not hold itself."""
        self.last, self._commit = self.last + 1, None
        return moment(self.last)


def instant(time: Timestamp) -> int:
    """The server's count of operations, which begins anew with each second, as microseconds of that second."""
    return time.time * _SECOND + min(time.inc, _SECOND - 1)


def moment(us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=us)


def time_of(token: Any) -> Timestamp | None:
    """The time in a token, None where it is not written as MongoDB has done since 4.0.7: 82, seconds, ordinal."""
    data = token.get("_data") if isinstance(token, Mapping) else None
    if not isinstance(data, str) or not data.startswith("82") or len(data) < 18:
        return None
    try:
        return Timestamp(int(data[2:10], 16), int(data[10:18], 16))
    except ValueError:
        return None
