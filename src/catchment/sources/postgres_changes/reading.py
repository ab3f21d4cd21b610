"""One read: is the log still whole, what has to be made in the server, snapshots of what is new, then the log."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace

from catchment import naming
from catchment.errors import ConfigError
from catchment.naming import literal
from catchment.records import Batch, Budget, Cursor, Notice
from catchment.sources.changes import SCHEMA
from catchment.sources.postgres_changes import slots
from catchment.sources.postgres_changes.following import Following
from catchment.sources.postgres_changes.forms import Gathered
from catchment.sources.postgres_changes.held import Held
from catchment.sources.postgres_changes.place import Place, Taken
from catchment.sources.postgres_changes.publications import Publication, Published, kept_back, publication, publish
from catchment.sources.postgres_changes.session import Link, PublicationAbsent, Session
from catchment.sources.postgres_changes.slots import PLUGIN
from catchment.sources.postgres_changes.snapshot import Copying, Moment, exported, readable
from catchment.sources.postgres_changes.tables import Table, found_tables

_NOTHING = SCHEMA.empty_table()

# After so many seconds it is said what a snapshot waits for.
_LONG_S = 5


class Reading:
    """Goes from a cursor to where the log ends now."""

    def __init__(self, held: Held, budget: Budget) -> None:
        self._held = held
        self._settings = held.settings
        self._budget = budget
        self._waited_s = 0

    def batches(self, since: Cursor | None) -> Iterator[Batch]:
        settings, held = self._settings, self._held
        found, place = held.standing(), Place.of(since, settings.slot)
        where = held.session.place
        slots.fit(settings.name, found, where)
        if since is None and found.slot is not None:
            raise slots.foreign(settings.name, found, where)
        strains = [self._said("said", f"{said}: {cure}") for said, cure in slots.strains(found)]
        if strains:
            yield Batch(_NOTHING, None, 0, strains)
        tables = found_tables(held.session, settings.name, settings.streams)
        place = place.without([stream for stream in place.tables if stream not in tables])
        place, lost = self._without_gaps(place, found, tables)
        is_agreed = since is not None and place.lsn is None and since.value == place.cursor().value
        begun: Place | None = place
        if place.lsn is None or len(place.tables) < len(tables):
            begun = yield from self._begun(place, tables, lost, is_agreed=is_agreed)
        if begun is None:
            return
        try:
            yield from self._log(begun, tables)
        except PublicationAbsent:
            following = held.following
            if following is None or following.is_within_a_load:
                raise
            why = self._gap(following.place, f"publication `{settings.publication}` was not there for a while")
            begun = yield from self._begun(following.place.lost(""), tables, [why], is_agreed=False)
            if begun is not None:
                yield from self._log(begun, tables)

    def _begun(
        self, place: Place, tables: Mapping[str, Table], lost: Sequence[str], *, is_agreed: bool
    ) -> Generator[Batch, None, Place | None]:
        """With a snapshot of every table; None where there is no log to go on with, for who only looks."""
        makes = is_agreed or (yield from self._agreed(place, lost))
        has_log = makes or place.lsn is not None
        found = yield from self._prepared(place, tables, makes)
        return found if has_log else None

    def _said(self, kind: str, message: str) -> Notice:
        return Notice(kind, message, {"stream": self._settings.name})  # type: ignore[arg-type]

    def _agreed(self, place: Place, lost: Sequence[str]) -> Generator[Batch, None, bool]:
        """Whether a cursor that says what will be made was committed: who only looks commits nothing."""
        self._held.heard, cursor = None, place.cursor()
        yield Batch(_NOTHING, cursor, 0, [self._said("lost", said) for said in lost])
        return self._held.heard == cursor.value

    # Gaps.

    def _without_gaps(
        self, place: Place, found: slots.Standing, tables: Mapping[str, Table]
    ) -> tuple[Place, Sequence[str]]:
        """The place to go on from, and what was lost before it. Raises Passed where that shall stop a run."""
        told = self._published(tables)
        if place.lsn is None:
            return place, ()
        why = slots.gap(place, found, self._settings.slot)
        if why is None and self._held.following is None:
            why = self._another_server(place, found)
        if why is not None:
            return place.lost(self._settings.slot), [self._gap(place, why)]
        why = self._unpublished(place, told)
        if why is not None:
            # What was written while there was no publication ends whoever reads the slot.
            return place.lost(""), [self._gap(place, why)]
        broken = self._broken(place, tables, told)
        lost = [self._gap(place, why) for why in broken.values()]
        return self._marked(place.without(list(broken)), told), lost

    def _another_server(self, place: Place, found: slots.Standing) -> str | None:
        link = Link(self._settings.url, self._settings.name)
        try:
            return slots.elsewhere(place, found, link)
        finally:
            link.close()

    def _unpublished(self, place: Place, told: Publication | None) -> str | None:
        """Why nothing tells of any table, or did not for a while; None where the publication was there all along."""
        if not place.tables:
            return None
        if told is None:
            return f"publication `{self._settings.publication}` is gone"
        if any(one.mark and not told.is_of(one.mark) for one in place.tables.values()):
            return f"publication `{told.name}` was dropped and made anew"
        return None

    def _broken(self, place: Place, tables: Mapping[str, Table], told: Publication | None) -> dict[str, str]:
        """By stream, why changes of its table are missing in the log."""
        name, found = self._settings.publication, {}
        for stream, taken in place.tables.items():
            published = None if told is None else told.tables.get(taken.oid)
            if tables[stream].oid != taken.oid:
                found[stream] = f"{tables[stream].shown} was dropped and made anew, or `table` named another one"
            elif published is None:
                found[stream] = f"{tables[stream].shown} is not in publication `{name}` any more"
            elif taken.mark not in ("", published.mark):
                found[stream] = f"{tables[stream].shown} was out of publication `{name}`, or that was altered"
        return found

    def _marked(self, place: Place, told: Publication | None) -> Place:
        """A cursor of before there were marks says from here on what the publication is."""
        if told is None or all(one.mark for one in place.tables.values()):
            return place
        marked = {
            stream: replace(one, mark=one.mark or told.tables[one.oid].mark) for stream, one in place.tables.items()
        }
        return replace(place, tables=marked)

    def _published(self, tables: Mapping[str, Table]) -> Publication | None:
        """Raises ConfigError for a publication that will never tell what we follow."""
        found = publication(self._held.session, self._settings.publication, list(tables.values()))
        for why, cure in kept_back(found, list(tables.values())):
            message = f"{self._settings.name}: {why} at {self._held.session.place}"
            raise ConfigError(message, hint=cure)
        return found

    def _gap(self, place: Place, why: str) -> str:
        where = self._held.session.place
        if self._settings.on_gap == "stop":
            raise slots.passed(self._settings.name, place, why, where)
        return f"{slots.lost(self._settings.name, place, why, where)}; a new snapshot is taken"

    # Snapshots.

    def _prepared(self, place: Place, tables: Mapping[str, Table], makes: bool) -> Generator[Batch, None, Place]:
        """Snapshots of the tables that have none, each a load; before them what the server needs, if it may be made."""
        self._held.drop_link()
        for table in tables.values():
            readable(self._settings.name, table, self._held.session.place)
        link = Link(self._settings.url, self._settings.name)
        try:
            if makes:
                publish(self._held.session, self._settings.publication, list(tables.values()), self._published(tables))
            if makes and place.lsn is None:
                self._published(tables)
                lsn = yield from self._made(is_anew=not place.slot)
                place = replace(place, lsn=lsn, slot=self._settings.slot)
            if not place.system:
                place = replace(place, system=link.system, timeline=link.timeline)
            for moment in exported(self._held.session, link, self._settings.slot):
                if moment is None:
                    yield self._waits()
                else:
                    link.close()
                    place = replace(place, lsn=moment.lsn) if place.lsn is None else place
                    place = yield from self._snapshots(place, tables, moment)
        finally:
            link.close()
        return place

    def _made(self, *, is_anew: bool) -> Generator[Batch, None, int]:
        """Where our slot begins. One that is there was made by a run that was killed then, or was lost."""
        name = self._settings.slot
        found = self._held.standing().slot
        if found is not None and (found.is_lost or is_anew):
            slots.let_go(self._held.session, self._settings.name, name)
            self._held.session.fetch("SELECT pg_drop_replication_slot(%s)", (name,))
            found = None
        if found is None:
            sql = f"SELECT pg_create_logical_replication_slot({literal(name)}, {literal(PLUGIN)})"
            for row in self._held.session.patiently(sql):
                if row is None:
                    yield self._waits()
        made = self._held.standing().slot
        assert made is not None
        return made.confirmed

    def _waits(self) -> Batch:
        """For another second until transactions that run have ended; when it takes long, for which."""
        self._waited_s += 1
        if self._waited_s != _LONG_S:
            return Batch(_NOTHING)
        session = Session(self._settings.url, self._settings.name)
        try:
            said = f"a snapshot begins when transactions that are open have ended: {slots.waited_for(session)}"
        finally:
            session.close()
        return Batch(_NOTHING, None, 0, [self._said("said", said)])

    def _snapshots(self, place: Place, tables: Mapping[str, Table], moment: Moment) -> Generator[Batch, None, Place]:
        published = self._published(tables)
        for stream, table in tables.items():
            if stream not in place.tables:
                told = Published() if published is None else published.tables.get(table.oid, Published())
                place = yield from self._snapshot(place, table, told, moment)
        moment.session.fetch("COMMIT")
        return place

    def _snapshot(self, place: Place, table: Table, told: Published, moment: Moment) -> Generator[Batch, None, Place]:
        """One table, one load. Where its rows in bronze end with a gap, nothing of them stays."""
        at_us, rows, last = max(moment.at_us, place.committed_us + 1), place.rows, None
        if table.stream in place.again:
            last = Gathered(rows, self._held.origin)
            last.add_empty(table.stream, naming.TRUNCATE, at_us)
            rows, at_us = rows + 1, at_us + 1
        copying = Copying(moment.session, table, told, self._held.types)
        for gathered in copying.batches(rows, self._held.origin, at_us):
            if last is not None:
                yield Batch(last.table(), None, last.bytes)
            rows, last = rows + len(gathered), gathered
        taken = place.with_snapshot(table.stream, Taken(table.oid, moment.lsn, at_us, told.mark), rows)
        final = Gathered(rows, self._held.origin) if last is None else last
        yield Batch(final.table(), taken.cursor(), final.bytes)
        return taken

    # The log.

    def _log(self, place: Place, tables: Mapping[str, Table]) -> Iterator[Batch]:
        held, settings = self._held, self._settings
        following = held.following
        if following is None or held.followed != place.tables:
            held.drop_link()
            slots.let_go(held.session, settings.name, settings.slot)
            link = Link(settings.url, settings.name)
            try:
                assert place.lsn is not None
                link.start(settings.slot, settings.publication, place.lsn)
            except BaseException:
                link.close()
                raise
            by_oid = {table.oid: table for table in tables.values()}
            following = held.following = Following(link, held.session, held.types, held.origin, by_oid)
            held.followed = place.tables
        place = replace(place, timeline=following.link.timeline)
        yield from following.read(place, held.standing().lsn, self._budget)
