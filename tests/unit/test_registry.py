"""Name -> implementation, loaded on use."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from catchment import interfaces, registry
from catchment.errors import ConfigError, MissingExtra
from catchment.registry import implementation

ROLES = {
    "sources": interfaces.Source,
    "lakes": interfaces.Lake,
    "engines": interfaces.Engine,
    "warehouses": interfaces.Warehouse,
}


@pytest.mark.parametrize(("role", "name"), [found for found in registry._OURS if found[0] in ROLES])
def test_every_name_leads_to_an_implementation_of_its_role(role: Any, name: str) -> None:
    assert issubclass(implementation(role, name), ROLES[role])


@pytest.mark.parametrize("name", [name for role, name in registry._OURS if role == "marks"])
def test_a_mark_is_told_of_a_place_where_nothing_is(name: str, tmp_path: Path) -> None:
    mark = registry.if_any("marks", name)
    assert mark is not None
    assert mark("nowhere", tmp_path) == mark("nowhere", tmp_path)
    assert ("sources", name) in registry._OURS


@pytest.mark.parametrize("name", [name for role, name in registry._OURS if role == "finders"])
def test_a_finder_belongs_to_a_type_of_source_that_an_address_means(name: str) -> None:
    assert callable(implementation("finders", name))
    assert ("sources", name) in registry._OURS
    assert name in registry.SCHEMES.values()


def test_a_kind_of_source_without_a_mark_has_none() -> None:
    assert registry.if_any("marks", "mine") is None


def test_an_unknown_name_says_what_was_meant_or_what_there_is() -> None:
    with pytest.raises(ConfigError, match="nothing called `filez` among sources") as told:
        implementation("sources", "filez")
    assert told.value.hint == "did you mean `files`?"
    with pytest.raises(ConfigError) as told:
        implementation("engines", "xyzzy")
    assert told.value.hint == "there are duckdb"


def _entry_points(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    entries = [SimpleNamespace(name=name, value=value) for name, value in values.items()]
    monkeypatch.setattr(metadata, "entry_points", lambda group: entries if group == "catchment.sources" else [])


def test_packages_of_others_can_add_one_through_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    _entry_points(monkeypatch, mine="catchment.testing.fakes:ScriptedSource")
    assert implementation("sources", "mine").__name__ == "ScriptedSource"
    with pytest.raises(ConfigError):
        implementation("engines", "mine")


def test_ours_cannot_be_replaced_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    _entry_points(monkeypatch, files="catchment.testing.fakes:ScriptedSource")
    assert implementation("sources", "files").__name__ == "FilesSource"


def test_a_missing_package_says_which_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._OURS, ("sources", "kafka"), "package_that_is_not_there:Source")
    with pytest.raises(MissingExtra, match="package `package_that_is_not_there` is not installed") as told:
        implementation("sources", "kafka")
    assert told.value.hint == "pip install 'catchment[kafka]'"


def test_nothing_is_loaded_before_it_is_asked_for() -> None:
    code = "import sys, catchment.registry; print([m for m in ('duckdb', 'deltalake', 'pyarrow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
