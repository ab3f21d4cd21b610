"""Documents of MongoDB as extended JSON: what BSON can tell, JSON text tells too."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import bson
from bson import Int64, ObjectId, json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.errors import BSONError

from catchment.errors import ConfigError

Form = Literal["canonical", "relaxed"]

# Dates stay what they are, a count of milliseconds: Python's own end with the year 9999.
OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
LENIENT = OPTIONS.with_options(unicode_decode_error_handler="replace")
_FROM_JSON = json_util.JSONOptions(datetime_conversion=DatetimeConversion.DATETIME_MS, tz_aware=False)
_TO_JSON = {"canonical": json_util.CANONICAL_JSON_OPTIONS, "relaxed": json_util.RELAXED_JSON_OPTIONS}


class Unrepresentable(ValueError):
    """Why a document cannot be told in JSON."""


class Rendering:
    """Writes documents as extended JSON, version 2; the types met most often without the library's slower way."""

    def __init__(self, form: Form) -> None:
        self._other = partial(_other, options=_TO_JSON[form])
        plain: dict[type, Callable[[Any], Any]] = {
            **dict.fromkeys((str, bool, type(None)), _as_it_is),
            dict: self._object,
            list: self._array,
            ObjectId: lambda value: {"$oid": str(value)},
            Decimal128: lambda value: {"$numberDecimal": str(value)},
        }
        canonical: dict[type, Callable[[Any], Any]] = {
            int: _integer,
            Int64: lambda value: {"$numberLong": str(int(value))},
            float: _double,
            DatetimeMS: lambda value: {"$date": {"$numberLong": str(int(value))}},
        }
        relaxed: dict[type, Callable[[Any], Any]] = {
            int: _as_it_is,
            Int64: int,
            float: lambda value: value if math.isfinite(value) else _double(value),
        }
        self._by_type = {**plain, **(canonical if form == "canonical" else relaxed)}

    def __call__(self, raw: bytes) -> str:
        """Raises Unrepresentable."""
        try:
            document = bson.decode(raw, OPTIONS)
            # Where a name stands twice in one object only the last is decoded, and what is encoded is shorter.
            whole = len(bson.encode(document, codec_options=OPTIONS)) == len(raw)
        except (BSONError, ValueError, OverflowError, RecursionError) as error:
            message = f"not valid BSON: {str(error) or type(error).__name__}"
            raise Unrepresentable(message) from None
        if not whole:
            message = "a name stands twice in one object, or a type is used that MongoDB no longer has"
            raise Unrepresentable(message)
        return json.dumps(self._object(document), ensure_ascii=False, separators=(",", ":"))

    def _object(self, value: Mapping[str, Any]) -> dict[str, Any]:
        by_type, other = self._by_type, self._other
        return {name: by_type.get(type(item), other)(item) for name, item in value.items()}

    def _array(self, value: Sequence[Any]) -> list[Any]:
        by_type, other = self._by_type, self._other
        return [by_type.get(type(item), other)(item) for item in value]


def documents(batch: bytes) -> Iterator[bytes]:
    """Each document of a batch as the server sent it: its length comes first, in four bytes."""
    at = 0
    while at < len(batch):
        end = at + int.from_bytes(batch[at : at + 4], "little")
        yield batch[at:end]
        at = end


def value_of(raw: bytes, path: Sequence[str]) -> Any:
    """What stands at a path of names; None where nothing does, or where the path leads through an array."""
    try:
        found: Any = bson.decode(raw, LENIENT)
    except (BSONError, ValueError, OverflowError, RecursionError):
        return None
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def from_json(value: Mapping[str, Any], what: str) -> dict[str, Any]:
    """A mapping in which extended JSON stands for types that YAML does not have. Raises ConfigError."""
    try:
        found: dict[str, Any] = json_util.loads(json.dumps(value), json_options=_FROM_JSON)
    except (TypeError, ValueError, OverflowError, BSONError) as error:
        message = f"{what} is not extended JSON: {error}"
        hint = 'write dates as {"$date": "2026-01-31T00:00:00Z"} and ids as {"$oid": "…"}'
        raise ConfigError(message, hint=hint) from None
    return found


def to_json(value: Any) -> Any:
    """One value as canonical extended JSON."""
    return json.loads(json_util.dumps({"": value}, json_options=json_util.CANONICAL_JSON_OPTIONS))[""]


def _other(value: Any, *, options: json_util.JSONOptions) -> Any:
    return json.loads(json_util.dumps({"": value}, json_options=options))[""]


def _as_it_is(value: Any) -> Any:
    return value


def _integer(value: int) -> dict[str, str]:
    return {"$numberInt" if -(1 << 31) <= value < 1 << 31 else "$numberLong": str(value)}


def _double(value: float) -> dict[str, str]:
    if math.isnan(value):
        return {"$numberDouble": "NaN"}
    if math.isinf(value):
        return {"$numberDouble": "Infinity" if value > 0 else "-Infinity"}
    return {"$numberDouble": repr(value)}
