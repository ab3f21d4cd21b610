"""Events that come twice, late and out of order are kept once, in any batching, at a cost that does not grow."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from tests.flows.test_stream import CONTRACT, going

from catchment.compare import compare
from catchment.connected import Connected
from catchment.engines.duckdb import DuckDBEngine
from catchment.events import RowsRefined, StreamReady
from catchment.generate.endless import Endless
from catchment.generate.into_topics import EVENTS, IntoTopics
from catchment.generate.sequence import Clock, Sent, Shares
from catchment.naming import TableName
from catchment.opened import OpenProject
from catchment.outlook import steps
from catchment.project import load_project
from catchment.records import Message, Scan, TopicSpec
from catchment.run import run

PROJECT = """\
name: window
sources:
  web: {type: topic, streams: {user_events: {topic: user_events}}}
silver:
  events: {from: web.user_events, mode: window, event_time: occurred_at, lateness: 10 minutes}
stream: {merge_every: 1s, compact_every: 2s, compact_files: 20}
targets:
  local: {default: true}
  batch: {lake: batch}
"""

COLUMNS = """\
      - {name: event_id, logicalType: string, required: true, primaryKey: true, primaryKeyPosition: 1}
      - {name: user_id, logicalType: string, required: true}
      - name: occurred_at
        logicalType: timestamp
        logicalTypeOptions: {format: "yyyy-MM-dd'T'HH:mm:ssX"}
        transformSourceObjects: ["$.timestamp"]
        required: true
"""

# So much goes wrong that every batch has some of each.
DIRT = Shares(late=0.1, out_of_order=0.1, duplicates=0.1, broken=0.01)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A table of mode window over a topic of clicks; nothing was clicked yet."""
    (tmp_path / "contracts").mkdir()
    (tmp_path / "catchment.yaml").write_text(PROJECT)
    (tmp_path / "contracts/events.odcs.yaml").write_text(CONTRACT.format("events") + COLUMNS)
    Connected.of(load_project(tmp_path)).broker.declare([TopicSpec(EVENTS)])
    return tmp_path


@pytest.fixture(scope="module")
def shop() -> Endless:
    return Endless.of(1, 128, Clock(datetime(2026, 11, 21, tzinfo=UTC), Fraction(2)), DIRT)


@contextmanager
def clicking(folder: Path, shop: Endless) -> Iterator[IntoTopics]:
    sink = IntoTopics(Connected.of(load_project(folder)).broker, shop, [EVENTS], now=lambda: 0)
    yield sink
    sink.close()


def refine(folder: Path, target: str = "local") -> None:
    project = load_project(folder)
    assert run(project, target, steps(project, target)) in ("done", "nothing_new")


def query(folder: Path, sql: str, target: str = "local") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = OpenProject(load_project(folder), target).query(sql).read_all().to_pylist()
    return found


def equal(folder: Path) -> None:
    """The tables that a batch makes at once of the same messages; and each event is there once."""
    refine(folder, "batch")
    assert [one for one in compare(load_project(folder), "local", "batch") if not one.is_equal] == []
    counted = "select count(*) as rows, count(distinct event_id) as events from silver.events"
    assert (found := query(folder, counted)[0])["rows"] == found["events"] > 0
    landed = "select count(distinct document ->> '$.event_id') as n from bronze.web__user_events"
    assert query(folder, landed)[0]["n"] == found["events"]


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
def test_in_any_batching_it_leaves_what_one_batch_does(folder: Path, shop: Endless, seed: int) -> None:
    chance, sent, first = random.Random(seed), Sent(), 0
    with clicking(folder, shop) as sink:
        while first < 12_500:  # the late ones are 10,000 behind at most
            end = first + chance.choice((1, 40, 400, 2500))
            sent += sink.send(first, end)
            first = end
            if chance.random() < 0.8:
                refine(folder)
    refine(folder)
    equal(folder)
    kept = query(folder, "select count(*) as n from silver.events")[0]["n"]
    assert kept < 0.93 * sent.events


def test_a_stream_beside_the_clicks_leaves_what_one_batch_does(folder: Path, shop: Endless) -> None:
    with clicking(folder, shop) as sink, going(folder) as heard:
        heard.until(StreamReady)
        for first in range(0, 6000, 150):
            sink.send(first, first + 150)
            threading.Event().wait(0.1)
        heard.until(RowsRefined, lambda count: count > 3)
    refine(folder)
    equal(folder)


def test_a_very_late_event_is_kept_once_and_makes_only_its_own_time_be_read(folder: Path) -> None:
    """Lateness says what is one event, not how long an event is waited for."""
    broker = Connected.of(load_project(folder)).broker

    def click(number: int, at: str) -> Message:
        text = f'{{"event_id":"e-{number}","user_id":"u","timestamp":"{at}Z"}}'
        return Message(text.encode(), b"u")

    for day in range(13, 21):
        broker.write(EVENTS, [click(day * 1000 + n, f"2026-11-{day:02}T12:00:00") for n in range(100)])
        refine(folder)
    late = [click(9_000_000, "2026-11-13T11:00:00"), click(20_000, "2026-11-20T12:00:00")]
    for _ in range(2):
        broker.write(EVENTS, late)
        with reading() as read:
            refine(folder)
        assert 0 < max(read) <= 101
    assert query(folder, "select count(*) as n from silver.events where event_id = 'e-9000000'")[0]["n"] == 1
    assert query(folder, "select count(*) as n from silver.events")[0]["n"] == 801
    equal(folder)


@contextmanager
def reading() -> Iterator[list[int]]:
    """Rows of the files of silver that an engine is shown to look for keys in."""
    found: list[int] = []
    plain = DuckDBEngine.frame

    def frame(engine: DuckDBEngine, rows: Any, **options: Any) -> Any:
        if isinstance(rows, Scan) and options.get("file_column") and rows.files and "/silver/" in rows.files[0]:
            import pyarrow.parquet as pq

            found.append(sum(pq.read_metadata(file).num_rows for file in rows.files))
        return plain(engine, rows, **options)

    with patch.object(DuckDBEngine, "frame", frame):
        yield found


def test_what_is_read_and_written_does_not_grow_with_the_table(folder: Path, shop: Endless) -> None:
    """Duplicates leave files alone; what is read is what lies within lateness of the new rows."""
    steady = replace(shop, shares=Shares(out_of_order=0.1, duplicates=0.1))
    read: list[int] = []
    with clicking(folder, steady) as sink:
        for first in range(0, 10_800, 600):  # five minutes each
            sink.send(first, first + 600)
            with reading() as rows:
                refine(folder)
            read.append(sum(rows))
    # Ten minutes to either side of five, and files that stand out on both.
    assert max(read[5:]) <= 5 * 700
    assert max(read[14:]) <= 1.2 * max(read[5:10])
    table = Connected.of(load_project(folder)).lake.open(TableName.parse("silver.events"))
    assert table is not None
    assert len(table.scan().files) == 18  # one a commit: none was written anew
    equal(folder)


def test_a_run_that_grows_is_written_anew_and_stays_one(folder: Path) -> None:
    """Repeats that each tell a later time, within lateness of the last one."""
    broker = Connected.of(load_project(folder)).broker
    for minute in (0, 8, 16, 24, 4, 34, 50):
        text = f'{{"event_id":"e","user_id":"u","timestamp":"2026-11-21T12:{minute:02}:00Z"}}'
        broker.write(EVENTS, [Message(text.encode(), b"u")])
        refine(folder)
    refine(folder, "batch")
    for target in ("local", "batch"):
        found = query(folder, "select occurred_at from silver.events order by 1", target)
        assert [row["occurred_at"].minute for row in found] == [0, 50]
