"""A project on Kafka: its topic is made, what is written lands once, and what is gone on with is where it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.services.kafka.server import Kafka

from catchment.connected import Connected
from catchment.declared import specs
from catchment.events import Noticed
from catchment.opened import OpenProject
from catchment.outlook import pending, topics
from catchment.plan import plan
from catchment.project import Project, load_project
from catchment.records import Message, TopicSpec
from catchment.run import run
from catchment.testing.fakes import Heard

_PROJECT = """\
name: shop
sources:
  web:
    type: topic
    streams:
      clicks: {{topic: {topic}}}
topics:
  {topic}: {{partitions: 3, retention: 3 days, replication: 1, min_insync: 1}}
targets:
  cluster: {{broker: {{type: kafka, servers: "${{env:KAFKA}}"}}}}
"""


def test_messages_land_once(tmp_path: Path, kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA", kafka.address)
    topic = f"runs.{tmp_path.name}"
    (tmp_path / "catchment.yaml").write_text(_PROJECT.format(topic=topic))
    project = load_project(tmp_path)
    assert topics(project, None) == ([f"topic {topic}: would be new, with 3 partitions"], None)
    (step,) = plan(project)
    opened = OpenProject(project)
    assert opened.run() == "nothing_new"
    broker = Connected.of(project).broker
    assert broker.spec(topic) == TopicSpec(topic, 3, 259_200, compact=False, replication=1, min_insync=1)
    assert topics(project, None) == ([], None)
    written = []
    for number in range(3):
        messages = [{"number": number, "one": one} for one in range(100)]
        broker.write(topic, [Message(json.dumps(one).encode(), str(one["one"]).encode()) for one in messages])
        written += messages
        (told,) = pending(project, None, [step])
        assert told.words.startswith("100 new messages")
        assert opened.run() == "done"
        assert opened.run() == "nothing_new"
    rows = opened.query("SELECT document FROM bronze.web__clicks").read_all().to_pylist()
    found = [json.loads(row["document"]) for row in rows]
    assert sorted(found, key=lambda one: (one["number"], one["one"])) == written
    broker.declare([TopicSpec(topic, 5)])
    broker.write(topic, [Message(b"{}", partition=4)])
    assert opened.run() == "done"
    (row,) = opened.query("SELECT _origin FROM bronze.web__clicks WHERE document = '{}'").read_all().to_pylist()
    assert row == {"_origin": f"{topic}/4"}
    broker.close()


def test_where_a_stream_of_shards_begins_is_settled_by_the_first_that_lands(
    tmp_path: Path, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA", kafka.address)
    topic = f"shards.{tmp_path.name}"

    def of(shards: int) -> Project:
        keys = f"{{topic: {topic}, from: latest, shards: {shards}}}"
        (tmp_path / "catchment.yaml").write_text(_PROJECT.format(topic=topic).replace(f"{{topic: {topic}}}", keys))
        return load_project(tmp_path)

    two = of(2)
    broker = Connected.of(two).broker
    broker.declare(specs(Connected.of(two)))

    def send(*numbers: int) -> None:
        broker.write(topic, [Message(b'{"n": %d}' % number, partition=number % 3) for number in numbers])

    send(*range(9))
    first = [step for step in plan(two) if step.name == "web.clicks"]
    assert run(two, None, first) == "done"  # of shard 1 nothing has landed yet
    send(*range(9, 18))
    four = of(4)
    heard = Heard()
    assert run(four, None, plan(four), listeners=[heard]) == "done"
    assert [one.step for one in heard.of(Noticed) if "nothing lands in this one of 4 shards" in one.message] == [
        "land:web.clicks/3"
    ]
    send(*range(18, 27))
    assert run(four, None, plan(four)) == "done"
    opened = OpenProject(four)
    shards = [f"SELECT document FROM bronze.web__clicks{end}" for end in ("", "__1", "__2")]
    rows = opened.query(" UNION ALL ".join(shards)).read_all().to_pylist()
    assert sorted(json.loads(row["document"])["n"] for row in rows) == list(range(9, 27))
    broker.close()
