"""Chance without chance: the same on every machine and in every version, whatever the number of threads.

All randomness is `draw(tag, key)`, 128 bits of MD5 over seed, tag and key, cut into slices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

_MACROS = """
create or replace temp macro draw(tag, key) as md5_number({seed} || ':' || tag || ':' || key);
create or replace temp macro pick(h, place, n) as
    ((((h >> (place * 16)::uhugeint) & 65535::uhugeint)::bigint * n) >> 16);
create or replace temp macro wide(h, place, n) as
    ((((h >> (place * 32)::uhugeint) & 4294967295::uhugeint)::ubigint * n::ubigint) >> 32)::bigint;
create or replace temp macro name_of(tag, key) as cast(md5({seed} || ':' || tag || ':' || key) as uuid)::varchar;
create or replace temp macro iso(s) as strftime(make_timestamp((s) * 1000000), '%Y-%m-%dT%H:%M:%SZ');
create or replace temp macro european(s) as strftime(make_timestamp((s) * 1000000), '%d/%m/%Y %H:%M:%S');
create or replace temp macro money(cents) as (cents)::integer * 0.01::decimal(3, 2);
"""


def make_draws(connection: duckdb.DuckDBPyConnection, seed: int) -> None:
    """Macros: `draw`; `pick` and `wide`, an even number below n from one of its 8 or 4 slices; how values look."""
    connection.execute(_MACROS.format(seed=literal(str(seed))))


def literal(values: object) -> str:
    """A Python value as SQL: texts quoted, sequences as lists."""
    if isinstance(values, (list, tuple)):
        return f"[{', '.join(literal(value) for value in values)}]"
    return str(values) if isinstance(values, int) else "'" + str(values).replace("'", "''") + "'"
