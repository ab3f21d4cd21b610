"""`catchment plan`: one source that is down costs its own line and the exit code, nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from catchment.cli import main

_PROJECT = """\
name: hub
sources:
  api:
    type: rest
    url: http://127.0.0.1:9
    streams: {items: {path: /items}, more: {path: /more}}
  drops:
    type: files
    streams: {notes: {path: "notes/*.csv"}}
"""


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "catchment.yaml").write_text(_PROJECT, encoding="utf-8")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "1.csv").write_text("id\n1\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def test_a_source_that_is_down_is_told_in_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan"]) == 1
    told = capsys.readouterr().out.splitlines()
    assert [line[:31] for line in told[1:4]] == [
        "  land     api.items     cannot",
        "  land     api.more      cannot",
        "  land     drops.notes   1 new ",
    ]
    assert told[4:6] == ["1 step.", "2 steps cannot be told; what depends on them may have more to do."]


def test_json_says_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--json"]) == 1
    steps = json.loads(capsys.readouterr().out)["steps"]
    assert [one["error"] is None for one in steps] == [False, False, True]
    assert "127.0.0.1:9" in steps[0]["error"]


def test_what_is_not_asked_for_is_not_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--select", "drops.notes"]) == 0
    assert "cannot" not in capsys.readouterr().out
