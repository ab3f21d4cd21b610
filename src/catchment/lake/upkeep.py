"""Upkeep of a Delta table: fewer files, a shorter log, and nothing left of what no version names that is kept.

None of it changes a row or a state, so none of it needs a fence. What may go is decided here and not by delta-rs' own
vacuum: that one forgets after a week which version named a file, and knows nothing of pins and progress objects.
"""

from __future__ import annotations

import json
import os
import re
import urllib.parse
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from deltalake import ColumnProperties, DeltaTable, WriterProperties
from deltalake.exceptions import CommitFailedError, DeltaError

from catchment.errors import ConfigError, Conflict, Unfenced
from catchment.interfaces import Upkeep
from catchment.lake.joining import target, worth_joining
from catchment.lake.listed import listed, unbounded
from catchment.lake.log import entries
from catchment.lake.progress import ProgressFolder, leftovers, old, remove
from catchment.naming import TableName
from catchment.records import Kept, Leftover, Progress

if TYPE_CHECKING:
    import pyarrow as pa

# So many entries of a log are worth a checkpoint that makes them needless.
_WORTH_EXPIRING = 10

# Compaction holds one row group in memory, and delta-rs takes 1,048,576 rows for it: a gigabyte of documents of 1,000
# bytes. As many as DuckDB writes, which reads row groups side by side; of long rows as many as take so many bytes.
_GROUP_ROWS = 122_880
_GROUP_BYTES = 8 << 20

_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\..*parquet")


class DeltaUpkeep(Upkeep):
    """Looks at the table as it was when this was made; removes nothing that became young or needed since."""

    def __init__(self, root: Path, name: TableName, handle: DeltaTable, reached: Callable[[str], None]) -> None:
        self.name = name
        self._root = root
        self._path = root / name.layer / name.name
        self._log = self._path / "_delta_log"
        self._handle = handle
        self._reached = reached

    # What must stay.

    def kept(self, since: datetime, pinned: Collection[int] = ()) -> Kept:
        self._handle.update_incremental()
        first, told = self._first(since)
        newest = self._handle.version()
        at_first = self._as_of(first)
        files = set(_files(self._path, at_first))
        generations = {shard: {_generation(at_first, self._fence(shard))} for shard in self._shards()}
        for number in range(first + 1, newest + 1):
            for action in _actions(self._log / f"{number:020d}.json"):
                self._count(action, files, generations)
        for version in pinned:
            handle = self._pinned(version)
            files.update(_files(self._path, handle))
            for shard, found in generations.items():
                found.add(_generation(handle, self._fence(shard)))
        return Kept(
            first=min([first, *pinned]),
            files=frozenset(files),
            generations={shard: frozenset(found) for shard, found in generations.items()},
            oldest=_generation(at_first, self._fence(0)) if told else 0,
        )

    def _first(self, since: datetime) -> tuple[int, bool]:
        """The version that was the newest at an instant, and whether there was one; else the oldest that there is."""
        newest = self._handle.version()
        known = {entry.version: entry.at for entry in entries(self._log, newest)}
        earlier = [version for version, at in known.items() if at <= since]
        first = max(earlier) if earlier else min(known, default=newest)
        if not self._loads(first):
            # Its log was cut off by another program's clean-up; what cannot be read is not kept.
            first = min((v for v in self._checkpoints() if v > first), default=self._handle.version())
        return first, bool(earlier)

    def _loads(self, version: int) -> bool:
        try:
            self._as_of(version)
        except DeltaError:
            return False
        return True

    def _as_of(self, version: int) -> DeltaTable:
        return DeltaTable(str(self._path), version=version)

    def _pinned(self, version: int) -> DeltaTable:
        try:
            return self._as_of(version)
        except DeltaError as error:
            message = f"{self.name}: gold reads version {version}, of which the log no longer tells"
            raise ConfigError(message, hint="catchment run builds gold over the newest version") from error

    def _count(self, action: Mapping[str, Any], files: set[str], generations: Mapping[int, set[int]]) -> None:
        if "add" in action:
            files.add(_absolute(self._path, action["add"]["path"]))
        elif "txn" in action:
            for shard, found in generations.items():
                if action["txn"]["appId"] == self._fence(shard):
                    found.add(int(action["txn"]["version"]))

    def _fence(self, shard: int) -> str:
        return fence(self.name, shard)

    def _shards(self) -> list[int]:
        folder = self._root / "_progress" / str(self.name)
        return sorted({0, *(int(entry.name) for entry in folder.glob("*") if entry.name.isdigit())})

    def states(self, kept: Kept) -> Iterator[Progress]:
        for generation in sorted(kept.generations.get(0, ())):
            found = self._state(0, generation)
            if found is not None:
                yield found

    def _state(self, shard: int, generation: int) -> Progress | None:
        try:
            return ProgressFolder(self._root, self.name, shard).read(generation)
        except (FileNotFoundError, Unfenced):
            return None

    # Fewer files.

    def small(self) -> Sequence[Leftover]:
        return worth_joining(self._leftovers(listed(self._handle.get_add_actions(flatten=True))))

    def _leftovers(self, files: pa.Table) -> list[Leftover]:
        """All files in the order of the log."""
        told = zip(files.column("path").to_pylist(), files.column("size_bytes").to_pylist(), strict=True)
        return [Leftover(_absolute(self._path, path), size) for path, size in told]

    def compact(self) -> int:
        import pyarrow as pa

        self._reached(f"{self.name.layer}.compacting")
        handle = DeltaTable(str(self._path))
        found = listed(handle.get_add_actions(flatten=True))
        files, rows = self._leftovers(found), sum(filter(None, found.column("num_records").to_pylist()))
        if not worth_joining(files):
            return 0
        schema, row = pa.schema(handle.schema().to_arrow()), sum(one.bytes for one in files) / max(rows, 1)
        properties = _written(schema, row, unbounded(found))
        try:
            figures = handle.optimize.compact(
                target_size=target(files), max_concurrent_tasks=1, writer_properties=properties
            )
        except CommitFailedError as error:
            message = f"{self.name}: a run rewrote its files meanwhile"
            raise Conflict(message) from error
        self._reached(f"{self.name.layer}.compacted")
        self._handle = handle
        return int(figures["numFilesRemoved"])

    # A shorter log.

    def checkpoint(self) -> None:
        handle = DeltaTable(str(self._path))
        if handle.version() - max(self._checkpoints(), default=0) >= _WORTH_EXPIRING:
            handle.create_checkpoint()
            self._reached(f"{self.name.layer}.checkpointed")

    def _checkpoints(self) -> set[int]:
        found = (_CHECKPOINT.fullmatch(entry.name) for entry in self._log.iterdir())
        return {int(match[1]) for match in found if match is not None}

    def expired(self, kept: Kept, since: datetime) -> Sequence[Leftover]:
        return self._before(self._horizon(kept, since))

    def _horizon(self, kept: Kept, since: datetime) -> int:
        """The oldest version of which the log must tell."""
        first, told = self._first(since)
        return min(first, kept.first) if told else 0

    def _before(self, horizon: int) -> Sequence[Leftover]:
        numbers = {entry: entry.name.partition(".")[0] for entry in self._log.iterdir()}
        earlier = [entry for entry, number in numbers.items() if number.isdigit() and int(number) < horizon]
        return leftovers(sorted(earlier)) if len(earlier) >= _WORTH_EXPIRING else ()

    def expire(self, kept: Kept, since: datetime) -> int:
        horizon = self._horizon(kept, since)
        found = self._before(horizon)
        if not found:
            return 0
        if horizon not in self._checkpoints():
            self._as_of(horizon).create_checkpoint()
        self._reached(f"{self.name.layer}.expiring")
        # Oldest first: a process that dies here leaves a log without holes.
        for one in found:
            Path(one.path).unlink(missing_ok=True)
        return sum(one.bytes for one in found)

    # What nobody names.

    def unnamed(self, kept: Kept, since: datetime) -> Sequence[Leftover]:
        listed = (path for path in _data_files(self._path) if path not in kept.files)
        return old(leftovers(Path(path) for path in listed), since)

    def unnamed_states(self, kept: Kept, since: datetime, least: int | None) -> Sequence[Leftover]:
        found: list[Leftover] = []
        for shard in self._shards():
            newest = _generation(self._handle, self._fence(shard))
            named = kept.generations.get(shard, frozenset())
            segments = {name for g in named for name in getattr(self._state(shard, g), "segments", ())}
            bound = newest if least is None else min(newest, least)
            folder = self._root / "_progress" / str(self.name) / str(shard)
            gone = [e for e in folder.glob("*") if _number(e) < newest and _nameless(e, named, segments, bound)]
            found += old(leftovers(sorted(gone)), since)
        return found

    def remove(self, found: Sequence[Leftover], since: datetime) -> int:
        self._reached(f"{self.name.layer}.removing")
        return remove(found, since)


def fence(name: TableName, shard: int) -> str:
    """Under this name a table's log keeps the generation."""
    return f"catchment:{name}/{shard}"


def _generation(handle: DeltaTable, name: str) -> int:
    return handle.transaction_version(name) or 0


def _absolute(folder: Path, path: str) -> str:
    return os.path.normpath(folder / urllib.parse.unquote(path))


def _files(folder: Path, handle: DeltaTable) -> list[str]:
    return [_absolute(folder, path) for path in listed(handle.get_add_actions(flatten=True)).column("path").to_pylist()]


def _actions(entry: Path) -> Iterable[Mapping[str, Any]]:
    with entry.open(encoding="utf-8") as lines:
        for line in lines:
            if '"add"' in line or '"txn"' in line:
                yield json.loads(line)


def _data_files(table: Path) -> Iterator[str]:
    """In the table's folder and its partitions, never in a folder that begins with `_`."""
    for here, folders, names in os.walk(table):
        folders[:] = [name for name in folders if not name.startswith("_")]
        yield from (os.path.join(here, name) for name in names if name.endswith(".parquet"))  # noqa: PTH118


def _number(entry: Path) -> int:
    """The generation whose claim made a progress object, its segment or its draft."""
    found = re.match(r"\d{19}", entry.name)
    return int(found[0]) if found is not None else 1 << 62


def _nameless(entry: Path, named: Collection[int], segments: Collection[str], bound: int) -> bool:
    """`bound`: from there on objects are kept, for they tell who descends from whom."""
    if entry.suffix == ".parquet":
        return entry.name not in segments
    return entry.suffix == ".draft" or (_number(entry) not in named and _number(entry) < bound)


def _written(schema: pa.Schema, row: float, without: Collection[str]) -> WriterProperties:
    """How joined files are written: as delta-rs would, but for the row groups, and without bounds of some columns.

    A `row` takes so many bytes of a file. Floats have none, nor have the columns that are named.

    Bounds tell nothing of NaN, which DuckDB takes for the greatest number: it would pass over rows that a filter wants.
    """
    return WriterProperties(
        max_row_group_size=max(1, min(_GROUP_ROWS, int(_GROUP_BYTES / max(row, 1)))),
        compression="ZSTD",
        compression_level=4,
        statistics_truncate_length=64,
        default_column_properties=_with_statistics("NONE"),
        column_properties={
            field.name: _with_statistics("PAGE")
            for field in schema
            if not _has_floats(field.type) and field.name not in without
        },
    )


def _with_statistics(which: Literal["NONE", "PAGE"]) -> ColumnProperties:
    return ColumnProperties(statistics_enabled=which)


def _has_floats(kind: pa.DataType) -> bool:
    import pyarrow as pa

    # What is nested has no name of its own here.
    return bool(pa.types.is_floating(kind) or pa.types.is_nested(kind))
