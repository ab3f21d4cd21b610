"""Delta tables through delta-rs, on a local file system.

A table's *fence* is one application transaction; its version is the generation. Delta itself does not refuse a version
that it has seen, the handle does: every commit goes through the handle whose state was read, never by path
(docs/decisions/0003, and the crash harness that holds it).
"""

from __future__ import annotations

import json
import os
import re
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltalake import CommitProperties, DeltaTable, Field, Schema, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from catchment.errors import ConfigError, Conflict, RetryableError, Unfenced
from catchment.interfaces import Lake, Table
from catchment.lake.progress import Definitions, ProgressFolder, made_anew
from catchment.lake.restored import restored_over
from catchment.naming import HIDDEN, TableName
from catchment.records import Change, Claim, Commit, DataFile, Pin, Progress, Scan

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa


def _silent(_: str) -> None:
    """Nobody listens to the named points."""


# delta-rs takes `%20` for a space and a backslash for a slash: tables would be found in, and written to, the folder of
# that other name.
_MISREAD = re.compile(r"%[0-9A-Fa-f]{2}|\\|[\x00-\x1f\x7f]")


def _refuse_misread(root: Path) -> None:
    for path in (root, root.resolve()):
        found = _MISREAD.search(str(path))
        if found is not None:
            message = (
                f"the lake cannot lie in {str(path)!r}: a Delta table reads {found[0]!r} in a path as another path"
            )
            raise ConfigError(
                message, hint="rename that folder, or name another: targets.<name>.lake in catchment.yaml"
            )


class DeltaLake(Lake):
    """Tables as folders: `<root>/<layer>/<name>`."""

    def __init__(self, root: Path, *, reached: Callable[[str], None] = _silent) -> None:
        self._root = root.absolute()
        _refuse_misread(self._root)
        self._reached = reached
        self._definitions = Definitions(self._root)

    def _path(self, name: TableName) -> Path:
        return self._root / name.layer / name.name

    def open(self, name: TableName, at: int | datetime | None = None) -> DeltaLakeTable | None:
        path = self._path(name)
        if not (path / "_delta_log").is_dir():
            return None
        try:
            handle = DeltaTable(str(path))
            if at is not None and not _back(name, handle, at):
                return None
        except TableNotFoundError:  # a create that died before its first log entry
            return None
        except DeltaError as error:
            message = f"{name} cannot be read, its log in {path / '_delta_log'} is damaged: {_first_line(error)}"
            raise Unfenced(message, hint=made_anew(path)) from error
        return DeltaLakeTable(self._root, name, handle, self._reached)

    def create(self, name: TableName, schema: pa.Schema) -> DeltaLakeTable:
        path = self._path(name)
        path.mkdir(parents=True, exist_ok=True)
        properties = CommitProperties(app_transactions=[Transaction(_fence(name, 0), 0)])
        try:
            DeltaTable.create(str(path), schema=Schema.from_arrow(schema), mode="error", commit_properties=properties)
        except DeltaError as error:
            # Somebody else's table is as good as ours; anything else is not a table.
            if not DeltaTable.is_deltatable(str(path)):
                message = f"cannot create {name} in {path}: {error}"
                raise RetryableError(message) from error
        table = self.open(name)
        assert table is not None
        return table

    def list(self, layer: str | None = None) -> Sequence[TableName]:
        layers = ("bronze", "silver", "quarantine") if layer is None else (layer,)
        return [
            TableName(found, entry.parent.name)
            for found in layers
            for entry in sorted((self._root / found).glob("*/_delta_log"))
        ]

    def keep_definition(self, fingerprint: str, definition: Mapping[str, Any]) -> None:
        self._definitions.keep(fingerprint, definition)

    def definition(self, fingerprint: str) -> Mapping[str, Any] | None:
        return self._definitions.read(fingerprint)


def _back(name: TableName, handle: DeltaTable, at: int | datetime) -> bool:
    """Take a handle back to a version or an instant; False where the table was not there yet."""
    if isinstance(at, datetime):
        earlier = [entry["version"] for entry in handle.history() if entry["timestamp"] <= at.timestamp() * 1000]
        if not earlier:
            return False
        at = max(earlier)
    newest = handle.version()
    try:
        handle.load_as_version(at)
    except DeltaError as error:
        message = f"{name} has no version {at}: there are versions up to {newest}, and old ones go with time"
        raise ConfigError(message, hint=f"its versions: catchment status --versions {name}") from error
    return True


def _fence(name: TableName, shard: int) -> str:
    return f"catchment:{name}/{shard}"


class DeltaLakeTable(Table):
    """One handle at one version."""

    def __init__(self, root: Path, name: TableName, handle: DeltaTable, reached: Callable[[str], None]) -> None:
        self.name = name
        self._root = root
        self._path = root / name.layer / name.name
        self._handle = handle
        self._reached = reached

    @property
    def pin(self) -> Pin:
        return Pin(
            version=self._handle.version(), generation=self._handle.transaction_version(_fence(self.name, 0)) or 0
        )

    def schema(self) -> pa.Schema:
        import pyarrow as pa

        return pa.schema(self._handle.schema().to_arrow())

    def folder(self) -> str:
        return str(self._path)

    def _objects(self, shard: int) -> ProgressFolder:
        return ProgressFolder(self._root, self.name, shard)

    def progress(self, shard: int = 0) -> Progress:
        generation = self._handle.transaction_version(_fence(self.name, shard))
        if generation is None:
            if shard == 0:
                message = (
                    f"{self.name} holds no generation of ours: it was restored, cloned or written by something else"
                )
                raise Unfenced(message, hint=made_anew(self._path))
            return Progress()
        self._refuse_restored(shard)
        try:
            return self._objects(shard).read(generation)
        except FileNotFoundError as error:
            message = f"{self.name} is at generation {generation}, but {error.filename} is not there"
            raise Unfenced(message, hint=f"they belong together: {made_anew(self._path)}") from error

    def _refuse_restored(self, shard: int) -> None:
        """Its transactions outlive a foreign restore, so that rows would be gone and nobody would read them again."""
        version = self._handle.version()
        ours = restored_over(self._path / "_delta_log", version, _fence(self.name, shard))
        if ours is not None:
            message = f"{self.name} was put back by another program, after version {ours} which is ours: rows are gone"
            raise Unfenced(message, hint=f"restore version {ours} with that program, or {made_anew(self._path)}")

    def descends(self, generation: int, shard: int = 0) -> bool:
        found = self.progress(shard)
        try:
            while found.generation > generation and found.parent is not None:
                found = self._objects(shard).read(found.parent)
        except FileNotFoundError:  # so old that nobody kept it
            return True
        return found.generation == generation

    def seen(self, shard: int = 0) -> pa.Table | None:
        return self._objects(shard).seen(self.progress(shard).segments)

    def scan(
        self,
        *,
        loads: tuple[int, int] | None = None,
        within: Mapping[str, tuple[Any, Any]] | None = None,
        hidden: bool = False,
    ) -> Scan:
        import pyarrow as pa

        actions = pa.table(self._handle.get_add_actions(flatten=True)).to_pydict()
        schema = self.schema()
        shown = not hidden and HIDDEN in schema.names
        counted = f"null_count.{HIDDEN}" if shown else "num_records"
        bounds = dict(within or {})
        if loads is not None:
            bounds["_load"] = (loads[0] + 1, loads[1])
        files, rows = [], 0
        for place, path in enumerate(actions["path"]):
            if all(_overlaps(actions, place, column, *between) for column, between in bounds.items()):
                files.append(str(self._path / urllib.parse.unquote(path)))
                rows += actions.get(counted, actions["num_records"])[place] or 0
        return Scan(files=tuple(files), schema=schema, loads=loads, rows=rows, shown=shown)

    def files(self) -> Sequence[DataFile]:
        import pyarrow as pa

        actions = pa.table(self._handle.get_add_actions(flatten=True)).to_pydict()
        columns = [key.partition(".")[2] for key in actions if key.startswith("null_count.")]
        return [
            DataFile(
                path=str(self._path / urllib.parse.unquote(path)),
                rows=actions["num_records"][place] or 0,
                bytes=actions["size_bytes"][place],
                statistics={
                    column: (
                        _told(actions, f"min.{column}", place),
                        _told(actions, f"max.{column}", place),
                        actions[f"null_count.{column}"][place],
                    )
                    for column in columns
                    if actions[f"null_count.{column}"][place] is not None
                },
            )
            for place, path in enumerate(actions["path"])
        ]

    def claim(self, shard: int = 0) -> Claim:
        claim = self._objects(shard).claim(self._handle.transaction_version(_fence(self.name, shard)) or 0)
        self._reached(f"{self.name.layer}.claimed")
        return claim

    def add_columns(self, claim: Claim, columns: pa.Schema, progress: Progress) -> DeltaLakeTable:
        self._objects(claim.shard).fill(claim, _with(progress, claim, tuple(progress.segments)))
        self._reached(f"{self.name.layer}.widening")
        fields = [Field.from_arrow(field) for field in columns]
        properties = _properties(self.name, claim, "widen", retry=False)
        self._through_handle(claim, lambda: self._handle.alter.add_columns(fields, commit_properties=properties))
        self._reached(f"{self.name.layer}.widened")
        return DeltaLakeTable(self._root, self.name, DeltaTable(str(self._path)), self._reached)

    def commit(self, claim: Claim, change: Change, progress: Progress, *, seen: pa.Table | None = None) -> Commit:
        objects = self._objects(claim.shard)
        segments = tuple(progress.segments)
        if seen is not None and seen.num_rows:
            segments = objects.add_segment(claim, segments, seen)
        self._reached(f"{self.name.layer}.written")
        objects.fill(claim, _with(progress, claim, segments))
        self._reached(f"{self.name.layer}.filled")
        actions: list[AddAction | RemoveAction] = [self._add(file) for file in change.add]
        anew = change.remove == "all"
        if not anew:
            actions += [self._remove(path) for path in change.remove]
        # delta-rs re-tries a commit over foreign ones; with files going out that left rows twice (a trial: 47 of 7).
        properties = _properties(self.name, claim, change.what, retry=not change.remove)
        schema = Schema.from_arrow(change.schema) if change.schema is not None else self._handle.schema()
        self._through_handle(
            claim,
            lambda: self._handle.create_write_transaction(
                actions, "overwrite" if anew else "append", schema, commit_properties=properties
            ),
        )
        self._reached(f"{self.name.layer}.committed")
        # Ours, though another process may have committed since.
        pin = Pin(version=self._handle.version(), generation=claim.number)
        return Commit(pin=pin, at=datetime.now(UTC), rows_added=sum(file.rows for file in change.add))

    def _through_handle(self, claim: Claim, write: Callable[[], None]) -> None:
        try:
            write()
        except CommitFailedError as error:
            message = f"{self.name}: another process committed first (generation {claim.number} is thrown away)"
            raise Conflict(message) from error
        self._handle.update_incremental()
        if (self._handle.transaction_version(_fence(self.name, claim.shard)) or 0) < claim.number:
            message = f"{self.name} does not say generation {claim.number} after its commit"
            raise Conflict(message)

    def _add(self, file: DataFile) -> AddAction:
        statistics = {
            "numRecords": file.rows,
            "minValues": {c: low for c, (low, _, _) in file.statistics.items() if low is not None},
            "maxValues": {c: high for c, (_, high, _) in file.statistics.items() if high is not None},
            "nullCount": {c: nulls for c, (_, _, nulls) in file.statistics.items()},
        }
        path = os.path.relpath(file.path, self._path)
        # As UTF-8: delta-rs reads a pair of \\u escapes as another character, and then excludes rows that are there.
        told = json.dumps(statistics, ensure_ascii=False)
        return AddAction(path, file.bytes, {}, _milliseconds(), True, told)

    def _remove(self, path: str) -> RemoveAction:
        relative = urllib.parse.quote(os.path.relpath(path, self._path))
        return RemoveAction(relative, True, _milliseconds(), Path(path).stat().st_size, {})

    def history(self, limit: int | None = None) -> Sequence[Commit]:
        fence = _fence(self.name, 0)
        return [
            Commit(
                pin=Pin(version=entry["version"], generation=_generation(entry, fence)),
                at=datetime.fromtimestamp(entry["timestamp"] / 1000, UTC),
                operation=entry.get("what") or entry.get("operation", ""),
            )
            for entry in self._handle.history(limit)
        ]


def _generation(entry: Mapping[str, Any], fence: str) -> int:
    return int(entry.get("generation", 0)) if entry.get("fence") == fence else 0


# Other writers (a compaction by delta-rs) cut instants to milliseconds, the greatest one too.
_CUT = timedelta(milliseconds=1)


def _overlaps(actions: Mapping[str, Sequence[Any]], place: int, column: str, low: Any, high: Any) -> bool:
    """Whether a file may hold a value between the two; where nothing is known, it may."""
    lows, highs = actions.get(f"min.{column}"), actions.get(f"max.{column}")
    if lows is None or highs is None or lows[place] is None or highs[place] is None:
        return True
    greatest = highs[place] + _CUT if isinstance(highs[place], datetime) else highs[place]
    return bool(greatest >= low and lows[place] <= high)


def _told(actions: Mapping[str, Sequence[Any]], key: str, place: int) -> Any:
    """A statistic in Delta's spelling."""
    value = actions[key][place] if key in actions else None
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else value


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000


def _with(progress: Progress, claim: Claim, segments: tuple[str, ...]) -> Progress:
    return replace(progress, generation=claim.number, parent=claim.base, segments=segments)


def _properties(name: TableName, claim: Claim, what: str, *, retry: bool) -> CommitProperties:
    fence = _fence(name, claim.shard)
    return CommitProperties(
        custom_metadata={"fence": fence, "generation": str(claim.number), "what": what},
        app_transactions=[Transaction(fence, claim.number, _milliseconds())],
        max_commit_retries=None if retry else 0,
    )
