"""Upkeep between killed runs and beside living ones: the tables are those of an undisturbed project."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tests.flows.conftest import write_day

from catchment.maintain import maintain
from catchment.project import load_project
from catchment.testing.crash import compact, differences, faults, run_until, start

pytestmark = pytest.mark.long


def _undisturbed(mill: Callable[[str], Path], days: int) -> Path:
    folder = mill("undisturbed")
    for day in range(1, days + 1):
        write_day(folder, day)
        assert run_until(folder).outcome == "done"
    return folder


def test_upkeep_after_every_killed_run_loses_nothing(mill: Callable[[str], Path]) -> None:
    undisturbed, folder = _undisturbed(mill, 3), mill("disturbed")
    for day, places in ((1, (17,)), (2, (9, 25)), (3, (14, 33))):
        write_day(folder, day)
        for place in places:
            run_until(folder, kill_at=place)
            # The dead hold nothing: whatever they left may go.
            time.sleep(0.02)
            maintain(load_project(folder), None, retention=timedelta(0))
        assert run_until(folder).outcome in ("done", "nothing_new")
    assert differences(folder, undisturbed) == []
    assert faults(folder) == []


def test_upkeep_beside_a_run_disturbs_neither(mill: Callable[[str], Path]) -> None:
    undisturbed, folder = _undisturbed(mill, 3), mill("disturbed")
    project = load_project(folder)
    for day in (1, 2, 3):
        write_day(folder, day)
        child = start(folder)
        while child.process.is_alive():
            # Longer than a run takes from its first file to its commit; what is older goes while it works.
            maintain(project, None, retention=timedelta(seconds=5))
            compact(folder)
        assert child.join().outcome in ("done", "nothing_new")
    time.sleep(0.02)
    maintain(project, None, retention=timedelta(0))
    assert run_until(folder).outcome == "nothing_new"
    assert differences(folder, undisturbed) == []
    assert faults(folder) == []
