"""Restore, rewind and adopt, killed anywhere and beside runs: what comes of them is what a fresh project has."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from tests.flows.conftest import write_day

from catchment.records import Order
from catchment.testing import crash

pytestmark = pytest.mark.long

Make = Callable[[str], Path]

_REBUILDS = {"silver.orders": Order("rebuild"), "silver.open_orders": Order("rebuild")}


@pytest.fixture(autouse=True)
def places_in_loads_may_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that landed one by one land together when they are read again."""
    monkeypatch.setattr(crash, "_MAY_DIFFER", (*crash._MAY_DIFFER, "_row"))


def _with_a_past(folder: Path, days: Sequence[int] = (1, 2)) -> Path:
    """A project that ran after each day."""
    for day in days:
        write_day(folder, day)
        assert crash.run_until(folder).outcome == "done"
    return folder


def _calm(folder: Path, way: _Way, days: Sequence[int] = (1, 2)) -> Path:
    """A project that never went back. What must be made anew is, here too: `current` look-ups are of today then."""
    _with_a_past(folder, days)
    if way.follow:
        assert crash.run_until(folder, orders=way.follow).outcome == "done"
    return folder


def _put_back(folder: Path) -> None:
    DeltaTable(folder / "lake/bronze/drops__orders").restore(1)


def _lose(folder: Path) -> None:
    shutil.rmtree(folder / "lake/_progress/silver.customers")


def _nothing(_: Path) -> None:
    """The table is whole."""


@dataclass(frozen=True)
class _Way:
    """What is asked of a step, the layer it is in, what somebody did to its table before, and what must follow."""

    step: str
    order: Order
    layer: str
    harm: Callable[[Path], None] = _nothing
    follow: Mapping[str, Order] = field(default_factory=dict)


_WAYS = {
    "rewind": _Way("drops.orders", Order("rewind", to=0), "bronze", follow=_REBUILDS),
    "restore": _Way("silver.customers", Order("restore", to=1), "silver"),
    "adopt a stream": _Way("drops.orders", Order("adopt"), "bronze", _put_back, _REBUILDS),
    "adopt a table": _Way("silver.customers", Order("adopt"), "silver", _lose),
}


@pytest.mark.parametrize("name", _WAYS)
def test_a_way_back_killed_at_every_point_ends_as_if_it_was_not(mill: Make, tmp_path: Path, name: str) -> None:
    way = _WAYS[name]
    calm, before = _calm(mill("calm"), way), _with_a_past(mill("before"))
    way.harm(before)
    asked: dict[str, Any] = {"select": [way.step], "orders": {way.step: way.order}}
    points = [f"{way.layer}.{point}" for point in ("claimed", "written", "filled", "committed")]
    for point in (f"{way.order.verb}.found", *points, "TableRestored"):
        folder = tmp_path / point
        shutil.copytree(before, folder)
        assert crash.run_until(folder, kill_at=point, **asked).killed, point
        again = crash.run_until(folder, **asked)
        assert again.outcome in ("done", "nothing_new"), (point, again.causes)
        _catch_up(folder, way, calm)
        shutil.rmtree(folder)


def _catch_up(folder: Path, way: _Way, calm: Path) -> None:
    """Land what is to be read again, make anew what must be, and compare."""
    first = crash.run_until(folder)
    if way.follow:
        assert first.outcome == "failed"
        assert all("no longer holds load" in cause for cause in first.causes if "failed" not in cause), first.causes
        assert crash.run_until(folder, orders=way.follow).outcome == "done"
    else:
        assert first.outcome == "done"
    assert crash.differences(folder, calm) == []
    assert crash.faults(folder) == []


@pytest.mark.parametrize("name", ["rewind", "restore"])
def test_a_way_back_beside_a_run_ends_as_if_one_came_after_the_other(mill: Make, name: str) -> None:
    way = _WAYS[name]
    calm, folder = _calm(mill("calm"), way, (1, 2, 3)), _with_a_past(mill("folder"))
    write_day(folder, 3)
    children = [crash.start(folder), crash.start(folder, select=[way.step], orders={way.step: way.order})]
    ended = [child.join() for child in children]
    assert ended[1].outcome == "done", ended[1].causes
    crash.run_until(folder)
    if way.follow:
        assert crash.run_until(folder, orders=way.follow).outcome == "done"
    assert crash.differences(folder, calm) == []
    assert crash.faults(folder) == []
