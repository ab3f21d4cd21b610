"""A run over a tap killed at every event and named point, with rows added in between, lands each row once."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.services.singer.conftest import Outside, command

from catchment.opened import OpenProject
from catchment.project import load_project
from catchment.testing import crash

_PROJECT = """\
name: shop
sources:
  people:
    type: singer
    command: "{command}"
    config: {{folder: {folder}}}
    streams:
      users: {{}}
      everybody: {{stream: users, full: true}}
"""


def _documents(project: Path, table: str) -> list[int]:
    rows = OpenProject(load_project(project)).query(f'SELECT document FROM bronze."people__{table}"').read_all()
    return [json.loads(text)["id"] for text in rows.column("document").to_pylist()]


def _secrets(outside: Outside) -> list[Path]:
    """Private folders of taps that read these pages."""
    left = []
    for path in Path(tempfile.gettempdir()).glob("catchment-tap-*/config.json"):
        with contextlib.suppress(OSError):
            left += [path] if str(outside.folder) in path.read_text() else []
    return left


def test_every_point_of_landing(outside: Outside) -> None:
    project = outside.folder / "shop"
    project.mkdir()
    outside.add(3)
    text = _PROJECT.format(command=command("python"), folder=outside.folder / "pages")
    (project / "catchment.yaml").write_text(text)
    kills, points = 0, set[str]()
    while True:
        ended = crash.run_until(project, kill_at=kills + 1)
        points.update(ended.told)
        if not ended.killed:
            assert ended.outcome in ("done", "nothing_new"), ended.causes
            break
        kills += 1
        if kills % 4 == 0:
            outside.add(2)
    assert kills > 8
    assert {f"bronze.{point}" for point in ("claimed", "written", "filled", "committed")} <= points
    assert crash.run_until(project).outcome == "nothing_new"
    assert Counter(_documents(project, "users")) == Counter(range(outside.rows))
    assert set(_documents(project, "everybody")) == set(range(outside.rows))
    assert crash.faults(project) == []
    until = time.monotonic() + 10
    while (left := _secrets(outside)) and time.monotonic() < until:
        time.sleep(0.1)
    assert left == []
