"""Several processes take every step of a stream, each step one of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from catchment.errors import ConfigError
from catchment.plan import plan
from catchment.project import Project, load_project
from catchment.stream.shares import Share

PROJECT = """\
name: shared
sources:
  clicks: {type: topic, streams: {events: {shards: 4}, others: {}}}
  drops: {type: files, streams: {users: {path: "users/*.csv"}, sales: {path: "sales/*.csv"}}}
silver:
  users: {from: drops.users, mode: history, latest_by: at}
  sales: {from: drops.sales}
  others: {from: clicks.others}
  events: {from: clicks.events, refine: silver/events.py, with: {users: {as_of: at}}}
"""
CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: {name}
version: 1.0.0
status: active
schema:
  - name: {name}
    properties:
      - {{name: id, logicalType: integer, required: true, primaryKey: true, primaryKeyPosition: 1}}
      - {{name: at, logicalType: timestamp}}
"""
REFINE = "def refine(events, users):\n    return events.join(users, on='id', how='left').select('id', 'at')\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    for folder in ("contracts", "silver"):
        (tmp_path / folder).mkdir()
    (tmp_path / "catchment.yaml").write_text(PROJECT)
    (tmp_path / "silver/events.py").write_text(REFINE)
    for name in ("users", "sales", "others", "events"):
        (tmp_path / f"contracts/{name}.odcs.yaml").write_text(CONTRACT.format(name=name))
    return load_project(tmp_path)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 12])
def test_each_step_is_taken_by_one_process(project: Project, count: int) -> None:
    steps = plan(project)
    taken = [step.id for number in range(count) for step in Share(number + 1, count).steps(project, steps)]
    assert sorted(taken) == sorted(step.id for step in steps)


def test_shards_are_dealt_one_by_one(project: Project) -> None:
    for number in (1, 2):
        landed = [step.name for step in Share(number, 2).steps(project, plan(project)) if step.kind == "land"]
        assert sum(name.startswith("clicks.events") for name in landed) == 2


def test_a_table_goes_with_what_it_looks_at_in_time_and_the_streams_of_that(project: Project) -> None:
    for count in (2, 3, 4):
        shares = [{step.id for step in Share(n + 1, count).steps(project, plan(project))} for n in range(count)]
        together = {"refine:silver.events", "refine:silver.users", "land:drops.users"}
        assert [share & together for share in shares if share & together] == [together]


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "1/2/3", ""])
def test_what_is_no_share_is_said(text: str) -> None:
    with pytest.raises(ConfigError, match="is no share") as raised:
        Share.parse(text)
    assert raised.value.hint == "write 1/3, 2/3 and 3/3 for three processes"


def test_a_share_is_written_as_it_is_read() -> None:
    assert str(Share.parse(" 2/3 ")) == "2/3"
