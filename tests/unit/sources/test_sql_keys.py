"""What catchment.yaml may say of a table, and what is said of a mistake in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from catchment.errors import ProjectProblems
from catchment.project import load_project

_PROJECT = "name: shop\nsources:\n  db:\n    type: {kind}\n    url: {url}\n    streams:\n      users: {stream}\n"
_POSTGRES = "postgresql://me@host:5432/shop"


def _load(folder: Path, stream: str, *, kind: str = "postgres", url: str = _POSTGRES) -> str:
    """What is wrong, in words; empty where nothing is."""
    (folder / "catchment.yaml").write_text(_PROJECT.format(kind=kind, url=url, stream=stream))
    try:
        load_project(folder)
    except ProjectProblems as problems:
        return str(problems)
    return ""


@pytest.mark.parametrize(
    "stream",
    [
        "{table: users}",
        "{table: public.users, cursor: updated_at}",
        "{table: users, cursor: updated_at, lookback: 5 minutes, key: [id], columns: [id, updated_at], where: id > 1}",
        "{table: users, cursor: id, lookback: 100, as_text: [note]}",
        "{table: users, cursor: id, lookback: '${env:LOOKBACK}'}",
    ],
)
def test_a_table_is_declared_in_a_line(tmp_path: Path, stream: str) -> None:
    assert _load(tmp_path, stream) == ""
    assert _load(tmp_path, stream, kind="sql", url="sqlite:///data/shop.db") == ""


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        ("{cursor: id}", "table is missing"),
        ("{tabel: users}", "did you mean `table`?"),
        ("{table: users, lookback: 1 hour}", "lookback is for a table with a cursor"),
        ("{table: users, cursor: at, lookback: soon}", "`soon` is no length of time; write one such as 5 minutes"),
        ("{table: users, cursor: at, lookback: -5}", "lookback is below zero"),
        ("{table: users, cursor: at, columns: [id]}", "columns leaves out `at`, which is needed; add at to columns"),
        ("{table: users, as_text: [at], columns: [id]}", "columns leaves out `at`"),
    ],
)
def test_a_mistake_is_told_with_its_cure(tmp_path: Path, stream: str, words: str) -> None:
    told = _load(tmp_path, stream)
    assert words in told
    assert "catchment.yaml:" in told


@pytest.mark.parametrize("url", ["mysql://me:an-open-secret@host/x", "me:an-open-secret@host/x"])
def test_an_address_of_another_database_is_told_without_what_it_says(tmp_path: Path, url: str) -> None:
    told = _load(tmp_path, "{table: users}", url=url)
    assert "is no address of such a database; write one such as postgresql://" in told
    assert "secret" not in told


def test_a_table_without_a_cursor_is_whole(tmp_path: Path) -> None:
    _load(tmp_path, "{table: users}")
    assert load_project(tmp_path).is_full("db.users")
    _load(tmp_path, "{table: users, cursor: at}")
    assert not load_project(tmp_path).is_full("db.users")
