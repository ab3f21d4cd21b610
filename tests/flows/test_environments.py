"""Two people and a scheduled run at one project at the same time, each in a place of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.flows.conftest import write_day

from catchment.compare import compare
from catchment.project import load_project
from catchment.records import Order
from catchment.testing import crash

pytestmark = pytest.mark.long

ALICE, BOB = "local@alice", "local@bob"


def test_none_of_three_disturbs_another(mill: Callable[[str], Path]) -> None:
    calm, folder = mill("calm"), mill("folder")
    for day in (1, 2):
        write_day(calm, day)
        write_day(folder, day)
    assert crash.run_until(calm).outcome == "done"
    assert crash.run_until(folder).outcome == "done"
    for day in (3, 4, 5):
        write_day(calm, day)
        write_day(folder, day)
        going = [
            crash.start(folder),
            crash.start(folder, target=ALICE),
            crash.start(folder, target=BOB, kill_at=9 + day),
        ]
        ended = [child.join() for child in going]
        assert all(one.outcome in ("done", "nothing_new") for one in ended[:2]), [one.causes for one in ended]
        assert ended[2].killed or ended[2].outcome in ("done", "nothing_new")
    # What is looked up as it is now depends on when that is: made anew at the end it is the same everywhere.
    for made, place in ((folder, None), (folder, ALICE), (folder, BOB), (calm, None)):
        last = crash.run_until(made, target=place, orders={"silver.open_orders": Order("rebuild")})
        assert last.outcome == "done", (place, last.causes)
    # The scheduled run took each day by itself here and all of them at once there.
    assert crash.differences(folder, calm, batched_otherwise=True) == []
    project = load_project(folder)
    for place in (ALICE, BOB):
        found = list(compare(project, place, None))
        assert [table.table for table in found] == ["silver.customers", "silver.open_orders", "silver.orders"]
        assert all(table.is_equal for table in found), (place, [t for t in found if not t.is_equal])
