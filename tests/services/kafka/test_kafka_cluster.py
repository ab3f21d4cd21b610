"""Three servers, of which one after the other is killed: leaders move, and nothing is lost, doubled or stopped."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.services.kafka.server import Kafka, cluster
from tests.services.kafka.test_kafka_faults import written_meanwhile

from catchment.errors import CatchmentError, RetryableError
from catchment.opened import OpenProject
from catchment.outlook import steps
from catchment.project import load_project
from catchment.records import Message, TopicSpec
from catchment.stream.going import stream
from catchment.testing.fakes import Heard
from catchment.topics.kafka.broker import KafkaBroker


@pytest.fixture(scope="module")
def nodes() -> Iterator[Sequence[Kafka]]:
    with cluster() as found:
        yield found


@pytest.fixture
def servers(nodes: Sequence[Kafka]) -> str:
    return ",".join(node.address for node in nodes)


def safe(topic: str, partitions: int = 3) -> TopicSpec:
    return TopicSpec(topic, partitions, replication=3, min_insync=2)


def test_what_is_acknowledged_outlives_every_server_in_turn(nodes: Sequence[Kafka], servers: str) -> None:
    topic = f"topic-{uuid.uuid4()}"
    broker = KafkaBroker(servers)
    broker.declare([safe(topic, 1)])
    with written_meanwhile(servers, broker, topic) as more:
        for node in nodes:
            node.server.kill()
            more(50)
            node.server.start()
    broker.close()


def test_bounds_are_told_while_a_leader_is_gone(nodes: Sequence[Kafka], servers: str) -> None:
    """librdkafka tells an offset below zero, and no error, of a partition whose leader does not answer in time."""
    broker, topic = KafkaBroker(servers), f"topic-{uuid.uuid4()}"
    broker.declare([safe(topic)])
    for number in range(3):
        broker.write(topic, [Message(b"{}", partition=number)] * (number + 1))
    told = {0: (0, 1), 1: (0, 2), 2: (0, 3)}
    assert broker.bounds(topic) == told
    nodes[1].server.kill()
    try:
        assert broker.bounds(topic) == told
        assert broker.spec(topic).min_insync == 2
    finally:
        nodes[1].server.start()
    broker.close()


def test_where_too_few_servers_are_left_it_is_said_and_goes_on_once_they_are_back(
    nodes: Sequence[Kafka], servers: str
) -> None:
    broker, topic = KafkaBroker(servers), f"topic-{uuid.uuid4()}"
    broker.declare([safe(topic, 1)])
    broker.write(topic, [Message(b"1")])
    nodes[0].server.kill()
    nodes[1].server.kill()
    try:
        with pytest.raises(RetryableError) as told:
            broker.write(topic, [Message(b"2")])
        assert told.value.hint
    finally:
        nodes[0].server.start()
        nodes[1].server.start()
    until = time.monotonic() + 60
    while True:
        try:
            broker.write(topic, [Message(b"3")])
            break
        except RetryableError:
            assert time.monotonic() < until
    end = broker.bounds(topic)[0][1]
    found = [value for batch in broker.read(topic, {0: 0}, {0: end}) for value in batch["value"].to_pylist()]
    # What was not acknowledged may be there.
    assert found in ([b"1", b"3"], [b"1", b"2", b"3"])
    broker.close()


_PROJECT = """\
name: shop
sources:
  web:
    type: topic
    streams:
      clicks: {{topic: "{topic}.clicks"}}
silver:
  clicks: {{from: web.clicks, publish: {{topic: "{topic}.refined"}}}}
topics:
  "{topic}.refined": {{partitions: 3, replication: 3, min_insync: 2}}
targets:
  cluster: {{broker: {{type: kafka, servers: "{servers}"}}}}
"""
_CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: clicks
version: 1.0.0
status: active
schema:
  - name: clicks
    properties:
      - {name: number, logicalType: integer, required: true}
"""


class Sender:
    """Writes clicks, each until it is acknowledged: one may be there twice."""

    def __init__(self, servers: str, topic: str) -> None:
        self._broker, self._topic = KafkaBroker(servers), topic
        self.sent = 0

    def send(self, count: int) -> None:
        messages = [Message(json.dumps({"number": self.sent + n}).encode()) for n in range(count)]
        until = time.monotonic() + 90
        while True:
            try:
                self._broker.write(self._topic, messages)
                break
            except RetryableError:
                assert time.monotonic() < until
        self.sent += count


def published(broker: KafkaBroker, topic: str) -> Counter[int]:
    """Numbers that readers of committed messages see."""
    try:
        ends = {partition: end for partition, (_, end) in broker.bounds(topic).items()}
        values = [value for batch in broker.read(topic, {}, ends) for value in batch["value"].to_pylist()]
    except CatchmentError:  # it is not there yet, or its leader is gone
        return Counter()
    return Counter(json.loads(value)["number"] for value in values)


def test_a_stream_outlives_every_server_in_turn(tmp_path: Path, nodes: Sequence[Kafka], servers: str) -> None:
    topic = f"t{uuid.uuid4()}"
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts/clicks.odcs.yaml").write_text(_CONTRACT)
    (tmp_path / "catchment.yaml").write_text(_PROJECT.format(topic=topic, servers=servers))
    project, broker = load_project(tmp_path), KafkaBroker(servers)
    broker.declare([safe(f"{topic}.clicks")])
    stop, ended, heard, sender = threading.Event(), list[str](), Heard(), Sender(servers, f"{topic}.clicks")
    chosen = steps(project, None)
    going = threading.Thread(target=lambda: ended.append(stream(project, None, chosen, listeners=[heard], stop=stop)))
    going.start()
    try:
        for node in nodes:
            sender.send(50)
            node.server.kill()
            for _ in range(20):
                sender.send(50)
                time.sleep(0.1)
            node.server.start()
        until = time.monotonic() + 90
        while len(published(broker, f"{topic}.refined")) < sender.sent and time.monotonic() < until:
            assert going.is_alive(), heard.events
            time.sleep(0.5)
    finally:
        stop.set()
        going.join(60)
    assert ended == ["stopped"]
    rows = OpenProject(project).query("SELECT number FROM silver.clicks").read_all()
    landed = Counter(rows.column("number").to_pylist())
    ends = {partition: end for partition, (_, end) in broker.bounds(f"{topic}.clicks").items()}
    values = [value for batch in broker.read(f"{topic}.clicks", {}, ends) for value in batch["value"].to_pylist()]
    assert set(landed) == set(range(sender.sent))
    assert landed == Counter(json.loads(value)["number"] for value in values)
    assert published(broker, f"{topic}.refined") == landed
    broker.close()
