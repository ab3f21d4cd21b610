"""What a path means among keys: the same as `glob` finds among files of the same names."""

from __future__ import annotations

import glob
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catchment.sources.files.s3_names import Meant, meant

KEYS = [
    *("a.csv", "b.csv", ".h.csv", "_u.csv", "a.json", "d/a.csv", "d/.h.csv", "d/e/a.csv", "d/e/f/z.csv", ".x/a.csv"),
    *("_y/a.csv", "dd/a.csv", "d/[1].csv", "d/A.csv", "d-e/a.csv"),
]
PIECES = ["*", "**", "?", "a", "d", "e", ".csv", "/", "/", "[ab]", "[!a]", "[[]", ".", "_", "1]"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("keys")
    for key in KEYS:
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).touch()
    return root


def taken(path: str) -> list[str]:
    """Keys that a listing by prefix, and by level, would bring and that are meant."""
    what = meant(path, KEYS.__contains__)
    listed = [key for key in KEYS if key.startswith(what.prefix)]
    if what.is_flat:
        listed = [key for key in listed if "/" not in key[len(what.prefix) :]]
    return sorted(key for key in listed if what.takes(key))


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=7))
def test_a_pattern_takes_what_glob_takes(folder: Path, pieces: list[str]) -> None:
    pattern = "".join(pieces).lstrip("/")
    if not glob.has_magic(pattern) or "//" in pattern or pattern.endswith("/"):
        return
    found = glob.glob(pattern, root_dir=folder, recursive=True)
    assert taken(pattern) == sorted({name for name in found if (folder / name).is_file() and name in KEYS})


@pytest.mark.parametrize(
    "pattern", ["*.csv", "d/*.csv", "**/*.csv", "**", "d/**", "*/*.csv", "d/**/a.csv", "d/[[]1].csv"]
)
def test_usual_patterns_take_what_glob_takes(folder: Path, pattern: str) -> None:
    found = glob.glob(pattern, root_dir=folder, recursive=True)
    assert taken(pattern) == sorted(name for name in found if (folder / name).is_file())
    assert taken(pattern)


def test_a_folder_is_all_below_it_but_hidden_names() -> None:
    assert taken("d") == taken("d/") == ["d/A.csv", "d/[1].csv", "d/a.csv", "d/e/a.csv", "d/e/f/z.csv"]
    assert taken("") == sorted(key for key in KEYS if not key.startswith((".", "_")) and "/." not in key)


def test_a_name_of_an_object_is_that_object() -> None:
    assert taken("d/a.csv") == ["d/a.csv"]
    assert taken("d/a.cs") == []


def test_no_more_is_listed_than_has_to_be() -> None:
    assert meant("logs/2026-11-*.csv", bool) == Meant("logs/2026-11-", ["logs", "2026-11-*.csv"], is_flat=True)
    assert meant("logs/*/x.csv", bool).prefix == "logs/"
    assert not meant("logs/*/x.csv", bool).is_flat
    assert not meant("logs/**", bool).is_flat


def test_what_programs_leave_for_a_folder_is_no_file() -> None:
    assert not meant("d", lambda _: False).takes("d/e/")
    assert not meant("d/*", bool).takes("d/")
