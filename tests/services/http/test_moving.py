"""Records that come, change, move and go between any two requests, and reads that are broken off anywhere."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catchment.errors import RetryableError
from catchment.generate.routes import Collection
from catchment.generate.server import ApiServer
from catchment.interfaces import Source
from catchment.records import Batch, Budget, Cursor
from catchment.testing.sources import committed
from tests.services.http.api import BEGIN, collection, instant, record, source

SINCE = {"field": "$.updated_at", "param": "since"}
WAYS: dict[str, dict[str, Any]] = {
    "cursor": {
        "records": "$.items[*]",
        "paging": {"type": "cursor", "param": "after", "next": "$.meta.next"},
        "cursor": {**SINCE, "lookback": "6 minutes"},
    },
    "offset": {
        "records": "$.items[*]",
        "paging": {"type": "offset", "size": 3},
        "cursor": {**SINCE, "lookback": "6 minutes"},
    },
    "link": {
        "params": {"order": "asc"},
        "paging": {"type": "link"},
        "cursor": {**SINCE, "order": "ascending", "lookback": "6 minutes"},
    },
    "page": {
        "records": "$.items[*]",
        "params": {"order": "asc"},
        "paging": {"type": "page"},
        "cursor": {**SINCE, "order": "ascending", "lookback": "6 minutes"},
    },
}


class _World:
    """A server's records over a time that passes by a minute with each change; its clock shows that time."""

    def __init__(self, held: Collection, server: ApiServer, seed: int) -> None:
        self.held, self.server, self.chance = held, server, random.Random(seed)
        self.minute, self.last = 0, 0
        self.seen = Counter[tuple[int, str]]()
        for _ in range(14):
            self._come()

    def move(self, _: int) -> None:
        for _ in range(self.chance.choice([0, 0, 1, 1, 3])):
            self.chance.choice([self._come, self._change, self._change, self._late, self._go])()

    def _tick(self) -> int:
        self.minute += 1
        self.server.clock_ahead_s = BEGIN.timestamp() + 60 * self.minute - time.time()
        return self.minute

    def _come(self) -> None:
        self.last += 1
        place = self.chance.randint(0, len(self.held.records))
        self.held.records.insert(place, {**record(self.last), "updated_at": instant(self._tick())})

    def _change(self) -> None:
        if self.held.records:
            self.chance.choice(self.held.records)["updated_at"] = instant(self._tick())

    def _late(self) -> None:
        self.last += 1
        at = self._tick() - self.chance.randint(1, 3)
        self.held.records.append({**record(self.last), "updated_at": instant(max(0, at))})

    def _go(self) -> None:
        if self.held.records:
            self.held.records.pop(self.chance.randrange(len(self.held.records)))

    def take(self, batches: list[Batch]) -> None:
        for batch in batches:
            for text in batch.rows["document"].to_pylist():
                found = json.loads(text)
                self.seen[found["id"], found["updated_at"]] += 1


def _broken_off(made: Source, since: Cursor | None, chance: random.Random) -> tuple[list[Batch], Cursor | None]:
    """A read that ends somewhere: what was committed of it."""
    taken: list[Batch] = []
    waiting: list[Batch] = []
    given: list[Cursor] = []
    reading = made.read(made.feeds()[0], since, Budget(bytes=chance.choice([1, 300, 1 << 30])))
    try:
        for batch in reading:
            waiting.append(batch)
            if batch.cursor is not None:
                taken, waiting = [*taken, *waiting], []
                given.append(batch.cursor)
            if chance.random() < 0.15:
                break
    except RetryableError:
        pass
    finally:
        reading.close()  # type: ignore[attr-defined]
    return taken, committed(since, given)


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer({}) as server:
        yield server


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(6))
def test_every_record_lands_as_it_is_in_the_end_and_none_twice(
    server: ApiServer, tmp_path: Path, way: Any, seed: int
) -> None:
    held = collection(way)
    server.routes = {"/items": held}
    world = _World(held, server, seed)
    streams = {"items": {"path": "/items", "key": "$.id", **WAYS[way]}}
    cursor: Cursor | None = None
    server.before = world.move
    for _ in range(8):
        batches, cursor = _broken_off(source(server, tmp_path, streams=streams), cursor, world.chance)
        world.take(batches)
    server.before = None
    made = source(server, tmp_path, streams=streams)
    batches = list(made.read(made.feeds()[0], cursor, Budget()))
    world.take(batches)
    cursor = committed(cursor, [batch.cursor for batch in batches if batch.cursor is not None])
    assert list(made.read(made.feeds()[0], cursor, Budget())) == []
    assert [seen for seen, count in world.seen.items() if count > 1] == []
    lost = {(one["id"], one["updated_at"]) for one in held.records} - world.seen.keys()
    assert lost == set()
