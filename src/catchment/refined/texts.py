"""Values of silver as JSON, in SQL: an engine makes whole messages, and nothing is done row by row.

Numbers keep every digit: a decimal that most readers of JSON would round is text. Instants are ISO 8601 in UTC with
microseconds, objects and arrays stand as they are. A number that JSON does not know (not a number, infinite) is null.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from catchment.contract import Column
from catchment.naming import literal, quoted

# So many digits go through 64 bits of floating point and come back.
_EXACT_DIGITS = 15

INSTANT = "'%Y-%m-%dT%H:%M:%S.%fZ'"


def plain(column: Column) -> str:
    """A column's value as text, NULL where it has none."""
    name = quoted(column.name)
    if column.type == "timestamp":
        return f"strftime({name}, {INSTANT})"
    text = f"CAST({name} AS VARCHAR)"
    if column.type == "decimal" and (column.precision or 18) == (column.scale or 0):
        return rf"regexp_replace({text}, '^(-?)\.', '\10.')"  # DuckDB writes .5
    return text


def as_json(column: Column) -> str:
    """A column's value as JSON text, never NULL."""
    name = quoted(column.name)
    exact = column.type == "decimal" and (column.precision or 18) <= _EXACT_DIGITS
    if exact or column.type in ("integer", "boolean"):
        text = plain(column)
    elif column.type == "number":
        text = f"CASE WHEN isfinite({name}) THEN CAST(to_json({name}) AS VARCHAR) END"
    elif column.type in ("object", "array"):
        # In silver they are JSON text already.
        text = f"CASE WHEN json_valid({name}) THEN {name} ELSE CAST(to_json({name}) AS VARCHAR) END"
    else:
        text = f"CAST(to_json({plain(column)}) AS VARCHAR)"
    return f"COALESCE({text}, 'null')"


def as_object(columns: Sequence[Column]) -> str:
    """A row as a JSON object of these columns, in their order."""
    if not columns:
        return "'{}'"
    parts = []
    for place, column in enumerate(columns):
        name = json.dumps(column.name, ensure_ascii=False)
        parts += [literal(f"{'{' if place == 0 else ','}{name}:"), as_json(column)]
    return " || ".join([*parts, "'}'"])


def as_array(columns: Sequence[Column]) -> str:
    """A row as a JSON array of these columns."""
    return "'[' || " + " || ',' || ".join(map(as_json, columns)) + " || ']'"
