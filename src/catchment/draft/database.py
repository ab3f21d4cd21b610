"""A database as a drafted source: what it declares of its tables, and nothing that a sample would suggest."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from catchment import naming
from catchment.draft.drafted import DraftedSource, DraftedTable, Relation
from catchment.draft.keys import KeyGuess
from catchment.draft.landed import unique_names
from catchment.draft.scalars import comment, scalar
from catchment.draft.types import ColumnGuess
from catchment.errors import ConfigError
from catchment.observe.words import about
from catchment.outside import Address, names_of, project_over
from catchment.reading.kinds import KINDS, stream_keys
from catchment.reading.kinds.keys import StreamKeys
from catchment.records import FoundColumn, FoundStream
from catchment.silver.conform import DOCUMENT

_DECIMAL = re.compile(r"(?:numeric|decimal|dec|number)\s*\(\s*([0-9]+)\s*(?:,\s*(-?[0-9]+)\s*)?\)", re.IGNORECASE)
_TYPES = frozenset({"string", "integer", "number", "timestamp", "date", "time", "boolean", "object", "array"})
_NUMBERS = frozenset({"integer", "number"})

# What tells which of two rows is newer.
_ORDERED = frozenset({"timestamp", "date", "integer", "number"})

_MODES = (
    "`merge` keeps the newest row of each key; `history` instead keeps every version with the time it was valid.",
    "`replace` keeps the newest whole read, `append` every row. Rows that break their contract wait in quarantine.",
)

# Rows that are looked through for one without a value in the cursor, as long as a person waits for a draft.
_LOOKED_THROUGH = 5_000_000

_NO_KEY = "no key is declared"


def chosen(found: Sequence[FoundStream], patterns: Sequence[str]) -> list[FoundStream]:
    """Those that a pattern names, all without one. Raises ConfigError for a pattern that names none."""
    wanted: dict[str, FoundStream] = {}
    for pattern in patterns or ("*",):
        fitting = [one for one in found if any(fnmatch(name.lower(), pattern.lower()) for name in names_of(one))]
        if not fitting:
            known = [names_of(one)[0] for one in found]
            message = f"no table is called `{pattern}`" if patterns else "there is nothing in it that can be read"
            hint = naming.did_you_mean(pattern, known) or (f"there are {', '.join(known[:20])}" if known else None)
            raise ConfigError(message, hint=hint)
        wanted |= {one.name: one for one in fitting}
    return [one for one in found if one.name in wanted]


def drafted_database(address: Address, found: Sequence[FoundStream]) -> DraftedSource:
    """A project over these streams; its address stands in it as a reference."""
    tables = {one.name: _table(one, address) for one in found}
    return DraftedSource(
        name=address.source,
        keys=(f"type: {address.type}", f"url: {scalar(address.reference, always=True)}"),
        head=f"Drafted from {address.shown}: types, keys and references as they are declared there.",
        above=(
            "A cursor brings what is new since the last run, `lookback` what was committed late. Without one a table",
            "is read whole each time, so that rows which were deleted leave silver too.",
        ),
        modes=_MODES,
        tables=list(_related(found, tables).values()),
    )


def drafted_table(found: FoundStream, address: Address) -> DraftedTable:
    """One of them, alone: without the references to others."""
    return _table(found, address)


def _safely(found: FoundStream) -> FoundStream:
    """Without a key nobody can tell a row that was changed from a new one: silver would hold both."""
    if found.key or "cursor" not in found.keys:
        return found
    return _whole(found, f"no key is declared: by `{found.keys['cursor']}` rows that change would be there twice")


def without_losses(found: FoundStream, place: Address, folder: Path) -> FoundStream:
    """The stream read whole where it has a row that its proposed cursor would pass over, and by the cursor elsewhere.

    Looked for where the column may be null and the table is not too long to look through; `catchment check --connect`
    tells of the others. Raises what `Source.read` may.
    """
    from catchment.connected import Connected
    from catchment.peek import peek

    cursor = found.keys.get("cursor")
    required = {column.name: column.required for column in found.columns}
    keys = stream_keys(KINDS[place.type]).model_fields
    if required.get(str(cursor), True) or "where" not in keys or (found.rows or 0) > _LOOKED_THROUGH:
        return found
    # A cursor is only proposed where its name is a plain word, which no database wants in quotes.
    lost = replace(found, keys={"table": found.keys["table"], "where": f"{cursor} is null"})
    if not peek(Connected.of(project_over(place, lost, folder)), f"{place.source}.{found.name}", 1).rows.num_rows:
        return found
    return _whole(found, f"rows where `{cursor}` is null would never be taken, and there are such")


def _whole(found: FoundStream, why: str) -> FoundStream:
    """Read without the cursor that was proposed."""
    keys = {key: value for key, value in found.keys.items() if key not in ("cursor", "lookback")}
    return replace(found, keys=keys, evidence={**found.evidence, "cursor": f"{why}, so it is read whole"})


def _table(proposed: FoundStream, address: Address) -> DraftedTable:
    found = _safely(proposed)
    keys = stream_keys(KINDS[address.type]).model_validate(dict(found.keys), by_alias=True, by_name=True)
    columns = _columns(found, keys)
    named = {column.name: guess for column, guess in columns}
    key = _key(found, keys, named)
    mode = "merge" if key.columns else "replace" if keys.is_whole else "append"
    rows = "" if found.rows is None else f", about {about(found.rows)} {'row' if found.rows == 1 else 'rows'}"
    place = comment(names_of(found)[0])
    return DraftedTable(
        name=found.name,
        stream=tuple(_stream(found)),
        head=(
            f"Drafted from {place} in {address.shown}{rows}.",
            "Each column says what it is declared as there. Correct what you know better, then delete the comments.",
        ),
        columns=tuple(named.values()),
        key=key,
        mode=mode,
        beside=key.words,
        is_whole=keys.is_whole,
    )


def _columns(found: FoundStream, keys: StreamKeys) -> list[tuple[FoundColumn, ColumnGuess]]:
    # A path in a document has no way to write a quote.
    columns = [one for one in found.columns if not (keys.brings_documents and '"' in one.name)]
    bronze = naming.columns([one.name for one in columns])
    names = unique_names([one.name for one in columns])
    return [
        (one, _column(one, name, landed, found.evidence.get(one.name), keys))
        for one, name, landed in zip(columns, names, bronze, strict=True)
    ]


def _column(one: FoundColumn, name: str, landed: str, evidence: str | None, keys: StreamKeys) -> ColumnGuess:
    kind, physical, why = _type(one)
    declared = f"{one.physical or one.type}{', never null' if one.required else ''}"
    # Of two columns whose names differ by their case alone, the second has another name in bronze.
    source = one.name if naming.column(one.name) == landed else landed
    if keys.brings_documents:
        source = one.path or (one.name if one.name == name != DOCUMENT else f'$."{one.name}"')
    return ColumnGuess(
        slot="",
        name=name,
        source=source,
        type=kind,
        physical=physical,
        required=one.required,
        evidence="; ".join(part for part in (evidence or declared, why) if part),
        description=one.description,
    )


def _type(one: FoundColumn) -> tuple[str, str | None, str]:
    """Logical type, physical type and a remark: digits after the point stay exact where the database says how many."""
    kind = one.type if one.type in _TYPES else "string"
    found = _DECIMAL.fullmatch(one.physical.strip()) if kind == "number" else None
    if found is None:
        exact = kind == "number" and re.match("numeric|decimal|number", one.physical, re.IGNORECASE) is not None
        return kind, None, "a double here: write physicalType: decimal(38,9) to keep digits exact" if exact else ""
    precision, scale = int(found[1]), int(found[2] or 0)
    if 0 <= scale <= precision <= 38:
        return kind, f"decimal({precision},{scale})", ""
    return "string", None, "kept as text: no decimal has so many digits"


def _key(found: FoundStream, keys: StreamKeys, named: Mapping[str, ColumnGuess]) -> KeyGuess:
    """The declared key; the cursor tells which row of it is newest, where it is a column with an order."""
    if not found.key or any(name not in named for name in found.key):
        words = "read whole" if keys.is_whole else "new rows are added"
        return KeyGuess(evidence=_NO_KEY, words=f"{_NO_KEY}: {words}")
    columns = tuple(named[name].name for name in found.key)
    shown = " + ".join(columns)
    cursor = named.get(found.keys.get("cursor", ""))
    newest = cursor is not None and cursor.type in _ORDERED and cursor.name not in columns
    how = f"the newest by {cursor.name}" if newest and cursor is not None else "the one that came last"
    evidence = found.evidence.get("key", "as it is declared there")
    return KeyGuess(columns, f"{shown}: {evidence}", f"key {shown}, {how}", cursor.name if newest and cursor else None)


def _stream(found: FoundStream) -> Iterator[str]:
    if "cursor" in found.evidence:
        yield f"# {comment(found.evidence['cursor'])}"
    told = ", ".join(f"{key}: {_value(value)}" for key, value in found.keys.items())
    yield f"{found.name}: {{{told}}}"


def _value(value: Any) -> str:
    return scalar(value) if isinstance(value, str) else json.dumps(value)


def _related(found: Sequence[FoundStream], tables: Mapping[str, DraftedTable]) -> dict[str, DraftedTable]:
    """The tables with their references to each other, as far as a contract can hold them: to the key of another table,
    of columns that can be equal, and never round in a circle."""
    by_place = {names_of(one)[0]: one for one in found}
    refers: dict[str, list[Relation]] = {one.name: [] for one in found}
    for one in found:
        for columns, place, to in one.references:
            other = by_place.get(place.replace('"', ""))
            relation = None if other is None else _relation(one, columns, other, to, tables)
            if relation is not None and not _closes_circle(one.name, relation.table, refers):
                refers[one.name].append(relation)
    return {name: replace(table, references=tuple(refers[name])) for name, table in tables.items()}


def _relation(
    one: FoundStream,
    columns: Sequence[str],
    other: FoundStream,
    to: Sequence[str],
    tables: Mapping[str, DraftedTable],
) -> Relation | None:
    own, theirs = _by_source(one, tables), _by_source(other, tables)
    if any(name not in own for name in columns) or any(name not in theirs for name in to):
        return None
    relation = Relation(tuple(own[n].name for n in columns), other.name, tuple(theirs[n].name for n in to))
    pairs = zip((own[name].type for name in columns), (theirs[name].type for name in to), strict=True)
    comparable = all(a == b or {a, b} <= _NUMBERS for a, b in pairs)
    return relation if comparable and set(relation.to) == set(tables[other.name].key.columns) else None


def _by_source(found: FoundStream, tables: Mapping[str, DraftedTable]) -> dict[str, ColumnGuess]:
    names = dict(zip(unique_names([one.name for one in found.columns]), found.columns, strict=True))
    return {names[guess.name].name: guess for guess in tables[found.name].columns if guess.name in names}


def _closes_circle(start: str, to: str, refers: Mapping[str, Sequence[Relation]]) -> bool:
    """Whether `start` can be reached from `to` already; a table may refer to itself."""
    if start == to:
        return False
    ways, seen = [to], {to}
    while ways:
        for relation in refers[ways.pop()]:
            if relation.table == start:
                return True
            if relation.table not in seen:
                seen.add(relation.table)
                ways.append(relation.table)
    return False
