"""Files to published gold, killed around the publication: what is served is one whole build, old or new."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import catchment
from catchment.testing import crash

HERE = Path(__file__).parent
POINTS = ("build.made", "publish.ready", "publish.written", "publish.renamed", "publish.cleaned")


@pytest.fixture
def brook(tmp_path: Path) -> Path:
    folder = tmp_path / "brook"
    shutil.copytree(HERE / "brook", folder)
    (folder / "data").mkdir()
    _day(folder, 1)
    return folder


def _day(folder: Path, day: int) -> None:
    rows = "".join(f"{day},{litres}\n" for litres in range(1, 5))
    (folder / f"data/day-{day}.csv").write_text("day,litres\n" + rows)


def _served(folder: Path) -> int:
    return int(catchment.open(folder).query("SELECT sum(litres) FROM gold.flow").read_all().column(0)[0].as_py())


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_kill_at_every_point_of_build_and_publication_serves_the_old_gold_or_the_new(brook: Path) -> None:
    told = crash.run_until(brook)
    assert told.outcome == "done", told.causes
    assert set(POINTS) <= set(told.told)
    assert _served(brook) == 10
    for day, point in enumerate(POINTS, start=2):
        _day(brook, day)
        before = _served(brook)
        ended = crash.run_until(brook, kill_at=point)
        assert ended.killed
        assert _served(brook) == (before + 10 if point in ("publish.renamed", "publish.cleaned") else before)
        assert crash.run_until(brook).outcome in ("done", "nothing_new")
        assert _served(brook) == 10 * day
    assert crash.run_until(brook).outcome == "nothing_new"
    assert [path.name for path in (brook / "warehouse/local/builds").iterdir() if path.is_dir()] == []


def test_a_red_test_leaves_the_old_gold_served_and_bronze_and_silver_go_on(brook: Path) -> None:
    assert crash.run_until(brook).outcome == "done"
    (brook / "data/day-2.csv").write_text("day,litres\n2,1000\n")
    ended = crash.run_until(brook)
    assert ended.outcome == "failed"
    assert "CheckFailed" in ended.told
    assert any("flow" in cause for cause in ended.causes)
    assert _served(brook) == 10
    opened = catchment.open(brook)
    assert opened.query("SELECT sum(litres) FROM silver.readings").read_all().column(0)[0].as_py() == 1010
