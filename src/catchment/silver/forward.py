"""What `--forward` makes of the rows that a silver table holds, where a new definition has other columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from catchment.contract import Column
from catchment.naming import quoted
from catchment.silver.conform import recast, sql_type
from catchment.silver.differences import renamed


@dataclass(frozen=True)
class Carried:
    """What `--forward` makes of the rows that are there, as SQL over the old silver columns (DuckDB's dialect).

    `columns`: the new contract's columns by name. `lost`: for those whose type changed, the condition under which a
    row's value is lost; where any row meets one, only a rebuild will do.
    """

    columns: Mapping[str, str]
    lost: Mapping[str, str]


def carried(before: Mapping[str, Any], after: Mapping[str, Any]) -> Carried:
    """How rows made with `before` come under `after`: same columns, renamed ones, cast ones, nulls where new."""
    was = {new: old for old, new in renamed(before, after).items()}
    old_columns = before["contract"]["columns"]
    columns, lost = {}, {}
    for name, attributes in after["contract"]["columns"].items():
        column, origin = _column(name, attributes), was.get(name, name)
        if origin not in old_columns:
            columns[name] = f"CAST(NULL AS {sql_type(column)})"
            continue
        old = _column(origin, old_columns[origin])
        columns[name] = quoted(origin)
        if _typed(old) != _typed(column):
            columns[name] = recast(column, old)
            lost[name] = f"{quoted(origin)} IS NOT NULL AND ({columns[name]}) IS NULL"
    return Carried(columns, lost)


def _column(name: str, attributes: Mapping[str, Any]) -> Column:
    """A column as a definition keeps it; attributes that a later version of ours invented are left out."""
    known = {attribute.name for attribute in fields(Column)}
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in attributes.items()
    }
    return Column(name=name, **{key: value for key, value in values.items() if key in known})


def _typed(column: Column) -> tuple[Any, ...]:
    return column.type, column.precision, column.scale
