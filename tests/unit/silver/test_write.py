"""What a commit rewrites: files that hold a key it changes, and no more with every day that a table grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from catchment.naming import TableName
from catchment.records import Order
from catchment.silver import write
from catchment.silver.definition import Table
from catchment.testing.fakes import Workbench, arrived, column, contract

KEYED = contract("t", column("id", "integer", key_position=1), column("n", "integer"), column("at", "timestamp"))
SILVER = TableName("silver", "t")
A_DAY = 20


def table(mode: str) -> Table:
    return Table("t", ("src.rows",), KEYED, mode, latest_by="at")


def orders(ids: list[int], day: int) -> pa.Table:
    texts = {"id": map(str, ids), "n": [str(day)] * len(ids), "at": [f"2026-01-01T00:{day:02}:00Z"] * len(ids)}
    return arrived({name: pa.array(values, pa.string()) for name, values in texts.items()})


def files(bench: Workbench) -> dict[str, int]:
    found = bench.lake.open(SILVER)
    return {} if found is None else {file.path: file.rows for file in found.files()}


@pytest.fixture(autouse=True)
def little_is_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "_FEW_ROWS", A_DAY)


@pytest.mark.parametrize("mode", ["merge", "history"])
def test_a_day_rewrites_as_much_of_a_long_table_as_of_a_short_one(bench: Workbench, mode: str) -> None:
    rewritten = []
    for day in range(10):
        before = files(bench)
        new = list(range(day * A_DAY, (day + 1) * A_DAY))
        bench.land(orders([*new, *(key for key in (new[0] - 5, new[0] - 25) if key >= 0)], day))
        bench.refine(table(mode))
        rewritten.append(sum(before[path] for path in before.keys() - files(bench).keys()))
    assert max(rewritten[6:]) <= max(rewritten[2:6])
    assert max(rewritten) <= 4 * A_DAY
    shown = bench.rows("silver.t", "SELECT id, n FROM t" + (" WHERE _valid_to IS NULL" if mode == "history" else ""))
    assert len({row["id"] for row in shown}) == len(shown) == 10 * A_DAY
    assert {row["id"]: row["n"] for row in shown}[7 * A_DAY - 5] == 8


def test_rows_scattered_over_all_files_leave_few_of_them(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "_MOST_FILES", 3)
    scattered = [(key * 7919) % 10_007 for key in range(8 * A_DAY)]
    for day in range(8):
        bench.land(orders(scattered[day * A_DAY : (day + 1) * A_DAY], day))
        bench.refine(table("merge"))
    assert len(files(bench)) == 8
    bench.land(orders(scattered[::10], 8))
    bench.refine(table("merge"))
    assert len(files(bench)) <= 5
    rows = {row["id"]: row["n"] for row in bench.rows("silver.t")}
    assert rows.keys() == set(scattered)
    assert {rows[key] for key in scattered[::10]} == {8}


def test_a_backfill_of_an_append_table_keeps_what_lies_beside_its_rows(bench: Workbench) -> None:
    plain = Table("t", ("src.rows",), KEYED, "append")
    for day in range(3):
        bench.land(orders(list(range(day * A_DAY, (day + 1) * A_DAY)), day))
    bench.refine(plain)
    before = _rows(bench)
    bench.refine(plain, Order("backfill", loads=(1, 2)))
    assert _rows(bench) == before


def _rows(bench: Workbench) -> list[tuple[Any, ...]]:
    found = bench.rows("silver.t", 'SELECT id, n, "at", _load, _row FROM t ORDER BY id')
    return [tuple(row.values()) for row in found]


def test_a_table_with_many_commits_is_opened_from_a_checkpoint(bench: Workbench) -> None:
    plain = Table("t", ("src.rows",), KEYED, "append")
    for day in range(12):
        bench.land(orders([day], day))
        bench.refine(plain)
    found = bench.lake.open(SILVER)
    assert found is not None
    assert list((Path(found.folder()) / "_delta_log").glob("*.checkpoint.parquet"))
