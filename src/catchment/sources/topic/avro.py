"""Avro as documents. What it reads is exact: whole numbers as they are, decimals as text, bytes in base64, days and
times as ISO 8601 in UTC, a value of a union as itself.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import fastavro
import fastavro.read
from fastavro import _read_py
from fastavro.schema import SchemaParseException, UnknownType

from catchment.records import MessageSchema
from catchment.sources.topic.encoded import Undecodable, as_json, decimal_text, in_a_line

# A record with the schema as its only field is written as the schema alone is; a union has no room for what fastavro
# notes beside a schema.
_WRAPPED = "catchment_message"

_EPOCH, _DAY = datetime(1970, 1, 1), date(1970, 1, 1)  # noqa: DTZ001 - the zone is said in the text


def _instant(per_second: int, zone: str) -> Callable[..., str]:
    def told(value: int, *_: Any) -> str:
        seconds, rest = divmod(value, per_second)
        return f"{(_EPOCH + timedelta(seconds=seconds)).isoformat()}{_fraction(rest, per_second)}{zone}"

    return told


def _clock(per_second: int) -> Callable[..., str]:
    def told(value: int, *_: Any) -> str:
        seconds, rest = divmod(value, per_second)
        if not 0 <= seconds < 86_400:
            why = f"{value} is no time of a day"
            raise OverflowError(why)
        return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{_fraction(rest, per_second)}"

    return told


def _fraction(rest: int, per_second: int) -> str:
    return f".{rest:0{len(str(per_second)) - 1}}" if rest else ""


def _day(value: int, *_: Any) -> str:
    return (_DAY + timedelta(days=value)).isoformat()


def _decimal(value: bytes, schema: Mapping[str, Any], *_: Any) -> str:
    return decimal_text(int.from_bytes(value, "big", signed=True), int(schema.get("scale", 0)))


def _duration(value: bytes, *_: Any) -> str:
    months, days, milliseconds = struct.unpack("<III", value)
    return f"P{months}M{days}DT{milliseconds // 1000}{_fraction(milliseconds % 1000, 1000)}S"


def _uuid(value: bytes, *_: Any) -> str:
    told = value.hex()
    return "-".join((told[:8], told[8:12], told[12:16], told[16:20], told[20:]))


# By Avro's type and logical type. They are read under names of ours: fastavro's own would round decimals to their
# precision and cut times, and are left to whoever uses it beside us.
_LOGICAL: Mapping[tuple[str, str], Callable[..., str]] = {
    ("int", "date"): _day,
    ("int", "time-millis"): _clock(1_000),
    ("long", "time-micros"): _clock(1_000_000),
    ("long", "timestamp-millis"): _instant(1_000, "Z"),
    ("long", "timestamp-micros"): _instant(1_000_000, "Z"),
    ("long", "timestamp-nanos"): _instant(1_000_000_000, "Z"),
    ("long", "local-timestamp-millis"): _instant(1_000, ""),
    ("long", "local-timestamp-micros"): _instant(1_000_000, ""),
    ("long", "local-timestamp-nanos"): _instant(1_000_000_000, ""),
    ("bytes", "decimal"): _decimal,
    ("fixed", "decimal"): _decimal,
    ("fixed", "duration"): _duration,
    ("fixed", "uuid"): _uuid,
}
_OURS = "catchment-"


class AvroDecoder:
    """Reads messages of one schema."""

    def __init__(self, schema: MessageSchema) -> None:
        """Raises Undecodable for a schema that is none."""
        for (kind, logical), read in _LOGICAL.items():
            fastavro.read.LOGICAL_READERS[f"{kind}-{_OURS}{logical}"] = read
        named: dict[str, Any] = {}
        try:
            for _, text in schema.beside:
                fastavro.parse_schema(_ours(json.loads(text)), named_schemas=named)
            whole = {"type": "record", "name": _WRAPPED, "fields": [_field(_ours(json.loads(schema.text)))]}
            self._schema = fastavro.parse_schema(whole, named_schemas=named)
            shape = _Shape(named)
            is_deep = shape.is_deep(self._schema)
        except (SchemaParseException, UnknownType, ValueError, TypeError, KeyError, RecursionError) as error:
            raise Undecodable(in_a_line(error)) from None
        # The quick reader knows no limit to nesting: a message of a schema that contains itself could end the process.
        self._read: Callable[..., Any] = _read_py.schemaless_reader if is_deep else fastavro.schemaless_reader

    def text(self, message: bytes, begin: int) -> str:
        place = io.BytesIO(message)
        place.seek(begin)
        try:
            value = self._read(place, self._schema, None)["value"]
        except RecursionError:
            why = "nested too deeply"
            raise Undecodable(why) from None
        except (EOFError, LookupError, ValueError, OverflowError, TypeError, MemoryError) as error:
            why = f"not what its schema says: {in_a_line(error)}"
            raise Undecodable(why) from None
        left = len(message) - place.tell()
        if left:
            why = f"not what its schema says: {left:,} bytes are left over"
            raise Undecodable(why)
        return as_json(value)


def _field(schema: Any) -> dict[str, Any]:
    return {"name": "value", "type": schema}


def _ours(schema: Any) -> Any:
    """The schema with logical types under our names; those that we do not know say nothing, as Avro has it."""
    if isinstance(schema, list):
        return [_ours(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    told = {**schema}
    logical = told.pop("logicalType", None)
    if (str(told.get("type")), str(logical)) in _LOGICAL:
        told["logicalType"] = f"{_OURS}{logical}"
    for below in ("type", "items", "values"):
        if below in told:
            told[below] = _ours(told[below])
    if isinstance(told.get("fields"), list):
        told["fields"] = [_ours(one) for one in told["fields"]]
    return told


class _Shape:
    """What a schema allows, beyond what its messages say."""

    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named

    def is_deep(self, schema: Any, inside: tuple[str, ...] = ()) -> bool:
        """Whether it contains itself. Raises ValueError for a list of what takes no room: a message of ten bytes could
        hold more of them than there is memory."""
        if isinstance(schema, str) and schema in self._named:
            return schema in inside or self.is_deep(self._named[schema], inside)
        if isinstance(schema, list):
            return self._is_any_deep(schema, inside)
        if not isinstance(schema, dict):
            return False
        kind = schema["type"]
        if kind == "array" and self._is_nothing(schema["items"]):
            why = "a list of values that take no room"
            raise ValueError(why)
        if kind in ("record", "error"):
            return self._is_any_deep([one["type"] for one in schema["fields"]], (*inside, schema["name"]))
        below = [schema[key] for key in ("items", "values") if key in schema]
        return self._is_any_deep([*below, *([] if isinstance(kind, str) else [kind])], inside)

    def _is_any_deep(self, schemas: Sequence[Any], inside: tuple[str, ...]) -> bool:
        """All of them are looked at."""
        found = [self.is_deep(one, inside) for one in schemas]
        return any(found)

    def _is_nothing(self, schema: Any, inside: tuple[str, ...] = ()) -> bool:
        """Whether a value can take no byte."""
        if isinstance(schema, str):
            if schema in self._named and schema not in inside:
                return self._is_nothing(self._named[schema], (*inside, schema))
            return schema == "null"
        if not isinstance(schema, dict):
            return False
        if schema["type"] in ("record", "error"):
            return all(self._is_nothing(one["type"], inside) for one in schema["fields"])
        kind = schema["type"]
        return bool(kind == "null" or (kind == "fixed" and schema["size"] == 0))
