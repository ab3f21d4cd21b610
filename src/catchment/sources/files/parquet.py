"""Parquet files: types are kept, as far as a Delta table knows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from io import BytesIO
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from catchment.sources.files.found import FoundFile, ReadFile, Small, fetched, reading
from catchment.sources.files.shape import LONGEST_RAW, Shape, Unreadable
from catchment.sources.files.text import Piece
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
        for file, small in fetched(files):
            yield from self._one(file, small)

    def _one(self, file: FoundFile, small: Small | None) -> Iterator[Piece]:
        count = 0
        self._why_broken = None
        with reading(file.origin), _opened(file, small) as (handle, receipt):
            for rows in self._rows(file.origin, handle):
                count += rows.num_rows
                yield Piece(rows, self._shape.pinned, 0, (), self._shape.take_notices())
        done = replace(receipt, rows=count, broken=self._why_broken)
        pinned = self._shape.pinned
        yield Piece(pinned.schema.empty_table(), pinned, receipt.size, (done,), self._shape.take_notices())

    def _rows(self, origin: str, handle: IO[bytes]) -> Iterator[pa.Table]:
        ordinal = 0
        try:
            opened = pq.ParquetFile(handle)
            if not opened.metadata.num_rows:
                return
            refused = self._refusal(origin, opened.schema_arrow)
            names = [] if refused is not None else fitting(self._shape, origin, opened.schema_arrow, "parquet")
            for batch in opened.iter_batches(_ROWS if refused is None else _FEW):
                rows = (
                    self._batch(origin, batch, names, ordinal)
                    if refused is None
                    else self._refused(origin, batch, refused, ordinal)
                )
                ordinal += rows.num_rows
                yield rows
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk's fault; Arrow's own OSErrors about bad contents have no number
            yield self._broken(origin, handle, ordinal, str(error))

    def _broken(self, origin: str, handle: IO[bytes], ordinal: int, why: str) -> pa.Table:
        handle.seek(0)
        raw = handle.read(LONGEST_RAW)
        length = handle.seek(0, 2)
        first_line = why.splitlines()[0][:200] if why else "it cannot be read"
        self._why_broken = f"cannot be read as Parquet: {first_line}"
        return self._shape.pinned.defect_rows([Unreadable(origin, ordinal, raw, length, self._why_broken)])

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


def _opened(file: FoundFile, small: Small | None) -> AbstractContextManager[tuple[IO[bytes], ReadFile]]:
    return file.place.whole(file) if small is None else nullcontext((BytesIO(small[0]), small[1]))


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
