"""What has landed of a stream, as far as it can come again: how far each part was read, and what lies in its window.

A part is a parent's record, or the whole of a stream that has no parent. Each part has a mark: what lies before the
window that ends there was read. The window's records are remembered one by one, so that all of it can be asked for
again: what is late is found, and nothing is doubled. While pages are read, the newest ones are remembered as well,
for records that move from page to page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

import pyarrow as pa

from catchment.errors import ConfigError
from catchment.records import JSON, Cursor
from catchment.sources.http.order import Order, Place

# So many records of one read are known when they come again on a later page.
RECENT = 20_000
# So many records may lie in the windows of a stream; each takes some 20 bytes in every load's progress.
MOST = 1_000_000

_FLOOR = b""  # in the place of a record
_SCHEMA = pa.schema([("part", pa.string()), ("record", pa.binary()), ("place", pa.string()), ("now", pa.bool_())])


@dataclass
class Part:
    """One part. `top` is the furthest that was met in the read that goes on, `now` what was met in it.

    Before `floor` nothing is remembered: a window that reaches back further, for a longer `lookback`, begins there.
    """

    order: Order
    mark: Place | None = None
    floor: Place | None = None
    before: dict[bytes, Place | None] = field(default_factory=dict)
    now: dict[bytes, Place | None] = field(default_factory=dict)
    top: Place | None = None
    clock: Place | None = None

    @property
    def base(self) -> Place | None:
        """Where the window begins, None where nothing was read to its end."""
        if self.mark is None:
            return None
        base = self.order.back(self.mark)
        return base if self.floor is None else max(base, self.floor)

    def is_new(self, record: bytes, place: Place | None) -> bool:
        """Whether a record lies in the window, or after it, and has not landed."""
        if place is not None and self.base is not None and place < self.base:
            return False
        return record not in self.before and record not in self.now

    def take(self, record: bytes, place: Place | None) -> None:
        self.now[record] = place
        if place is not None and (self.top is None or place > self.top):
            self.top = place
        if len(self.now) > 2 * RECENT and len(self.now) % RECENT == 0:
            self._forget(RECENT)

    def tells_time(self, now: datetime | None) -> None:
        """The server's clock when a read of this part began: what says that it is later moves no mark beyond that."""
        if self.clock is None and now is not None:
            self.clock = self.order.of_clock(now)

    def finish(self) -> None:
        """All was read: the mark moves, and what lies before the window is forgotten."""
        reached = self._reached()
        if reached is not None and (self.mark is None or reached > self.mark):
            self.mark = reached
        self._forget(0)
        self.floor = self.base
        self.before = {
            record: place
            for record, place in {**self.before, **self.now}.items()
            if place is None or self.base is None or place >= self.base
        }
        self.now, self.top, self.clock = {}, None, None

    def _reached(self) -> Place | None:
        if self.top is None or self.clock is None:
            return self.top
        return min(self.top, self.clock)

    def _forget(self, recent: int) -> None:
        """What no window that may come holds, but for the newest few."""
        reached = self._reached()
        if reached is None:
            return
        least = self.order.back(reached)
        if self.mark is not None and self.mark > reached:
            least = self.order.back(self.mark)
        last = set(islice(reversed(self.now), recent))
        self.now = {
            record: place for record, place in self.now.items() if place is None or place >= least or record in last
        }


@dataclass
class Landed:
    """All parts of a stream. `going` says where a read that is not at its end goes on; `rows` have landed in all."""

    feed: str
    order: Order
    parts: dict[str, Part] = field(default_factory=dict)
    going: Mapping[str, JSON] | None = None
    rows: int = 0

    @classmethod
    def of(cls, feed: str, order: Order, since: Cursor | None) -> Landed:
        """As the last cursor says; raises ConfigError where that was of another format."""
        landed = cls(feed, order)
        if since is None:
            return landed
        known = since.value.get("format", order.format)
        if known != order.format:
            message = f"{feed}: its cursor was read as {known} until now, and is {order.format} in catchment.yaml"
            raise ConfigError(message, hint=f"write format: {known} again, or land it as a new stream")
        landed.rows = int(since.value.get("rows", 0))
        for part, record, kept, now in _entries(since.seen):
            place = None if kept is None else order.read(kept)
            found = landed.part(part)
            if record is None:
                found.mark = place
            elif record == _FLOOR:
                found.floor = place
            else:
                (found.now if now else found.before)[record] = place
        landed.going = since.value.get("going")
        if landed.going is not None:
            found = landed.part(str(landed.going["part"]))
            top, clock = landed.going.get("top"), landed.going.get("clock")
            found.top = None if top is None else order.read(str(top))
            found.clock = None if clock is None else order.read(str(clock))
        return landed

    def part(self, name: str) -> Part:
        found = self.parts.get(name)
        if found is None:
            found = self.parts[name] = Part(self.order)
        return found

    def goes_on(self, name: str, position: JSON) -> None:
        """The next page of a part is at this position."""
        part = self.part(name)
        told = {key: str(place) for key, place in (("top", part.top), ("clock", part.clock)) if place is not None}
        self.going = {"part": name, "position": position, **told}

    def finished(self, name: str, *, last: bool) -> None:
        """A part was read to its end, and with the `last` one the stream."""
        self.part(name).finish()
        self.going = None if last else {"part": name, "done": True}

    def cursor(self) -> Cursor:
        """After all that was taken; raises ConfigError where windows hold too much."""
        entries = list(self._kept())
        if len(entries) > MOST:
            message = (
                f"{self.feed}: the window of records that may come again holds {len(entries):,}, more than {MOST:,}"
            )
            raise ConfigError(message, hint="give `cursor` a shorter `lookback`")
        columns = [
            pa.array(column, kind.type) for column, kind in zip(zip(*entries, strict=True), _SCHEMA, strict=True)
        ]
        seen = pa.Table.from_arrays(columns, schema=_SCHEMA) if entries else _SCHEMA.empty_table()
        value: dict[str, Any] = {"rows": self.rows, "format": self.order.format}
        if self.going is not None:
            value["going"] = dict(self.going)
        return Cursor(value, seen, anew=True)

    def _kept(self) -> Iterator[tuple[str, bytes | None, str | None, bool]]:
        for name, part in self.parts.items():
            if part.mark is not None:
                yield name, None, str(part.mark), False
                yield name, _FLOOR, None if part.floor is None else str(part.floor), False
            for now, records in ((False, part.before), (True, part.now)):
                for record, place in records.items():
                    yield name, record, None if place is None else str(place), now


def _entries(seen: pa.Table | None) -> Iterator[tuple[str, bytes | None, str | None, bool]]:
    if seen is None:
        return
    for batch in seen.to_batches():
        yield from zip(*(batch.column(name).to_pylist() for name in _SCHEMA.names), strict=True)
