"""One server for the session, which keeps what it was told over a restart; flushed for each test."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from tests.services.servers import Server, free_port, listens, running

from catchment.reading.kinds.redis import RedisStream
from catchment.sources.redis.source import RedisSource

HERE = Path(__file__).parent


class RedisServer(Server):
    """Debian's redis-server; every write is on disk before it is answered."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        words = [
            *("redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)),
            *("--save", "", "--appendonly", "yes", "--appendfsync", "always", "--daemonize", "no", *options),
        ]
        super().__init__(f"redis-{self.port}", words, self._answers)

    def _answers(self) -> bool:
        if not listens(self.port):
            return False
        with redis.Redis(port=self.port) as client:
            try:
                client.ping()
            except redis.BusyLoadingError:
                return False
            except redis.AuthenticationError:
                return True
        return True


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    installed = subprocess.run([HERE / "install.sh"], capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stderr
    with running(RedisServer(tmp_path_factory.mktemp("redis"))) as started:
        assert isinstance(started, RedisServer)
        yield started


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
