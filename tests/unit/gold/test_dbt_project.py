from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from catchment.errors import ConfigError, MissingExtra
from catchment.gold.dbt import find, fingerprint, sources_used


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    (tmp_path / "dbt_project.yml").write_text("name: tiny\ntarget-path: out\n")
    (tmp_path / "models" / "a.sql").write_text("select * from {{ source('silver', 'sales') }}")
    return tmp_path


def test_sources_are_found_in_sql_python_and_yaml(folder: Path) -> None:
    (folder / "models" / "b.sql").write_text('from {{source( "silver" ,"users" )}} join {{ source("other", "x") }}')
    (folder / "models" / "c.py").write_text('def model(dbt, session):\n    return dbt.source("silver", "events")\n')
    (folder / "models" / "d.yml").write_text("to: source('silver', 'products')")
    (folder / "models" / "e.sql").write_text("{# source('silver', 'old') #} select 1")
    (folder / "models" / "f.md").write_text("source('silver', 'told_of')")
    assert sources_used(folder) == {"sales", "users", "events", "products"}


@pytest.mark.parametrize(
    "name", ["models/a.sql", "models/new.sql", "macros/m.sql", "seeds/s.csv", "packages.yml", "dbt_project.yml"]
)
def test_the_fingerprint_changes_with_every_file_that_can_change_gold(folder: Path, name: str) -> None:
    before = fingerprint(folder)
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text((path.read_text() if path.exists() else "") + "\n# more\n")
    assert fingerprint(folder) != before


def test_the_fingerprint_changes_when_a_file_is_renamed_or_moved_text_from_one_to_the_next(folder: Path) -> None:
    (folder / "models" / "b.sql").write_text("b")
    seen = {fingerprint(folder)}
    (folder / "models" / "b.sql").rename(folder / "models" / "c.sql")
    seen.add(fingerprint(folder))
    text = (folder / "models" / "a.sql").read_text()
    (folder / "models" / "a.sql").write_text(text[:-1])
    (folder / "models" / "c.sql").write_text(text[-1] + "b")
    seen.add(fingerprint(folder))
    assert len(seen) == 3


@pytest.mark.parametrize(
    "name", ["target/x.json", "out/x.json", "logs/dbt.log", "dbt_packages/p/m.sql", ".git/HEAD", "models/.a.sql.swp"]
)
def test_the_fingerprint_leaves_out_what_dbt_or_an_editor_writes(folder: Path, name: str) -> None:
    before = fingerprint(folder)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("x")
    assert fingerprint(folder) == before


def test_the_fingerprint_does_not_depend_on_where_the_project_lies(folder: Path, tmp_path: Path) -> None:
    before = fingerprint(folder)
    moved = folder.with_name(f"{folder.name}_moved")
    folder.rename(moved)
    assert fingerprint(moved) == before


def test_a_thousand_models_are_read_in_a_moment(folder: Path) -> None:
    for number in range(1000):
        (folder / "models" / f"m{number}.sql").write_text(
            f"select {number} from {{{{ source('silver', 't{number}') }}}}"
        )
    began = time.perf_counter()
    fingerprint(folder)
    assert len(sources_used(folder)) == 1001
    assert time.perf_counter() - began < 1.0  # measured 0.06 s


def test_a_folder_without_a_dbt_project_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is not a dbt project: there is no .*dbt_project\.yml") as raised:
        fingerprint(tmp_path)
    assert "gold.dbt" in str(raised.value.hint)


def test_a_broken_project_file_is_named_with_its_line(folder: Path) -> None:
    (folder / "dbt_project.yml").write_text("name: [\n")
    with pytest.raises(ConfigError, match=r"(?s)dbt_project\.yml: .*line 2"):
        fingerprint(folder)


def test_dbt_is_the_one_beside_this_python() -> None:
    assert find(None) == [str(Path(sys.executable).with_name("dbt"))]


def test_gold_command_starts_a_dbt_kept_elsewhere() -> None:
    assert find("env PYTHONUTF8=1 dbt") == ["env", "PYTHONUTF8=1", "dbt"]
    with pytest.raises(MissingExtra, match="no such program"):
        find("no-such-program --x")


def test_without_dbt_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingExtra) as raised:
        find(None)
    assert "pip install 'catchment[dbt]'" in str(raised.value.hint)
