"""The embedded log keeps the promises of every broker, and what is peculiar to it."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import resource
import shutil
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from catchment.errors import ConfigError, Conflict, DataError, FatalError, Passed
from catchment.interfaces import Broker
from catchment.records import Message, TopicSpec
from catchment.testing.brokers import BrokerPromises, BrokerReaching
from catchment.testing.publications import PublicationPromises, numbered
from catchment.topics import segments
from catchment.topics.embedded import EmbeddedBroker
from catchment.topics.filesystems import file_system, refuse_remote
from catchment.topics.folders import TopicFolder

LATER = timedelta(days=8)


class EmbeddedReaching(BrokerReaching):
    def open(self, place: Path) -> Broker:
        return EmbeddedBroker(place / "topics")

    def remove(self, place: Path, topic: str) -> None:
        shutil.rmtree(place / "topics" / topic)

    def lose(self, place: Path, topic: str) -> None:
        broker = self.open(place)
        assert broker.expire(topic, datetime.now(UTC) + LATER) > 0
        broker.close()


class TestEmbedded(EmbeddedReaching, BrokerPromises):
    """What is written, read, waited for and forgotten."""


class TestPublications(EmbeddedReaching, PublicationPromises):
    """Messages and progress in one transaction."""

    def small(self, place: Path) -> EmbeddedBroker:
        """A new segment for each write."""
        return EmbeddedBroker(place / "topics", segment_bytes=1)

    def test_progress_outlasts_segments_and_retention(self, tmp_path: Path) -> None:
        broker, topic = self.small(tmp_path), self.topic(tmp_path)
        publication = broker.publication(topic, "p")
        for number in range(5):
            publication.write(numbered(number, 1), {"next": number + 1})
        assert len(_segments(tmp_path, topic)) == 5
        self.lose(tmp_path, topic)
        assert len(_segments(tmp_path, topic)) == 1
        assert broker.published(topic, "p") == {"next": 5}
        publication.write(numbered(5, 1), {"next": 6})
        older = publication
        publication = self.small(tmp_path).publication(topic, "p")
        assert publication.progress() == {"next": 6}
        broker.write(topic, [Message(b"turns to another segment")])
        with pytest.raises(Conflict):
            older.write([], {})

    def test_a_segment_with_publications_says_that_it_is_of_a_later_layout(self, tmp_path: Path) -> None:
        broker, topic = self.open(tmp_path), self.topic(tmp_path)
        broker.write(topic, [Message(b"")])
        (only,) = _segments(tmp_path, topic)
        assert _layout(only) == 1
        broker.publication(topic, "p")
        assert _layout(only) == 2


def _layout(segment: Path) -> int:
    connection = sqlite3.connect(segment)
    found = connection.execute("pragma user_version").fetchone()[0]
    connection.close()
    return int(found)


class TestSegments(EmbeddedReaching):
    """A topic of many files is one topic."""

    def small(self, place: Path) -> EmbeddedBroker:
        """A new segment for each write."""
        return EmbeddedBroker(place / "topics", segment_bytes=1)

    def test_a_topic_of_many_segments_reads_as_one(self, tmp_path: Path) -> None:
        broker, topic = self.small(tmp_path), self.topic(tmp_path)
        for number in range(12):
            broker.write(topic, [Message(f"{number}".encode(), partition=number % 2)] * 2)
        assert len(_segments(tmp_path, topic)) == 12
        assert broker.bounds(topic) == {0: (0, 12), 1: (0, 12), 2: (0, 0)}
        for offset in range(13):
            found = [one["value"] for one in self.all(broker, topic, {0: offset, 1: 12})]
            assert found == [f"{number // 2 * 2}".encode() for number in range(offset, 12)]
        assert [one["offset"] for one in self.all(broker, topic, {0: 3, 1: 12})] == list(range(3, 12))

    def test_a_write_stays_together_in_one_segment(self, tmp_path: Path) -> None:
        broker, topic = self.small(tmp_path), self.topic(tmp_path)
        broker.write(topic, [Message(bytes(1000))] * 500)
        assert len(_segments(tmp_path, topic)) == 1

    def test_an_empty_segment_is_not_followed_by_another(self, tmp_path: Path) -> None:
        broker, topic = self.small(tmp_path), self.topic(tmp_path)
        assert broker.expire(topic, datetime.now(UTC) + LATER) == 0
        assert len(_segments(tmp_path, topic)) == 1

    def test_a_segment_ends_after_a_day(self, tmp_path: Path) -> None:
        broker, topic = self.open(tmp_path), self.topic(tmp_path)
        broker.write(topic, [Message(b"today")])
        (only,) = _segments(tmp_path, topic)
        broker.close()
        yesterday = segments.microseconds(datetime.now(UTC) - timedelta(days=1, seconds=1))
        with sqlite3.connect(only) as connection:
            connection.execute("update about set created = ?", (yesterday,))
        connection.close()
        broker.write(topic, [Message(b"tomorrow")])
        assert len(_segments(tmp_path, topic)) == 2
        assert sorted(self.values(broker, topic)) == [b"today", b"tomorrow"]

    def test_partitions_that_came_later_read_across_segments(self, tmp_path: Path) -> None:
        broker, topic = self.small(tmp_path), self.topic(tmp_path, partitions=1)
        other = self.open(tmp_path)
        for number in range(3):
            other.bounds(topic)
            broker.write(topic, [Message(b"", partition=number)] * 2)
            broker.declare([TopicSpec(topic, number + 2)])
            broker.write(topic, [Message(b"", partition=number + 1)])
        assert other.bounds(topic) == {0: (0, 2), 1: (0, 3), 2: (0, 3), 3: (0, 1)}
        assert len(self.all(other, topic)) == 9
        assert [one["offset"] for one in self.all(other, topic, {0: 2, 1: 3, 3: 1})] == [0, 1, 2]

    def test_retention_takes_the_oldest_segments_only(self, tmp_path: Path) -> None:
        broker, topic = self.small(tmp_path), self.topic(tmp_path, partitions=1)
        for _ in range(3):
            broker.write(topic, [Message(b"")] * 10)
        before = broker.size(topic)
        broker.declare([TopicSpec(topic, 1, 3600)])
        self.age(tmp_path, topic, segments_=2, by=timedelta(hours=2))
        freed = broker.expire(topic, datetime.now(UTC))
        assert 0 < freed < before
        assert broker.bounds(topic) == {0: (20, 30)}
        assert broker.expire(topic, datetime.now(UTC)) == 0

    def age(self, place: Path, topic: str, segments_: int, by: timedelta) -> None:
        """Make the oldest segments as if they had been written earlier."""
        microseconds = by // timedelta(microseconds=1)
        for path in _segments(place, topic)[:segments_]:
            connection = sqlite3.connect(path)
            with connection:
                connection.execute("update about set created = created - ?", (microseconds,))
                connection.execute("update p0 set written = written - ?", (microseconds,))
            connection.close()

    def test_what_was_lost_is_told_with_its_offsets_and_times(self, tmp_path: Path) -> None:
        broker, topic = self.small(tmp_path), self.topic(tmp_path, partitions=1)
        for _ in range(3):
            broker.write(topic, [Message(b"")] * 1000)
        broker.close()
        self.age(tmp_path, topic, segments_=1, by=timedelta(days=20))
        self.age(tmp_path, topic, segments_=2, by=timedelta(days=10))
        assert broker.expire(topic, datetime.now(UTC)) > 0
        assert broker.bounds(topic) == {0: (2000, 3000)}

        def told(offset: int) -> str:
            with pytest.raises(Passed) as caught:
                list(broker.read(topic, {0: offset}, {0: 2001}))
            assert "2,000" in (caught.value.hint or "")
            return caught.value.message

        oldest, newest = (f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%d}" for days in (30, 10))
        assert "messages 500 to 1,999" in told(500)
        assert "retention (7 days)" in told(500)
        assert f"written from {oldest}" in told(500)
        assert f" to {newest}" in told(500)
        assert "message 1,999 unread" in told(1999)
        assert f"written from {newest}" in told(1999)

    def test_who_reads_a_segment_that_retention_takes_is_told_in_the_end(self, tmp_path: Path) -> None:
        broker, topic = self.small(tmp_path), self.topic(tmp_path, partitions=1)
        for _ in range(3):
            broker.write(topic, [Message(b"")] * 10)
        reading = broker.read(topic, {0: 0}, {0: 30}, messages=4)
        assert next(reading).num_rows == 4
        self.lose(tmp_path, topic)
        with pytest.raises(Passed, match="messages 4 to 29"):
            list(reading)

    def test_what_retention_took_leaves_nothing_behind(self, tmp_path: Path) -> None:
        broker, topic = self.small(tmp_path), self.topic(tmp_path)
        for _ in range(3):
            broker.write(topic, [Message(b"")])
        folder = tmp_path / "topics" / topic
        (folder / "000000000000.sqlite-shm").touch()
        self.lose(tmp_path, topic)
        (folder / "000000000001.sqlite-wal").touch()
        self.lose_nothing(tmp_path, topic)
        broker.close()
        there = {path.name for path in folder.iterdir()}
        assert there == {"topic.json", "lock", "gone.json", "000000000003.sqlite"}

    def lose_nothing(self, place: Path, topic: str) -> None:
        broker = self.open(place)
        assert broker.expire(topic, datetime.now(UTC)) == 0
        broker.close()

    def test_a_batch_ends_after_so_many_bytes(self, tmp_path: Path) -> None:
        broker, topic = self.open(tmp_path), self.topic(tmp_path, partitions=1)
        for _ in range(7):
            broker.write(topic, [Message(bytes(1 << 20))] * 10)
        sizes = [batch.num_rows for batch in broker.read(topic, {}, {0: 70})]
        assert sum(sizes) == 70
        assert max(sizes) <= 64


class TestKilled(EmbeddedReaching):
    """A process that dies at any line of ours leaves a topic whole."""

    @pytest.mark.parametrize("chore", ["turn", "create", "grow", "expire"])
    def test_a_kill_at_any_line_leaves_all_that_was_acknowledged(self, chore: str) -> None:
        # In memory where there is such a place: who is killed needs no disk. All lines are in tests/soak.
        memory = Path("/dev/shm")
        with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
            ((lines,),) = self.together(Path(folder), [("killed_at_lines_of", chore, "5")])
        assert int(lines) > 100

    def killed_at_lines_of(self, place: Path, chore: str, step: str) -> Iterator[str]:
        """How many lines there were; fails where one of them is a bad moment."""
        prepare, work, look = getattr(self, f"before_{chore}"), getattr(self, chore), getattr(self, f"after_{chore}")
        for line in itertools.count(1, int(step)):
            topic = f"{chore}-{line}"
            prepare(place, topic)
            survived = _dies_at(line, partial(work, place, topic))
            look(place, topic)
            if survived:
                yield str(line)
                return

    def small(self, place: Path) -> Broker:
        return EmbeddedBroker(place / "topics", segment_bytes=1)

    def before_turn(self, place: Path, topic: str) -> None:
        self.small(place).declare([TopicSpec(topic)])
        self.small(place).write(topic, [Message(b"old", partition=0)] * 3)

    def turn(self, place: Path, topic: str) -> None:
        self.small(place).write(topic, [Message(b"new", partition=0), Message(b"new", partition=1)])

    def after_turn(self, place: Path, topic: str) -> None:
        broker = self.small(place)
        found = self.values(broker, topic)
        assert found in ([b"old"] * 3, [b"old"] * 3 + [b"new"] * 2)
        ends = {partition: end for partition, (_, end) in broker.bounds(topic).items()}
        assert broker.write(topic, [Message(b"after", partition=0)]) == {0: ends[0] + 1}
        assert len(self.values(broker, topic)) == len(found) + 1
        assert not list((place / "topics" / topic).glob("*~*"))

    def before_create(self, place: Path, topic: str) -> None:
        pass

    def create(self, place: Path, topic: str) -> None:
        self.small(place).declare([TopicSpec(topic, 2, 60)])

    def after_create(self, place: Path, topic: str) -> None:
        broker = self.small(place)
        there = topic in broker.topics()
        assert len(broker.declare([TopicSpec(topic, 2, 60)])) == (0 if there else 1)
        assert broker.bounds(topic) == {0: (0, 0), 1: (0, 0)}
        assert all(name.startswith("create-") for name in broker.topics())

    before_grow = before_turn

    def grow(self, place: Path, topic: str) -> None:
        self.small(place).declare([TopicSpec(topic, 5, 60)])

    def after_grow(self, place: Path, topic: str) -> None:
        broker = self.small(place)
        assert len(broker.bounds(topic)) in (3, 5)
        assert broker.write(topic, [Message(b"old", partition=0)]) == {0: 4}
        broker.declare([TopicSpec(topic, 5, 60)])
        assert broker.write(topic, [Message(b"young", partition=4)]) == {4: 1}
        assert self.values(broker, topic) == [b"old"] * 4 + [b"young"]

    def before_expire(self, place: Path, topic: str) -> None:
        self.before_turn(place, topic)
        self.small(place).write(topic, [Message(b"old", partition=0)] * 3)

    def expire(self, place: Path, topic: str) -> None:
        self.small(place).expire(topic, datetime.now(UTC) + LATER)

    def after_expire(self, place: Path, topic: str) -> None:
        broker = self.small(place)
        first, end = broker.bounds(topic)[0]
        assert first in (0, 3, 6)
        assert end == 6
        assert len(self.values(broker, topic)) == end - first
        if first:
            with pytest.raises(Passed, match="written from"):
                list(broker.read(topic, {0: first - 1}, {0: end}))
        self.expire(place, topic)
        assert broker.bounds(topic)[0] == (6, 6)
        assert broker.write(topic, [Message(b"after", partition=0)]) == {0: 7}
        with pytest.raises(Passed, match="messages 0 to 5"):
            list(broker.read(topic, {0: 0}, {0: 7}))


class TestAround(EmbeddedReaching):
    """Disks, threads, forks and strangers."""

    def test_a_fork_goes_on_by_itself(self, tmp_path: Path) -> None:
        ((told,),) = self.together(tmp_path, [("forked",)])
        assert told == "done"

    def forked(self, place: Path) -> Iterator[str]:
        broker, topic = self.open(place), self.topic(place, partitions=1)
        broker.write(topic, [Message(b"before")])
        child = os.fork()
        for _ in range(50):
            broker.write(topic, [Message(b"child" if child == 0 else b"parent")])
        if child == 0:
            # SQLite forbids even to close what was opened before.
            os._exit(len(segments._INHERITED))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
        found = self.values(broker, topic)
        assert sorted(found) == [b"before"] + [b"child"] * 50 + [b"parent"] * 50
        broker.close()
        yield "done"

    def test_writers_write_in_the_order_in_which_they_asked(self, tmp_path: Path) -> None:
        broker, topic = self.open(tmp_path), self.topic(tmp_path, partitions=1)
        lock = (tmp_path / "topics" / topic / "lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        with ThreadPoolExecutor(5) as pool:
            asked = []
            for number in range(5):
                asked.append(pool.submit(broker.write, topic, [Message(f"{number}".encode())]))
                _until(lambda: _waiting_for(lock.fileno()) == len(asked))
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert [one.result() for one in asked] == [{0: 1}, {0: 2}, {0: 3}, {0: 4}, {0: 5}]
        lock.close()
        assert self.values(broker, topic) == [b"0", b"1", b"2", b"3", b"4"]

    def test_closing_gives_every_file_back(self, tmp_path: Path) -> None:
        broker, topic = self.open(tmp_path), self.topic(tmp_path)

        def work() -> None:
            broker.write(topic, [Message(b"")])
            self.all(broker, topic)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        work()
        assert _open_below(tmp_path)
        broker.close()
        assert _open_below(tmp_path) == []

    def test_a_slip_of_the_pen_is_told(self, tmp_path: Path) -> None:
        broker = self.open(tmp_path)
        broker.declare([TopicSpec("clicks")])
        with pytest.raises(ConfigError, match="did you mean `clicks`"):
            broker.bounds("click")

    def test_a_topic_that_was_removed_and_made_anew_is_another(self, tmp_path: Path) -> None:
        broker, topic = self.open(tmp_path), self.topic(tmp_path)
        broker.write(topic, [Message(b"old", partition=0)])
        self.all(broker, topic)
        shutil.rmtree(tmp_path / "topics" / topic)
        with pytest.raises(ConfigError, match=topic):
            broker.write(topic, [Message(b"nowhere")])
        self.open(tmp_path).declare([TopicSpec(topic)])
        assert broker.write(topic, [Message(b"new", partition=0)]) == {0: 1}
        assert self.values(self.open(tmp_path), topic) == [b"new"]

    def test_a_topic_that_is_removed_while_it_is_written_is_told(self, tmp_path: Path) -> None:
        broker, topic = EmbeddedBroker(tmp_path / "topics", segment_bytes=1), self.topic(tmp_path)
        broker.write(topic, [Message(b"")])
        folder = tmp_path / "topics" / topic
        (folder / "topic.json").rename(tmp_path / "topic.json")
        place = TopicFolder(folder)
        for work in (lambda: place.writable(1), lambda: place.alter(TopicSpec(topic, 5)), lambda: place.open(7)):
            with pytest.raises(FatalError, match=r"was removed from .* while it was written"), place.locked():
                work()
        with pytest.raises(FatalError, match="is there already, and no topic") as told:
            broker.declare([TopicSpec(topic)])
        assert "move it away" in str(told.value.hint)

    def test_what_else_lies_in_the_folder_is_no_topic(self, tmp_path: Path) -> None:
        topic = self.topic(tmp_path)
        (tmp_path / "topics" / "empty").mkdir()
        (tmp_path / "topics" / "~draft").mkdir()
        (tmp_path / "topics" / "~draft" / "topic.json").write_text("{}")
        (tmp_path / "topics" / "file").touch()
        assert self.open(tmp_path).topics() == [topic]
        assert EmbeddedBroker(tmp_path / "nowhere").topics() == []

    def test_too_large_a_message_is_refused_and_nothing_is_written(self, tmp_path: Path) -> None:
        broker, topic = EmbeddedBroker(tmp_path / "topics", message_bytes=1000), self.topic(tmp_path)
        with pytest.raises(DataError, match="1,000 bytes"):
            broker.write(topic, [Message(b"small"), Message(bytes(1001))])
        assert self.all(broker, topic) == []
        broker.write(topic, [Message(bytes(1000))])

    def test_every_write_is_synced(self, tmp_path: Path) -> None:
        topic = self.topic(tmp_path)
        (only,) = _segments(tmp_path, topic)
        segment = segments.Segment(only)
        asked = {
            of: segment._connection.execute(f"pragma {of}").fetchone()[0] for of in ("synchronous", "journal_mode")
        }
        assert asked == {"synchronous": 2, "journal_mode": "wal"}

    def test_a_write_that_is_interrupted_leaves_nothing_and_stands_in_nobodys_way(self, tmp_path: Path) -> None:
        broker, topic = self.open(tmp_path), self.topic(tmp_path)
        (only,) = _segments(tmp_path, topic)
        segment, row = segments.Segment(only), segments.row(Message(b"row"))

        def pressed() -> Iterator[segments.Row]:
            yield row
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            segment.append({0: [row], 1: pressed()}, 0)  # type: ignore[dict-item]
        assert segment.append({0: [row]}, 0) == {0: 1}
        assert self.values(broker, topic) == [b"row"]

    def test_a_full_disk_is_told_and_leaves_no_gap(self, tmp_path: Path) -> None:
        told = self.together(tmp_path, [("fill",)])
        assert told == [["refused", "went on"]]

    def fill(self, place: Path) -> Iterator[str]:
        broker, topic = self.open(place), self.topic(place, partitions=1)
        broker.write(topic, [Message(b"before")])
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        with pytest.raises(FatalError, match="cannot read or write"):
            broker.write(topic, [Message(bytes(200_000))])
        yield "refused"
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert broker.write(topic, [Message(b"after")]) == {0: 2}
        assert self.values(self.open(place), topic) == [b"before", b"after"]
        yield "went on"

    def test_retention_makes_room_on_a_full_disk(self, tmp_path: Path) -> None:
        assert self.together(tmp_path, [("make_room",)]) == [["made room"]]

    def make_room(self, place: Path) -> Iterator[str]:
        """Nothing can be written, not even what SQLite has beside a file, until a file goes."""
        broker, topic = EmbeddedBroker(place / "topics", segment_bytes=1), self.topic(place, partitions=1)
        for _ in range(3):
            broker.write(topic, [Message(b"")] * 10)
        broker.close()
        unlink = TopicFolder._unlink
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)

        def unlinked(folder: TopicFolder, path: Path) -> int:
            freed = unlink(folder, path)
            assert not [one for one in _open_below(place) if path.name in one]  # its room would stay taken
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            return freed

        TopicFolder._unlink = unlinked  # type: ignore[method-assign]
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        broker = self.open(place)
        with pytest.raises(FatalError):
            broker.write(topic, [Message(b"")])
        assert broker.expire(topic, datetime.now(UTC) + LATER) > 0
        assert broker.write(topic, [Message(b"after")]) == {0: 31}
        assert self.values(self.open(place), topic) == [b"after"]
        with pytest.raises(Passed, match=r"messages 0 to 29 unread, written from"):
            list(broker.read(topic, {0: 0}, {0: 31}))
        yield "made room"

    def test_a_clock_that_goes_back_lets_retention_take_nothing_that_is_new(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broker, topic = self.open(tmp_path), self.topic(tmp_path, partitions=2)
        broker.write(topic, [Message(b"", partition=0), Message(b"", partition=1)])
        with monkeypatch.context() as then:
            then.setattr("catchment.topics.embedded.now", lambda: 0)  # a machine without a battery, just started
            broker.write(topic, [Message(b"", partition=0), Message(b"", partition=1)])
        assert broker.expire(topic, datetime.now(UTC)) == 0
        assert broker.bounds(topic) == {0: (0, 2), 1: (0, 2)}

    def test_a_broken_file_is_told_with_its_name(self, tmp_path: Path) -> None:
        topic = self.topic(tmp_path)
        (only,) = _segments(tmp_path, topic)
        for content in (b"not a database, " * 1000, b""):
            only.write_bytes(content)
            with pytest.raises(FatalError, match=r"000000000000\.sqlite is broken"):
                self.open(tmp_path).bounds(topic)

    def test_a_broken_description_is_told_with_its_name(self, tmp_path: Path) -> None:
        topic = self.topic(tmp_path)
        (tmp_path / "topics" / topic / "topic.json").write_text("{")
        with pytest.raises(FatalError, match=r"topic\.json is broken"):
            self.open(tmp_path).bounds(topic)

    def test_a_layout_of_a_later_version_is_left_alone(self, tmp_path: Path) -> None:
        topic = self.topic(tmp_path)
        (only,) = _segments(tmp_path, topic)
        connection = sqlite3.connect(only)
        connection.execute("pragma user_version = 99")
        connection.close()
        with pytest.raises(FatalError, match="layout 99"):
            self.open(tmp_path).write(topic, [Message(b"")])

    def test_messages_that_lack_are_told(self, tmp_path: Path) -> None:
        broker, topic = self.open(tmp_path), self.topic(tmp_path, partitions=1)
        broker.write(topic, [Message(b"")] * 5)
        broker.close()
        (only,) = _segments(tmp_path, topic)
        connection = sqlite3.connect(only)
        with connection:
            connection.execute("delete from p0 where offset = 2")
        connection.close()
        with pytest.raises(FatalError, match="messages lack"):
            self.all(broker, topic)

    def test_a_segment_that_is_gone_from_between_others_is_told(self, tmp_path: Path) -> None:
        broker, topic = EmbeddedBroker(tmp_path / "topics", segment_bytes=1), self.topic(tmp_path, partitions=1)
        for _ in range(4):
            broker.write(topic, [Message(b"")] * 10)
        _segments(tmp_path, topic)[1].unlink()
        for begin in (0, 10, 15):
            with pytest.raises(FatalError, match="messages lack after"):
                list(self.open(tmp_path).read(topic, {0: begin}, {0: 40}))
        assert sum(batch.num_rows for batch in self.open(tmp_path).read(topic, {0: 20}, {0: 40})) == 20

    def test_segments_that_are_gone_are_told(self, tmp_path: Path) -> None:
        topic = self.topic(tmp_path)
        for path in _segments(tmp_path, topic):
            path.unlink()
        with pytest.raises(FatalError, match="no segment"):
            self.open(tmp_path).bounds(topic)

    def test_a_folder_without_rights_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "topics").touch()
        with pytest.raises(FatalError, match="topics"):
            self.open(tmp_path).declare([TopicSpec("t")])

    def test_more_partitions_than_help_are_refused(self, tmp_path: Path) -> None:
        broker = self.open(tmp_path)
        with pytest.raises(ConfigError, match="257"):
            broker.declare([TopicSpec("t", 257)])
        broker.declare([TopicSpec("t", 256)])
        assert len(broker.bounds("t")) == 256

    def test_a_topic_describes_itself_in_json(self, tmp_path: Path) -> None:
        self.open(tmp_path).declare([TopicSpec("t", 2)])
        told = json.loads((tmp_path / "topics" / "t" / "topic.json").read_text())
        assert told == {"partitions": 2, "retention_s": 604_800, "id": self.open(tmp_path).identity("t")}

    def test_a_topic_of_before_they_were_told_apart_stays_one(self, tmp_path: Path) -> None:
        broker, topic = self.open(tmp_path), self.topic(tmp_path)
        (tmp_path / "topics" / topic / "topic.json").write_text('{"partitions": 3, "retention_s": 604800}')
        assert broker.identity(topic) is None
        broker.declare([TopicSpec(topic, 4)])
        assert self.open(tmp_path).identity(topic) is None
        assert set(broker.bounds(topic)) == {0, 1, 2, 3}


_MOUNTS = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:50 / /mnt/shared\040files rw - nfs4 server:/files rw
31 22 0:51 / /home rw - fuse.sshfs me@server: rw
32 22 0:52 / /home/me/disk rw - ext4 /dev/sdb1 rw
33 22 0:53 / /over rw - ext4 /dev/sdc1 rw
34 22 0:54 / /over rw - 9p C: rw
""".lstrip()


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var/topics", "ext4"),
        ("/mnt/shared files/topics", "nfs4"),
        ("/mnt/shared", "ext4"),
        ("/home/me/topics", "fuse.sshfs"),
        ("/home/me/disk/topics", "ext4"),
        ("/over/topics", "9p"),
    ],
)
def test_topics_are_refused_on_network_file_systems(tmp_path: Path, folder: str, kind: str) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(_MOUNTS)
    assert file_system(Path(folder), mounts) == kind
    if kind == "ext4":
        refuse_remote(Path(folder), mounts)
        return
    with pytest.raises(ConfigError, match=f"network file system .{kind}.") as caught:
        refuse_remote(Path(folder), mounts)
    assert "disk of this machine" in (caught.value.hint or "")


def test_where_the_system_tells_no_file_systems_nothing_is_refused(tmp_path: Path) -> None:
    assert file_system(tmp_path, tmp_path / "absent") is None
    refuse_remote(tmp_path, tmp_path / "absent")


def _segments(place: Path, topic: str) -> list[Path]:
    return sorted((place / "topics" / topic).glob("*.sqlite"))


def _open_below(folder: Path) -> list[str]:
    """Files of this process."""
    found = []
    for handle in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(handle.readlink()))
        except FileNotFoundError:
            continue
    return [path for path in found if path.startswith(str(folder))]


def _waiting_for(handle: int) -> int:
    """How many wait for the lock on a file."""
    inode = os.fstat(handle).st_ino
    return sum("->" in line and f":{inode} " in line for line in Path("/proc/locks").read_text().splitlines())


def _until(so: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not so():
        assert time.monotonic() < ends
        time.sleep(0.005)


def _dies_at(line: int, work: Callable[[], Any]) -> bool:
    """Do it in a forked process that is killed at the n-th line of the embedded log; whether it came to its end.

    A line counts when it is reached for the first time, and for the second.
    """
    child = os.fork()
    if child == 0:
        reached = itertools.count(1)
        times: Counter[tuple[str, int]] = Counter()

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            if "/catchment/topics/" not in frame.f_code.co_filename:
                return None
            here = frame.f_code.co_filename, frame.f_lineno
            times[here] += event == "line"
            if event == "line" and times[here] <= 2 and next(reached) == line:
                os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        work()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), status
    return status == 0
