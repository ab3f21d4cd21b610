"""Debian's redis-server, in a folder of its own."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import redis
from tests.services.servers import Server, free_port, listens, running

HERE = Path(__file__).parent


class RedisServer(Server):
    """Every write is on disk before it is answered."""

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


@contextlib.contextmanager
def started(folder: Path) -> Iterator[RedisServer]:
    """Raises AssertionError where it cannot be installed or does not start."""
    installed = subprocess.run([HERE / "install.sh"], capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stderr
    server = RedisServer(folder)
    with running(server):
        yield server
