"""What REST and GraphQL have in common as sources; each says only what its streams ask."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import pyarrow as pa

from catchment import naming
from catchment.errors import ConfigError
from catchment.interfaces import Source
from catchment.records import Abilities, Batch, Budget, Cursor, Description, Feed, Finding
from catchment.sources.http.client import Address, Client
from catchment.sources.http.endpoint import Endpoint
from catchment.sources.http.pages import Page, at
from catchment.sources.http.paging import Once, link
from catchment.sources.http.reading import Reading, described
from catchment.sources.http.turns import Pages
from catchment.sources.http.waits import Clock

# A plan asks for so many pages before it says that there is something new.
_LOOK = 10

Stream = TypeVar("Stream")


class HttpSource(Source, Generic[Stream]):
    """Streams of an API. Guarantee: see `reading`; the mark of a stream moves with the last page of a read."""

    abilities: ClassVar[Abilities] = Abilities(brings_documents=True, takes_new=True, takes_whole=True, resumes=True)

    def __init__(
        self, name: str, streams: Mapping[str, Stream], folder: Path, *, clock: Clock | None = None, **address: Any
    ) -> None:
        self.name = name
        self._streams = dict(streams)
        self._folder = folder
        self._address = Address(**address)
        self._clock = Clock() if clock is None else clock

    @abstractmethod
    def endpoint(self, stream: str) -> Endpoint:
        """What a stream asks."""

    def feeds(self) -> Sequence[Feed]:
        names = [f"{self.name}.{stream}" for stream in self._streams]
        return [Feed(name, naming.bronze_table(name)) for name in names]

    def describe(self, feed: Feed, since: Cursor | None) -> Description:
        """Asks for the first pages: an API does not tell otherwise what is new."""
        with self._asking():
            return described(self._pages(feed), since, _LOOK)

    def read(self, feed: Feed, since: Cursor | None, budget: Budget) -> Iterator[Batch]:
        """Pages after `since`, a load each `budget`; all of a stream without cursor, as one load."""
        pages = self._pages(feed)
        reading = Reading(pages, budget)
        asked = pages.endpoint.since
        with self._asking():
            yield from reading.whole(since) if asked is None else reading.since(since, asked)

    def acknowledge(self, feed: Feed, cursor: Cursor) -> None:
        """An API does not want to hear."""

    def recognize(self, feed: Feed, origins: pa.Table) -> Cursor:
        """Rows do not say how far an API was read."""
        message = f"{feed.name}: the rows of {feed.table} do not tell how far the API was read"
        raise ConfigError(message, hint=f"move {feed.table} away and run again: it is read from the beginning")

    def probe(self, feed: Feed) -> Sequence[Finding]:
        """Asks for the first page, of the first record of a parent."""
        with self._asking():
            return self._probed(feed)

    def _probed(self, feed: Feed) -> Sequence[Finding]:
        pages = self._pages(feed)
        parts = pages.parts()
        if not parts:
            return [Finding(feed.name, "ok", "its parent has no records, so that nothing is asked")]
        endpoint = pages.endpoint
        request = endpoint.paging.ask(endpoint.asked(parts[0]), endpoint.paging.first())
        page = pages.ask(request)
        found = [*self._missing(feed, endpoint, page), *self._unread(feed, endpoint, page)]
        return found or [Finding(feed.name, "ok", f"{request.shown} answers with {len(page.records):,} records")]

    def close(self) -> None:
        """Ends connections."""
        self._client.close()

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Connections are kept as long as something is asked."""
        try:
            yield
        finally:
            self._client.close()

    @cached_property
    def _client(self) -> Client:
        return Client(self.name, self._address, self._folder, self._clock)

    def _pages(self, feed: Feed) -> Pages:
        return Pages(self._client, self.endpoint(feed.name.removeprefix(f"{self.name}.")))

    def _missing(self, feed: Feed, endpoint: Endpoint, page: Page) -> Iterator[Finding]:
        """What the declaration names and records do not have."""
        count = len(page.records)
        asked = [("key", path) for path in endpoint.identity.key]
        asked += [] if endpoint.since is None else [("cursor", endpoint.since.field)]
        for what, path in asked:
            without = sum(at(record.value, path) is None for record in page.records)
            named = ".".join(map(str, path))
            if count and without == count:
                hint = f"correct `{what}`; a record is {page.records[0].text[:200]}"
                yield Finding(feed.name, "error", f"no record has `{named}`, its {what}", hint)
            elif without:
                message = (
                    f"{without:,} of {count:,} records have no `{named}`, its {what}: they land once each, by content"
                )
                yield Finding(feed.name, "warning", message)

    def _unread(self, feed: Feed, endpoint: Endpoint, page: Page) -> Iterator[Finding]:
        """More pages than the declaration knows of."""
        if isinstance(endpoint.paging, Once) and link(page.answer.headers.get("link", ""), "next") is not None:
            message = "the answer names a next page, and no `paging` is declared: it is never read"
            yield Finding(feed.name, "error", message, "write paging: {type: link}")
        if not page.records:
            yield Finding(feed.name, "ok", "it answers, and has no records")
