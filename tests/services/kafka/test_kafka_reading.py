"""A consumer that is kept between reads: whatever was asked before, each read gives what it is asked for."""

from __future__ import annotations

import json
import random
import time
import uuid
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from tests.services.kafka.server import Kafka

from catchment.errors import DataError, Passed
from catchment.interfaces import Broker
from catchment.reading.kinds.topic import TopicStream
from catchment.records import Budget, Cursor, Message, TopicSpec
from catchment.sources.topic.source import TopicSource
from catchment.topics.kafka import reader
from catchment.topics.kafka.admin import Admin
from catchment.topics.kafka.broker import KafkaBroker

Found = dict[int, list[tuple[int, bytes]]]


def new_topic(broker: Broker, partitions: int) -> str:
    topic = f"topic-{uuid.uuid4()}"
    broker.declare([TopicSpec(topic, partitions)])
    return topic


def read(broker: Broker, topic: str, offsets: dict[int, int], until: dict[int, int], **how: int) -> Found:
    found: Found = {}
    for batch in broker.read(topic, offsets, until, **how):
        (partition,) = set(batch["partition"].to_pylist())
        rows = zip(batch["offset"].to_pylist(), batch["value"].to_pylist(), strict=True)
        found.setdefault(partition, []).extend(rows)
    return found


def test_a_partition_that_was_let_go_of_takes_no_message_from_the_others(kafka: Kafka) -> None:
    broker = KafkaBroker(kafka.address)
    topic, count = new_topic(broker, 2), {0: 0, 1: 0}

    def put(partition: int, more: int) -> None:
        sent = range(count[partition], count[partition] + more)
        broker.write(topic, [Message(f"{partition}-{number}".encode(), partition=partition) for number in sent])
        count[partition] += more

    def whole(partition: int, first: int) -> None:
        found = read(broker, topic, {partition: first}, {partition: count[partition]})
        assert found == {partition: [(n, f"{partition}-{n}".encode()) for n in range(first, count[partition])]}

    put(0, 10)
    put(1, 10)
    read(broker, topic, {}, dict(count))
    assert not broker.wait(topic, dict(count), 1.0)
    put(0, 1500)
    time.sleep(1.1)  # how long it is known where partitions end
    put(1, 3000)
    whole(0, 10)
    for _ in range(4):
        begin = count[0]
        put(0, 1700)
        put(1, 1733)
        whole(0, begin)
    whole(1, 10)
    broker.close()


class Script:
    """Writes, commits and aborts at random; knows what is to be seen."""

    def __init__(self, kafka: Kafka, seed: int) -> None:
        self.random = random.Random(seed)
        self.kafka = kafka
        self.broker = KafkaBroker(kafka.address)
        self.topic = new_topic(self.broker, 3)
        settings = {"bootstrap.servers": kafka.address, "transactional.id": str(uuid.uuid4())}
        self.producer = Producer(settings)
        self.producer.init_transactions(30)
        self.written: dict[int, list[bytes]] = {0: [], 1: [], 2: []}
        self.number = 0

    def write(self) -> None:
        commits, kept = self.random.random() < 0.7, []
        self.producer.begin_transaction()
        for _ in range(self.random.choice([1, 1, 5, 40, 1200])):
            self.number += 1
            partition = self.random.choice([0, 0, 0, 1, 2])
            value = b"%d" % self.number
            self.producer.produce(self.topic, value, partition=partition)
            self.producer.poll(0)
            kept.append((partition, value))
        if not commits:
            self.producer.flush(30)
            self.producer.abort_transaction(30)
            return
        self.producer.commit_transaction(30)
        for partition, value in kept:
            self.written[partition].append(value)

    def settle(self) -> dict[int, int]:
        """Where partitions end, once all that is committed is shown."""
        ends: dict[int, int] = {}
        until = time.monotonic() + 30
        while time.monotonic() < until:
            now = {partition: end for partition, (_, end) in self.broker.bounds(self.topic).items()}
            if now == ends:
                return now
            ends = now
            time.sleep(0.05)
        raise AssertionError


@pytest.mark.parametrize("seed", range(4))
def test_reads_and_waits_in_any_order_give_what_is_there(
    kafka: Kafka, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_AT_ONCE", 50)
    script = Script(kafka, seed)
    broker, topic, choose = script.broker, script.topic, script.random
    seen: Found = {0: [], 1: [], 2: []}
    places = {0: 0, 1: 0, 2: 0}
    for _ in range(25):
        if choose.random() < 0.6:
            script.write()
        if choose.random() < 0.5:
            broker.wait(topic, places, choose.choice([0.0, 0.05]))
        ends = script.settle()
        asked = choose.sample(sorted(ends), choose.choice([1, 2, 3, 3]))
        until = {one: ends[one] if choose.random() < 0.7 else choose.randint(places[one], ends[one]) for one in asked}
        found = read(
            broker, topic, {one: places[one] for one in asked}, until, messages=choose.choice([3, 100, 10_000])
        )
        for one in asked:
            assert all(places[one] <= offset < until[one] for offset, _ in found.get(one, []))
            seen[one] += found.get(one, [])
            places[one] = until[one]
    ends = script.settle()
    for one, rows in read(broker, topic, places, ends).items():
        seen[one] += rows
    assert {one: [value for _, value in rows] for one, rows in seen.items()} == script.written
    assert not broker.wait(topic, ends, 0.1)
    broker.close()


def test_a_partition_that_nobody_asks_for_is_not_piled_up(kafka: Kafka) -> None:
    broker = KafkaBroker(kafka.address)
    topic = new_topic(broker, 2)
    broker.write(topic, [Message(b"0", partition=0)])
    assert broker.wait(topic, {0: 1, 1: 0}, 0.1) is False
    broker.write(topic, [Message(b"%d" % number, partition=1) for number in range(20_000)])
    broker.write(topic, [Message(b"1", partition=0)] * 3000)
    assert broker.wait(topic, {0: 1, 1: 0}, 5)
    found = read(broker, topic, {0: 1}, {0: 3001}, messages=10)
    assert len(found[0]) == 3000
    found = read(broker, topic, {1: 0}, {1: 20_000})
    assert [int(value) for _, value in found[1]] == list(range(20_000))
    broker.close()


def test_who_waits_is_woken_soon_and_reads_at_once(kafka: Kafka) -> None:
    broker, writer = KafkaBroker(kafka.address), KafkaBroker(kafka.address)
    topic = new_topic(broker, 3)
    places, took = {0: 0, 1: 0, 2: 0}, []
    for turn in range(30):
        broker.bounds(topic)
        writer.write(topic, [Message(b"a", partition=turn % 3)])
        began = time.monotonic()
        assert broker.wait(topic, places, 10)
        ends = {partition: end for partition, (_, end) in broker.bounds(topic).items()}
        found = read(broker, topic, places, ends)
        assert {one: len(rows) for one, rows in found.items()} == {turn % 3: 1}
        took.append(time.monotonic() - began)
        places = ends
    # A consumer that is assigned anew each time takes several times as long.
    assert sorted(took)[15] < 0.25
    broker.close()
    writer.close()


class Stream:
    """One stream of a source, read as a run does."""

    def __init__(self, kafka: Kafka, **keys: str) -> None:
        self.broker = KafkaBroker(kafka.address)
        self.topic = new_topic(self.broker, 2)
        keys_ = TopicStream.model_validate({"topic": self.topic, **keys})
        self.source = TopicSource("web", {"events": keys_}, Path(), broker=self.broker)
        (self.feed,) = self.source.feeds()
        self.cursor: Cursor | None = None
        self.notices: list[str] = []

    def read(self) -> list[int]:
        found = []
        for batch in self.source.read(self.feed, self.cursor, Budget()):
            found += [json.loads(document) for document in batch.rows.column("document").to_pylist()]
            self.cursor = batch.cursor or self.cursor
            self.notices += [notice.message for notice in batch.notices]
        return found


def test_a_read_ends_where_the_last_messages_were_aborted(kafka: Kafka) -> None:
    stream = Stream(kafka)
    producer = Producer({"bootstrap.servers": kafka.address, "transactional.id": str(uuid.uuid4())})
    producer.init_transactions(30)
    for number, ends in enumerate([True, False, True, False, False]):
        producer.begin_transaction()
        producer.produce(stream.topic, str(number), partition=number % 2)
        producer.flush(30)
        (producer.commit_transaction if ends else producer.abort_transaction)(30)
    began = time.monotonic()
    found: list[int] = []
    while len(found) < 2 and time.monotonic() - began < 30:
        found += stream.read()
    assert sorted(found) == [0, 2]
    until = time.monotonic() + 30
    while stream.source.describe(stream.feed, stream.cursor).items and time.monotonic() < until:
        assert stream.read() == []  # the ends of transactions are passed over, and that is remembered
    assert stream.source.describe(stream.feed, stream.cursor).items == 0
    assert stream.source.wait(stream.feed, stream.cursor, 0.1) is False


def test_a_partition_that_is_added_wakes_and_is_read_from_its_beginning(kafka: Kafka) -> None:
    stream = Stream(kafka)
    stream.broker.write(stream.topic, [Message(b"1", partition=0), Message(b"2", partition=1)])
    assert sorted(stream.read()) == [1, 2]
    other = KafkaBroker(kafka.address)
    other.declare([TopicSpec(stream.topic, 4)])
    other.write(stream.topic, [Message(b"3", partition=3)])
    other.close()
    until = time.monotonic() + 30
    while not stream.source.wait(stream.feed, stream.cursor, 0.25):
        assert time.monotonic() < until
    assert stream.read() == [3]
    stream.source.close()


@pytest.mark.parametrize("on_gap", ["stop", "continue"])
def test_what_went_unread_is_told_with_what_was_lost(kafka: Kafka, on_gap: str) -> None:
    stream = Stream(kafka, on_gap=on_gap)
    stream.broker.write(stream.topic, [Message(b"1", partition=0)])
    assert stream.read() == [1]
    stream.broker.write(stream.topic, [Message(b"2", partition=0)] * 5 + [Message(b"3", partition=0)])
    admin = AdminClient({"bootstrap.servers": kafka.address})
    for done in admin.delete_records([TopicPartition(stream.topic, 0, 6)]).values():
        done.result(30)
    told = "5 messages of topic .* went before they were read: 1 to 5 of partition 0"
    if on_gap == "stop":
        with pytest.raises(Passed, match=told):
            stream.read()
    else:
        assert stream.read() == [3]
        assert "went before they were read: 1 to 5 of partition 0" in stream.notices[0]
        assert stream.read() == []
    stream.source.close()


@pytest.mark.parametrize("length", [1, 8], ids=["shorter", "grown past what landed"])
@pytest.mark.parametrize("partitions", [1, 3])
def test_a_topic_made_anew_is_read_from_its_beginning_where_the_stream_says_so(
    kafka: Kafka, partitions: int, length: int
) -> None:
    stream = Stream(kafka, on_gap="continue")
    stream.broker.write(stream.topic, [Message(b"%d" % number, partition=0) for number in range(5)])
    assert stream.read() == list(range(5))
    admin, other = AdminClient({"bootstrap.servers": kafka.address}), KafkaBroker(kafka.address)
    admin.delete_topics([stream.topic], operation_timeout=30)[stream.topic].result(30)
    other.declare([TopicSpec(stream.topic, partitions)])
    other.write(stream.topic, [Message(b"%d" % number, partition=0) for number in range(100, 100 + length)])
    assert stream.source.wait(stream.feed, stream.cursor, 5)
    stopping = TopicSource("web", {"events": TopicStream(topic=stream.topic)}, Path(), broker=other)
    with pytest.raises(DataError, match="made anew"):
        list(stopping.read(stream.feed, stream.cursor, Budget()))
    assert stream.read() == list(range(100, 100 + length))
    assert ["was made anew since it was read" in notice for notice in stream.notices] == [True]
    other.write(stream.topic, [Message(b"200", partition=partitions - 1)])
    assert stream.read() == [200]
    assert stream.read() == []
    stream.source.close()
    other.close()


def test_which_topic_it_is_costs_no_question_of_its_own(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    stream, asked = Stream(kafka), list[str]()
    bounds = Admin.bounds
    monkeypatch.setattr(Admin, "bounds", lambda admin, topic: (asked.append(topic), bounds(admin, topic))[1])
    stream.broker.write(stream.topic, [Message(b"1")])
    assert stream.read() == [1]
    assert stream.cursor is not None
    assert stream.cursor.value["id"] == stream.broker.identity(stream.topic)
    assert len(asked) == 1
    stream.source.describe(stream.feed, stream.cursor)
    assert len(asked) == 2
    stream.source.close()


@pytest.mark.parametrize("told", [1_763_000_000_000_000, 1_763_000_000_000_000_000, (1 << 63) - 1])
def test_a_time_that_is_told_in_other_units_than_milliseconds_hinders_nobody(kafka: Kafka, told: int) -> None:
    broker = KafkaBroker(kafka.address)
    topic = new_topic(broker, 1)
    producer = Producer({"bootstrap.servers": kafka.address})
    producer.produce(topic, b"far", timestamp=told)
    producer.produce(topic, b"near", timestamp=1_763_000_000_000)
    assert producer.flush(10) == 0
    (batch,) = broker.read(topic, {}, {0: 2})
    assert [at.year for at in batch["at"].to_pylist()] == [9999, 2025]
    broker.close()
