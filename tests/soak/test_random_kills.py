"""The crash harness at random for as long as SOAK_S says (default ten minutes): `make soak`, by hand."""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path

from tests.flows.conftest import write_day, write_project

from catchment.testing import crash


def test_two_runs_at_once_killed_at_random_for_a_long_time(tmp_path: Path) -> None:
    seed = int(os.environ.get("SOAK_SEED", time.time_ns() % 2**32))
    chance = random.Random(seed)
    ends = time.monotonic() + float(os.environ.get("SOAK_S", "600"))
    rounds = kills = 0
    while time.monotonic() < ends:
        kills += _round(tmp_path / str(rounds), chance, f"seed {seed}, round {rounds}")
        rounds += 1
    print(f"{kills} kills in {rounds} rounds, seed {seed}")  # noqa: T201 - what a soak is for
    assert kills > 0


def _round(folder: Path, chance: random.Random, where: str) -> int:
    """Six days that land under fire, compared with six that land in peace; how many runs were killed."""
    calm, fire = write_project(folder / "calm"), write_project(folder / "fire")
    over = threading.Event()
    compacting = threading.Thread(target=_compact_until, args=(fire, over))
    compacting.start()
    kills = 0
    try:
        for day in range(1, 7):
            write_day(calm, day)
            assert crash.run_until(calm).outcome == "done", where
            write_day(fire, day)
            for _ in range(chance.randint(1, 4)):
                runs = [crash.start(fire, kill_at=chance.randint(1, 90)) for _ in range(2)]
                kills += sum(run.join().killed for run in runs)
            assert crash.run_until(fire).outcome in ("done", "nothing_new"), where
    finally:
        over.set()
        compacting.join()
    assert crash.differences(fire, calm) == [], where
    assert crash.faults(fire) == [], where
    return kills


def _compact_until(folder: Path, over: threading.Event) -> None:
    while not over.wait(0.2):
        crash.compact(folder)
