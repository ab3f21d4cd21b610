"""A run over Redis killed at every event and named point, with entries added in between, lands each once."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.services.redis.conftest import Asking

from catchment.opened import OpenProject
from catchment.project import load_project
from catchment.testing import crash

_PROJECT = """\
name: shop
sources:
  live:
    type: redis
    url: {url}
    streams:
      clicks: {{stream: clicks}}
      sessions: {{keys: "session:*"}}
silver:
  clicks: {{from: live.clicks}}
  sessions: {{from: live.sessions, mode: merge}}
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
"""
_CLICKS = """\
      - {name: number, logicalType: integer, required: true, transformSourceObjects: [$.fields.number]}
"""
_SESSIONS = """\
      - {name: key, logicalType: string, required: true, primaryKey: true, primaryKeyPosition: 1}
      - {name: value, logicalType: string}
"""


@pytest.fixture
def project(tmp_path: Path, asking: Asking) -> Path:
    folder = tmp_path / "shop"
    (folder / "contracts").mkdir(parents=True)
    (folder / "catchment.yaml").write_text(_PROJECT.format(url=asking.url))
    for name, columns in (("clicks", _CLICKS), ("sessions", _SESSIONS)):
        (folder / f"contracts/{name}.odcs.yaml").write_text(_CONTRACT.format(name=name) + columns)
    return folder


def _query(folder: Path, sql: str) -> list[Any]:
    return [tuple(row.values()) for row in OpenProject(load_project(folder)).query(sql).read_all().to_pylist()]


def test_kills_at_every_point_lose_no_entry_and_double_none(project: Path, client: Any) -> None:
    kills, added, told = 0, 0, set[str]()
    client.mset({f"session:{number}": "open" for number in range(5)})
    while True:
        for _ in range(3):
            client.xadd("clicks", {"number": added})
            added += 1
        client.set("session:0", f"round {kills}")
        ended = crash.run_until(project, kill_at=kills + 1)
        told.update(ended.told)
        if not ended.killed:
            assert ended.outcome == "done", ended.causes
            break
        kills += 1
    assert kills > 20
    assert told >= {f"bronze.{point}" for point in ("claimed", "written", "filled", "committed")}
    documents = _query(project, "SELECT document FROM bronze.live__clicks")
    assert Counter(int(json.loads(text)["fields"]["number"]) for (text,) in documents) == Counter(range(added))
    assert crash.faults(project) == []
    assert crash.run_until(project).outcome == "nothing_new"
    sessions = dict(_query(project, "SELECT key, value FROM silver.sessions"))
    assert sessions == {"session:0": f"round {kills}", **{f"session:{number}": "open" for number in range(1, 5)}}


def test_keys_that_are_gone_are_deleted_in_silver(project: Path, client: Any) -> None:
    client.xadd("clicks", {"number": 1})
    client.mset({"session:1": "a", "session:2": "b"})
    assert crash.run_until(project).outcome == "done"
    client.delete("session:1")
    assert crash.run_until(project).outcome == "done"
    assert _query(project, "SELECT key FROM silver.sessions") == [("session:2",)]
