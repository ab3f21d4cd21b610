"""The whole way from a generator to gold and live figures, over hundreds of kills, without a server; `make soak` does
the same with servers after it (tests/services/stream)."""

from __future__ import annotations

import os
from pathlib import Path

from tests.flows import river
from tests.flows.test_river import TARGETS

KILLS = int(os.environ.get("RIVER_KILLS", "200"))


def test_hundreds_of_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    project = river.written(tmp_path, TARGETS)
    flow = river.River(project, "local", "200/s", shares=3)
    killed = flow.flow(KILLS, int(os.environ.get("RIVER_SEED", "1")))
    flow.settle()
    count = river.landed_once(project, "local")
    river.as_a_batch(project, "local", "batch")
    river.refined_once(project, "local")
    river.figures_as_gold(project, "local")
    print(f"{sum(killed.values())} kills ({dict(killed)}), {count:,} messages")  # noqa: T201 - what a soak is for
