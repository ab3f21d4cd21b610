"""A stream's parts: whose turn it is, what is counted, what is told, and what the command line takes."""

from __future__ import annotations

import io
import json
import math
import threading
import time
from pathlib import Path

import pytest
import tenacity
from click.testing import CliRunner

from catchment.cli.group import catchment as root
from catchment.connected import Connected
from catchment.errors import ConfigError, RetryableError
from catchment.events import (
    CheckFailed,
    Event,
    Noticed,
    RowsLanded,
    RowsRefined,
    RunFinished,
    StepFailing,
    StepFinished,
    StepRecovered,
    StepRetried,
    StreamProgress,
    StreamReady,
    StreamStarted,
)
from catchment.observe.streaming import StreamConsole
from catchment.plan import plan
from catchment.project import Project, load_project, read_project
from catchment.records import Step
from catchment.stream.board import Attempts, Board, Bronze, Load, Silver, Sink
from catchment.stream.engines import Engines
from catchment.stream.figures import Figures
from catchment.stream.going import Wanted, stream
from catchment.stream.paces import Paces
from catchment.stream.sparing import Sparing
from catchment.stream.standing import board_of
from catchment.stream.trying import Trying
from catchment.testing.fakes import Heard, column, contract, project

USERS, EVENTS = "bronze.src__users", "bronze.src__events"


def land(name: str) -> Attempts:
    return Attempts(Step(kind="land", name=name, writes=f"bronze.{name.replace('.', '__')}"))


def refine(name: str, *reads: str, pace: float = 0.0, before: tuple[str, ...] = (), in_time: bool = False) -> Silver:
    step = Step(kind="refine", name=name, reads=reads, writes=name)
    return Silver(name, Attempts(step), pace, reads, before, before if in_time else ())


def board(*, in_time: bool = True, pace: float = 0.0) -> Board:
    """Users, and events that look them up; neither is read yet."""
    bronze = {name: Bronze(land(name), read_until=-math.inf) for name in (USERS, EVENTS)}
    silver = {
        "silver.users": refine("silver.users", USERS, pace=pace),
        "silver.events": refine("silver.events", EVENTS, before=("silver.users",), in_time=in_time),
    }
    return Board(bronze, silver)


def read(found: Board, table: str, *loads: int) -> None:
    """A whole read of a feed that brings these loads."""
    with found.reading(table) as ended:
        for number in loads:
            found.on(RowsLanded(step="", table=table, load=number, rows=1, defects=0, items=0, bytes=0))
        ended(bool(loads))
    attempts = found.bronze[table].attempts
    assert attempts is not None
    attempts.tries += 1


def take(found: Board) -> dict[str, dict[str, int]]:
    """Everything whose turn it is, done; up to which loads."""
    took = {}
    while (turn := found.turn(0)) is not None:
        turn.table.attempts.tries += 1
        took[turn.table.name] = dict(turn.upto)
        found.refined(turn, did=True, waits=False)
    return took


def test_nothing_is_refined_before_its_streams_were_read_and_its_look_ups_refined_once() -> None:
    found = board()
    read(found, EVENTS, 1)
    assert found.turn(0) is None
    read(found, USERS, 1)
    assert take(found) == {"silver.users": {USERS: 1}, "silver.events": {EVENTS: 1}}


def test_rows_wait_until_what_they_look_up_in_time_was_read_after_they_came() -> None:
    found = board()
    read(found, EVENTS)
    read(found, USERS, 1)
    take(found)
    read(found, EVENTS, 1, 2)
    assert take(found) == {}
    assert found.is_awaited(USERS)
    read(found, USERS)
    read(found, EVENTS, 3)
    assert take(found) == {"silver.events": {EVENTS: 2}}
    read(found, USERS, 2)
    assert take(found) == {"silver.users": {USERS: 2}, "silver.events": {EVENTS: 3}}
    assert not found.is_awaited(USERS)


def test_a_look_up_as_it_is_now_holds_nothing_back() -> None:
    found = board(in_time=False)
    read(found, EVENTS)
    read(found, USERS, 1)
    take(found)
    read(found, EVENTS, 1)
    assert take(found) == {"silver.events": {EVENTS: 1}}


def test_two_tables_of_one_log_need_no_further_read() -> None:
    log = "bronze.shop__changes"
    silver = {
        "silver.users": refine("silver.users", log),
        "silver.events": refine("silver.events", log, before=("silver.users",), in_time=True),
    }
    found = Board({log: Bronze(land("shop.changes"), read_until=-math.inf)}, silver)
    read(found, log, 1)
    take(found)
    read(found, log, 2)
    assert take(found) == {"silver.users": {log: 2}, "silver.events": {log: 2}}


def test_a_table_is_refined_at_its_pace_and_at_once_where_a_stream_is_to_end() -> None:
    found = board(pace=60.0)
    for table in (EVENTS, USERS):
        read(found, table, 1)
    take(found)
    read(found, USERS, 2)
    assert take(found) == {}
    found.hurry = True
    assert take(found) == {}  # the last reads brought something: there may be more
    for table in (EVENTS, USERS):
        read(found, table)
    assert take(found) == {"silver.users": {USERS: 2}}


def test_a_table_that_fails_comes_again_after_a_pause_and_blocks_only_what_needs_it() -> None:
    found = board()
    for table in (EVENTS, USERS):
        read(found, table, 1)
    turn = found.turn(0)
    assert turn is not None
    turn.table.attempts.tries, turn.table.attempts.failures = 1, 1
    found.failed(turn, 0.05)
    assert take(found) == {"silver.events": {EVENTS: 0}}
    assert found.is_ready()
    read(found, EVENTS)
    read(found, USERS)
    assert found.is_idle()
    time.sleep(0.06)
    turn.table.attempts.failures = 0
    assert take(found)["silver.users"] == {USERS: 1}


def test_rows_that_wait_are_tried_again_when_what_they_refer_to_came() -> None:
    found = board(in_time=False)
    for table in (EVENTS, USERS):
        read(found, table, 1)
    for waits in (False, True):  # users, then events, of which some rows wait
        turn = found.turn(0)
        assert turn is not None
        turn.table.attempts.tries += 1
        found.refined(turn, did=True, waits=waits)
    assert take(found) == {}
    read(found, USERS, 2)
    assert set(take(found)) == {"silver.users", "silver.events"}
    found.silver["silver.events"].waits = True
    found.try_again()
    assert set(take(found)) == {"silver.events"}


def test_what_rows_wait_for_may_come_while_they_are_judged() -> None:
    found = board(in_time=False)
    for table in (EVENTS, USERS):
        read(found, table)
    take(found)
    read(found, EVENTS, 1)
    judged = found.turn(0)
    assert judged is not None
    read(found, USERS, 1)
    assert set(take(found)) == {"silver.users"}
    found.refined(judged, did=True, waits=True)
    for table in (EVENTS, USERS):
        read(found, table)
    assert not found.is_idle()
    assert set(take(found)) == {"silver.events"}
    assert found.is_idle()


def test_what_another_process_landed_is_taken_too() -> None:
    found = board(in_time=False)
    for table in (EVENTS, USERS):
        read(found, table, 1)
    take(found)
    found.found(EVENTS, 5)
    assert take(found) == {"silver.events": {EVENTS: 5}}


def test_loads_that_nobody_takes_are_remembered_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catchment.stream.board._MOST_LOADS", 8)
    found = board()
    read(found, USERS, 1)
    read(found, EVENTS, *range(1, 100))
    loads = found.bronze[EVENTS].loads
    assert len(loads) <= 8
    assert sum(load.rows for load in loads) == 99
    assert all(one.last < other.first for one, other in zip(list(loads), list(loads)[1:], strict=False))


def test_a_load_that_was_never_made_is_no_place_to_stop_at() -> None:
    found = board()
    read(found, USERS, 1)
    take(found)
    read(found, EVENTS, 1, 2)
    with found.changed:
        found.bronze[USERS].read_until = found.bronze[EVENTS].loads[-1].at  # what landed until then may be taken
    # Number 3 was claimed by somebody who died.
    read(found, EVENTS, 4)
    taken = take(found)["silver.events"]
    assert taken == {EVENTS: 2}


def test_what_silver_takes_is_passed_on_and_kept_where_that_fails() -> None:
    step = Step(kind="feed", name="live.users", reads=("silver.users",), writes="live.users")
    sink = Sink(Attempts(step, tries=1), table="silver.users")
    found = board(in_time=False)
    found = Board(found.bronze, found.silver, {"live.users": sink})
    assert found.to_pass(sink, 0.01) == []
    found.passed(sink, [])
    assert not sink.again
    read(found, USERS, 1)
    assert sink.waiting == []
    assert "silver.users" in take(found)
    taken = found.to_pass(sink, 0)
    assert [rows for _, rows in taken] == [1]
    found.not_passed(sink, taken)
    assert (sink.waiting, sink.again) == (taken, True)
    assert found.behind_s("live.users", time.monotonic())[1] == 1
    assert not found.is_idle()
    found.passed(sink, found.to_pass(sink, 0))
    assert found.behind_s("live.users", time.monotonic()) == (0.0, 0)
    assert found.figures["live.users"].latency(time.monotonic(), 0.5) is not None


def test_idle_is_told_only_once_everything_was_read_without_anything_new_and_is_taken() -> None:
    found = board()
    assert not found.is_idle()
    for table in (EVENTS, USERS):
        read(found, table, 1)
    take(found)
    assert not found.is_idle()
    for table in (EVENTS, USERS):
        read(found, table)
    take(found)
    assert found.is_idle()
    with found.reading(USERS):
        assert not found.is_idle()


def test_figures_are_those_of_the_last_minute() -> None:
    figures = Figures(since=0.0)
    figures.count(100.0, 60, rejected=3)
    figures.took(100.0, 2.0, 90)
    figures.took(100.0, 9.0, 10)
    assert (figures.rate(100.0), figures.latency(100.0, 0.5), figures.latency(100.0, 0.95)) == (1.0, 2.0, 9.0)
    assert (figures.rate(200.0), figures.latency(200.0, 0.5)) == (0.0, None)
    assert (figures.rows, figures.rejected) == (60, 3)


# What is told.


def test_a_notice_is_told_once_and_other_events_always() -> None:
    heard = Heard()
    tell = Sparing(heard.on)
    for _ in range(3):
        tell(Noticed(step="land:src.a", kind="said", message="nothing there"))
        tell(CheckFailed(step="refine:silver.a", table="silver.a", rule="rows", message=str(time.time())))
        tell(CheckFailed(step="refine:silver.a", table="silver.a", rule="rows", message="held", severity="stop"))
    assert [len(heard.of(kind)) for kind in (Noticed, CheckFailed)] == [1, 4]


@pytest.fixture
def trying(tmp_path: Path) -> Trying:
    found = project(tmp_path, [contract("a", column("id"))], {"a": {"from": "src.a"}}, streams=("a",))
    ending, heard = threading.Event(), Heard()
    connected = Connected.of(found)
    board = Board({}, {})
    engines = Engines(connected, 1, ending, share=1)
    return Trying(found, connected.target_name, Paces.of(connected), board, engines, heard.on, ending)


def _heard(trying: Trying) -> Heard:
    found = trying.tell.__self__  # type: ignore[attr-defined]
    assert isinstance(found, Heard)
    return found


def test_a_failure_is_told_when_it_begins_and_when_its_cause_changes_and_when_it_ends(trying: Trying) -> None:
    attempts, causes = land("src.a"), ["one", "one", "two"]

    def fail(_: object) -> bool:
        raise ConfigError(causes[attempts.failures])

    pauses = []
    for _ in causes:
        assert trying.stepped(attempts, fail) is None
        pauses.append(trying.pause(attempts))
    assert trying.stepped(attempts, lambda _: True) is True
    assert [event.cause for event in _heard(trying).of(StepFailing)] == ["one", "two"]
    assert len(_heard(trying).of(StepRecovered)) == 1
    assert pauses == [1.0, 2.0, 4.0]
    assert (attempts.tries, attempts.failures, attempts.did) == (4, 0, True)


CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: {name}
version: 1.0.0
status: active
schema:
  - name: {name}
    properties:
      - {{name: id, logicalType: integer, required: true, primaryKey: true, primaryKeyPosition: 1}}
      - {{name: at, logicalType: timestamp}}
"""


def test_tables_that_somebody_waits_for_have_the_pace_of_a_flush(tmp_path: Path) -> None:
    (tmp_path / "contracts").mkdir()
    text = """name: small
sources:
  clicks: {type: topic, streams: {seen: {}, read: {}, both: {}}}
silver:
  seen: {from: clicks.seen, publish: seen.refined}
  read: {from: clicks.read}
  both: {from: clicks.both, mode: merge, latest_by: at}
live:
  many: {from: both, measures: {n: count(*)}}
stream: {flush: 100ms}
"""
    (tmp_path / "catchment.yaml").write_text(text)
    for name in ("seen", "read", "both"):
        (tmp_path / f"contracts/{name}.odcs.yaml").write_text(CONTRACT.format(name=name))
    project = load_project(tmp_path)
    found = Paces.of(Connected.of(project))
    assert found.every == {"clicks.seen": 0.1, "clicks.read": 1, "clicks.both": 0.1}
    assert [found.refines(name, table) for name, table in project.silver.items()] == [0.1, 1, 60]


def test_a_transient_failure_is_tried_at_once_and_nothing_is_waited_for_at_the_end(
    trying: Trying, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenacity, "wait_random_exponential", lambda *_, **__: tenacity.wait_fixed(30))
    attempts = land("src.a")

    def fail(_: object) -> bool:
        message = "gone for a moment"
        raise RetryableError(message)

    trying.ending.set()
    began = time.monotonic()
    assert trying.stepped(attempts, fail) is None
    assert time.monotonic() - began < 10
    assert len(_heard(trying).of(StepRetried)) == 2


def test_engines_are_handed_on_and_made_anew_after_a_failure(trying: Trying) -> None:
    with trying.engines.borrowed() as first:
        first.did = True
    with trying.engines.borrowed() as second:
        assert second.engine is first.engine
        second.failed = True
    with trying.engines.borrowed() as third:
        assert third.engine is not first.engine
    trying.engines.close()


def progress(table: str, **figures: float) -> StreamProgress:
    told = {"rows": 0, "rejected": 0, "rate": 0.0, "behind_s": 0.0, **figures}
    return StreamProgress(step="", table=table, **told)  # type: ignore[arg-type]


STARTED = StreamStarted(run="r", project="shop", target="local", feeds=["src.a"], tables=["silver.a"])


def told(*events: Event, redraw: bool = False) -> str:
    stream = io.StringIO()
    console = StreamConsole(stream, redraw=redraw)
    for event in events:
        console.on(event)
    return stream.getvalue()


def test_a_log_has_a_line_where_something_moved_and_one_for_what_is_out_of_the_ordinary() -> None:
    landed = RowsLanded(step="", table="bronze.src__a", load=1, rows=90, defects=0, items=1, bytes=1)
    refined = RowsRefined(step="", table="silver.a", rows=90, written=80, rejected=10, superseded=0, filtered=0, load=1)
    standing = (
        progress("bronze.src__a", rows=90, rate=1004.0, behind_items=7),
        progress("silver.a", rows=80, rejected=10, behind_s=1.2, latency_p95_s=0.8),
    )
    failing = StepFailing(step="land:src.a", kind="land", name="src.a", cause="cannot\nreach it", hint="start it")
    text = told(STARTED, StreamReady(seconds=2), landed, refined, *standing, *standing, failing)
    assert text.splitlines()[0].startswith("shop · target local · following 1 stream into 1 silver table")
    line = "1,004 rows/s   bronze 0.0 s behind   silver 1.2 s behind   p95 0.8 s   rejected 11.1 %   lag 7"
    assert text.count(line) == 1
    assert "land src.a fails and is tried again: cannot reach it; start it" in text


def test_at_the_end_it_says_what_came_of_it_and_what_is_behind() -> None:
    failed = StepFinished(
        step="land:src.a", kind="land", name="src.a", outcome="failed", seconds=1, cause="no", hint="yes"
    )
    text = told(
        STARTED, progress("silver.a", behind_loads=2), failed, RunFinished(run="r", outcome="stopped", seconds=3)
    )
    assert text.splitlines()[2:] == [
        "error: no",
        "hint: yes",
        "Stopped after 3.0 s: 0 rows landed, 0 in silver.",
        "  silver.a lacks 2 loads of bronze: the next run or stream takes them",
    ]


def test_on_a_terminal_one_line_is_drawn_over_the_last() -> None:
    text = told(STARTED, *(progress("bronze.src__a"), progress("silver.a")) * 3, redraw=True)
    assert text.count("\n") == 1
    assert text.count("\r\x1b[2K") == 3


# What catchment.yaml and the command line say.


YAML = """\
name: shop
sources:
  drops: {{type: files, {every}streams: {{a: {{path: "a/*.csv"}}}}}}
{stream}
"""


def paces(folder: Path, every: str = "", stream: str = "") -> Paces:
    (folder / "catchment.yaml").write_text(YAML.format(every=every, stream=stream))
    return Paces.of(Connected.of(load_project(folder)))


def test_paces_have_defaults_and_are_references_where_somebody_wants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = paces(tmp_path)
    assert (found.commit_every, found.merge_every, found.compact_every, found.compact_files) == (1, 60, 300, 256)
    assert found.every == {"drops.a": 30}
    monkeypatch.setenv("PACE", "2 minutes")
    found = paces(tmp_path, 'every: "${env:PACE}", ', "stream: {merge_every: 2s, compact_files: 9}")
    assert (found.every, found.merge_every, found.compact_files) == ({"drops.a": 120}, 2, 9)
    monkeypatch.setenv("PACE", "soon")
    with pytest.raises(ConfigError, match=r"sources\.drops\.every: `soon` is no length of time"):
        paces(tmp_path, 'every: "${env:PACE}", ')


@pytest.mark.parametrize(
    ("every", "stream", "message"),
    [
        ("every: soon, ", "", "`soon` is no length of time"),
        ("every: 0s, ", "", "`0s` is no length of time"),
        ("every: 3, ", "", "must be text, not `3`"),
        ("", "stream: {merge_every: later}", "`later` is no length of time"),
        ("", "stream: {compact_files: 0}", "must be at least 1"),
        ("", "stream: {commit: 1s}", "unknown key `commit`"),
    ],
)
def test_paces_that_are_none_are_mistakes_with_their_place(
    tmp_path: Path, every: str, stream: str, message: str
) -> None:
    (tmp_path / "catchment.yaml").write_text(YAML.format(every=every, stream=stream))
    _, problems = read_project(tmp_path)
    (problem,) = problems
    assert message in problem.message
    assert problem.line == (3 if every else 4)


@pytest.fixture
def small(tmp_path: Path) -> Project:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.csv").write_text("id\nx\n")
    return project(tmp_path, [contract("a", column("id"))], {"a": {"from": "src.a"}}, streams=("a",))


def test_a_stream_tells_its_steps_like_a_run_so_that_history_knows_it(small: Project) -> None:
    heard = Heard()
    wanted = Wanted(until_idle=True)
    assert stream(small, None, plan(small), wanted=wanted, listeners=[heard]) == "done"
    names = [type(event).__name__ for event in heard.events]
    assert names[:2] == ["RunStarted", "StreamStarted"]
    assert names[-1] == "RunFinished"
    assert {event.step: event.outcome for event in heard.of(StepFinished)} == {
        "land:src.a": "done",
        "refine:silver.a": "done",
    }
    (last,) = [event for event in heard.of(StreamProgress) if event.table == "silver.a"][-1:]
    assert (last.rows, last.behind_s, last.behind_loads) == (1, 0.0, 0)
    assert last.latency_p95_s is not None


def test_a_stream_ends_after_its_time_and_by_being_stopped(small: Project) -> None:
    assert stream(small, None, plan(small), wanted=Wanted(seconds=0.3)) == "done"
    stop = threading.Event()
    stop.set()
    assert stream(small, None, plan(small), stop=stop) == "stopped"


def test_nothing_to_stream_and_a_taken_address_are_mistakes(small: Project) -> None:
    with pytest.raises(ConfigError, match="nothing to stream"):
        stream(small, None, [])
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        wanted = Wanted(health=("127.0.0.1", taken.getsockname()[1]))
        with pytest.raises(ConfigError, match="cannot listen to 127"):
            stream(small, None, plan(small), wanted=wanted)


def test_a_refine_that_cannot_be_holds_up_nothing_else_and_ends_with_exit_code_1(tmp_path: Path) -> None:
    text = YAML.format(every="every: 1s, ", stream="silver: {a: {from: drops.a}, b: {from: drops.a, refine: b.py}}")
    (tmp_path / "catchment.yaml").write_text(text)
    (tmp_path / "b.py").write_text("def refine(rows):\n    return rows.group_by('id')\n")
    (tmp_path / "contracts").mkdir()
    for name in ("a", "b"):
        (tmp_path / f"contracts/{name}.odcs.yaml").write_text(
            f"apiVersion: v3.2.0\nkind: DataContract\nid: {name}\nversion: 1.0.0\nstatus: active\nschema:\n"
            f"  - name: {name}\n    properties: [{{name: id, logicalType: string}}]\n"
        )
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.csv").write_text("id\nx\n")
    done = CliRunner().invoke(
        root, ["--project", str(tmp_path), "stream", "--until-idle", "--json"], standalone_mode=False
    )
    assert done.return_value == 1, done.output
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["name"] for event in events if event["event"] == "StepFailing"] == ["silver.b"]
    assert {event["name"]: event["outcome"] for event in events if event["event"] == "StepFinished"} == {
        "drops.a": "done",
        "silver.a": "done",
        "silver.b": "failed",
    }
    history = CliRunner().invoke(root, ["--project", str(tmp_path), "status", "--json"])
    assert json.loads(history.stdout)["last_run"]["outcome"] == "failed"


def test_loads_count_from_the_first_that_is_not_taken() -> None:
    found = Board({EVENTS: Bronze(newest=9)}, {"silver.events": refine("silver.events", EVENTS)})
    found.bronze[EVENTS].loads.append(Load(0, 9, 1.0, 1.0))
    assert found.behind_s("silver.events", 3.0) == (2.0, 1)
    assert take(found) == {"silver.events": {EVENTS: 9}}
    assert found.behind_s("silver.events", 3.0) == (0.0, 0)


def test_what_another_process_lands_is_waited_for_until_it_is_quiet() -> None:
    theirs = Bronze(newest=3, found=time.monotonic(), quiet_s=0.3)
    found = Board({EVENTS: theirs}, {"silver.events": refine("silver.events", EVENTS)})
    take(found)
    assert not found.is_idle()
    time.sleep(0.35)
    assert found.is_idle()
    found.found(EVENTS, 4)
    assert not found.is_idle()
    take(found)
    assert not found.is_idle()
    time.sleep(0.35)
    assert found.is_idle()


def test_only_what_others_land_beside_is_waited_for(tmp_path: Path) -> None:
    """With --select nobody else is at work for all that is known."""
    made = shared(tmp_path)
    connected, planned = Connected.of(made), [step for step in plan(made) if step.kind == "refine"]
    paces = Paces.of(connected)
    alone = board_of(connected, planned, paces)
    assert {one.quiet_s for one in alone.bronze.values()} == {0.0}
    beside = board_of(connected, planned, paces, shared=True)
    assert {name: one.quiet_s for name, one in beside.bronze.items()} == {
        "bronze.drops__users": 30.0,
        "bronze.clicks__events": 5.0,
        "bronze.clicks__events__1": 5.0,
    }
    landing = board_of(connected, plan(made), paces, shared=True)
    assert {one.quiet_s for one in landing.bronze.values()} == {0.0}


def shared(folder: Path) -> Project:
    (folder / "contracts").mkdir()
    for name in ("users", "events"):
        (folder / f"contracts/{name}.odcs.yaml").write_text(
            f"apiVersion: v3.2.0\nkind: DataContract\nid: {name}\nversion: 1.0.0\nstatus: active\n"
            f"schema:\n  - name: {name}\n    properties:\n      - {{name: id, logicalType: integer}}\n"
        )
    (folder / "catchment.yaml").write_text(
        "name: s\nsources:\n  drops: {type: files, streams: {users: {path: '*.csv'}}}\n"
        "  clicks: {type: topic, streams: {events: {shards: 2}}}\n"
        "silver:\n  users: {from: drops.users}\n  events: {from: clicks.events}\n"
    )
    return load_project(folder)
