"""Messages that need a schema to be read: which one each was written with, and what it says as a document.

With a registry a message begins with a zero and the number of its writer's schema, in four bytes, as Confluent's
serializers write it. Each is read by its own schema, so that a field which is new simply appears. What a number stands
for never changes: it is asked for once.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import pyarrow as pa

from catchment.records import MessageSchema
from catchment.sources.files.cuts import LONGEST_RECORD
from catchment.sources.topic.rows import NUMBER, TOO_LONG

_MAGIC = 0
_LONGEST = 200


class Undecodable(Exception):
    """Why a message, or a schema, cannot be read."""


class Decoder(Protocol):
    """Reads messages of one schema."""

    def text(self, message: bytes, begin: int) -> str:
        """What a message holds from a byte on, as JSON. Raises Undecodable."""


class Registry(Protocol):
    """Knows schemas by number."""

    def schema(self, number: int) -> MessageSchema | None:
        """None where there is no such number. Raises RetryableError and ConfigError where it cannot be asked."""

    def close(self) -> None: ...


class Framed:
    """Decoders by the number that a message begins with."""

    def __init__(self, registry: Registry, kind: str, made: Callable[[MessageSchema], Decoder]) -> None:
        """`made` raises Undecodable for a schema that cannot be read."""
        self._registry = registry
        self._kind = kind
        self._made = made
        self._known: dict[int, Decoder | Undecodable] = {}

    def text(self, message: bytes, unknown: set[int]) -> str:
        """`unknown` are numbers that the registry was asked for just now in vain."""
        if len(message) < NUMBER or message[0] != _MAGIC:
            why = "begins with no number of a schema" if message else "is empty"
            why = f"not written with a schema of the registry: the message {why}"
            raise Undecodable(why)
        number = int.from_bytes(message[1:NUMBER], "big")
        decoder = self._known.get(number) or self._asked(number, unknown)
        if isinstance(decoder, Undecodable):
            raise decoder
        return decoder.text(message, NUMBER)

    def _asked(self, number: int, unknown: set[int]) -> Decoder | Undecodable:
        found = None if number in unknown else self._registry.schema(number)
        if found is None:
            unknown.add(number)
            return Undecodable(f"the registry has no schema {number}")
        self._known[number] = decoder = self._read(number, found)
        return decoder

    def _read(self, number: int, schema: MessageSchema) -> Decoder | Undecodable:
        if schema.kind != self._kind:
            return Undecodable(f"schema {number} is one of {schema.kind}, not of {self._kind}")
        try:
            return self._made(schema)
        except Undecodable as error:
            return Undecodable(f"schema {number} cannot be read: {error}")


class Bare:
    """One decoder for all: messages without a registry."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    def text(self, message: bytes, unknown: set[int]) -> str:
        return self._decoder.text(message, 0)


class Encoded:
    """Values of messages as documents; what is none is null, and said why by place."""

    def __init__(self, schemas: Framed | Bare) -> None:
        self._schemas = schemas

    def read(self, values: pa.Array) -> tuple[pa.Array, dict[int, str]]:
        """A tombstone is null and no defect."""
        return self._texts(values.to_pylist())

    def _texts(self, values: Sequence[bytes | None]) -> tuple[pa.Array, dict[int, str]]:
        found: list[str | None] = [None] * len(values)
        defects: dict[int, str] = {}
        unknown: set[int] = set()
        read = self._schemas.text
        for place, value in enumerate(values):
            if value is None:
                continue
            if len(value) > LONGEST_RECORD:
                defects[place] = TOO_LONG
                continue
            try:
                found[place] = read(value, unknown)
            except Undecodable as error:
                defects[place] = str(error)
        return pa.array(found, pa.string()), defects


def decimal_text(unscaled: int, scale: int) -> str:
    """All digits, none rounded."""
    sign, digits = "-" if unscaled < 0 else "", str(abs(unscaled))
    if scale <= 0:
        return f"{sign}{digits}{'0' * -scale if unscaled else ''}"
    digits = digits.rjust(scale + 1, "0")
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}"


def as_json(value: Any) -> str:
    """JSON text; bytes in base64, and numbers that JSON has not as `"NaN"`, `"Infinity"`, `"-Infinity"`."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_base64)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"), default=_base64)
    except RecursionError:
        why = "nested too deeply"
        raise Undecodable(why) from None


def _base64(value: Any) -> str:
    return base64.b64encode(value).decode()


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value


def in_a_line(error: BaseException) -> str:
    """What a library says."""
    told = " ".join(str(error).split()) or "it ends too soon"
    return told if len(told) <= _LONGEST else f"{told[:_LONGEST]}…"
