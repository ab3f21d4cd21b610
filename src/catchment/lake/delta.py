"""Delta tables through delta-rs, on a local file system.

A table's *fence* is one application transaction; its version is the generation. Delta itself does not refuse a version
that it has seen, the handle does: every commit goes through the handle whose state was read, never by path
(docs/decisions/0003, and the crash harness that holds it).
"""

from __future__ import annotations

import json
import math
import os
import re
import time
import urllib.parse
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltalake import CommitProperties, DeltaTable, Field, PostCommitHookProperties, Schema, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from catchment.errors import ConfigError, Conflict, RetryableError, Unfenced
from catchment.interfaces import Lake, Table
from catchment.lake import at_work
from catchment.lake.listed import listed
from catchment.lake.log import entries
from catchment.lake.newest import glance
from catchment.lake.progress import Definitions, ProgressFolder, made_anew, remove
from catchment.lake.restored import restored_over
from catchment.lake.upkeep import DeltaUpkeep, fence
from catchment.naming import HIDDEN, TableName
from catchment.records import Change, Claim, Commit, DataFile, Glance, Leftover, Pin, Progress, Scan

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa


# Logs are cut by upkeep, which knows what gold has pinned; delta-rs would cut them behind every checkpoint.
_CHECKPOINTS = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)


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


_CONFIGURATION = {
    # By default the first 32 columns have statistics; ours come last in silver, and compaction makes them anew.
    "delta.dataSkippingNumIndexedCols": "-1",
    # Delta's own default; delta-rs takes 100, and 99 entries to replay cost an open 40 ms instead of 10.
    "delta.checkpointInterval": "10",
    # A checkpoint tells of every file that went within this time, for clean-ups of other programs; Delta's default of a
    # week makes that hundreds of thousands where a table is rewritten every second.
    "delta.deletedFileRetentionDuration": "interval 15 minutes",
}


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
            if at is not None and not _back(name, path / "_delta_log", handle, at):
                return None
            found = DeltaLakeTable(self._root, name, handle, self._reached)
            if at is not None:
                _refuse_gone(found)
        except TableNotFoundError:  # a create that died before its first log entry
            return None
        except DeltaError as error:
            message = f"{name} cannot be read, its log in {path / '_delta_log'} is damaged: {_first_line(error)}"
            raise Unfenced(message, hint=made_anew(path)) from error
        return found

    def glance(self, name: TableName) -> Glance | None:
        log = f"{self._root}/{name.layer}/{name.name}/_delta_log"
        found = glance(log, fence(name, 0), ProgressFolder(self._root, name, 0).read)
        if found is not None:
            return found
        table = self.open(name)
        # No mark of such a table comes twice: it is looked at anew each time.
        return None if table is None else Glance(table.pin, table.progress(), uuid.uuid4().hex)

    def seen(self, name: TableName, progress: Progress) -> pa.Table | None:
        return ProgressFolder(self._root, name, 0).seen(progress.segments)

    def seen_files(self, name: TableName, progress: Progress) -> Sequence[str]:
        return ProgressFolder(self._root, name, 0).paths(progress.segments)

    def create(self, name: TableName, schema: pa.Schema) -> DeltaLakeTable:
        path = self._path(name)
        path.mkdir(parents=True, exist_ok=True)
        properties = CommitProperties(app_transactions=[Transaction(fence(name, 0), 0)])
        try:
            DeltaTable.create(
                str(path),
                schema=Schema.from_arrow(schema),
                mode="error",
                configuration=_CONFIGURATION,
                commit_properties=properties,
            )
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

    def upkeep(self, name: TableName) -> DeltaUpkeep | None:
        table = self.open(name)
        if table is None:
            return None
        return DeltaUpkeep(self._root, name, DeltaTable(str(self._path(name))), self._reached)

    def at_work(self) -> AbstractContextManager[None]:
        return at_work.at_work(self._root)

    def at_work_since(self) -> datetime | None:
        return at_work.since(self._root)

    def definitions(self) -> Sequence[Leftover]:
        return self._definitions.all()

    def forget_definitions(self, found: Sequence[Leftover], since: datetime) -> int:
        return remove(found, since)

    def keep_definition(self, fingerprint: str, definition: Mapping[str, Any]) -> None:
        self._definitions.keep(fingerprint, definition)

    def definition(self, fingerprint: str) -> Mapping[str, Any] | None:
        return self._definitions.read(fingerprint)


def _back(name: TableName, log: Path, handle: DeltaTable, at: int | datetime) -> bool:
    """Take a handle back to a version or an instant; False where the table was not there yet."""
    newest = handle.version()
    if isinstance(at, datetime):
        kept = list(entries(log, newest))
        earlier = [entry.version for entry in kept if entry.at <= at]
        if not earlier and any(entry.version == 0 for entry in kept):
            return False
        if not earlier:
            message = f"{name}: what it was at {at.astimezone(UTC):%Y-%m-%d %H:%M} UTC is no longer kept"
            since = min((entry.at for entry in kept), default=datetime.now(UTC))
            raise ConfigError(message, hint=f"the oldest that is known is of {since:%Y-%m-%d %H:%M} UTC")
        at = max(earlier)
    try:
        handle.load_as_version(at)
    except (DeltaError, OverflowError) as error:
        message = f"{name} has no version {at}: there are versions up to {newest}, and old ones go with time"
        raise ConfigError(message, hint=f"its versions: catchment status --versions {name}") from error
    return True


def _refuse_gone(table: DeltaLakeTable) -> None:
    """Upkeep removes files of old versions before it removes the log that tells of them."""
    missing = next((path for path in table.scan(hidden=True).files if not Path(path).exists()), None)
    if missing is not None:
        message = f"{table.name}: rows of version {table.pin.version} are no longer kept ({Path(missing).name} is gone)"
        raise ConfigError(message, hint=f"its versions: catchment status --versions {table.name}")


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
            version=self._handle.version(), generation=self._handle.transaction_version(fence(self.name, 0)) or 0
        )

    def schema(self) -> pa.Schema:
        import pyarrow as pa

        return pa.schema(self._handle.schema().to_arrow())

    def folder(self) -> str:
        return str(self._path)

    def _objects(self, shard: int) -> ProgressFolder:
        return ProgressFolder(self._root, self.name, shard)

    def progress(self, shard: int = 0) -> Progress:
        generation = self._handle.transaction_version(fence(self.name, shard))
        if generation is None:
            if shard == 0:
                message = (
                    f"{self.name} holds no generation of ours: it was restored, cloned or written by something else"
                )
                raise Unfenced(message, hint=self._adopted())
            return Progress()
        self._refuse_restored(shard)
        try:
            return self._objects(shard).read(generation)
        except FileNotFoundError as error:
            message = f"{self.name} is at generation {generation}, but {error.filename} is not there"
            raise Unfenced(message, hint=self._adopted()) from error

    def _adopted(self) -> str:
        return f"take its rows as they are: catchment adopt {self.name}; or {made_anew(self._path)}"

    def _refuse_restored(self, shard: int) -> None:
        """Its transactions outlive a foreign restore, so that rows would be gone and nobody would read them again."""
        version = self._handle.version()
        found = restored_over(self._path / "_delta_log", version, fence(self.name, shard))
        if found is not None:
            ours = found.ours
            message = f"{self.name} was put back by another program, after version {ours} which is ours: rows are gone"
            hint = f"take it as it is: catchment adopt {self.name}; or restore version {ours} with that program"
            raise Unfenced(message, hint=hint)

    def put_back(self, shard: int = 0) -> int | None:
        found = restored_over(self._path / "_delta_log", self._handle.version(), fence(self.name, shard))
        return None if found is None else found.to

    def descends(self, generation: int, shard: int = 0) -> bool:
        found = self.progress(shard)
        if any(first <= generation <= last for first, last in found.cut_off):
            return False
        try:
            while found.generation > generation and found.parent is not None:
                found = self._objects(shard).read(found.parent)
        except (FileNotFoundError, Unfenced):  # so old that nobody kept it, or lost: then `cut_off` has told
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
        actions = listed(self._handle.get_add_actions(flatten=True)).to_pydict()
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
                known = actions.get(counted, actions["num_records"])[place]
                rows += (actions["num_records"][place] or 0) if known is None else known
        return Scan(files=tuple(files), schema=schema, loads=loads, rows=rows, shown=shown)

    def files(self) -> Sequence[DataFile]:
        actions = listed(self._handle.get_add_actions(flatten=True)).to_pydict()
        columns = [name for name in self.schema().names if f"null_count.{name}" in actions]
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
                    if isinstance(actions[f"null_count.{column}"][place], int)
                },
            )
            for place, path in enumerate(actions["path"])
        ]

    def claim(self, shard: int = 0, *, above: int = 0) -> Claim:
        base = self._handle.transaction_version(fence(self.name, shard)) or 0
        claim = self._objects(shard).claim(base, above=above)
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
        self._hold(change, objects, segments)
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
                actions,
                "overwrite" if anew else "append",
                schema,
                commit_properties=properties,
                post_commithook_properties=_CHECKPOINTS,
            ),
        )
        self._reached(f"{self.name.layer}.committed")
        # Ours, though another process may have committed since.
        pin = Pin(version=self._handle.version(), generation=claim.number)
        return Commit(pin=pin, at=datetime.now(UTC), rows_added=sum(file.rows for file in change.add))

    def _hold(self, change: Change, objects: ProgressFolder, segments: Sequence[str]) -> None:
        """Make young what this commit names: upkeep lets young files be, whoever named them before."""
        try:
            objects.hold(segments)
            for file in change.add:
                os.utime(file.path)
        except FileNotFoundError as error:
            message = f"{self.name}: {error.filename} is gone before it could be committed"
            raise RetryableError(message) from error

    def _through_handle(self, claim: Claim, write: Callable[[], None]) -> None:
        try:
            write()
        except CommitFailedError as error:
            message = f"{self.name}: another process committed first (generation {claim.number} is thrown away)"
            raise Conflict(message) from error
        self._handle.update_incremental()
        if (self._handle.transaction_version(fence(self.name, claim.shard)) or 0) < claim.number:
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
        size = Path(path).stat().st_size if Path(path).exists() else 0  # a lost file can go out, too
        return RemoveAction(relative, True, _milliseconds(), size, {})

    def history(self, limit: int | None = None) -> Sequence[Commit]:
        ours = fence(self.name, 0)
        return [
            Commit(
                pin=Pin(version=entry.version, generation=_generation(entry.told, ours)),
                at=entry.at,
                operation=entry.told.get("what") or entry.told.get("operation", ""),
            )
            for entry in islice(entries(self._path / "_delta_log", self._handle.version()), limit)
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
    return bool((low is None or _greatest(highs[place]) >= low) and (high is None or lows[place] <= high))


def _greatest(high: Any) -> Any:
    """The greatest value of which that may be the bound."""
    if not isinstance(high, datetime):
        return high
    return high + min(_CUT, datetime.max.replace(tzinfo=high.tzinfo) - high)


def _told(actions: Mapping[str, Sequence[Any]], key: str, place: int) -> Any:
    """A statistic in Delta's spelling; None where a bound would not come back as it was."""
    value = actions[key][place] if key in actions else None
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float) else None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000


def _with(progress: Progress, claim: Claim, segments: tuple[str, ...]) -> Progress:
    """The state of a claimed generation: its parent is the one whose state it was made from."""
    return replace(progress, generation=claim.number, parent=progress.generation, segments=segments)


def _properties(name: TableName, claim: Claim, what: str, *, retry: bool) -> CommitProperties:
    fenced = fence(name, claim.shard)
    return CommitProperties(
        custom_metadata={"fence": fenced, "generation": str(claim.number), "what": what},
        app_transactions=[Transaction(fenced, claim.number, _milliseconds())],
        max_commit_retries=None if retry else 0,
    )
