"""Types of columns that arrive with some: what bronze keeps them in, and whether a later file fits."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from catchment.errors import DataError, SchemaDrift
from catchment.sources.files.shape import Shape

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


def fitting(shape: Shape, origin: str, schema: pa.Schema, kind: str) -> list[str]:
    """The stream's column for each of a schema, new ones added; the first schema is pinned. Raises SchemaDrift."""
    types = [plain_type(field.type, f"{origin}: column `{field.name}`") for field in schema]
    if not shape.is_pinned:
        shape.pin({"format": kind}, schema.names, types)
        return list(shape.pinned.columns.names)
    names = shape.fit(origin, schema.names, types)
    for name, found in zip(names, types, strict=True):
        pinned = shape.pinned.columns.field(name).type
        if not widens(found, pinned):
            message = f"{origin}: column `{name}` is {found}; {shape.feed} landed it as {pinned}"
            raise SchemaDrift(
                message, hint="write the file with that type, or land such files as a stream of their own"
            )
    return names


def typed(shape: Shape, batch: pa.RecordBatch, names: Sequence[str]) -> pa.Table | None:
    """A batch under the stream's names and in its types; None where it has no columns."""
    columns = [
        _cast(column, shape.pinned.columns.field(name).type) for column, name in zip(batch.columns, names, strict=True)
    ]
    return pa.table(columns, names=list(names)) if names else None


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
