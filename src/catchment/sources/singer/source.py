"""Taps that write Singer messages: the tap runs once for each stream, with that stream alone selected.

So each stream has a state of its own, which rides in the commit of its rows. Guarantee: exactly once in bronze for
rows that come again as they were; a tap gives a few of them in each run, as its protocol allows. With `full` the tap
is given no state, and a run that brings what the last one brought changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar, Protocol

import pyarrow as pa

from catchment import naming
from catchment.errors import ConfigError
from catchment.interfaces import Source
from catchment.reading.durations import seconds
from catchment.records import Abilities, Batch, Budget, Cursor, Description, Feed, Finding
from catchment.sources.bridged import Landed
from catchment.sources.singer import catalog as singer_catalog
from catchment.sources.singer.messages import Record, State, message
from catchment.sources.singer.reading import Reading, Wanted
from catchment.sources.singer.tap import Command, Tap


class SingerStream(Protocol):
    """What a project says about a stream of a tap."""

    @property
    def stream(self) -> str | None: ...
    @property
    def full(self) -> bool: ...
    @property
    def method(self) -> str | None: ...
    @property
    def replication_key(self) -> str | None: ...
    @property
    def along(self) -> Sequence[str]: ...


class SingerSource(Source):
    """Streams of one tap."""

    abilities: ClassVar[Abilities] = Abilities(brings_documents=True, takes_new=True, takes_whole=True)

    def __init__(
        self,
        name: str,
        streams: Mapping[str, SingerStream],
        folder: Path,
        *,
        command: str,
        config: Mapping[str, Any] | None = None,
        catalog: str | None = None,
        discover: bool = True,
        silence: str = "1 hour",
    ) -> None:
        self.name = name
        self._streams = dict(streams)
        self._folder = folder
        self._command = command
        self._config = dict(config or {})
        self._catalog = catalog
        self._discover = discover
        self._silence_s = seconds(silence) or 3600
        self._entries: list[singer_catalog.Entry] | None = None
        self._running: Tap | None = None

    def feeds(self) -> Sequence[Feed]:
        names = [f"{self.name}.{stream}" for stream in self._streams]
        return [Feed(name, naming.bronze_table(name)) for name in names]

    def describe(self, feed: Feed, since: Cursor | None) -> Description:
        """Only a run of the tap tells what is new; it is not started."""
        return Description(1, 0, "run of the tap")

    def read(self, feed: Feed, since: Cursor | None, budget: Budget) -> Iterator[Batch]:
        """A load may end at each state that the tap tells, and where it has ended well; with `full` there only."""
        landed, stream = Landed.of(since), self._stream(feed)
        command, files, names = self._asked(feed)
        if landed.state is not None and not stream.full:
            files = {**files, "state": landed.state}
        origin = f"{command.name}/{stream.stream or feed.name.removeprefix(f'{self.name}.')}"
        wanted = Wanted(feed.name, origin, names, stream.full, budget.bytes, budget.rows)
        with Tap(command, files=files) as tap, closing(tap.lines()) as lines:
            self._running = tap
            yield from Reading(wanted, landed, tap.warnings).batches(lines)

    def acknowledge(self, feed: Feed, cursor: Cursor) -> None:
        """A tap has ended by then."""

    def recognize(self, feed: Feed, origins: pa.Table) -> Cursor:
        """Raises ConfigError: rows in bronze do not tell the state of a tap."""
        message = f"the rows of {feed.table} do not tell how far {feed.name} was read"
        raise ConfigError(message, hint=f"move {feed.table} away and run again: the tap begins anew")

    def probe(self, feed: Feed) -> Sequence[Finding]:
        """Asks for the catalog, and lets the tap run until its first row or state."""
        try:
            command, files, _ = self._asked(feed)
            with Tap(command, files=files) as tap, closing(tap.lines()) as lines:
                next((line for line in lines if line is not None and isinstance(message(line), Record | State)), None)
        except ConfigError as error:
            return [Finding(feed.name, "error", error.message, error.hint)]
        found = self._method(feed)
        if found == "FULL_TABLE" and not self._stream(feed).full:
            words = f"{command.name} reads `{feed.name}` whole each time: what is gone there stays here"
            return [Finding(feed.name, "warning", words, "write `full: true`, or choose a replication method")]
        return [Finding(feed.name, "ok", f"{command.name} answers{f', {found}' if found else ''}")]

    def close(self) -> None:
        """Ends the tap of a read that goes on; the catalog is asked for anew."""
        self._entries = None
        if self._running is not None:
            self._running.end()
            self._running = None

    def _stream(self, feed: Feed) -> SingerStream:
        return self._streams[feed.name.removeprefix(f"{self.name}.")]

    def _asked(self, feed: Feed) -> tuple[Command, dict[str, str], frozenset[str]]:
        """How the tap is started for this stream, the files it reads, and what its messages call the stream."""
        command = Command.of(feed.name, self._command, self._folder, self._config, self._silence_s)
        stream = self._stream(feed)
        found = self._entry(feed, command)
        if found is None:
            return command, {}, frozenset({stream.stream or feed.name.removeprefix(f"{self.name}.")})
        for other in stream.along:
            singer_catalog.entry(feed.name, self._known(feed, command), other)
        said = {"replication-method": stream.method, "replication-key": stream.replication_key}
        written = {key: value for key, value in said.items() if value is not None}
        catalog = singer_catalog.selected(
            self._known(feed, command), found, stream.along, written, fields=self._catalog is None
        )
        return command, {"catalog": catalog}, singer_catalog.names(found)

    def _entry(self, feed: Feed, command: Command) -> singer_catalog.Entry | None:
        """What the catalog says of the stream; None where there is no catalog."""
        if self._catalog is None and not self._discover:
            return None
        name = self._stream(feed).stream or feed.name.removeprefix(f"{self.name}.")
        return singer_catalog.entry(feed.name, self._known(feed, command), name)

    def _known(self, feed: Feed, command: Command) -> list[singer_catalog.Entry]:
        if self._entries is None:
            if self._catalog is not None:
                self._entries = singer_catalog.from_file(feed.name, self._catalog, self._folder)
            else:
                self._entries = singer_catalog.discovered(command)
        return self._entries

    def _method(self, feed: Feed) -> str | None:
        stream = self._stream(feed)
        command = Command.of(feed.name, self._command, self._folder, self._config, self._silence_s)
        found = self._entry(feed, command)
        return stream.method or (None if found is None else singer_catalog.method(found))
