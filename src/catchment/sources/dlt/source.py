"""Sources and resources of dlt: what they yield lands, and their state rides in our commit.

No pipeline of dlt runs and nothing is written by it: a resource is iterated with its state as it was after the last
load. dlt keeps a state once all was extracted, so a read is one load, whatever the budget. Guarantee: exactly once in
bronze for resources that keep a state or have a key (`merge`); one that does neither lands all that it yields, each
time. With `full` it begins from nothing each time, and a read that brings what the last one brought changes nothing.
"""

from __future__ import annotations

import contextlib
import json
import math
import traceback
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

import dlt
import pyarrow as pa
from dlt.common.json import custom_encode
from dlt.extract.resource import DltResource

from catchment import naming
from catchment.errors import ConfigError
from catchment.interfaces import Source
from catchment.naming import did_you_mean
from catchment.records import Abilities, Batch, Budget, Cursor, Description, Feed, Finding
from catchment.sources.bridged import Given, Landed
from catchment.sources.dlt import made as dlt_made
from catchment.sources.dlt import state as dlt_state
from catchment.sources.dlt.reading import Reading
from catchment.sources.dlt.told import told

_UNBOUNDED = "each run lands all that it yields"


class DltStream(Protocol):
    """What a project says about a resource."""

    @property
    def resource(self) -> str | None: ...
    @property
    def full(self) -> bool | None: ...


class DltSource(Source):
    """Streams of resources of one dlt source; it is made anew for each read."""

    abilities: ClassVar[Abilities] = Abilities(
        keeps_types=True, brings_documents=True, takes_new=True, takes_whole=True
    )

    def __init__(
        self,
        name: str,
        streams: Mapping[str, DltStream],
        folder: Path,
        *,
        source: str,
        with_: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self._streams = dict(streams)
        self._folder = folder
        self._place = source
        self._arguments = dict(with_ or {})

    def feeds(self) -> Sequence[Feed]:
        names = [f"{self.name}.{stream}" for stream in self._streams]
        return [Feed(name, naming.bronze_table(name)) for name in names]

    def describe(self, feed: Feed, since: Cursor | None) -> Description:
        """Only reading tells what is new; the function is not even called."""
        return Description(1, 0, "look at the resource")

    def read(self, feed: Feed, since: Cursor | None, budget: Budget) -> Iterator[Batch]:
        """One load, however large; nothing where nothing is new."""
        landed = Landed.of(since)
        with told(feed.name, self._folder):
            asked = self._asked(feed, {} if self._stream(feed).full else dlt_state.read(landed.state))
            reading = Reading(feed.name, asked.origin, landed, full=asked.full, is_keyed=asked.is_keyed, key=asked.key)
            with closing(asked.rows()) as rows:
                yield from reading.batches(rows, asked.state, budget.rows)

    def acknowledge(self, feed: Feed, cursor: Cursor) -> None:
        """A resource does not want to hear."""

    def recognize(self, feed: Feed, origins: pa.Table) -> Cursor:
        """Raises ConfigError: rows in bronze do not tell the state that a resource was in."""
        message = f"the rows of {feed.table} do not tell how far {feed.name} was read"
        raise ConfigError(
            message, hint=f"move {feed.table} away and run again: the resource is read from its beginning"
        )

    def probe(self, feed: Feed) -> Sequence[Finding]:
        """Reads the first row from the beginning, with a state that is thrown away."""
        try:
            with told(feed.name, self._folder):
                asked = self._asked(feed, {})
                with closing(asked.rows()) as rows:
                    next(rows, None)
        except ConfigError as error:
            return [Finding(feed.name, "error", error.message, error.hint)]
        return [self._standing(feed, asked)]

    def close(self) -> None:
        """Nothing is held between two reads."""

    def _stream(self, feed: Feed) -> DltStream:
        return self._streams[feed.name.removeprefix(f"{self.name}.")]

    def _asked(self, feed: Feed, state: dict[str, Any]) -> Asked:
        stream = self._stream(feed)
        found = dlt_made.function(self._place, self._folder)
        # What a function writes into its state while it is called is not kept, dlt says.
        with dlt_state.injected(dlt_state.read(dlt_state.text(state))):
            made = dlt_made.called(found, self._place, self._arguments, self.name)
            name = stream.resource or feed.name.removeprefix(f"{self.name}.")
            if name not in made.resources:
                message = f"{feed.name}: {self._place} has no resource `{name}`"
                near = did_you_mean(name, list(made.resources))
                raise ConfigError(message, hint=near or f"write `resource: …`; there are {', '.join(made.resources)}")
            chosen = made.with_resources(name)
        asked = Asked(f"{self._place}/{name}", chosen, chosen.resources[name], state, full=bool(stream.full))
        if asked.disposition == "replace" and stream.full is None:
            message = (
                f"{feed.name}: the write disposition of resource `{name}` is replace: each run brings the whole table"
            )
            hint = "write `full: true`, so that what is gone counts as deleted, or `full: false`, so that it does not"
            raise ConfigError(message, hint=hint)
        return asked

    def _standing(self, feed: Feed, asked: Asked) -> Finding:
        if not asked.full and not asked.is_keyed and asked.resource.incremental is None:
            message = f"{asked.origin} has no incremental and no key to merge by: unless it keeps a state, {_UNBOUNDED}"
            hint = "write `full: true` where it yields the whole table, or give it dlt.sources.incremental"
            return Finding(feed.name, "warning", message, hint)
        by = f", merged by {', '.join(asked.key)}" if asked.key else ""
        return Finding(feed.name, "ok", f"{asked.origin}: {asked.disposition}{by}")


@dataclass(frozen=True)
class Asked:
    """A resource as one stream asks for it. `state` changes while its rows are taken."""

    origin: str
    source: dlt.sources.DltSource
    resource: DltResource
    state: dict[str, Any]
    full: bool

    def rows(self) -> Generator[Given | pa.Table, None, None]:
        """Documents one by one, and Arrow tables as they come."""
        with dlt_state.injected(self.state):
            items = iter(self.source)
        try:
            for item in items:
                if item is None:
                    continue
                table = _table(item)
                yield given(item) if table is None else table
        except SystemExit as error:
            # dlt 1.31 leaves its contexts to the next read where what is raised is no Exception; they end with frames.
            traceback.clear_frames(error.__traceback__)
            raise

    @cached_property
    def disposition(self) -> str:
        said = self.resource.write_disposition
        if isinstance(said, dict):
            return str(said.get("disposition", "append"))
        return said if isinstance(said, str) else "append"

    @property
    def is_keyed(self) -> bool:
        """A row that comes again as it was says nothing new."""
        return self.disposition in ("merge", "replace")

    @cached_property
    def key(self) -> Sequence[str]:
        """The columns that are its key, none where only its items tell."""
        try:
            columns = self.resource.compute_table_schema().get("columns", {})
        except dlt_state.Dynamic:
            return ()
        return [name for name, column in columns.items() if column.get("primary_key")]


def given(item: Any) -> Given:
    """One item as JSON; numbers that JSON lacks as text."""
    try:
        try:
            text = _json(item)
        except ValueError:
            text = _json(_finite(item))
        return Given(text.encode())
    except (TypeError, ValueError, OverflowError, RecursionError, AttributeError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error).partition("\n")[0][:200]
        raw = ""
        with contextlib.suppress(Exception):
            raw = repr(item)
        return Given(raw.encode("utf-8", "backslashreplace"), f"cannot be written as JSON: {reason}")


def _json(item: Any) -> str:
    return json.dumps(item, default=custom_encode, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _finite(item: Any) -> Any:
    if isinstance(item, float) and not math.isfinite(item):
        return "NaN" if math.isnan(item) else ("Infinity" if item > 0 else "-Infinity")
    if isinstance(item, Mapping):
        return {name: _finite(value) for name, value in item.items()}
    return [_finite(value) for value in item] if isinstance(item, list | tuple) else item


def _table(item: Any) -> pa.Table | None:
    """An Arrow table, or what can be made one without a look at its values; None for anything else."""
    if isinstance(item, pa.Table):
        return item
    if isinstance(item, pa.RecordBatch):
        return pa.Table.from_batches([item])
    library = type(item).__module__.partition(".")[0]
    if library == "pandas" and hasattr(item, "columns"):
        return pa.Table.from_pandas(item, preserve_index=False)
    if library == "polars" and hasattr(item, "to_arrow"):
        found = item.to_arrow()
        return found if isinstance(found, pa.Table) else None
    return None
