"""A stream's mark changes with whatever a look at its files would tell, and with nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from catchment.sources.files.listing import mark, names

Edit = Callable[[Path], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data" / "inner").mkdir(parents=True)
    for name in ("a.csv", "b.csv", "inner/c.csv"):
        (tmp_path / "data" / name).write_text("n\n1\n", encoding="utf-8")
    return tmp_path


EDITS: dict[str, Edit] = {
    "a new file": lambda data: (data / "z.csv").write_text("n\n", encoding="utf-8"),
    "a file gone": lambda data: (data / "a.csv").unlink(),
    "a file renamed": lambda data: (data / "a.csv").rename(data / "d.csv"),
    "a file grown": lambda data: (data / "a.csv").write_text("n\n1\n2\n", encoding="utf-8"),
    "a file touched": lambda data: os.utime(data / "a.csv", ns=(0, 1)),
    "a folder in a file's place": lambda data: ((data / "a.csv").unlink(), (data / "a.csv").mkdir()),
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("pattern", ["data/*.csv", "data", "data/a.csv", "data/**/*.csv"])
def test_a_mark_changes_with_the_files_that_a_stream_means(folder: Path, pattern: str, edit: str) -> None:
    before = mark(pattern, folder)
    assert mark(pattern, folder) == before
    EDITS[edit](folder / "data")
    elsewhere = pattern == "data/a.csv" and edit == "a new file"
    assert (mark(pattern, folder) == before) == elsewhere


def test_what_a_stream_does_not_mean_leaves_its_mark(folder: Path) -> None:
    before = mark("data", folder), mark("data/*.csv", folder)
    (folder / "data" / ".hidden.csv").write_text("x", encoding="utf-8")
    (folder / "data" / "_temporary").mkdir()
    (folder / "data" / "_temporary" / "x.csv").write_text("x", encoding="utf-8")
    assert (mark("data", folder), mark("data/*.csv", folder)) == before


def test_a_stream_without_files_has_a_mark_too(folder: Path) -> None:
    assert mark("nowhere/*.csv", folder) == mark("nowhere", folder) != mark("data", folder)


@pytest.mark.skipif(os.name != "posix", reason="names of bytes that are no text")
def test_names_that_are_no_text_are_files_like_others(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder / "data") + b"/\xff.csv")).write_text("n\n", encoding="utf-8")
    before = mark("data", folder)
    assert before != mark("data/inner", folder)
    assert len(names(folder / "data", "data", folder)) == 4


def test_a_bucket_has_no_mark_so_that_a_plan_lists_it_once(folder: Path) -> None:
    assert mark("s3://drops/in/*.csv", folder) is None
