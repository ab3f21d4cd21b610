"""A dbt project in staging, intermediate and marts, as people write them, under `gold:` without a change: sources of
their own names, seeds, snapshots, incremental models, unit tests, exposures, a package that is installed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import catchment
from catchment.testing import crash

HERE = Path(__file__).parent


def rows(folder: Path, sql: str) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in catchment.open(folder).query(sql).read_all().to_pylist()]


@pytest.mark.timeout(240)
def test_it_runs_as_it_is_and_its_history_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "bakery"
    shutil.copytree(HERE / "marts", folder)
    before = {path: path.read_bytes() for path in (folder / "transform").rglob("*") if path.is_file()}
    ended = crash.run_until(folder)
    assert ended.outcome == "done", ended.causes
    assert {path: path.read_bytes() for path in (folder / "transform").rglob("*") if path.is_file()} == before
    assert rows(folder, "select first_name, orders, spent::varchar, loud_name from gold.customers order by 1") == [
        ("Ada", 2, "17.0", "ADA"),
        ("Max", None, None, "MAX"),
    ]
    assert rows(folder, "from gold.sold_out") == [("spelt",)]
    assert rows(folder, "select count(*) from raw_bakery.orders") == [(3,)]

    status = catchment.open(folder).status().gold
    assert status.exposures == ("weekly_report",)
    assert status.history == ("main_marts.orders", "snapshots.customers_snapshot")
    assert (status.tests, status.warnings) == (7, ())

    head = "order_id,customer_id,ordered_at,amount_cents,status"
    (folder / "data/orders-2.csv").write_text(f"{head}\n4,2,2026-11-03T09:00:00Z,250,completed\n")
    ended = crash.run_until(folder)
    assert ended.outcome == "done", ended.causes
    assert rows(folder, "select count(*), sum(amount)::varchar as spent from gold.orders") == [(4, "22.5")]
    assert rows(folder, "select count(*) from gold.customers_snapshot") == [(2,)]
    assert crash.run_until(folder).outcome == "nothing_new"
