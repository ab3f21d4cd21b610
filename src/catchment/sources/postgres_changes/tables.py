"""What the catalog says: the tables of streams, their columns as the log tells them, and types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from catchment.errors import CatchmentError, ConfigError
from catchment.sources.postgres_changes import values
from catchment.sources.postgres_changes.session import Session
from catchment.sources.sql.found import did_you_mean_table

# Names are looked up one by one: what is no name at all stops the whole statement.
_TABLES = """\
SELECT s.stream, c.oid::int8 AS oid, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name,
       n.nspname || '.' || c.relname AS shown, c.relkind::text AS kind, c.relreplident::text AS identity,
       c.relpersistence::text AS persistence, has_table_privilege(c.oid, 'SELECT') AS readable,
       c.relkind = 'p' AS is_partitioned, c.reltuples::int8 AS rows,
       CASE WHEN c.relkind = 'p' THEN (SELECT sum(pg_table_size(p.relid))::int8 FROM pg_partition_tree(c.oid) p)
            ELSE pg_table_size(c.oid) END AS bytes,
       coalesce((SELECT array_agg(a.attname::text ORDER BY k.place)
        FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k(number, place)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
        WHERE i.indrelid = c.oid AND i.indisprimary), '{}') AS key,
       coalesce((SELECT i.indimmediate FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary), false)
           AS is_unique_at_once,
       coalesce((SELECT array_agg(a.attname::text) FROM pg_index i
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
        WHERE i.indrelid = c.oid AND i.indisreplident), '{}') AS identity_key,
       c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits h WHERE h.inhparent = c.oid) AS has_heirs
FROM unnest(%s::text[], %s::text[]) AS s(stream, said)
LEFT JOIN pg_class c ON c.oid = to_regclass(s.said) LEFT JOIN pg_namespace n ON n.oid = c.relnamespace"""

_COLUMNS = """\
SELECT a.attname::text AS name, a.atttypid::int8 AS type, format_type(a.atttypid, a.atttypmod) AS shown,
       a.attstorage IN ('x', 'e') AND a.attlen = -1 AS may_be_beside
FROM pg_attribute a WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY a.attnum"""

_KINDS = """\
WITH RECURSIVE bare AS (
    SELECT t.oid AS asked, t.oid, t.typtype, t.typbasetype FROM pg_type t WHERE t.oid = ANY (%s::oid[])
    UNION ALL
    SELECT b.asked, t.oid, t.typtype, t.typbasetype FROM bare b JOIN pg_type t ON t.oid = b.typbasetype
    WHERE b.typtype = 'd'
)
SELECT b.asked::int8 AS asked, b.oid::int8 AS base, t.typdelim::text AS delimiter,
       CASE WHEN t.typcategory = 'A' THEN t.typelem::int8 END AS element
FROM bare b JOIN pg_type t ON t.oid = b.oid WHERE b.typtype <> 'd'"""


class ChangesStream(Protocol):
    """What a project says about a table (`catchment.reading.kinds.postgres_changes` has the settings themselves)."""

    @property
    def table(self) -> str: ...
    @property
    def key(self) -> Sequence[str] | None: ...


@dataclass(frozen=True)
class Table:
    """The table of a stream as it is now; `name` is quoted, `key` what names a row where the log tells whole rows.

    `is_unique_at_once`: no two rows ever have one key, not even within a transaction. `identity_key` are the columns
    of the index that was made its replica identity.
    """

    stream: str
    oid: int
    name: str
    shown: str
    kind: str
    identity: str
    persistence: str
    readable: bool
    is_partitioned: bool
    rows: int
    bytes: int
    key: tuple[str, ...]
    is_unique_at_once: bool = True
    identity_key: tuple[str, ...] = ()
    has_heirs: bool = False

    @property
    def rows_of(self) -> str:
        """What to select from: what inherits from a table is told by the log as a table of its own."""
        return self.name if self.is_partitioned else f"ONLY {self.name}"


@dataclass(frozen=True)
class TableColumn:
    name: str
    type: int
    shown: str
    may_be_beside: bool


@dataclass(frozen=True)
class Kind:
    """A type that is not in every server: what it is made of, domains followed."""

    base: int
    element: int | None
    delimiter: str


_FOLLOWABLE = (
    "SELECT quote_ident(n.nspname) AS schema, quote_ident(c.relname) AS name FROM pg_class c"
    " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p'"
    " AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
)


def found_tables(session: Session, source: str, streams: Mapping[str, ChangesStream]) -> dict[str, Table]:
    """By stream. Raises ConfigError where one is not there, or is none whose changes are in the log."""
    names = list(streams)
    try:
        rows = session.fetch(_TABLES, (names, [streams[name].table for name in names]))
    except CatchmentError as error:
        if "refuses the query" not in error.message and "name syntax" not in error.message:
            raise
        message = f"{source}: a name of a table cannot be read: {error.message.rpartition(': ')[2]}"
        raise ConfigError(message, hint="write it as schema.table, names with capitals in double quotes") from None
    tables = {row["stream"]: _table(session, source, streams[row["stream"]], row) for row in rows}
    _distinct(source, tables.values())
    return tables


def _table(session: Session, source: str, stream: ChangesStream, row: Mapping[str, Any]) -> Table:
    where = f"{source}.{row['stream']}"
    if row["oid"] is None:
        message = f"{where}: there is no table `{stream.table}` at {session.place}"
        spelling = "write it as schema.table; names with capitals want double quotes in it"
        known = [(one["schema"], one["name"]) for one in session.fetch(_FOLLOWABLE)]
        raise ConfigError(message, hint=did_you_mean_table(stream.table, known, plain=None) or spelling)
    is_at_once = row["is_unique_at_once"] and set(stream.key or row["key"]) == set(row["key"])
    key, identity_key = tuple(stream.key or row["key"]), tuple(row["identity_key"])
    table = Table(**{**row, "key": key, "is_unique_at_once": is_at_once, "identity_key": identity_key})
    if table.kind not in ("r", "p"):
        message = f"{where}: `{stream.table}` at {session.place} is no table: its changes are not in the log"
        raise ConfigError(message, hint="name the table itself; views are read with `type: postgres`")
    if table.persistence != "p":
        message = f"{where}: `{stream.table}` at {session.place} is unlogged or temporary: nothing of it is in the log"
        raise ConfigError(message, hint=f"ALTER TABLE {table.name} SET LOGGED, or read it with `type: postgres`")
    return table


def _distinct(source: str, tables: Iterable[Table]) -> None:
    met: dict[int, Table] = {}
    for table in tables:
        other = met.setdefault(table.oid, table)
        if other is not table:
            message = f"{source}: streams `{other.stream}` and `{table.stream}` name one table, {table.shown}"
            raise ConfigError(message, hint="remove one of them: several silver tables may read one stream")


def columns(session: Session, table: Table) -> list[TableColumn]:
    """Those that can be in the log: generated ones are not."""
    return [TableColumn(**row) for row in session.fetch(_COLUMNS, (table.oid,))]


class Types:
    """Types that were met, asked once."""

    def __init__(self) -> None:
        self._kinds: dict[int, Kind] = {}
        self._money: int | None = None

    def renders(self, session: Session, wanted: Sequence[int]) -> list[values.Render]:
        self._learn(session, [oid for oid in wanted if not values.known(oid)])
        bases = [self._kinds[oid].base if oid in self._kinds else oid for oid in wanted]
        money = self._money_digits(session) if values.MONEY in bases else 0
        return [values.renders(oid, self._kinds, money) for oid in wanted]

    def _learn(self, session: Session, wanted: Sequence[int]) -> None:
        asked = [oid for oid in wanted if oid not in self._kinds and not values.known(oid)]
        if not asked:
            return
        # One that is gone by now is shown as text.
        self._kinds |= {oid: Kind(oid, None, ",") for oid in asked}
        for row in session.fetch(_KINDS, (asked,)):
            self._kinds[row["asked"]] = Kind(row["base"], row["element"], row["delimiter"])
        self._learn(session, [kind.element for kind in self._kinds.values() if kind.element])

    def _money_digits(self, session: Session) -> int:
        if self._money is None:
            self._money = int(session.fetch("SELECT scale(1::money::numeric) AS digits")[0]["digits"])
        return self._money
