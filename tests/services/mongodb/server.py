"""A server that speaks MongoDB's protocol, with its data in a file of its own."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.services.servers import Server, free_port, listens, running

HERE = Path(__file__).parent


class MongoServer(Server):
    """What was answered is on disk. `changes`: it keeps a log of them, as a replica set does."""

    def __init__(self, installed: str, data: Path, *, changes: bool = False) -> None:
        self.port = free_port()
        words = [
            *("java", "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
            *("-cp", f"{installed}/target/classes:{installed}/lib/*", "MongoForTests", str(self.port), str(data)),
        ]
        environment = {"OPLOG": "1"} if changes else None
        super().__init__(f"mongodb-{self.port}", words, lambda: listens(self.port), environment=environment)


@contextlib.contextmanager
def started(folder: Path, *, changes: bool = False) -> Iterator[MongoServer]:
    """Raises AssertionError where it cannot be installed or does not start."""
    installed = subprocess.run([HERE / "install.sh"], capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stderr
    server = MongoServer(installed.stdout.strip(), folder / "data.h2", changes=changes)
    with running(server):
        yield server
