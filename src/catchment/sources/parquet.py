"""Parquet files: types are kept, as far as a Delta table knows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from catchment.errors import RetryableError
from catchment.sources.file_bytes import FoundFile, ReadFile, content_hash, reading
from catchment.sources.file_shape import LONGEST_RAW, Shape, Unreadable
from catchment.sources.text_files import Piece
from catchment.sources.types import fitting, typed

_ROWS = 128 << 10
_FEW = 8 << 10  # rows that become values of Python


class ParquetFiles:
    """Reads files one after the other, by batches of rows. A row's position is its ordinal in the file."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._why_broken: str | None = None  # the file at hand

    def read(self, files: Sequence[FoundFile]) -> Iterator[Piece]:
        """Every row of `files`; a file that is no whole Parquet is one defect, after the rows that could be read."""
        for file in files:
            yield from self._one(file)

    def _one(self, file: FoundFile) -> Iterator[Piece]:
        before = self._receipt(file)
        count = 0
        self._why_broken = None
        for rows in self._rows(file):
            count += rows.num_rows
            yield Piece(rows, self._shape.pinned, 0, (), self._shape.take_notices())
        after = file.path.stat()
        if (after.st_size, after.st_mtime_ns // 1000) != (before.size, before.modified_us):
            message = f"{file.origin} changed while it was read"
            raise RetryableError(message, hint="is it still being written? it is read again")
        done = replace(before, rows=count, broken=self._why_broken)
        pinned = self._shape.pinned
        yield Piece(pinned.schema.empty_table(), pinned, before.size, (done,), self._shape.take_notices())

    def _receipt(self, file: FoundFile) -> ReadFile:
        with reading(file.origin):
            found = file.path.stat()
            return ReadFile(file.origin, found.st_size, found.st_mtime_ns // 1000, content_hash(file))

    def _rows(self, file: FoundFile) -> Iterator[pa.Table]:
        ordinal = 0
        with reading(file.origin), file.path.open("rb") as handle:
            try:
                opened = pq.ParquetFile(handle)
                if not opened.metadata.num_rows:
                    return
                refused = self._refusal(file.origin, opened.schema_arrow)
                names = [] if refused is not None else fitting(self._shape, file.origin, opened.schema_arrow, "parquet")
                for batch in opened.iter_batches(_ROWS if refused is None else _FEW):
                    rows = (
                        self._batch(file.origin, batch, names, ordinal)
                        if refused is None
                        else self._refused(file.origin, batch, refused, ordinal)
                    )
                    ordinal += rows.num_rows
                    yield rows
            except (pa.ArrowException, OSError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise  # the disk's fault; Arrow's own OSErrors about bad contents have no number
                yield self._broken(file, ordinal, str(error))

    def _broken(self, file: FoundFile, ordinal: int, why: str) -> pa.Table:
        with reading(file.origin), file.path.open("rb") as opened:
            raw = opened.read(LONGEST_RAW)
            length = opened.seek(0, 2)
        first_line = why.splitlines()[0][:200] if why else "it cannot be read"
        self._why_broken = f"cannot be read as Parquet: {first_line}"
        return self._shape.pinned.defect_rows([Unreadable(file.origin, ordinal, raw, length, self._why_broken)])

    def _refusal(self, origin: str, schema: pa.Schema) -> str | None:
        return self._shape.refusal(origin, schema.names) if self._shape.is_pinned else None

    def _refused(self, origin: str, batch: pa.RecordBatch, reason: str, ordinal: int) -> pa.Table:
        """Rows as defects; their raw form is JSON, as a row of Parquet has none of its own."""
        return self._shape.pinned.defect_rows(
            [
                Unreadable(origin, ordinal + place, raw, len(raw), reason)
                for place, raw in enumerate(map(str.encode, _as_json(batch)))
            ]
        )

    def _batch(self, origin: str, batch: pa.RecordBatch, names: Sequence[str], ordinal: int) -> pa.Table:
        ours = {
            "_origin": pa.repeat(pa.scalar(origin), batch.num_rows),
            "_position": pa.array(np.arange(ordinal, ordinal + batch.num_rows, dtype=np.int64)),
        }
        return self._shape.pinned.arrange(ours, typed(self._shape, batch, names), batch.num_rows)


def _as_json(batch: pa.RecordBatch) -> list[str]:
    """Each row as a JSON object."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("set threads = 1")
        connection.execute("set timezone = 'UTC'")
        connection.register("part", pa.Table.from_batches([batch.rename_columns(_distinct(batch.schema.names))]))
        found = connection.execute("select cast(to_json(part) as varchar) as row from part").to_arrow_table()
    rows: list[str] = found.column("row").to_pylist()
    return rows


def _distinct(names: Sequence[str]) -> list[str]:
    """DuckDB does not tell `a` from `A`."""
    counted: Counter[str] = Counter()
    found = []
    for name in names:
        counted[name.lower()] += 1
        count = counted[name.lower()]
        found.append(name if count == 1 else f"{name}_{count}")
    return found
