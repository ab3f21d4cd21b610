"""Whole Delta tables of others: each new version is read from beginning to end, as what the stream now is.

Where several versions are new only the newest is read. Guarantee: at least once from here, exactly once in bronze,
because the version read rides in the commit that adds its rows. Nothing is written to the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.fs
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, DeltaProtocolError, TableNotFoundError

from catchment import naming
from catchment.errors import ConfigError, DataError
from catchment.interfaces import Source
from catchment.records import Abilities, Batch, Budget, Cursor, Description, Feed, Finding, Notice
from catchment.sources.files.shape import Shape
from catchment.sources.types import fitting, typed

_ROWS = 128 << 10


class DeltaStream(Protocol):
    """What a project says about a Delta table."""

    @property
    def path(self) -> str: ...


@dataclass(frozen=True)
class _Version:
    """A table as it is now. `key` tells one that was made anew under the same path."""

    shown: str
    folder: Path
    handle: DeltaTable
    number: int
    key: str
    rows: int
    bytes: int

    @property
    def origin(self) -> str:
        return f"{self.shown}@{self.number}"


class DeltaSource(Source):
    """Streams of whole tables; folders are relative to `folder`, the project's own."""

    abilities: ClassVar[Abilities] = Abilities(keeps_types=True, takes_whole=True)

    def __init__(self, name: str, streams: Mapping[str, DeltaStream], folder: Path) -> None:
        self.name = name
        self._streams = dict(streams)
        self._folder = folder

    def feeds(self) -> Sequence[Feed]:
        names = [f"{self.name}.{stream}" for stream in self._streams]
        return [Feed(name, naming.bronze_table(name)) for name in names]

    def describe(self, feed: Feed, since: Cursor | None) -> Description:
        """Reads the table's log."""
        found = self._open(feed)
        if not _is_new(feed, found, since):
            return Description(item="version")
        if not found.rows:
            return Description(item="version", notices=(_empty(feed, found),))
        return Description(1, found.bytes, "version")

    def read(self, feed: Feed, since: Cursor | None, budget: Budget) -> Iterator[Batch]:
        """The newest version if it is another than the last one read: one load, whatever the budget."""
        found = self._open(feed)
        if not _is_new(feed, found, since) or (since is None and not found.rows):
            return
        shape = Shape(feed.name, "evolve", {} if since is None else since.value)
        names, dataset = _fit(feed, found, shape)
        count = 0
        for batch in _rows(found, dataset):
            yield Batch(_arranged(found, shape, names, batch, count), None, batch.nbytes, shape.take_notices())
            count += batch.num_rows
        notices = shape.take_notices() if count else (*shape.take_notices(), _empty(feed, found))
        cursor = Cursor({**shape.pinned.value(), "version": found.number, "table": found.key})
        yield Batch(shape.pinned.schema.empty_table(), cursor, 0, notices)

    def acknowledge(self, feed: Feed, cursor: Cursor) -> None:
        """A table does not want to hear."""

    def probe(self, feed: Feed) -> Sequence[Finding]:
        """Reads the table's log."""
        found = self._open(feed)
        return [Finding(feed.name, "ok", f"version {found.number}, {found.rows:,} rows")]

    def close(self) -> None:
        """Files are open while they are read."""

    def recognize(self, feed: Feed, origins: pa.Table) -> Cursor:
        """The newest version that has rows in bronze."""
        versions = [str(origin).rpartition("@")[2] for origin in origins.column("_origin").to_pylist()]
        if not versions or not all(version.isdigit() for version in versions):
            message = f"the rows of {feed.table} do not say which version of a table they were"
            raise ConfigError(message, hint="were they landed by another source? move the table away and run again")
        found = self._open(feed)
        return Cursor({"version": max(map(int, versions)), "table": found.key})

    def _open(self, feed: Feed) -> _Version:
        shown = self._streams[feed.name.removeprefix(f"{self.name}.")].path
        if "://" in shown:
            message = f"{feed.name}: {shown} is not a folder"
            raise ConfigError(message, hint="object stores are not supported yet: name a folder on this machine")
        folder = (self._folder / shown).absolute()
        if not (folder / "_delta_log").is_dir():
            message = f"{feed.name}: there is no Delta table in {shown}"
            raise ConfigError(message, hint="`path` is the folder that holds `_delta_log`")
        try:
            handle = DeltaTable(str(folder))
            metadata, files = handle.metadata(), pa.table(handle.get_add_actions(flatten=True))
        except TableNotFoundError as error:
            message = f"{feed.name}: there is no Delta table in {shown}"
            raise ConfigError(message, hint="its `_delta_log` holds no version") from error
        except DeltaError as error:
            message = f"{feed.name}: the log of {shown} cannot be read: {_first_line(error)}"
            raise DataError(message, hint="repair the table with the program that writes it") from error
        if metadata.configuration.get("delta.columnMapping.mode", "none") != "none":
            message = f"{feed.name}: {shown} renames its columns in its log (column mapping), which is not read"
            raise DataError(message, hint="write it without: `delta.columnMapping.mode = 'none'`")
        rows, sizes = (files.column(name).to_pylist() for name in ("num_records", "size_bytes"))
        counted = sum(1 if count is None else count for count in rows)  # without statistics a file holds something
        return _Version(shown, folder, handle, handle.version(), str(metadata.id), counted, sum(sizes))


def _is_new(feed: Feed, found: _Version, since: Cursor | None) -> bool:
    """Raises DataError where what has landed is not in the table's past."""
    if since is None:
        return True
    read = int(since.value["version"])
    if since.value["table"] != found.key or read > found.number:
        message = f"{feed.name}: version {read} of {found.shown} has landed, and the table is another one now"
        hint = f"put the table back that was there (it is at version {found.number}), or land this one as a new stream"
        raise DataError(message, hint=hint)
    return read < found.number


def _empty(feed: Feed, found: _Version) -> Notice:
    message = f"version {found.number} of {found.shown} holds no rows; an empty version deletes nothing"
    return Notice("empty_file", message, {"stream": feed.name, "origin": found.origin})


def _fit(feed: Feed, found: _Version, shape: Shape) -> tuple[Sequence[str], pyarrow.dataset.FileSystemDataset]:
    """The stream's column for each of the table's, and its files."""
    inside = pyarrow.fs.SubTreeFileSystem(str(found.folder), pyarrow.fs.LocalFileSystem())
    try:
        dataset = found.handle.to_pyarrow_dataset(filesystem=inside)
    except DeltaProtocolError as error:
        message = f"{feed.name}: {found.shown} cannot be read: {_first_line(error)}"
        hint = "write it without that feature, such as `delta.enableDeletionVectors = false`, and drop the feature"
        raise DataError(message, hint=hint) from error
    return fitting(shape, found.origin, dataset.schema, "delta"), dataset


def _rows(found: _Version, dataset: pyarrow.dataset.FileSystemDataset) -> Iterator[pa.RecordBatch]:
    """File by file, in the order of their names; raises DataError where one is gone or broken."""
    for fragment in sorted(dataset.get_fragments(), key=lambda fragment: str(fragment.path)):
        try:
            yield from fragment.to_batches(
                schema=dataset.schema, batch_size=_ROWS, batch_readahead=1, fragment_readahead=1, use_threads=False
            )
        except (pa.ArrowException, OSError) as error:
            message = f"{fragment.path} of {found.shown} cannot be read: {_first_line(error)}"
            raise DataError(message, hint="half a table would say that the rest was deleted; repair it") from error


def _arranged(found: _Version, shape: Shape, names: Sequence[str], batch: pa.RecordBatch, count: int) -> pa.Table:
    ours = {
        "_origin": pa.repeat(pa.scalar(found.origin), batch.num_rows),
        "_position": pa.array(np.arange(count, count + batch.num_rows, dtype=np.int64)),
    }
    return shape.pinned.arrange(ours, typed(shape, batch, names), batch.num_rows)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
