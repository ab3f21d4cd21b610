"""Two processes stream one topic in shards, are killed at random, and leave the tables of a batch."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from catchment.compare import compare
from catchment.connected import Connected
from catchment.outlook import steps
from catchment.project import Project, load_project
from catchment.records import Message, TopicSpec
from catchment.run import run

PROJECT = """\
name: shared
sources:
  clicks: {type: topic, streams: {events: {shards: 3}, users: {}}}
silver:
  users: {from: clicks.users, mode: history, latest_by: at}
  events: {from: clicks.events}
  newest: {from: clicks.events, mode: merge, latest_by: number}
stream: {commit_every: 200ms, merge_every: 500ms, compact_every: 3s}
targets:
  local: {default: true}
  batch: {lake: batch}
"""
CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: {name}
version: 1.0.0
status: active
schema:
  - name: {name}
    properties:
      - {{name: user, logicalType: integer, required: true{key}}}
      - {{name: number, logicalType: integer}}
      - {{name: at, logicalType: timestamp}}
"""
KEY = ", primaryKey: true, primaryKeyPosition: 1"


@pytest.fixture
def shared(tmp_path: Path) -> Project:
    (tmp_path / "contracts").mkdir()
    (tmp_path / "catchment.yaml").write_text(PROJECT)
    for name in ("users", "events", "newest"):
        key = "" if name == "events" else KEY
        (tmp_path / f"contracts/{name}.odcs.yaml").write_text(CONTRACT.format(name=name, key=key))
    project = load_project(tmp_path)
    Connected.of(project).broker.declare([TopicSpec("events", 6), TopicSpec("users", 2)])
    return project


def started(project: Project, share: str, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "catchment", "--project", str(project.folder), "stream", "--share", share]
    return subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def sent(project: Project, first: int, count: int) -> None:
    broker = Connected.of(project).broker
    for topic in ("events", "users"):
        rows = [
            {"user": number % 97, "number": number, "at": f"2026-03-01T10:{number // 60 % 60:02}:{number % 60:02}Z"}
            for number in range(first, first + count)
        ]
        broker.write(topic, [Message(json.dumps(row).encode(), key=str(row["user"]).encode()) for row in rows])


@pytest.mark.long
def test_two_processes_that_are_killed_leave_the_tables_of_a_batch(shared: Project) -> None:
    chance, shares, number, kills = random.Random(3), ("1/2", "2/2"), 0, 0
    going = {share: started(shared, share) for share in shares}
    until = time.monotonic() + 300
    while kills < 10 and time.monotonic() < until:
        sent(shared, number, 50)
        number += 50
        time.sleep(chance.random() * 1.5)
        if number % 100 == 0:
            share = chance.choice(shares)
            going[share].kill()
            going[share].communicate()
            kills += 1
            going[share] = started(shared, share)
    assert kills == 10
    for process in going.values():
        process.terminate()
        assert process.communicate(timeout=60)[1] is not None
        # One that was started just now may not listen yet.
        assert process.returncode in (0, -signal.SIGTERM)
    # Each of them ends by itself once nothing is left for it.
    for share in (*shares, *shares):
        process = started(shared, share, "--until-idle")
        told = process.communicate(timeout=120)[1]
        assert process.returncode == 0, told
    assert run(shared, "batch", steps(shared, "batch")) == "done"
    found = [one for one in compare(shared, "local", "batch") if one.table.startswith("silver")]
    assert [(one.table, one.is_equal) for one in found] == [
        (f"silver.{name}", True) for name in ("events", "newest", "users")
    ]
    for name in ("bronze.clicks__events", "bronze.clicks__events__1", "bronze.clicks__events__2"):
        assert any(one.table == name and one.is_equal for one in compare(shared, "local", "batch", ["bronze"]))


@pytest.mark.parametrize("first", ["1/2", "2/2"])
def test_processes_that_end_once_idle_have_silver_whole_whoever_begins(shared: Project, first: str) -> None:
    """Each refines what the other lands, and one is there before the other."""
    sent(shared, 0, 500)
    second = "2/2" if first == "1/2" else "1/2"
    going = [started(shared, first, "--until-idle")]
    time.sleep(2)
    going.append(started(shared, second, "--until-idle"))
    for process in going:
        told = process.communicate(timeout=120)[1]
        assert process.returncode == 0, told
    assert run(shared, "batch", steps(shared, "batch")) == "done"
    found = {one.table: one.is_equal for one in compare(shared, "local", "batch") if one.table.startswith("silver")}
    assert found == dict.fromkeys((f"silver.{name}" for name in ("events", "newest", "users")), True)


def test_a_share_for_which_nothing_is_left_is_said(shared: Project) -> None:
    process = started(shared, "9/9", "--until-idle")
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "nothing is left for share 9/9" in told
    assert "give topics more `shards`" in told
