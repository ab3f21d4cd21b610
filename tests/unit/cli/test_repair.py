"""What `restore`, `rewind`, `adopt` and `maintain` show before they do it, ask, refuse, and do."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from deltalake import DeltaTable

from catchment.cli.invocation import Invocation
from catchment.errors import ConfigError, DataError
from catchment.plan import plan
from catchment.project import load_project
from catchment.run import run

_YAML = """\
name: small
sources:
  src:
    type: files
    streams:
      rows: {path: "rows/*.csv"}
silver:
  orders: {from: src.rows, mode: merge}
"""

_CONTRACT = """\
apiVersion: v3.0.2
kind: DataContract
id: orders
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
      - {name: id, logicalType: string, required: true, primaryKey: true, primaryKeyPosition: 1}
      - {name: n, logicalType: integer}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with three days behind it."""
    (tmp_path / "rows").mkdir()
    (tmp_path / "contracts").mkdir()
    (tmp_path / "catchment.yaml").write_text(_YAML, encoding="utf-8")
    (tmp_path / "contracts/orders.odcs.yaml").write_text(_CONTRACT, encoding="utf-8")
    for day in (1, 2, 3):
        (tmp_path / "rows" / f"{day}.csv").write_text(f"id,n\nday {day},{day}\nalways,{day}\n", encoding="utf-8")
        found = load_project(tmp_path)
        assert run(found, None, plan(found)) == "done"
    return tmp_path


@pytest.fixture
def call(folder: Path) -> Callable[..., Any]:
    """Call a command of the project; what comes back is the exit code."""

    def calling(name: str, *words: str) -> Any:
        command = getattr(importlib.import_module(f"catchment.cli.{name}"), name)
        return command.main(list(words), standalone_mode=False, obj=Invocation(project_folder=folder, no_colour=True))

    return calling


def asked(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """Somebody sits at a terminal and answers."""
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: answer)


def ids(folder: Path, table: str = "silver.orders") -> list[str]:
    from catchment.opened import OpenProject

    found = OpenProject(load_project(folder)).query(f"SELECT id FROM {table}").read_all()
    return sorted(found.column("id").to_pylist())


def test_restore_shows_what_it_would_do_and_does_it(
    folder: Path, call: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("restore", "silver.orders", "--to-version", "1", "--yes") == 0
    told = capsys.readouterr().err
    assert "silver.orders goes back to version 1 (generation 1, 20" in told
    assert "rows        4 now, 2 then" in told
    assert "cut off     loads 2-3" in told
    assert "  restore  silver.orders              as it was at generation 1: 2 rows; cut off: 2-3" in told
    assert ids(folder) == ["always", "day 1"]
    assert call("restore", "silver.orders", "--to-version", "1", "--yes") == 0


def test_restore_of_a_stream_tells_what_is_read_again_and_who_must_follow(
    folder: Path, call: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    call("restore", "bronze.src__rows", "--to-version", "1", "--yes")
    told = capsys.readouterr().err
    assert "goes out    4 rows of 2 files" in told
    assert "read again  2 files, " in told
    assert "run --rebuild silver.orders: it has taken rows that go" in told
    assert len(ids(folder, "bronze.src__rows")) == 2


@pytest.mark.parametrize(("answer", "code", "left"), [("n", 1, 4), ("y", 0, 2)])
def test_somebody_is_asked_before_anything_changes(
    folder: Path, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, answer: str, code: int, left: int
) -> None:
    asked(monkeypatch, answer)
    assert call("restore", "silver.orders", "--to-version", "1") == code
    assert len(ids(folder)) == left


@pytest.mark.parametrize(
    "words",
    [
        ("restore", "silver.orders", "--to-version", "1"),
        ("rewind", "src.rows", "--to-start"),
    ],
)
def test_nothing_is_done_where_nobody_can_be_asked(
    folder: Path, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    with pytest.raises(ConfigError, match="no terminal to ask on") as told:
        call(*words)
    assert "--yes" in (told.value.hint or "")
    assert len(ids(folder)) == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("restore", "silver.orders"), "say where to"),
        (("restore", "silver.orders", "--to-version", "1", "--to-time", "2026-01-01"), "say where to"),
        (("rewind", "src.rows"), "say where to"),
        (("rewind", "src.rows", "--to-start", "--to-load", "1"), "say where to"),
    ],
)
def test_one_place_to_go_to_is_needed(call: Callable[..., Any], words: tuple[str, ...], message: str) -> None:
    with pytest.raises(click.UsageError, match=message):
        call(*words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("restore", "orders", "--to-version", "1"), "is not a table name"),
        (("restore", "silver.order", "--to-version", "1"), r"no table silver\.order in the lake"),
        (("restore", "silver.orders", "--to-version", "99"), "has no version 99"),
        (("restore", "quarantine.orders", "--to-version", "0"), "no table|cannot go back by itself"),
        (("rewind", "src.row", "--to-start"), r"no stream src\.row in this project"),
        (("adopt", "silver.order"), r"no table silver\.order in the lake"),
        (("maintain", "--select", "silver.order"), r"no table silver\.order in the lake"),
    ],
)
def test_what_cannot_be_meant_is_told_with_a_cure(
    call: Callable[..., Any], words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as told:
        call(*words)
    assert told.value.hint


def test_where_a_table_is_already_nothing_is_done(
    folder: Path, call: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("restore", "silver.orders", "--to-time", "2100-01-01") == 0
    assert "is there already" in capsys.readouterr().err


def test_rewind_reads_again_and_names_what_must_follow(
    folder: Path, call: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("rewind", "src.rows", "--to-load", "2", "--yes") == 0
    told = capsys.readouterr().err
    assert "bronze.src__rows goes back to version 2" in told
    assert "run --rebuild silver.orders" in told
    assert len(ids(folder, "bronze.src__rows")) == 4
    found = load_project(folder)
    run(found, None, [plan(found)[0]])
    assert len(ids(folder, "bronze.src__rows")) == 6


def test_rewind_stops_before_rows_that_cannot_be_read_again(
    folder: Path, call: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "rows/2.csv").unlink()
    with pytest.raises(DataError, match="not all of its rows can be read again") as told:
        call("rewind", "src.rows", "--to-start", "--yes")
    assert "--lose-rows" in (told.value.hint or "")
    assert "lost        1 file cannot be read again: rows/2.csv" in capsys.readouterr().err
    assert len(ids(folder, "bronze.src__rows")) == 6
    assert call("rewind", "src.rows", "--to-start", "--yes", "--lose-rows") == 0
    assert ids(folder, "silver.orders") == ["always", "day 1", "day 2", "day 3"]


def test_adopt_says_why_and_goes_on(folder: Path, call: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("adopt", "silver.orders", "--yes") == 0
    assert "is whole: nothing to adopt" in capsys.readouterr().err
    DeltaTable(folder / "lake/silver/orders").restore(1)
    assert call("adopt", "silver.orders", "--yes") == 0
    told = capsys.readouterr().err
    assert "was put back by another program" in told
    assert "it goes on from generation 1" in told
    assert ids(folder) == ["always", "day 1"]


def test_events_of_a_way_back_are_json_lines(call: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    call("restore", "silver.orders", "--to-version", "2", "--yes", "--json")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (told,) = [line for line in lines if line["event"] == "TableRestored"]
    assert (told["table"], told["verb"], told["to"], told["cut_off"]) == ("silver.orders", "restore", 2, [[3, 3]])


def test_maintain_shows_first_and_does_it_then(
    folder: Path, call: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted((folder / "lake").rglob("*"))
    assert call("maintain") == 0
    told = capsys.readouterr()
    assert "bronze.src__rows  small files to join      3" in told.out
    assert "Nothing was changed" in told.err
    assert sorted((folder / "lake").rglob("*")) == before
    assert call("maintain", "--do", "--json") == 0
    (one,) = [one for one in json.loads(capsys.readouterr().out) if one["table"] == "bronze.src__rows"]
    assert [(chore["kind"], chore["items"]) for chore in one["chores"]] == [("compact", 3)]
    assert one["note"] is None
    assert call("maintain") == 0
    assert "Everything is tidy" in capsys.readouterr().err


def test_what_is_left_alone_is_told(folder: Path, call: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "lake/_progress/silver.orders").rename(folder / "lost")
    call("maintain", "--select", "silver.orders")
    assert "silver.orders: left alone: silver.orders is at generation 3" in capsys.readouterr().out
