"""Refined topics on a real Kafka: runs that are killed in the middle of a transaction publish each row once."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from tests.services.kafka.server import Kafka

from catchment.connected import Connected
from catchment.errors import ConfigError, DataError
from catchment.opened import OpenProject
from catchment.outlook import pending, steps
from catchment.project import load_project
from catchment.publishing import opened, standing
from catchment.records import Message, TopicSpec
from catchment.testing import crash
from catchment.topics.kafka.broker import KafkaBroker
from catchment.topics.kafka.publication import PROGRESS

_PROJECT = """\
name: shop
sources:
  web:
    type: topic
    streams:
      clicks: {{topic: "{0}.clicks"}}
silver:
  clicks: {{from: web.clicks, publish: {{topic: "{0}.refined", key: user_id, rejects: "{0}.dead"}}}}
topics:
  {0}.refined: {{partitions: 4}}
targets:
  cluster: {{broker: {{type: kafka, servers: "{1}"}}}}
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
      - {name: user_id, logicalType: string, required: true}
"""


def _click(number: int) -> Message:
    told = {"number": "poison" if number % 10 == 9 else number, "user_id": f"u{number % 7}"}
    return Message(json.dumps(told).encode())


def _consumed(address: str, topic: str, partitions: int, count: int) -> list[tuple[str, int]]:
    """Keys and numbers as any consumer of committed messages sees them, each partition in its order."""
    consumer = Consumer(
        {"bootstrap.servers": address, "group.id": "reader", "isolation.level": "read_committed"},
    )
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    found, until = list[tuple[str, int]](), time.monotonic() + 30
    quiet = time.monotonic()
    while time.monotonic() < until and (len(found) < count or time.monotonic() - quiet < 2):
        for message in consumer.consume(1000, 0.2):
            quiet = time.monotonic()
            found.append((message.key().decode(), json.loads(message.value())["number"]))
    consumer.close()
    return found


def _project(folder: Path, kafka: Kafka, project: str = "shop") -> tuple[Connected, str]:
    """A project and what its topics begin with."""
    name = f"refined.{folder.name}"
    place = folder / project
    (place / "contracts").mkdir(parents=True)
    (place / "contracts/clicks.odcs.yaml").write_text(_CONTRACT)
    told = _PROJECT.replace("name: shop", f"name: {project}")
    (place / "catchment.yaml").write_text(told.format(name, kafka.address))
    connected = Connected.of(load_project(place))
    connected.broker.declare([TopicSpec(f"{name}.clicks", 1)])
    return connected, name


def test_killed_in_the_middle_of_transactions_each_row_is_published_once(tmp_path: Path, kafka: Kafka) -> None:
    connected, name = _project(tmp_path, kafka)
    project = connected.project
    points, added = ("refined.began", "refined.sending", "refined.written", "refined.sending", None), 0
    for point in points:
        connected.broker.write(f"{name}.clicks", [_click(added + number) for number in range(2_000)])
        added += 2_000
        ended = crash.run_until(project.folder, kill_at=point)
        assert ended.killed == (point is not None), ended.causes
    assert ended.outcome == "done", ended.causes
    good = [number for number in range(added) if number % 10 != 9]
    seen = _consumed(kafka.address, f"{name}.refined", 4, len(good))
    assert Counter(number for _, number in seen) == Counter(good)
    for user in range(7):
        mine = [number for key, number in seen if key == f"u{user}"]
        assert mine == sorted(mine)
    # Our own reader comes to the end of what transactions have left, and sees the same.
    broker = connected.broker
    ends = {number: end for number, (_, end) in broker.bounds(f"{name}.refined").items()}
    assert sum(batch.num_rows for batch in broker.read(f"{name}.refined", {}, ends)) == len(good)
    ends = {number: end for number, (_, end) in broker.bounds(f"{name}.dead").items()}
    assert sum(batch.num_rows for batch in broker.read(f"{name}.dead", {}, ends)) == added // 10

    (told,) = [one for one in pending(project, None, steps(project, None)) if one.step.kind == "publish"]
    assert told.words == "nothing new"
    assert OpenProject(project).run() == "nothing_new"
    assert standing(connected, "clicks").behind == 0
    connected.broker.close()


def test_a_topic_holds_what_one_project_publishes(tmp_path: Path, kafka: Kafka) -> None:
    ours, name = _project(tmp_path, kafka)
    others, _ = _project(tmp_path, kafka, "store")
    ours.broker.write(f"{name}.clicks", [_click(number) for number in range(10)])
    assert OpenProject(ours.project).run() == "done"
    told = [event for event in crash.run_until(others.project.folder).causes if "shop.cluster.silver.clicks" in event]
    assert len(told) == 1
    assert "shop.cluster.silver.clicks publishes" in str(standing(others, "clicks").stopped)
    assert len(_consumed(kafka.address, f"{name}.refined", 4, 9)) == 9
    assert set(ours.broker.publications(f"{name}.refined")) == {"shop.cluster.silver.clicks"}
    with opened(others, "clicks", lambda _: None) as one:
        one.move("from-now")
        assert one.once() == 0
    assert OpenProject(others.project).run() == "nothing_new"
    for connected in (ours, others):
        connected.broker.close()


def test_a_topic_that_was_made_anew_is_not_taken_for_the_one_that_was(tmp_path: Path, kafka: Kafka) -> None:
    """How far a publication is lies in a topic of its own, which stays."""
    connected, name = _project(tmp_path, kafka)
    connected.broker.write(f"{name}.clicks", [_click(number) for number in range(10)])
    assert OpenProject(connected.project).run() == "done"
    admin = AdminClient({"bootstrap.servers": kafka.address})
    for topic in ("refined", "dead"):
        admin.delete_topics([f"{name}.{topic}"], operation_timeout=30)[f"{name}.{topic}"].result(30)
    with opened(connected, "clicks", lambda _: None) as one:
        with pytest.raises(ConfigError, match="made anew"):
            one.once()
        assert "made anew" in str(standing(connected, "clicks").stopped)
        one.move("again")
        assert one.once() == 10
        assert one.once() == 0
    assert standing(connected, "clicks").stopped is None
    assert len(_consumed(kafka.address, f"{name}.refined", 4, 9)) == 9
    # Another project may have them when they were removed once more.
    for topic in ("refined", "dead"):
        admin.delete_topics([f"{name}.{topic}"], operation_timeout=30)[f"{name}.{topic}"].result(30)
        connected.broker.declare([TopicSpec(f"{name}.{topic}", 4)])
    others, _ = _project(tmp_path, kafka, "store")
    assert standing(others, "clicks").stopped is None
    for broker in (connected.broker, others.broker):
        broker.close()


def test_dead_letters_come_once_more_into_a_topic_that_was_made_anew(tmp_path: Path, kafka: Kafka) -> None:
    connected, name = _project(tmp_path, kafka)
    connected.broker.write(f"{name}.clicks", [_click(number) for number in range(20)])
    assert OpenProject(connected.project).run() == "done"
    admin = AdminClient({"bootstrap.servers": kafka.address})
    admin.delete_topics([f"{name}.dead"], operation_timeout=30)[f"{name}.dead"].result(30)
    connected.broker.write(f"{name}.clicks", [_click(number) for number in range(20, 30)])
    assert OpenProject(connected.project).run() == "done"
    for topic, count in (("refined", 27), ("dead", 3)):
        ends = {number: end for number, (_, end) in connected.broker.bounds(f"{name}.{topic}").items()}
        assert sum(batch.num_rows for batch in connected.broker.read(f"{name}.{topic}", {}, ends)) == count
    connected.broker.close()


def test_progress_that_would_be_forgotten_is_no_place_for_it(tmp_path: Path, kafka: Kafka) -> None:
    connected, name = _project(tmp_path, kafka)
    connected.broker.write(f"{name}.clicks", [_click(0)])
    assert OpenProject(connected.project).run() == "done"
    _configure(kafka, PROGRESS, "cleanup.policy", "delete", "retention.ms", "604800000")
    try:
        with pytest.raises(ConfigError, match=f"{PROGRESS} is not compacted"):
            connected.broker.publication(f"{name}.refined", "one")
        _configure(kafka, PROGRESS, "retention.ms", "-1")
        connected.broker.publication(f"{name}.refined", "one").close()
    finally:
        _configure(kafka, PROGRESS, "cleanup.policy", "compact")
        connected.broker.close()


def test_large_messages_go_where_the_topic_takes_them(tmp_path: Path, kafka: Kafka) -> None:
    broker, topic = KafkaBroker(kafka.address), f"large.{tmp_path.name}"
    broker.declare([TopicSpec(topic, 1)])
    large = [Message(random.Random(1).randbytes(3 << 20))]
    with pytest.raises(DataError, match="larger than the topic takes"):
        broker.write(topic, large)
    _configure(kafka, topic, "max.message.bytes", "4194304")
    publication = broker.publication(topic, "one")
    publication.write(large, {})
    publication.close()
    broker.write(topic, large)
    ends = {number: end for number, (_, end) in broker.bounds(topic).items()}
    assert sum(batch.num_rows for batch in broker.read(topic, {}, ends)) == 2
    broker.close()


def test_settings_that_no_transaction_can_have_are_told_as_such(tmp_path: Path, kafka: Kafka) -> None:
    topic = f"settings.{tmp_path.name}"
    broker = KafkaBroker(kafka.address, {"acks": "1"})
    broker.declare([TopicSpec(topic, 1)])
    for write in (lambda: broker.publication(topic, "one"), lambda: broker.write(topic, [Message(b"1")])):
        with pytest.raises(ConfigError, match="`acks` must be set to `all`") as caught:
            write()
        assert "broker.settings" in (caught.value.hint or "")
    broker.close()
    # A name of transactions is ours to choose; what is written without any needs none.
    broker = KafkaBroker(kafka.address, {"transactional.id": "theirs"})
    broker.write(topic, [Message(b"1")])
    broker.close()


def _configure(kafka: Kafka, topic: str, *settings: str) -> None:
    given = zip(settings[::2], settings[1::2], strict=True)
    told = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in given]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=told)
    admin = AdminClient({"bootstrap.servers": kafka.address})
    admin.incremental_alter_configs([resource])[resource].result(30)
