"""Messages of a tap: what stands in a line of its output, a record as the very text that it wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from catchment.sources.singer.tap import Long

_DECODER = json.JSONDecoder()
_OPEN = re.compile(r"[ \t\r]*\{[ \t\r]*")
_NAME = re.compile(r'"([^"\\]*)"[ \t\r]*:[ \t\r]*')
_NEXT = re.compile(r"[ \t\r]*(?:(,)[ \t\r]*|\}[ \t\r]*$)")


@dataclass(frozen=True)
class Record:
    """A row of a stream: its JSON, and the values by name."""

    stream: str
    text: str
    value: Mapping[str, Any]


@dataclass(frozen=True)
class State:
    """All before it may be kept, and a run that is given it goes on from there; None where it is empty."""

    text: str | None


@dataclass(frozen=True)
class Schema:
    stream: str
    key: Sequence[str]


@dataclass(frozen=True)
class ActivateVersion:
    """The rows of this run are all that there are."""

    stream: str


@dataclass(frozen=True)
class Rubbish:
    """A line that is no message: what is kept of it, and why it is none."""

    raw: bytes
    reason: str


@dataclass(frozen=True)
class Files:
    """A BATCH message: its rows lie in files that it names."""

    stream: str


Message = Record | State | Schema | ActivateVersion | Files | Rubbish


def message(line: bytes | Long) -> Message | None:
    """What a line says; None where it is blank."""
    if isinstance(line, Long):
        reason = f"a line of {line.length:,} bytes, longer than any message; the first {len(line.begin):,} are kept"
        return Rubbish(line.begin, reason)
    if not line.strip():
        return None
    try:
        return _read(_members(line.decode()))
    except UnicodeDecodeError as error:
        return Rubbish(line, f"not UTF-8 text: byte {error.start + 1} of the line")
    except RecursionError:
        return Rubbish(line, "not valid JSON: nested too deeply")
    except ValueError as error:
        return Rubbish(line, f"no Singer message: {error}")


def _members(text: str) -> dict[str, tuple[Any, str]]:
    """The members of an object, each with its text: numbers would lose digits on the way through Python."""
    opened = _OPEN.match(text)
    if opened is None:
        message = "not a JSON object"
        raise ValueError(message)
    found: dict[str, tuple[Any, str]] = {}
    at = opened.end()
    while True:
        name = _NAME.match(text, at)
        if name is None:
            message = f"not valid JSON at character {at}"
            raise ValueError(message)
        value, end = _DECODER.raw_decode(text, name.end())
        found[name.group(1)] = value, text[name.end() : end]
        following = _NEXT.match(text, end)
        if following is None:
            message = f"not valid JSON at character {end}"
            raise ValueError(message)
        if following.group(1) is None:
            return found
        at = following.end()


def _read(members: Mapping[str, tuple[Any, str]]) -> Message:
    kind = members.get("type", (None, ""))[0]
    if kind == "STATE":
        value, text = _member(members, "value", kind)
        return State(text if value else None)
    if kind not in ("RECORD", "SCHEMA", "ACTIVATE_VERSION", "BATCH"):
        message = "it has no `type`" if kind is None else f"type {kind!r:.60} is not known"
        raise ValueError(message)
    stream = str(_member(members, "stream", kind)[0])
    if kind == "RECORD":
        value, text = _member(members, "record", kind)
        if not isinstance(value, dict):
            message = "`record` is no object"
            raise ValueError(message)
        return Record(stream, text, value)
    if kind == "SCHEMA":
        keys = members.get("key_properties", (None, ""))[0]
        return Schema(stream, [key for key in keys if isinstance(key, str)] if isinstance(keys, list) else [])
    return ActivateVersion(stream) if kind == "ACTIVATE_VERSION" else Files(stream)


def _member(members: Mapping[str, tuple[Any, str]], name: str, kind: str) -> tuple[Any, str]:
    if name not in members:
        message = f"{kind} without `{name}`"
        raise ValueError(message)
    return members[name]
