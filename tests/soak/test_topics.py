"""The embedded log for longer: `make soak`, by hand, on a quiet machine, for times are looked at."""

from __future__ import annotations

import os
import random
import tempfile
import time
from pathlib import Path

import pytest
from tests.flows.test_topics import Between
from tests.unit.topics import test_embedded


def test_no_writer_of_three_waits_for_more_than_200_ms(tmp_path: Path) -> None:
    slowest = Between().rivals(tmp_path, writes=2000, each=10)
    print(f"three writers, four readers, 6,000 writes: the slowest took {slowest:.0f} ms")  # noqa: T201
    assert slowest < 200


def test_fifty_killed_writers_lose_and_double_nothing(tmp_path: Path) -> None:
    seed = int(os.environ.get("SOAK_SEED", time.time_ns() % 2**32))
    told = Between().kills(tmp_path, random.Random(seed), rounds=17)
    print(f"51 kills, {told:,} acknowledged writes, seed {seed}")  # noqa: T201


@pytest.mark.parametrize("chore", ["turn", "create", "grow", "expire"])
def test_a_kill_at_every_line_leaves_all_that_was_acknowledged(chore: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ((lines,),) = test_embedded.TestKilled().together(Path(folder), [("killed_at_lines_of", chore, "1")])
    print(f"{chore}: killed at each of {lines} lines")  # noqa: T201
