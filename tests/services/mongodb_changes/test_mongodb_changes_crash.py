"""Runs over a change stream that are killed, with changes made in between, lose none and double none."""

from __future__ import annotations

import random
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database
from pymongo.errors import AutoReconnect
from tests.services.mongodb.server import MongoServer
from tests.services.mongodb_changes.conftest import Following
from tests.services.mongodb_changes.shop import assert_holds, bronze, write_shop
from tests.services.mongodb_changes.workload import Workload

from catchment.testing import crash

Documents = Database[dict[str, Any]]


@pytest.mark.timeout(300)
def test_kills_at_every_point_lose_no_change_and_double_none(
    tmp_path: Path, following: Following, database: Documents
) -> None:
    project = write_shop(tmp_path / "shop", following.url, ["stock"])
    work = Workload(database, 5)
    work.run(200)
    kills, told = 0, set[str]()
    while True:
        work.run(40)
        ended = crash.run_until(project, kill_at=kills + 1)
        told.update(ended.told)
        if not ended.killed:
            assert ended.outcome == "done", ended.causes
            break
        kills += 1
    assert kills > 20
    assert told >= {f"bronze.{point}" for point in ("claimed", "written", "filled", "committed")}
    assert_holds(project, database, ["stock"])
    assert crash.faults(project) == []
    rows = len(bronze(project))
    assert crash.run_until(project).outcome == "nothing_new"
    assert len(bronze(project)) == rows


@pytest.mark.timeout(300)
def test_runs_and_a_server_that_are_killed_while_others_write_end_at_what_is_there(
    tmp_path: Path, replica: MongoServer, following: Following, database: Documents
) -> None:
    lived(tmp_path / "shop", replica, following, database, operations=4000, rounds=4)


def lived(
    folder: Path, replica: MongoServer, following: Following, database: Documents, *, operations: int, rounds: int
) -> int:
    """A life in rounds: each writes while a run goes on that is killed, then the server is; how many runs were."""
    write_shop(folder, following.url)
    chance, work, kills = random.Random(rounds), Workload(database, rounds), 0
    for _ in range(rounds):
        writing = threading.Thread(target=work.run, args=(operations // rounds,))
        writing.start()
        while writing.is_alive():
            kills += crash.start(folder, kill_at=chance.randint(1, 60)).join().killed
        writing.join()
        run = crash.start(folder, kill_at=chance.randint(1, 60))
        replica.restart()
        kills += run.join().killed
        with suppress(AutoReconnect):
            database.command("ping")  # our own connection is gone as well
    assert crash.run_until(folder).outcome in ("done", "nothing_new")
    assert work.done.total() == operations // rounds * rounds
    assert_holds(folder, database)
    assert crash.faults(folder) == []
    return kills
