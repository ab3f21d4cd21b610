"""Slots: whether one still keeps what comes after a cursor, and how much of the log it holds."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from catchment.errors import ConfigError, Passed, RetryableError
from catchment.naming import literal
from catchment.sources.postgres_changes.place import Place, instant, number, shown
from catchment.sources.postgres_changes.session import Link, Session

PLUGIN = "pgoutput"
# Of the room that max_slot_wal_keep_size gives, so much is left when people are warned.
_TIGHT = 0.25
# So long somebody who was killed may still hold the slot.
_LETS_GO_S = 5.0

_SHOWN = 3
_OPEN = """\
SELECT format('process %s (%s)', pid, coalesce(nullif(application_name, ''), usename)) AS who, xact_start AS since
FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
UNION ALL SELECT format('prepared transaction %s', quote_literal(gid)), prepared FROM pg_prepared_xacts
ORDER BY since"""

_POSITION = """\
SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END)::text AS lsn,
       current_database()::text AS database, current_setting('wal_level') AS wal_level,
       (SELECT to_jsonb(s) FROM pg_replication_slots s WHERE s.slot_name = %s) AS slot"""


@dataclass(frozen=True)
class Slot:
    """What the server tells of a slot. `confirmed` is up to where we said that it may forget."""

    name: str
    plugin: str
    database: str
    pid: int | None
    confirmed: int
    held_from: int
    status: str
    safe_bytes: int | None
    invalid: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Slot:
        confirmed = row["confirmed_flush_lsn"]
        return cls(
            row["slot_name"],
            row["plugin"] or "",
            row["database"] or "",
            row["active_pid"],
            number(confirmed) if confirmed else 0,
            number(row["restart_lsn"]) if row["restart_lsn"] else 0,
            row.get("wal_status") or "",
            row.get("safe_wal_size"),
            row.get("invalidation_reason") or "",
        )

    @property
    def is_lost(self) -> bool:
        return self.status == "lost" or bool(self.invalid) or not self.held_from


@dataclass(frozen=True)
class Standing:
    """Where the server's log ends now, and the slot, None where there is none."""

    lsn: int
    database: str
    wal_level: str
    slot: Slot | None

    def held_bytes(self) -> int:
        """How much of the log the slot keeps on the server's disk."""
        return 0 if self.slot is None or not self.slot.held_from else max(0, self.lsn - self.slot.held_from)


def standing(session: Session, slot: str) -> Standing:
    row = session.fetch(_POSITION, (slot,))[0]
    found = None if row["slot"] is None else Slot.of(row["slot"])
    return Standing(number(row["lsn"]), row["database"], row["wal_level"], found)


def mb(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MB" if size >= 10 << 20 else f"{size / (1 << 20):,.1f} MB"


def strains(found: Standing) -> Iterator[tuple[str, str]]:
    """What deserves a word before the disk is full or the log is gone, and what to do."""
    slot = found.slot
    if slot is None or slot.is_lost:
        return
    held = f"slot `{slot.name}` holds {mb(found.held_bytes())} of the server's log"
    cure = "run catchment, or drop the slot where nobody reads it any more: "
    cure += f"SELECT pg_drop_replication_slot({literal(slot.name)})"
    if slot.status == "unreserved":
        yield f"{held}, and the server may remove it at any moment", cure
    elif slot.status == "extended":
        left = "" if slot.safe_bytes is None else f": {mb(slot.safe_bytes)} until max_slot_wal_keep_size ends it"
        yield f"{held}, more than max_wal_size{left}", cure
    elif slot.safe_bytes is not None and slot.safe_bytes < _TIGHT * (slot.safe_bytes + found.held_bytes()):
        yield f"{held}: {mb(slot.safe_bytes)} until max_slot_wal_keep_size ends it", cure


def fit(source: str, found: Standing, place: str) -> None:
    """Raises ConfigError where the slot is none that we can read."""
    slot = found.slot
    if slot is None:
        return
    if slot.plugin != PLUGIN or slot.database != found.database:
        what = f"of database `{slot.database}`, made for {slot.plugin or 'standbys'}"
        message = f"{source}: slot `{slot.name}` at {place} is {what}: it cannot be read for `{found.database}`"
        raise ConfigError(message, hint="name another `slot` in catchment.yaml")


def foreign(source: str, found: Standing, place: str) -> ConfigError:
    """A slot that is there though nothing has landed: reading it would take what belongs to another."""
    assert found.slot is not None
    name = found.slot.name
    message = (
        f"{source}: slot `{name}` is there at {place}, and nothing of it has landed here: another project,"
        " environment or machine may be reading it, and each change is given to one of them only"
    )
    hint = "name another `slot` in catchment.yaml; where nobody reads this one: SELECT pg_drop_replication_slot("
    return ConfigError(message, hint=f"{hint}{literal(name)})")


def gap(place: Place, found: Standing, name: str) -> str | None:
    """Why slot `name` does not give what comes after a place, None where it does."""
    assert place.lsn is not None
    slot = found.slot
    if slot is None and place.slot != name:
        return f"slot `{name}` is not there (what has landed came from `{place.slot}`)"
    if slot is None:
        return f"slot `{name}` is gone"
    if slot.is_lost:
        why = f" ({slot.invalid})" if slot.invalid else ""
        return f"slot `{name}` fell too far behind and the server has removed its log{why}"
    if slot.confirmed > place.lsn:
        return f"slot `{name}` has moved on to {shown(slot.confirmed)} without us: somebody else reads it"
    return None


def elsewhere(place: Place, found: Standing, link: Link) -> str | None:
    """Why the server is not the one whose log was read up to a place, None where it is."""
    assert place.lsn is not None
    if link.system != place.system:
        return f"it is another server by now (system {link.system}, not {place.system})"
    parted = None if link.timeline == place.timeline else left_at(link.history(), place.timeline)
    if parted is not None and parted < place.lsn:
        return f"the server went on without our last changes: it left timeline {place.timeline} at {shown(parted)}"
    if link.timeline != place.timeline and parted is None:
        return f"the server is on timeline {link.timeline}, which does not come from {place.timeline}"
    if found.lsn < place.lsn:
        return f"the server's log ends at {shown(found.lsn)}: it was restored to an earlier state"
    return None


def left_at(history: str, timeline: int) -> int | None:
    """Where a timeline ended, by the history of one that came after it; None where it is none of its forebears."""
    found = re.search(rf"^\s*{timeline}\s+([0-9A-F]+/[0-9A-F]+)", history, re.MULTILINE | re.IGNORECASE)
    return None if found is None else number(found.group(1))


def passed(source: str, place: Place, why: str, where: str) -> Passed:
    """What is lost, since when, and the ways out."""
    return Passed(
        lost(source, place, why, where),
        hint="take a new snapshot with `on_gap: snapshot`: what was deleted in between goes, and what happened in"
        " between is not told any more",
    )


def lost(source: str, place: Place, why: str, where: str) -> str:
    assert place.lsn is not None
    when = f" (committed {instant(place.committed_us):%Y-%m-%d %H:%M:%S} UTC)" if place.committed_us else ""
    return f"{source}: {why} at {where}; changes after {shown(place.lsn)}{when} are lost"


def waited_for(session: Session) -> str:
    """Transactions that have written and are open, the oldest first: none of them may be cut by a place in the log."""
    found = [str(row["who"]) for row in session.fetch(_OPEN)]
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"{', '.join(found[:_SHOWN])}{more}" if found else "transactions that are about to end"


def let_go(session: Session, source: str, slot: str) -> None:
    """Wait until nobody reads a slot. Raises RetryableError where somebody goes on."""
    until = time.monotonic() + _LETS_GO_S
    while True:
        found = standing(session, slot).slot
        if found is None or found.pid is None:
            return
        if time.monotonic() > until:
            message = f"{source}: slot `{slot}` at {session.place} is being read by another process (PID {found.pid})"
            raise RetryableError(message, hint="is another run or `catchment stream` at work? one at a time can read")
        time.sleep(0.05)
