"""A topic that was removed and made anew under a stream: nothing goes unread unsaid, and what landed stays."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from catchment.connected import Connected
from catchment.events import Noticed, StepFinished
from catchment.opened import OpenProject
from catchment.plan import plan
from catchment.project import Project, load_project
from catchment.records import Message, TopicSpec
from catchment.restore import Load, way_back
from catchment.run import run
from catchment.testing.fakes import Heard
from catchment.topics.embedded import EmbeddedBroker

_PROJECT = """\
name: shop
sources:
  web: {type: topic, streams: {clicks: {topic: clicks, on_gap: ON_GAP}}}
silver:
  clicks: {from: web.clicks}
"""
_CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: clicks
version: 1.0.0
status: active
schema:
  - name: clicks
    properties:
      - {name: number, logicalType: integer, required: true}
"""


def _project(folder: Path, on_gap: str) -> Project:
    (folder / "contracts").mkdir(exist_ok=True)
    (folder / "contracts/clicks.odcs.yaml").write_text(_CONTRACT)
    (folder / "catchment.yaml").write_text(_PROJECT.replace("ON_GAP", on_gap))
    return load_project(folder)


def _put(folder: Path, *numbers: int) -> None:
    broker = EmbeddedBroker(folder / "topics")
    broker.declare([TopicSpec("clicks", 3)])
    broker.write("clicks", [Message(json.dumps({"number": one}).encode(), b"%d" % one) for one in numbers])
    broker.close()


def _run(project: Project) -> tuple[str, Heard]:
    heard = Heard()
    return run(project, None, plan(project), listeners=[heard]), heard


def _silver(project: Project) -> list[int]:
    rows = OpenProject(project).query("SELECT number FROM silver.clicks").read_all()
    return sorted(rows.column("number").to_pylist())


@pytest.mark.parametrize("length", [5, 300], ids=["shorter", "grown past what landed"])
def test_a_stream_stops_and_goes_on_with_the_new_topic_where_it_is_told_to(tmp_path: Path, length: int) -> None:
    project = _project(tmp_path, "stop")
    _put(tmp_path, *range(30))
    assert _run(project)[0] == "done"
    shutil.rmtree(tmp_path / "topics/clicks")
    _put(tmp_path, *range(1000, 1000 + length))
    for _ in range(2):
        outcome, heard = _run(project)
        assert outcome == "failed"
        (failed,) = [one for one in heard.of(StepFinished) if one.outcome == "failed"]
        assert "topic clicks was made anew since it was read" in str(failed.cause)
        assert "on_gap: continue" in str(failed.hint)
    assert _silver(project) == list(range(30))
    outcome, heard = _run(_project(tmp_path, "continue"))
    assert outcome == "done"
    assert [one.message for one in heard.of(Noticed) if "made anew" in one.message]
    project = _project(tmp_path, "stop")
    assert _run(project)[0] == "nothing_new"
    _put(tmp_path, 5000)
    assert _run(project)[0] == "done"
    assert _silver(project) == [*range(30), *range(1000, 1000 + length), 5000]


@pytest.mark.parametrize("on_gap", ["stop", "continue"])
def test_going_back_tells_that_rows_of_the_topic_before_cannot_be_read_again(tmp_path: Path, on_gap: str) -> None:
    project = _project(tmp_path, on_gap)
    _put(tmp_path, *range(30))
    assert _run(project)[0] == "done"
    bronze = project.feeds()[0].table
    _put(tmp_path, 30)
    way = way_back(Connected.of(project), bronze, Load(0))
    assert way.again is not None
    assert (way.again.about.items, way.again.rows, way.again.lost_count) == (31, 30, 0)
    shutil.rmtree(tmp_path / "topics/clicks")
    _put(tmp_path, *range(1000, 1300))
    way = way_back(Connected.of(project), bronze, Load(0))
    assert way.again is not None
    assert (way.again.about.items, way.again.rows, way.again.lost_count) == (300, 30, 30)
    if on_gap == "continue":
        assert _run(project)[0] == "done"
        way = way_back(Connected.of(project), bronze, Load(0))
        assert way.again is not None
        assert (way.again.rows, way.again.lost_count) == (330, 30)
