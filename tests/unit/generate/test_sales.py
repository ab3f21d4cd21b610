"""The generated sales sheet, read again line by line from its files."""

from __future__ import annotations

import csv
import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from catchment.errors import ConfigError
from catchment.generate import Manifest, SalesDirt, generate_sales
from catchment.generate.sales import SALES_KINDS, SALES_REFUSED

SMALL: dict[str, Any] = {"start": date(2025, 11, 1), "months": 3, "orders": 2_000}
DIRTY = SalesDirt(**dict.fromkeys(SALES_KINDS, 0.02), broken_look_ups=0.2)

Sheets = tuple[Path, Manifest]
Row = dict[str, str]
HEADER = (
    "Row ID,Order ID,Order Date,Ship Date,Ship Mode,Customer ID,Customer Name,Segment,City,State,Country,Postal Code,"
    "Market,Region,Product ID,Category,Sub-Category,Product Name,Sales,Quantity,Discount,Profit,Shipping Cost,"
    "Order Priority"
)


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> Sheets:
    folder = tmp_path_factory.mktemp("dirty")
    return folder, generate_sales(folder, dirt=DIRTY, **SMALL)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Sheets:
    folder = tmp_path_factory.mktemp("clean")
    return folder, generate_sales(folder, dirt=SalesDirt.none(), **SMALL)


def read(sheets: Sheets, pattern: str = "**/*.csv") -> Iterator[tuple[str, int, Row]]:
    """File, row number from 1, row."""
    for path in sorted(sheets[0].glob(pattern)):
        with path.open(encoding="utf-8", newline="") as lines:
            for number, row in enumerate(csv.DictReader(lines), start=1):
                yield str(path.relative_to(sheets[0])), number, row


def day(text: str) -> date:
    return datetime.strptime(text, "%d-%m-%Y").date()  # noqa: DTZ007 - a day has no zone


def kind(row: Row) -> str | None:
    """What is wrong with a row, looked at alone."""
    if row["Sales"] == "#N/A":
        return "broken_look_ups"
    for column, found in (("Order ID", "missing_order_ids"), ("Product ID", "missing_product_ids")):
        if not row[column]:
            return found
    if not row["Order Date"] or not row["Ship Date"]:
        return "missing_dates"
    if row["Order Date"].startswith("31-02"):
        return "impossible_dates"
    if row["Sales"] == "#VALUE!":
        return "sheet_errors"
    checks = {
        "shipped_before_ordered": day(row["Ship Date"]) < day(row["Order Date"]),
        "negative_sales": float(row["Sales"]) < 0,
        "zero_quantities": row["Quantity"] == "0",
        "discounts_in_percent": float(row["Discount"]) > 1,
    }
    return next((name for name, wrong in checks.items() if wrong), None)


def month_of(file: str) -> str:
    return file[-11:-4]


def pieces(sheets: Sheets) -> set[tuple[str, int, str]]:
    found, seen = set(), set()
    for file, number, row in read(sheets):
        what = kind(row)
        if (file, row["Row ID"]) in seen:
            what = "duplicates"
        elif what is None and f"{day(row['Order Date']):%Y-%m}" < month_of(file):
            what = "late"
        seen.add((file, row["Row ID"]))
        if what:
            found.add((file, number, what))
    return found


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_there_is_a_file_a_month_and_the_next_one_twice_in_the_inbox(dirty: Sheets) -> None:
    assert [file.path for file in dirty[1].files] == [
        "data/sales-2025-11.csv",
        "data/sales-2025-12.csv",
        "data/sales-2026-01.csv",
        "inbox/sales-2026-02.csv",
        "inbox/corrected/sales-2026-02.csv",
    ]
    assert (dirty[0] / "data/sales-2025-11.csv").read_text(encoding="utf-8").splitlines()[0] == HEADER
    counted = Counter(file for file, _, _ in read(dirty))
    assert counted == {file.path: file.rows for file in dirty[1].files}


def test_the_manifest_names_exactly_the_dirt_that_a_reader_finds(dirty: Sheets) -> None:
    told = {(row["file"], row["row"], row["kind"]) for row in dirty[1].pieces.to_pylist()}
    assert pieces(dirty) == told
    assert {what for _, _, what in told} == {*SALES_KINDS, "broken_look_ups"}


def test_sheets_without_dirt_have_none(clean: Sheets) -> None:
    assert clean[1].pieces.num_rows == 0
    assert pieces(clean) == set()


@pytest.mark.parametrize("what", SALES_KINDS)
def test_dirt_comes_about_as_often_as_declared(dirty: Sheets, what: str) -> None:
    expected = 0.02 * sum(file.rows for file in dirty[1].files if file.table == "sales")
    assert abs(dirty[1].count(what, "sales") - expected) < 4 * expected**0.5


def test_the_corrected_month_differs_in_the_rows_with_broken_look_ups_alone(dirty: Sheets) -> None:
    broken, corrected = (
        [row for _, _, row in read(dirty, f"{folder}/*.csv")] for folder in ("inbox", "inbox/corrected")
    )
    differing = [(one, other) for one, other in zip(broken, corrected, strict=True) if one != other]
    assert {one["Sales"] for one, _ in differing} == {"#N/A"}
    assert all(kind(other) is None for _, other in differing)
    assert len(differing) == dirty[1].count("broken_look_ups")
    assert abs(len(differing) / len(broken) - 0.2 * (1 - 0.02 * len(SALES_KINDS))) < 0.03


def test_rejects_are_all_kinds_but_two(dirty: Sheets) -> None:
    manifest = dirty[1]
    harmless = manifest.count("duplicates") + manifest.count("late")
    assert manifest.rejects() == manifest.pieces.num_rows - harmless
    assert {"duplicates", "late"}.isdisjoint(SALES_REFUSED)


def test_states_and_postal_codes_are_those_of_two_countries_and_keep_their_zeros(clean: Sheets) -> None:
    codes = set()
    for _, _, row in read(clean):
        at_home = row["Country"] in ("United States", "Canada")
        assert bool(row["State"]) == bool(row["Postal Code"]) == at_home
        codes.add(row["Postal Code"])
    assert {"02108", "M5V 2T6"} <= codes
    assert not [code for code in codes if code and not re.fullmatch(r"[0-9]{5}|[A-Z]\d[A-Z] \d[A-Z]\d", code)]


def test_only_the_row_id_tells_lines_apart(clean: Sheets) -> None:
    rows = [row for _, _, row in read(clean, "data/*.csv")]
    assert len({row["Row ID"] for row in rows}) == len(rows)
    pairs = Counter((row["Order ID"], row["Product ID"]) for row in rows)
    assert 10 < sum(number > 1 for number in pairs.values()) < len(rows) / 20


def test_lines_of_an_order_share_its_customer_place_and_days(clean: Sheets) -> None:
    columns = ("Order Date", "Ship Date", "Customer ID", "Customer Name", "City", "Ship Mode", "Order Priority")
    orders: dict[str, set[tuple[str, ...]]] = {}
    for _, _, row in read(clean, "data/*.csv"):
        orders.setdefault(row["Order ID"], set()).add(tuple(row[column] for column in columns))
    assert {len(facts) for facts in orders.values()} == {1}


def test_profit_is_negative_now_and_then_and_never_more_than_sales(clean: Sheets) -> None:
    rows = [row for _, _, row in read(clean, "data/*.csv")]
    losses = sum(float(row["Profit"]) < 0 for row in rows)
    assert 0 < losses < len(rows) / 5
    assert all(float(row["Profit"]) < float(row["Sales"]) for row in rows)


def test_the_same_arguments_give_the_same_bytes_on_another_day_and_machine(clean: Sheets, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from datetime import date; from catchment.generate import *;"
        "generate_sales(Path(sys.argv[1]), start=date(2025, 11, 1), months=3, orders=2000, dirt=SalesDirt.none())"
    )
    env = {**os.environ, "PYTHONHASHSEED": "123", "TZ": "Pacific/Auckland", "LC_ALL": "C"}
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, env=env, timeout=60)
    assert hashes(tmp_path) == hashes(clean[0])


def test_another_seed_gives_other_sheets(clean: Sheets, tmp_path: Path) -> None:
    generate_sales(tmp_path, dirt=SalesDirt.none(), seed=2, **SMALL)
    ours, theirs = hashes(clean[0]), hashes(tmp_path)
    assert all(ours[path] != theirs[path] for path in ours.keys() & theirs.keys())


def test_files_that_are_there_stay_as_they_are(tmp_path: Path) -> None:
    kept = tmp_path / "inbox/corrected/sales-2026-02.csv"
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    with pytest.raises(ConfigError, match=r"sales-2026-02\.csv"):
        generate_sales(tmp_path, **SMALL)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [kept]


@pytest.mark.parametrize("wrong", [{"months": 0}, {"orders": 0}, {"start": date(2026, 1, 2)}])
def test_sales_without_a_month_or_an_order_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="sales need a month"):
        generate_sales(tmp_path, **{**SMALL, **wrong})


@pytest.mark.parametrize(
    ("rates", "words"), [({"late": 1.5}, "late is 1.5"), ({"late": 0.6, "missing_dates": 0.5}, "add up")]
)
def test_impossible_rates_are_refused(rates: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        SalesDirt(**rates)


def test_the_guide_tells_the_figures_of_the_sheets_that_init_writes(tmp_path: Path) -> None:
    manifest = generate_sales(tmp_path)
    guide = " ".join((Path(__file__).parents[3] / "docs/guides/sales.md").read_text(encoding="utf-8").split())
    first = [file for file in manifest.files if file.path.startswith("data/")]
    assert f"{sum(file.rows for file in first):,} order lines in {len(first)} files" in guide
    (bad,) = [file for file in manifest.files if file.path == "inbox/sales-2026-10.csv"]
    broken = manifest.count("broken_look_ups")
    assert f"{bad.rows:,} lines, {broken} of them with a broken look-up" in guide
