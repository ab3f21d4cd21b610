"""A broker that is killed, and connections that are slow or cut, in the middle of reads and writes."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from tests.services.kafka.server import Kafka, started

from catchment.errors import ConfigError, RetryableError
from catchment.records import Message, TopicSpec
from catchment.testing.proxy import FaultProxy
from catchment.topics.kafka.broker import KafkaBroker


@pytest.fixture(scope="module")
def between() -> Iterator[tuple[Kafka, FaultProxy]]:
    """A broker, and the only way to it."""
    with ExitStack() as stack:
        proxy = stack.enter_context(FaultProxy(("127.0.0.1", 0)))
        kafka = stack.enter_context(started(advertised=proxy.port))
        proxy.to = ("127.0.0.1", kafka.port)
        yield kafka, proxy


class Writer(threading.Thread):
    """Writes numbers until it is told to stop; what is not acknowledged is written again."""

    def __init__(self, address: str, topic: str) -> None:
        super().__init__()
        self.topic, self.broker = topic, KafkaBroker(address)
        self.stopping = threading.Event()
        self.acknowledged: list[int] = []
        self.failures = 0

    def run(self) -> None:
        number = 0
        while not self.stopping.is_set():
            try:
                self.broker.write(self.topic, [Message(str(number).encode(), b"k")])
            except RetryableError:
                self.failures += 1
                continue
            self.acknowledged.append(number)
            number += 1
        self.broker.close()


def followed(broker: KafkaBroker, topic: str, seen: list[int], place: list[int]) -> None:
    """Read on from where one is; what cannot be read now comes the next time."""
    try:
        broker.wait(topic, {0: place[0]}, 0.2)
        end = broker.bounds(topic)[0][1]
        for batch in broker.read(topic, {0: place[0]}, {0: end}):
            seen += [int(value) for value in batch["value"].to_pylist()]
            place[0] = batch["offset"][-1].as_py() + 1
    except RetryableError:
        time.sleep(0.2)


def order(seen: list[int]) -> list[int]:
    """Each number the first time."""
    return list(dict.fromkeys(seen))


@contextmanager
def written_meanwhile(address: str, broker: KafkaBroker, topic: str) -> Iterator[Callable[[int], None]]:
    """Somebody writes one partition and somebody reads it, until so many more are acknowledged; at the end all that was
    acknowledged has been read."""
    writer = Writer(address, topic)
    seen: list[int] = []
    place = [0]

    def more(count: int) -> None:
        target = len(writer.acknowledged) + count
        while len(writer.acknowledged) < target:
            followed(broker, topic, seen, place)

    writer.start()
    try:
        yield more
    finally:
        writer.stopping.set()
        writer.join(120)
    end = time.monotonic() + 60
    while len(order(seen)) < len(writer.acknowledged) and time.monotonic() < end:
        followed(broker, topic, seen, place)
    assert order(seen)[: len(writer.acknowledged)] == writer.acknowledged
    # Twice only what was not acknowledged and was written again.
    assert len(seen) <= len(writer.acknowledged) + writer.failures + 1


def test_a_broker_that_is_killed_loses_nothing_that_was_acknowledged(between: tuple[Kafka, FaultProxy]) -> None:
    kafka, proxy = between
    topic = f"topic-{uuid.uuid4()}"
    broker = KafkaBroker(f"127.0.0.1:{proxy.port}")
    broker.declare([TopicSpec(topic, 1)])
    with written_meanwhile(f"127.0.0.1:{proxy.port}", broker, topic) as more:
        for _ in range(3):
            more(20)
            kafka.server.restart()
    broker.close()


def test_a_cut_connection_breaks_no_read(between: tuple[Kafka, FaultProxy]) -> None:
    _, proxy = between
    topic = f"topic-{uuid.uuid4()}"
    direct = KafkaBroker(f"127.0.0.1:{proxy.port}")
    direct.declare([TopicSpec(topic, 1)])
    for _ in range(40):
        direct.write(topic, [Message(os.urandom(10_000), b"k") for _ in range(20)])
    proxy.cut_after, proxy.cuts = 1_000_000, 5
    try:
        found = [row for batch in direct.read(topic, {0: 0}, {0: 800}) for row in batch["offset"].to_pylist()]
    finally:
        proxy.cut_after = None
    assert found == list(range(800))
    assert proxy.cuts < 5
    direct.close()


def test_a_slow_connection_is_waited_for(between: tuple[Kafka, FaultProxy]) -> None:
    _, proxy = between
    topic = f"topic-{uuid.uuid4()}"
    broker = KafkaBroker(f"127.0.0.1:{proxy.port}")
    broker.declare([TopicSpec(topic, 1)])
    proxy.delay_s = 0.4
    try:
        broker.write(topic, [Message(b"a"), Message(b"b")])
        (batch,) = broker.read(topic, {0: 0}, {0: 2})
        assert batch["value"].to_pylist() == [b"a", b"b"]
    finally:
        proxy.delay_s = 0.0
        broker.close()


def test_while_nobody_is_let_in_a_call_fails_in_time_and_goes_through_afterwards(
    between: tuple[Kafka, FaultProxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, proxy = between
    monkeypatch.setattr("catchment.topics.kafka.admin.PATIENCE_S", 2.0)
    monkeypatch.setattr("catchment.topics.kafka.broker.PATIENCE_S", 2.0)
    topic = f"topic-{uuid.uuid4()}"
    broker = KafkaBroker(f"127.0.0.1:{proxy.port}")
    broker.declare([TopicSpec(topic, 1)])
    broker.write(topic, [Message(b"before")])
    proxy.shut()
    began = time.monotonic()
    for call in (
        lambda: broker.bounds(topic),
        lambda: list(broker.read(topic, {0: 0}, {0: 1})),
        lambda: broker.write(topic, [Message(b"lost")]),
    ):
        with pytest.raises(RetryableError):
            call()
    assert time.monotonic() - began < 30
    proxy.reopen()
    end = time.monotonic() + 30
    while True:
        try:
            broker.write(topic, [Message(b"after")])
        except (RetryableError, ConfigError):
            assert time.monotonic() < end
        else:
            break
    values = [value for batch in broker.read(topic, {0: 0}, {0: 99}) for value in batch["value"].to_pylist()]
    assert values[0] == b"before"
    assert values[-1] == b"after"
    broker.close()
