"""From a topic through silver into refined topics: killed anywhere, what readers see is silver, each row once."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.services.registry.server import serving

from catchment.connected import Connected
from catchment.errors import ConfigError
from catchment.naming import ROW_COMMIT, ROW_DELETED, ROW_HEADERS, ROW_ID
from catchment.opened import OpenProject
from catchment.outlook import pending, steps
from catchment.project import load_project
from catchment.publishing import Publishing, opened, standing
from catchment.records import Message, Order, TopicSpec
from catchment.testing import crash
from catchment.topics.embedded import EmbeddedBroker

_PROJECT = """\
name: shop
sources:
  web:
    type: topic
    streams:
      clicks: {topic: web.clicks}
      profiles: {topic: profiles}
silver:
  clicks: {from: web.clicks, publish: {topic: clicks.refined, key: user_id, rejects: clicks.dead}}
  profiles:
    from: web.profiles
    mode: merge
    latest_by: sent_at
    deleted_when: gone
    publish: profiles.refined
live:
  clicked: {from: clicks, measures: {n: count(*)}}
topics:
  clicks.refined: {partitions: 2}
"""
_CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: {name}
version: 1.0.0
status: active
schema:
  - name: {name}
    properties:
"""
_CONTRACTS = {
    "clicks": """\
      - {name: number, logicalType: integer, required: true}
      - {name: user_id, logicalType: string, required: true}
""",
    "profiles": """\
      - {name: profile, logicalType: string, required: true, primaryKey: true, primaryKeyPosition: 1}
      - {name: name, logicalType: string}
      - {name: gone, logicalType: boolean}
      - {name: sent_at, logicalType: timestamp, required: true}
""",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    (folder / "contracts").mkdir(parents=True)
    (folder / "catchment.yaml").write_text(_PROJECT)
    for name, columns in _CONTRACTS.items():
        (folder / f"contracts/{name}.odcs.yaml").write_text(_CONTRACT.format(name=name) + columns)
    return folder


@pytest.fixture
def broker(project: Path) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(project / "topics", segment_bytes=64_000)
    broker.declare([TopicSpec("web.clicks", 1), TopicSpec("profiles", 1)])
    yield broker
    broker.close()


def _click(number: int) -> Message:
    """Every fifth is poison."""
    told = {"number": "poison" if number % 5 == 4 else number, "user_id": f"u{number % 7}"}
    return Message(json.dumps(told).encode())


def _profile(number: int) -> Message:
    """Six profiles, each said anew again and again, now and then gone."""
    told = {"profile": f"p{number % 6}", "name": f"n{number}", "gone": number % 4 == 3}
    return Message(json.dumps({**told, "sent_at": f"2026-01-{1 + number // 24:02d}T{number % 24:02d}:00:00Z"}).encode())


def _read(broker: EmbeddedBroker, topic: str) -> list[dict[str, Any]]:
    """Every message as its readers see it, each partition in its order."""
    ends = {partition: end for partition, (_, end) in broker.bounds(topic).items()}
    found = []
    for batch in broker.read(topic, {}, ends):
        for row in batch.to_pylist():
            told = {one["name"]: one["value"].decode() for one in row["headers"]}
            assert tuple(told) == ROW_HEADERS
            value = None if row["value"] is None else json.loads(row["value"])
            found.append({**told, "key": row["key"].decode(), "value": value, "partition": row["partition"]})
    return found


def _query(folder: Path, sql: str) -> list[dict[str, Any]]:
    return OpenProject(load_project(folder)).query(sql).read_all().to_pylist()


def _holds(project: Path, broker: EmbeddedBroker, added: int) -> None:
    """The refined topics are silver, and the dead letters quarantine."""
    clicks = _read(broker, "clicks.refined")
    good = [number for number in range(added) if number % 5 != 4]
    assert Counter(one["value"]["number"] for one in clicks) == Counter(good)
    there = {row["_"]: row["number"] for row in _query(project, f"SELECT {_ID} AS _, number FROM silver.clicks")}
    assert {one[ROW_ID]: one["value"]["number"] for one in clicks} == there
    for key in {one["key"] for one in clicks}:
        mine = [one for one in clicks if one["key"] == key]
        assert [one["value"]["number"] for one in mine] == sorted(one["value"]["number"] for one in mine)
        assert [int(one[ROW_COMMIT]) for one in mine] == sorted(int(one[ROW_COMMIT]) for one in mine)
        assert len({one["partition"] for one in mine}) == 1

    dead = _read(broker, "clicks.dead")
    assert len({one[ROW_ID] for one in dead}) == len(dead) == added - len(good)
    assert {json.loads(one["value"]["raw"]["document"])["number"] for one in dead} == {"poison"}
    assert {one["value"]["reasons"][0]["column"] for one in dead} == {"number"}

    profiles = _read(broker, "profiles.refined")
    assert set(Counter((one[ROW_ID], one[ROW_COMMIT]) for one in profiles).values()) == {1}
    left = {one["key"]: one for one in profiles}
    shown = {key: one["value"]["name"] for key, one in left.items() if one[ROW_DELETED] == "false"}
    rows = _query(project, "SELECT profile, name FROM silver.profiles")
    assert shown == {row["profile"]: row["name"] for row in rows}


_ID = "_stream || '/' || _shard || '/' || _load || '/' || _row"


@pytest.mark.long
def test_killed_at_every_point_readers_see_each_row_once(project: Path, broker: EmbeddedBroker) -> None:
    added, told, kills = 0, set[str](), 0
    named = ["refined.began", "refined.sending", "refined.written", "RowsPublished", "RowsFed"]
    chance = random.Random(11)
    for kill_at in (*named, *(chance.randrange(14, 34) for _ in range(4)), None):
        broker.write("web.clicks", [_click(added + number) for number in range(10)])
        broker.write("profiles", [_profile(added + number) for number in range(10)])
        added += 10
        ended = crash.run_until(project, kill_at=kill_at)
        told.update(ended.told)
        kills += ended.killed
    assert ended.outcome == "done", ended.causes
    assert kills > len(named)
    assert told >= set(named)
    _holds(project, broker, added)
    assert crash.run_until(project).outcome == "nothing_new"
    assert _query(project, "SELECT n FROM live.clicked") == [{"n": added * 4 // 5}]


def test_two_runs_at_once_publish_each_row_once(project: Path, broker: EmbeddedBroker) -> None:
    added = 0
    for _ in range(3):
        broker.write("web.clicks", [_click(added + number) for number in range(20)])
        broker.write("profiles", [_profile(added + number) for number in range(20)])
        added += 20
        children = [crash.start(project) for _ in range(2)]
        assert {child.join().outcome for child in children} <= {"done", "nothing_new"}
    crash.run_until(project)
    _holds(project, broker, added)


def test_who_takes_over_from_one_who_has_published_more_goes_on(
    project: Path, broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run commits and publishes between the look at silver and the fence; by hand, or not."""
    connected, inner = Connected.of(load_project(project)), Publishing._open
    broker.write("web.clicks", [_click(0)])
    assert crash.run_until(project).outcome == "done"

    def late(self: Publishing) -> list[Any]:
        if not self._opened:
            broker.write("web.clicks", [_click(10)])
            assert crash.run_until(project).outcome == "done"
        return inner(self)

    for is_ordered in (False, True):
        broker.write("web.clicks", [_click(5)])
        OpenProject(load_project(project)).run(select=["bronze", "silver"])
        with opened(connected, "clicks", lambda _: None) as publishing, monkeypatch.context() as patch:
            patch.setattr(Publishing, "_open", late)
            if is_ordered:
                publishing.move("from-now")
            publishing.once()
        assert standing(connected, "clicks").behind == 0
    _once(broker)


def _once(broker: EmbeddedBroker) -> None:
    found = Counter(one[ROW_ID] for one in _read(broker, "clicks.refined"))
    assert set(found.values()) == {1}


def test_a_plan_says_what_is_to_be_published(project: Path, broker: EmbeddedBroker) -> None:
    told = load_project(project)

    def words() -> dict[str, str]:
        return {one.step.id: one.words for one in pending(told, None, steps(told, None))}

    broker.write("web.clicks", [_click(0)])
    assert words()["publish:silver.clicks"] == "after refine"
    select = ["bronze", "silver"]
    assert OpenProject(told).run(select=select) == "done"
    assert words()["publish:silver.clicks"] == "all 1 commit of silver into topic clicks.refined"
    assert words()["feed:live.clicks"] == "never fed"
    assert OpenProject(told).run() == "done"
    assert words()["publish:silver.clicks"] == words()["feed:live.clicks"] == "nothing new"
    broker.write("web.clicks", [_click(1)])
    assert OpenProject(told).run(select=select) == "done"
    assert words()["publish:silver.clicks"] == "1 commit of silver into topic clicks.refined"
    assert words()["feed:live.clicks"] == "1 commit of silver"


def test_after_a_rebuild_it_goes_on_as_somebody_says(project: Path, broker: EmbeddedBroker) -> None:
    told = load_project(project)
    run = OpenProject(told).run
    broker.write("web.clicks", [_click(number) for number in range(5)])
    assert run() == "done"
    assert crash.run_until(project, orders={"silver.clicks": Order("rebuild")}).outcome == "failed"
    connected = Connected.of(told)
    for order, count in (("from-now", 4), ("again", 8)):
        with opened(connected, "clicks", lambda _: None) as publishing:
            if order == "from-now":
                with pytest.raises(ConfigError, match="rebuild"):
                    publishing.once()
            publishing.move(order)
            publishing.once()
        assert len(_read(broker, "clicks.refined")) == count
        assert standing(connected, "clicks").behind == 0
    broker.write("web.clicks", [_click(5)])
    assert run() == "done"
    ids = Counter(one[ROW_ID] for one in _read(broker, "clicks.refined"))
    assert sorted(ids.values()) == [1, 2, 2, 2, 2]


def test_an_environment_publishes_nothing(project: Path, broker: EmbeddedBroker) -> None:
    broker.write("web.clicks", [_click(0)])
    assert crash.run_until(project).outcome == "done"
    told = load_project(project)
    assert not [step for step in steps(told, "@me") if step.kind == "publish"]
    with pytest.raises(ConfigError, match="an environment publishes nothing"):
        Publishing(Connected.of(told, "@me"), "clicks", lambda _: None)


_ROUND = """\
name: round
sources:
  web:
    type: topic
    streams:
      orders: {topic: orders}
      again: {topic: orders.refined, format: FORMAT}
silver:
  orders: {from: web.orders, publish: {topic: orders.refined, format: FORMAT}}
  again: {from: web.again}
targets:
  local: {registry: {url: "${env:REGISTRY}"}}
"""
_EVERY_TYPE = """\
      - {name: id, logicalType: integer, required: true, primaryKey: true, primaryKeyPosition: 1}
      - {name: total, logicalType: number, physicalType: "decimal(38,6)"}
      - {name: share, logicalType: number, physicalType: "decimal(4,4)"}
      - {name: ratio, logicalType: number}
      - {name: sent_at, logicalType: timestamp}
      - {name: day, logicalType: date}
      - {name: clock, logicalType: time}
      - {name: yes, logicalType: boolean}
      - {name: word, logicalType: string}
      - {name: more, logicalType: object}
"""
_ORDERS = (
    '{"id": 1, "total": "-12345678901234567890123456789012.000001", "share": "-0.5", "ratio": 1e-7,'
    ' "day": "0001-01-01", "sent_at": "2026-11-21T10:30:15.123456Z", "clock": "23:59:59", "yes": false,'
    ' "word": "a\\"b\\n\\u0001ß", "more": {"a": [1, {"b": null}]}}',
    '{"id": 9007199254740993, "total": "0.5", "share": "0.0001", "word": "", "yes": true, "more": {}}',
    '{"id": 3}',
)


@pytest.mark.parametrize("form", ["json", "avro"])
def test_every_value_comes_back_from_the_topic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    (tmp_path / "contracts").mkdir()
    (tmp_path / "catchment.yaml").write_text(_ROUND.replace("FORMAT", form))
    for name in ("orders", "again"):
        (tmp_path / f"contracts/{name}.odcs.yaml").write_text(_CONTRACT.format(name=name) + _EVERY_TYPE)
    broker = EmbeddedBroker(tmp_path / "topics")
    broker.declare([TopicSpec("orders"), TopicSpec("orders.refined")])
    broker.write("orders", [Message(order.encode()) for order in _ORDERS])
    with serving() as registry:
        monkeypatch.setenv("REGISTRY", registry.url)
        told = OpenProject(load_project(tmp_path))
        assert told.run() == "done"
        assert told.run() == "done"
        rows = {name: _query(tmp_path, f"SELECT * FROM silver.{name} ORDER BY id") for name in ("orders", "again")}
        assert ("orders.refined-value" in registry.subjects) == (form == "avro")
    plain = [
        [{name: value for name, value in row.items() if not name.startswith("_")} for row in found]
        for found in rows.values()
    ]
    assert len(plain[0]) == 3
    assert plain[0] == plain[1]
    assert str(plain[0][0]["total"]) == "-12345678901234567890123456789012.000001"
