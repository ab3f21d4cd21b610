"""What a PostgreSQL database holds: every table that its user may read, as a stream would say it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from catchment.records import JSON, FoundColumn, FoundStream
from catchment.sources.postgres.columns import CATALOG
from catchment.sources.postgres.connection import Session
from catchment.sources.sql.found import proposed_cursor, stream_names

TABLES = """\
SELECT c.oid::int8 AS oid, n.nspname::text AS schema, c.relname::text AS name,
       format('%I.%I', n.nspname, c.relname) AS quoted, c.relkind::text AS kind,
       CASE WHEN c.reltuples >= 0 AND c.relkind <> 'v' THEN c.reltuples::int8 END AS rows,
       obj_description(c.oid, 'pg_class') AS description
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%'
  AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
ORDER BY n.nspname, c.relname"""

_CONSTRAINTS = """\
SELECT k.conrelid::int8 AS oid, k.contype::text AS kind, CASE WHEN k.contype = 'f' THEN
       format('%I.%I', n.nspname, f.relname) END AS other,
       (SELECT json_agg(a.attname ORDER BY o.place)::text FROM unnest(k.conkey) WITH ORDINALITY AS o(number, place)
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = o.number) AS columns,
       (SELECT json_agg(a.attname ORDER BY o.place)::text FROM unnest(k.confkey) WITH ORDINALITY AS o(number, place)
        JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = o.number) AS others
FROM pg_constraint k LEFT JOIN pg_class f ON f.oid = k.confrelid LEFT JOIN pg_namespace n ON n.oid = f.relnamespace
WHERE k.contype IN ('p', 'f') ORDER BY k.conrelid, k.contype DESC, k.conname"""

_INDEXED = """\
SELECT i.indrelid::int8 AS oid, a.attname::text AS name FROM pg_index i
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] WHERE i.indisvalid AND i.indpred IS NULL"""

# PostgreSQL's type -> a contract's.
_LOGICAL: Mapping[str, str] = {
    **dict.fromkeys(("int2", "int4", "int8", "oid"), "integer"),
    **dict.fromkeys(("numeric", "float4", "float8", "money"), "number"),
    **dict.fromkeys(("timestamp", "timestamptz"), "timestamp"),
    **dict.fromkeys(("json", "jsonb"), "object"),
    "bool": "boolean",
    "date": "date",
    "time": "time",
}


def find(url: str, folder: Path) -> Sequence[FoundStream]:
    """Every table and view that the user of the address may read. Raises what `Source.read` may."""
    session = Session(url, "the database")
    try:
        session.begin(None)
        tables = session.fetch(TABLES)
        constraints = session.fetch(_CONSTRAINTS)
        indexed = {(row["oid"], row["name"]) for row in session.fetch(_INDEXED)}
        columns = {table["oid"]: session.fetch(CATALOG.format(oid=table["oid"])) for table in tables}
    finally:
        session.close()
    names = stream_names([(table["schema"], table["name"]) for table in tables], plain="public")
    return [
        _found(name, table, columns[table["oid"]], [one for one in constraints if one["oid"] == table["oid"]], indexed)
        for name, table in zip(names, tables, strict=True)
    ]


def _found(
    name: str,
    table: Mapping[str, Any],
    columns: Sequence[Mapping[str, Any]],
    constraints: Sequence[Mapping[str, Any]],
    indexed: set[tuple[int, str]],
) -> FoundStream:
    found = [
        FoundColumn(one["name"], _logical(one), one["shown"], one["required"], one["description"] or "")
        for one in columns
    ]
    key = [json.loads(one["columns"]) for one in constraints if one["kind"] == "p"]
    references = [
        (json.loads(one["columns"]), one["other"], json.loads(one["others"]))
        for one in constraints
        if one["kind"] == "f"
    ]
    keys: dict[str, JSON] = {"table": table["quoted"]}
    evidence = {"key": "the table's primary key"} if key else {}
    cursor = proposed_cursor(found, [column for oid, column in indexed if oid == table["oid"]])
    if cursor is not None:
        keys |= {"cursor": cursor[0], "lookback": "5 minutes"}
        evidence["cursor"] = cursor[1]
    return FoundStream(name, keys, found, next(iter(key), ()), references, table["rows"], evidence)


def _logical(column: Mapping[str, Any]) -> str:
    if column["element"] is not None:
        return "array"
    return _LOGICAL.get(column["type"], "string")
