"""Whole runs against an API: killed at every event, and over a server that dies in mid-read."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from catchment.generate.routes import Collection
from catchment.generate.server import ApiServer, Fault
from catchment.opened import OpenProject
from catchment.project import load_project
from catchment.testing import crash
from tests.services.http.api import collection, record

_PROJECT = """\
name: hub
sources:
  api:
    type: rest
    url: {url}
    streams:
      items:
        path: /items
        records: $.items[*]
        paging: {{type: cursor, param: after, next: $.meta.next}}
        cursor: {{field: $.updated_at, param: since, lookback: 5 minutes}}
        key: $.id
"""


@pytest.fixture
def held() -> Collection:
    return collection("cursor", [record(number) for number in range(10)])


@pytest.fixture
def server(held: Collection) -> Iterator[ApiServer]:
    with ApiServer({"/items": held}) as server:
        yield server


@pytest.fixture
def folder(server: ApiServer, tmp_path: Path) -> Path:
    made = tmp_path / "hub"
    made.mkdir()
    (made / "catchment.yaml").write_text(_PROJECT.format(url=server.url))
    return made


def _small_loads(folder: Path, log: Path, kill_at: int | None) -> None:
    from catchment.sources.http import reading

    reading.LOAD_BYTES = 1
    crash._child(folder, log, kill_at, (), {}, None)


def _run(folder: Path, kill_at: int | None = None) -> crash.Ended:
    """A run in a process of its own that commits after each page."""
    log = folder / ".catchment" / f"small-{random.getrandbits(48):012x}.log"
    log.parent.mkdir(exist_ok=True)
    process = crash._context().Process(target=_small_loads, args=(folder, log, kill_at))
    process.start()
    return crash.Child(process, log).join()


def _landed(folder: Path) -> Counter[int]:
    rows = OpenProject(load_project(folder)).query("SELECT document FROM bronze.api__items").read_all()
    return Counter(json.loads(text)["id"] for text in rows["document"].to_pylist())


@pytest.mark.timeout(240)
def test_a_run_killed_at_every_point_of_a_commit_lands_each_record_once(
    server: ApiServer, held: Collection, folder: Path, tmp_path: Path
) -> None:
    del held.records[6:]
    whole = tmp_path / "whole"
    shutil.copytree(folder, whole)
    told = _run(whole).told
    assert _landed(whole) == Counter(range(6))
    points = [place for place, name in enumerate(told, start=1) if "." in name or name == "RowsLanded"]
    assert len(points) == 10  # of two loads
    for kill_at in points:
        copy = tmp_path / f"at-{kill_at}"
        shutil.copytree(folder, copy)
        assert _run(copy, kill_at).killed
        assert _run(copy).outcome in ("done", "nothing_new"), kill_at
        assert _landed(copy) == Counter(range(6)), kill_at
        assert crash.faults(copy) == []
        shutil.rmtree(copy)


def test_runs_killed_ever_later_while_records_come_land_each_of_them_once(
    server: ApiServer, held: Collection, folder: Path
) -> None:
    kills = 0
    while True:
        ended = _run(folder, kill_at=kills + 1)
        if not ended.killed:
            break
        kills += 2
        held.records.insert(0, {**record(100 + kills), "updated_at": record(8)["updated_at"]})
    assert kills > 10
    assert _run(folder).outcome in ("done", "nothing_new")
    assert _landed(folder) == Counter(one["id"] for one in held.records)
    assert _run(folder).outcome == "nothing_new"


def test_a_server_that_dies_in_mid_read_costs_what_was_not_read_only(server: ApiServer, folder: Path) -> None:
    server.faults.extend([None, None, *[Fault("gone")] * 60])
    ended = _run(folder)
    assert ended.outcome == "failed"
    assert any("connection" in cause for cause in ended.causes)
    assert _landed(folder) == Counter(range(6))
    server.faults.clear()
    server.asked.clear()
    assert _run(folder).outcome == "done"
    assert _landed(folder) == Counter(range(10))
    assert server.asked[0].params["after"] == "5"
    assert _run(folder).outcome == "nothing_new"
