"""Topics that a project declares: shown, made where they are absent, and otherwise left to `catchment topics apply`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from catchment.cli.group import catchment as root
from catchment.connected import Connected
from catchment.declared import specs
from catchment.errors import ConfigError, ProjectProblems
from catchment.project import load_project
from catchment.records import Message, TopicSpec
from catchment.topics.embedded import EmbeddedBroker

PROJECT = """\
name: tries
sources:
  web:
    type: topic
    streams:
      clicks: {topic: web.clicks}
      views: {}
topics:
  web.clicks: {partitions: 2, retention: 3 days}
  others: {}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "catchment.yaml").write_text(PROJECT, encoding="utf-8")
    return tmp_path


def call(folder: Path, *words: str) -> Result:
    found = CliRunner().invoke(root, ["--project", str(folder), *words], standalone_mode=False)
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found


def broker(folder: Path) -> EmbeddedBroker:
    return EmbeddedBroker(folder / "topics")


class TestApply:
    def test_differences_are_shown_and_nothing_is_done(self, folder: Path) -> None:
        found = call(folder, "topics", "apply")
        assert found.stdout.splitlines() == [
            "topic web.clicks: would be new, with 2 partitions",
            "topic others: would be new, with 3 partitions",
        ]
        assert "Nothing was changed. catchment" in found.stderr
        assert "topics apply --yes does it." in found.stderr
        assert broker(folder).topics() == []

    def test_yes_does_it_once(self, folder: Path) -> None:
        broker(folder).declare([TopicSpec("web.clicks", 1)])
        found = call(folder, "topics", "apply", "--yes", "--json")
        assert json.loads(found.stdout) == {
            "done": True,
            "topics": [
                "topic web.clicks: 2 partitions, were 1; messages of one key may come into another partition from now"
                " on",
                "topic web.clicks: kept for 3 days, was 7 days",
                "topic others: new, 3 partitions, kept for 7 days",
            ],
        }
        assert broker(folder).spec("web.clicks") == TopicSpec("web.clicks", 2, 259_200)
        again = call(folder, "topics", "apply", "--yes")
        assert (again.stdout, again.stderr) == ("", "Every topic is as it is declared.\n")

    def test_what_the_embedded_log_cannot_do_is_said(self, folder: Path) -> None:
        path = folder / "catchment.yaml"
        path.write_text(PROJECT.replace("others: {}", "others: {replication: 3, min_insync: 2}"), encoding="utf-8")
        assert "this machine alone keeps it" in call(folder, "topics", "apply", "--yes").stdout
        path.write_text(PROJECT.replace("others: {}", "others: {compact: true}"), encoding="utf-8")
        with pytest.raises(ConfigError, match="others cannot be compacted by the embedded log"):
            call(folder, "topics", "apply")

    def test_without_declared_topics_it_says_so(self, folder: Path) -> None:
        (folder / "catchment.yaml").write_text("name: tries\n", encoding="utf-8")
        assert "No topic is declared" in call(folder, "topics", "apply").stderr


class TestPlan:
    def test_differences_of_topics_are_in_the_plan(self, folder: Path) -> None:
        broker(folder).declare([TopicSpec("others", 1)])
        found = call(folder, "plan")
        assert "topic web.clicks: would be new, with 2 partitions" in found.stdout
        assert "topic others: 3 partitions, were 1" in found.stdout
        told = json.loads(call(folder, "plan", "--json").stdout)["topics"]
        assert len(told["differences"]) == 2
        assert told["error"] is None

    def test_a_broker_that_refuses_keeps_no_step_from_being_told(self, folder: Path) -> None:
        broker(folder).declare([TopicSpec("others", 5)])
        found = call(folder, "plan")
        assert found.return_value == 1
        assert "web.clicks" in found.stdout
        assert "Topics cannot be told: topic others has 5 partitions and cannot have 3" in found.stdout


class TestRun:
    def test_a_run_makes_the_topics_it_reads_that_are_absent(self, folder: Path) -> None:
        assert "topic web.clicks: new, 2 partitions, kept for 3 days" in call(folder, "run").stderr
        assert broker(folder).topics() == ["web.clicks"]
        broker(folder).write("web.clicks", [Message(b"{}")])
        assert call(folder, "run").return_value == 0

    def test_a_run_changes_none_that_is_there(self, folder: Path) -> None:
        broker(folder).declare([TopicSpec("web.clicks", 1)])
        call(folder, "run")
        assert broker(folder).spec("web.clicks").partitions == 1

    def test_a_stream_makes_them_too(self, folder: Path) -> None:
        call(folder, "stream", "--until-idle")
        assert broker(folder).spec("web.clicks").partitions == 2

    def test_put_makes_a_topic_as_it_is_declared(self, folder: Path) -> None:
        CliRunner().invoke(root, ["--project", str(folder), "topics", "put", "web.clicks", "--create"], input="{}\n")
        assert broker(folder).spec("web.clicks") == TopicSpec("web.clicks", 2, 259_200)


def _reads(folder: Path, text: str) -> str:
    (folder / "catchment.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ProjectProblems) as found:
        load_project(folder)
    return str(found.value)


@pytest.mark.parametrize(
    ("topics", "words"),
    [
        ("{a b: {}}", "`a b` is no name of a topic; write letters, digits"),
        ("{a: {partitions: 0}}", "write 1 or more"),
        ("{a: {retention: often}}", "`often` is no length of time; write retention: 7 days"),
        ("{a: {replication: 2, min_insync: 3}}", "3 servers cannot have what 2 keep; write min_insync: 2, or less"),
        ("{a: {partition: 1}}", "unknown key `partition`; did you mean `partitions`?"),
    ],
)
def test_a_mistake_in_a_topic_is_told_with_its_cure(tmp_path: Path, topics: str, words: str) -> None:
    assert words in _reads(tmp_path, f"name: tries\ntopics: {topics}\n")


STREAM = "name: tries\nsources:\n  web:\n    type: topic\n    streams:\n      a: {stream}\n{more}"


@pytest.mark.parametrize(
    ("stream", "more", "words"),
    [
        ("{format: avro}", "", "nothing on target `local` says with which schema messages of avro were written"),
        ("{format: avro, schema: a.avsc}", "", "schema a.avsc is not there; did you mean `b.avsc`?"),
        ("{format: json, schema: b.avsc}", "", "`schema` says nothing of format json; remove it"),
        ("{format: protobuf, message: A}", "", "`message` chooses among the types of a file"),
        (
            "{format: avro}",
            'targets: {one: {default: true, registry: {url: "http://r"}}, two: {}}\n',
            "nothing on target `two` says",
        ),
        ("{}", "targets: {one: {registry: {url: a, username: b}}}\n", "a username needs a password"),
        (
            "{}",
            "targets: {one: {registry: {url: a, username: b, password: c, token: d}}}\n",
            "a username or a token, not both",
        ),
    ],
)
def test_a_mistake_about_schemas_is_told_with_its_cure(tmp_path: Path, stream: str, more: str, words: str) -> None:
    (tmp_path / "b.avsc").write_text('"string"')
    assert words in _reads(tmp_path, STREAM.format(stream=stream, more=more))


def test_a_project_says_where_schemas_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY", "http://127.0.0.1:1")
    more = 'targets: {local: {registry: {url: "${env:REGISTRY}", token: "${env:TOKEN}"}}}\n'
    (tmp_path / "catchment.yaml").write_text(STREAM.format(stream="{format: protobuf}", more=more), encoding="utf-8")
    project = load_project(tmp_path)
    assert project.brings_documents("web.a")
    with pytest.raises(ConfigError, match="TOKEN"):
        Connected.of(project).source("web")
    monkeypatch.setenv("TOKEN", "t")
    assert Connected.of(project).registry is not None
    assert specs(Connected.of(project)) == []


def test_a_retention_from_outside_is_a_length_of_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "catchment.yaml").write_text('name: tries\ntopics: {a: {retention: "${env:KEEP}"}}\n', encoding="utf-8")
    connected = Connected.of(load_project(tmp_path))
    monkeypatch.setenv("KEEP", "2 days")
    assert [spec.retention_s for spec in specs(connected)] == [172_800]
    monkeypatch.setenv("KEEP", "soon")
    with pytest.raises(ConfigError, match=r"topics\.a\.retention"):
        specs(connected)


UNWRITTEN = """\
name: tries
sources:
  web:
    type: topic
    streams:
      clicks: {topic: web.clicks, shards: 4}
silver:
  clicks: {from: web.clicks, refine: silver/clicks.py, publish: clicks.refined}
gold: {dbt: gold/}
live:
  hits: {from: clicks, measures: {n: count(*)}}
topics:
  web.clicks: {}
"""


class TestBeforeTheContracts:
    """Topics are there before anybody knows what is in them."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "catchment.yaml").write_text(UNWRITTEN, encoding="utf-8")
        return tmp_path

    def test_topics_can_be_made_filled_and_shown(self, folder: Path) -> None:
        assert "web.clicks: new, 3 partitions" in call(folder, "topics", "apply", "--yes").stdout
        given = ["--project", str(folder), "topics", "put", "web.clicks"]
        put = CliRunner().invoke(root, given, input='{"n": 1}\n')
        assert "1 message written" in put.stderr
        assert '{"n": 1}' in call(folder, "topics", "show", "web.clicks").stdout
        assert "web.clicks" in call(folder, "topics", "list").stdout

    def test_a_contract_is_proposed_for_what_is_there(self, folder: Path) -> None:
        call(folder, "topics", "apply", "--yes")
        with pytest.raises(ConfigError, match=r"web\.clicks has no rows"):
            call(folder, "peek", "web.clicks", "--contract")
        broker(folder).write("web.clicks", [Message(b'{"n": 1}')])
        assert "kind: DataContract" in call(folder, "peek", "web.clicks", "--contract").stdout

    def test_rows_of_every_shard_are_peeked_at(self, folder: Path) -> None:
        call(folder, "topics", "apply", "--yes")
        broker(folder).write("web.clicks", [Message(b'{"n": %d}' % one, partition=one) for one in range(3)])
        told = json.loads(call(folder, "peek", "web.clicks", "--json").stdout)
        assert [row["document"] for row in told["rows"]] == ['{"n": 0}', '{"n": 1}', '{"n": 2}']
        assert told["is_all"]
        told = json.loads(call(folder, "peek", "web.clicks", "--limit", "2", "--json").stdout)
        assert (len(told["rows"]), told["is_all"]) == (2, False)

    def test_a_shop_can_be_sent(self, folder: Path) -> None:
        assert "Sent 5 clicks" in call(folder, "generate", "--into", "topics", "--rate", "max", "--count", "5").stdout

    def test_what_makes_tables_still_wants_them(self, folder: Path) -> None:
        for command in (["run"], ["stream", "--until-idle"], ["plan"]):
            with pytest.raises(ProjectProblems, match=r"contract contracts/clicks\.odcs\.yaml is not there"):
                call(folder, *command)

    def test_a_mistake_in_what_they_need_is_still_told(self, folder: Path) -> None:
        (folder / "catchment.yaml").write_text(UNWRITTEN.replace("{}", "{partitions: 0}"), encoding="utf-8")
        with pytest.raises(ProjectProblems, match="at least 1"):
            call(folder, "topics", "list")


@pytest.mark.parametrize(
    ("shards", "topics", "words"),
    [
        (4, "{a: {}}", "4 shards of a topic that is declared with 3 partitions: those from number 3 on land nothing"),
        (2, "{a: {partitions: 1}}", "write partitions: 2 at topics.a, or shards: 1 before any of it has landed"),
        (3, "{a: {}}", None),
        (64, "{b: {}}", None),
        (64, "{}", None),
    ],
)
def test_more_shards_than_declared_partitions_are_warned_of(
    tmp_path: Path, shards: int, topics: str, words: str | None
) -> None:
    text = STREAM.format(stream=f"{{shards: {shards}}}", more=f"topics: {topics}\n")
    (tmp_path / "catchment.yaml").write_text(text, encoding="utf-8")
    told = [(one.line, str(one)) for one in load_project(tmp_path).warnings]
    if words is None:
        assert told == []
    else:
        ((line, message),) = told
        assert line == 6
        assert words in message
