"""How far a log was read: places in it (LSN), what of it each stream has, and the cursor that says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from catchment.records import JSON, Cursor

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# PostgreSQL counts microseconds from here.
POSTGRES_EPOCH_US = 946_684_800_000_000


def number(lsn: str) -> int:
    """`16/B374D848` as a number."""
    high, _, low = lsn.partition("/")
    return int(high, 16) << 32 | int(low, 16)


def shown(lsn: int) -> str:
    """A number as PostgreSQL shows it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def instant(at_us: int) -> datetime:
    return EPOCH + timedelta(microseconds=at_us)


def micros(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True)
class Taken:
    """The snapshot of a stream's table: as of `lsn`, its rows said to be of `at_us`.

    `mark` tells whether the publication says the same of it since then (`Published.mark`); empty in cursors of before
    there were any.
    """

    oid: int
    lsn: int
    at_us: int
    mark: str = ""

    def value(self) -> dict[str, JSON]:
        told = {"told": self.mark} if self.mark else {}
        return {"oid": self.oid, "lsn": shown(self.lsn), "at": self.at_us, **told}

    @classmethod
    def of(cls, value: Mapping[str, JSON]) -> Taken:
        return cls(int(value["oid"]), number(value["lsn"]), int(value["at"]), str(value.get("told", "")))


@dataclass(frozen=True)
class Place:
    """All that is committed before `lsn` has landed, of each stream in `tables` what came after its snapshot.

    `lsn` is None where the slot is about to be made: whoever finds it so may make it, and take one that is there for
    his own; where `slot` is empty as well, that one is made anew. `again` are streams whose rows in bronze end with a
    gap: a truncate goes before their next snapshot. `committed_us` is the instant of the last transaction.
    """

    slot: str
    lsn: int | None = None
    system: str = ""
    timeline: int = 0
    rows: int = 0
    committed_us: int = 0
    tables: Mapping[str, Taken] = field(default_factory=dict)
    again: tuple[str, ...] = ()

    @classmethod
    def of(cls, since: Cursor | None, slot: str) -> Place:
        if since is None:
            return cls(slot)
        value = since.value
        return cls(
            str(value["slot"]),
            None if value["lsn"] is None else number(value["lsn"]),
            str(value["system"]),
            int(value["timeline"]),
            int(value["rows"]),
            int(value["committed"]),
            {stream: Taken.of(one) for stream, one in value["tables"].items()},
            tuple(value["again"]),
        )

    def cursor(self) -> Cursor:
        return Cursor(
            {
                "slot": self.slot,
                "lsn": None if self.lsn is None else shown(self.lsn),
                "system": self.system,
                "timeline": self.timeline,
                "rows": self.rows,
                "committed": self.committed_us,
                "tables": {stream: one.value() for stream, one in self.tables.items()},
                "again": list(self.again),
            }
        )

    def lost(self, slot: str) -> Place:
        """Before a slot is made, or taken as it is: every stream that has landed is snapshotted again."""
        again = (*self.again, *(stream for stream in self.tables if stream not in self.again))
        return replace(self, slot=slot, lsn=None, system="", timeline=0, tables={}, again=again)

    def without(self, streams: Sequence[str]) -> Place:
        """Before some streams are snapshotted again."""
        tables = {stream: one for stream, one in self.tables.items() if stream not in streams}
        again = (*self.again, *(stream for stream in streams if stream in self.tables and stream not in self.again))
        return replace(self, tables=tables, again=again)

    def with_snapshot(self, stream: str, taken: Taken, rows: int) -> Place:
        tables = {**self.tables, stream: taken}
        return replace(self, tables=tables, rows=rows, again=tuple(one for one in self.again if one != stream))


def instant_of(commit_us: int, last_us: int, lsn: int, tables: Mapping[str, Taken]) -> int:
    """When a transaction was committed, and never as early as the one before it or a snapshot that it is not in."""
    before = max([last_us, *(one.at_us for one in tables.values() if one.lsn <= lsn)])
    return max(commit_us, before + 1)
