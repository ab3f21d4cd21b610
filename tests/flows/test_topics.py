"""One topic of the embedded log between processes: three write, four read, each at its own place, and some are killed.

The same for longer is in tests/soak.
"""

from __future__ import annotations

import json
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from catchment.interfaces import Broker
from catchment.testing.brokers import BrokerReaching
from catchment.topics.embedded import EmbeddedBroker

WRITERS = ("shop", "app", "partner")

# How many messages a reader takes at once, and how long it works on them.
READERS = {"analytics": (10_000, 0.0), "dashboard": (10, 0.0), "feature_store": (50, 0.01), "audit": (100, 0.0)}


class Between(BrokerReaching):
    """A broker whose segments are so small that they change often."""

    def open(self, place: Path) -> Broker:
        return EmbeddedBroker(place / "topics", segment_bytes=100_000)

    def remove(self, place: Path, topic: str) -> None:
        shutil.rmtree(place / "topics" / topic)

    def lose(self, place: Path, topic: str) -> None:
        self.open(place).expire(topic, datetime.now(UTC) + timedelta(days=8))

    def read_on(self, place: Path, topic: str, reader: str, messages: str) -> Iterator[str]:
        """Go on at this reader's place until it has read so many; tell its place whenever that was kept."""
        broker, (size, pause) = self.open(place), READERS[reader]
        kept, record = place / f"{reader}.json", (place / f"{reader}.log").open("a", encoding="utf-8")
        offsets = {int(key): value for key, value in json.loads(kept.read_text()).items()} if kept.exists() else {}
        while sum(offsets.values()) < int(messages):
            broker.wait(topic, offsets, 1)
            ends = {partition: end for partition, (_, end) in broker.bounds(topic).items()}
            for batch in broker.read(topic, offsets, ends, messages=size):
                for partition, offset, value in zip(*(batch[name].to_pylist() for name in _COLUMNS), strict=True):
                    record.write(f"{partition} {offset} {value.decode()}\n")
                    offsets[partition] = offset + 1
                record.flush()
                draft = kept.with_suffix(".new")
                draft.write_text(json.dumps(offsets))
                draft.replace(kept)
                yield json.dumps(offsets)
                time.sleep(pause)

    def rivals(self, place: Path, *, writes: int, each: int) -> float:
        """Four readers and three writers at once, one of the readers killed underway; the slowest of all writes, in ms.

        Fails where a reader has not read everything, or anything twice that it had kept its place behind.
        """
        topic = self.topic(place)
        messages = len(WRITERS) * writes * each
        reading = [("read_on", topic, reader, str(messages)) for reader in READERS if reader != "audit"]
        writing = [("write_many", topic, writer, str(writes), str(each)) for writer in WRITERS]
        with (
            self.elsewhere(place, "read_on", topic, "audit", str(messages)) as (audit, told),
            ThreadPoolExecutor(1) as pool,
        ):
            others = pool.submit(self.together, place, [*reading, *writing])
            assert audit.stdin is not None
            audit.stdin.write("go\n")
            audit.stdin.flush()
            told.readline()
            audit.kill()
            slowest = max(float(lines[-1]) for lines in others.result()[len(reading) :])
        self.together(place, [("read_on", topic, "audit", str(messages))])
        self.look(place, topic, messages)
        return slowest

    def look(self, place: Path, topic: str, messages: int) -> None:
        broker = self.open(place)
        there = {(one["partition"], one["offset"]): one["value"].decode() for one in self.all(broker, topic)}
        assert len(set(there.values())) == len(there) == messages
        for reader in READERS:
            lines = (place / f"{reader}.log").read_text().splitlines()
            read = Counter((int(partition), int(offset), value) for partition, offset, value in map(_split, lines))
            assert set(read) == {(*key, value) for key, value in there.items()}, reader
            assert reader == "audit" or set(read.values()) == {1}, reader

    def kills(self, place: Path, chance: random.Random, *, rounds: int) -> int:
        """Writers write at once and are killed, time after time; how many writes were acknowledged in all.

        Fails where one of those is lost or doubled, or an offset lacks.
        """
        topic, told = self.topic(place), {}
        with ThreadPoolExecutor(len(WRITERS)) as pool:
            for number in range(rounds):
                names = [f"{writer}-{number}" for writer in WRITERS]
                after = [chance.randint(1, 120) for _ in names]
                acknowledged = pool.map(lambda name, after: self.killed_writer(place, topic, name, after), names, after)
                told |= dict(zip(names, acknowledged, strict=True))
        broker = self.open(place)
        for partition, (first, end) in broker.bounds(topic).items():
            batches = broker.read(topic, {}, {partition: end})
            assert [offset for batch in batches for offset in batch["offset"].to_pylist()] == list(range(first, end))
        values = Counter(self.values(broker, topic))
        assert set(values.values()) == {1}
        of_writer = Counter(value.decode().split()[0] for value in values)
        # Of each writer one may be there of which it was not told any more.
        assert all(count <= of_writer[name] <= count + 1 for name, count in told.items())
        return sum(told.values())


_COLUMNS = ("partition", "offset", "value")


def _split(line: str) -> tuple[str, str, str]:
    partition, offset, value = line.split(" ", 2)
    return partition, offset, value


def test_four_readers_and_three_writers_do_not_disturb_one_another(tmp_path: Path) -> None:
    # Tests run on busy machines; that no write takes over 200 ms is for the soak.
    assert Between().rivals(tmp_path, writes=60, each=5) < 10_000


def test_killed_writers_lose_and_double_nothing(tmp_path: Path) -> None:
    assert Between().kills(tmp_path, random.Random(7), rounds=2) > 100
