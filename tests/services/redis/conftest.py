"""One server for the session, which keeps what it was told over a restart; flushed for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from tests.services.redis.server import RedisServer, started

from catchment.reading.kinds.redis import RedisStream
from catchment.sources.redis.source import RedisSource


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with started(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def client(server: RedisServer) -> Iterator[Any]:
    with redis.Redis(port=server.port) as found:
        found.flushall()
        yield found


class Asking:
    """Makes sources over the server, each a fresh instance."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"redis://127.0.0.1:{port}/0"

    def source(self, *, port: int | None = None, options: str = "", **keys: Any) -> RedisSource:
        url = f"redis://127.0.0.1:{port or self.port}/0{options}"
        return RedisSource("live", {"found": RedisStream(**keys)}, Path(), url=url)


@pytest.fixture
def asking(server: RedisServer, client: Any) -> Asking:
    return Asking(server.port)
