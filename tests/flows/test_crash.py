"""A run killed with `kill -9` at every event and named point leaves what an undisturbed run leaves."""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest
from tests.flows.conftest import write_day

from catchment.records import Order
from catchment.testing import crash

pytestmark = pytest.mark.long

Make = Callable[[str], Path]

# Every name that a run of files to silver passes; a point that is renamed or lost is missed here.
POINTS = {
    *(
        f"{layer}.{point}"
        for layer in ("bronze", "silver", "quarantine")
        for point in ("claimed", "written", "filled", "committed")
    ),
    "bronze.widening",
    "bronze.widened",
}


def _undisturbed(folder: Path, days: Iterable[int]) -> None:
    for day in days:
        write_day(folder, day)
        assert crash.run_until(folder).outcome == "done"


def _equal(folder: Path, undisturbed: Path, *, repeated: bool = False) -> None:
    """`repeated`: an order was given again after it had been done, so that a load came twice."""
    assert crash.differences(folder, undisturbed) == []
    figures, expected = crash.figures(folder), crash.figures(undisturbed)
    assert (list(dict.fromkeys(figures)) if repeated else figures) == expected
    assert crash.faults(folder) == []


def _kill_ever_later(folder: Path, orders: Mapping[str, Order] | None = None) -> tuple[int, set[str]]:
    """Runs killed at their first event, their second, … until one ends; how many were killed, and what they told."""
    kills, told = 0, set[str]()
    while True:
        ended = crash.run_until(folder, kill_at=kills + 1, orders=orders)
        told.update(ended.told)
        if not ended.killed:
            assert ended.outcome in ("done", "nothing_new"), ended.causes
            return kills, told
        kills += 1


def test_runs_killed_ever_later_from_nothing_end_with_the_same_tables(mill: Make) -> None:
    calm, folder = mill("calm"), mill("folder")
    _undisturbed(calm, [1, 3])
    write_day(folder, 1)
    _, first = _kill_ever_later(folder)
    write_day(folder, 3)
    _, second = _kill_ever_later(folder)
    assert first | second >= POINTS
    _equal(folder, calm)


def test_every_point_of_an_increment_by_itself_leads_to_the_same_tables(mill: Make, tmp_path: Path) -> None:
    calm = mill("calm")
    _undisturbed(calm, [1, 3])
    before = mill("before")
    write_day(before, 1)
    crash.run_until(before)
    write_day(before, 3)
    shutil.copytree(before, tmp_path / "told")
    events = crash.run_until(tmp_path / "told").events
    for kill_at in range(1, events + 1):
        folder = tmp_path / f"at-{kill_at}"
        shutil.copytree(before, folder)
        assert crash.run_until(folder, kill_at=kill_at).killed
        assert crash.run_until(folder).outcome in ("done", "nothing_new"), kill_at
        _equal(folder, calm)
        shutil.rmtree(folder)


def test_a_kill_at_every_event_of_a_rebuild_keeps_the_old_table_or_has_the_new(mill: Make) -> None:
    calm, folder = mill("calm"), mill("folder")
    for project in (calm, folder):
        _undisturbed(project, [1, 2])
        contract = project / "contracts/orders.odcs.yaml"
        contract.write_text(contract.read_text().replace("minimum: 0", "minimum: 3"))
    assert crash.run_until(calm, orders={"silver.orders": Order("rebuild")}).outcome == "done"
    kills, _ = _kill_ever_later(folder, {"silver.orders": Order("rebuild")})
    assert kills > 10
    _equal(folder, calm, repeated=True)


@pytest.mark.timeout(240)
def test_two_runs_at_once_killed_at_random_beside_compaction_leave_the_same_tables(mill: Make) -> None:
    days = range(1, 9)
    calm, folder = mill("calm"), mill("folder")
    _undisturbed(calm, days)
    chance = random.Random(20261121)
    over = threading.Event()
    compacting = threading.Thread(target=_compact_until, args=(folder, over))
    compacting.start()
    kills = 0
    try:
        for day in days:
            write_day(folder, day)
            runs = [
                crash.start(folder, kill_at=chance.randint(1, 45)),
                crash.start(folder, kill_at=chance.randint(1, 90)),
            ]
            kills += sum(run.join().killed for run in runs)
            last = [crash.start(folder), crash.start(folder)]
            assert {run.join().outcome for run in last} <= {"done", "nothing_new"}
    finally:
        over.set()
        compacting.join()
    assert kills >= 4
    assert crash.run_until(folder).outcome == "nothing_new"
    _equal(folder, calm)


def _compact_until(folder: Path, over: threading.Event) -> None:
    while not over.wait(0.3):
        crash.compact(folder)
