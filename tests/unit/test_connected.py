"""What gold is given to read: tables at their newest version, and those without rows until they come."""

from __future__ import annotations

from pathlib import Path

import pytest

from catchment.connected import Connected
from catchment.gold.pinned import Pinned
from catchment.plan import plan
from catchment.project import Project
from catchment.run import run
from catchment.testing.fakes import column, contract, project

MODEL = "select id from {{ source('silver', 'a') }} join {{ source('silver', 'b') }} using (id)"
HISTORY = {"from": "src.b", "mode": "history"}


@pytest.fixture
def two(tmp_path: Path) -> Project:
    """Gold reads silver.a and silver.b; only a's stream has a file."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "gold/models").mkdir(parents=True)
    (tmp_path / "gold/dbt_project.yml").write_text("name: gold\nprofile: gold\n", encoding="utf-8")
    (tmp_path / "gold/models/both.sql").write_text(MODEL, encoding="utf-8")
    (tmp_path / "a/1.csv").write_text("id,n\nx,1\n", encoding="utf-8")
    contracts = [contract(name, column("id", key_position=1), column("n", "integer")) for name in ("a", "b")]
    silver = {"a": {"from": "src.a"}, "b": HISTORY}
    return project(tmp_path, contracts, silver, streams=("a", "b"), gold=True)


def pins(found: Project) -> dict[str, Pinned]:
    return {str(name): pinned for name, pinned in Connected.of(found).pinned().items()}


def go(found: Project, *select: str) -> None:
    assert run(found, None, plan(found, select)) == "done"


def test_a_table_whose_stream_has_brought_nothing_is_read_without_rows(two: Project) -> None:
    go(two, "bronze", "silver")
    found = pins(two)
    assert {name: (pinned.is_made, pinned.scan.rows) for name, pinned in found.items()} == {
        "silver.a": (True, 1),
        "silver.b": (False, 0),
    }
    (two.folder / "b/1.csv").write_text("id,n\nx,1\n", encoding="utf-8")
    go(two, "bronze", "silver")
    made = pins(two)["silver.b"]
    assert made.is_made
    assert list(made.columns) == list(found["silver.b"].columns)
    assert made.scan.schema.remove_metadata() == found["silver.b"].scan.schema


def test_a_table_whose_rows_only_wait_to_be_refined_is_not_taken_for_empty(two: Project) -> None:
    go(two, "bronze")
    assert sorted(pins(two)) == ["silver.b"]
