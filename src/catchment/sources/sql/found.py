"""Names and cursors to propose for tables that were found in a database."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence

from catchment import naming
from catchment.records import FoundColumn

# Names of columns that a change sets; what only an insert sets would miss every update.
_CHANGES = re.compile(
    r"(last_?)?(updated?|modified|modification|changed?|edited)(_?(at|on|time|timestamp|date|ts|dt|datetime|utc))?"
    r"|(time|date)_?(updated|modified|changed)|mtime|lastmod|row_?version",
    re.IGNORECASE,
)


def stream_names(tables: Sequence[tuple[str, str]], plain: str | None) -> list[str]:
    """A name for each (schema, table), the schema in front where it is not the plain one; no two alike."""
    taken: Counter[str] = Counter()
    names = []
    for schema, table in tables:
        wanted = _name(table if schema in ("", plain) else f"{schema}_{table}")
        taken[wanted] += 1
        names.append(wanted if taken[wanted] == 1 else f"{wanted}_{taken[wanted]}")
    return names


def _name(text: str) -> str:
    found = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return found if naming.is_name(found) else f"table_{found}".rstrip("_")


def did_you_mean_table(said: str, tables: Sequence[tuple[str, str]], *, plain: str | None) -> str | None:
    """The table of (schema, table) pairs that was probably meant, as it is to be written; None where none is like it.

    `plain` is the schema whose tables need no schema in front.
    """
    ways: dict[str, str] = {}
    for schema, table in tables:
        full = f"{schema}.{table}" if schema else table
        ways.setdefault(full, full)
        ways.setdefault(table, table if schema == plain else full)
    meant = naming.nearest(said, ways)
    return None if meant is None else f"did you mean `{ways[meant]}`?"


def proposed_cursor(columns: Sequence[FoundColumn], indexed: Collection[str]) -> tuple[str, str] | None:
    """The column of instants that every change seems to set, and why; the one with an index first."""
    likely = [one for one in columns if one.type == "timestamp" and _CHANGES.fullmatch(one.name)]
    if not likely:
        return None
    chosen = min(likely, key=lambda one: (one.name not in indexed, not one.required))
    has = "with an index" if chosen.name in indexed else "without an index: each run would read the whole table"
    nulls = "" if chosen.required else "; rows where it is null are never taken"
    return chosen.name, f"{chosen.physical}, named as what every change sets, {has}{nulls}"
