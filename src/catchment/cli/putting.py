"""Lines of stdin on their way into a topic: see `catchment topics put`."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from catchment.errors import CatchmentError, DataError, RetryableError, refused
from catchment.observe.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from catchment.interfaces import Broker
    from catchment.records import Message

    Line: TypeAlias = tuple[int, Message]

# Messages that are written at once.
_BATCH = 1000

_PATH = re.compile(r"\$((?:\.[A-Za-z_][A-Za-z0-9_-]*)+)")


@dataclass
class Writing:
    """Messages on their way into a topic, each with its line: how many are there, the line of the last of them, and the
    next offsets of the partitions that got some."""

    broker: Broker
    topic: str
    written: int = 0
    line: int = 0
    ends: dict[int, int] = field(default_factory=dict)

    def batches(self, messages: Iterator[Line]) -> Iterator[list[Line]]:
        """So many as are written at once; raises DataError for a bad line, which says what had been written."""
        while True:
            try:
                batch = list(itertools.islice(messages, _BATCH))
            except DataError as error:
                raise DataError(error.message, hint=self.told()) from error
            if not batch:
                return
            yield batch

    def write(self, batches: Iterable[list[Line]]) -> None:
        """Raises what the broker does, with what had been written before; nothing of the batch that fails was."""
        for batch in batches:
            if batch:
                try:
                    self.ends |= self.broker.write(self.topic, [message for _, message in batch])
                except (CatchmentError, OSError) as error:
                    raise self._ended(refused(error) if isinstance(error, OSError) else error, len(batch)) from error
                self.written += len(batch)
                self.line = batch[-1][0]

    def _ended(self, error: CatchmentError, tried: int) -> CatchmentError:
        told = self.told()
        if isinstance(error, RetryableError):  # no answer means neither yes nor no
            open_ = f"whether the next {plural(tried, 'message')} arrived is not known: catchment topics show tells"
            told = f"{told}; {open_}" if self.written else open_
        cure = (error.hint or "").removesuffix(", then run again" if self.written else "")
        message = error.message.removesuffix("; nothing was written")
        return type(error)(message, hint="; ".join(filter(None, (cure, told))))

    def told(self) -> str:
        if not self.written:
            return "nothing was written"
        count = plural(self.written, "message")
        return f"{count} had been written: go on behind line {self.line:,}, with tail -n +{self.line + 1}"


def path_of(key: str | None) -> tuple[str, ...]:
    """`$.user.id` as its names."""
    if key is None:
        return ()
    found = _PATH.fullmatch(key)
    if found is None:
        message = f"--key {key} is no path: write '$.user_id', or '$.user.id' for what lies deeper"
        raise click.UsageError(message)
    return tuple(found[1][1:].split("."))


def messages(source: Iterable[bytes], path: Sequence[str], *, text: bool) -> Iterator[Line]:
    """A message for each line that is not empty, with the line's number from 1.

    Raises DataError for a line that is no JSON, or has no key where one is wanted.
    """
    from catchment.records import Message

    for number, line in enumerate(source, 1):
        value = line.rstrip(b"\r\n")
        if not value.strip():
            continue
        if text:
            yield number, Message(value)
            continue
        try:
            document = json.loads(value)
        except ValueError as error:
            why = str(error)
            if isinstance(error, json.JSONDecodeError):
                why = f"{error.msg.removesuffix(' starting at')} at character {error.pos + 1}"
            message = f"line {number} is no JSON: {why}"
            raise DataError(message) from error
        except RecursionError as error:
            message = f"line {number} is nested too deeply"
            raise DataError(message) from error
        yield number, Message(value, _key(document, path, number) if path else None)


def _key(document: Any, path: Sequence[str], number: int) -> bytes:
    found = document
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    if found is None:
        message = f"line {number} has no ${''.join(f'.{name}' for name in path)}"
        raise DataError(message)
    told = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False, separators=(",", ":"))
    return told.encode("utf-8")
