"""Land: from a source into one bronze table, each load one commit that also says how far the source was read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from catchment.bronze.sharing import Sharing
from catchment.errors import Conflict
from catchment.events import Noticed, RowsLanded, SchemaChanged, StepProgress
from catchment.interfaces import Engine, Lake, Source, Table, Tell
from catchment.naming import BRONZE_COLUMNS
from catchment.records import Batch, Budget, Change, Cursor, DataFile, Feed, Notice, bronze_schema


@dataclass
class Landing:
    """One land step: `stopping` is asked between batches and raises Stopped."""

    step: str
    feed: Feed
    source: Source
    lake: Lake
    engine: Engine[Any]
    tell: Tell
    stopping: Callable[[], None]
    budget: Budget = field(default_factory=Budget)
    total_bytes: int | None = None

    def run(self) -> bool:
        """Land everything that is new; whether there was anything. Raises Conflict after another process."""
        table = self._sharing.settled(self.lake.open(self.feed.table))
        generation = table.progress().generation if table is not None else 0
        since = self._sharing.since(table)
        batches = self.source.read(self.feed, since, self.budget)
        landed = False
        for load in _loads(self._watched(batches)):
            before, generation = generation, self._land(load, generation)
            landed = landed or generation != before
        if not landed and (table is None or "land" not in table.progress().cursors):
            # A slip in a path is silent otherwise: nothing to read is no error.
            for notice in self.source.describe(self.feed, since).notices:
                self._notice(notice)
        return landed

    @cached_property
    def _sharing(self) -> Sharing:
        return Sharing(self.lake, self.feed, self.source)

    def _watched(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        done = 0
        for batch in batches:
            self.stopping()
            for notice in batch.notices:
                self._notice(notice)
            done += batch.bytes
            if batch.bytes:
                self.tell(StepProgress(step=self.step, done=done, total=self.total_bytes))
            yield batch

    def _notice(self, notice: Notice) -> None:
        if notice.kind == "columns_added":
            added = tuple(notice.detail.get("columns", ()))
            self.tell(SchemaChanged(step=self.step, table=str(self.feed.table), message=notice.message, added=added))
        else:
            self.tell(Noticed(step=self.step, kind=notice.kind, message=notice.message))

    def _land(self, load: _Load, generation: int) -> int:
        """Commit one load over `generation`; the table's generation after it, the same where nothing has changed."""
        first = load.peek()
        table = self._ready(first.rows.schema, generation)
        claim = table.claim(above=self._sharing.above(table))
        schema = _written_schema(first.rows.schema)
        stamped = _Stamp(self.feed.shard, claim.number, schema)
        files = self.engine.write_batches(load.batches(stamped), schema, table.folder(), f"{claim.number:06d}")
        cursor = load.cursor()
        if load.unchanged:
            for file in files:
                Path(file.path).unlink(missing_ok=True)
            return generation
        before = table.progress()
        segments = () if cursor.anew else before.segments
        cursors = {**before.cursors, "land": dict(cursor.value), **self._sharing.landed(before)}
        progress = replace(before, cursors=cursors, segments=segments)
        commit = table.commit(claim, Change(add=files), progress, seen=cursor.seen)
        self.source.acknowledge(self.feed, cursor)
        items = 0 if cursor.seen is None or cursor.anew or not cursor.counts else cursor.seen.num_rows
        if stamped.rows or items:
            self.tell(
                RowsLanded(
                    step=self.step,
                    table=str(self.feed.table),
                    load=claim.number,
                    rows=stamped.rows,
                    defects=stamped.defects,
                    items=items,
                    bytes=load.bytes,
                )
            )
        assert commit.pin.generation >= claim.number
        return claim.number

    def _ready(self, arriving: pa.Schema, generation: int) -> Table:
        """The table at `generation`, with every arriving column; new ones are a commit of their own before the rows."""
        table = self.lake.open(self.feed.table)
        if table is None:
            table = self.lake.create(self.feed.table, _written_schema(arriving))
        table = _unmoved(table, generation)
        present = {name.lower() for name in table.schema().names}
        absent = [field for field in _written_schema(arriving) if field.name.lower() not in present]
        if not absent:
            return table
        return table.add_columns(table.claim(), pa.schema(absent), table.progress())


def arriving(
    source: Source, feed: Feed, lake: Lake, engine: Engine[Any], folder: str
) -> tuple[Sequence[DataFile], pa.Schema] | None:
    """What would land now, written to `folder` and committed nowhere; None where nothing is new."""
    since = Sharing(lake, feed, source).since(lake.open(feed.table))
    batches = source.read(feed, since, Budget(bytes=1 << 62))
    files: list[DataFile] = []
    schema = None
    for load in _loads(iter(batches)):
        arrives = _written_schema(load.peek().rows.schema)
        written = engine.write_batches(load.batches(_Stamp(feed.shard, 0, arrives)), arrives, folder, "preview")
        if not load.unchanged:
            schema, files = arrives, [*files, *written]
    return None if schema is None else (files, schema)


def _unmoved(table: Table, generation: int) -> Table:
    """What was read belongs after `generation`; if somebody has committed since, it may have landed already."""
    if table.progress().generation != generation:
        message = f"{table.name}: another process landed first"
        raise Conflict(message)
    return table


def _written_schema(arriving: pa.Schema) -> pa.Schema:
    return bronze_schema([field for field in arriving if field.name not in BRONZE_COLUMNS])


class _Stamp:
    """Puts our columns before a source's: the shard, the load's number, ordinals in it, one instant for all."""

    def __init__(self, shard: int, load: int, schema: pa.Schema) -> None:
        self._shard = shard
        self._load = load
        self._schema = schema
        self._at = pa.scalar(datetime.now(UTC), pa.timestamp("us", tz="UTC"))
        self.rows = 0
        self.defects = 0

    def __call__(self, rows: pa.Table) -> list[pa.RecordBatch]:
        count = rows.num_rows
        columns = {
            "_shard": pa.repeat(pa.scalar(self._shard, pa.int32()), count),
            "_load": pa.repeat(pa.scalar(self._load, pa.int64()), count),
            "_row": pa.array(np.arange(self.rows, self.rows + count, dtype="int64")),
            "_loaded_at": pa.repeat(self._at, count),
        }
        self.rows += count
        self.defects += count - rows.column("_defect").null_count
        arrays = [_typed(columns.get(f.name), rows, f) for f in self._schema]
        batches: list[pa.RecordBatch] = pa.Table.from_arrays(arrays, schema=self._schema).to_batches()
        return batches


def _typed(ours: pa.Array | None, rows: pa.Table, field: pa.Field) -> Any:
    if ours is not None:
        return ours.cast(field.type)
    column = rows.column(field.name)
    return column if column.type == field.type else column.cast(field.type)


class _Load:
    """The batches up to a cursor, read once. Batches without rows may come first; they may lack columns."""

    def __init__(self, first: Batch, rest: Iterator[Batch]) -> None:
        self._rest = rest
        self.bytes = first.bytes
        while not first.rows.num_rows and first.cursor is None:
            following = next(rest, None)
            if following is None:
                break
            first = following
            self.bytes += first.bytes
        self._first = first
        self._cursor = first.cursor
        self.unchanged = first.unchanged

    @property
    def is_nothing(self) -> bool:
        """Only batches without rows came, from a source that waited, and no cursor: nothing is to be committed."""
        return self._cursor is None and not self._first.rows.num_rows

    def peek(self) -> Batch:
        return self._first

    def batches(self, stamp: _Stamp) -> Iterator[pa.RecordBatch]:
        yield from stamp(self._first.rows)
        while self._cursor is None:
            batch = next(self._rest, None)
            if batch is None:
                return
            if batch.rows.schema.names != self._first.rows.schema.names:
                message = "a source changed its columns within one load: a batch with other columns follows a cursor"
                raise AssertionError(message)
            self.bytes += batch.bytes
            self._cursor = batch.cursor
            self.unchanged = batch.unchanged
            yield from stamp(batch.rows)

    def cursor(self) -> Cursor:
        if self._cursor is None:
            message = "a source ended without a cursor after its last row"
            raise AssertionError(message)
        return self._cursor


def _loads(batches: Iterator[Batch]) -> Iterator[_Load]:
    """One load a cursor; each must be read to its end before the next is asked for."""
    for first in batches:
        load = _Load(first, batches)
        if not load.is_nothing:
            yield load
