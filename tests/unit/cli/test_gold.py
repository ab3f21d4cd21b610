from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import catchment
from catchment.answers import GoldStatus, Status
from catchment.cli.group import catchment as root
from catchment.cli.status import lines
from catchment.connected import Connected
from catchment.errors import ConfigError
from catchment.project import load_project

BROOK = Path(__file__).parents[2] / "flows" / "brook"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project of which gold was served three times, made by hand: 10, 20 and 30 litres."""
    folder = tmp_path / "brook"
    shutil.copytree(BROOK, folder)
    warehouse = Connected.of(load_project(folder)).warehouse
    for number in (1, 2, 3):
        build = warehouse.build()
        connection: Any = build.connect()  # type: ignore[attr-defined]
        connection.execute(f"create table main.flow as select {number * 10} as litres")
        pins = {"silver.readings": {"version": number}}
        warehouse.publish(build, {"pins": pins, "project": "p", "models": {"flow": "main.flow"}, "tests": 1})
    return folder


def call(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(root, ["--project", str(folder), "gold", *words], standalone_mode=False)


def litres(folder: Path) -> int:
    return int(catchment.open(folder).query("select litres from gold.flow").read_all()["litres"][0].as_py())


def test_the_builds_that_can_be_served_are_listed(folder: Path) -> None:
    lines = call(folder, "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["build", "3", "2", "1"]
    assert [line.split()[-1] for line in lines[1:]] == ["served", "-", "-"]
    first = json.loads(call(folder, "list", "--json").stdout)[0]
    assert (first["build"], first["served"], first["versions"]) == (3, True, {"silver.readings": 3})
    assert set(first) == {
        *("build", "content_of", "published_at", "served", "models", "history", "tests", "warnings", "exposures"),
        *("versions", "rows", "late"),
    }
    assert (first["rows"], first["late"]) == ({"main.flow": 1}, [])


def test_gold_goes_back_and_forth(folder: Path) -> None:
    told = call(folder, "rollback", "--yes")
    assert told.return_value == 0
    assert "gold goes back from build 3 to what build 2 held" in told.stderr
    assert litres(folder) == 20
    assert call(folder, "list").stdout.splitlines()[1].endswith("served, what build 2 held")
    assert call(folder, "rollback", "--yes").return_value == 0
    assert litres(folder) == 10
    assert call(folder, "rollback", "--to", "3", "--yes").return_value == 0
    assert litres(folder) == 30


def test_without_a_terminal_nobody_is_asked_and_nothing_changes(folder: Path) -> None:
    told = call(folder, "rollback")
    assert isinstance(told.exception, ConfigError)
    assert litres(folder) == 30
    assert [path.name for path in (folder / "warehouse/local/builds").iterdir()] == [".lock"]


def test_a_build_that_is_not_kept_is_told_with_those_that_are(folder: Path) -> None:
    told = call(folder, "rollback", "--to", "9", "--yes")
    assert isinstance(told.exception, ConfigError)
    assert told.exception.message == "no build 9 of gold to go back to; kept beside the served one: 2, 1"


def test_with_one_build_there_is_nowhere_to_go(folder: Path) -> None:
    shutil.rmtree(folder / "warehouse/local/kept")
    told = call(folder, "rollback", "--yes")
    assert isinstance(told.exception, ConfigError)
    assert "no earlier build of gold; kept beside the served one: none" in told.exception.message


def test_what_was_edited_cannot_be_told_where_nobody_remembers_what_was_built(folder: Path) -> None:
    told = call(folder, "modified")
    assert isinstance(told.exception, ConfigError)
    assert "not known here any more" in told.exception.message


def test_a_project_without_gold_says_so(folder: Path) -> None:
    text = (folder / "catchment.yaml").read_text()
    (folder / "catchment.yaml").write_text(text.replace("gold: {dbt: gold/}\n", ""))
    for words in (["list"], ["rollback"], ["rebuild"], ["modified"]):
        told = call(folder, *words)
        assert isinstance(told.exception, ConfigError)
        assert told.exception.message == "project `brook` has no gold"


def test_status_tells_of_a_rollback_of_warnings_and_of_who_uses_gold() -> None:
    found = GoldStatus(
        build=8,
        published_at=None,
        models=("a",),
        is_current=True,
        content_of=6,
        tests=9,
        warnings=("w",),
        exposures=("report",),
    )
    assert [line.strip() for line in lines(Status("shop", "local", (), found))[-3:]] == [
        "gold was rolled back: build 8 is what build 6 held",
        "gold: 1 test of 9 warned: w",
        "gold is used by report",
    ]
