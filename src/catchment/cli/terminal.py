"""What commands write: data to stdout, the rest to stderr, and never a secret."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from catchment.cli import hints
from catchment.settings import redact

if TYPE_CHECKING:
    import pyarrow as pa


def out(text: str = "") -> None:
    """A line of data."""
    click.echo(redact(text))


def out_words(text: str) -> None:
    """A line of data that may name commands: they are for the place that the call is about."""
    out(hints.named(text))


def note(text: str = "") -> None:
    """A line for people."""
    click.echo(redact(hints.named(text)), err=True)


def out_json(value: Any, *, indent: int | None = 2, words: bool = False) -> None:
    """One JSON document on stdout; with `words`, which no rows of users may have, commands in it as `out_words` has."""
    told = hints.named_value(plain(value)) if words else plain(value)
    out(json.dumps(told, ensure_ascii=False, indent=indent))


def styled(text: str, *, fg: str | None = None, bold: bool = False) -> str:
    """The text in a style where stderr is a terminal that wants one."""
    context = click.get_current_context(silent=True)
    wanted = context.obj.colour if context is not None and context.obj is not None else _wants_colour()
    return click.style(text, fg=fg, bold=bold) if wanted else text


def _wants_colour() -> bool:
    from catchment.cli.invocation import Invocation

    # Asked after the command's context has gone, or before there was one.
    return Invocation(no_colour="--no-color" in sys.argv).colour


def plain(value: Any) -> Any:
    """A value as JSON has it: instants and dates in ISO 8601, decimals as text so that no digit is lost."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value if value is None or isinstance(value, str | int | bool) else str(value)


def values(column: pa.ChunkedArray | pa.Array) -> list[Any]:
    """A column's values; as text where Python has none such, an instant after the year 9999 for example."""
    import pyarrow as pa

    try:
        found: list[Any] = column.to_pylist()
    except (ValueError, OverflowError):
        found = column.cast(pa.string()).to_pylist()
    return found
