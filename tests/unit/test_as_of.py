"""Tables as they were: by SQL, at a version or a time."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from catchment.connected import Connected
from catchment.errors import ConfigError
from catchment.inspect import query
from catchment.naming import TableName
from catchment.plan import plan
from catchment.project import Project
from catchment.reading.moments import moment, words
from catchment.records import Order
from catchment.run import run
from catchment.testing.fakes import column, contract, project


def now() -> datetime:
    """An instant with no commit in the same millisecond."""
    time.sleep(0.005)
    found = datetime.now(UTC)
    time.sleep(0.005)
    return found


@pytest.fixture
def past(tmp_path: Path) -> tuple[Project, list[datetime]]:
    """Orders of which each load brings a good row and a bad one; and an instant before the first and after each."""
    orders = contract("orders", column("id"), column("n", "integer"))
    names = contract("names", column("id"))
    silver = {"orders": {"from": "src.rows"}, "names": {"from": "src.names"}}
    found = project(tmp_path, [orders, names], silver, streams=("rows", "names"))
    times = [now()]
    for number in (1, 2, 3):
        place = tmp_path / "rows" / f"{number}.csv"
        place.parent.mkdir(exist_ok=True)
        place.write_text(f"id,n\na{number},{number}\nb{number},bad\n", encoding="utf-8")
        assert run(found, None, plan(found, ["src.rows", "silver.orders"])) == "done"
        times.append(now())
    (tmp_path / "names").mkdir()
    (tmp_path / "names" / "1.csv").write_text("id\na1\n", encoding="utf-8")
    assert run(found, None, plan(found)) == "done"
    return found, times


def told(found: Project, sql: str, as_of: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = query(found, None, sql, as_of).read_all().to_pylist()
    return rows


def test_a_time_means_every_table_of_the_lake(past: tuple[Project, list[datetime]]) -> None:
    found, times = past
    both = "select (select count(*) from bronze.src__rows) as b, (select count(*) from Silver.Orders) as s"
    assert [told(found, both, at) for at in times[1:]] == [[{"b": 2 * n, "s": n}] for n in (1, 2, 3)]


def test_a_version_is_that_of_the_one_table_that_is_named(past: tuple[Project, list[datetime]]) -> None:
    found, _ = past
    assert told(found, "select count(*) as n from silver.orders", 0) == [{"n": 0}]
    twice = "with s as (select * from silver.orders) select count(*) as n from s join silver.orders using (id)"
    assert told(found, twice, 2) == [{"n": 2}]
    with pytest.raises(ConfigError, match=r"names bronze\.src__rows, silver\.orders") as raised:
        told(found, "from silver.orders join bronze.src__rows using (id)", 1)
    assert "give a time instead" in (raised.value.hint or "")


def test_what_only_a_text_or_a_comment_names_is_not_read(past: tuple[Project, list[datetime]]) -> None:
    found, _ = past
    sql = "select count(*) as n, 'silver.names' as t from silver.orders -- silver.names"
    assert told(found, sql, 1) == [{"n": 1, "t": "silver.names"}]


def test_a_query_without_tables_has_no_time(past: tuple[Project, list[datetime]]) -> None:
    assert told(past[0], "select 1 as one", past[1][0]) == [{"one": 1}]


def test_rejected_rows_are_those_of_that_time(past: tuple[Project, list[datetime]]) -> None:
    found, times = past
    count = "select count(*) as n from quarantine.orders"
    assert [told(found, count, at) for at in times[1:]] == [[{"n": n}] for n in (1, 2, 3)]
    assert [told(found, count, version) for version in (1, 2, 3)] == [[{"n": n}] for n in (1, 2, 3)]
    assert run(found, None, plan(found, ["silver.orders"]), orders={"silver.orders": Order("rebuild")}) == "done"
    assert told(found, "select id, n from silver.orders where n = 2", times[2]) == [{"id": "a2", "n": 2}]
    assert told(found, count, times[2]) == [{"n": 2}]
    assert told(found, count, None) == [{"n": 3}]


def test_a_table_that_was_not_there_is_named(past: tuple[Project, list[datetime]]) -> None:
    found, times = past
    with pytest.raises(ConfigError, match=r"silver\.names was not there yet as of 20.* UTC") as raised:
        told(found, "select * from silver.orders semi join silver.names using (id)", times[2])
    assert raised.value.hint == "its versions: catchment status --versions silver.names"
    with pytest.raises(ConfigError, match=r"silver\.orders has no version 17"):
        told(found, "from silver.orders", 17)
    with pytest.raises(ConfigError, match=r"no table silver\.ordrs; did you mean silver\.orders\?"):
        told(found, "from silver.ordrs", 1)
    with pytest.raises(ConfigError, match="the query was not understood"):
        told(found, "select from from", 1)


@pytest.mark.parametrize("table", ["gold.daily", "cur.daily", '"GOLD"."daily"'])
def test_gold_has_no_past(past: tuple[Project, list[datetime]], table: str) -> None:
    with pytest.raises(ConfigError, match=r"only the build that is served can be read"):
        told(past[0], f"select * from {table} join silver.orders using (id)", past[1][1])


def test_files_that_were_cleaned_away_are_told_not_stumbled_over(past: tuple[Project, list[datetime]]) -> None:
    found, _ = past
    table = Connected.of(found).lake.open(TableName("silver", "orders"))
    assert table is not None
    Path(table.scan(loads=(0, 1)).files[0]).unlink()
    with pytest.raises(ConfigError, match=r"silver\.orders: rows of version 1 are no longer kept"):
        told(found, "from silver.orders", 1)


def test_moments_are_versions_or_instants_in_utc() -> None:
    assert moment("5") == 5
    assert moment("0") == 0
    assert moment("2026-11-01") == datetime(2026, 11, 1, tzinfo=UTC)
    assert moment("2026-11-01T08:30") == datetime(2026, 11, 1, 8, 30, tzinfo=UTC)
    assert moment("2026-11-01 08:30+02:00") == datetime(2026, 11, 1, 6, 30, tzinfo=UTC)
    assert moment("2026-11-01T08:30:00.5Z").microsecond == 500_000  # type: ignore[union-attr]
    for text in ("", "soon", "-1", "1.5", "2026-13-01", "v5"):
        with pytest.raises(ConfigError, match="neither a version nor a time"):
            moment(text)
    assert words(5) == "version 5"
    assert words(datetime(2026, 11, 1, 8, 30, tzinfo=timezone(timedelta(hours=1)))) == "2026-11-01 07:30:00 UTC"
