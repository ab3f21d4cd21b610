from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from catchment.events import (
    Event,
    Reached,
    RowsLanded,
    RowsQuarantined,
    RowsRefined,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
)
from catchment.observe.history import History, history_file, last_run, runs


def a_run(run: str = "r1", hour: int = 9) -> list[Event]:
    at = datetime(2026, 11, 21, hour, tzinfo=UTC)
    land, refine = "land:drops.users", "refine:silver.users"
    return [
        RunStarted(at=at, run=run, project="shop", target="local", steps=3),
        StepStarted(step=land, kind="land", name="drops.users"),
        RowsLanded(step=land, table="bronze.drops__users", load=1, rows=10, defects=1, items=1, bytes=99),
        Reached(step=land, point="committed"),
        RowsLanded(step=land, table="bronze.drops__users", load=2, rows=5, defects=0, items=1, bytes=50),
        StepFinished(step=land, kind="land", name="drops.users", outcome="done", seconds=0.5),
        StepStarted(step=refine, kind="refine", name="silver.users"),
        RowsQuarantined(step=refine, table="silver.users", rows=3),
        RowsRefined(
            step=refine, table="silver.users", rows=15, written=11, rejected=3, superseded=1, filtered=0, load=1
        ),
        StepFinished(step=refine, kind="refine", name="silver.users", outcome="done", seconds=0.2),
        StepFinished(
            step="model:gold", kind="model", name="gold", outcome="failed", seconds=3.0, cause="a test is red"
        ),
        RunFinished(run=run, outcome="failed", seconds=3.9),
    ]


def write(folder: Path, *events: Event) -> list[str]:
    told: list[str] = []
    history = History(folder, report=told.append)
    for event in events:
        history.on(event)
    return told


def test_a_run_is_written_down_with_its_steps(tmp_path: Path) -> None:
    assert write(tmp_path, *a_run()) == []
    (run,) = runs(tmp_path)
    assert (run.run, run.outcome, run.seconds, run.target) == ("r1", "failed", 3.9, "local")
    assert run.started_at == datetime(2026, 11, 21, 9, tzinfo=UTC)
    land, refine, model = run.steps
    assert (land.rows_in, land.rows_out, land.rejected) == (15, 14, 1)
    assert (refine.rows_in, refine.rows_out, refine.rejected) == (15, 11, 3)
    assert (model.outcome, model.cause, model.rows_in) == ("failed", "a test is red", None)


def test_the_newest_run_comes_first(tmp_path: Path) -> None:
    write(tmp_path, *a_run("early", 8), *a_run("late", 10), *a_run("middle", 9))
    assert [run.run for run in runs(tmp_path, 2)] == ["late", "middle"]
    found = last_run(tmp_path)
    assert found is not None
    assert found.run == "late"


def test_a_killed_run_is_there_and_has_not_said_how_it_ended(tmp_path: Path) -> None:
    write(tmp_path, *a_run()[:6])
    (run,) = runs(tmp_path)
    assert (run.outcome, run.seconds, len(run.steps)) == ("unknown", None, 1)


def test_no_log_is_no_run(tmp_path: Path) -> None:
    assert last_run(tmp_path) is None
    assert not history_file(tmp_path).exists()


def test_a_locked_log_fails_nothing_and_is_reported_once(tmp_path: Path) -> None:
    write(tmp_path, *a_run())
    holder = sqlite3.connect(history_file(tmp_path), isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        told = write(tmp_path, *a_run("r2"))
        assert last_run(tmp_path) is None
    finally:
        holder.close()
    assert len(told) == 1
    assert "locked" in told[0]


def test_a_folder_that_takes_no_files_fails_nothing_and_is_reported_once(tmp_path: Path) -> None:
    (tmp_path / ".catchment").write_text("a file where the folder should be", encoding="utf-8")
    assert len(write(tmp_path, *a_run())) == 1


def test_something_else_under_its_name_is_left_alone(tmp_path: Path) -> None:
    file = history_file(tmp_path)
    file.parent.mkdir()
    file.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    before = file.read_bytes()
    assert len(write(tmp_path, *a_run())) == 1
    assert last_run(tmp_path) is None
    assert file.read_bytes() == before


@pytest.mark.parametrize("version", [2, 99])
def test_the_log_of_a_newer_program_is_left_alone(tmp_path: Path, version: int) -> None:
    write(tmp_path, *a_run())
    connection = sqlite3.connect(history_file(tmp_path))
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    assert "newer" in write(tmp_path, *a_run("r2"))[0]
    assert [run.run for run in runs(tmp_path)] == ["r1"]
