"""docs/guides/own-source.md: a package of others that brings a source and its keys is a type like any other."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from catchment import registry
from catchment.cli import main
from catchment.opened import OpenProject
from catchment.project import load_project
from catchment.reading.kinds import KINDS

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "own-source.md"
Captured = pytest.CaptureFixture[str]

_PROJECT = """\
name: counted
sources:
  numbers:
    type: counter
    start: 2
    streams:
      few: {upto: 4}
"""


def _install(folder: Path, points: str) -> None:
    """A distribution as an installer leaves it."""
    about = folder / "counter_source-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: counter-source\nVersion: 1.0\n", encoding="utf-8")
    (about / "entry_points.txt").write_text(points, encoding="utf-8")


def _points(toml: str) -> str:
    return re.sub(r"\[project\.entry-points\.\"(.+?)\"\]", r"[\1]", toml).replace('"', "")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package of the guide, installed."""
    text, folder = GUIDE.read_text(encoding="utf-8"), tmp_path / "packages"
    (toml,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    _install(folder, _points(toml))
    for name, body in re.findall(r"```python (\S+)\n(.*?)```", text, re.DOTALL):
        (folder / name).write_text(body, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    yield folder
    for name in ("counter_source", "counter_keys"):
        sys.modules.pop(name, None)


@pytest.fixture
def project(tmp_path: Path, package: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "counted"
    folder.mkdir()
    (folder / "catchment.yaml").write_text(_PROJECT, encoding="utf-8")
    monkeypatch.chdir(folder)
    return folder


def test_its_rows_land_once(project: Path) -> None:
    assert main(["check"]) == 0
    assert main(["run"]) == 0
    assert main(["run"]) == 0
    text = (project / "catchment.yaml").read_text(encoding="utf-8").replace("upto: 4", "upto: 5")
    (project / "catchment.yaml").write_text(text, encoding="utf-8")
    assert main(["plan"]) == 0
    assert main(["run"]) == 0
    rows = OpenProject(load_project(project)).query("SELECT number, _load FROM bronze.numbers__few ORDER BY number")
    assert rows.read_all().to_pylist() == [
        {"number": number, "_load": load} for number, load in ((2, 1), (3, 1), (4, 1), (5, 2))
    ]


def test_its_keys_are_checked_like_ours(project: Path, capsys: Captured) -> None:
    (project / "catchment.yaml").write_text(_PROJECT.replace("start", "strat").replace("4", "0"), encoding="utf-8")
    assert main(["check"]) == 1
    told = capsys.readouterr()
    words = told.out + told.err
    assert "catchment.yaml:5:5  sources.numbers: unknown key `strat`; did you mean `start`?" in words
    assert "catchment.yaml:7:19  sources.numbers.streams.few.upto: must be at least 1" in words
    (project / "catchment.yaml").write_text(_PROJECT.replace("counter", "conter"), encoding="utf-8")
    assert main(["check"]) == 1
    told = capsys.readouterr()
    assert "did you mean `counter`?" in told.out + told.err


def test_it_is_listed_with_its_keys_and_its_example(package: Path, capsys: Captured) -> None:
    assert main(["sources", "--json"]) == 0
    found = {one["type"]: one for one in json.loads(capsys.readouterr().out)}
    assert found["counter"]["what"] == "Whole numbers, counted, from another package (counter_source:CounterSource)"
    assert found["counter"]["abilities"]["takes_new"]
    assert found["files"]["installed"]
    assert main(["sources", "counter"]) == 0
    shown = capsys.readouterr().out
    assert "  start  (by default 1)\n    The first number.\n" in shown
    assert "  upto  (must be given)\n" in shown
    assert shown.endswith("sources:\n  numbers:\n    type: counter\n    streams:\n      few: {upto: 3}\n")


def test_a_package_that_cannot_be_loaded_stops_only_who_names_it(
    project: Path, package: Path, capsys: Captured
) -> None:
    (package / "counter_keys.py").write_text("import package_that_is_not_there\n", encoding="utf-8")
    assert main(["sources"]) == 0
    assert "cannot be loaded from counter_keys:CounterKeys" in capsys.readouterr().out
    assert main(["run"]) == 1
    told = capsys.readouterr().err
    assert "error: the keys of source type `counter` cannot be loaded" in told
    assert "No module named 'package_that_is_not_there'" in told
    (project / "catchment.yaml").write_text("name: counted\n", encoding="utf-8")
    assert main(["check"]) == 0


@pytest.mark.parametrize("place", ["pathlib:Path", "counter_keys:Nothing"])
def test_what_is_no_model_of_keys_is_refused(tmp_path: Path, package: Path, capsys: Captured, place: str) -> None:
    (package / "counter_source-1.0.dist-info" / "entry_points.txt").write_text(
        f"[catchment.kinds]\ncounter = {place}\n", encoding="utf-8"
    )
    (tmp_path / "catchment.yaml").write_text(_PROJECT, encoding="utf-8")
    assert main(["--project", str(tmp_path), "check"]) == 1
    assert f"{place}" in capsys.readouterr().out


def test_ours_cannot_be_replaced(package: Path) -> None:
    points = "[catchment.kinds]\nfiles = counter_keys:CounterKeys\n"
    (package / "counter_source-1.0.dist-info" / "entry_points.txt").write_text(points, encoding="utf-8")
    assert KINDS["files"].__name__ == "FilesSource"
    assert registry.is_ours("sources", "files")
    assert len(KINDS) == len(list(KINDS))
