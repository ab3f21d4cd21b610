"""A long life of a MongoDB beside runs that are killed: `SOAK_OPERATIONS=100000 make soak`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from tests.services.mongodb.server import started
from tests.services.mongodb_changes.conftest import Following
from tests.services.mongodb_changes.test_mongodb_changes_crash import lived
from tests.services.mongodb_changes.workload import COLLECTIONS


def test_a_long_life_with_kills_and_restarts_leaves_what_the_collections_hold(tmp_path: Path) -> None:
    operations = int(os.environ.get("SOAK_OPERATIONS", "100000"))
    with started(tmp_path, changes=True) as server, MongoClient[dict[str, Any]]("127.0.0.1", server.port) as client:
        database = client["life"]
        for name in COLLECTIONS:
            database.create_collection(name)
        following = Following(server.port, database)
        kills = lived(tmp_path / "life", server, following, database, operations=operations, rounds=20)
    print(f"{kills} kills, {operations} operations")  # noqa: T201 - what a soak is for
    assert kills > 0
