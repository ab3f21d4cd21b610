"""A run over a dlt source killed at every event and named point, with rows added in between, lands each row once."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from catchment.opened import OpenProject
from catchment.project import load_project
from catchment.testing import crash

_PROJECT = """\
name: shop
sources:
  people:
    type: dlt
    source: sources/people.py:people
    with: {token: "${file:token.txt}"}
    streams:
      users: {}
      pages: {}
      everybody: {full: true}
"""
_SOURCE = """\
import json
from pathlib import Path

import dlt

ROWS = Path(__file__).parents[1] / "rows.txt"


@dlt.source
def people(token: str = dlt.secrets.value):
    assert token == "t-1234"

    @dlt.resource
    def users(at=dlt.sources.incremental("id", initial_value=-1)):
        yield [{"id": id} for id in range(int(ROWS.read_text()))]

    @dlt.resource
    def pages():
        state = dlt.current.resource_state()
        begin, end = state.get("end", 0), int(ROWS.read_text())
        for id in range(begin, end):
            yield {"id": id}
        state["end"] = end

    @dlt.resource(write_disposition="replace")
    def everybody():
        for id in range(int(ROWS.read_text())):
            yield {"id": id}

    return users, pages, everybody
"""


def _documents(project: Path, table: str) -> list[int]:
    rows = OpenProject(load_project(project)).query(f'SELECT document FROM bronze."people__{table}"').read_all()
    return [json.loads(text)["id"] for text in rows.column("document").to_pylist()]


def test_every_point_of_landing(tmp_path: Path) -> None:
    project, rows = tmp_path / "shop", 3
    (project / "sources").mkdir(parents=True)
    (project / "catchment.yaml").write_text(_PROJECT)
    (project / "token.txt").write_text("t-1234\n")
    (project / "sources/people.py").write_text(_SOURCE)
    (project / "rows.txt").write_text(str(rows))
    kills, points = 0, set[str]()
    while True:
        ended = crash.run_until(project, kill_at=kills + 1)
        points.update(ended.told)
        if not ended.killed:
            assert ended.outcome in ("done", "nothing_new"), ended.causes
            break
        kills += 1
        if kills % 4 == 0:
            rows += 2
            (project / "rows.txt").write_text(str(rows))
    assert kills > 8
    assert {f"bronze.{point}" for point in ("claimed", "written", "filled", "committed")} <= points
    assert crash.run_until(project).outcome == "nothing_new"
    for table in ("users", "pages"):
        assert Counter(_documents(project, table)) == Counter(range(rows)), table
    assert set(_documents(project, "everybody")) == set(range(rows))
    assert crash.faults(project) == []
    assert not list((project / "sources").glob("__pycache__"))
