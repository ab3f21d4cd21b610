"""A stream leaves the tables that a batch leaves: while files arrive, over kills, and with look-ups in time."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from catchment.compare import compare
from catchment.connected import Connected
from catchment.events import (
    Event,
    Noticed,
    RowsLanded,
    RowsRefined,
    RunFinished,
    StepFailing,
    StepRecovered,
    StreamIdle,
    StreamReady,
    TableCompacted,
)
from catchment.outlook import steps
from catchment.project import load_project
from catchment.records import Message, TopicSpec
from catchment.run import run
from catchment.stream.going import Wanted, stream
from catchment.testing.fakes import Heard

PROJECT = """\
name: brisk
sources:
  drops: &drops
    type: files
    every: 1s
    streams:
      users: {path: "data/users/*.csv"}
      events: {path: "data/events/*.csv"}
      payments: {path: "data/payments/*.csv"}
silver:
  users: {from: drops.users, mode: history, latest_by: updated_at}
  events: {from: drops.events, refine: silver/events.py, with: {users: {as_of: occurred_at}}}
  payments: {from: drops.payments, mode: merge, latest_by: paid_at}
stream: {merge_every: 1s, compact_every: 2s}
targets:
  local: {default: true}
  batch: {lake: batch}
"""

REFINE = """\
def refine(events, users):
    return events.join(users.select("user_id", "country"), on="user_id", how="left")
"""

CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: {0}
version: 1.0.0
status: active
schema:
  - name: {0}
    properties:
"""

COLUMNS = {
    "users": """\
      - {name: user_id, logicalType: integer, required: true, primaryKey: true, primaryKeyPosition: 1}
      - {name: country, logicalType: string, required: true}
      - {name: updated_at, logicalType: timestamp, required: true}
""",
    "events": """\
      - {name: event_id, logicalType: integer, required: true}
      - {name: user_id, logicalType: integer, required: true}
      - {name: amount, logicalType: integer, logicalTypeOptions: {minimum: 0}}
      - {name: occurred_at, logicalType: timestamp, required: true}
      - {name: country, logicalType: string, transformLogic: made by silver/events.py}
""",
    "payments": """\
      - {name: payment_id, logicalType: integer, required: true, primaryKey: true, primaryKeyPosition: 1}
      - name: user_id
        logicalType: integer
        required: true
        relationships: [{to: users.user_id}]
      - {name: paid_at, logicalType: timestamp, required: true}
""",
}

HEADS = {
    "users": "user_id,country,updated_at",
    "events": "event_id,user_id,amount,occurred_at",
    "payments": "payment_id,user_id,paid_at",
}


@pytest.fixture
def brisk(tmp_path: Path) -> Path:
    """Users of mode history, events that look them up in time, payments that refer to them; no data yet."""
    for folder in ("contracts", "silver"):
        (tmp_path / folder).mkdir()
    (tmp_path / "catchment.yaml").write_text(PROJECT)
    (tmp_path / "silver/events.py").write_text(REFINE)
    for name, columns in COLUMNS.items():
        (tmp_path / f"contracts/{name}.odcs.yaml").write_text(CONTRACT.format(name) + columns)
    return tmp_path


def put(folder: Path, stream: str, name: str, rows: Sequence[str]) -> None:
    """A file that is there whole or not at all."""
    target = folder / "data" / stream / f"{name}.csv"
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_suffix(".draft")
    draft.write_text("\n".join([HEADS[stream], *rows]) + "\n")
    draft.rename(target)


def arrive(folder: Path, number: int) -> None:
    """What happens in one moment: every user moves, then acts; one payment comes before its user, some rows are bad."""
    at = f"2026-03-01T{number // 60:02d}:{number % 60:02d}"
    put(folder, "payments", f"{number:04d}", [f"{number},{100 + number},{at}:30Z", f"{number + 10_000},1,{at}:30Z"])
    users = [f"{user},land {user + number},{at}:00Z" for user in (*range(5), 100 + number)]
    put(folder, "users", f"{number:04d}", users)
    events = [f"{number * 10 + user},{user},{user - 1},{at}:30Z" for user in range(6)]
    put(folder, "events", f"{number:04d}", [*events, "x,1,1,never"])


def equal(folder: Path) -> None:
    """The stream's tables and those of a batch over the same files."""
    project = load_project(folder)
    assert run(project, "batch", steps(project, "batch")) == "done"
    compared = {one.table: one for one in compare(project, "local", "batch")}
    assert [name for name, one in compared.items() if not one.is_equal] == [], compared
    assert set(compared) >= {"silver.users", "silver.events", "silver.payments"}
    assert all(one.rows[0] for one in compared.values())


class Awaited(Heard):
    """Remembers, and can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = threading.Condition()

    def on(self, event: Event) -> None:
        with self.changed:
            super().on(event)
            self.changed.notify_all()

    def until(self, kind: type[Event], wanted: Callable[[int], bool] = bool, seconds: float = 30) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: wanted(len(self.of(kind))), seconds), f"no {kind.__name__}"


@contextmanager
def going(folder: Path, wanted: Wanted | None = None, select: Sequence[str] = ()) -> Iterator[Awaited]:
    """A stream in a thread of its own, stopped at the end of the block."""
    project, heard, stop = load_project(folder), Awaited(), threading.Event()
    found: list[str | BaseException] = []

    def go() -> None:
        try:
            found.append(
                stream(project, None, steps(project, None, select), wanted=wanted, listeners=[heard], stop=stop)
            )
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=go)
    thread.start()
    try:
        yield heard
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()
    assert found[0] in ("stopped", "done", "failed"), found


def until_idle(folder: Path) -> str:
    project = load_project(folder)
    return stream(project, None, steps(project, None), wanted=Wanted(until_idle=True))


def test_until_idle_a_stream_leaves_what_a_batch_leaves(brisk: Path) -> None:
    for number in range(5):
        arrive(brisk, number)
    assert until_idle(brisk) == "done"
    equal(brisk)
    before = _versions(brisk)
    assert until_idle(brisk) == "done"
    assert _versions(brisk) == before


def _versions(folder: Path) -> dict[str, int]:
    return {str(log.parent): len(list(log.glob("*.json"))) for log in (folder / "lake").glob("*/*/_delta_log")}


def test_a_stream_over_files_that_keep_arriving_leaves_what_one_batch_leaves(brisk: Path) -> None:
    chance = random.Random(20261121)
    arrive(brisk, 0)
    with going(brisk) as heard:
        heard.until(StreamReady)
        for number in range(1, 25):
            arrive(brisk, number)
            time.sleep(chance.random() * 0.4)
        landed = heard.of(RowsLanded)
        heard.until(TableCompacted)
        known = len(heard.of(RowsLanded))
        arrive(brisk, 25)
        # What came before may land late, and on a busy machine one stream is read long before another.
        heard.until(RowsLanded, lambda _: len({one.table for one in heard.of(RowsLanded)[known:]}) == 3)
        before = len(heard.of(StreamIdle))
        heard.until(StreamIdle, lambda count: count > before)
    assert len(landed) > 12  # in many commits, not in one
    equal(brisk)


@pytest.mark.timeout(240)
def test_a_stream_killed_at_random_moments_goes_on_where_it_was(brisk: Path) -> None:
    chance = random.Random(7)
    over = threading.Event()

    def feed() -> None:
        for number in range(60):
            arrive(brisk, number)
            if over.wait(0.2):
                return

    feeding = threading.Thread(target=feed)
    feeding.start()
    command = [sys.executable, "-m", "catchment", "--project", str(brisk), "stream", "--json"]
    try:
        for _ in range(8):
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(chance.random() * 1.2)
            child.kill()
            child.communicate()
    finally:
        over.set()
        feeding.join()
    assert until_idle(brisk) == "done"
    equal(brisk)


def test_one_failing_stream_stops_neither_the_others_nor_the_stream_and_is_told_once(brisk: Path) -> None:
    arrive(brisk, 0)
    (brisk / "catchment.yaml").write_text(PROJECT.replace('"data/payments/*.csv"', '"${env:NOT_THERE_AT_ALL}/*.csv"'))
    with going(brisk, Wanted(seconds=20)) as heard:
        heard.until(StreamReady)
        arrive(brisk, 1)
        heard.until(StreamIdle)
        heard.until(RowsLanded, lambda count: count >= 4)
    assert [event.name for event in heard.of(StepFailing)] == ["drops.payments"]
    assert {event.table for event in heard.of(RowsLanded)} == {"bronze.drops__users", "bronze.drops__events"}
    assert heard.of(RunFinished)[0].outcome == "failed"


def test_a_stream_that_failed_recovers_by_itself(brisk: Path) -> None:
    arrive(brisk, 0)
    first = brisk / "data/users/0000.csv"
    with going(brisk) as heard:
        heard.until(StreamIdle)
        content = first.read_text()
        first.write_text(content + "9,changed afterwards,2026-03-01T00:00:00Z\n")
        heard.until(StepFailing)
        first.write_text(content)
        heard.until(StepRecovered)
    assert heard.of(RunFinished)[0].outcome == "stopped"


TOPICS = """\
name: brook
sources:
  clicks:
    type: topic
    streams:
      events: {topic: events}
silver:
  events: {from: clicks.events}
targets:
  local: {default: true}
  batch: {lake: batch}
"""


def test_a_message_in_a_topic_is_in_silver_within_two_paces(tmp_path: Path) -> None:
    (tmp_path / "contracts").mkdir()
    (tmp_path / "catchment.yaml").write_text(TOPICS)
    column = "      - {name: event_id, logicalType: integer, required: true}\n"
    (tmp_path / "contracts/events.odcs.yaml").write_text(CONTRACT.format("events") + column)
    broker = Connected.of(load_project(tmp_path)).broker
    broker.declare([TopicSpec("events")])
    took = []
    with going(tmp_path) as heard:
        heard.until(StreamReady)
        for number in range(1, 6):
            began = time.monotonic()
            broker.write("events", [Message(json.dumps({"event_id": number}).encode())])
            heard.until(RowsRefined, lambda count, wanted=number: count >= wanted)  # type: ignore[misc]
            took.append(time.monotonic() - began)
            time.sleep(0.3)
    broker.close()
    # A commit a second of bronze, and one of silver after it.
    assert sorted(took)[2] < 4.0
    assert [event.table for event in heard.of(RowsLanded)] == ["bronze.clicks__events"] * 5
    project = load_project(tmp_path)
    assert run(project, "batch", steps(project, "batch")) == "done"
    compared = list(compare(project, "local", "batch"))
    assert [(one.table, one.is_equal, one.rows[0]) for one in compared] == [
        ("bronze.clicks__events", True, 5),
        ("silver.events", True, 5),
    ]


def _asked(port: int, path: str) -> tuple[int, dict[str, object]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_health_readiness_and_status_are_answered_while_it_goes(
    brisk: Path, monkeypatch: pytest.MonkeyPatch, unused_port: int
) -> None:
    monkeypatch.setattr("catchment.stream.going._LONG_S", 0.0)
    arrive(brisk, 0)
    with going(brisk, Wanted(health=("127.0.0.1", unused_port))) as heard:
        heard.until(StreamReady)
        time.sleep(0.2)
        assert _asked(unused_port, "/health") == (200, {"healthy": True, "failing": []})
        assert _asked(unused_port, "/ready") == (200, {"ready": True})
        status, told = _asked(unused_port, "/status")
        assert status == 200
        tables = {table["table"]: table for table in told["tables"]}  # type: ignore[attr-defined]
        assert tables["bronze.drops__events"]["rows"] == 7
        assert tables["silver.events"]["latency_p95_s"] > 0
        assert _asked(unused_port, "/nothing")[0] == 404
        with urllib.request.urlopen(f"http://127.0.0.1:{unused_port}/metrics", timeout=5) as answer:
            families = {one.name: one for one in text_string_to_metric_families(answer.read().decode())}
        rows = {one.labels["table"]: one.value for one in families["catchment_stream_rows"].samples}
        assert rows["bronze.drops__events"] == 7
        quantiles = families["catchment_stream_latency_seconds"].samples
        assert {"table": "silver.events", "quantile": "0.95"} in [one.labels for one in quantiles]
        assert families["catchment_stream_ready"].samples[0].value == 1
        (brisk / "data/users/0000.csv").write_text("user_id,country,updated_at\n")
        heard.until(StepFailing)
        time.sleep(0.1)
        status, told = _asked(unused_port, "/health")
        assert status == 503
        assert "changed after it was read" in str(told)


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stream_stops_cleanly_when_asked(brisk: Path, number: signal.Signals) -> None:
    arrive(brisk, 0)
    command = [sys.executable, "-m", "catchment", "--project", str(brisk), "stream"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    for line in child.stderr:
        if "ready" in line:
            break
    child.send_signal(number)
    out, err = child.communicate(timeout=30)
    assert (child.returncode, out) == (0, "")
    assert "Stopped after" in err
    assert "Traceback" not in err
    equal(brisk)


def test_what_is_older_than_the_retention_goes_while_a_stream_goes_on(brisk: Path) -> None:
    arrive(brisk, 0)
    until_idle(brisk)
    left = brisk / "lake" / "bronze" / "drops__users" / "000009-left.parquet"
    left.write_bytes(b"of a process that died")
    old = time.time() - 7200
    os.utime(left, (old, old))
    (brisk / "catchment.yaml").write_text(
        PROJECT.replace("compact_every: 2s", "compact_every: 2s, upkeep_every: 1s, retention: 1 hour")
    )
    with going(brisk) as heard:
        heard.until(Noticed, lambda _: any(notice.kind == "maintained" for notice in heard.of(Noticed)))
    assert not left.exists()
    equal(brisk)


def test_memory_threads_and_open_files_stay_as_they_are(brisk: Path) -> None:
    with going(brisk) as heard:
        arrive(brisk, 0)
        heard.until(StreamIdle)
        threads, files = threading.active_count(), _open_files()
        for number in range(1, 8):
            arrive(brisk, number)
            heard.until(RowsLanded, lambda count, wanted=3 * (number + 1): count >= wanted)  # type: ignore[misc]
        assert threading.active_count() == threads
        assert _open_files() <= files + 9  # each step that is at work has a lock, and looks at those of others
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith(("refine-", "land:"))]


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
