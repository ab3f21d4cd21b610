"""A run over MongoDB killed at every event and named point, with documents written in between, lands each once."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import json_util
from pymongo.database import Database
from tests.services.mongodb.conftest import Asking

from catchment.opened import OpenProject
from catchment.project import load_project
from catchment.testing import crash

_PROJECT = """\
name: shop
sources:
  catalogue:
    type: mongodb
    url: {url}
    streams:
      products: {{collection: products, cursor: updated_at, lookback: 5 minutes}}
      settings: {{collection: settings, extended_json: relaxed}}
silver:
  products: {{from: catalogue.products}}
  settings: {{from: catalogue.settings, mode: merge}}
"""
_CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: {name}
version: 1.0.0
status: active
schema:
  - name: {name}
    properties:
      - {{name: id, logicalType: integer, required: true, transformSourceObjects: ['[$._id{below}]']{key}}}
      - {{name: version, logicalType: integer, transformSourceObjects: ['[$.version{below}]']}}
"""
_NOW = datetime(2026, 3, 1, tzinfo=UTC)


def _project(folder: Path, url: str) -> Path:
    (folder / "contracts").mkdir(parents=True)
    (folder / "catchment.yaml").write_text(_PROJECT.format(url=url))
    key = ", primaryKey: true, primaryKeyPosition: 1"
    for name, below, primary in (("products", '."$numberInt"', ""), ("settings", "", key)):
        (folder / f"contracts/{name}.odcs.yaml").write_text(_CONTRACT.format(name=name, below=below, key=primary))
    return folder


@pytest.fixture
def project(tmp_path: Path, asking: Asking) -> Path:
    return _project(tmp_path / "shop", asking.url)


def _landed(folder: Path, stream: str) -> Counter[tuple[Any, Any]]:
    opened = OpenProject(load_project(folder))
    rows = opened.query(f"SELECT document FROM bronze.catalogue__{stream}").read_all().column("document").to_pylist()
    return Counter((one["_id"], one.get("version")) for one in map(json_util.loads, rows))


def test_kills_at_every_point_lose_no_document_and_double_none(
    project: Path, database: Database[dict[str, Any]]
) -> None:
    wanted: set[tuple[int, int]] = set()
    kills, told = 0, set[str]()
    database.settings.insert_many([{"_id": n, "version": 0} for n in range(5)])
    while True:
        # Late by up to two minutes, always within the lookback.
        late = _NOW + timedelta(seconds=10 * kills - 120 * (kills % 2))
        made = [{"_id": 10 * kills + n, "version": kills, "updated_at": late + timedelta(seconds=n)} for n in range(3)]
        database.products.insert_many(made)
        wanted |= {(one["_id"], one["version"]) for one in made}
        ended = crash.run_until(project, kill_at=kills + 1)
        told.update(ended.told)
        if not ended.killed:
            assert ended.outcome == "done", ended.causes
            break
        kills += 1
    assert kills > 20
    assert told >= {f"bronze.{point}" for point in ("claimed", "written", "filled", "committed")}
    assert _landed(project, "products") == Counter(wanted)
    assert _landed(project, "settings") == Counter((n, 0) for n in range(5))
    assert crash.faults(project) == []
    assert crash.run_until(project).outcome == "nothing_new"
    assert _landed(project, "products") == Counter(wanted)


def test_what_is_gone_from_a_whole_collection_is_deleted_in_silver(
    project: Path, database: Database[dict[str, Any]]
) -> None:
    database.products.insert_one({"_id": 1, "version": 1, "updated_at": _NOW})
    database.settings.insert_many([{"_id": n, "version": 0} for n in range(5)])
    assert crash.run_until(project).outcome == "done"
    database.settings.delete_one({"_id": 3})
    database.settings.update_one({"_id": 2}, {"$set": {"version": 7}})
    assert crash.run_until(project).outcome == "done"
    rows = OpenProject(load_project(project)).query("SELECT id, version FROM silver.settings ORDER BY id").read_all()
    assert [tuple(row.values()) for row in rows.to_pylist()] == [(0, 0), (1, 0), (2, 7), (4, 0)]
    assert crash.run_until(project).outcome == "nothing_new"
