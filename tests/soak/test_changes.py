"""A long life of a PostgreSQL beside runs that are killed: `SOAK_OPERATIONS=1000000 make soak`."""

from __future__ import annotations

import os
from pathlib import Path

from tests.services.postgres.server import started
from tests.services.postgres_changes.silver import differences
from tests.services.postgres_changes.test_silver import SETTINGS, lived

from catchment.testing import crash


def test_a_long_life_with_kills_and_restarts_leaves_what_the_database_says(tmp_path: Path) -> None:
    operations = int(os.environ.get("SOAK_OPERATIONS", "1000000"))
    with started(SETTINGS) as server:
        workload = lived(tmp_path / "life", server, operations=operations, seed=5, restarts=50, kills=200)
        assert differences(tmp_path / "life", workload) == []
    assert crash.faults(tmp_path / "life") == []
