"""What stands behind options, read while the command line is: what is none there is wrong use of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from catchment.errors import ConfigError

if TYPE_CHECKING:
    from catchment.generate.going import Rate
    from catchment.stream.shares import Share

_MOST_PORT = 65_535

# What is younger than this may be in the making.
_SHORTEST_KEPT = timedelta(hours=1)


class Value(click.ParamType):  # type: ignore[type-arg]  # older versions of click have no parameter
    """Text of which `read` makes something else; it raises ConfigError where that cannot be."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._read(value)
        except ConfigError as error:
            self.fail(error.message if error.hint is None else f"{error.message}; {error.hint}", param, ctx)


def _length(text: str) -> float:
    """A length of time in seconds."""
    from catchment.reading.durations import seconds

    found = seconds(text)
    if not found:
        message = f"`{text}` is no length of time"
        raise ConfigError(message, hint="write 30s, 10m or 2 hours")
    return float(found)


def _retention(text: str) -> timedelta:
    """For how long something is kept: an hour at least."""
    found = timedelta(seconds=_length(text))
    if found < _SHORTEST_KEPT:
        message = f"a retention of {text} is too short: a run that goes on now could lose its files"
        raise ConfigError(message, hint="keep an hour at least")
    return found


def _moment(text: str) -> int | datetime:
    """A version, or an instant in UTC."""
    from catchment.reading.moments import moment

    return moment(text)


def _instant(text: str) -> datetime:
    """An instant in UTC; without a zone it is read as UTC, and a day means its first moment."""
    try:
        found: int | datetime = _moment(text)
    except ConfigError:
        found = 0  # a version, which is no time either
    if isinstance(found, int):
        message = f"`{text}` is no time"
        raise ConfigError(message, hint="write 2026-11-01T08:30Z, or 2026-11-01 for its start in UTC")
    return found


def _address(text: str) -> tuple[str, int]:
    """Where to listen: `host:port`, `[::1]:8080`, `:8080` for all of this machine's."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > _MOST_PORT:
        message = f"`{text}` is no address to listen on"
        raise ConfigError(message, hint="write one such as 127.0.0.1:8080")
    return host.strip("[]"), int(port)


def _loads(text: str) -> tuple[int, int]:
    """A span of loads as `(after, to]`."""
    found = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", text.strip())
    if found is None:
        message = f"`{text}` is no span of loads"
        raise ConfigError(message, hint="write two numbers, such as 2-5, or one")
    first, last = int(found[1]), int(found[2] or found[1])
    return first - 1, last


def _share(text: str) -> Share:
    from catchment.stream.shares import Share

    return Share.parse(text)


def _rate(text: str) -> Rate:
    from catchment.generate.going import Rate

    return Rate.parse(text)


LENGTH, RETENTION = Value("length", _length), Value("retention", _retention)
MOMENT, TIME = Value("moment", _moment), Value("time", _instant)
ADDRESS, LOADS = Value("address", _address), Value("loads", _loads)
SHARE, RATE = Value("share", _share), Value("rate", _rate)
