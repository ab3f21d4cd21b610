"""Values that Debezium writes as numbers or bytes, and names in its schema: back to dates, times and decimals as text.

Without a schema in the message nobody knows that 20454 is a day. Instants beyond the years 1 to 9999, infinite ones
among them, stay numbers. https://debezium.io/documentation/reference/stable/connectors/postgresql.html
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

# A value that is not null, as JSON text; None where it is to stay as it came.
Written = Callable[[Any], str | None]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_US = 86_400_000_000


def written(schema: Any) -> dict[str, Written]:
    """How the columns of a row are written that have to be, by name, as the schema of an envelope tells them."""
    found: dict[str, Written] = {}
    rows = [field for field in _fields(schema) if field.get("field") in ("after", "before")]
    for column in (column for row in rows for column in _fields(row)):
        make = _MADE.get(column.get("name", ""))
        if make is not None:
            found[str(column.get("field"))] = make(column)
    return found


def _fields(schema: Any) -> list[Mapping[str, Any]]:
    fields = schema.get("fields") if isinstance(schema, dict) else None
    return [field for field in fields if isinstance(field, dict)] if isinstance(fields, list) else []


def _moment(us: int) -> datetime | None:
    try:
        return _EPOCH + timedelta(microseconds=us)
    except OverflowError:
        return None


def _day(value: Any) -> str | None:
    found = _moment(value * _DAY_US) if isinstance(value, int) else None
    return None if found is None else f'"{found.date().isoformat()}"'


def _timestamp(value: Any, per_s: int) -> str | None:
    """Without a zone, as the column had none."""
    found = _moment(value * 1_000_000 // per_s) if isinstance(value, int) else None
    return None if found is None else f'"{found.replace(tzinfo=None).isoformat()}"'


def _time(value: Any, per_s: int) -> str | None:
    if not isinstance(value, int) or not 0 <= value < 86_400 * per_s:
        return None
    return f'"{(_EPOCH + timedelta(microseconds=value * 1_000_000 // per_s)).time().isoformat()}"'


def _decimal(value: Any, scale: int) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        unscaled = int.from_bytes(base64.b64decode(value, validate=True), "big", signed=True)
    except ValueError:
        return None
    digits = tuple(map(int, str(abs(unscaled))))
    return f'"{Decimal((int(unscaled < 0), digits, -scale)):f}"'


def _any_decimal(value: Any) -> str | None:
    scale = value.get("scale") if isinstance(value, dict) else None
    return _decimal(value.get("value"), scale) if isinstance(scale, int) else None


def _json(value: Any) -> str | None:
    """JSON in text, as the value that it is."""
    try:
        json.loads(value)
    except (TypeError, ValueError):
        return None
    return str(value)


def _scaled(column: Mapping[str, Any]) -> Written:
    told = column.get("parameters")
    try:
        scale = int(told["scale"]) if isinstance(told, dict) else 0
    except (KeyError, ValueError):
        scale = 0
    return partial(_decimal, scale=scale)


_MADE: dict[str, Callable[[Mapping[str, Any]], Written]] = {
    "io.debezium.time.Date": lambda _: _day,
    "io.debezium.time.Time": lambda _: partial(_time, per_s=1000),
    "io.debezium.time.MicroTime": lambda _: partial(_time, per_s=1_000_000),
    "io.debezium.time.NanoTime": lambda _: partial(_time, per_s=1_000_000_000),
    "io.debezium.time.Timestamp": lambda _: partial(_timestamp, per_s=1000),
    "io.debezium.time.MicroTimestamp": lambda _: partial(_timestamp, per_s=1_000_000),
    "io.debezium.time.NanoTimestamp": lambda _: partial(_timestamp, per_s=1_000_000_000),
    "io.debezium.data.Json": lambda _: _json,
    "io.debezium.data.VariableScaleDecimal": lambda _: _any_decimal,
    "org.apache.kafka.connect.data.Date": lambda _: _day,
    "org.apache.kafka.connect.data.Time": lambda _: partial(_time, per_s=1000),
    "org.apache.kafka.connect.data.Timestamp": lambda _: partial(_timestamp, per_s=1000),
    "org.apache.kafka.connect.data.Decimal": _scaled,
}
