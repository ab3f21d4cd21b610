"""Each test has a Kafka, a ClickHouse and a worker of Kafka Connect of its own: its topics are the project's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.services.clickhouse.server import ClickHouseServer
from tests.services.clickhouse.server import started as clickhouse_started
from tests.services.connect.server import Connect
from tests.services.connect.server import started as connect_started
from tests.services.kafka.server import Kafka
from tests.services.kafka.server import started as kafka_started
from tests.services.s3.conftest import bucket, client, no_keys_of_the_machine, server

__all__ = ["bucket", "client", "no_keys_of_the_machine", "server"]


@pytest.fixture
def kafka() -> Iterator[Kafka]:
    with kafka_started() as running:
        yield running


@pytest.fixture
def connect(kafka: Kafka) -> Iterator[Connect]:
    with connect_started(kafka, names=("s3",), flush_ms=1000) as running:
        yield running


@pytest.fixture
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    with clickhouse_started(tmp_path_factory.mktemp("clickhouse")) as running:
        yield running
