"""A topic by the Iceberg sink: each message once in bronze, over kills of Connect and of ours."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import psycopg
from tests.services.connect.landing import disturbed, landed, make_topic
from tests.services.connect.server import Connect
from tests.services.kafka.server import Kafka
from tests.services.postgres.server import PASSWORD, Postgres
from tests.services.s3.conftest import KEY, SECRET, Bucket

from catchment.cli import main
from catchment.opened import OpenProject
from catchment.project import load_project

MESSAGES = 3000

_PROJECT = """\
name: shop
sources:
  lakehouse:
    type: iceberg
    catalog:
      type: jdbc
      uri: postgresql://127.0.0.1:{port}/icebergs
      username: postgres
      password: "{password}"
      warehouse: s3://{bucket}/tables
      endpoint: {endpoint}
      region: us-east-1
      access_key: {key}
      secret_key: {secret}
    connector:
      type: iceberg
      commit_every: 2s
      settings: {{iceberg.control.commit.timeout-ms: "4000", iceberg.catalog.http-client.type: urlconnection}}
    streams:
      user_events: {{table: raw.user_events, topic: {topic}, via: connect}}
      others: {{table: raw.others, topic: {topic}.others, via: connect}}
targets:
  cluster:
    broker: {{type: kafka, servers: "{kafka}"}}
    connect: {{url: "{url}"}}
"""


def test_each_message_lands_once_over_kills_of_connect_and_of_ours(
    project: Path, kafka: Kafka, bucket: Bucket, connect: Connect, postgres: Postgres
) -> None:
    with psycopg.connect(postgres.url(), autocommit=True) as opened:
        opened.execute("CREATE DATABASE icebergs")
    topic = f"tables.{bucket.name}"
    said = _PROJECT.format(
        port=postgres.port, password=PASSWORD, bucket=bucket.name, endpoint=bucket.server.endpoint, key=KEY,
        secret=SECRET, topic=topic, kafka=kafka.address, url=connect.url,
    )  # fmt: skip
    (project / "catchment.yaml").write_text(said)
    make_topic(project, topic)
    make_topic(project, f"{topic}.others", 1)
    # Before the first message there is neither a table nor a catalog.
    assert OpenProject(load_project(project)).run() == "nothing_new"
    assert main(["--project", str(project), "connect", "apply", "--yes"]) == 0
    disturbed(project, topic, connect, MESSAGES)
    found = landed(project, "number", lambda found: len(found) == MESSAGES, "bronze.lakehouse__user_events")
    assert found == Counter(range(MESSAGES))
    rows = OpenProject(load_project(project)).query(
        "SELECT DISTINCT kafka_topic, kafka_partition, kafka_offset FROM bronze.lakehouse__user_events"
    )
    told = rows.read_all()
    assert told.num_rows == MESSAGES
    assert set(told.column("kafka_topic").to_pylist()) == {topic}
