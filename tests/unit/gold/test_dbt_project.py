from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import pytest

from catchment.errors import ConfigError, MissingExtra
from catchment.gold.dbt import OURS, PACKAGE, Dbt, find, fingerprint, project, refuse_missing_packages
from catchment.gold.sources import sources


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "gold"
    (folder / "models").mkdir(parents=True)
    (folder / "dbt_project.yml").write_text("name: tiny\ntarget-path: out\n")
    (folder / "models" / "a.sql").write_text("select * from {{ source('silver', 'sales') }}")
    return folder


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
    assert len(sources(Dbt(folder, folder / "state"), ()).tables) == 1001
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


def test_without_a_word_of_our_package_dbt_runs_in_the_users_own_folder(folder: Path, tmp_path: Path) -> None:
    (folder / "models" / "b.sql").write_text("{# catchment.new_rows is not used #} select 1")
    assert project(Dbt(folder, tmp_path / "state"), tmp_path / "state") == folder
    assert not (tmp_path / "state").exists()


def test_our_package_lies_beside_the_users_own_ones_and_his_folder_is_not_touched(folder: Path, tmp_path: Path) -> None:
    (folder / "models" / "b.sql").write_text("select {{ catchment.surrogate_key(['id']) }}")
    (folder / "dbt_packages" / "theirs").mkdir(parents=True)
    (folder / "out").mkdir()
    before = sorted(folder.rglob("*"))
    for _ in range(2):
        found = project(Dbt(folder, tmp_path / "state"), tmp_path / "state")
    assert sorted(path.name for path in found.iterdir()) == ["dbt_packages", "dbt_project.yml", "models"]
    assert sorted(path.name for path in (found / "dbt_packages").iterdir()) == ["catchment", "theirs"]
    assert (found / "models/b.sql").read_text() == (folder / "models/b.sql").read_text()
    assert sorted(folder.rglob("*")) == before


def test_our_package_is_known_by_each_of_its_macros_and_tests(folder: Path, tmp_path: Path) -> None:
    text = "".join(path.read_text() for path in PACKAGE.rglob("*.sql"))
    assert set(re.findall(r"{% (?:macro|test) ([a-z]\w+)", text)) == set(OURS)
    (folder / "models" / "b.yml").write_text("description: what catchment.yaml says of catchment.new_rowses\n")
    assert project(Dbt(folder, tmp_path / "state"), tmp_path / "state") == folder


def test_a_package_called_catchment_is_the_users(folder: Path, tmp_path: Path) -> None:
    (folder / "models" / "b.sql").write_text("select {{ catchment.new_rows() }}")
    (folder / "dbt_packages" / "catchment").mkdir(parents=True)
    assert project(Dbt(folder, tmp_path / "state"), tmp_path / "state") == folder


def test_packages_outside_the_project_cannot_have_ours_beside_them(folder: Path, tmp_path: Path) -> None:
    (folder / "models" / "b.sql").write_text("select {{ catchment.surrogate_key(['id']) }}")
    (folder / "dbt_project.yml").write_text("name: tiny\npackages-install-path: ../packages\n")
    with pytest.raises(ConfigError, match="keeps packages outside the project"):
        project(Dbt(folder, tmp_path / "state"), tmp_path / "state")
    assert not (tmp_path / "packages").exists()


@pytest.mark.parametrize("file", ["packages.yml", "dependencies.yml"])
def test_packages_that_nobody_installed_are_named_with_the_cure(folder: Path, file: str) -> None:
    asked = "packages:\n  - {package: dbt-labs/dbt_utils, version: 1.3.0}\n  - {git: 'https://x.test/a/own.git'}\n"
    (folder / file).write_text(asked)
    (folder / "dbt_packages" / "dbt_utils").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"packages that are not installed: https://x\.test/a/own\.git\n") as raised:
        refuse_missing_packages(folder)
    assert f"dbt deps --project-dir {folder}" in str(raised.value.hint)
    (folder / "dbt_packages" / "own").mkdir()
    refuse_missing_packages(folder)


def test_a_package_that_is_only_linked_to_counts_in_the_fingerprint(folder: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    (linked / "macros").mkdir(parents=True)
    (linked / "dbt_project.yml").write_text("name: linked\n")
    (folder / "dbt_packages").mkdir()
    (folder / "dbt_packages" / "linked").symlink_to(linked)
    before = fingerprint(folder)
    (linked / "macros" / "m.sql").write_text("{% macro m() %}1{% endmacro %}")
    assert fingerprint(folder) != before
