"""Parquet files: types are kept, as far as a Delta table knows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from catchment.errors import DataError, RetryableError, SchemaDrift
from catchment.sources.file_bytes import FoundFile, ReadFile, content_hash, reading
from catchment.sources.file_shape import LONGEST_RAW, Shape, Unreadable
from catchment.sources.text_files import Piece

_ROWS = 128 << 10

# Each unsigned type's next larger signed one; Delta has no unsigned types.
_SIGNED = {pa.uint8(): pa.int16(), pa.uint16(): pa.int32(), pa.uint32(): pa.int64(), pa.uint64(): pa.decimal128(20, 0)}
_KEPT = (
    pa.types.is_boolean,
    pa.types.is_signed_integer,
    pa.types.is_float32,
    pa.types.is_float64,
    pa.types.is_date32,
    pa.types.is_string,
    pa.types.is_binary,
    pa.types.is_decimal128,
)
_INTEGERS = (pa.int8(), pa.int16(), pa.int32(), pa.int64())
_DIGITS = {pa.int8(): 3, pa.int16(): 5, pa.int32(): 10, pa.int64(): 19}
# Integers of these types are exact in a double.
_EXACT = (pa.int8(), pa.int16(), pa.int32(), pa.float32())


class ParquetFiles:
    """Reads files one after the other, by batches of rows. A row's position is its ordinal in the file."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    def read(self, files: Sequence[FoundFile]) -> Iterator[Piece]:
        """Every row of `files`; a file that is no whole Parquet is one defect, after the rows that could be read."""
        for file in files:
            yield from self._one(file)

    def _one(self, file: FoundFile) -> Iterator[Piece]:
        before = self._receipt(file)
        count = 0
        for rows in self._rows(file):
            count += rows.num_rows
            yield Piece(rows, self._shape.pinned, 0, (), self._shape.take_notices())
        after = file.path.stat()
        if (after.st_size, after.st_mtime_ns // 1000) != (before.size, before.modified_us):
            message = f"{file.origin} changed while it was read"
            raise RetryableError(message, hint="is it still being written? it is read again")
        done = ReadFile(before.origin, before.size, before.modified_us, before.sha256, count)
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
                names = self._fit(file.origin, opened.schema_arrow)
                for batch in opened.iter_batches(_ROWS):
                    rows = self._batch(file.origin, batch, names, ordinal)
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
        return self._shape.pinned.defect_rows(
            [Unreadable(file.origin, ordinal, raw, length, f"cannot be read as Parquet: {first_line}")]
        )

    def _fit(self, origin: str, schema: pa.Schema) -> list[str]:
        types = [plain_type(field.type, f"{origin}: column `{field.name}`") for field in schema]
        if not self._shape.is_pinned:
            self._shape.pin({"format": "parquet"}, schema.names, types)
            return list(self._shape.pinned.columns.names)
        names = self._shape.fit(origin, schema.names, types)
        for name, kind in zip(names, types, strict=True):
            pinned = self._shape.pinned.columns.field(name).type
            if not widens(kind, pinned):
                message = f"{origin}: column `{name}` is {kind}; {self._shape.feed} landed it as {pinned}"
                raise SchemaDrift(
                    message, hint="write the file with that type, or land such files as a stream of their own"
                )
        return names

    def _batch(self, origin: str, batch: pa.RecordBatch, names: Sequence[str], ordinal: int) -> pa.Table:
        columns = [
            _cast(column, self._shape.pinned.columns.field(name).type)
            for column, name in zip(batch.columns, names, strict=True)
        ]
        own = pa.table(columns, names=list(names)) if names else None
        ours = {
            "_origin": pa.repeat(pa.scalar(origin), batch.num_rows),
            "_position": pa.array(np.arange(ordinal, ordinal + batch.num_rows, dtype=np.int64)),
        }
        return self._shape.pinned.arrange(ours, own, batch.num_rows)


def plain_type(kind: pa.DataType, where: str) -> pa.DataType:
    """The type that bronze keeps a column in: the same values, in types that a Delta table has. Raises DataError."""
    if any(is_kept(kind) for is_kept in _KEPT):
        return kind
    simple = _plain_simple(kind)
    if simple is not None:
        return simple
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type, where)
    if pa.types.is_map(kind):
        return pa.map_(plain_type(kind.key_type, where), plain_type(kind.item_type, where))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(plain_type(kind.value_type, where))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, plain_type(field.type, f"{where}.{field.name}")) for field in kind])
    message = f"{where} is {kind}, for which a Delta table has no type"
    raise DataError(message, hint="write it as a decimal of at most 38 digits, a number or text")


def _plain_simple(kind: pa.DataType) -> pa.DataType | None:
    if kind in _SIGNED:
        return _SIGNED[kind]
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", None if kind.tz is None else "UTC")
    if (
        pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_time(kind)
        or pa.types.is_null(kind)
    ):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind) or pa.types.is_fixed_size_binary(kind):
        return pa.binary()
    if pa.types.is_decimal(kind) and kind.bit_width < 128:
        return pa.decimal128(kind.precision, kind.scale)
    if pa.types.is_float16(kind):
        return pa.float32()
    return pa.date32() if pa.types.is_date(kind) else None


def widens(kind: pa.DataType, pinned: pa.DataType) -> bool:
    """Whether every value of one type is a value of the other."""
    if kind == pinned:
        return True
    if kind in _INTEGERS and pinned in _INTEGERS:
        return _INTEGERS.index(kind) < _INTEGERS.index(pinned)
    if pinned == pa.float64():
        return kind in _EXACT
    if pa.types.is_decimal(pinned):
        whole = pinned.precision - pinned.scale
        if kind in _INTEGERS:
            return bool(_DIGITS[kind] <= whole)
        return bool(pa.types.is_decimal(kind) and kind.scale <= pinned.scale and kind.precision - kind.scale <= whole)
    return False


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Times finer than a microsecond lose what is finer; every other change of type keeps the value."""
    if column.type == kind:
        return column
    if pa.types.is_timestamp(kind) and pa.types.is_timestamp(column.type):
        return pc.cast(column, kind, safe=False) if column.type.unit == "ns" else pc.cast(column, kind)
    return pc.cast(column, kind)
