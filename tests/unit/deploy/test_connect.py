"""Connectors that a project declares: what check says of them, and the configurations that come out."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from catchment.cli import main
from catchment.connected import Connected
from catchment.deploy.connect import applying
from catchment.deploy.connect.connectors import connectors
from catchment.deploy.connect.rest import _first_line
from catchment.errors import ConfigError, ProjectProblems
from catchment.project import load_project
from catchment.records import Budget, Message, TopicSpec
from catchment.topics.embedded import EmbeddedBroker

S3 = 'type: s3, bucket: shop-landing, access_key: "${env:KEY}", secret_key: "${env:SECRET}"'
TARGETS = """\
targets:
  cluster: {broker: {type: kafka, servers: "k:9092"}, connect: {url: "http://connect:8083"}}
"""


def project(folder: Path, sources: str, more: str = TARGETS) -> Connected:
    (folder / "catchment.yaml").write_text(f"name: shop\nsources:\n{sources}\n{more}")
    return Connected.of(load_project(folder))


def topics(connector: str, streams: str = "user_events: {via: connect}", name: str = "clicks") -> str:
    return f"  {name}: {{type: topic, connector: {{{connector}}}, streams: {{{streams}}}}}"


def problems(folder: Path, sources: str, more: str = TARGETS) -> str:
    with pytest.raises(ProjectProblems) as told:
        project(folder, sources, more)
    return "\n".join(str(one) for one in told.value.problems)


def one(connected: Connected) -> dict[str, str]:
    (found,) = connectors(connected)
    return dict(found.config)


class TestCheck:
    def test_a_topic_that_lands_two_ways_is_refused_at_its_line(self, tmp_path: Path) -> None:
        told = problems(tmp_path, topics(S3) + "\n  web: {type: topic, streams: {clicks: {topic: user_events}}}")
        assert told.startswith("catchment.yaml:3:")
        assert "topic user_events is read directly as well, by web.clicks: each message would land twice" in told

    def test_two_connectors_cannot_take_one_topic(self, tmp_path: Path) -> None:
        told = problems(tmp_path, topics(S3) + "\n" + topics(S3, name="again"))
        assert "topic user_events comes by another connector as well, of clicks.user_events" in told

    def test_webhooks_are_a_way_too(self, tmp_path: Path) -> None:
        hooks = "  hooks: {type: webhooks, streams: {user_events: {path: /x, scheme: none}}}"
        assert "read directly as well, by hooks.user_events" in problems(tmp_path, topics(S3) + "\n" + hooks)

    def test_another_way_on_another_target_is_fine(self, tmp_path: Path) -> None:
        direct = "  clicks: {type: topic, streams: {user_events: {}}}"
        there = f"targets:\n  local: {{default: true}}\n  cluster:\n    lake: there\n    sources:\n    {topics(S3)}\n"
        assert not connectors(project(tmp_path, direct, there))
        assert len(connectors(Connected.of(load_project(tmp_path), "cluster"))) == 1

    def test_what_a_database_connector_writes_may_be_read_and_taken_elsewhere(self, tmp_path: Path) -> None:
        debezium = "type: debezium-postgres, prefix: shop, host: h, database: d, user: u"
        streams = "users: {topic: shop.public.users, format: debezium, via: connect}"
        assert len(connectors(project(tmp_path, topics(debezium, streams)))) == 1

    @pytest.mark.parametrize(
        ("connector", "streams", "words"),
        [
            (S3, "user_events: {}", "there is a connector, and no stream comes by it"),
            ("type: s3, bucket: UPPER", "a: {via: connect}", "is no name of a bucket"),
            ("type: s3, bucket: abc, access_key: k", "a: {via: connect}", "secret_key is missing"),
            ("type: s3, bucket: abc, prefix: /x", "a: {via: connect}", "is no folder of a bucket"),
            ("type: s4, bucket: abc", "a: {via: connect}", "s4"),
            (
                "type: debezium-postgres, prefix: shop, host: h, database: d, user: u",
                "a: {topic: other.public.a, format: debezium, via: connect}",
                "the connector writes those that begin with shop.",
            ),
            (
                "type: debezium-postgres, prefix: shop, host: h, database: d, user: u",
                "a: {topic: shop.public.a, via: connect}",
                "debezium-postgres writes debezium",
            ),
            (
                "type: jdbc, prefix: shop., url: 'jdbc:x', mode: incrementing",
                "a: {topic: shop.a, via: connect}",
                "mode incrementing needs the column `incrementing`",
            ),
        ],
    )
    def test_mistakes_are_told(self, tmp_path: Path, connector: str, streams: str, words: str) -> None:
        assert words in problems(tmp_path, topics(connector, streams))

    def test_a_stream_via_connect_needs_a_connector(self, tmp_path: Path) -> None:
        sources = "  clicks: {type: topic, streams: {user_events: {via: connect}}}"
        assert "comes via connect, and the source has no connector" in problems(tmp_path, sources)


class TestConfigurations:
    def test_equal_projects_give_equal_texts_and_no_secret(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("SECRET", "not-to-be-seen")
        project(tmp_path, topics(S3))
        told = []
        for _ in range(2):
            assert main(["--project", str(tmp_path), "connect", "show"]) == 0
            told.append(capsys.readouterr().out)
        assert told[0] == told[1]
        config = json.loads(told[0])["shop-clicks"]
        assert list(config) == sorted(config)
        assert config["aws.secret.access.key"] == "${env:SECRET}"

    def test_a_secret_in_clear_is_not_printed_either(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        clear = S3.replace("${env:SECRET}", "plain-and-open")
        settings = 'settings: {consumer.override.sasl.jaas.config: "x password=\\"plain-and-open\\""}'
        project(tmp_path, topics(f"{clear}, {settings}"))
        assert main(["--project", str(tmp_path), "connect", "show"]) == 0
        assert "plain-and-open" not in capsys.readouterr().out

    def test_aivens_s3_sink(self, tmp_path: Path) -> None:
        found = one(project(tmp_path, topics(f"{S3}, prefix: landing/raw, records: 500, tasks: 2")))
        assert found["connector.class"] == "io.aiven.kafka.connect.s3.AivenKafkaConnectS3SinkConnector"
        assert found["file.name.template"] == (
            "landing/raw/{{topic}}/partition={{partition}}/{{start_offset:padding=true}}.jsonl.gz"
        )
        assert (found["file.max.records"], found["tasks.max"]) == ("500", "2")

    def test_confluents_s3_sink(self, tmp_path: Path) -> None:
        found = one(project(tmp_path, topics(f"{S3}, flavor: confluent, endpoint: 'http://minio:9000'")))
        assert found["connector.class"] == "io.confluent.connect.s3.S3SinkConnector"
        assert found["filename.offset.zero.pad.width"] == "20"
        assert found["store.url"] == "http://minio:9000"

    def test_settings_of_the_users_own_win(self, tmp_path: Path) -> None:
        found = one(project(tmp_path, topics(f"{S3}, settings: {{errors.tolerance: all}}")))
        assert found["errors.tolerance"] == "all"

    def test_iceberg_routes_topics_to_tables(self, tmp_path: Path) -> None:
        sources = (
            "  lakehouse: {type: iceberg, catalog: {type: rest, uri: 'https://c', warehouse: 's3://b/w'},"
            " connector: {type: iceberg, commit_every: 30s}, streams: {a: {table: raw.a, via: connect},"
            " b: {table: raw.b, topic: b.c, via: connect}, c: {table: raw.c}}}"
        )
        found = one(project(tmp_path, sources))
        assert found["iceberg.tables"] == "raw.a,raw.b"
        assert found["topics"] == "a,b.c"
        assert found["iceberg.table.raw.b.route-regex"] == r"^b\.c$"
        assert found["iceberg.control.commit.interval-ms"] == "30000"
        assert found["iceberg.kafka.auto.offset.reset"] == "earliest"
        assert found["iceberg.catalog.io-impl"] == "org.apache.iceberg.aws.s3.S3FileIO"

    def test_debezium_for_mongodb(self, tmp_path: Path) -> None:
        streams = "users: {topic: shop.db.users, format: debezium, via: connect}"
        found = one(project(tmp_path, topics("type: debezium-mongodb, prefix: shop, url: 'mongodb://h'", streams)))
        assert found["connector.class"] == "io.debezium.connector.mongodb.MongoDbConnector"
        assert found["collection.include.list"] == r"db\.users"

    def test_jdbc(self, tmp_path: Path) -> None:
        connector = "type: jdbc, prefix: shop., url: 'jdbc:x', incrementing: id, timestamp: at, every: 1 minute"
        found = one(project(tmp_path, topics(connector, "users: {topic: shop.users, via: connect}")))
        assert found["connector.class"] == "io.aiven.connect.jdbc.JdbcSourceConnector"
        assert (found["table.whitelist"], found["mode"]) == ("users", "timestamp+incrementing")
        assert found["poll.interval.ms"] == "60000"

    def test_snowflake_is_written_and_does_not_land(self, tmp_path: Path) -> None:
        connector = (
            "type: snowflake, url: a.snowflakecomputing.com, user: u, private_key: '${env:K}', database: d,"
            " schema: s, role: r"
        )
        connected = project(tmp_path, topics(connector, "user_events: {topic: user.events, via: connect}"))
        assert one(connected)["snowflake.topic2table.map"] == "user.events:user_events"
        source = connected.source("clicks")
        with pytest.raises(ConfigError, match="go into Snowflake"):
            list(source.read(source.feeds()[0], None, Budget()))


class TestReading:
    """Whose secrets a run needs."""

    def test_a_stream_from_the_broker_needs_no_key_of_the_connector(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.delenv("KEY", raising=False)
        monkeypatch.chdir(tmp_path)
        project(tmp_path, topics(S3, "user_events: {via: connect}, tries: {topic: attempts}"), "")
        with closing(EmbeddedBroker(tmp_path / "topics")) as broker:
            broker.declare([TopicSpec("attempts")])
            broker.write("attempts", [Message(b'{"n": 1}')])
        assert main(["plan", "--select", "bronze.clicks__tries", "--json"]) == 0
        assert "1 new message" in capsys.readouterr().out
        assert main(["run", "--select", "bronze.clicks__tries"]) == 0
        assert "1 row" in capsys.readouterr().err

    def test_a_stream_that_comes_by_it_does(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("KEY", raising=False)
        connected = project(tmp_path, topics(S3, "user_events: {via: connect}, tries: {topic: attempts}"), "")
        for wanted in ("user_events", None):
            with pytest.raises(ConfigError, match="`KEY` is not set"):
                connected.source("clicks", wanted)


class TestApplying:
    def test_no_place_and_no_broker_are_told(self, tmp_path: Path) -> None:
        connected = project(tmp_path, topics(S3), "")
        with pytest.raises(ConfigError, match="does not say where Kafka Connect is"):
            applying.status(connected)

    def test_a_worker_looks_up_what_is_in_its_environment_only(self, tmp_path: Path) -> None:
        worker = TARGETS.replace("8083", '8083", secrets: "worker')
        connected = project(tmp_path, topics(S3.replace("${env:SECRET}", "${file:s.txt}")), worker)
        (connector,) = connectors(connected)
        assert applying._value(connected, connector, "k", "${env:NOT_THERE}") == "${env:NOT_THERE}"
        with pytest.raises(ConfigError, match=r"a worker of Connect cannot look up \$\{file:s.txt\}"):
            applying._resolved(connected, connector)

    def test_a_trace_is_its_first_line_and_its_last_cause(self) -> None:
        trace = "a.B: outer\n\tat x\nCaused by: c.D: middle\n\tat y\nCaused by: e.F: inner\n\tat z\n"
        assert _first_line(trace) == "a.B: outer / e.F: inner"
        assert _first_line(None) == ""
