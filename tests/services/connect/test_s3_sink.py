"""A topic by the S3 sink: each message once in bronze, over kills of Connect and of ours; and `catchment connect`."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.services.connect.landing import disturbed, landed, make_topic, write
from tests.services.connect.server import Connect
from tests.services.kafka.server import Kafka
from tests.services.s3.conftest import KEY, SECRET, Bucket

from catchment.cli import main
from catchment.opened import OpenProject
from catchment.project import load_project

MESSAGES = 6000

_PROJECT = """\
name: shop
sources:
  clicks:
    type: topic
    connector:
      type: s3
      bucket: {bucket}
      endpoint: {endpoint}
      region: us-east-1
      access_key: {key}
      secret_key: ${{file:secret.txt}}
      records: 400
      settings: {{connector.class: catchment.sink.S3Lines{more}}}
    streams:
      user_events: {{topic: {topic}, via: connect}}
targets:
  cluster:
    broker: {{type: kafka, servers: "{kafka}"}}
    connect: {{url: "{url}"}}
  landing:  # what lands is read from the bucket alone
    default: true
    broker: {{type: kafka, servers: "127.0.0.1:1"}}
"""
TABLE = "bronze.clicks__user_events"
NUMBER = "json_extract(document, '$.number')"


@pytest.fixture
def shop(project: Path, kafka: Kafka, bucket: Bucket, connect: Connect) -> Path:
    return _written(project, kafka, bucket, connect)


def _written(project: Path, kafka: Kafka, bucket: Bucket, connect: Connect, more: str = "") -> Path:
    topic = f"events.{bucket.name}"
    said = _PROJECT.format(
        bucket=bucket.name, endpoint=bucket.server.endpoint, key=KEY, topic=topic, kafka=kafka.address, url=connect.url,
        more=more,
    )  # fmt: skip
    (project / "catchment.yaml").write_text(said)
    (project / "secret.txt").write_text(SECRET)
    return project


def _topic(bucket: Bucket) -> str:
    return f"events.{bucket.name}"


def _cli(folder: Path, *words: str) -> int:
    return main(["--project", str(folder), "connect", *words, "--target", "cluster"])


def test_each_message_lands_once_over_kills_of_connect_and_of_ours(
    shop: Path, bucket: Bucket, connect: Connect
) -> None:
    make_topic(shop, _topic(bucket))
    assert _cli(shop, "apply", "--yes") == 0
    disturbed(shop, _topic(bucket), connect, MESSAGES)
    found = landed(shop, NUMBER, lambda found: len(found) == MESSAGES, TABLE)
    assert found == Counter(range(MESSAGES))
    opened = OpenProject(load_project(shop))
    rows = opened.query(f"SELECT _origin, _position, message_key, message_at FROM {TABLE}").read_all()
    assert set(rows.column("_origin").to_pylist()) == {f"{_topic(bucket)}/{number}" for number in range(3)}
    assert rows.column("message_at").null_count == 0
    assert {int(key) for key in rows.column("message_key").to_pylist()} == set(range(MESSAGES))
    # What the sink wrote again lands no second time either, and what comes later does.
    write(shop, _topic(bucket), MESSAGES, 10)
    found = landed(shop, NUMBER, lambda found: len(found) == MESSAGES + 10, TABLE)
    assert found == Counter(range(MESSAGES + 10))


def test_rows_are_those_that_reading_the_topic_gives(shop: Path, bucket: Bucket, tmp_path: Path, kafka: Kafka) -> None:
    make_topic(shop, _topic(bucket))
    assert _cli(shop, "apply", "--yes") == 0
    write(shop, _topic(bucket), 0, 500)
    landed(shop, NUMBER, lambda found: len(found) == 500, TABLE)
    direct = tmp_path / "direct"
    direct.mkdir()
    (direct / "catchment.yaml").write_text(
        f"name: shop\nsources: {{clicks: {{type: topic, streams: {{user_events: {{topic: {_topic(bucket)}}}}}}}}}\n"
        f'targets: {{cluster: {{broker: {{type: kafka, servers: "{kafka.address}"}}}}}}\n'
    )
    assert OpenProject(load_project(direct)).run() == "done"
    sql = f"SELECT * EXCLUDE (_load, _loaded_at) FROM {TABLE} ORDER BY _origin, _position"
    one, other = (OpenProject(load_project(folder)).query(sql).read_all() for folder in (shop, direct))
    assert one.to_pylist() == other.to_pylist()


def test_what_differs_is_shown_and_secrets_are_not(
    shop: Path, bucket: Bucket, connect: Connect, capsys: pytest.CaptureFixture[str]
) -> None:
    make_topic(shop, _topic(bucket))
    assert _cli(shop, "apply") == 0
    told = "".join(capsys.readouterr())
    assert "+ shop-clicks" in told
    assert "Nothing was changed" in told
    assert connect.ask("/connectors") == []
    assert _cli(shop, "apply", "--yes") == 0
    assert _cli(shop, "apply") == 0
    told += "".join(capsys.readouterr())
    assert "Connect runs what the project says" in told
    assert connect.ask("/connectors/shop-clicks/config")["aws.secret.access.key"] == SECRET
    (shop / "catchment.yaml").write_text((shop / "catchment.yaml").read_text().replace("records: 400", "records: 300"))
    (shop / "secret.txt").write_text("another-secret")
    assert _cli(shop, "apply", "--json") == 0
    changed = json.loads(capsys.readouterr().out)
    assert changed["differences"] == [
        {
            "name": "shop-clicks",
            "kind": "changed",
            "words": [
                "aws.secret.access.key: ${file:secret.txt} (stands for another value)",
                "file.max.records: 300 (was 400)",
            ],
        }
    ]
    assert _cli(shop, "show") == 0
    told += "".join(capsys.readouterr())
    assert "${file:secret.txt}" in told
    assert SECRET not in told
    assert "another-secret" not in told


def test_a_secret_can_stay_with_the_workers(
    project: Path, kafka: Kafka, bucket: Bucket, connect: Connect, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = _written(project, kafka, bucket, connect)
    said = (shop / "catchment.yaml").read_text().replace("${file:secret.txt}", "${env:S3_SECRET_OF_THE_WORKER}")
    said = said.replace(f'url: "{connect.url}"', f'url: "{connect.url}", secrets: worker')
    (shop / "catchment.yaml").write_text(said)
    make_topic(shop, _topic(bucket))
    assert _cli(shop, "apply", "--yes") == 0
    assert connect.ask("/connectors/shop-clicks/config")["aws.secret.access.key"] == "${env:S3_SECRET_OF_THE_WORKER}"
    write(shop, _topic(bucket), 0, 20)
    _until(lambda: bucket.client.list_objects_v2(Bucket=bucket.name).get("KeyCount"))
    assert _cli(shop, "apply") == 0
    assert "Connect runs what the project says" in capsys.readouterr().err


def test_a_failed_task_is_told_and_started_again(
    project: Path, kafka: Kafka, bucket: Bucket, connect: Connect, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = _written(project, kafka, bucket, connect, more=', tests.fail.with: "13"')
    make_topic(shop, _topic(bucket))
    assert _cli(shop, "status") == 1
    assert "ABSENT" in capsys.readouterr().out
    assert _cli(shop, "apply", "--yes") == 0
    assert _cli(shop, "status") == 0
    assert "0 RUNNING" in capsys.readouterr().out
    write(shop, _topic(bucket), 0, 20)
    _until(lambda: _cli(shop, "status"))
    capsys.readouterr()
    assert _cli(shop, "status", "--json") == 1
    (state,) = json.loads(capsys.readouterr().out)
    assert state["tasks"][0]["state"] == "FAILED"
    assert "a message with key 13" in state["tasks"][0]["trace"]
    assert _cli(shop, "restart", "--failed") == 0 or _cli(shop, "status") == 1  # it reads the same message again
    _written(project, kafka, bucket, connect)
    assert _cli(shop, "apply", "--yes") == 0
    assert _cli(shop, "restart", "clicks") == 0
    found = landed(shop, NUMBER, lambda found: len(found) == 20, TABLE)
    assert found == Counter(range(20))
    assert _cli(shop, "status") == 0


def test_what_connect_refuses_is_told(
    shop: Path, bucket: Bucket, connect: Connect, capsys: pytest.CaptureFixture[str]
) -> None:
    make_topic(shop, _topic(bucket))
    said = (shop / "catchment.yaml").read_text()
    (shop / "catchment.yaml").write_text(said.replace("catchment.sink.S3Lines", "com.example.Nothing"))
    assert _cli(shop, "apply", "--yes") == 1
    told = "".join(capsys.readouterr())
    assert "com.example.Nothing" in told
    assert "is the connector's plug-in installed" in told
    (shop / "catchment.yaml").write_text(said.replace(connect.url, "http://127.0.0.1:1"))
    assert _cli(shop, "status") == 1
    assert "cannot reach Kafka Connect at 127.0.0.1:1: connection refused" in "".join(capsys.readouterr())


def _until(holds: Any, patience_s: float = 30) -> None:
    until = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.3)
