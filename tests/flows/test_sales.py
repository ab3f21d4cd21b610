"""Template `sales` behind its gates: a month that is broken stops before gold, and both ways out of it lead on.

What gold shall say is worked out from the CSV files alone, in plain SQL.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import duckdb
import pytest

import catchment
from catchment.cli import main
from catchment.templates import write_template

Rows = list[tuple[object, ...]]
Captured = pytest.CaptureFixture[str]

# The contract once more, as one would write it down for a single query over the sheets.
_GOOD = """
create table sheet as from read_csv({files}, all_varchar = true, header = true, union_by_name = true);
create table good as
select distinct on (row_id) * from (
    select
        try_cast("Row ID" as bigint) as row_id, "Order ID" as order_id, "Product ID" as product_id,
        "Customer ID" as customer_id, "Product Name" as product_name, "Market" as market, "Category" as category,
        "Ship Mode" as ship_mode, try_cast("Quantity" as bigint) as quantity,
        try_strptime("Order Date", '%d-%m-%Y')::date as ordered, try_strptime("Ship Date", '%d-%m-%Y')::date as shipped,
        try_cast("Sales" as decimal(12, 2)) as sales, try_cast("Discount" as decimal(7, 4)) as discount,
        try_cast("Profit" as decimal(12, 2)) as profit, try_cast("Shipping Cost" as decimal(12, 2)) as shipping
    from sheet
)
where order_id is not null and product_id is not null and ordered is not null and shipped >= ordered
    and sales > 0 and quantity > 0 and discount between 0 and 1 and profit is not null
"""

# In gold, and over the sheets.
_FIGURES = {
    "months": (
        "select month, market, category, orders, order_lines, units, sales, profit, shipping_cost, large_lines"
        " from gold.monthly_sales",
        "select date_trunc('month', ordered)::date, market, category, count(distinct order_id), count(*),"
        " sum(quantity)::bigint, sum(sales), sum(profit), sum(shipping), count(*) filter (where sales >= 10000)"
        " from good group by 1, 2, 3",
    ),
    "products": (
        "select product_id, product_name, orders, units, sales, profit, lines_at_a_loss from gold.product_performance",
        "select product_id, max_by(product_name, (ordered, row_id)), count(distinct order_id), sum(quantity)::bigint,"
        " sum(sales), sum(profit), count(*) filter (where profit < 0) from good group by 1",
    ),
    "customers": (
        "select customer_id, first_order_on, last_order_on, quiet_days, orders, sales, is_churned"
        " from gold.customer_value",
        "select customer_id, min(ordered), max(ordered), (select max(ordered) from good) - max(ordered),"
        " count(distinct order_id), sum(sales), (select max(ordered) from good) - max(ordered) > 90"
        " from good group by 1",
    ),
    "shipping": (
        "select market, ship_mode, orders, order_lines, round(average_days, 6), longest_days, shipping_cost"
        " from gold.shipping",
        "select market, ship_mode, count(distinct order_id), count(*), round(avg(shipped - ordered), 6),"
        " max(shipped - ordered), sum(shipping) from good group by 1, 2",
    ),
}


@pytest.fixture(scope="module")
def nine_months(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template after its first run."""
    folder = tmp_path_factory.mktemp("flow") / "sales"
    write_template("sales", folder, project_name="sales")
    assert main(["--project", str(folder), "run"]) == 0
    return folder


@pytest.fixture
def sales(nine_months: Path, tmp_path: Path) -> Path:
    shutil.copytree(nine_months, tmp_path / "sales", ignore=shutil.ignore_patterns(".catchment"))
    return tmp_path / "sales"


def run(folder: Path) -> int:
    return main(["--project", str(folder), "run"])


def rows(folder: Path, sql: str) -> Rows:
    return [tuple(row.values()) for row in catchment.open(folder).query(sql).read_all().to_pylist()]


def sheets(*files: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(_GOOD.format(files=[str(file) for file in files]))
    return connection


def assert_gold_is_what_the_sheets_say(folder: Path, *files: Path) -> None:
    with sheets(*files) as plain:
        for name, (in_gold, over_sheets) in _FIGURES.items():
            assert sorted(rows(folder, in_gold)) == sorted(plain.execute(over_sheets).fetchall()), name


def gold_build(folder: Path, captured: Captured) -> int:
    captured.readouterr()
    assert main(["--project", str(folder), "gold", "list", "--json"]) == 0
    return int(json.loads(captured.readouterr().out)[0]["build"])


def count(folder: Path, table: str) -> object:
    return rows(folder, f"select count(*) from {table}")[0][0]


def in_file(file: Path) -> int:
    """Rows of a sheet, of whatever worth; no field holds a line end."""
    return file.read_bytes().count(b"\n") - 1


@pytest.mark.timeout(240)
def test_a_broken_month_stops_before_gold_and_accept_lets_it_pass(sales: Path, capsys: Captured) -> None:
    good_files = sorted((sales / "data").glob("*.csv"))
    assert len(good_files) == 9
    assert_gold_is_what_the_sheets_say(sales, *good_files)
    served = rows(sales, "select sum(sales), sum(order_lines) from gold.monthly_sales")
    before = sum(in_file(file) for file in good_files)
    silver, rejected = count(sales, "silver.sales"), count(sales, "quarantine.sales")

    bad = sales / "data" / "sales-2026-10.csv"
    shutil.copy(sales / "inbox" / bad.name, bad)
    assert run(sales) == 1
    told = capsys.readouterr().err
    assert "few_rejects: 12.6 % of 5,686 new rows were rejected, the contract allows 5 %" in told
    assert "good_load: score 98.0" in told
    assert run(sales) == 1, "and again, until somebody decides"
    assert gold_build(sales, capsys) == 1
    assert rows(sales, "select sum(sales), sum(order_lines) from gold.monthly_sales") == served
    assert (count(sales, "silver.sales"), count(sales, "bronze.exports__sheet")) == (silver, before + in_file(bad))
    assert main(["--project", str(sales), "quarantine", "show", "silver.sales", "--held", "--json"]) == 0
    held = json.loads(capsys.readouterr().out)
    assert {row["origin"] for row in held} == {"data/sales-2026-10.csv"}

    assert main(["--project", str(sales), "quarantine", "accept", "silver.sales"]) == 0
    assert run(sales) == 0
    assert gold_build(sales, capsys) == 2
    assert_gold_is_what_the_sheets_say(sales, *good_files, bad)
    assert count(sales, "quarantine.sales") > rejected  # type: ignore[operator]
    kept = rows(sales, "select distinct row_id from silver.sales union select distinct (raw ->> 'Row_ID')::bigint"
                       " from quarantine.sales")  # fmt: skip
    with sheets(*good_files, bad) as plain:
        assert sorted(kept) == plain.execute('select distinct "Row ID"::bigint from sheet order by 1').fetchall()

    assert main(["--project", str(sales), "quality", "--json"]) == 0
    (quality,) = json.loads(capsys.readouterr().out)
    assert [load["rejected"] for load in quality["loads"]] == [1_085, 719]
    assert [load["score"] >= 99 for load in quality["loads"]] == [True, False]

    assert run(sales) == 0
    assert "nothing new" in capsys.readouterr().err
    assert gold_build(sales, capsys) == 2


@pytest.mark.timeout(240)
def test_a_month_that_its_sender_corrects_is_read_again_after_a_rewind(sales: Path, capsys: Captured) -> None:
    file = sales / "data" / "sales-2026-10.csv"
    shutil.copy(sales / "inbox" / file.name, file)
    assert run(sales) == 1
    shutil.copy(sales / "inbox" / "corrected" / file.name, file)
    assert run(sales) == 1
    assert "changed after it was read" in capsys.readouterr().err

    assert main(["--project", str(sales), "rewind", "exports.sheet", "--to-load", "1", "--yes"]) == 0
    assert run(sales) == 0
    assert gold_build(sales, capsys) == 2
    assert_gold_is_what_the_sheets_say(sales, *(sales / "data").glob("*.csv"))
    assert rows(sales, "select count(*) from bronze.exports__sheet where _origin = 'data/sales-2026-10.csv'") == [
        (in_file(file),)
    ]
    assert run(sales) == 0
    assert gold_build(sales, capsys) == 2


def test_a_corrected_month_under_another_name_takes_the_place_of_the_broken_one(sales: Path, capsys: Captured) -> None:
    bad, good = sales / "data" / "sales-2026-10.csv", sales / "data" / "sales-2026-10-corrected.csv"
    only_silver = ["--project", str(sales), "run", "--select", "+silver.sales"]
    shutil.copy(sales / "inbox" / bad.name, bad)
    assert main(only_silver) == 1
    shutil.copy(sales / "inbox" / "corrected" / bad.name, good)
    assert main(only_silver) == 1, "both are judged together, and too many rows of both are bad"
    bad.unlink()
    back = ["--project", str(sales), "rewind", "exports.sheet", "--to-load", "1", "--yes"]
    assert main(back) == 1, "the broken file's rows can not be read again"
    assert "--lose-rows" in capsys.readouterr().err
    assert main([*back, "--lose-rows"]) == 0
    assert main(only_silver) == 0
    with sheets(*(sales / "data").glob("*.csv")) as plain:
        assert [(count(sales, "silver.sales"),)] == plain.execute("select count(*) from good").fetchall()


def test_what_was_let_pass_is_filled_up_by_the_corrected_month(sales: Path) -> None:
    bad = sales / "data" / "sales-2026-10.csv"
    only_silver = ["--project", str(sales), "run", "--select", "+silver.sales"]
    shutil.copy(sales / "inbox" / bad.name, bad)
    assert main(only_silver) == 1
    assert main(["--project", str(sales), "quarantine", "accept", "silver.sales"]) == 0
    assert main(only_silver) == 0
    shutil.copy(sales / "inbox" / "corrected" / bad.name, sales / "data" / "sales-2026-10-corrected.csv")
    assert main(only_silver) == 0
    with sheets(*(sales / "data").glob("*.csv")) as plain:
        assert [(count(sales, "silver.sales"),)] == plain.execute("select count(*) from good").fetchall()
