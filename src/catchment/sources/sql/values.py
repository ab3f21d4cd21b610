"""What a driver gives, as Arrow: a column's type follows from its declaration alone.

A value that is of another kind makes its row a defect; it is never made another value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
from sqlalchemy import types

from catchment.sources.sql.tables import HAZARD

_EXACT_IN_A_DOUBLE = 1 << 53


class Undecodable(bytes):
    """Text of SQLite that is no UTF-8."""


@dataclass(frozen=True)
class Column:
    """One column: its type in bronze, and the kinds of values that it takes as they are.

    `turned` makes text of the other kinds that it takes.
    """

    name: str
    type: pa.DataType
    takes: frozenset[type]
    declared: str = ""
    turned: Mapping[type, Callable[[Any], str]] | None = None


def as_text(name: str, declared: str) -> Column:
    """Whatever comes, as text that says all of it."""
    return Column(name, pa.string(), frozenset({str}), declared, _ANY)


def _decimal_words(value: Decimal) -> str:
    return f"{value:f}" if value.is_finite() else str(value)


_ANY: Mapping[type, Callable[[Any], str]] = {
    int: str,
    float: repr,
    bool: lambda value: "true" if value else "false",
    Decimal: _decimal_words,
    datetime: datetime.isoformat,
    date: date.isoformat,
    dict: lambda value: json.dumps(value, ensure_ascii=False, default=str),
    list: lambda value: json.dumps(value, ensure_ascii=False, default=str),
}

_KINDS: Sequence[tuple[Any, pa.DataType, type]] = (
    (types.Boolean, pa.bool_(), bool),
    (types.Integer, pa.int64(), int),
    (types.Float, pa.float64(), float),
    (types.Date, pa.date32(), date),
    (types.LargeBinary, pa.binary(), bytes),
    (types.BINARY, pa.binary(), bytes),
    (types.VARBINARY, pa.binary(), bytes),
    (types.String, pa.string(), str),
)


def column_of(name: str, kind: Any, shown: str) -> Column:
    """A column that SQLAlchemy knows the type of."""
    if isinstance(kind, types.DateTime):
        zone = "UTC" if getattr(kind, "timezone", False) else None
        return Column(name, pa.timestamp("us", zone), frozenset({datetime}), shown)
    if isinstance(kind, types.Numeric) and not isinstance(kind, types.Float):
        return _decimal(name, kind, shown)
    if isinstance(kind, types.Integer) and getattr(kind, "unsigned", False):
        return Column(name, pa.decimal128(20, 0), frozenset({int, Decimal}), shown)
    for known, arrow, python in _KINDS:
        if isinstance(kind, known):
            return Column(name, arrow, frozenset({python}), shown)
    return as_text(name, shown)


def _decimal(name: str, kind: Any, shown: str) -> Column:
    precision, scale = kind.precision, kind.scale or 0
    if precision is None or not 0 <= scale <= precision <= 38:
        return as_text(name, shown)
    return Column(name, pa.decimal128(precision, scale), frozenset({Decimal, int}), shown)


def sqlite_column(name: str, declared: str) -> Column:
    """What SQLite does with a declared type (its rules of affinity), as far as values then have one kind."""
    said = declared.upper()
    if "INT" in said or "BOOL" in said:
        return Column(name, pa.int64(), frozenset({int}), declared)
    if "CHAR" in said or "CLOB" in said or "TEXT" in said:
        return Column(name, pa.string(), frozenset({str}), declared)
    if "BLOB" in said:
        return Column(name, pa.binary(), frozenset({bytes}), declared)
    if any(word in said for word in ("REAL", "FLOA", "DOUB")):
        return Column(name, pa.float64(), frozenset({float}), declared)
    # Days, instants and decimals have no type of their own there: numbers or text, as they were written.
    return Column(name, pa.string(), frozenset({str}), declared, {int: str, float: repr})


def table_of(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> pa.Table:
    """Rows as a table, and behind its columns why a row is a defect."""
    whys: dict[int, list[str]] = {}
    arrays = []
    given = list(zip(*rows, strict=True)) or [()] * len(columns)
    for column, values in zip(columns, given, strict=True):
        array, faults = _array(column, values)
        arrays.append(array)
        for place, why in faults.items():
            whys.setdefault(place, []).append(why)
    names = [column.name for column in columns]
    hazards = [_hazard(whys[place], names, rows[place]) if place in whys else None for place in range(len(rows))]
    return pa.table([*arrays, pa.array(hazards, pa.string())], names=[*names, HAZARD])


def _array(column: Column, values: Sequence[Any]) -> tuple[pa.Array, dict[int, str]]:
    strange = set(map(type, values)) - column.takes - {type(None)}
    try:
        if not strange:
            return pa.array(values, column.type), {}
    except (pa.ArrowException, OverflowError, ValueError):
        pass
    faults: dict[int, str] = {}
    fitting = [_value(column, value, place, faults) for place, value in enumerate(values)]
    return pa.array(fitting, column.type), faults


def _value(column: Column, value: Any, place: int, faults: dict[int, str]) -> Any:
    """One value that may be of another kind than its column's; None and a fault where it is."""
    if value is None:
        return None
    turned = (column.turned or {}).get(type(value))
    if turned is not None:
        return turned(value)
    if column.turned is _ANY and not isinstance(value, bytes | memoryview):
        return str(value)
    exact = _exact(column, value)
    if exact is None:
        declared = f"declared {column.declared}" if column.declared else "of no type"
        faults[place] = f"{column.name}: {_shown(value)} in a column {declared}"
    return exact


def _exact(column: Column, value: Any) -> Any:
    kind = column.type
    plain = value
    if isinstance(value, memoryview) and pa.types.is_binary(kind):
        plain = bytes(value)
    elif isinstance(value, int) and not isinstance(value, bool) and pa.types.is_floating(kind):
        plain = float(value) if abs(value) <= _EXACT_IN_A_DOUBLE else None
    elif isinstance(value, datetime) and pa.types.is_timestamp(kind) and (value.tzinfo is None) == (kind.tz is None):
        plain = value
    elif type(value) not in column.takes or (isinstance(value, Decimal) and not value.is_finite()):
        plain = None
    if plain is None or isinstance(plain, Undecodable):
        return None
    try:
        pa.array([plain], kind)
    except (pa.ArrowException, OverflowError, ValueError):
        return None
    return plain


def _shown(value: Any) -> str:
    if isinstance(value, Undecodable):
        return "text that is no UTF-8"
    if isinstance(value, bytes | memoryview):
        return f"{len(value):,} bytes"
    words = " ".join(str(value)[:60].split())
    return f"{type(value).__name__} {words}"


def _hazard(whys: Sequence[str], names: Sequence[str], row: Sequence[Any]) -> str:
    raw = json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False, default=_plain)
    return f"{'; '.join(whys)}\n{raw}"


def _plain(value: Any) -> str:
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).isoformat()
    return value.isoformat() if isinstance(value, date) else str(value)
