"""One server for the session; each test has a database of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.services.clickhouse.server import ClickHouseServer, started


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    with started(tmp_path_factory.mktemp("clickhouse")) as running:
        yield running
