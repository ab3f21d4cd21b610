"""A stream's rows in DuckDB, as bronze would have them: read by the source itself, columns in slots c0, c1, …"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catchment import naming
from catchment.draft.streams import SOURCE, DraftStream, snake_case
from catchment.errors import ConfigError
from catchment.naming import literal, quoted
from catchment.silver.conform import DOCUMENT

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

# So many documents say which fields there are.
_DOCUMENTS = 200_000
_DEEPEST = 4
_MOST_FIELDS = 500
_MOSTLY = 0.99

# What stands beside a document of a topic or of a log of changes, and is none of its fields.
MESSAGE_COLUMNS = ("message_key", "message_headers", "message_at")
_BESIDE = frozenset({*MESSAGE_COLUMNS, *naming.CHANGE_COLUMNS})


@dataclass(frozen=True)
class Field:
    """One column to be: `source` is the header or the path in the document, `kind` an Arrow type, None for text.

    `fixed` is a logical type that the document itself tells: object or array.
    """

    slot: str
    name: str
    source: str
    kind: pa.DataType | None = None
    fixed: str | None = None

    @property
    def is_text(self) -> bool:
        return self.kind is None and self.fixed is None


@dataclass(frozen=True)
class Landed:
    """Table `landed` of the connection holds the rows that could be read."""

    fields: tuple[Field, ...]
    rows: int
    defects: int
    dialect: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Seen:
    names: list[str] = field(default_factory=list)
    kinds: list[pa.DataType] = field(default_factory=list)
    defects: int = 0
    cursor: Mapping[str, Any] = field(default_factory=dict)


def land(connection: duckdb.DuckDBPyConnection, stream: DraftStream) -> Landed:
    """Read every file; raises ConfigError where there is no column in them."""
    seen = _Seen()
    for rows in _batches(stream, seen):
        _insert(connection, rows, seen)
    return _landed(connection, seen, stream.shown, documents=stream.format == "jsonl")


def land_rows(connection: duckdb.DuckDBPyConnection, rows: pa.Table, shown: str) -> Landed:
    """Rows that a source gave; raises ConfigError where there is no column in them.

    Of documents only their fields count, not what stands beside them.
    """
    seen = _Seen()
    if rows.num_columns:
        _insert(connection, rows, seen)
    documents = DOCUMENT in seen.names and _BESIDE.issuperset(seen.names)
    return _landed(connection, seen, shown, documents=documents)


def _landed(connection: duckdb.DuckDBPyConnection, seen: _Seen, shown: str, *, documents: bool) -> Landed:
    if not seen.names:
        message = f"{shown} has no rows"
        raise ConfigError(message, hint="draft it from something that holds some")
    counted = connection.execute("SELECT count(*) FROM landed").fetchone()
    assert counted is not None
    dialect = dict(seen.cursor.get("dialect") or {})
    fields = _documents(connection, f"c{seen.names.index(DOCUMENT)}") if documents else ()
    if documents and not fields and len(seen.names) == 1:
        message = f"the documents of {shown} have no fields to make columns of"
        raise ConfigError(message, hint="one JSON object a line is what can be read")
    return Landed(fields or _fields(seen), counted[0], seen.defects, dialect)


def _batches(stream: DraftStream, seen: _Seen) -> Iterator[pa.Table]:
    from catchment.reading.kinds.files import FileStream
    from catchment.records import Budget
    from catchment.sources.files.source import FilesSource

    source = FilesSource(SOURCE, {stream.name: FileStream(path=stream.path)}, Path("/"))
    for batch in source.read(source.feeds()[0], None, Budget()):
        if batch.cursor is not None and batch.cursor.value:
            seen.cursor = batch.cursor.value
        yield batch.rows


def _insert(connection: duckdb.DuckDBPyConnection, rows: pa.Table, seen: _Seen) -> None:
    """Append the good rows; columns that come later are null before."""
    ours = ("_origin", "_position", "_defect", "_raw")
    names = [name for name in rows.column_names if name not in ours]
    first = not seen.names
    added = [name for name in names if name not in seen.names]
    seen.names += added
    seen.kinds += [rows.schema.field(name).type for name in added]
    seen.defects += rows.num_rows - rows.column("_defect").null_count
    slots = [f"c{seen.names.index(name)}" for name in names]
    # A dictionary or a view of text is text all the same.
    columns = ", ".join(
        f"{_plain(rows.schema.field(n).type, quoted(n))} AS {s}" for n, s in zip(names, slots, strict=True)
    )
    connection.register("batch", rows)
    select = f"SELECT {columns} FROM batch WHERE _defect IS NULL"
    if not names:
        return
    if first:
        connection.execute(f"CREATE TABLE landed AS {select}")
    else:
        for name in added:
            described = connection.execute(f"DESCRIBE SELECT {quoted(name)} FROM batch").fetchone()
            assert described is not None
            connection.execute(f"ALTER TABLE landed ADD COLUMN c{seen.names.index(name)} {described[1]}")
        connection.execute(f"INSERT INTO landed BY NAME {select}")
    connection.unregister("batch")


def _plain(kind: pa.DataType, name: str) -> str:
    import pyarrow as pa

    return f"CAST({name} AS VARCHAR)" if pa.types.is_dictionary(kind) else name


def _fields(seen: _Seen) -> tuple[Field, ...]:
    import pyarrow as pa

    headers = list(seen.cursor.get("header") or seen.names)
    names = unique_names(seen.names)
    fields = []
    for place, (bronze, kind) in enumerate(zip(seen.names, seen.kinds, strict=True)):
        header = headers[place] if place < len(headers) else bronze
        source = header if naming.column(header) == bronze else bronze
        text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)
        fields.append(Field(f"c{place}", names[place], source, None if text else kind))
    return tuple(fields)


def unique_names(names: Sequence[str]) -> list[str]:
    """What columns are called in a contract: in snake case, no two alike."""
    return [name.lower() for name in naming.columns([snake_case(name) or "column" for name in names])]


def _documents(connection: duckdb.DuckDBPyConnection, slot: str) -> tuple[Field, ...]:
    """The fields of the JSON objects in this slot, taken out of them into slots; none where no document is one."""
    found = connection.execute(
        f"SELECT json_group_structure({slot}::JSON)"
        f" FROM (SELECT {slot} FROM landed WHERE json_type({slot}::JSON) = 'OBJECT' LIMIT {_DOCUMENTS})"
    ).fetchone()
    structure = json.loads(found[0]) if found is not None and found[0] is not None else None
    leaves = list(_leaves(structure, "$", ())) if isinstance(structure, dict) else []
    if not leaves:
        return ()
    settled = [
        (path, source, fixed or _mostly(connection, slot, source, mixed))
        for path, source, fixed, mixed in leaves[:_MOST_FIELDS]
    ]
    names = unique_names(["_".join(path) for path, _, _ in settled])
    fields = tuple(
        Field(f"c{place}", name, source, None, fixed)
        for place, (name, (_, source, fixed)) in enumerate(zip(names, settled, strict=True))
    )
    taken = ", ".join(f"json_extract_string({slot}, {literal(one.source)}) AS {one.slot}" for one in fields)
    connection.execute(f"CREATE OR REPLACE TABLE landed AS SELECT {taken} FROM landed")
    return fields


def _leaves(
    structure: Mapping[str, Any], path: str, above: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], str, str | None, bool]]:
    """Names from the top, JSON path and fixed type of every value that becomes a column; True for mixed kinds."""
    for key, inner in structure.items():
        if '"' in key or not key:
            continue
        place = f"{path}.{key}" if key.isidentifier() and key.isascii() else f'{path}."{key}"'
        names = (*above, key)
        if isinstance(inner, dict) and inner and len(names) < _DEEPEST:
            yield from _leaves(inner, place, names)
        else:
            fixed = "object" if isinstance(inner, dict) else "array" if isinstance(inner, list) else None
            yield names, place, fixed, inner == "JSON"


def _mostly(connection: duckdb.DuckDBPyConnection, slot: str, source: str, mixed: bool) -> str | None:
    """`object` or `array` where values of several kinds are nearly all of that one."""
    if not mixed:
        return None
    kind = f"json_type({slot}::JSON, {literal(source)})"
    found = connection.execute(
        f"SELECT count(*) FILTER ({kind} = 'OBJECT'), count(*) FILTER ({kind} = 'ARRAY'),"
        f" count(*) FILTER ({kind} <> 'NULL') FROM landed"
    ).fetchone()
    assert found is not None
    objects, arrays, all_of_them = found
    enough = _MOSTLY * all_of_them
    return "object" if objects >= enough else "array" if arrays >= enough else None
