"""`catchment sources`: every type, what it can do, what it needs, and an example that is one."""

from __future__ import annotations

import json
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from catchment import registry
from catchment.cli import main
from catchment.cli.sources import _WORDS, as_value, lines, one_lines
from catchment.errors import MissingExtra
from catchment.reading.kinds import KINDS
from catchment.records import Abilities

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "reference" / "json.md").read_text(encoding="utf-8")

Captured = pytest.CaptureFixture[str]


def test_every_type_that_a_project_may_name_is_listed_with_what_it_can_do(capsys: Captured) -> None:
    assert main(["sources", "--json"]) == 0
    found = {one["type"]: one for one in json.loads(capsys.readouterr().out)}
    assert set(found) >= set(KINDS)
    assert found["files"]["abilities"] == dict.fromkeys(_WORDS, True)
    assert found["delta"]["abilities"]["takes_new"] is False
    assert {name for name, one in found.items() if one["finds"]} == {"postgres", "sql", "mongodb", "redis"}


@pytest.mark.parametrize("name", KINDS)
def test_a_type_can_bring_what_is_new_or_all_and_says_what_its_rows_are(name: str) -> None:
    abilities = as_value(name)["abilities"]
    assert abilities is not None
    assert abilities["takes_new"] or abilities["takes_whole"]
    assert abilities["keeps_types"] or abilities["brings_documents"]


def test_the_words_are_those_of_the_abilities() -> None:
    assert set(_WORDS) <= {field.name for field in fields(Abilities)}


@pytest.mark.parametrize("name", KINDS)
def test_an_example_is_a_source_of_its_type(name: str) -> None:
    (source,) = yaml.safe_load(KINDS[name].example).values()
    assert source["type"] == name
    KINDS[name].model_validate(source, by_alias=True, by_name=False)


@pytest.mark.parametrize("name", KINDS)
def test_what_a_type_needs_is_an_extra_of_the_package(name: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert registry.extra(name) is None or registry.extra(name) in extras


def test_one_type_shows_its_keys_and_an_example(capsys: Captured) -> None:
    assert main(["sources", "sql"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("sql: Tables of any database that SQLAlchemy knows")
    assert "  needs catchment[sql]\n" in shown
    assert "  table  (must be given)\n" in shown
    assert "  lookback  (by default 0)\n" in shown
    assert "sources:\n  legacy:\n    type: sql\n" in shown


def test_an_unknown_type_is_told_with_the_nearest_one(capsys: Captured) -> None:
    assert main(["sources", "postgers"]) == 1
    assert "no type of source `postgers`" in (told := capsys.readouterr().err)
    assert "did you mean `postgres`?" in told


def test_a_type_whose_packages_are_missing_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object) -> None:
        message = "cannot use mongodb from sources: package `pymongo` is not installed"
        raise MissingExtra(message, hint="pip install 'catchment[mongodb]'")

    monkeypatch.setattr(registry, "implementation", absent)
    value = as_value("mongodb")
    assert (value["installed"], value["abilities"]) == (False, None)
    assert "not installed: pip install 'catchment[mongodb]'" in lines([value])[1]
    told = one_lines(value | {"keys": {}, "example": ""})
    assert "  needs catchment[mongodb], which is not installed" in told


def test_a_type_of_another_package_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = {"fakes": "catchment.testing.fakes:ScriptedSource"}
    monkeypatch.setattr(registry, "_theirs", lambda role: theirs if role == "sources" else {})
    value = as_value("fakes")
    package = "from another package (catchment.testing.fakes:ScriptedSource)"
    assert value["what"] == f"{package}, which brings no keys for catchment.yaml"
    assert (value["extra"], value["installed"]) == (None, True)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("postgresql://h/x", "postgres"),
        ("postgres://h/x", "postgres"),
        ("sqlite:///x.db", "sql"),
        ("mysql+pymysql://h/x", "sql"),
        ("mongodb+srv://h/x", "mongodb"),
        ("rediss://h/0", "redis"),
        ("https://h/x", None),
        ("data/*.csv", None),
    ],
)
def test_a_scheme_tells_the_type_of_source(url: str, kind: str | None) -> None:
    assert registry.source_at(url) == kind


def test_every_field_of_the_list_is_in_the_reference() -> None:
    section = PAGE.split("## catchment sources --json\n")[1].split("\n## ")[0]
    value = as_value("files")
    assert [key for key in (*value, *value["abilities"], "keys", "example") if f'"{key}":' not in section] == []
