"""Looking without changing: rows by SQL, quarantine, and what a refine would give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from catchment.connected import Connected
from catchment.errors import ConfigError
from catchment.inspect import preview, quarantine_rows, quarantine_summaries, query
from catchment.naming import TableName
from catchment.plan import plan
from catchment.project import Project
from catchment.records import Order
from catchment.run import run
from catchment.testing.fakes import column, contract, project


@pytest.fixture
def orders(tmp_path: Path) -> Project:
    """Five rows, of which two do not pass, not landed yet."""
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "1.csv").write_text("id,n\na,1\nb,x\nc,2\nd,-5\ne,3\n", encoding="utf-8")
    wanted = contract("orders", column("id"), column("n", "integer", minimum=0))
    other = contract("names", column("id"))
    return project(tmp_path, [wanted, other], {"orders": {"from": "src.rows"}, "names": {"from": "src.rows"}})


def go(found: Project) -> None:
    assert run(found, None, plan(found)) == "done"


def add(found: Project, text: str) -> None:
    count = len(list((found.folder / "rows").iterdir()))
    (found.folder / "rows" / f"{count + 1}.csv").write_text(text, encoding="utf-8")


def told(found: Project, sql: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = query(found, None, sql).read_all().to_pylist()
    return rows


def test_every_layer_can_be_asked_by_sql(orders: Project) -> None:
    go(orders)
    assert told(orders, "select count(*) as n from bronze.src__rows") == [{"n": 5}]
    assert told(orders, "select sum(n)::bigint as n from silver.orders") == [{"n": 6}]
    assert told(orders, "select count(*) as n from quarantine.orders") == [{"n": 2}]
    joined = "select s.id from silver.orders s join silver.names using (id) where n = 3"
    assert told(orders, joined) == [{"id": "e"}]


def test_a_query_for_an_unknown_table_names_the_nearest(orders: Project) -> None:
    go(orders)
    with pytest.raises(ConfigError, match=r"no table silver\.order; did you mean silver\.orders\?"):
        told(orders, "select * from silver.order")


def test_a_table_may_be_written_in_capitals(orders: Project) -> None:
    go(orders)
    assert told(orders, "select count(*) as n from SILVER.Orders") == [{"n": 3}]
    assert told(orders, "select count(*) as n from bronze.SRC__ROWS") == [{"n": 5}]


def test_sql_sees_the_verdicts_that_count_and_no_others(orders: Project) -> None:
    go(orders)
    assert run(orders, None, plan(orders), orders={"silver.orders": Order("rebuild")}) == "done"
    assert told(orders, "select count(*) as n from quarantine.orders") == [{"n": 2}]
    rejects = Connected.of(orders).lake.open(TableName("quarantine", "orders"))
    assert rejects is not None
    assert rejects.scan().rows == 4  # those of before the rebuild are kept, and count nowhere


def test_quarantine_is_counted_by_its_reasons(orders: Project) -> None:
    assert quarantine_summaries(orders, None) == []
    go(orders)
    (summary,) = quarantine_summaries(orders, None)
    assert (summary.table, summary.rows) == ("silver.orders", 2)
    assert dict(summary.reasons) == {"n: is not an integer": 1, "n: is less than 0": 1}
    assert summary.newest is not None
    assert summary.newest.tzinfo is not None
    add(orders, "id,n\nf,y\n")
    go(orders)
    (summary,) = quarantine_summaries(orders, None)
    assert summary.reasons[0] == ("n: is not an integer", 2)


def test_rejected_rows_are_shown_newest_first_and_so_many(orders: Project) -> None:
    go(orders)
    add(orders, "id,n\nf,y\n")
    go(orders)
    rows = quarantine_rows(orders, None, "silver.orders", 10)
    assert [row.raw for row in rows] == ['{"id":"f","n":"y"}', '{"id":"b","n":"x"}', '{"id":"d","n":"-5"}']
    assert rows[0].reasons == (("n", "type", "is not an integer", "y"),)
    assert rows[0].origin.endswith("2.csv")
    assert len(quarantine_rows(orders, None, "orders", 1)) == 1
    assert quarantine_rows(orders, None, "names", 10) == ()


def test_an_unknown_silver_table_names_the_nearest(orders: Project) -> None:
    with pytest.raises(ConfigError, match=r"no table silver\.order ") as found:
        quarantine_rows(orders, None, "silver.order", 1)
    assert found.value.hint == "did you mean silver.orders?"


def test_a_preview_before_anything_landed_shows_what_would_pass_and_writes_nothing(orders: Project) -> None:
    seen = preview(orders, None, "orders", 2)
    assert (seen.read, seen.passed, seen.failed) == (5, 3, 2)
    assert seen.good.to_pylist() == [{"id": "a", "n": 1}, {"id": "c", "n": 2}]
    assert dict(seen.reasons) == {"n: is not an integer": 1, "n: is less than 0": 1}
    assert [row.raw for row in seen.bad] == ['{"id":"b","n":"x"}', '{"id":"d","n":"-5"}']
    assert not (orders.folder / "lake").exists()
    assert list((orders.folder / ".catchment").glob("preview-*")) == []


def test_a_preview_takes_what_landed_and_what_is_new_together(orders: Project) -> None:
    go(orders)
    before = sorted((orders.folder / "lake").rglob("*"))
    add(orders, "id,n\nf,9\ng,z\n")
    seen = preview(orders, None, "silver.orders", 10)
    assert (seen.read, seen.passed, seen.failed) == (7, 4, 3)
    assert sorted(row["id"] for row in seen.good.to_pylist()) == ["a", "c", "e", "f"]
    assert sorted((orders.folder / "lake").rglob("*")) == before


def test_a_preview_of_nothing_says_so(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    empty = project(tmp_path, [contract("orders", column("id"))], {"orders": {"from": "src.rows"}})
    with pytest.raises(ConfigError, match=r"bronze\.src__rows is empty and no stream brings rows"):
        preview(empty, None, "orders", 1)
