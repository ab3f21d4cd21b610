"""Which columns tell one row from another, proven on every row."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from catchment.draft.landed import Landed
from catchment.draft.types import ColumnGuess

if TYPE_CHECKING:
    import duckdb

_ID = re.compile(r"(^|_)(id|no|nr|number|key|code|uuid|guid|ean|sku|iban|isbn|reference|ref)$")
_PART = re.compile(r"(^|_)(line|position|pos|item|seq|sequence|row|version|line_no)$")
_UPDATED = re.compile(
    r"^(last_)?(updated|modified|changed|update|modify|change)(_(at|on|time|date|timestamp|ts))?$|^(valid_from|row_version_at)$"
)

_NO_KEY = "no key found: rows are kept as they come"

# Fewer rows make any two columns a key by chance.
_ENOUGH_FOR_PAIRS = 20
_MOST_TRIES = 6

# `approx_count_distinct` errs by a few per cent; whoever passes is counted exactly.
_NEARLY = 0.85


@dataclass(frozen=True)
class KeyGuess:
    """`columns` is empty where none was found; `latest_by` tells which row of a key is the newest."""

    columns: tuple[str, ...] = ()
    evidence: str = _NO_KEY
    words: str = _NO_KEY
    latest_by: str | None = None


def guess_key(
    connection: duckdb.DuckDBPyConnection, landed: Landed, table: str, columns: Sequence[ColumnGuess]
) -> KeyGuess:
    """A column or a pair that is unique and never empty; or an id whose rows differ in when they were updated."""
    if not landed.rows:
        return KeyGuess()
    latest_by = next((c.name for c in columns if c.type in ("timestamp", "date") and _UPDATED.search(c.name)), None)
    for tried in _tries(landed.rows, table, columns):
        if _distinct(connection, tried) == landed.rows:
            names = tuple(column.name for column in tried)
            words = f"unique in {landed.rows:,} of {landed.rows:,}"
            shown = " + ".join(names)
            return KeyGuess(names, f"{shown} is {words} rows", f"key {shown} ({words})", latest_by)
    versioned = _versioned(connection, landed.rows, table, columns, latest_by)
    return versioned if versioned.columns else _none(landed.rows, table, columns)


def _none(rows: int, table: str, columns: Sequence[ColumnGuess]) -> KeyGuess:
    """No key, and what keeps the likeliest column from being one."""
    ranked = sorted(columns, key=lambda column: _rank(column, table, columns))
    if not ranked or _rank(ranked[0], table, columns) > 1 or not _ID.search(ranked[0].name):
        return KeyGuess()
    likely = ranked[0]
    why = f"{likely.lacking:,} rows lack it" if likely.lacking else f"about {min(likely.distinct, rows):,} values"
    return KeyGuess(evidence=f"{_NO_KEY} ({likely.name}: {why} in {rows:,})")


def _tries(rows: int, table: str, columns: Sequence[ColumnGuess]) -> Iterator[tuple[ColumnGuess, ...]]:
    """Single columns by how much their name says, then pairs."""
    solid = [column for column in columns if column.required and column.type in ("string", "integer", "date")]
    ranked = sorted(
        (column for column in solid if _rank(column, table, columns) < 3 and column.type != "date"),
        key=lambda column: _rank(column, table, columns),
    )
    unique = [column for column in ranked if column.distinct >= _NEARLY * rows]
    yield from ((column,) for column in unique[:_MOST_TRIES])
    if rows < _ENOUGH_FOR_PAIRS:
        return
    # An id with the time of its change is no key but a history: see `_versioned`.
    solid = [column for column in solid if not _UPDATED.search(column.name)]
    parts = [c for c in solid if _ID.search(c.name) or _PART.search(c.name) or c.type == "date"]
    pairs = [
        (a, b)
        for a, b in combinations(parts, 2)
        if a.distinct * b.distinct >= _NEARLY * rows and (a.type, b.type) != ("date", "date")
    ]
    yield from pairs[:_MOST_TRIES]


def _rank(column: ColumnGuess, table: str, columns: Sequence[ColumnGuess]) -> int:
    """0: named as this table's key, 1: named as a key, 2: the first column, 3: nothing speaks for it."""
    singular = re.sub(r"(?<=[^s])s$", "", re.sub(r"ies$", "y", table))
    if column.name in (
        "id",
        f"{table}_id",
        f"{singular}_id",
        f"{singular}_no",
        f"{singular}_key",
        f"{singular}_number",
    ):
        return 0
    if _ID.search(column.name):
        return 1
    return 2 if column is columns[0] else 3


def _distinct(connection: duckdb.DuckDBPyConnection, columns: Sequence[ColumnGuess]) -> int:
    slots = ", ".join(column.slot for column in columns)
    counted = connection.execute(f"SELECT count(*) FROM (SELECT DISTINCT {slots} FROM landed)").fetchone()
    assert counted is not None
    return int(counted[0])


def _versioned(
    connection: duckdb.DuckDBPyConnection,
    rows: int,
    table: str,
    columns: Sequence[ColumnGuess],
    latest_by: str | None,
) -> KeyGuess:
    """Snapshots and changes: an id comes again, each time updated later."""
    found = next((c for c in columns if c.name == latest_by), None)
    ids = [c for c in columns if c.required and c.type in ("string", "integer") and _rank(c, table, columns) == 0]
    if found is None or not ids or not _ID.search(ids[0].name):
        return KeyGuess()
    keys, versions = _distinct(connection, ids[:1]), _distinct(connection, (ids[0], found))
    if versions < 0.95 * rows:
        return KeyGuess()
    name = ids[0].name
    evidence = f"{name} has {keys:,} values in {rows:,} rows, nearly each row with another {latest_by}: the newest wins"
    return KeyGuess((name,), evidence, f"key {name} ({keys:,} in {rows:,} rows, newest by {latest_by})", latest_by)
