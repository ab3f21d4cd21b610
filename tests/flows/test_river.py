"""From a generator to bronze, silver, refined topics, live figures and gold, without a server, over kills."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.flows import river

TARGETS = """\
targets:
  local: {default: true}
  batch: {lake: batch}
"""


@pytest.mark.long
def test_every_event_is_everywhere_once_though_everything_is_killed(tmp_path: Path) -> None:
    project = river.written(tmp_path, TARGETS)
    flow = river.River(project, "local", "200/s")
    killed = flow.flow(int(os.environ.get("RIVER_KILLS", "20")), seed=8)
    flow.settle()
    assert set(killed) == set(flow.processes)
    assert river.landed_once(project, "local") > 1_000
    river.as_a_batch(project, "local", "batch")
    river.refined_once(project, "local")
    river.figures_as_gold(project, "local")
