"""What catchment.yaml may say of refined topics; every mistake has its place and its cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from catchment.plan import plan
from catchment.project import Project, load_project, read_project

CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: {name}
version: 1.0.0
status: active
schema:
  - name: {name}
    properties:
      - {{name: id, logicalType: string, primaryKey: true, required: true}}
      - {{name: user_id, logicalType: string}}
      - {{name: at, logicalType: timestamp}}
      - {{name: "odd-one", logicalType: string}}
"""
PROJECT = """
name: small
sources:
  web:
    type: topic
    streams:
      events: {{topic: user_events}}
      others: {{topic: others}}
silver:
  events: {{from: web.events, {keys}}}
  others: {{from: web.others, {others}}}
{more}
"""


def write(folder: Path, keys: str, *, others: str = "mode: append", more: str = "") -> Path:
    (folder / "contracts").mkdir(exist_ok=True)
    for name in ("events", "others"):
        (folder / f"contracts/{name}.odcs.yaml").write_text(CONTRACT.format(name=name), encoding="utf-8")
    (folder / "catchment.yaml").write_text(PROJECT.format(keys=keys, others=others, more=more), encoding="utf-8")
    return folder


def problems(folder: Path, keys: str, **rest: str) -> list[str]:
    return [str(problem) for problem in read_project(write(folder, keys, **rest))[1]]


def loaded(folder: Path, keys: str, **rest: str) -> Project:
    return load_project(write(folder, keys, **rest))


def test_a_topic_alone_is_enough(tmp_path: Path) -> None:
    found = loaded(tmp_path, "publish: events.refined").silver["events"].published
    assert found is not None
    assert (found.topic, found.keys, found.format, found.deletes, found.rejects) == (
        "events.refined",
        (),
        "json",
        "row",
        None,
    )


def test_everything_can_be_said(tmp_path: Path) -> None:
    said = "{topic: t, key: [user_id, id], format: json, rejects: dead}"
    found = loaded(tmp_path, f"publish: {said}").silver["events"].published
    assert found is not None
    assert (found.keys, found.rejects) == (("user_id", "id"), "dead")
    assert loaded(tmp_path, "mode: append").silver["events"].published is None


def test_a_table_is_published_by_a_step_after_its_refine(tmp_path: Path) -> None:
    project = loaded(tmp_path, "publish: events.refined", more="live: {n: {from: events, measures: {n: count(*)}}}")
    found = {step.id: (step.reads, step.writes) for step in plan(project)}
    assert list(found) == [
        "land:web.events",
        "land:web.others",
        "refine:silver.events",
        "refine:silver.others",
        "publish:silver.events",
        "feed:live.events",
    ]
    assert found["publish:silver.events"] == (("silver.events",), "topic events.refined")
    assert found["feed:live.events"] == (("silver.events",), "live.events")


@pytest.mark.parametrize(
    ("selector", "steps"),
    [
        ("silver.events", ["refine:silver.events"]),
        ("silver.events+", ["refine:silver.events", "publish:silver.events", "feed:live.events"]),
        ("publish:silver.events", ["publish:silver.events"]),
        ("events.refined", ["publish:silver.events"]),
        ("live", ["feed:live.events"]),
        ("live.events", ["feed:live.events"]),
        ("+live.events", ["land:web.events", "refine:silver.events", "feed:live.events"]),
    ],
)
def test_what_leaves_silver_can_be_selected(tmp_path: Path, selector: str, steps: list[str]) -> None:
    project = loaded(tmp_path, "publish: events.refined", more="live: {n: {from: events, measures: {n: count(*)}}}")
    assert [step.id for step in plan(project, [selector])] == steps


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("publish: {key: id}", "topic is missing"),
        ("publish: {topic: t, kee: id}", "did you mean `key`?"),
        ("publish: {topic: t, format: jason}", "did you mean `json`?"),
        ("publish: [a]", "must be text or a mapping, not a list"),
        ("publish: a/b", "`a/b` is no name of a topic"),
        ("publish: {topic: t, rejects: 'a b'}", "`a b` is no name of a topic"),
        ("publish: catchment.progress", "topic catchment.progress is Catchment's own"),
        ("publish: {topic: t, rejects: t}", "topic t has what silver.events publishes already"),
        ("publish: {topic: t, key: user}", "the contract has no column `user`; did you mean `user_id`?"),
        ("publish: {topic: t, key: [id, id]}", "`id` is listed twice"),
        ("publish: {topic: t, key: []}", "key is empty"),
        ("publish: {topic: t, key: '${env:KEY}'}", "key is part of the project"),
        ("mode: history, latest_by: at, publish: t", "a table of mode history cannot be published"),
        ("mode: merge, deleted_when: at is null, latest_by: at, lateness: 1 day, publish: t", "remove lateness"),
        ("publish: {topic: t, deletes: tombstone}", "a table of mode append tells of no key that went"),
        (
            "mode: merge, publish: {topic: t, key: user_id, deletes: tombstone}",
            "a tombstone for user_id would take other rows with it; remove key: the contract's is id",
        ),
        ("publish: {topic: t, format: avro}", "target `local` has no schema registry"),
        ("publish: {topic: t, format: avro}", "Avro takes no column `odd-one`"),
        ("publish: user_events", "silver.events reads what it publishes, itself"),
    ],
)
def test_a_mistake_is_told_with_its_cure(tmp_path: Path, keys: str, told: str) -> None:
    found = problems(tmp_path, keys)
    assert any(told in problem for problem in found), found
    assert all(problem.startswith("catchment.yaml:10:") for problem in found)


def test_modes_that_only_add_or_name_a_key_can_be_published(tmp_path: Path) -> None:
    for keys in (
        "mode: append, publish: t",
        "mode: merge, publish: {topic: t, deletes: tombstone}",
        "mode: merge, publish: {topic: t, key: id, deletes: tombstone}",
        "mode: window, event_time: at, lateness: 1 day, publish: t",
    ):
        assert problems(tmp_path, keys) == []


def test_two_tables_take_two_topics(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, "publish: t", others="publish: t")
    assert "topic t has what silver.events publishes already; take a topic for each" in found


def test_a_circle_through_others_is_refused(tmp_path: Path) -> None:
    found = problems(tmp_path, "publish: others", others="publish: user_events")
    assert any("silver.events reads what it publishes, through others" in problem for problem in found)
    assert problems(tmp_path, "publish: others") == []
