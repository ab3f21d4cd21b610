"""Debezium's envelopes as rows of a log of changes: what it writes to a topic as JSON, with or without a schema.

An envelope is cut into its parts where Python's parser says that they end, and a row's document is the text that came:
no number is read and written again. Where the schema stands beside it, days, times and decimals, which Debezium writes
as numbers and bytes, become text as contracts read it. https://debezium.io/documentation/reference/stable/connectors/postgresql.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from catchment.naming import DELETE, INSERT, SNAPSHOT, TRUNCATE, UPDATE
from catchment.sources.changes import SCHEMA
from catchment.sources.debezium_types import Written, written
from catchment.sources.topic.rows import Values, key_text, ours

_OPS = {"r": SNAPSHOT, "c": INSERT, "u": UPDATE, "d": DELETE, "t": TRUNCATE}

_OBJECT = re.compile(r"\s*\{")
_MEMBER = re.compile(r'\s*"((?:[^"\\]|\\.)*)"\s*:\s*', re.DOTALL)
_COMMA = re.compile(r"\s*,")

# Ends are asked for, and the values of few parts: numbers stay text, however long.
_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder(parse_float=str).scan_once  # type: ignore[attr-defined]

# What stands for a large value that an update has left as it was: as text, and as bytes.
_UNAVAILABLE = ('"__debezium_unavailable_value"', '"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="')

_LAST_US = 253_402_300_799_999_999  # the end of the year 9999

_Text = str | None


@dataclass(frozen=True)
class _Part:
    """A value, the text that it stood in, and where that began."""

    value: Any
    text: str
    begin: int


@dataclass(frozen=True)
class _Head:
    """What stands before the payload: of a table whose columns stay, the same text in each message."""

    text: str
    written: Mapping[str, Written]


@dataclass(frozen=True)
class _Change:
    """`at_us` is None where the envelope does not tell."""

    op: str
    at_us: int | None
    document: _Text
    before: _Text = None


class _NoChange(Exception):
    """Why a message tells of no change."""


class Envelopes:
    """Rows of a topic that Debezium writes. Tombstones are left out: each comes after its delete, and says no more."""

    schema = SCHEMA

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._values = Values(json=True)
        self._head: _Head | None = None

    def rows(self, messages: pa.RecordBatch, origin: str) -> pa.Table:
        told = messages.filter(messages.column("value").is_valid())
        text, defects = self._values.read(told.column("value"))
        keys, instants = key_text(told.column("key")).to_pylist(), told.column("at").cast(pa.int64()).to_pylist()
        changes = []
        for place, value in enumerate(text.to_pylist()):
            try:
                # What has no value is a defect already; of its kind nobody knows, but that it is no truncate.
                change = _NOTHING if value is None else self._change(value, keys[place])
            except _NoChange as error:
                defects[place], change = str(error), _NOTHING
            changes.append(change)
        return self._table(told, origin, dict(sorted(defects.items())), changes, instants)

    def _change(self, text: str, key: str | None) -> _Change:
        """Raises _NoChange."""
        try:
            return _told(*self._opened(text), key)
        except (RecursionError, ValueError, StopIteration):
            message = "nested too deeply, or with a number of thousands of digits"
            raise _NoChange(message) from None

    def _opened(self, text: str) -> tuple[dict[str, _Part], Mapping[str, Written]]:
        """The parts of an envelope, and how columns are written, where a schema stands beside it and tells."""
        head = self._head
        if head is not None and text.startswith(head.text):
            return _parts(text, len(head.text)), head.written
        parts = _parts(text)
        schema, payload = parts.get("schema"), parts.get("payload")
        if "op" in parts or schema is None or payload is None:
            return parts, {}
        columns = written(schema.value)
        if schema.begin < payload.begin:
            self._head = _Head(text[: payload.begin], columns)
        return _parts(text, payload.begin), columns

    def _table(
        self,
        messages: pa.RecordBatch,
        origin: str,
        defects: Mapping[int, str],
        changes: Sequence[_Change],
        instants: Sequence[int],
    ) -> pa.Table:
        at = [sent if one.at_us is None else one.at_us for one, sent in zip(changes, instants, strict=True)]
        columns = [
            *ours(messages, origin, defects),
            pa.repeat(pa.scalar(self._stream, pa.string()), len(changes)),
            pa.array([one.op for one in changes], pa.string()),
            pa.array(at, pa.int64()).cast(SCHEMA.field("committed_at").type),
            pa.array([one.document for one in changes], pa.string()),
            pa.array([one.before for one in changes], pa.string()),
        ]
        return pa.Table.from_arrays(columns, schema=SCHEMA)


_NOTHING = _Change(UPDATE, None, None)


def _told(parts: Mapping[str, _Part], columns: Mapping[str, Written], key: str | None) -> _Change:
    """What an envelope tells. Raises _NoChange."""
    op = parts.get("op")
    if op is None:
        message = "no envelope of Debezium: it has no `op`"
        raise _NoChange(message)
    kind = _OPS.get(op.value) if isinstance(op.value, str) else None
    if kind is None:
        message = f"op {op.text[:40]} tells of no change of a row"
        raise _NoChange(message)
    source = _value(parts, "source")
    at = _committed(source if isinstance(source, dict) else {}, _value(parts, "ts_ms"))
    before, after = _row(parts.get("before"), columns), _row(parts.get("after"), columns)
    if kind == TRUNCATE:
        return _Change(kind, at, None)
    if kind == DELETE:
        return _Change(kind, at, before or _keyed(key, source))
    if after is None:
        message = f'op "{op.value}" without the row after it'
        raise _NoChange(message)
    if any(placeholder in after for placeholder in _UNAVAILABLE):
        after = _completed(after, before)
    return _Change(kind, at, after, before)


def _parts(text: str, place: int = 0) -> dict[str, _Part]:
    """The members of an object in valid JSON; none where there is no object."""
    begin = _OBJECT.match(text, place)
    found: dict[str, _Part] = {}
    while begin is not None and (name := _MEMBER.match(text, begin.end())) is not None:
        value, end = _scan(text, name.end())
        found[name[1]] = _Part(value, text[name.end() : end], name.end())
        begin = _COMMA.match(text, end)
    return found


def _value(parts: Mapping[str, _Part], name: str) -> Any:
    part = parts.get(name)
    return None if part is None else part.value


def _row(part: _Part | None, columns: Mapping[str, Written]) -> _Text:
    """A row as JSON text, None where there is none. MongoDB's stands as text in text. Raises _NoChange."""
    if part is None or part.value is None:
        return None
    if isinstance(part.value, dict):
        return part.text if columns.keys().isdisjoint(part.value) else _rewritten(part.text, columns)
    if isinstance(part.value, str):
        try:
            if isinstance(json.loads(part.value), dict):
                return part.value
        except ValueError:
            pass
    message = "the row before or after it is no object"
    raise _NoChange(message)


def _rewritten(text: str, columns: Mapping[str, Written]) -> str:
    """A row with some of its columns written in another way."""
    told = []
    for name, part in _parts(text).items():
        write = columns.get(name)
        new = None if write is None or part.value is None else write(part.value)
        told.append(f'"{name}":{part.text if new is None else new}')
    return f"{{{','.join(told)}}}"


def _completed(after: str, before: _Text) -> str:
    """A row with the columns that are not told of it taken from the row before. Raises _NoChange."""
    known, told = {} if before is None else _parts(before), []
    for name, part in _parts(after).items():
        text = part.text
        if text in _UNAVAILABLE:
            text = known[name].text if name in known else text
        if text in _UNAVAILABLE:
            message = f"column `{name}` did not change and is not told: the table needs REPLICA IDENTITY FULL"
            raise _NoChange(message)
        told.append(f'"{name}":{text}')
    return f"{{{','.join(told)}}}"


def _keyed(key: str | None, source: Any) -> str:
    """What a message's key tells of a row that went. Raises _NoChange where it tells nothing."""
    try:
        parts = {} if key is None else _parts(key)
        payload = parts.get("payload")
        if payload is not None and "schema" in parts:
            key, parts = payload.text, _parts(payload.text)
    except (ValueError, StopIteration):  # a key that is no JSON
        parts = {}
    if not parts or key is None:
        message = 'op "d" tells neither the row before it nor its key'
        raise _NoChange(message)
    if isinstance(source, dict) and source.get("connector") == "mongodb" and isinstance(_value(parts, "id"), str):
        return f'{{"_id":{parts["id"].value}}}'
    return key


def _committed(source: Mapping[str, Any], made: Any) -> int | None:
    """When a change was committed, in microseconds: as the database tells it, or else Debezium."""
    for value, factor in ((source.get("ts_us"), 1), (source.get("ts_ms"), 1000), (made, 1000)):
        if isinstance(value, int) and 0 < value * factor <= _LAST_US:
            return value * factor
    return None
