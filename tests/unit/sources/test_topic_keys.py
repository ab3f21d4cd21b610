"""What catchment.yaml may say of a topic."""

from __future__ import annotations

from pathlib import Path

import pytest

from catchment.connected import Connected
from catchment.errors import ProjectProblems
from catchment.project import Project, load_project
from catchment.sources.topic.source import TopicSource


def _project(folder: Path, *streams: str) -> Project:
    lines = [
        "name: shop",
        "sources:",
        "  web:",
        "    type: topic",
        "    streams:",
        *(f"      {one}" for one in streams),
    ]
    (folder / "catchment.yaml").write_text("\n".join(lines))
    return load_project(folder)


def test_a_topic_is_declared_in_a_line_and_reads_the_target_s_broker(tmp_path: Path) -> None:
    project = _project(
        tmp_path,
        "clicks: {}",
        "lines: {topic: web.lines, format: text, from: latest, on_gap: continue, tombstones: defect}",
        "users: {topic: shop.public.users, format: debezium}",
    )
    documents = [project.brings_documents(f"web.{name}") for name in ("clicks", "lines", "users")]
    assert documents == [True, False, True]
    assert [project.brings_changes(f"web.{name}") for name in ("clicks", "lines", "users")] == [False, False, True]
    connected = Connected.of(project)
    connected.broker.declare([])
    source = connected.source("web")
    assert isinstance(source, TopicSource)
    assert [str(feed.table) for feed in source.feeds()] == [
        f"bronze.web__{name}" for name in ("clicks", "lines", "users")
    ]
    assert [finding.severity for feed in source.feeds() for finding in source.probe(feed)] == ["warning"] * 3


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        ('{topic: "a b"}', "`a b` is no name of a topic; write letters, digits"),
        (
            "{topic: a, format: jsonl}",
            "`jsonl` is not one of json, text, avro, protobuf, debezium; did you mean `json`?",
        ),
        ("{topic: a, from: first}", "`first` is not one of earliest, latest"),
        ("{topic: a, on_gap: skip}", "`skip` is not one of stop, continue"),
        ("{topic: a, format: debezium, tombstones: row}", "each follows a delete, and is left out; remove it"),
        ("{topics: a}", "unknown key `topics`; did you mean `topic`?"),
    ],
)
def test_a_mistake_is_told_with_its_cure(tmp_path: Path, stream: str, words: str) -> None:
    with pytest.raises(ProjectProblems) as found:
        _project(tmp_path, f"clicks: {stream}")
    assert words in str(found.value)
