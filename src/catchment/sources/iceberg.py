"""Iceberg tables that others append to: each snapshot that only adds rows is read once, in their order.

The snapshot that was read last rides in the commit that adds the rows, wherefore each appended row lands exactly once.
Snapshots that only rewrite files (compaction) bring nothing. One that changes or removes rows stops the stream: what
landed of them would be there still. Nothing is written to the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
import pyarrow as pa
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
from pyiceberg.table.snapshots import Operation, Snapshot

from catchment import naming
from catchment.errors import CatchmentError, ConfigError, DataError, RetryableError
from catchment.interfaces import Source
from catchment.records import Abilities, Batch, Budget, Cursor, Description, Feed, Finding, Notice
from catchment.settings import redact
from catchment.sources.files.shape import Shape
from catchment.sources.types import fitting, typed

if TYPE_CHECKING:
    from pyiceberg.table import Table


class IcebergStream(Protocol):
    """What a project says about a table."""

    @property
    def table(self) -> str: ...


class IcebergCatalog(Protocol):
    """What a project says about a catalog, references resolved."""

    @property
    def type(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def uri(self) -> str | None: ...
    @property
    def warehouse(self) -> str | None: ...
    @property
    def username(self) -> str | None: ...
    @property
    def password(self) -> str | None: ...
    @property
    def token(self) -> str | None: ...
    @property
    def credential(self) -> str | None: ...
    @property
    def endpoint(self) -> str | None: ...
    @property
    def region(self) -> str | None: ...
    @property
    def access_key(self) -> str | None: ...
    @property
    def secret_key(self) -> str | None: ...


@dataclass(frozen=True)
class _Found:
    """A table as it is now: snapshots from the oldest that is kept to the current one."""

    shown: str
    handle: Table
    key: str  # tells one that was made anew under the same name
    snapshots: Sequence[Snapshot]


@dataclass(frozen=True)
class _Step:
    """A snapshot of which the added rows are read, or the whole table as it was then."""

    snapshot: Snapshot
    whole: bool = False

    @property
    def bytes(self) -> int:
        return _count(self.snapshot, "total-files-size" if self.whole else "added-files-size")


class IcebergSource(Source):
    """Streams of appended rows, in tables of one catalog."""

    abilities: ClassVar[Abilities] = Abilities(keeps_types=True, takes_new=True, resumes=True)

    def __init__(
        self,
        name: str,
        streams: Mapping[str, IcebergStream],
        folder: Path,
        *,
        catalog: IcebergCatalog,
        connector: object | None = None,
    ) -> None:
        """`connector` makes tables of topics elsewhere: reading them is the same."""
        self.name = name
        self._streams = dict(streams)
        self._declared = catalog
        self._opened: Catalog | None = None

    def feeds(self) -> Sequence[Feed]:
        names = [f"{self.name}.{stream}" for stream in self._streams]
        return [Feed(name, naming.bronze_table(name)) for name in names]

    def describe(self, feed: Feed, since: Cursor | None) -> Description:
        """Reads the table's metadata."""
        found = self._table(feed)
        if found is None:
            notices = (self._absent(feed),) if since is None else ()
            return Description(item="snapshot", notices=notices)
        new = _new(feed, found, since)
        return Description(len(new), sum(step.bytes for step in new), "snapshot")

    def read(self, feed: Feed, since: Cursor | None, budget: Budget) -> Iterator[Batch]:
        """Snapshot by snapshot; a load may end after each."""
        found = self._table(feed)
        if found is None:
            return
        shape = Shape(feed.name, "evolve", {} if since is None else since.value)
        size = 0
        told: Cursor | None = None
        for step in _new(feed, found, since):
            snapshot, count = step.snapshot, 0
            for batch in _rows(feed, found, step):
                names = fitting(shape, _origin(found, snapshot), batch.schema, "iceberg")
                yield Batch(
                    _arranged(found, snapshot, shape, names, batch, count), None, batch.nbytes, shape.take_notices()
                )
                count += batch.num_rows
                size += batch.nbytes
            told = Cursor({**shape.pinned.value(), "snapshot": snapshot.snapshot_id, "table": found.key})
            is_end = size >= budget.bytes
            if is_end:
                size = 0
                yield Batch(shape.pinned.schema.empty_table(), told, 0, shape.take_notices())
                told = None
        if told is not None:
            yield Batch(shape.pinned.schema.empty_table(), told, 0, shape.take_notices())

    def acknowledge(self, feed: Feed, cursor: Cursor) -> None:
        """A table does not want to hear."""

    def probe(self, feed: Feed) -> Sequence[Finding]:
        """Reads the table's metadata."""
        found = self._table(feed)
        if found is None:
            return [Finding(feed.name, "warning", self._absent(feed).message)]
        rows = _count(found.snapshots[-1], "total-records") if found.snapshots else 0
        return [Finding(feed.name, "ok", f"{len(found.snapshots):,} snapshots, {rows:,} rows")]

    def close(self) -> None:
        """Connections end with the catalog."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def recognize(self, feed: Feed, origins: pa.Table) -> Cursor:
        """The newest snapshot that has rows in bronze."""
        landed = {str(origin).rpartition("@")[2] for origin in origins.column("_origin").to_pylist()}
        found = self._table(feed)
        if found is None or not landed or not all(one.isdigit() for one in landed):
            message = f"the rows of {feed.table} do not say which snapshot of a table they were"
            raise ConfigError(message, hint="were they landed by another source? move the table away and run again")
        known = [one.snapshot_id for one in found.snapshots if str(one.snapshot_id) in landed]
        if not known:
            message = f"no snapshot of {found.shown} that has landed is kept"
            raise ConfigError(message, hint="move the table away and run again, or land it as a new stream")
        return Cursor({"snapshot": known[-1], "table": found.key})

    def _absent(self, feed: Feed) -> Notice:
        message = f"there is no table {self._stream(feed).table} in the catalog yet ({feed.name})"
        return Notice("nothing_found", message, {"stream": feed.name})

    def _stream(self, feed: Feed) -> IcebergStream:
        return self._streams[feed.name.removeprefix(f"{self.name}.")]

    def _table(self, feed: Feed) -> _Found | None:
        """None where there is no such table. Raises RetryableError where the catalog does not answer."""
        shown = self._stream(feed).table
        try:
            if self._opened is None:
                self._opened = load_catalog(self._declared.name, **_properties(self._declared))
            handle = self._opened.load_table(shown)
        except (NoSuchTableError, NoSuchNamespaceError):
            return None
        except Exception as error:
            if _is_new_catalog(error):
                return None
            raise self._refused(feed, shown, error) from error
        known = {one.snapshot_id: one for one in handle.metadata.snapshots}
        path: list[Snapshot] = []
        current = handle.current_snapshot()
        while current is not None:
            path.append(current)
            current = known.get(current.parent_snapshot_id) if current.parent_snapshot_id is not None else None
        return _Found(shown, handle, str(handle.metadata.table_uuid), path[::-1])

    def _refused(self, feed: Feed, shown: str, error: Exception) -> CatchmentError:
        """pyiceberg lets through what each catalog's and each file system's library raises."""
        told = redact((str(error).splitlines() or [type(error).__name__])[0][:200])
        message = f"{feed.name}: table {shown} cannot be read from the catalog: {type(error).__name__}: {told}"
        hint = "look at the source's `catalog`: its address, who asks, and how the bucket is reached"
        missing = isinstance(error, ModuleNotFoundError)
        return ConfigError(message, hint=hint) if missing else RetryableError(message, hint=hint)


def _properties(keys: IcebergCatalog) -> dict[str, str]:
    """In pyiceberg's words."""
    uri = keys.uri
    if keys.type == "jdbc" and uri is not None and uri.startswith("postgresql://"):
        uri = f"postgresql+psycopg://{_user(keys)}{uri.removeprefix('postgresql://')}"
    told = {
        "type": "sql" if keys.type == "jdbc" else keys.type,
        "uri": uri,
        "warehouse": keys.warehouse,
        "token": keys.token,
        "credential": keys.credential,
        "s3.endpoint": keys.endpoint,
        "s3.region": keys.region,
        "s3.access-key-id": keys.access_key,
        "s3.secret-access-key": keys.secret_key,
        "s3.path-style-access": None if keys.endpoint is None else "true",
        "glue.region": keys.region if keys.type == "glue" else None,
        # The tables of the catalog itself are the Java side's to make.
        "init_catalog_tables": "false" if keys.type == "jdbc" else None,
    }
    return {key: value for key, value in told.items() if value is not None}


def _user(keys: IcebergCatalog) -> str:
    from urllib.parse import quote

    if keys.username is None:
        return ""
    password = "" if keys.password is None else f":{quote(keys.password, safe='')}"
    return f"{quote(keys.username, safe='')}{password}@"


def _is_new_catalog(error: Exception) -> bool:
    """Whether a catalog in a database has no tables of its own yet: who first makes a table makes them."""
    told = str(error)
    return "iceberg_tables" in told and ("does not exist" in told or "no such table" in told)


def _new(feed: Feed, found: _Found, since: Cursor | None) -> Sequence[_Step]:
    """What is to be read after `since`. Raises DataError where what has landed is not in the table's past, and for
    snapshots that change or remove rows.

    A first read goes snapshot by snapshot where all of them are kept and only added rows; else it takes all there is.
    """
    if since is None:
        if all(map(_only_adds, found.snapshots)) and _is_first(found.snapshots[:1]):
            return _adding(feed, found, found.snapshots)
        return [_Step(found.snapshots[-1], whole=True)]
    read, of = int(since.value["snapshot"]), since.value["table"]
    if of == found.key:
        places = [number for number, one in enumerate(found.snapshots) if one.snapshot_id == read]
        if places:
            return _adding(feed, found, found.snapshots[places[0] + 1 :])
        if found.snapshots and found.snapshots[0].parent_snapshot_id == read:
            return _adding(feed, found, found.snapshots)
    what = "is another one now" if of != found.key else "does not keep what came after it, or was rolled back before it"
    message = f"{feed.name}: snapshot {read} of {found.shown} has landed, and the table {what}"
    hint = "keep snapshots for longer than the time between two runs; land the table as a new stream to go on"
    raise DataError(message, hint=hint)


def _is_first(oldest: Sequence[Snapshot]) -> bool:
    """Whether nothing was in the table before the oldest snapshot: not every program keeps the name of its parent."""
    return all(_count(one, "total-records") == _count(one, "added-records") for one in oldest)


def _adding(feed: Feed, found: _Found, snapshots: Sequence[Snapshot]) -> list[_Step]:
    """Those that add rows. Raises DataError for one that changes or removes rows."""
    for snapshot in snapshots:
        if not _only_adds(snapshot):
            what = "changes rows" if snapshot.summary is None else f"is of operation {snapshot.summary.operation.value}"
            message = (
                f"{feed.name}: snapshot {snapshot.snapshot_id} of {found.shown} {what}, and only added rows can land"
            )
            raise DataError(message, hint="land it as a new stream once it is as it should be, and only append to it")
    return [_Step(snapshot) for snapshot in snapshots if _count(snapshot, "added-records") and _appends(snapshot)]


def _appends(snapshot: Snapshot) -> bool:
    return snapshot.summary is not None and snapshot.summary.operation == Operation.APPEND


def _only_adds(snapshot: Snapshot) -> bool:
    """Compaction writes rows anew and leaves them what they are."""
    return _appends(snapshot) or (snapshot.summary is not None and snapshot.summary.operation == Operation.REPLACE)


def _rows(feed: Feed, found: _Found, step: _Step) -> Iterator[pa.RecordBatch]:
    """What a snapshot added, or all that it held, file by file in the order of their names, as columns are called now.

    Raises RetryableError where a file cannot be reached, DataError where it is broken.
    """
    from pyiceberg.expressions import AlwaysTrue
    from pyiceberg.io.pyarrow import ArrowScan

    table, snapshot = found.handle, step.snapshot
    reading = ArrowScan(table.metadata, table.io, table.schema(), AlwaysTrue())
    try:
        added = table.incremental_append_scan(
            from_snapshot_id_exclusive=snapshot.parent_snapshot_id, to_snapshot_id_inclusive=snapshot.snapshot_id
        )
        scan = table.scan(snapshot_id=snapshot.snapshot_id) if step.whole else added
        for task in sorted(scan.plan_files(), key=lambda task: task.file.file_path):
            yield from (batch for batch in reading.to_record_batches([task]) if batch.num_rows)
    except (pa.ArrowInvalid, ValueError) as error:
        raise DataError(_broken(feed, found, snapshot, error), hint="repair the table, or roll it back") from error
    except (OSError, pa.ArrowException) as error:
        hint = "are its files still there, and may we read them?"
        raise RetryableError(_broken(feed, found, snapshot, error), hint=hint) from error


def _broken(feed: Feed, found: _Found, snapshot: Snapshot, error: Exception) -> str:
    told = redact((str(error).splitlines() or [type(error).__name__])[0][:200])
    return f"{feed.name}: the files of snapshot {snapshot.snapshot_id} of {found.shown} cannot be read: {told}"


def _arranged(
    found: _Found, snapshot: Snapshot, shape: Shape, names: Sequence[str], batch: pa.RecordBatch, count: int
) -> pa.Table:
    ours: dict[str, Any] = {
        "_origin": pa.repeat(pa.scalar(_origin(found, snapshot)), batch.num_rows),
        "_position": pa.array(np.arange(count, count + batch.num_rows, dtype=np.int64)),
    }
    return shape.pinned.arrange(ours, typed(shape, batch, names), batch.num_rows)


def _origin(found: _Found, snapshot: Snapshot) -> str:
    return f"{found.shown}@{snapshot.snapshot_id}"


def _count(snapshot: Snapshot, key: str) -> int:
    told = None if snapshot.summary is None else snapshot.summary.get(key)
    return 0 if told is None else int(told)
