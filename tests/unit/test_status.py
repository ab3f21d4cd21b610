"""Status: rows, versions, freshness against the contract, rejects and what is still to be taken."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from catchment.answers import GoldStatus, ModelStatus, Status
from catchment.cli.status import lines, version_lines
from catchment.connected import Connected
from catchment.contract import Freshness, Reference, SetRule
from catchment.errors import ConfigError
from catchment.naming import TableName
from catchment.plan import plan
from catchment.project import Project
from catchment.records import Order
from catchment.run import run
from catchment.status import status, versions
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


def test_gaps_are_days_in_utc_without_a_row_and_only_told_when_asked(tmp_path: Path) -> None:
    found = _project(tmp_path)
    times = ["2026-01-02T23:30:00Z", "2026-01-03T01:30:00+02:00", "2026-01-04T00:00:00Z", "2026-01-09T11:00:00Z"]
    _write(tmp_path, "1", *times, "never")
    run(found, None, plan(found))
    assert status(found, None).tables[1].gaps is None
    told = status(found, None, gaps=True)
    assert told.tables[0].gaps is None
    assert told.tables[1].gaps == ((date(2026, 1, 3), date(2026, 1, 3)), (date(2026, 1, 5), date(2026, 1, 8)))
    shown = lines(told)
    assert shown[1].split()[-1] == "gaps"
    assert shown[3].endswith("5 days")
    assert shown[4] == "  silver.orders has no row of 2026-01-03, 2026-01-05 to 2026-01-08"


def test_without_a_promise_gaps_are_looked_for_where_the_mode_looks(tmp_path: Path) -> None:
    orders = contract("orders", column("id", key_position=1), column("at", "date"), column("n", "integer"))
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "1.csv").write_text("id,at,n\n1,2026-01-01,1\n2,2026-01-03,1\n", encoding="utf-8")
    keys = {"from": "src.rows", "mode": "merge", "latest_by": "at"}
    found = project(tmp_path, [orders], {"orders": keys})
    run(found, None, plan(found))
    assert status(found, None, gaps=True).tables[1].gaps == ((date(2026, 1, 2), date(2026, 1, 2)),)
    by_number = project(tmp_path, [orders], {"orders": {**keys, "latest_by": "n"}})
    assert status(by_number, None, gaps=True).tables[1].gaps is None


def test_a_table_of_several_streams_is_behind_in_each_of_them(tmp_path: Path) -> None:
    orders = contract("orders", column("id", key_position=1), column("at", "timestamp"))
    silver = {"orders": {"from": ["src.rows", "src.more"], "mode": "merge", "latest_by": "at"}}
    found = project(tmp_path, [orders], silver, streams=("rows", "more"))
    for stream in ("rows", "more"):
        (tmp_path / stream).mkdir()
        (tmp_path / stream / "1.csv").write_text(f"id,at\n{stream},2026-01-01\n,never\n", encoding="utf-8")
    run(found, None, plan(found))
    assert status(found, None).tables[2].rejected_share == 0.5
    for stream in ("rows", "more"):
        (tmp_path / stream / "2.csv").write_text("id,at\nx,2026-01-01\n", encoding="utf-8")
    run(found, None, plan(found, ["src.rows", "src.more"]))
    assert [table.behind for table in status(found, None).tables] == [None, None, 2]


def test_rows_that_wait_are_not_rejected(tmp_path: Path) -> None:
    users = contract("users", column("user", key_position=1))
    orders = contract("orders", column("id"), column("user"), references=(Reference(("user",), "users", ("user",)),))
    silver = {"users": {"from": "src.users", "mode": "merge"}, "orders": {"from": "src.rows"}}
    found = project(tmp_path, [users, orders], silver, streams=("rows", "users"))
    for stream, text in {"rows": "id,user\n1,a\n2,b\n3,b\n", "users": "user\na\n"}.items():
        (tmp_path / stream).mkdir()
        (tmp_path / stream / "1.csv").write_text(text, encoding="utf-8")
    run(found, None, plan(found))
    told = status(found, None)
    by_name = {table.table: table for table in told.tables}
    assert (by_name["silver.orders"].rows, by_name["silver.orders"].rejected) == (1, 0)
    assert by_name["silver.orders"].waiting == 2
    assert lines(told)[-1] == "  2 rows of silver.orders wait for rows that they refer to"


def test_a_span_that_a_rule_stopped_is_held_until_it_is_let_pass(tmp_path: Path) -> None:
    few = SetRule("few", "rejected_share", "too many rejects", maximum=0.1, severity="stop")
    orders = contract("orders", column("id"), column("at", "timestamp", required=True), set_rules=(few,))
    found = project(tmp_path, [orders], {"orders": {"from": "src.rows"}})
    (tmp_path / "rows").mkdir()
    _write(tmp_path, "1", "2026-01-02T11:00:00Z")
    run(found, None, plan(found))
    _write(tmp_path, "2", "2026-01-02T11:00:00Z", "never")
    assert run(found, None, plan(found)) == "failed"
    told = status(found, None)
    assert (told.tables[1].held, told.tables[1].rejected, told.tables[1].behind) == (2, 0, 1)
    assert lines(told)[-1] == "  2 rows of silver.orders are held: catchment quarantine show silver.orders --held"
    run(found, None, plan(found, ["silver.orders"]), orders={"silver.orders": Order("accept")})
    run(found, None, plan(found))
    assert (status(found, None).tables[1].held, status(found, None).tables[1].rejected) == (0, 1)


def test_versions_that_can_be_read_again_are_told_newest_first(tmp_path: Path) -> None:
    found = _project(tmp_path)
    for name in ("1", "2"):
        _write(tmp_path, name, "2026-01-02T11:00:00Z")
        run(found, None, plan(found))
    told = versions(found, None, "silver.orders")
    assert [(one.version, one.generation, one.rows) for one in told] == [(2, 2, 2), (1, 1, 1), (0, 0, 0)]
    assert told[0].at >= told[1].at
    assert told[0].at.tzinfo is not None
    assert [one.version for one in versions(found, None, "silver.orders", 1)] == [2]
    shown = version_lines(told)
    assert shown[0].split() == ["version", "made", "at", "rows", "by"]
    assert shown[1].split()[:1] == ["2"]
    assert " UTC " in shown[1]
    with pytest.raises(ConfigError, match=r"no table silver\.order in the lake") as raised:
        versions(found, None, "silver.order")
    assert raised.value.hint == "did you mean `silver.orders`?"


def test_a_version_whose_files_are_gone_is_no_way_back(tmp_path: Path) -> None:
    found = _project(tmp_path)
    _write(tmp_path, "1", "2026-01-02T11:00:00Z")
    run(found, None, plan(found))
    run(found, None, plan(found, ["silver.orders"]), orders={"silver.orders": Order("rebuild")})
    table = Connected.of(found).lake.open(TableName("silver", "orders"), at=1)
    assert table is not None
    Path(table.scan().files[0]).unlink()
    assert [one.version for one in versions(found, None, "silver.orders")] == [2, 0]


def _gold(served_at: datetime) -> GoldStatus:
    return GoldStatus(
        build=7,
        published_at=served_at,
        models=("daily", "stg_sales", "people"),
        is_current=True,
        tests=9,
        warnings=("few_orphans",),
        tables=(
            ModelStatus("gold.daily", "cur", "table", 324, 0.2, is_fresh=False),
            ModelStatus("gold.people", "std", "table", 1_998, 0.5),
            ModelStatus("gold.stg_sales", "stg", "view", None, 0.1, is_fresh=False),
        ),
        slowest=("gold.people", "gold.daily", "gold.stg_sales"),
        is_fresh=False,
        late=("silver.sales",),
    )


def test_gold_is_told_by_models_of_cur_or_all_of_it() -> None:
    found = Status("shop", "local", (), _gold(NOW))
    told = [line.split() for line in lines(found)]
    assert told[2][:7] == ["gold", "3", "models", "build", "7", "2026-01-02", "12:00"]
    assert [line[:6] for line in told[3:4]] == [["gold.daily", "324", "build", "7", "-", "late"]]
    assert [" ".join(line) for line in told[4:]] == [
        "gold holds silver.sales as of longer ago than was promised",
        "gold: 1 test of 9 warned: few_orphans",
    ]
    everything = [line.split()[:6] for line in lines(found, all_of_gold=True)[3:6]]
    assert everything == [
        ["gold.daily", "324", "build", "7", "-", "late"],
        ["gold.people", "1,998", "build", "7", "-", "-"],
        ["gold.stg_sales", "view", "build", "7", "-", "late"],
    ]
