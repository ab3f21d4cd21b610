"""ClickHouse's engine behind its HTTP interface, in a process of its own; what it answered outlives `kill -9`."""

from __future__ import annotations

import contextlib
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.services.servers import ENVIRONMENTS, Server, free_port, running

HERE = Path(__file__).parent


class ClickHouseServer(Server):
    """One folder, one engine."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        python = ENVIRONMENTS / "clickhouse" / "bin" / "python"
        words = [str(python), str(HERE / "front.py"), str(self.port), str(folder)]
        super().__init__(f"clickhouse-{self.port}", words, self._answers)

    def url(self, database: str = "live") -> str:
        return f"http://127.0.0.1:{self.port}/{database}"

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ping", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


@contextlib.contextmanager
def started(folder: Path) -> Iterator[ClickHouseServer]:
    """Raises AssertionError where it cannot be installed or does not start."""
    installed = subprocess.run([HERE / "install.sh"], capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stderr
    server = ClickHouseServer(folder)
    with running(server):
        yield server
