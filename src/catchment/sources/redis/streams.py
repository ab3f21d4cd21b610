"""Streams of Redis: entries by id, each once, and how many were trimmed away before they were read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from redis.exceptions import ResponseError

from catchment.errors import ConfigError, DataError
from catchment.records import JSON, Batch, Budget, Cursor, Description, Notice
from catchment.sources.document_rows import Rows
from catchment.sources.redis.server import Client
from catchment.sources.redis.values import ANSWER_BYTES, entry, next_id

_FIRST_COUNT = 100
_MOST_COUNT = 1000
_BATCH = 8 << 20


def order(entry_id: bytes) -> tuple[int, int]:
    """Ids as Redis orders them."""
    ms, _, number = entry_id.partition(b"-")
    return int(ms), int(number)


@dataclass(frozen=True)
class Place:
    """After the entry `id`, when `rows` had landed.

    The stream had ever had `added` entries when all of it had been read, which were `added_rows` rows here; None before
    the first whole read, and where the server does not count (before 7.0).
    """

    id: bytes = b"0-0"
    rows: int = 0
    added: int | None = None
    added_rows: int = 0

    @classmethod
    def of(cls, since: Cursor | None) -> Place:
        if since is None:
            return cls()
        told = since.value
        return cls(told["id"].encode(), told["rows"], told.get("added"), told.get("added_rows", 0))

    def cursor(self) -> Cursor:
        value: dict[str, JSON] = {"id": self.id.decode(), "rows": self.rows}
        if self.added is not None:
            value |= {"added": self.added, "added_rows": self.added_rows}
        return Cursor(value)


@dataclass(frozen=True)
class _Standing:
    """A stream as it is: its last id, how many entries it has, and how many it ever had."""

    last: bytes
    length: int
    added: int | None


class Following:
    """One read of a stream, up to the entry that is its last when the read begins."""

    def __init__(self, client: Client, feed: str, where: str, key: str, since: Cursor | None) -> None:
        if since is not None and "id" not in since.value:
            message = f"{feed} was read by a pattern of keys; the project now says `stream: {key}`"
            raise ConfigError(message, hint="write `keys:` again, or land the stream under another name")
        self._client = client
        self._feed = feed
        self._key = key
        self.shown = f"{where} {key}"
        self._since = Place.of(since)
        self._is_first = since is None

    def standing(self) -> _Standing | None:
        """None where there is no such key. Raises DataError where the stream is not the one that was read."""
        try:
            told = self._client.xinfo_stream(self._key)
        except ResponseError as error:
            if "no such key" in str(error):
                return None
            raise
        found = _Standing(told["last-generated-id"], told["length"], told.get("entries-added"))
        if order(found.last) < order(self._since.id):
            place, last = self._since.id.decode(), found.last.decode()
            message = f"{self._feed}: entries up to {place} have landed, and {self.shown} now ends with {last}"
            hint = "it was made anew, or put back from an older copy: land it under another name"
            raise DataError(message, hint=hint)
        return found

    def describe(self) -> Description:
        found = self.standing()
        if found is None:
            notice = Notice("nothing_found", f"there is no stream {self.shown}", {"stream": self._feed})
            return Description(item="row", notices=(notice,) if self._is_first else ())
        if not self._entries(self._since.id, found.last, 1):
            return Description(item="row")
        if self._is_first:
            return Description(found.length, self._bytes(), "row")
        since, known = self._since, None if found.added is None else found.added
        count = 1 if known is None or since.added is None else known - since.added - since.rows + since.added_rows
        return Description(max(count, 1), 0, "row")

    def read(self, budget: Budget) -> Iterator[Batch]:
        """A load may end after any entry; what was lost is told with the last."""
        until = self.standing()
        if until is None:
            return
        place, rows = self._since, Rows(self._since.rows)
        wanted = budget.rows if self._is_first and budget.rows is not None else None
        count, size, pending = _FIRST_COUNT, 0, 0
        while found := self._entries(place.id, until.last, count if wanted is None else min(count, wanted)):
            answer = 0
            for raw in found:
                document = json.dumps(entry(raw), ensure_ascii=False)
                rows.add(f"{self.shown}@{raw[0].decode()}", document)
                place = replace(place, id=raw[0], rows=place.rows + 1)
                answer, size, pending = answer + len(document), size + len(document), pending + len(document)
                if size >= max(budget.bytes, 1) and order(raw[0]) < order(until.last):
                    yield Batch(rows.table(), place.cursor(), pending)
                    rows, size, pending = Rows(place.rows), 0, 0
            if pending >= _BATCH:
                yield Batch(rows.table(), None, pending)
                rows, pending = Rows(place.rows), 0
            if wanted is not None and place.rows >= wanted:
                break
            count = max(1, min(_MOST_COUNT, 4 * count, len(found) * ANSWER_BYTES // answer))
        yield from self._end(until, place, rows, pending)

    def _end(self, until: _Standing, place: Place, rows: Rows, size: int) -> Iterator[Batch]:
        """The batch with the last cursor; none where nothing came and nothing was lost."""
        notices = self._lost(until, place)
        if place.rows == self._since.rows and not notices:
            return
        ended = Place(max(place.id, until.last, key=order), place.rows, until.added, place.rows)
        yield Batch(rows.table(), ended.cursor(), size, notices)

    def _lost(self, until: _Standing, place: Place) -> tuple[Notice, ...]:
        since = self._since
        if until.added is None or since.added is None:
            return ()
        detail: dict[str, JSON] = {"stream": self._feed, "after": since.id.decode(), "until": until.last.decode()}
        if until.added < since.added:
            message = f"{self.shown} was made anew since {since.id.decode()}: what it held and was not read is lost"
            return (Notice("lost", message, detail),)
        count = until.added - since.added - (place.rows - since.added_rows)
        if count <= 0:
            return ()
        what = f"{count:,} entr{'y' if count == 1 else 'ies'} of {self.shown}"
        message = f"{what} after {since.id.decode()} went before they were read: trimmed away or deleted"
        return (Notice("lost", message, {**detail, "entries": count}),)

    def _entries(self, after: bytes, until: bytes, count: int) -> list[Any]:
        found: list[Any] = self._client.xrange(self._key, next_id(after), until, count)
        return found

    def _bytes(self) -> int:
        try:
            return int(self._client.memory_usage(self._key) or 0)
        except ResponseError:
            return 0


def recognized(feed: str, table: str, origins: Iterator[tuple[str, int]]) -> Cursor:
    """The cursor after the last of these entries. Raises ConfigError where they are none."""
    last, rows = b"0-0", 0
    for origin, count in origins:
        ms, dash, number = origin.rpartition("@")[2].partition("-")
        if not (dash and ms.isdigit() and number.isdigit()):
            message = f"the rows of {table} do not say which entries of {feed} they were"
            raise ConfigError(message, hint="were they landed by another source? move the table away and run again")
        last, rows = max(last, f"{ms}-{number}".encode(), key=order), rows + count
    return Place(last, rows).cursor()
