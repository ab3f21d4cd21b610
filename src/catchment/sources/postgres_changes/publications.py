"""What a publication tells of tables: whether it is there, what it leaves out, whether it was the same all along."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from catchment.errors import CatchmentError, ConfigError
from catchment.naming import quoted
from catchment.sources.postgres_changes.session import PublicationAbsent, Session
from catchment.sources.postgres_changes.tables import Table

# A row of the catalog is another one, or of another transaction, once somebody has altered what it says.
_PUBLICATION = """\
SELECT puballtables AS everything, pubviaroot AS via_root, pubinsert AND pubupdate AND pubdelete AS changes,
       pubtruncate AS truncates, format('%%s.%%s', oid, xmin) AS mark,
       to_regclass('pg_catalog.pg_publication_namespace') IS NOT NULL AS may_have_schemas
FROM pg_publication WHERE pubname = %s"""

# The columns and rows that are published are told from PostgreSQL 15 on.
_PUBLISHED = """\
SELECT c.oid::int8 AS oid, to_jsonb(p) -> 'attnames' AS columns, to_jsonb(p) ->> 'rowfilter' AS filter,
       coalesce({marks}, '') AS mark
FROM pg_publication_tables p
JOIN pg_class c ON c.oid = to_regclass(format('%%I.%%I', p.schemaname, p.tablename)) WHERE p.pubname = %s
     AND format('%%I.%%I', p.schemaname, p.tablename) = ANY (%s)"""

_OF_TABLES = """\
(SELECT string_agg(format('%%s.%%s', r.oid, r.xmin), ',' ORDER BY r.oid)
 FROM pg_publication_rel r JOIN pg_publication o ON o.oid = r.prpubid AND o.pubname = p.pubname
 WHERE r.prrelid = c.oid OR r.prrelid IN (SELECT relid FROM pg_partition_ancestors(c.oid)))"""
_AND_SCHEMAS = """\
concat({tables}, ';', (SELECT format('%%s.%%s', s.oid, s.xmin) FROM pg_publication_namespace s
 JOIN pg_publication o ON o.oid = s.pnpubid AND o.pubname = p.pubname WHERE s.pnnspid = c.relnamespace))"""

# Parts that are told under the name of a table above them.
_UNDER = """\
SELECT a.oid::int8 AS oid, n.nspname || '.' || c.relname AS root
FROM unnest(%s::oid[]) AS a(oid) CROSS JOIN LATERAL pg_partition_ancestors(a.oid) AS above(relid)
JOIN pg_class c ON c.oid = above.relid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_publication_tables p ON p.schemaname = n.nspname AND p.tablename = c.relname
WHERE p.pubname = %s AND above.relid <> a.oid"""


@dataclass(frozen=True)
class Published:
    """What of a table the log tells: its columns (None: all) and the condition on its rows. `mark` is another once
    what a publication says of the table was changed, also where it was changed back."""

    columns: Sequence[str] | None = None
    filter: str | None = None
    mark: str = ""


@dataclass(frozen=True)
class Publication:
    """With those tables of ours that are in it, and by the number of a part the table as whose its changes are told."""

    name: str
    everything: bool
    via_root: bool
    changes: bool
    truncates: bool
    mark: str
    tables: Mapping[int, Published]
    under: Mapping[int, str]

    def lacks(self, table: Table) -> bool:
        """Whether it has to be put in; not where its parts are there, or the table whose part it is."""
        is_beside = table.oid in self.under or (table.is_partitioned and not self.via_root)
        return table.oid not in self.tables and not is_beside

    def is_of(self, mark: str) -> bool:
        """Whether a table's mark was taken of this publication, not of one that had its name before."""
        return mark.partition(".")[0] == self.mark.partition(".")[0]


def publication(session: Session, name: str, tables: Collection[Table]) -> Publication | None:
    """As it is; None where there is none."""
    found = session.fetch(_PUBLICATION, (name,))
    if not found:
        return None
    has_schemas, mark = found[0].pop("may_have_schemas"), str(found[0]["mark"])
    marks = _AND_SCHEMAS.format(tables=_OF_TABLES) if has_schemas else _OF_TABLES
    members = session.fetch(_PUBLISHED.format(marks=marks), (name, [table.name for table in tables]))
    told = {one["oid"]: Published(one["columns"], one["filter"], f"{mark}:{one['mark']}") for one in members}
    absent = [table.oid for table in tables if table.oid not in told]
    under = session.fetch(_UNDER, (absent, name)) if absent else []
    return Publication(name, **found[0], tables=told, under={one["oid"]: one["root"] for one in under})


def kept_back(found: Publication | None, tables: Collection[Table]) -> Iterator[tuple[str, str]]:
    """Why changes of tables would never be told, and the cure, whatever else is put into the publication."""
    if found is None:
        return
    alter = f"ALTER PUBLICATION {quoted(found.name)} SET"
    if not found.changes:
        cure = f"{alter} (publish = 'insert, update, delete, truncate')"
        yield f"publication `{found.name}` does not tell inserts, updates and deletes", cure
    parted = [table.shown for table in tables if table.is_partitioned]
    if parted and not found.via_root:
        cure = f"{alter} (publish_via_partition_root = true)"
        yield f"publication `{found.name}` tells changes of the parts of {parted[0]}, not of the table", cure
    if found.via_root:
        for table in tables:
            if table.oid in found.under:
                root = found.under[table.oid]
                cure = f"follow {root}, or name a `publication` without publish_via_partition_root"
                yield f"publication `{found.name}` tells changes of {table.shown} as those of {root}", cure


def publish(session: Session, name: str, tables: Sequence[Table], found: Publication | None) -> None:
    """See to it that a publication has these tables. Raises ConfigError with the SQL that somebody else has to run."""
    absent = [table.name for table in tables if found is None or table.oid not in found.tables]
    if not absent:
        return
    sql = publishing(name, absent, found is not None)
    try:
        session.fetch(sql)
    except PublicationAbsent:  # dropped since it was looked at: the next try makes it
        raise
    except CatchmentError as error:
        if "already" in error.message or "pg_publication_pubname_index" in error.message:  # somebody was faster
            return
        why = error.message.rpartition(": ")[2]
        message = f"publication `{name}` cannot be {'made' if found is None else 'changed'} at {session.place}: {why}"
        raise ConfigError(message, hint=f"let its owner run: {sql}") from None


def publishing(name: str, tables: Sequence[str], is_there: bool) -> str:
    """The SQL that puts tables into a publication."""
    if is_there:
        return f"ALTER PUBLICATION {quoted(name)} ADD TABLE {', '.join(tables)}"
    return f"CREATE PUBLICATION {quoted(name)} FOR TABLE {', '.join(tables)} WITH (publish_via_partition_root = true)"
