"""An answer as a page: its records as they were written, character by character, and what else it says."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from json import JSONDecodeError
from typing import Any, NoReturn

from catchment.errors import DataError, RetryableError
from catchment.reading.selectors import EVERY, Steps
from catchment.sources.http.requests import Again, Answer, Request

# Control characters in a text make its record a defect, not the page.
_DECODER = json.JSONDecoder(strict=False)
_WHITE = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True)
class Record:
    """One record: what it says, and the text that said it."""

    value: Any
    text: str

    @property
    def raw(self) -> bytes:
        """The bytes that came, also where they are no UTF-8."""
        return self.text.encode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class Page:
    """One good answer."""

    answer: Answer
    text: str
    records: Sequence[Record]

    def at(self, path: Steps) -> Any:
        """What stands at one place, None where nothing does."""
        return at(self._document, path)

    @cached_property
    def _document(self) -> Any:
        return json.loads(self.text, strict=False) if self.text.strip() else None


def at(value: Any, path: Steps) -> Any:
    """What stands at one place of a document, None where nothing does."""
    for step in path:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        else:
            value = value[step] if isinstance(value, list) and -len(value) <= step < len(value) else None
    return value


def page(answer: Answer, records: Steps, asked: str, request: Request) -> Page:
    """An answer read as JSON. Raises Again where it may have been damaged on its way, DataError where it is no such
    answer; `asked` names the stream."""
    said = f"{asked}: the answer to {request.shown}"
    text = _text(answer)
    if not text.strip():
        if answer.status == 204:
            return Page(answer, "", ())
        raise Again(RetryableError(f"{said} is empty", hint="an answer without records is [] or {}"))
    if text.lstrip()[:1] == "<":
        message = f"{said} is a page for people or XML, not JSON: {' '.join(text[:80].split())}"
        raise DataError(message, hint="is it a login page, or a proxy's? look at url, path and `auth`")
    try:
        return Page(answer, text, _records(text, records))
    except _NotThere as missing:
        message = f"{said} has no {_words(records[: missing.depth + 1])}; it has {missing.found}"
        raise DataError(message, hint="correct `records`: it says where the records stand") from None
    except RecursionError:
        message = f"{said} is nested too deeply"
        raise DataError(message, hint="ask for less of each record") from None
    except JSONDecodeError as error:
        message = f"{said} is no JSON: {error.msg} at character {error.pos:,} of {len(text):,}"
        raise Again(DataError(message, hint="is it cut off, or another format? look at what it answers")) from None


class _NotThere(Exception):
    def __init__(self, depth: int, found: str) -> None:
        super().__init__(found)
        self.depth = depth
        self.found = found


def _text(answer: Answer) -> str:
    charset = (answer.charset or "utf-8").lower()
    if charset not in ("utf-8", "utf8", "us-ascii", "ascii"):
        try:
            return answer.content.decode(charset)
        except (LookupError, UnicodeDecodeError):
            pass
    return answer.content.decode("utf-8", "surrogateescape").removeprefix("\ufeff")


def _records(text: str, path: Steps) -> Sequence[Record]:
    found: list[Record] = []
    end = _white(text, _walk(text, _white(text, 0), path, 0, found))
    if end != len(text):
        message = "Extra data"
        raise JSONDecodeError(message, text, end)
    return found


def _walk(text: str, begin: int, path: Steps, depth: int, found: list[Record]) -> int:
    """Collect what the path names from a value on, None in the place of a list is a list without records; where the
    value ends. Only values on the path are looked into, all else is passed over."""
    if depth == len(path):
        value, end = _DECODER.raw_decode(text, begin)
        found.append(Record(value, text[begin:end]))
        return end
    step, sign = path[depth], text[begin : begin + 1]
    if isinstance(step, str) and sign == "{":
        return _members(text, begin, path, depth, found)
    if not isinstance(step, str) and sign == "[":
        return _items(text, begin, path, depth, found)
    value, end = _DECODER.raw_decode(text, begin)
    if value is not None:
        raise _NotThere(depth, _shape(value))
    return end


def _members(text: str, begin: int, path: Steps, depth: int, found: list[Record]) -> int:
    here, names = _white(text, begin + 1), list[str]()
    while text[here : here + 1] != "}":
        if text[here : here + 1] != '"':
            _wrong("Expecting property name enclosed in double quotes", text, here)
        name, here = _DECODER.raw_decode(text, here)
        names.append(name)
        here = _white(text, _sign(text, _white(text, here), ":"))
        here = _passed(text, here, path, depth, found, on_path=name == path[depth])
        here = _next(text, here, "}")
    if path[depth] not in names:
        raise _NotThere(depth, ", ".join(f"`{name[:40]}`" for name in names[:8]) or "nothing")
    return here + 1


def _items(text: str, begin: int, path: Steps, depth: int, found: list[Record]) -> int:
    here, place, step = _white(text, begin + 1), 0, path[depth]
    while text[here : here + 1] != "]":
        here = _passed(text, here, path, depth, found, on_path=step is EVERY or step == place)
        here = _next(text, here, "]")
        place += 1
    return here + 1


def _passed(text: str, here: int, path: Steps, depth: int, found: list[Record], *, on_path: bool) -> int:
    if on_path:
        return _walk(text, here, path, depth + 1, found)
    end: int = _DECODER.raw_decode(text, here)[1]
    return end


def _next(text: str, here: int, end: str) -> int:
    """Where the next member or item begins, or the end is."""
    here = _white(text, here)
    if text[here : here + 1] == end:
        return here
    here = _white(text, _sign(text, here, ","))
    if text[here : here + 1] == end:
        _wrong("Illegal trailing comma", text, here)
    return here


def _sign(text: str, here: int, sign: str) -> int:
    if text[here : here + 1] != sign:
        _wrong(f"Expecting '{sign}' delimiter", text, here)
    return here + 1


def _white(text: str, here: int) -> int:
    found = _WHITE.match(text, here)
    return here if found is None else found.end()


def _wrong(what: str, text: str, here: int) -> NoReturn:
    raise JSONDecodeError(what, text, here)


def _shape(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"`{str(name)[:40]}`" for name in list(value)[:8]) or "nothing"
    return "a list" if isinstance(value, list) else "a single value"


def _words(path: Steps) -> str:
    parts = ["[*]" if step is EVERY else f"[{step}]" if isinstance(step, int) else f".{step}" for step in path]
    return f"${''.join(parts)}"
