"""From the log of PostgreSQL to silver, while the database lives, runs are killed and the server is restarted."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from catchment.testing import crash
from tests.services.postgres.server import Postgres, started
from tests.services.postgres_changes.conftest import LOGICAL
from tests.services.postgres_changes.silver import Life, differences, run, write_project
from tests.services.postgres_changes.workload import Workload

# Of its own: it is restarted, and keeps the times of its commits.
SETTINGS = (*LOGICAL, "track_commit_timestamp=on")


@pytest.fixture
def mortal() -> Iterator[Postgres]:
    with started(SETTINGS) as server:
        yield server


def lived(folder: Path, server: Postgres, *, operations: int, seed: int, restarts: int, kills: int) -> Workload:
    """A life of so many operations beside runs that are killed at random, and then on until so many were killed."""
    chance = random.Random(seed)
    workload = Workload(server.url(), seed)
    workload.create()
    write_project(folder, server.url())
    assert crash.run_until(folder).outcome in ("done", "nothing_new")
    with Life(workload, operations).going() as life:
        while life.goes_on:
            child = crash.start(folder, kill_at=chance.randrange(1, 60))
            if restarts and chance.random() < 0.4:
                restarts -= 1
                server.server.restart()
            kills -= child.join(300).killed
    while kills > 0:
        workload.run(operations // 50)
        kills -= crash.run_until(folder, kill_at=chance.randrange(1, 60)).killed
    run(folder)
    return workload


@pytest.mark.timeout(900)
def test_merge_equals_the_tables_and_history_what_triggers_wrote_down(mortal: Postgres, tmp_path: Path) -> None:
    workload = lived(tmp_path / "life", mortal, operations=100_000, seed=11, restarts=5, kills=20)
    assert differences(tmp_path / "life", workload) == []
    assert crash.faults(tmp_path / "life") == []
