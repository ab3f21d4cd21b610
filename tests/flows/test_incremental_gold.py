"""Sixty days of gold that goes on from build to build: late, corrected, moved and deleted rows, kills, repeated runs
and ways back leave what one build over everything leaves."""

from __future__ import annotations

import random
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import catchment
from catchment.connected import Connected
from catchment.gold.build import publish_gold, rollback
from catchment.project import load_project
from catchment.records import Order
from catchment.testing import crash

HERE = Path(__file__).parent
FIRST = date(2026, 9, 1)
LITRES, GONE = (1, 900), -1


class Tide:
    """The project, and the readings that its files have brought."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.random = random.Random(5)
        self.now = datetime(2026, 12, 1, tzinfo=UTC)
        self.sent: list[int] = []
        self.late: list[int] = []

    def days(self, first: int, last: int) -> None:
        """A file with the readings of some days but for the late ones, with the late ones of the days before, and with
        older readings that were corrected, moved to another day, and deleted."""
        new = [day * 10 + n for day in range(first, last + 1) for n in range(6)]
        late = [reading for reading in new if reading % 10 == 5]
        on_time = [reading for reading in new if reading % 10 != 5] + self.late
        older = self.random.sample(self.sent, k=min(len(self.sent), 8))
        rows = [self.row(reading) for reading in [*on_time, *older[:3]]]
        rows += [self.row(reading, day=self.random.randint(0, last)) for reading in older[3:6]]
        rows += [self.row(reading, litres=GONE) for reading in older[6:]]
        self.sent, self.late = [*self.sent, *on_time], late
        (self.folder / f"data/{last:03}.csv").write_text(
            "\n".join(["reading,read_at,gauge,litres,updated_at", *rows, ""])
        )

    def row(self, reading: int, *, day: int | None = None, litres: int | None = None) -> str:
        self.now += timedelta(seconds=1)
        on = FIRST + timedelta(days=reading // 10 if day is None else day)
        litres = self.random.randint(*LITRES) if litres is None else litres
        return f"{reading},{on}T06:00:00Z,g{reading % 3},{litres},{self.now:%Y-%m-%dT%H:%M:%SZ}"

    def run(self, kill_at: str | None = None) -> crash.Ended:
        return crash.run_until(self.folder, kill_at=kill_at)

    def rows(self, sql: str) -> list[Any]:
        return [tuple(row.values()) for row in catchment.open(self.folder).query(sql).read_all().to_pylist()]

    def build(self) -> int:
        return int((Connected.of(load_project(self.folder)).warehouse.served() or {})["build"])

    def assert_whole(self) -> None:
        """What went on from build to build is what a table over all rows holds."""
        assert self.rows("select count(*), sum(readings) from gold.daily") == self.rows(
            "select count(distinct (cast(read_at as date), gauge)), count(*) from silver.readings"
        )
        daily, once = (f"select day, gauge, litres, readings, highest from gold.{name}" for name in DAILY)
        assert self.rows(f"{daily} except all {once}") == []
        assert self.rows(f"{once} except all {daily}") == []
        facts = "select reading, read_at, gauge, litres from"
        assert self.rows(f"{facts} gold.fct_readings except all {facts} silver.readings") == []
        assert self.rows("select count(*), count(distinct reading_key) from gold.fct_readings") == self.rows(
            "select count(*) as n, count(distinct reading) as keys from silver.readings"
        )


DAILY = ("daily", "daily_at_once")


@pytest.fixture
def tide(tmp_path: Path) -> Tide:
    shutil.copytree(HERE / "tide", tmp_path / "tide")
    (tmp_path / "tide/data").mkdir()
    return Tide(tmp_path / "tide")


@pytest.mark.long
@pytest.mark.timeout(240)
def test_sixty_days_in_builds_that_go_on_equal_one_build_over_everything(tide: Tide) -> None:
    tide.days(0, 19)
    assert tide.run().outcome == "done"
    tide.assert_whole()
    tide.days(20, 34)
    assert tide.run(kill_at="StepProgress").killed  # dbt has built its first model
    assert tide.build() == 1
    tide.days(35, 39)
    assert tide.run().outcome == "done"
    tide.assert_whole()
    assert tide.run().outcome == "nothing_new"

    tide.days(40, 49)
    assert tide.run(kill_at="publish.kept").killed
    crash.compact(tide.folder)  # every file is new, and no row is
    assert tide.run().outcome == "done"
    tide.assert_whole()

    connected = Connected.of(load_project(tide.folder))
    before = tide.build()
    publish_gold(connected.warehouse, rollback(connected.warehouse), step="publish:gold", tell=lambda _: None)
    assert tide.build() == before + 1
    assert tide.rows("select max(day) from gold.daily") == [(FIRST + timedelta(days=39),)]
    assert tide.run().outcome == "nothing_new", "what was gone back from is not built again by itself"
    tide.days(50, 59)
    assert tide.run().outcome == "done"
    tide.assert_whole()

    assert tide.rows("select max(day) from gold.daily")[0][0] >= FIRST + timedelta(days=59)
    # Each build saw another highest reading of every gauge; the one that was gone back from left no trace.
    kept = tide.rows("select gauge, count(*) from gold.gauges group by gauge order by gauge")
    assert [gauge for gauge, _ in kept] == ["g0", "g1", "g2"]
    assert all(versions >= 3 for _, versions in kept)

    ended = crash.run_until(tide.folder, select=["gold"], orders={"gold": Order("rebuild")})
    assert ended.outcome == "done"
    tide.assert_whole()
    assert tide.rows("select gauge, count(*) from gold.gauges group by gauge order by gauge") == kept
