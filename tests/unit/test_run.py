"""Running: order, retries, failures that stop only what depends on them, stopping between commits."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from catchment.connected import Connected
from catchment.errors import ConfigError, Conflict, FatalError
from catchment.events import (
    Event,
    Noticed,
    Reached,
    RowsLanded,
    RunFinished,
    RunStarted,
    StepFinished,
    StepRetried,
    StepStarted,
)
from catchment.interfaces import Listener
from catchment.outlook import pending
from catchment.plan import plan
from catchment.project import Project
from catchment.records import Order
from catchment.run import run
from catchment.testing.fakes import Crash, Heard, ScriptedSource, Transient, arrived, column, contract, project

STREAMS = ("orders", "users")


def small(folder: Path, streams: tuple[str, ...] = STREAMS, **rest: Any) -> Project:
    """One table a stream, `n` an integer, over real CSV files."""
    contracts = [contract(name, column("id"), column("n", "integer", **rest)) for name in streams]
    for name in streams:
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "1.csv").write_text("id,n\na,1\nb,x\n", encoding="utf-8")
    return project(folder, contracts, {name: {"from": f"src.{name}"} for name in streams}, streams=streams)


def go(found: Project, heard: Listener | None = None, **options: Any) -> str:
    return run(found, None, plan(found), listeners=[heard] if heard is not None else [], **options)


def tables(found: Project) -> dict[str, list[dict[str, Any]]]:
    """Every table's rows but for what may differ between two runs."""
    connected = Connected.of(found)
    engine = connected.engine()
    told = {}
    for name in connected.lake.list():
        table = connected.lake.open(name)
        assert table is not None
        rows = engine.frame(table.scan()).to_arrow_table().drop_columns(_differs(table.schema()))
        told[str(name)] = sorted(rows.to_pylist(), key=repr)
    engine.close()
    return told


def _differs(schema: pa.Schema) -> list[str]:
    return [name for name in schema.names if name in ("_load", "_loaded_at", "_judged")]


def outcomes(heard: Heard) -> dict[str, str]:
    return {event.step: event.outcome for event in heard.of(StepFinished)}


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> dict[str, ScriptedSource]:
    """Sources by stream, in the place of the project's own."""
    sources: dict[str, ScriptedSource] = {}

    class OneOfMany:
        def read(self, feed: Any, since: Any, budget: Any) -> Any:
            return sources[feed.name].read(feed, since, budget)

        def acknowledge(self, feed: Any, cursor: Any) -> None:
            sources[feed.name].acknowledge(feed, cursor)

        def close(self) -> None:
            """Nothing is held."""

    monkeypatch.setattr(Connected, "source", lambda *_: OneOfMany())
    return sources


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long a run would have waited between tries."""
    waits: list[float] = []
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=waits.append))
    return waits


def script(sources: dict[str, ScriptedSource], **scripts: list[Any]) -> None:
    for stream, parts in scripts.items():
        sources[f"src.{stream}"] = ScriptedSource(parts, feed=f"src.{stream}")


ROWS = arrived({"id": ["a"], "n": ["1"]})


def test_a_run_tells_its_story_in_order(tmp_path: Path) -> None:
    found, heard = small(tmp_path), Heard()
    assert go(found, heard) == "done"
    assert isinstance(heard.events[0], RunStarted)
    assert isinstance(heard.events[-1], RunFinished)
    assert (heard.events[0].steps, heard.events[0].target, heard.events[-1].outcome) == (4, "local", "done")
    for step in plan(found):
        told = [event for event in heard.events if getattr(event, "step", None) == step.id]
        assert isinstance(told[0], StepStarted)
        assert isinstance(told[-1], StepFinished)
    assert set(outcomes(heard).values()) == {"done"}
    assert {name: len(rows) for name, rows in tables(found).items()} == {
        "bronze.src__orders": 2,
        "bronze.src__users": 2,
        "silver.orders": 1,
        "silver.users": 1,
        "quarantine.orders": 1,
        "quarantine.users": 1,
    }


def test_a_second_run_has_nothing_new_and_changes_nothing_in_the_lake(tmp_path: Path) -> None:
    found, heard = small(tmp_path), Heard()
    go(found)
    before = _snapshot(tmp_path / "lake")
    assert go(found, heard) == "nothing_new"
    assert set(outcomes(heard).values()) == {"nothing_new"}
    assert _snapshot(tmp_path / "lake") == before


def _snapshot(folder: Path) -> Mapping[str, tuple[int, int]]:
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_jobs_do_not_change_the_tables(tmp_path: Path) -> None:
    streams = ("a", "b", "c", "d")
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, jobs in ((one, 1), (two, 2)):
        folder.mkdir()
        found = small(folder, streams)
        for round_ in range(2):
            for stream in streams:
                (folder / stream / f"{round_ + 2}.csv").write_text(f"id,n\n{stream},{round_}\n", encoding="utf-8")
            assert go(found, jobs=jobs) == "done"
    first, second = tables(small(one, streams)), tables(small(two, streams))
    assert first == second
    assert len(first["silver.a"]) == 3


@pytest.mark.parametrize("times", [1, 2])
def test_a_transient_error_is_tried_again_up_to_three_times(
    tmp_path: Path, scripted: dict[str, ScriptedSource], slept: list[float], times: int
) -> None:
    found, heard = small(tmp_path, ("orders",)), Heard()
    script(scripted, orders=[ROWS, Transient(times), ROWS])
    assert go(found, heard) == "done"
    assert [event.attempt for event in heard.of(StepRetried)] == list(range(2, 2 + times))
    assert scripted["src.orders"].reads == 1 + times
    assert len(tables(found)["bronze.src__orders"]) == 2
    assert len(slept) == times
    assert all(0 < wait <= 10 for wait in slept)


def test_after_three_tries_a_transient_error_fails_the_step(
    tmp_path: Path, scripted: dict[str, ScriptedSource], slept: list[float]
) -> None:
    found, heard = small(tmp_path, ("orders",)), Heard()
    script(scripted, orders=[Transient(3), ROWS])
    assert go(found, heard) == "failed"
    assert scripted["src.orders"].reads == 3
    assert outcomes(heard) == {"land:src.orders": "failed", "refine:silver.orders": "skipped"}
    assert go(found) == "done"


def test_a_lost_race_is_tried_again_more_often(
    tmp_path: Path, scripted: dict[str, ScriptedSource], slept: list[float]
) -> None:
    found = small(tmp_path, ("orders",))
    script(scripted, orders=[Crash(Conflict("another process committed first"), times=8), ROWS])
    assert go(found) == "done"
    assert len(slept) == 8
    script(scripted, orders=[ROWS, ROWS, Crash(Conflict("always"), times=1000)])
    assert go(found) == "failed"
    assert scripted["src.orders"].reads < 50


@pytest.mark.parametrize("error", [ConfigError("wrong", hint="mend it"), FatalError("disk"), ValueError("a bug")])
def test_any_other_error_is_not_tried_again_and_stops_only_what_depends_on_it(
    tmp_path: Path, scripted: dict[str, ScriptedSource], slept: list[float], error: Exception
) -> None:
    found, heard = small(tmp_path), Heard()
    script(scripted, orders=[Crash(error)], users=[ROWS])
    assert go(found, heard) == "failed"
    assert outcomes(heard) == {
        "land:src.orders": "failed",
        "refine:silver.orders": "skipped",
        "land:src.users": "done",
        "refine:silver.users": "done",
    }
    assert slept == []
    assert scripted["src.orders"].reads == 1
    told = {event.step: event for event in heard.of(StepFinished)}
    assert str(error) in (told["land:src.orders"].cause or "")
    assert told["refine:silver.orders"].cause == "src.orders failed"
    if isinstance(error, ConfigError):
        assert told["land:src.orders"].hint == "mend it"


def test_a_stop_between_commits_leaves_whole_tables(tmp_path: Path, scripted: dict[str, ScriptedSource]) -> None:
    found, stop = small(tmp_path, ("orders",)), threading.Event()
    script(scripted, orders=[ROWS, ROWS, ROWS])

    class StopsAfterALoad(Heard):
        def on(self, event: Event) -> None:
            super().on(event)
            if isinstance(event, RowsLanded):
                stop.set()

    heard = StopsAfterALoad()
    assert go(found, heard, stop=stop) == "stopped"
    assert [event.outcome for event in heard.of(RunFinished)] == ["stopped"]
    assert len(tables(found)["bronze.src__orders"]) == 1
    assert "silver.orders" not in tables(found)
    assert go(found) == "done"
    assert [len(tables(found)[name]) for name in ("bronze.src__orders", "silver.orders")] == [3, 3]


@pytest.mark.parametrize("point", ["silver.claimed", "quarantine.committed"])
def test_a_stop_inside_a_refine_commits_nothing_that_counts(tmp_path: Path, point: str) -> None:
    found, stop = small(tmp_path, ("orders",)), threading.Event()

    class StopsAt(Heard):
        def on(self, event: Event) -> None:
            if isinstance(event, Reached) and event.point == point:
                stop.set()

    assert go(found, StopsAt(), stop=stop) == "stopped"
    assert tables(found)["silver.orders"] == []
    assert go(found) == "done"
    assert [len(tables(found)[name]) for name in ("bronze.src__orders", "silver.orders")] == [2, 1]


def test_a_run_that_is_stopped_before_it_starts_does_nothing(tmp_path: Path) -> None:
    found, stop, heard = small(tmp_path), threading.Event(), Heard()
    stop.set()
    assert go(found, heard, stop=stop) == "stopped"
    assert heard.of(StepStarted) == []
    assert not (tmp_path / "lake").exists()


def test_a_listener_that_raises_is_told_of_once_and_stops_nothing(tmp_path: Path) -> None:
    class Broken(Listener):
        def on(self, event: Event) -> None:
            raise RuntimeError("full disk")

    found, heard = small(tmp_path), Heard()
    assert run(found, None, plan(found), listeners=[Broken(), heard]) == "done"
    (told,) = [event for event in heard.of(Noticed) if event.kind == "listener"]
    assert told.message == "Broken failed and hears no more: RuntimeError: full disk"
    assert isinstance(heard.events[-1], RunFinished)


def test_a_second_run_at_once_is_told_and_does_no_harm(tmp_path: Path) -> None:
    found, inner, outer = small(tmp_path, ("orders",)), Heard(), Heard()
    began = False

    class StartsAnother(Listener):
        def on(self, event: Event) -> None:
            nonlocal began
            if isinstance(event, StepStarted) and not began:
                began = True
                go(found, inner)

    run(found, None, plan(found), listeners=[StartsAnother(), outer])
    assert [event.kind for event in inner.of(Noticed)] == ["second_run"]
    assert outer.of(Noticed) == []
    assert [len(tables(found)[name]) for name in ("bronze.src__orders", "silver.orders")] == [2, 1]


def test_an_unknown_target_and_an_unknown_table_to_rebuild_are_mistakes_of_the_command(tmp_path: Path) -> None:
    found = small(tmp_path)
    with pytest.raises(ConfigError, match="no target `clustr`"):
        run(found, "clustr", plan(found))
    with pytest.raises(ConfigError, match=r"cannot rebuild silver\.nope"):
        go(found, orders={"silver.nope": Order("rebuild")})
    assert not (tmp_path / "lake").exists()


def test_a_changed_definition_fails_the_step_until_it_is_rebuilt(tmp_path: Path) -> None:
    go(small(tmp_path, ("orders",)))
    changed, heard = small(tmp_path, ("orders",), maximum=0), Heard()
    (waiting,) = [found for found in pending(changed, None, plan(changed)) if found.step.kind == "refine"]
    assert ([edit for edit, _ in waiting.changed], waiting.is_new) == (["~ n: maximum 0 added"], True)
    assert (list(waiting.choices), waiting.rows) == (["--rebuild silver.orders", "--forward silver.orders"], 2)
    assert go(changed, heard) == "failed"
    assert "its definition is not the one its rows were made with" in (heard.of(StepFinished)[-1].cause or "")
    assert go(changed, orders={"silver.orders": Order("rebuild")}) == "done"
    assert tables(changed)["silver.orders"] == []
    assert go(changed) == "nothing_new"


def test_pending_says_what_would_run_and_writes_nothing(tmp_path: Path) -> None:
    found = small(tmp_path, ("orders",))
    told = {waiting.step.id: waiting for waiting in pending(found, None, plan(found))}
    assert told["land:src.orders"].words.startswith("1 new file, ")
    assert told["refine:silver.orders"].words == "after land"
    assert not (tmp_path / "lake").exists()
    go(found)
    assert {waiting.words for waiting in pending(found, None, plan(found))} == {"nothing new"}
    go(found)
    (tmp_path / "orders" / "2.csv").write_text("id,n\nc,3\n", encoding="utf-8")
    run(found, None, plan(found, ["src.orders"]))
    told = {waiting.step.id: waiting for waiting in pending(found, None, plan(found))}
    assert told["refine:silver.orders"].words == "loads 2-2 of bronze.src__orders"


def test_what_the_system_refuses_is_no_bug_and_says_where(tmp_path: Path) -> None:
    found, heard = small(tmp_path), Heard()
    (tmp_path / "lake").write_text("in the way", encoding="utf-8")
    assert go(found, heard) == "failed"
    told = [event for event in heard.of(StepFinished) if event.outcome == "failed"]
    assert told
    assert all("cannot read or write" in (event.cause or "") and "lake" in (event.cause or "") for event in told)
    assert not any("bug" in (event.hint or "") for event in told)


def test_a_run_that_cannot_begin_has_failed(tmp_path: Path) -> None:
    found, heard = small(tmp_path), Heard()
    (tmp_path / ".catchment").write_text("in the way", encoding="utf-8")
    with pytest.raises(FileExistsError):
        go(found, heard)
    assert [event.outcome for event in heard.of(RunFinished)] == ["failed"]


def test_references_in_a_path_are_looked_up_when_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = small(tmp_path, ("orders",))
    stream = found.sources["src"].streams["orders"].model_copy(update={"path": "${env:WHERE}/*.csv"})
    source = found.sources["src"].model_copy(update={"streams": {"orders": stream}})
    found = replace(found, sources={"src": source})
    monkeypatch.setattr("catchment.settings._given_out", {})  # a word of everyday life, for other tests
    monkeypatch.setenv("WHERE", "orders")
    assert go(found) == "done"
    assert len(tables(found)["bronze.src__orders"]) == 2


@pytest.mark.parametrize("key", ["lake", "spill"])
def test_a_folder_that_comes_out_empty_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    found = small(tmp_path, ("orders",))
    local = found.targets["local"].model_copy(update={key: "${env:WHERE}"})
    found = replace(found, targets={"local": local})
    monkeypatch.setenv("WHERE", "")
    heard = Heard()
    assert go(found, heard) == "failed"
    assert heard.of(StepFinished)[0].cause == f"targets.local.{key}: ${{env:WHERE}} is empty"
