"""The log of a PostgreSQL database by logical replication: a snapshot of each table, then every change.

Guarantee: every committed change of a followed table lands exactly once, in the order of commits. The cursor rides in
the commit that adds the rows and says up to where the log has landed; the slot is advanced only after that commit, and
what it gives again is left out. A load ends at the end of a transaction, or of a table's snapshot.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import pyarrow as pa

from catchment import naming
from catchment.errors import ConfigError
from catchment.interfaces import Source
from catchment.records import Abilities, Batch, Budget, Cursor, Description, Feed, Finding, Notice
from catchment.sources.postgres_changes import slots
from catchment.sources.postgres_changes.findings import findings
from catchment.sources.postgres_changes.held import Held, Settings
from catchment.sources.postgres_changes.place import Place, micros, number
from catchment.sources.postgres_changes.publications import Published
from catchment.sources.postgres_changes.reading import Reading
from catchment.sources.postgres_changes.session import Session
from catchment.sources.postgres_changes.snapshot import Copying, readable
from catchment.sources.postgres_changes.tables import ChangesStream, Table, Types, found_tables

# Up to so many bytes a table's rows are counted for a description.
_COUNTED_BYTES = 64 << 20


class PostgresChangesSource(Source):
    """One log of the tables of one database. Between two reads it keeps its connections, so that the next goes on."""

    abilities: ClassVar[Abilities] = Abilities(
        acknowledges=True, keeps_types=True, brings_documents=True, takes_new=True, resumes=True, wakes=True
    )

    def __init__(
        self,
        name: str,
        streams: Mapping[str, ChangesStream],
        folder: Path,
        *,
        url: str,
        slot: str | None = None,
        publication: str | None = None,
        on_gap: Literal["stop", "snapshot"] = "stop",
    ) -> None:
        own = slot or re.sub(r"[^a-z0-9_]", "_", f"catchment_{name}".lower())[:63]
        self._settings = Settings(name, url, own, publication or own, on_gap, dict(streams))
        self._held = Held(self._settings)

    def feeds(self) -> Sequence[Feed]:
        return [Feed(self._settings.name, naming.changes_table(self._settings.name))]

    def describe(self, feed: Feed, since: Cursor | None) -> Description:
        """How much log there is; what of it concerns our tables only reading tells."""
        settings, session = self._settings, self._held.session
        found, place = self._held.standing(), Place.of(since, settings.slot)
        tables = found_tables(session, settings.name, settings.streams)
        notices = [Notice("said", said, {"stream": settings.name}) for said, _ in slots.strains(found)]
        why = None if place.lsn is None else slots.gap(place, found, settings.slot)
        if why is not None:
            said = slots.lost(settings.name, place, why, session.place)
            return Description(1, 0, "snapshot", [Notice("lost", said, {"stream": settings.name}), *notices])
        new = [table for stream, table in tables.items() if stream not in place.tables]
        if new:
            size = sum(table.bytes for table in new)
            return Description(sum(_rows(session, table) for table in new), size, "row", notices)
        size = max(0, found.lsn - (place.lsn or 0))
        return Description(int(size > 0), size, "stretch of log", notices)

    def read(self, feed: Feed, since: Cursor | None, budget: Budget) -> Iterator[Batch]:
        """Snapshots of tables that are new, then the log up to where it ends now.

        What is made in the server (slot, publication) is made after the commit of a cursor that says so: who reads
        without committing leaves nothing there, and is given snapshots alone.
        """
        if since is None and budget.rows is not None:
            yield from self._look(budget.rows)
            return
        last = None if since is None else since.value
        if last is None or last != self._held.ended_at:
            self._held.drop_link()
        self._held.ended_at = None
        try:
            for batch in Reading(self._held, budget).batches(since):
                last = last if batch.cursor is None else batch.cursor.value
                yield batch
        except BaseException:
            self._held.close()
            raise
        self._held.ended_at = last

    def acknowledge(self, feed: Feed, cursor: Cursor) -> None:
        """Lets the server forget what lies before the cursor."""
        held, name = self._held, self._settings.slot
        held.heard = cursor.value
        if cursor.value["lsn"] is None:
            return
        lsn = number(cursor.value["lsn"])
        if held.following is not None:
            held.following.link.flushed(lsn)
            return
        slot = held.standing().slot
        if slot is not None and slot.pid is None and not slot.is_lost and slot.confirmed < lsn:
            held.session.fetch("SELECT pg_replication_slot_advance(%s, %s::pg_lsn)", (name, cursor.value["lsn"]))

    def wait(self, feed: Feed, since: Cursor | None, seconds: float) -> bool:
        """For a message, while a log is open that was read up to `since`; else only a read can tell."""
        following = self._held.following
        if following is None or since is None or since.value != self._held.ended_at:
            return True
        return following.link.has_news(seconds)

    def recognize(self, feed: Feed, origins: pa.Table) -> Cursor:
        """Rows in bronze do not say up to where the log was read."""
        message = f"the rows of {feed.table} do not tell how far {feed.name} was read"
        cure = f"move the table away, drop slot `{self._settings.slot}` and run again: each table is snapshotted anew"
        raise ConfigError(message, hint=cure)

    def probe(self, feed: Feed) -> Sequence[Finding]:
        """Asks the catalog and the slot; makes nothing."""
        session = Session(self._settings.url, feed.name)
        try:
            found = list(findings(session, self._settings))
        except ConfigError as error:
            return [Finding(feed.name, "error", error.message, error.hint)]
        finally:
            session.close()
        count = len(self._settings.streams)
        good = f"the log of {count} table{'s' * (count > 1)} at {session.place} can be followed"
        return found or [Finding(feed.name, "ok", good)]

    def close(self) -> None:
        self._held.close()

    def _look(self, rows: int) -> Iterator[Batch]:
        """The first rows of each table; nothing is made in the server, and no right to replicate is needed."""
        settings = self._settings
        session = Session(settings.url, settings.name)
        try:
            tables = found_tables(session, settings.name, settings.streams)
            session.fetch("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            at_us = micros(session.fetch("SELECT now() AS now")[0]["now"])
            first, origin, types = 0, f"postgresql://{session.place}?slot={settings.slot}", Types()
            for table in tables.values():
                readable(settings.name, table, session.place)
                for gathered in Copying(session, table, Published(), types).batches(first, origin, at_us, rows):
                    first += len(gathered)
                    yield Batch(gathered.table(), None, gathered.bytes)
        finally:
            session.close()


def _rows(session: Session, table: Table) -> int:
    if table.rows >= 0 and table.bytes > _COUNTED_BYTES:
        return table.rows
    return int(session.fetch(f"SELECT count(*) AS n FROM {table.rows_of}")[0]["n"])
