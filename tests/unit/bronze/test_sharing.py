"""A topic in several shards: each message lands once, whoever lands which part, and while their number grows."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from catchment.bronze.land import Landing
from catchment.bronze.sharing import Sharing
from catchment.connected import Connected
from catchment.errors import ConfigError, Conflict, Passed
from catchment.events import Noticed, StepFinished
from catchment.naming import TableName
from catchment.outlook import pending, steps
from catchment.probing import probe_sources
from catchment.project import Project, load_project
from catchment.records import Message, Order, TopicSpec
from catchment.restore import restore
from catchment.run import run
from catchment.testing.fakes import Heard
from catchment.topics.embedded import EmbeddedBroker

PROJECT = """\
name: shared
sources:
  clicks:
    type: topic
    streams:
      events: {{shards: {shards}, from: {begin}}}
silver:
  events: {{from: clicks.events, mode: {mode}}}
"""
CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: events
version: 1.0.0
status: active
schema:
  - name: events
    properties:
      - {name: number, logicalType: integer, required: true, primaryKey: true, primaryKeyPosition: 1}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "contracts").mkdir()
    written(tmp_path, 1)
    Connected.of(load_project(tmp_path)).broker.declare([TopicSpec("events", 5)])
    return tmp_path


def written(
    folder: Path, shards: int, *, begin: str = "earliest", mode: str = "append", column: str | None = None
) -> Project:
    (folder / "catchment.yaml").write_text(PROJECT.format(shards=shards, begin=begin, mode=mode))
    more = "" if column is None else f"      - {{name: {column}, logicalType: integer}}\n"
    (folder / "contracts/events.odcs.yaml").write_text(CONTRACT + more)
    return load_project(folder)


def send(folder: Path, *numbers: int, partition: int | None = None, note: int = 0) -> None:
    messages = [
        Message(
            json.dumps({"number": number, "note": note}).encode(),
            partition=number % 5 if partition is None else partition,
        )
        for number in numbers
    ]
    Connected.of(load_project(folder)).broker.write("events", messages)


class Process:
    """One that lands shards as it once read the project."""

    def __init__(self, project: Project) -> None:
        self.connected = Connected.of(project)
        self.heard = Heard()

    def land(self, shard: int) -> bool:
        feed = self.connected.project.feeds_of("clicks.events")[shard]
        engine, source = self.connected.engine(), self.connected.feeding(feed)
        try:
            return Landing("land", feed, source, self.connected.lake, engine, self.heard, lambda: None).run()
        finally:
            source.close()
            engine.close()


def landed(folder: Path) -> list[int]:
    connected = Connected.of(load_project(folder))
    engine, found = connected.engine(), list[int]()
    for name in connected.lake.list("bronze"):
        table = connected.lake.open(name)
        assert table is not None
        rows = engine.frame(table.scan()).to_arrow_table().to_pylist() if table.scan().files else []
        shard = int(name.name.rpartition("__")[2]) if name.name.count("__") == 2 else 0
        assert {row["_shard"] for row in rows} <= {shard}
        found += [json.loads(row["document"])["number"] for row in rows]
    engine.close()
    return sorted(found)


def silver(folder: Path, column: str = "number") -> list[int]:
    project = load_project(folder)
    assert run(project, None, steps(project, None)) in ("done", "nothing_new")
    connected = Connected.of(project)
    table, engine = connected.lake.open(TableName.parse("silver.events")), connected.engine()
    assert table is not None
    rows = engine.frame(table.scan()).to_arrow_table().column(column).to_pylist()
    engine.close()
    return sorted(rows)


def test_each_shard_lands_the_partitions_that_are_its_own(shop: Path) -> None:
    process = Process(written(shop, 2))
    send(shop, *range(20))
    assert process.land(1)
    assert landed(shop) == [number for number in range(20) if number % 5 in (1, 3)]
    assert process.land(0)
    assert not process.land(1)
    assert landed(shop) == list(range(20))
    assert silver(shop) == list(range(20))


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_there_can_be_more_shards_and_each_message_lands_once(shop: Path, mode: str) -> None:
    sent = iter(range(10_000))
    chance = random.Random(5)
    for shards in (1, 2, 3, 4, 7):
        process = Process(written(shop, shards, mode=mode))
        for _ in range(4):
            send(shop, *(next(sent) for _ in range(chance.randrange(1, 12))))
            process.land(chance.randrange(shards))
        assert silver(shop) == list(range(next(sent)))
        send(shop, len(silver(shop)))
    assert silver(shop) == landed(shop)


def test_the_newest_version_of_a_key_wins_though_it_lands_in_another_table(shop: Path) -> None:
    first = Process(written(shop, 1, mode="merge", column="note"))
    for note in range(5):
        send(shop, 1, note=note)
        first.land(0)
    more = Process(written(shop, 2, mode="merge", column="note"))
    send(shop, 1, note=5)
    more.land(1)
    assert silver(shop, "note") == [5]
    again = Process(written(shop, 4, mode="merge", column="note"))
    send(shop, 3, note=6)  # partition 3 goes from the table of shard 1 to that of shard 3
    again.land(3)
    send(shop, 1, note=7)
    again.land(1)
    assert silver(shop, "note") == [6, 7]


def test_fewer_shards_are_refused_wherever_rows_would_be_missed(shop: Path) -> None:
    send(shop, *range(10))
    written(shop, 2)
    assert silver(shop) == list(range(10))
    project = written(shop, 1)
    (pending_land,) = [one for one in pending(project, None, steps(project, None)) if one.step.kind == "land"]
    assert "landed in 2 shards, and the project says 1" in pending_land.words
    chosen = [step for step in steps(project, None) if step.kind == "refine"]
    heard = Heard()
    assert run(project, None, chosen, orders={"silver.events": Order("rebuild")}, listeners=[heard]) == "failed"
    (ended,) = heard.of(StepFinished)
    assert "landed in 2 shards, and the project says 1" in str(ended.cause)


def test_shards_that_never_landed_count_once_another_has(shop: Path) -> None:
    """What the warning says of them: fewer is possible before any has landed."""
    send(shop, *range(5))
    assert Process(written(shop, 5)).land(0)
    with pytest.raises(ConfigError, match="is landed in 5 shards, and the project says 2"):
        Process(written(shop, 2)).land(0)


def test_a_shard_goes_not_back_to_when_there_were_fewer(shop: Path) -> None:
    first = Process(load_project(shop))
    send(shop, *range(10))
    first.land(0)
    more = Process(written(shop, 2))
    send(shop, *range(10, 20))
    assert more.land(0)
    with pytest.raises(ConfigError, match="is one of 2 shards, and was one of 1 then"):
        restore(
            more.connected, Order("restore", to=1), TableName.parse("bronze.clicks__events"), step="s", tell=Heard()
        )
    assert more.land(1)
    assert landed(shop) == list(range(20))


def test_who_goes_by_the_old_number_is_stopped_and_lands_nothing(shop: Path) -> None:
    old = Process(load_project(shop))
    send(shop, *range(10))
    assert old.land(0)
    new = Process(written(shop, 2))
    send(shop, *range(10, 20))
    assert new.land(1)
    with pytest.raises(ConfigError, match="landed in 2 shards, and the project says 1") as raised:
        old.land(0)
    assert raised.value.hint == "write `shards: 2`: there can be more later, never fewer"
    assert new.land(0)
    assert landed(shop) == list(range(20))


def test_who_reads_while_the_number_grows_loses_and_nothing_lands_twice(shop: Path) -> None:
    send(shop, *range(10))
    old = Process(load_project(shop))
    old.land(0)
    send(shop, *range(10, 20))
    new = Process(written(shop, 3))
    feed = old.connected.project.feeds_of("clicks.events")[0]
    source, engine = old.connected.feeding(feed), old.connected.engine()
    read = source.read

    def slow(*arguments: Any) -> Any:
        for number, batch in enumerate(read(*arguments)):
            if number == 0:
                assert new.land(1)
                assert new.land(2)
            yield batch

    source.read = slow  # type: ignore[method-assign]
    with pytest.raises(Conflict):
        Landing("land", feed, source, old.connected.lake, engine, Heard(), lambda: None).run()
    engine.close()
    assert new.land(0)
    assert landed(shop) == list(range(20))


def test_a_stream_that_begins_behind_what_is_there_loses_nothing_when_it_grows(shop: Path) -> None:
    send(shop, *range(10))
    first = Process(written(shop, 1, begin="latest"))
    assert first.land(0)
    send(shop, 10, partition=0)
    assert first.land(0)
    send(shop, 11, 12)  # partitions of which nothing has landed so far
    more = Process(written(shop, 2, begin="latest"))
    assert more.land(0)
    assert more.land(1)
    assert landed(shop) == [10, 11, 12]


@pytest.mark.parametrize("shards", [2, 3, 5])
def test_where_a_stream_begins_is_settled_for_all_shards_by_the_first_that_lands(shop: Path, shards: int) -> None:
    send(shop, *range(10))
    assert Process(written(shop, 2, begin="latest")).land(0)  # nothing comes of it but the place
    send(shop, *range(10, 20))
    late = Process(written(shop, shards, begin="latest"))  # shard 1 has never landed
    late.connected.broker.declare([TopicSpec("events", 7)])
    send(shop, 20, partition=5)
    send(shop, 21, partition=6)
    for shard in reversed(range(shards)):
        assert late.land(shard)
        assert not late.land(shard)
    assert landed(shop) == list(range(10, 22))


def test_a_shard_that_has_never_landed_misses_nothing_while_the_number_grows_twice(shop: Path) -> None:
    send(shop, *range(5))
    assert Process(written(shop, 2, begin="latest")).land(1)
    send(shop, *range(5, 10))
    assert Process(written(shop, 3, begin="latest")).land(1)
    send(shop, *range(10, 15))
    last = Process(written(shop, 4, begin="latest"))
    for shard in range(4):
        last.land(shard)
    assert landed(shop) == list(range(5, 15))


def test_what_went_before_the_stream_began_is_no_loss_of_a_shard_that_lands_later(shop: Path) -> None:
    send(shop, *range(10))
    broker = Connected.of(load_project(shop)).broker
    assert isinstance(broker, EmbeddedBroker)
    broker.expire("events", datetime.now(UTC) + timedelta(days=8))
    send(shop, *range(10, 20))
    assert Process(written(shop, 2)).land(0)
    more = Process(written(shop, 3))
    for shard in range(3):
        more.land(shard)
    assert landed(shop) == list(range(10, 20))


def test_what_went_before_a_shard_landed_is_told(shop: Path) -> None:
    send(shop, *range(10))
    two = Process(written(shop, 2, begin="latest"))
    assert two.land(0)
    send(shop, *range(10, 20))
    assert isinstance(two.connected.broker, EmbeddedBroker)
    two.connected.broker.expire("events", datetime.now(UTC) + timedelta(days=8))
    with pytest.raises(Passed, match="4 messages of topic events went before they were read: 2 to 3 of partition 1"):
        two.land(1)


def test_a_shard_that_has_landed_nothing_yet_tells_what_is_new_since_the_stream_began(shop: Path) -> None:
    send(shop, *range(10))
    project = written(shop, 2, begin="latest")
    Process(project).land(0)
    send(shop, *range(10, 15))
    told = [one.words for one in pending(project, None, steps(project, None)) if one.step.kind == "land"]
    assert [words.partition(",")[0] for words in told] == ["3 new messages", "2 new messages"]


def test_a_plan_tells_what_each_shard_would_bring_and_changes_nothing(shop: Path) -> None:
    send(shop, *range(10))
    Process(load_project(shop)).land(0)
    send(shop, *range(10, 15))
    project = written(shop, 2)
    before = sorted(path for path in (shop / "lake").rglob("*"))
    told = [one.words for one in pending(project, None, steps(project, None)) if one.step.kind == "land"]
    assert [words.partition(",")[0] for words in told] == ["3 new messages", "2 new messages"]
    assert sorted(path for path in (shop / "lake").rglob("*")) == before


def test_a_shard_for_which_there_is_no_partition_says_so(shop: Path) -> None:
    send(shop, *range(5))
    for begin in ("earliest", "latest"):
        process = Process(written(shop, 7, begin=begin))
        assert not process.land(6)
        (told,) = process.heard.of(Noticed)
        assert told.message == (
            "nothing lands in this one of 7 shards, because topic events has 5 partitions; write partitions: 7 for it"
            " under topics, or shards: 5 before any of it has landed"
        )
        assert process.connected.lake.list("bronze") == []
    project = written(shop, 7)
    probed = {one.feed: one for one in probe_sources(Connected.of(project))}
    assert {one.severity for one in probed.values()} == {"ok", "warning"}
    assert "5 partitions" in probed["clicks.events/5"].message
    assert probed["clicks.events/4"].severity == "ok"
    silver(shop)  # a run, which tells of each
    told = {one.step.name: one.words for one in pending(project, None, steps(project, None)) if one.step.kind == "land"}
    assert "topic events has 5 partitions" in told["clicks.events/5"]
    assert "partitions" not in told["clicks.events/4"]
    Connected.of(project).broker.declare([TopicSpec("events", 7)])
    send(shop, 5, partition=5)
    send(shop, 6, partition=6)
    assert silver(shop) == list(range(7))


def test_a_shard_that_landed_nothing_is_told_of_messages_from_where_the_stream_began(shop: Path) -> None:
    first = Process(written(shop, 2, begin="latest"))
    send(shop, *range(10))
    assert first.land(0)
    feed = first.connected.project.feeds_of("clicks.events")[1]
    source = first.connected.feeding(feed)
    place = Sharing(first.connected.lake, feed, source).place()
    assert not source.wait(feed, place, 0.0)
    send(shop, 11)
    assert source.wait(feed, place, 0.0)
    source.close()
