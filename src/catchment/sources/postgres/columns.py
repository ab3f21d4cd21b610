"""Columns of a PostgreSQL table: the type that bronze keeps each in, and the SQL that brings it exactly.

A column's type in bronze follows from its type in the database alone, never from the rows that came: what a type of
Arrow cannot hold of one of PostgreSQL makes its row a defect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from catchment.errors import ConfigError
from catchment.naming import did_you_mean, literal, quoted
from catchment.sources.sql.tables import HAZARD, TableStream, named

# Types that the driver keeps as they are, by their name in pg_type.
_KEPT: Mapping[str, pa.DataType] = {
    "bool": pa.bool_(),
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "text": pa.string(),
    "varchar": pa.string(),
    "bpchar": pa.string(),
    "name": pa.string(),
}
_TIMES: Mapping[str, pa.DataType] = {
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", "UTC"),
}
# Casts to text that say it otherwise than the database shows it: a host's mask, a currency of the server's language.
_SHOWN = {"inet": "textin(inet_out({0}))", "cidr": "textin(cidr_out({0}))", "money": "{0}::numeric::text"}
_CURSORS = ("int2", "int4", "int8", "oid", "numeric", *_TIMES, "text", "varchar", "bpchar", "name", "uuid")

# Python, Spark and Delta's statistics know these years.
_YEARS = "{0} >= '0001-01-01' AND {0} < '10000-01-01'"

_INSTEAD = "name it under as_text to land it as text"

# One row a column, domains followed to the type they are made of.
CATALOG = """\
WITH RECURSIVE bare AS (
    SELECT a.attnum, a.attname, a.attnotnull, a.atttypid, a.atttypmod, a.attmissingval::text AS missing,
           t.oid AS type, a.atttypmod AS typmod, false AS in_domain
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT b.attnum, b.attname, b.attnotnull OR t.typnotnull, b.atttypid, b.atttypmod, b.missing,
           t.typbasetype, t.typtypmod, true
    FROM bare b JOIN pg_type t ON t.oid = b.type WHERE t.typtype = 'd'
)
SELECT b.attnum::int4 AS number, b.attname::text AS name, b.attnotnull AS required,
       format_type(b.atttypid, b.atttypmod) AS shown, b.typmod::int4 AS typmod, b.in_domain,
       CASE WHEN t.typnamespace = 'pg_catalog'::regnamespace THEN t.typname::text ELSE '' END AS type,
       t.typtype::text AS kind, e.typtype::text AS element_kind, b.missing,
       CASE WHEN t.typcategory = 'A' AND e.typnamespace = 'pg_catalog'::regnamespace THEN e.typname::text
            WHEN t.typcategory = 'A' THEN '' END AS element,
       col_description({oid}, b.attnum) AS description
FROM bare b JOIN pg_type t ON t.oid = b.type LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
WHERE t.typtype <> 'd' ORDER BY b.attnum"""


@dataclass(frozen=True)
class Column:
    """One column. `value` is the SQL of it, `hazard` the condition under which that is not all, and why."""

    name: str
    type: pa.DataType
    value: str
    hazard: tuple[str, str] | None = None

    @property
    def arriving(self) -> pa.DataType:
        """Decimals come as text, which the server makes faster than the driver."""
        return pa.string() if pa.types.is_decimal(self.type) else self.type


def column(found: Mapping[str, Any], as_text: bool = False) -> Column:
    """One row of `CATALOG` as a column of the alias `t`."""
    name, base = found["name"], found["type"]
    own = f"t.{quoted(name)}"
    if as_text:
        return Column(name, pa.string(), _text(own, base, found["element"]))
    if found["element"] is not None:
        return _array(name, own, found)
    if base in _KEPT:
        return Column(name, _KEPT[base], f"{own}::{base}" if found["in_domain"] else own)
    if base == "oid":
        return Column(name, pa.int64(), f"{own}::int8")
    if base == "bytea":
        return Column(name, pa.binary(), f"{own}::bytea" if found["in_domain"] else own)
    if base in _TIMES:
        hazard = f"NOT ({_YEARS.format(own)})", f"{name} is infinite or outside the years 1 to 9999: {_INSTEAD}"
        return Column(name, _TIMES[base], f"{own}::{base}" if found["in_domain"] else own, hazard)
    decimal = _decimal(found["typmod"]) if base == "numeric" else None
    if decimal is not None:
        return Column(name, decimal, f"{own}::text", (f"{own} = 'NaN'", f"{name} is not a number: {_INSTEAD}"))
    return Column(name, pa.string(), _text(own, base, None))


def _text(own: str, base: str, element: str | None) -> str:
    return f"{own}::text" if element is not None else _SHOWN.get(base, "{0}::text").format(own)


def _decimal(typmod: int) -> pa.DataType | None:
    """What `numeric(p, s)` is, None where Delta has no type for it."""
    if typmod < 4:
        return None
    precision, scale = (typmod - 4) >> 16, (typmod - 4) & 0x7FF
    return pa.decimal128(precision, scale) if precision <= 38 and scale <= precision else None


def _array(name: str, own: str, found: Mapping[str, Any]) -> Column:
    element = found["element"]
    if found["type"] in ("int2vector", "oidvector"):
        return Column(name, pa.string(), f"{own}::text")
    # The driver makes one long list of a matrix, and stops at an array that does not count from 1.
    odd = f"array_ndims({own}) > 1 OR array_lower({own}, 1) <> 1"
    kept = element if element in _KEPT else "text"
    value = own if kept == element and not found["in_domain"] else f"{own}::{kept}[]"
    why = f"{name} is an array of several dimensions or one that does not begin at 1: {_INSTEAD}"
    kind = pa.list_(_KEPT.get(element, pa.string()))
    return Column(name, kind, f"CASE WHEN {odd} THEN NULL ELSE {value} END", (odd, why))


def chosen(rows: Sequence[Mapping[str, Any]], stream: TableStream, where: str) -> list[Mapping[str, Any]]:
    """The columns that a stream brings, in the table's order. Raises ConfigError for one that is not there."""
    known = {row["name"]: row for row in rows}
    for name in named(stream):
        if name not in known:
            message = f"{where} has no column `{name}`"
            raise ConfigError(message, hint=did_you_mean(name, known) or f"it has {', '.join(known)}")
    return [row for row in rows if stream.columns is None or row["name"] in stream.columns]


def selection(columns: Sequence[Column]) -> str:
    """What stands between SELECT and FROM: the columns, and why a row of them is a defect, empty where it is none.

    Not null: the driver takes twice as long for nulls, and nearly every row is good.
    """
    values = [f"{one.value} AS {quoted(one.name)}" for one in columns]
    hazards = [one.hazard for one in columns if one.hazard is not None]
    if not hazards:
        return ", ".join(values)
    whys = ", ".join(f"CASE WHEN {condition} THEN {literal(why)} END" for condition, why in hazards)
    own = ", ".join(f"t.{quoted(one.name)}" for one in columns)
    raw = f"(SELECT to_json(r)::text FROM (SELECT {own}) r)"
    any_of = " OR ".join(f"({condition})" for condition, _ in hazards)
    hazard = f"CASE WHEN {any_of} THEN concat_ws('; ', {whys}) || chr(10) || {raw} ELSE '' END"
    return f"{', '.join(values)}, {hazard} AS {HAZARD}"


def cursor_bounds(found: Mapping[str, Any], where: str) -> str:
    """The condition that rows must meet to be found by their cursor. Raises ConfigError for a type without an order."""
    own, base = f"t.{quoted(found['name'])}", found["type"]
    if base not in _CURSORS or found["element"] is not None:
        message = f"{where}: column `{found['name']}` is {found['shown']}, which cannot be a cursor"
        raise ConfigError(message, hint="choose a column of instants, days, whole or decimal numbers, text or uuid")
    if base in _TIMES:
        return _YEARS.format(own)
    if base == "numeric":
        return f"{own} > -1e1000 AND {own} < 1e1000"  # not a number is above all of them
    return f"{own} IS NOT NULL"
