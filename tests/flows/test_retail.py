"""The twenty retail files beside the repository, as a project: facts known from plain SQL must come out."""

from __future__ import annotations

import random
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import catchment
from catchment.plan import plan
from catchment.project import load_project
from catchment.run import run

HERE = Path(__file__).parent
DATA = HERE.parents[2] / "shared" / "data" / "retail"

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not DATA.is_dir(), reason="the shared retail files are not beside this checkout"),
]

ROWS = 42_481
TURNOVER = Decimal("748957.020")

_TURNOVER_OF_BOTH = """
    SELECT (SELECT sum(quantity * unit_price) FROM silver.sales)
         + (SELECT sum(CAST(raw ->> 'Quantity' AS BIGINT) * CAST(raw ->> 'UnitPrice' AS DECIMAL(18, 3)))
            FROM quarantine.sales) AS turnover
"""


@pytest.fixture
def retail(tmp_path: Path) -> Path:
    shutil.copytree(HERE / "retail", tmp_path / "retail")
    (tmp_path / "retail/data").mkdir()
    return tmp_path / "retail"


def _run(folder: Path) -> str:
    project = load_project(folder)
    return run(project, None, plan(project))


def _one(folder: Path, sql: str) -> Any:
    return catchment.open(folder).query(sql).read_all().column(0)[0].as_py()


def _facts_hold(folder: Path) -> None:
    assert _one(folder, "SELECT count(*) FROM bronze.drops__sales") == ROWS
    silver, rejected = (_one(folder, f"SELECT count(*) FROM {layer}.sales") for layer in ("silver", "quarantine"))
    assert silver + rejected == ROWS
    assert rejected > 0
    assert _one(folder, "SELECT count(*) FROM quarantine.sales WHERE len(reasons) = 0") == 0
    assert _one(folder, _TURNOVER_OF_BOTH) == TURNOVER


def _files(folder: Path) -> dict[str, tuple[int, int]]:
    found = (path for path in (folder / "lake").rglob("*") if path.is_file())
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


def test_all_files_at_once_and_the_same_run_again_changes_nothing(retail: Path) -> None:
    for path in DATA.glob("*.csv"):
        shutil.copy(path, retail / "data")
    assert _run(retail) == "done"
    _facts_hold(retail)
    before = _files(retail)
    assert _run(retail) == "nothing_new"
    assert _files(retail) == before


@pytest.mark.parametrize("seed", [1, 2])
def test_files_in_any_order_and_any_number_of_runs(retail: Path, seed: int) -> None:
    chance = random.Random(seed)
    waiting = sorted(DATA.glob("*.csv"))
    chance.shuffle(waiting)
    while waiting:
        for _ in range(chance.randint(1, 7)):
            if waiting:
                shutil.copy(waiting.pop(), retail / "data")
        assert _run(retail) == "done"
    _facts_hold(retail)
