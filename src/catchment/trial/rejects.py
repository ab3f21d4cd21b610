"""Rejected rows beside those that `rejects.csv` names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from catchment import naming
from catchment.answers import Rejected
from catchment.contract import Contract
from catchment.errors import ConfigError
from catchment.trial.cases import REJECTS

if TYPE_CHECKING:
    import pyarrow as pa

# Beside these a line may name columns of the contract: what the row had there when it arrived.
_WORDS = ("row", "column", "rule", "message")

_SHOWN = 60


def reasons_of(rejected: Rejected) -> list[str]:
    """`row 3: email: "x" is not an e-mail address`, one text a reason."""
    return [f"row {rejected.row + 1}: {_words(reason)}" for reason in rejected.reasons]


def _words(reason: tuple[str | None, str, str, str | None]) -> str:
    column, _, message, value = reason
    shown = "" if value is None or value in message else f'"{value[:_SHOWN]}" '
    return f"{shown}{message}" if column is None else f"{column}: {shown}{message.removeprefix(f'{column}: ')}"


def unlike(contract: Contract, wanted: pa.Table, rejected: Sequence[Rejected]) -> list[str]:
    """What is not as `rejects.csv` says: lines that no rejected row is like, and rejected rows that no line names.

    A line is like a row when everything it says is true of it: `row` its number in its file from 1, `column`, `rule`
    and `message` (a part of the words) one of its reasons, any other column its value as it arrived. Raises ConfigError
    for a column that is neither.
    """
    sources = {column.name: column.source for column in contract.columns}
    unknown = [name for name in wanted.column_names if name not in (*_WORDS, *sources)]
    if unknown:
        known = [*_WORDS, *sources]
        message = f"{REJECTS}: `{unknown[0]}` is neither a word of it nor a column of silver.{contract.table}"
        raise ConfigError(message, hint=naming.did_you_mean(unknown[0], known) or f"there are {', '.join(known)}")
    lines = wanted.to_pylist()
    wrong = []
    named: set[int] = set()
    for number, line in enumerate(lines, start=1):
        alike = [place for place, row in enumerate(rejected) if _is_like(row, line, sources)]
        named.update(alike)
        if not alike:
            said = ", ".join(f"{name} {value}" for name, value in line.items() if value is not None)
            wrong.append(f"{REJECTS}, line {number + 1}: no row was rejected like this ({said})")
    for place, row in enumerate(rejected):
        if place not in named:
            wrong += [f"rejected, but not in {REJECTS}: {reason}" for reason in reasons_of(row)]
    return wrong


def _is_like(row: Rejected, line: Mapping[str, str | None], sources: Mapping[str, str]) -> bool:
    if line.get("row") is not None and line["row"] != str(row.row + 1):
        return False
    if any(line.get(name) is not None and line[name] != _arrived(row.raw, sources[name]) for name in sources):
        return False
    return any(_is_reason(reason, line) for reason in row.reasons)


def _is_reason(reason: tuple[str | None, str, str, str | None], line: Mapping[str, str | None]) -> bool:
    column, rule, message, _ = reason
    wanted = [line.get(name) for name in ("column", "rule", "message")]
    return (
        (wanted[0] is None or wanted[0] == column)
        and (wanted[1] is None or wanted[1] == rule)
        and (wanted[2] is None or wanted[2] in message)
    )


def _arrived(raw: str, source: str) -> str | None:
    """What a row had in a source column, or under a path of its document."""
    try:
        found: Any = json.loads(raw)
    except ValueError:
        return None
    for part in source.removeprefix("$.").split(".") if source.startswith("$.") else [naming.column(source)]:
        found = found.get(part) if isinstance(found, dict) else None
    return None if found is None else str(found)
