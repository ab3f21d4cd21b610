"""What every broker promises. Subclass `BrokerPromises`, say how yours is reached, and run pytest."""

from __future__ import annotations

import inspect
import signal
import subprocess
import sys
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catchment.errors import ConfigError, Passed
from catchment.interfaces import Broker
from catchment.records import Message, Offsets, TopicSpec, message_schema

# Calls a method of a suite, which gives lines, in a process of its own.
_ELSEWHERE = """
import pathlib, runpy, sys
file, name, place, method, *arguments = sys.argv[1:]
suite = runpy.run_path(file)[name]()
sys.stdout.write("ready\\n")
sys.stdout.flush()
sys.stdin.readline()
for line in getattr(suite, method)(pathlib.Path(place), *arguments):
    sys.stdout.write(f"{line}\\n")
    sys.stdout.flush()
"""

# What Kafka's own tests say of its hash of keys (UtilsTest.testMurmur2).
KAFKA_HASHES = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
    b"": 275646681,
}

WORKERS = 3
_MESSAGES = st.builds(
    Message,
    value=st.none() | st.binary(max_size=50),
    key=st.none() | st.binary(max_size=8),
    headers=st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5),
            st.binary(max_size=5),
        )
    ),
    # Brokers keep milliseconds at least.
    at=st.datetimes(datetime(1971, 1, 1), datetime(2199, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
        lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000)
    ),
)


class BrokerReaching(ABC):
    """How a suite reaches a broker: what to say once for each."""

    @abstractmethod
    def open(self, place: Path) -> Broker:
        """The broker of `place`, a folder that one test has to itself; every call is another client of the same one."""

    @abstractmethod
    def remove(self, place: Path, topic: str) -> None:
        """Take a topic away with all that is in it, as nobody does who reads or writes it."""

    @abstractmethod
    def lose(self, place: Path, topic: str) -> None:
        """Retention takes everything that is in the topic now."""

    # How the suite reads and writes.

    def topic(self, place: Path, *, partitions: int = 3) -> str:
        """The name of a new topic."""
        name = f"promises-{uuid.uuid4()}"
        self.open(place).declare([TopicSpec(name, partitions)])
        return name

    def all(self, broker: Broker, topic: str, offsets: Offsets | None = None, **how: Any) -> list[dict[str, Any]]:
        """Everything from `offsets` on, each batch looked at."""
        until = {partition: end for partition, (_, end) in broker.bounds(topic).items()}
        batches = list(broker.read(topic, offsets or {}, until, **how))
        for batch in batches:
            batch.validate(full=True)
            assert batch.schema.equals(message_schema())
            assert 0 < batch.num_rows <= how.get("messages", 32_768)
        return [message for batch in batches for message in batch.to_pylist()]

    def values(self, broker: Broker, topic: str, offsets: Offsets | None = None) -> list[bytes]:
        """The values by partition and offset."""
        found = sorted(self.all(broker, topic, offsets), key=lambda one: (one["partition"], one["offset"]))
        return [one["value"] for one in found]

    # What other processes do; each gives lines that they write.

    def write_many(self, place: Path, topic: str, writer: str, writes: str, each: str) -> Iterator[str]:
        """Write numbered messages, then tell each number; the slowest write in milliseconds comes last."""
        broker, slowest = self.open(place), 0.0
        for number in range(int(writes)):
            messages = [Message(f"{writer} {number} {one}".encode(), key=writer.encode()) for one in range(int(each))]
            began = time.perf_counter()
            broker.write(topic, messages)
            slowest = max(slowest, time.perf_counter() - began)
            yield str(number)
        broker.close()
        yield f"{1000 * slowest:.3f}"

    def follow(self, place: Path, topic: str, messages: str) -> Iterator[str]:
        """Read from the beginning until so many messages were there; tell how many of each value there were."""
        broker, seen = self.open(place), Counter[bytes]()
        offsets: dict[int, int] = {}
        until = time.monotonic() + 60
        while seen.total() < int(messages) and time.monotonic() < until:
            broker.wait(topic, offsets, 1)
            ends = {partition: end for partition, (_, end) in broker.bounds(topic).items()}
            for batch in broker.read(topic, offsets, ends):
                seen.update(batch["value"].to_pylist())
                offsets[batch["partition"][0].as_py()] = batch["offset"][-1].as_py() + 1
            assert all(offsets.get(partition, 0) == end for partition, end in ends.items())
        broker.close()
        yield f"{seen.total()} {len(seen)}"

    @contextmanager
    def elsewhere(self, place: Path, method: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
        """A process that calls a method of this suite once it is told to go on by a line; what it tells are lines."""
        suite = [inspect.getfile(type(self)), type(self).__name__, str(place), method]
        command = [sys.executable, "-c", _ELSEWHERE, *suite, *arguments]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            try:
                assert child.stdin is not None
                assert child.stdout is not None
                assert child.stdout.readline() == "ready\n"
                yield child, child.stdout
            finally:
                child.kill()

    def together(self, place: Path, calls: Sequence[Sequence[str]]) -> list[list[str]]:
        """Call methods in processes of their own, all at once; the lines of each."""
        with ThreadPoolExecutor(len(calls)) as pool:
            started = threading.Barrier(len(calls), timeout=60)

            def call(method: str, *arguments: str) -> list[str]:
                with self.elsewhere(place, method, *arguments) as (child, _):
                    started.wait()
                    told, _ = child.communicate("go\n", timeout=600)
                    assert child.returncode == 0
                    return told.splitlines()

            return list(pool.map(lambda given_: call(*given_), calls))

    def killed_writer(self, place: Path, topic: str, writer: str, after: int) -> int:
        """A process writes one by one and is killed after so many acknowledged writes; how many it was told."""
        with self.elsewhere(place, "write_many", topic, writer, "1000000", "1") as (child, told):
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
            for _ in range(after):
                told.readline()
            child.send_signal(signal.SIGKILL)
            return after + sum(1 for line in told if line.endswith("\n"))


class BrokerPromises(BrokerReaching):
    """Every broker keeps these promises."""

    @pytest.fixture(name="place")
    def _place(self, tmp_path: Path) -> Path:
        return tmp_path

    @pytest.fixture(name="broker")
    def _broker(self, place: Path) -> Iterator[Broker]:
        broker = self.open(place)
        yield broker
        broker.close()

    # Topics.

    def test_a_topic_that_was_declared_is_there_and_empty(self, place: Path, broker: Broker) -> None:
        topic = self.topic(place, partitions=2)
        assert topic in broker.topics()
        assert broker.bounds(topic) == {0: (0, 0), 1: (0, 0)}
        assert broker.spec(topic).partitions == 2
        assert self.all(broker, topic) == []

    def test_declaring_twice_is_once(self, broker: Broker) -> None:
        spec = TopicSpec(f"promises-{uuid.uuid4()}", 2, 86_400)
        assert len(broker.declare([spec])) == 1
        broker.write(spec.name, [Message(b"kept")])
        assert broker.declare([spec]) == []
        there = broker.spec(spec.name)
        assert (there.name, there.partitions, there.retention_s) == (spec.name, spec.partitions, spec.retention_s)
        assert self.values(broker, spec.name) == [b"kept"]

    def test_a_topic_is_declared_once_by_many(self, place: Path) -> None:
        name = f"promises-{uuid.uuid4()}"
        with ThreadPoolExecutor(4) as pool:
            told = list(pool.map(lambda _: self.open(place).declare([TopicSpec(name, 2)]), range(4)))
        assert sum(map(len, told)) == 1
        assert self.open(place).bounds(name) == {0: (0, 0), 1: (0, 0)}

    def test_without_change_it_is_only_told(self, place: Path, broker: Broker) -> None:
        absent = f"promises-{uuid.uuid4()}"
        there = self.topic(place, partitions=1)
        assert len(broker.declare([TopicSpec(absent), TopicSpec(there, 2)], change=False)) == 2
        assert absent not in broker.topics()
        assert set(broker.bounds(there)) == {0}

    def test_partitions_are_added_and_told(self, place: Path, broker: Broker) -> None:
        topic = self.topic(place, partitions=1)
        broker.write(topic, [Message(b"old")])
        other = self.open(place)
        assert other.bounds(topic) == {0: (0, 1)}
        (told,) = broker.declare([TopicSpec(topic, 3)])
        assert topic in told
        assert "3" in told
        assert other.bounds(topic) == {0: (0, 1), 1: (0, 0), 2: (0, 0)}
        assert other.write(topic, [Message(b"new", partition=2)]) == {2: 1}
        assert self.values(broker, topic) == [b"old", b"new"]
        # Who wrote and read before they were added sees them too.
        assert broker.write(topic, [Message(b"newer", partition=2)]) == {2: 2}
        assert self.values(other, topic) == [b"old", b"new", b"newer"]
        other.close()

    def test_fewer_partitions_are_refused(self, place: Path, broker: Broker) -> None:
        topic = self.topic(place, partitions=3)
        with pytest.raises(ConfigError, match=topic):
            broker.declare([TopicSpec(topic, 2)])
        assert set(broker.bounds(topic)) == {0, 1, 2}

    def test_another_retention_is_told_and_done(self, place: Path, broker: Broker) -> None:
        topic = self.topic(place)
        assert len(broker.declare([TopicSpec(topic, 3, 3600)])) == 1
        assert self.open(place).spec(topic).retention_s == 3600
        assert broker.declare([TopicSpec(topic, 3)]) == []
        assert broker.spec(topic).retention_s == 3600

    def test_servers_that_a_topic_asks_for_are_kept_or_of_no_consequence(self, broker: Broker) -> None:
        spec = TopicSpec(f"promises-{uuid.uuid4()}", 1, replication=1, min_insync=1)
        assert len(broker.declare([spec])) == 1
        assert broker.declare([spec]) == []
        assert broker.spec(spec.name).replication in (None, 1)

    def test_a_compacted_topic_is_one_or_is_refused(self, broker: Broker) -> None:
        spec = TopicSpec(f"promises-{uuid.uuid4()}", 1, compact=True)
        try:
            broker.declare([spec])
        except ConfigError as error:
            assert spec.name in error.message  # noqa: PT017 - a broker may do either
            assert spec.name not in broker.topics()
        else:
            assert broker.spec(spec.name).compact
            assert broker.declare([spec]) == []
            assert broker.declare([TopicSpec(spec.name, 1)]) == []

    @pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "ä", "a" * 250])
    def test_a_name_that_cannot_be_is_refused(self, broker: Broker, name: str) -> None:
        with pytest.raises(ConfigError):
            broker.declare([TopicSpec(name)])

    @pytest.mark.parametrize("partitions", [0, -1])
    def test_a_topic_has_a_partition_at_least(self, broker: Broker, partitions: int) -> None:
        with pytest.raises(ConfigError):
            broker.declare([TopicSpec(f"promises-{uuid.uuid4()}", partitions)])

    def test_a_topic_is_the_same_as_long_as_it_lives_and_another_once_it_was_made_anew(
        self, place: Path, broker: Broker
    ) -> None:
        topic = self.topic(place, partitions=1)
        made = broker.identity(topic)
        assert broker.identity(self.topic(place, partitions=1)) != made or made is None
        broker.write(topic, [Message(b"1")])
        self.lose(place, topic)
        broker.declare([TopicSpec(topic, 2, 3600)])
        other = self.open(place)
        for client in (broker, other):
            client.bounds(topic)
            assert client.identity(topic) == made
        self.remove(place, topic)
        other.declare([TopicSpec(topic, 2, 3600)])
        anew = set()
        for client in (broker, other):
            assert client.bounds(topic) == {0: (0, 0), 1: (0, 0)}
            anew.add(client.identity(topic))
        assert len(anew) == 1
        assert made is None or made not in anew

    def test_a_topic_that_is_not_there_is_refused_everywhere(self, broker: Broker) -> None:
        name = f"promises-{uuid.uuid4()}"
        for call in (
            lambda: broker.bounds(name),
            lambda: broker.identity(name),
            lambda: broker.spec(name),
            lambda: broker.size(name),
            lambda: list(broker.read(name, {}, {0: 1})),
            lambda: broker.wait(name, {}, 0),
            lambda: broker.write(name, [Message(b"")]),
            lambda: broker.expire(name, datetime.now(UTC)),
        ):
            with pytest.raises(ConfigError, match=name):
                call()

    # Messages.

    def test_a_message_comes_through_as_it_was_written(self, place: Path, broker: Broker) -> None:
        topic = self.topic(place)
        at = datetime(2026, 11, 21, 10, 30, 15, 123_000, tzinfo=UTC)
        headers = [("type", b"a"), ("type", b"\xff\x00"), ("", b"")]
        written = [
            Message(b'{"a": 1}', b"u-1", headers, at, 1),
            Message(None, b"u-1", partition=1),
            Message(b"", b"", partition=1),
            Message(b"no key", partition=1),
        ]
        assert broker.write(topic, written) == {1: 4}
        found = self.all(broker, topic)
        assert [(one["partition"], one["offset"], one["key"], one["value"]) for one in found] == [
            (1, 0, b"u-1", b'{"a": 1}'),
            (1, 1, b"u-1", None),
            (1, 2, b"", b""),
            (1, 3, None, b"no key"),
        ]
        assert found[0]["at"] == at
        assert [(one["name"], one["value"]) for one in found[0]["headers"]] == headers
        assert all(not one["headers"] for one in found[1:])

    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(messages=st.lists(_MESSAGES, min_size=1, max_size=12))
    def test_any_message_comes_through(self, place: Path, broker: Broker, messages: list[Message]) -> None:
        topic = self.topic(place, partitions=1)
        broker.write(topic, messages)
        found = [
            (
                one["key"],
                one["value"],
                [(header["name"], header["value"]) for header in one["headers"] or ()],
                one["at"],
            )
            for one in self.all(broker, topic)
        ]
        assert found == [(one.key, one.value, list(one.headers), one.at) for one in messages]

    def test_a_large_message_comes_through(self, place: Path, broker: Broker) -> None:
        topic = self.topic(place)
        value = bytes(range(256)) * 3500
        broker.write(topic, [Message(value, b"large")])
        assert self.values(broker, topic) == [value]

    def test_a_message_without_a_time_has_that_of_its_writing(self, place: Path, broker: Broker) -> None:
        topic = self.topic(place)
        before = datetime.now(UTC) - timedelta(milliseconds=1)
        broker.write(topic, [Message(b"now")])
        (found,) = self.all(broker, topic)
        assert before <= found["at"] <= datetime.now(UTC) + timedelta(milliseconds=1)

    def test_messages_of_a_key_keep_their_order(self, place: Path, broker: Broker) -> None:
        topic = self.topic(place)
        for number in range(5):
            broker.write(topic, [Message(str(number).encode(), f"k{key}".encode()) for key in range(20)])
        found = self.all(broker, topic)
        for key in {one["key"] for one in found}:
            of_key = sorted((one for one in found if one["key"] == key), key=lambda one: one["offset"])
            assert len({one["partition"] for one in of_key}) == 1
            assert [one["value"] for one in of_key] == [b"0", b"1", b"2", b"3", b"4"]
        assert {one["partition"] for one in found} == {0, 1, 2}

    def test_a_key_comes_into_the_partition_that_kafka_chooses(self, place: Path, broker: Broker) -> None:
        topic = self.topic(place, partitions=7)
        broker.write(topic, [Message(b"", key) for key in KAFKA_HASHES])
        found = {one["key"]: one["partition"] for one in self.all(broker, topic)}
        assert found == {key: (value & 0x7FFFFFFF) % 7 for key, value in KAFKA_HASHES.items()}

    def test_messages_without_a_key_come_into_all_partitions(self, place: Path, broker: Broker) -> None:
        topic = self.topic(place)
        for _ in range(60):
            broker.write(topic, [Message(b"")])
        assert {one["partition"] for one in self.all(broker, topic)} == {0, 1, 2}

    def test_a_write_tells_the_next_offsets_of_what_it_wrote_to(self, place: Path, broker: Broker) -> None:
        topic = self.topic(place)
        assert broker.write(topic, []) == {}
        broker.write(topic, [Message(b"a", partition=0)])
        assert broker.write(topic, [Message(b"b", partition=0), Message(b"c", partition=2)]) == {0: 2, 2: 1}
        assert broker.bounds(topic) == {0: (0, 2), 1: (0, 0), 2: (0, 1)}

    def test_all_of_a_write_or_nothing(self, place: Path, broker: Broker) -> None:
        topic = self.topic(place)
        with pytest.raises(ConfigError):
            broker.write(topic, [Message(b"good"), Message(b"bad", partition=3)])
        assert self.all(broker, topic) == []
        assert set(broker.write(topic, [Message(b"good", partition=0)])) == {0}

    # Reading.

    @pytest.fixture(name="filled")
    def _filled(self, place: Path, broker: Broker) -> str:
        """A topic with 10 messages in partition 0, and 5 in partition 1."""
        topic = self.topic(place)
        broker.write(topic, [Message(f"0-{number}".encode(), partition=0) for number in range(10)])
        broker.write(topic, [Message(f"1-{number}".encode(), partition=1) for number in range(5)])
        return topic

    def read(self, broker: Broker, topic: str, offsets: Offsets, until: Offsets, **how: int) -> Mapping[int, list[int]]:
        """The offsets that are read, by partition, in the order of reading."""
        found: dict[int, list[int]] = {}
        for batch in broker.read(topic, offsets, until, **how):
            for partition, offset in zip(batch["partition"].to_pylist(), batch["offset"].to_pylist(), strict=True):
                found.setdefault(partition, []).append(offset)
        return found

    def test_a_range_is_read_and_nothing_else(self, broker: Broker, filled: str) -> None:
        assert self.read(broker, filled, {0: 3, 1: 0}, {0: 7, 1: 2}) == {0: [3, 4, 5, 6], 1: [0, 1]}

    def test_a_partition_without_an_offset_is_read_from_its_beginning(self, broker: Broker, filled: str) -> None:
        assert self.read(broker, filled, {1: 4}, {0: 2, 1: 5}) == {0: [0, 1], 1: [4]}

    def test_a_partition_without_an_end_is_not_read(self, broker: Broker, filled: str) -> None:
        assert self.read(broker, filled, {0: 0, 1: 0}, {1: 1}) == {1: [0]}
        assert self.read(broker, filled, {0: 0}, {}) == {}

    def test_an_end_that_is_not_there_yet_is_no_reason_to_wait(self, broker: Broker, filled: str) -> None:
        assert self.read(broker, filled, {0: 8}, {0: 1000, 2: 1000}) == {0: [8, 9]}
        assert self.read(broker, filled, {0: 10}, {0: 1000}) == {}
        assert self.read(broker, filled, {0: 7}, {0: 7}) == {}

    @pytest.mark.parametrize("messages", [1, 3, 100])
    def test_batches_are_no_larger_than_asked(self, broker: Broker, filled: str, messages: int) -> None:
        assert len(self.all(broker, filled, messages=messages)) == 15
        assert self.read(broker, filled, {}, {0: 10, 1: 5}, messages=messages)[0] == list(range(10))

    def test_reading_again_gives_the_same(self, place: Path, broker: Broker, filled: str) -> None:
        first = sorted(self.all(broker, filled), key=lambda one: (one["partition"], one["offset"]))
        other = self.open(place)
        broker.write(filled, [Message(b"later", partition=0)])
        until = {0: 10, 1: 5}
        again = [one for batch in other.read(filled, {}, until) for one in batch.to_pylist()]
        assert sorted(again, key=lambda one: (one["partition"], one["offset"])) == first
        other.close()

    def test_what_is_written_while_one_reads_is_read_up_to_the_end_that_was_asked_for(
        self, broker: Broker, filled: str
    ) -> None:
        reading = broker.read(filled, {}, {0: 12}, messages=4)
        seen = next(reading).num_rows
        broker.write(filled, [Message(b"more", partition=0)] * 5)
        assert seen + sum(batch.num_rows for batch in reading) == 12

    # Waiting.

    def test_waiting_ends_at_once_where_something_is_there(self, broker: Broker, filled: str) -> None:
        began = time.monotonic()
        assert broker.wait(filled, {0: 9, 1: 5, 2: 0}, 30)
        assert broker.wait(filled, {}, 30)
        assert time.monotonic() - began < 15

    def test_waiting_for_what_does_not_come_ends_in_time(self, broker: Broker, filled: str) -> None:
        began = time.monotonic()
        assert not broker.wait(filled, {0: 10, 1: 5, 2: 0}, 0.3)
        assert not broker.wait(filled, {0: 10, 1: 5}, 0)
        assert 0.3 <= time.monotonic() - began < 15

    def test_waiting_ends_when_somebody_else_writes(self, place: Path, broker: Broker, filled: str) -> None:
        later = threading.Timer(0.2, lambda: self.open(place).write(filled, [Message(b"late", partition=2)]))
        later.start()
        assert broker.wait(filled, {0: 10, 1: 5, 2: 0}, 30)
        later.join()
        assert self.values(broker, filled, {0: 10, 1: 5}) == [b"late"]

    # Retention.

    def test_what_retention_took_is_told_and_not_skipped(self, place: Path, broker: Broker, filled: str) -> None:
        self.lose(place, filled)
        broker.write(filled, [Message(b"after", partition=0)])
        assert broker.bounds(filled) == {0: (10, 11), 1: (5, 5), 2: (0, 0)}
        with pytest.raises(Passed, match=filled) as caught:
            list(broker.read(filled, {0: 7}, {0: 11}))
        assert "7" in caught.value.message
        assert "9" in caught.value.message
        with pytest.raises(Passed):
            list(broker.read(filled, {1: 4}, {1: 5}))
        assert self.values(broker, filled) == [b"after"]
        assert self.values(broker, filled, {0: 10, 1: 5}) == [b"after"]

    def test_offsets_go_on_after_retention(self, place: Path, broker: Broker, filled: str) -> None:
        self.lose(place, filled)
        assert self.open(place).write(filled, [Message(b"after", partition=1)]) == {1: 6}

    def test_retention_leaves_what_is_young_enough(self, broker: Broker, filled: str) -> None:
        assert broker.expire(filled, datetime.now(UTC)) == 0
        assert len(self.all(broker, filled)) == 15

    # Others.

    def test_it_may_be_used_after_it_was_closed(self, broker: Broker, filled: str) -> None:
        broker.close()
        assert len(self.all(broker, filled)) == 15
        broker.close()
        broker.close()
        broker.write(filled, [Message(b"again")])

    def test_a_broker_serves_threads(self, place: Path, broker: Broker) -> None:
        topic = self.topic(place)

        def work(writer: int) -> int:
            for number in range(20):
                broker.write(topic, [Message(f"{writer}-{number}".encode(), f"{writer}".encode())])
            return len(self.all(broker, topic))

        with ThreadPoolExecutor(WORKERS) as pool:
            assert max(pool.map(work, range(WORKERS))) == WORKERS * 20
        assert len(set(self.values(broker, topic))) == WORKERS * 20

    def test_writers_and_readers_in_processes_of_their_own(self, place: Path, broker: Broker) -> None:
        topic = self.topic(place)
        writers = [("write_many", topic, str(writer), "30", "5") for writer in range(WORKERS)]
        readers = [("follow", topic, str(WORKERS * 150))] * 2
        told = self.together(place, [*writers, *readers])
        assert told[WORKERS:] == [[f"{WORKERS * 150} {WORKERS * 150}"]] * 2
        for writer in range(WORKERS):
            mine = [value for value in self.values(broker, topic) if value.startswith(f"{writer} ".encode())]
            assert mine == [f"{writer} {number} {one}".encode() for number in range(30) for one in range(5)]

    def test_a_killed_writer_loses_nothing_that_was_acknowledged(self, place: Path, broker: Broker) -> None:
        topic = self.topic(place)
        for kill in range(3):
            told = self.killed_writer(place, topic, str(kill), after=5 + kill)
            mine = [value for value in self.values(broker, topic) if value.startswith(f"{kill} ".encode())]
            assert mine == [f"{kill} {number} 0".encode() for number in range(len(mine))]
            # The one whose acknowledgement was on its way may be there.
            assert told <= len(mine) <= told + 1
