"""What the catalog says: the tables of streams, their columns as the log tells them, publication, and types."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from catchment.errors import CatchmentError, ConfigError
from catchment.naming import quoted
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
        WHERE i.indrelid = c.oid AND i.indisprimary), '{}') AS key
FROM unnest(%s::text[], %s::text[]) AS s(stream, said)
LEFT JOIN pg_class c ON c.oid = to_regclass(s.said) LEFT JOIN pg_namespace n ON n.oid = c.relnamespace"""

_COLUMNS = """\
SELECT a.attname::text AS name, a.atttypid::int8 AS type, format_type(a.atttypid, a.atttypmod) AS shown,
       a.attstorage IN ('x', 'e') AND a.attlen = -1 AS may_be_beside
FROM pg_attribute a WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY a.attnum"""

_PUBLICATION = """\
SELECT puballtables AS everything, pubviaroot AS via_root, pubinsert AND pubupdate AND pubdelete AS changes,
       pubtruncate AS truncates FROM pg_publication WHERE pubname = %s"""

# The columns and rows that are published are told from PostgreSQL 15 on.
_PUBLISHED = """\
SELECT to_regclass(format('%%I.%%I', p.schemaname, p.tablename))::oid::int8 AS oid,
       to_jsonb(p) -> 'attnames' AS columns, to_jsonb(p) ->> 'rowfilter' AS filter
FROM pg_publication_tables p WHERE p.pubname = %s AND format('%%I.%%I', p.schemaname, p.tablename) = ANY (%s)"""

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
    """The table of a stream as it is now; `name` is quoted, `key` what names a row where the log tells whole rows."""

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


@dataclass(frozen=True)
class TableColumn:
    name: str
    type: int
    shown: str
    may_be_beside: bool


@dataclass(frozen=True)
class Published:
    """What of a table the log tells: its columns (None: all) and the condition on its rows."""

    columns: Sequence[str] | None = None
    filter: str | None = None


@dataclass(frozen=True)
class Publication:
    name: str
    everything: bool
    via_root: bool
    changes: bool
    truncates: bool
    tables: Mapping[int, Published]


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
    table = Table(**{**row, "key": tuple(stream.key or row["key"])})
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


def publication(session: Session, name: str, tables: Collection[Table]) -> Publication | None:
    """As it is, with the tables of ours that are in it; None where there is none."""
    found = session.fetch(_PUBLICATION, (name,))
    if not found:
        return None
    members = session.fetch(_PUBLISHED, (name, [table.name for table in tables]))
    return Publication(
        name, **found[0], tables={one["oid"]: Published(one["columns"], one["filter"]) for one in members}
    )


def publish(session: Session, name: str, tables: Sequence[Table], found: Publication | None) -> None:
    """See to it that a publication has these tables. Raises ConfigError with the SQL that somebody else has to run."""
    absent = [table.name for table in tables if found is None or table.oid not in found.tables]
    if not absent:
        return
    sql = publishing(name, absent, found is not None)
    try:
        session.fetch(sql)
    except CatchmentError as error:
        if "already" in error.message:  # somebody was faster
            return
        why = error.message.rpartition(": ")[2]
        message = f"publication `{name}` cannot be {'made' if found is None else 'changed'} at {session.place}: {why}"
        raise ConfigError(message, hint=f"let its owner run: {sql}") from None


def publishing(name: str, tables: Sequence[str], is_there: bool) -> str:
    """The SQL that puts tables into a publication."""
    if is_there:
        return f"ALTER PUBLICATION {quoted(name)} ADD TABLE {', '.join(tables)}"
    return f"CREATE PUBLICATION {quoted(name)} FOR TABLE {', '.join(tables)} WITH (publish_via_partition_root = true)"


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
