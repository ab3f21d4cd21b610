"""One read of a dlt resource: its items in batches, what was given before left out, and one cursor after all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from catchment.errors import ConfigError, SchemaDrift
from catchment.naming import literal, quoted
from catchment.records import Batch, Cursor, Notice
from catchment.sources.bridged import MOST, Given, Landed, Repeats, cursor, documents
from catchment.sources.dlt import state as dlt_state
from catchment.sources.document_rows import SCHEMA, Digest, mark
from catchment.sources.files.json_lines import Validity
from catchment.sources.files.shape import OURS, Shape
from catchment.sources.types import fitting, typed

if TYPE_CHECKING:
    import duckdb

_BYTES = 4 << 20
_ROWS = 64 << 10


class Reading:
    """`is_keyed` says that a row which comes again as it was is no news; `key` names the columns of its key."""

    def __init__(
        self, feed: str, origin: str, landed: Landed, *, full: bool, is_keyed: bool, key: Sequence[str]
    ) -> None:
        self._feed = feed
        self._origin = origin
        self._landed = landed
        self._full = full
        self._key = key
        self._rows = landed.rows
        self._repeats = Repeats(landed.marks) if is_keyed and not full else None
        self._digest = Digest()
        self._shape = Shape(feed, "evolve", landed.value or {})
        self._validity = Validity()
        self._schema: pa.Schema | None = None
        self._state = dlt_state.read(landed.state)

    def batches(
        self, items: Iterator[Given | pa.Table], state: Mapping[str, Any], limit: int | None
    ) -> Iterator[Batch]:
        """To the end, or until `limit` rows were found."""
        pending: list[Given] = []
        size = 0
        for item in items:
            if isinstance(item, pa.Table):
                yield from self._arrow(item)
            else:
                pending.append(item)
                size += len(item.raw)
                if size >= _BYTES or len(pending) >= _ROWS:
                    yield from self._documents(pending, size)
                    pending, size = [], 0
            if limit is not None and self._rows - self._landed.rows + len(pending) >= limit:
                break
        if pending:
            yield from self._documents(pending, size)
        yield from self._end(state)

    def _documents(self, given: Sequence[Given], size: int) -> Iterator[Batch]:
        marks = [mark(one.raw) for one in given]
        kept = self._kept(marks, [self._named(one) for one in given] if self._asks_keys else [None] * len(given))
        found = [one for one, is_new in zip(given, kept, strict=True) if is_new]
        if found:
            self._settle(SCHEMA)
            yield Batch(documents(found, self._origin, self._rows, self._validity), None, size)
            self._rows += len(found)

    @property
    def _asks_keys(self) -> bool:
        return bool(self._key and self._repeats is not None and self._landed.marks)

    def _named(self, one: Given) -> bytes | None:
        """The key of a document, None where a part of it is missing."""
        value = json.loads(one.raw) if one.reason is None else None
        parts = [value.get(name) for name in self._key] if isinstance(value, dict) else [None]
        return None if None in parts else mark(json.dumps(parts, sort_keys=True).encode())

    def _arrow(self, item: pa.Table) -> Iterator[Batch]:
        if not item.num_columns:
            return
        names = fitting(self._shape, self._origin, item.schema, "dlt")
        for batch in item.combine_chunks().to_batches(max_chunksize=_ROWS):
            found = typed(self._shape, batch, names)
            assert found is not None
            marks = self._marks(found)
            kept = self._kept(marks, [None] * len(marks))
            found = found if all(kept) else found.filter(pa.array(kept, pa.bool_()))
            if found.num_rows:
                self._settle(self._shape.pinned.schema)
                ours = {
                    "_origin": pa.repeat(pa.scalar(self._origin), found.num_rows),
                    "_position": pa.array(np.arange(self._rows, self._rows + found.num_rows, dtype=np.int64)),
                }
                rows = self._shape.pinned.arrange(ours, found, found.num_rows)
                yield Batch(rows, None, batch.nbytes, self._shape.take_notices())
                self._rows += found.num_rows

    def _marks(self, rows: pa.Table) -> list[bytes]:
        """What typed rows are known by; columns that hold nothing do not count."""
        if self._repeats is None and not self._full:
            return [b""] * rows.num_rows
        plain = pa.table(
            [
                column.cast(pa.timestamp("us")) if pa.types.is_timestamp(column.type) else column
                for column in rows.columns
            ],
            names=rows.column_names,
        )
        # An instant as UTC without a zone: DuckDB would write it in the zone of this machine.
        parts = ", ".join(f"{literal(name + '=')} || to_json({quoted(name)})" for name in rows.column_names)
        self._connection.register("plain", plain)
        found = self._connection.execute(f"SELECT unhex(md5(concat_ws(chr(31), {parts}))) AS mark FROM plain")
        marks: list[bytes] = found.to_arrow_table().column("mark").to_pylist()
        self._connection.unregister("plain")
        return marks

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        import duckdb

        connection = duckdb.connect()
        connection.execute("SET threads = 1")
        return connection

    def _kept(self, marks: Sequence[bytes], keys: Sequence[bytes | None]) -> list[bool]:
        if self._full:
            for one in marks:
                self._digest.add(one)
        return [True] * len(marks) if self._repeats is None else self._repeats.new(marks, keys)

    def _settle(self, schema: pa.Schema) -> None:
        """The columns of this load. Raises SchemaDrift where others follow: one load has one schema."""
        if self._schema is None:
            self._schema = schema
        elif schema != self._schema:
            names = [name for name in schema.names if name not in self._schema.names] or ["documents"]
            message = (
                f"{self._feed}: in the middle of its rows {self._origin} yields {', '.join(names)}, not there before"
            )
            raise SchemaDrift(message, hint="yield every column in each table, with nulls; or documents only")

    def _end(self, state: Mapping[str, Any]) -> Iterator[Batch]:
        if self._full:
            yield from self._end_whole()
            return
        is_same = dlt_state.is_same(state, self._state)
        if self._schema is None and is_same:
            return
        if is_same and self._repeats is not None and self._repeats.count > MOST:
            message = f"{self._feed}: {self._origin} gives {self._repeats.count:,} rows each time and keeps no state"
            hint = (
                f"of {MOST:,} it can be told which came before: give it dlt.sources.incremental, or write `full: true`"
            )
            raise ConfigError(message, hint=hint)
        marks = b"" if self._repeats is None else self._repeats.marks(done=True)
        yield self._last(cursor(self._value(), dlt_state.text(state), marks))

    def _end_whole(self) -> Iterator[Batch]:
        is_same = (self._landed.value or {}).get("digest") == str(self._digest)
        if not self._digest.count and (self._landed.is_nothing or is_same):
            return
        notices = () if self._digest.count else (self._emptied(),)
        yield self._last(cursor(self._value(digest=str(self._digest)), None, b""), notices, unchanged=is_same)

    def _last(self, at: Cursor, notices: Sequence[Notice] = (), *, unchanged: bool = False) -> Batch:
        schema = OURS if self._schema is None else self._schema
        return Batch(schema.empty_table(), at, 0, (*self._shape.take_notices(), *notices), unchanged=unchanged)

    def _value(self, **more: str) -> dict[str, Any]:
        return {"rows": self._rows, **self._shape.pinned.value(), **more}

    def _emptied(self) -> Notice:
        message = f"{self._origin} yields no row any more; an empty read deletes nothing"
        return Notice("empty_file", message, {"stream": self._feed, "origin": self._origin})
