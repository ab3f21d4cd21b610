"""Status: rows, versions, freshness against the contract, rejects and what is still to be taken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from catchment.contract import Freshness
from catchment.plan import plan
from catchment.project import Project
from catchment.run import run
from catchment.status import status
from catchment.testing.fakes import column, contract, project

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)


def _project(folder: Path, *, within_s: int | None = 3600, kind: str = "timestamp") -> Project:
    freshness = None if within_s is None else Freshness("at", within_s)
    orders = contract("orders", column("id"), column("at", kind, required=True), freshness=freshness)
    (folder / "rows").mkdir(exist_ok=True)
    return project(folder, [orders], {"orders": {"from": "src.rows"}})


def _write(folder: Path, name: str, *times: str) -> None:
    text = "\n".join(["id,at", *(f"{place},{time}" for place, time in enumerate(times))]) + "\n"
    (folder / "rows" / f"{name}.csv").write_text(text, encoding="utf-8")


def test_a_project_that_never_ran_has_no_tables(tmp_path: Path) -> None:
    told = status(_project(tmp_path), None)
    assert (told.project, told.target, list(told.tables), told.last_run) == ("small", "local", [], None)
    assert (told.gold.build, told.gold.is_current) == (None, None)


def test_every_table_tells_rows_version_and_rejects(tmp_path: Path) -> None:
    found = _project(tmp_path)
    _write(tmp_path, "1", "2026-01-02T11:00:00Z", "2026-01-02T10:00:00Z", "never")
    run(found, None, plan(found))
    bronze, silver = status(found, None, now=NOW).tables
    assert (bronze.table, bronze.rows, bronze.rejected, bronze.behind) == ("bronze.src__rows", 3, None, None)
    assert (silver.table, silver.rows, silver.rejected, silver.behind) == ("silver.orders", 2, 1, 0)
    assert silver.rejected_share == 1 / 3
    assert silver.version == 1


def test_freshness_is_the_age_of_the_newest_instant(tmp_path: Path) -> None:
    found = _project(tmp_path)
    _write(tmp_path, "1", "2026-01-02T11:30:00Z", "2026-01-02T10:00:00Z")
    run(found, None, plan(found))
    silver = status(found, None, now=NOW).tables[1]
    assert silver.newest == NOW - timedelta(minutes=30)
    assert (silver.age_s, silver.fresh_within_s) == (1800, 3600)


def test_freshness_of_a_day_counts_from_its_start(tmp_path: Path) -> None:
    found = _project(tmp_path, kind="date")
    _write(tmp_path, "1", "2026-01-02")
    run(found, None, plan(found))
    assert status(found, None, now=NOW).tables[1].age_s == 12 * 3600


def test_without_rows_or_without_a_promise_there_is_no_age(tmp_path: Path) -> None:
    found = _project(tmp_path)
    _write(tmp_path, "1", "never")
    run(found, None, plan(found))
    silver = status(found, None, now=NOW).tables[1]
    assert (silver.rows, silver.newest, silver.age_s, silver.rejected_share) == (0, None, None, 1.0)
    silent = status(_project(tmp_path, within_s=None), None).tables[1]
    assert silent.fresh_within_s is None


def test_what_was_landed_and_not_refined_is_behind(tmp_path: Path) -> None:
    found = _project(tmp_path)
    _write(tmp_path, "1", "2026-01-02T11:00:00Z")
    run(found, None, plan(found))
    for name in ("2", "3"):
        _write(tmp_path, name, "2026-01-02T11:30:00Z")
        run(found, None, plan(found, ["src.rows"]))
    bronze, silver = status(found, None).tables
    assert (bronze.rows, silver.rows, silver.behind) == (3, 1, 2)


def test_status_writes_nothing_in_the_lake(tmp_path: Path) -> None:
    found = _project(tmp_path)
    _write(tmp_path, "1", "2026-01-02T11:00:00Z")
    run(found, None, plan(found))
    before = sorted((tmp_path / "lake").rglob("*"))
    status(found, None)
    assert sorted((tmp_path / "lake").rglob("*")) == before
