"""Refined topics on a real Kafka: runs that are killed in the middle of a transaction publish each row once."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition
from tests.services.kafka.server import Kafka

from catchment.connected import Connected
from catchment.opened import OpenProject
from catchment.outlook import pending, steps
from catchment.project import load_project
from catchment.publishing import standing
from catchment.records import Message, TopicSpec
from catchment.testing import crash

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


def test_killed_in_the_middle_of_transactions_each_row_is_published_once(tmp_path: Path, kafka: Kafka) -> None:
    name = f"refined.{tmp_path.name}"
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts/clicks.odcs.yaml").write_text(_CONTRACT)
    (tmp_path / "catchment.yaml").write_text(_PROJECT.format(name, kafka.address))
    project = load_project(tmp_path)
    connected = Connected.of(project)
    connected.broker.declare([TopicSpec(f"{name}.clicks", 1)])
    points, added = ("refined.began", "refined.sending", "refined.written", "refined.sending", None), 0
    for point in points:
        connected.broker.write(f"{name}.clicks", [_click(added + number) for number in range(2_000)])
        added += 2_000
        ended = crash.run_until(tmp_path, kill_at=point)
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
