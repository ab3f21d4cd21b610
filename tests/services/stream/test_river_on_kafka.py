"""From a generator to bronze, silver, refined topics, live figures and gold, on Kafka, ClickHouse and Kafka Connect,
while all of them and our own processes are killed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from tests.flows import river
from tests.services.clickhouse.server import ClickHouseServer
from tests.services.connect.server import Connect
from tests.services.kafka.server import Kafka
from tests.services.s3.conftest import KEY, SECRET, Bucket

from catchment.cli import main
from catchment.project import Project

TARGETS = """\
targets:
  cluster: &cluster
    default: true
    broker: {{type: kafka, servers: "{kafka}"}}
    connect: {{url: "{connect}"}}
    live: {{type: clickhouse, url: "{clickhouse}", through: {through}}}
  batch:
    broker: {{type: kafka, servers: "{kafka}"}}
    lake: batch
"""
# Orders come by the S3 sink.
ORDERS = """\
    type: topic
    connector:
      type: s3
      bucket: {bucket}
      endpoint: {endpoint}
      region: us-east-1
      access_key: {key}
      secret_key: ${{file:secret.txt}}
      records: 200
      settings: {{connector.class: catchment.sink.S3Lines}}
    every: 1s
    streams:
      transactions: {{via: connect}}
"""
_PATIENCE_S = 120.0


@pytest.mark.parametrize("through", ["insert", "topic"])
def test_every_event_is_everywhere_once_though_all_servers_are_killed(
    tmp_path: Path, kafka: Kafka, connect: Connect, clickhouse: ClickHouseServer, bucket: Bucket, through: str
) -> None:
    (tmp_path / "secret.txt").write_text(SECRET)
    told = {"kafka": kafka.address, "connect": connect.url, "clickhouse": clickhouse.url(f"river_{through}")}
    # ClickHouse itself reads tables only whose rows stay as they are published.
    edits = {} if through == "insert" else {"mode": ""}
    orders = ORDERS.format(bucket=bucket.name, endpoint=bucket.server.endpoint, key=KEY)
    project = river.written(tmp_path, TARGETS.format(**told, through=through), orders=orders, **edits)
    for words in (("topics", "apply"), ("connect", "apply", "--yes")):
        assert main(["--project", str(tmp_path), *words]) == 0
    others = {"Kafka": kafka.server.restart, "Connect": connect.server.restart, "ClickHouse": clickhouse.restart}
    flow = river.River(project, "cluster", "200/s", others=others)
    killed = flow.flow(int(os.environ.get("RIVER_KILLS", "20")), seed=4)
    assert len(killed) >= 4
    _landed(flow, project)
    river.as_a_batch(project, "cluster", "batch")
    river.refined_once(project, "cluster")
    river.figures_as_gold(project, "cluster")


def _landed(flow: river.River, project: Project) -> None:
    """Settle until the sink has written what it has read, which takes it a while after a kill."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        flow.settle()
        try:
            assert river.landed_once(project, "cluster") > 1_000
        except AssertionError:
            if time.monotonic() > until:
                raise
        else:
            return
