"""What a run would meet: rights, settings, publication, slot, and tables of which the log does not tell all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from catchment.naming import literal, quoted
from catchment.records import Finding
from catchment.sources.postgres_changes import slots
from catchment.sources.postgres_changes.held import Settings
from catchment.sources.postgres_changes.publications import kept_back, publication, publishing
from catchment.sources.postgres_changes.session import Session
from catchment.sources.postgres_changes.tables import Table, found_tables

_ABOUT = """\
SELECT r.rolsuper OR r.rolreplication OR EXISTS (SELECT FROM pg_roles g WHERE g.rolname = 'rds_replication'
           AND pg_has_role(r.oid, g.oid, 'MEMBER')) AS replicates, quote_ident(r.rolname) AS role,
       current_setting('max_replication_slots')::int - (SELECT count(*)::int FROM pg_replication_slots) AS free,
       has_database_privilege(current_database(), 'CREATE') AS creates,
       coalesce((SELECT pg_has_role(p.pubowner, 'USAGE') FROM pg_publication p WHERE p.pubname = %s), false) AS alters
FROM pg_roles r WHERE r.rolname = current_user"""

_BESIDE = """\
SELECT c.oid::int8 AS oid, pg_has_role(c.relowner, 'USAGE') AS owns, EXISTS (
    SELECT FROM pg_class p WHERE pg_relation_size(nullif(p.reltoastrelid, 0)) > 0 AND p.oid IN
        (SELECT c.oid UNION ALL SELECT relid::oid FROM pg_partition_tree(c.oid))) AS has_beside
FROM pg_class c WHERE c.oid = ANY (%s::oid[])"""

_Words = tuple[Literal["error", "warning", "ok"], str, str]
_Row = Mapping[str, Any]


def findings(session: Session, settings: Settings) -> Iterator[Finding]:
    """Errors first. Raises ConfigError for a table that is not there."""
    tables = list(found_tables(session, settings.name, settings.streams).values())
    found = slots.standing(session, settings.slot)
    slots.fit(settings.name, found, session.place)
    about = session.fetch(_ABOUT, (settings.publication,))[0]
    more = {row["oid"]: row for row in session.fetch(_BESIDE, ([table.oid for table in tables],))}
    told = [*_server(found, about), *_published(session, settings, tables, about, more), *_slot(found)]
    told += [words for table in tables for words in _table(table, more[table.oid], about["role"])]
    yield from (Finding(settings.name, *words) for words in sorted(told, key=lambda one: one[0] != "error"))


def _server(found: slots.Standing, about: _Row) -> Iterator[_Words]:
    if found.wal_level != "logical":
        cure = "ALTER SYSTEM SET wal_level = logical, then restart it (on Amazon RDS: rds.logical_replication = 1)"
        yield "error", f"the server writes its log with wal_level `{found.wal_level}`, which tells no rows", cure
    if not about["replicates"]:
        yield "error", f"role {about['role']} may not replicate", f"ALTER ROLE {about['role']} REPLICATION"
    needed = 2 if found.slot is None else 1
    if about["free"] < needed and found.slot is None:
        cure = "drop slots that nobody reads (SELECT * FROM pg_replication_slots), or raise max_replication_slots"
        yield "error", f"the server has {about['free']} free replication slots; a first run takes two", cure


def _published(
    session: Session, settings: Settings, tables: Sequence[Table], about: _Row, more: Mapping[int, _Row]
) -> Iterator[_Words]:
    name = settings.publication
    told = publication(session, name, tables)
    yield from (("error", why, cure) for why, cure in kept_back(told, tables))
    absent = [table for table in tables if told is None or told.lacks(table)]
    may = about["creates"] if told is None else about["alters"]
    if absent and not (may and all(more[table.oid]["owns"] for table in absent)):
        sql = publishing(name, [table.name for table in absent], told is not None)
        words = f"publication `{name}` lacks {', '.join(table.shown for table in absent)}"
        yield "error", f"{words}, and role {about['role']} may not put it there", f"let its owner run: {sql}"
    if told is not None and not told.truncates:
        cure = f"ALTER PUBLICATION {quoted(name)} SET (publish = 'insert, update, delete, truncate')"
        yield "warning", f"publication `{name}` does not tell when a table is truncated: its rows would stay", cure


def _slot(found: slots.Standing) -> Iterator[_Words]:
    slot = found.slot
    for said, cure in slots.strains(found):
        yield "warning", said, cure
    if slot is None:
        return
    if slot.is_lost:
        cure = f"set on_gap: snapshot, or drop it: SELECT pg_drop_replication_slot({literal(slot.name)})"
        yield "error", f"slot `{slot.name}` fell too far behind: the server has removed its log", cure
    elif slot.pid is not None:
        cure = "that is right while `catchment stream` or a run is at work; one at a time can read"
        yield "warning", f"slot `{slot.name}` is being read by process {slot.pid}", cure


def _table(table: Table, more: _Row, role: str) -> Iterator[_Words]:
    if table.has_heirs:
        words = f"tables inherit from {table.shown}: their rows are no rows of it in the log, nor in its snapshot"
        yield "warning", words, "follow each of them as a stream of its own"
    if not table.readable:
        cure = f"GRANT SELECT ON {table.name} TO {quoted(role)}"
        yield "error", f"no right to read {table.shown}, which its snapshot takes", cure
    full = f"ALTER TABLE {table.name} REPLICA IDENTITY FULL"
    if table.identity == "n" or (table.identity == "d" and not table.key):
        cure = f"give it a primary key, or: {full}"
        yield "error", f"nothing names a row of {table.shown} in the log: PostgreSQL refuses updates and deletes", cure
    elif table.identity == "f" and not table.key:
        words = f"{table.shown} has no primary key: an update that changes what names its row is not told as a delete"
        yield "warning", words, "name the columns as the stream's `key`"
    elif table.identity == "i" and table.key and not set(table.key) <= set(table.identity_key):
        words = f"rows of {table.shown} are named in the log by {', '.join(table.identity_key)}, not by the primary key"
        yield "warning", f"{words}: a delete does not tell that, nor an update that it changes", full
    elif table.identity != "f" and more["has_beside"]:
        words = f"{table.shown} has long values: where an update leaves one alone, the log does not have it, and it is"
        yield "warning", f"{words} read from the table as it is by then", f"for each change as it was: {full}"
