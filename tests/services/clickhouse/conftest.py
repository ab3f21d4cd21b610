"""One server for the session, each test has a database of its own; and one Kafka for those that read topics."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.services.clickhouse.server import ClickHouseServer, started
from tests.services.kafka import server as kafka_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    with started(tmp_path_factory.mktemp("clickhouse")) as running:
        yield running


@pytest.fixture(scope="session")
def kafka() -> Iterator[kafka_server.Kafka]:
    with kafka_server.started() as running:
        yield running
