"""Keys of Redis as documents: every type of value, in steps that do not keep the server from others.

Bytes that are no UTF-8 stand as `{"base64": …}`. What is large is read in parts under WATCH, so that it is all of one
moment; what changes at each try is taken in one command.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import NoPermissionError, RedisError, ResponseError, WatchError

from catchment.sources.document_rows import mark
from catchment.sources.files.cuts import LONGEST_RECORD
from catchment.sources.files.shape import LONGEST_RAW
from catchment.sources.redis.server import Client

# Redis answers all commands that it has received from us before it looks at others: so much is asked for at once.
ANSWER_BYTES = 256 << 10
_ANSWERS = 200

_LARGE = ANSWER_BYTES
_MANY = 1000
_TRIES = 3

_LENGTHS = {"string": "STRLEN", "hash": "HLEN", "list": "LLEN", "set": "SCARD", "zset": "ZCARD", "stream": "XLEN"}
_WHOLE: dict[str, tuple[str, tuple[Any, ...]]] = {
    "string": ("GET", ()),
    "hash": ("HGETALL", ()),
    "list": ("LRANGE", (0, -1)),
    "set": ("SMEMBERS", ()),
    "zset": ("ZRANGE", (0, -1, "WITHSCORES")),
    "stream": ("XRANGE", ("-", "+")),
    "ReJSON-RL": ("JSON.GET", ()),
}
_SCANS = {"hash": "HSCAN", "set": "SSCAN", "zset": "ZSCAN"}


@dataclass(frozen=True)
class Found:
    """A key that was there: its document without the time to live, or why it has none."""

    key: bytes
    type: str
    ttl_ms: int | None
    value: str | None = None
    defect: str | None = None
    raw: bytes = b""
    size: int = 0

    @property
    def shown(self) -> str:
        return self.key.decode(errors="backslashreplace")

    @property
    def mark(self) -> bytes:
        """Another one when something but the time to live has changed."""
        return mark(self.key, self.type.encode(), (self.value or "").encode(), self.raw, b"%d" % len(self.defect or ""))

    def document(self) -> str:
        head = _json({"key": text(self.key), "type": self.type, "ttl_ms": self.ttl_ms})
        return f'{head[:-1]},"value":{self.value}}}'


@dataclass(frozen=True)
class _Key:
    """`size` is about what it takes, in bytes; `length` of a large one is asked for."""

    name: bytes
    type: str
    ttl_ms: int | None
    size: int
    length: int = 0

    @property
    def is_large(self) -> bool:
        return self.size > _LARGE


class Values:
    """Reads what keys hold."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def read(self, keys: Sequence[bytes]) -> Iterator[Found]:
        """Each key that is still there, in their order; those that are gone by now are not told of."""
        waiting = list(keys)
        for _ in range(_TRIES):
            changed: list[bytes] = []
            for group in _groups(self._looked_at(waiting)):
                for key, found in self._group(group):
                    if found is not None:
                        yield found
                    elif key is not None:
                        changed.append(key)
            waiting = changed
            if not waiting:
                return
        for name in waiting:
            yield Found(name, "unknown", None, defect="its type was another one at each look", raw=name)

    def _looked_at(self, keys: Sequence[bytes]) -> list[_Key]:
        """Types, times to live and sizes; without keys that are gone."""
        answers = self._ask([one for key in keys for one in (("TYPE", key), ("PTTL", key), ("MEMORY", "USAGE", key))])
        seen = []
        for place, name in enumerate(keys):
            kind, ttl, size = answers[3 * place : 3 * place + 3]
            if kind != b"none" and ttl != -2:
                told = size if isinstance(size, int) else 0
                seen.append(_Key(name, kind.decode(), ttl if ttl >= 0 else None, told))
        return self._measured(seen)

    def _measured(self, keys: Sequence[_Key]) -> list[_Key]:
        """Lengths of what is large, or of a size that nobody tells."""
        unsure = [key for key in keys if key.type in _LENGTHS and (key.is_large or not key.size)]
        lengths = self._ask([(_LENGTHS[key.type], key.name) for key in unsure])
        known = {
            key.name: length for key, length in zip(unsure, lengths, strict=True) if not isinstance(length, Exception)
        }
        measured = []
        for key in keys:
            length = known.get(key.name, 0)
            size = key.size or (length if key.type == "string" else length * (_LARGE // _MANY))
            measured.append(_Key(key.name, key.type, key.ttl_ms, size, length))
        return measured

    def _group(self, group: Sequence[_Key]) -> Iterator[tuple[bytes | None, Found | None]]:
        """What was found of each key; a key alone is to be looked at again, neither says that it is gone."""
        if len(group) == 1 and group[0].is_large:
            yield self._large(group[0])
            return
        known = [key for key in group if key.type in _WHOLE]
        answers = iter(self._ask([(_WHOLE[key.type][0], key.name, *_WHOLE[key.type][1]) for key in known]))
        for key in group:
            yield self._foreign(key) if key.type not in _WHOLE else _found(key, next(answers))

    def _large(self, key: _Key) -> tuple[bytes | None, Found | None]:
        if key.type not in _WHOLE:
            return self._foreign(key)
        if key.type == "string" and key.length > LONGEST_RECORD:
            (head,) = self._ask([("GETRANGE", key.name, 0, LONGEST_RAW - 1)])
            return _found(key, head) if isinstance(head, ResponseError) else (None, _too_large(key, head, key.length))
        if key.type in ("string", "ReJSON-RL"):
            return self._at_once(key)
        for _ in range(_TRIES):
            try:
                parts, size = self._in_parts(key)
            except WatchError:
                continue
            except ResponseError as error:
                if isinstance(error, NoPermissionError):
                    raise
                return _found(key, error)
            if size > LONGEST_RECORD:
                head = _json(told(key.type, parts))[:LONGEST_RAW].encode()
                return None, _too_large(key, head, key.size)
            return _found(key, parts)
        return self._at_once(key)

    def _in_parts(self, key: _Key) -> tuple[list[Any], int]:
        """As one answer would have it, and its size. Raises WatchError where it changed meanwhile."""
        with self._client.pipeline() as pipe:
            pipe.response_callbacks = {}
            pipe.watch(key.name)
            found = _parts(pipe, key)
            pipe.multi()
            pipe.ping()
            pipe.execute()
        return found

    def _at_once(self, key: _Key) -> tuple[bytes | None, Found | None]:
        command, arguments = _WHOLE[key.type]
        return _found(key, self._ask([(command, key.name, *arguments)])[0])

    def _foreign(self, key: _Key) -> tuple[bytes | None, Found | None]:
        """A type that a module of the server brings."""
        (raw,) = self._ask([("DUMP", key.name)]) if not key.is_large else (b"",)
        if raw is None:
            return None, None
        reason = f"a value of type {key.type} cannot be told in JSON"
        kept = raw if isinstance(raw, bytes) and raw else key.name
        return None, Found(key.name, key.type, key.ttl_ms, defect=reason, raw=kept, size=key.size)

    def _ask(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Answers, as the server sends them; a command that it refuses has an error among them.

        Raises NoPermissionError, but where only the size of a value may not be asked for.
        """
        answers: list[Any] = []
        for begin in range(0, len(commands), _ANSWERS):
            part = commands[begin : begin + _ANSWERS]
            with self._client.pipeline(transaction=False) as pipe:
                pipe.response_callbacks = {}
                for command in part:
                    pipe.execute_command(*command)
                answers += pipe.execute(raise_on_error=False)
        for command, answer in zip(commands, answers, strict=True):
            if isinstance(answer, NoPermissionError) and command[0] != "MEMORY":
                raise answer
            if isinstance(answer, RedisError) and not isinstance(answer, ResponseError):
                raise answer
        return answers


def _groups(keys: Sequence[_Key]) -> Iterator[list[_Key]]:
    """Keys whose values are asked for together: large ones alone."""
    group: list[_Key] = []
    size = 0
    for key in keys:
        if group and (key.is_large or size + key.size > ANSWER_BYTES):
            yield group
            group, size = [], 0
        group.append(key)
        size += key.size
        if key.is_large:
            yield group
            group, size = [], 0
    if group:
        yield group


def _parts(pipe: Client, key: _Key) -> tuple[list[Any], int]:
    """A large value in steps of about ANSWER_BYTES, as one answer would have it; no more than a document may have."""
    step = max(1, ANSWER_BYTES * max(key.length, 1) // key.size)
    taken: list[Any] = []
    size, at = 0, b"-" if key.type == "stream" else b"0"
    while size <= LONGEST_RECORD:
        if key.type == "list":
            part = pipe.execute_command("LRANGE", key.name, len(taken), len(taken) + step - 1)
        elif key.type == "stream":
            part = pipe.execute_command("XRANGE", key.name, at, "+", "COUNT", step)
        else:
            at, part = pipe.execute_command(_SCANS[key.type], key.name, at, "COUNT", step)
        taken += part
        size += _size(part)
        if key.type == "stream" and part:
            at = next_id(part[-1][0])
        if (at == b"0") if key.type in _SCANS else not part:
            break
    return taken, size


def _size(part: Any) -> int:
    return len(part) if isinstance(part, bytes) else 1 + sum(map(_size, part))


def next_id(entry: bytes) -> bytes:
    """The least id of a stream after one."""
    ms, _, number = entry.partition(b"-")
    if int(number) == (1 << 64) - 1:
        return b"%d-0" % (int(ms) + 1)
    return b"%s-%d" % (ms, int(number) + 1)


def _found(key: _Key, answer: Any) -> tuple[bytes | None, Found | None]:
    if isinstance(answer, ResponseError):
        if str(answer).startswith("WRONGTYPE"):
            return key.name, None
        reason = f"a value of type {key.type} cannot be read: {answer}"
        return None, Found(key.name, key.type, key.ttl_ms, defect=reason, raw=key.name)
    if answer is None or (not answer and key.type not in ("string", "stream")):
        return None, None
    if key.type == "ReJSON-RL":
        return None, Found(key.name, "json", key.ttl_ms, answer.decode(), size=key.size)
    return None, Found(key.name, key.type, key.ttl_ms, _json(told(key.type, answer)), size=key.size)


def _too_large(key: _Key, raw: bytes, length: int) -> Found:
    reason = f"a value of more than {LONGEST_RECORD >> 20} MB"
    return Found(key.name, key.type, key.ttl_ms, defect=reason, raw=raw, size=length)


def text(value: bytes) -> Any:
    """As text where it is UTF-8, else with a mark."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def pairs(answer: Sequence[bytes]) -> Any:
    """Names and values: an object, or a list of pairs where a name is no text or stands twice."""
    found = [(text(name), text(value)) for name, value in zip(answer[::2], answer[1::2], strict=True)]
    names = {name for name, _ in found if isinstance(name, str)}
    return dict(found) if len(names) == len(found) else [list(pair) for pair in found]


def entry(answer: Sequence[Any]) -> dict[str, Any]:
    """An entry of a stream."""
    return {"id": answer[0].decode(), "fields": pairs(answer[1] or ())}


def told(kind: str, answer: Any) -> Any:
    """An answer as JSON; what Redis keeps in no order is sorted, so that it is equal when nothing has changed."""
    if kind == "string":
        return text(answer)
    if kind == "list":
        return [text(one) for one in answer]
    if kind == "set":
        return [text(one) for one in sorted(set(answer))]
    if kind == "stream":
        return [entry(one) for one in answer]
    by_name = dict(zip(answer[::2], answer[1::2], strict=True))
    if kind == "hash":
        return pairs([part for pair in sorted(by_name.items()) for part in pair])
    ordered = sorted((float(score), member) for member, score in by_name.items())
    return [{"member": text(member), "score": _score(score)} for score, member in ordered]


def _score(score: float) -> float | str:
    return score if math.isfinite(score) else ("inf" if score > 0 else "-inf")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
