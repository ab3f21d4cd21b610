"""A PostgreSQL in a folder of its own, for tests and benchmarks."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.services.servers import Server, free_port, running

HERE = Path(__file__).parent
PASSWORD = "an-open-secret"  # of a server that lives as long as who asked for it
QUIET = ("fsync=off", "full_page_writes=off", "shared_buffers=64MB", "max_connections=60")


@dataclass
class Postgres:
    """A server that runs."""

    port: int
    server: Server
    programs: Path
    driver: str  # a folder with pg8000

    def url(
        self, database: str = "postgres", *, user: str = "postgres", password: str = PASSWORD, port: int | None = None
    ) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{port or self.port}/{database}"


@contextlib.contextmanager
def started(settings: Sequence[str] = QUIET) -> Iterator[Postgres]:
    """Raises AssertionError where it cannot be installed or does not start."""
    installed = subprocess.run([HERE / "install.sh"], capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stderr
    found, port = installed.stdout.splitlines(), free_port()
    programs, driver = Path(found[0]), found[1]
    user = "postgres" if os.getuid() == 0 else None  # the server refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="catchment-postgres-"))
    try:
        secret = folder / "password"
        secret.write_text(PASSWORD)
        if user is not None:
            shutil.chown(folder, user)
            shutil.chown(secret, user)
        words = ["-D", folder / "data", "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={secret}"]
        initdb = [programs / "initdb", *words, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        subprocess.run(initdb, check=True, capture_output=True, user=user, cwd=folder)
        start = [programs / "postgres", "-D", folder / "data", "-h", "127.0.0.1", "-p", str(port), "-k", folder]
        said = [word for setting in settings for word in ("-c", setting)]
        ready = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
        server = Server(
            "postgres",
            [str(word) for word in (*start, *said)],
            lambda: subprocess.run(ready, check=False).returncode == 0,
            folder=folder,
            user=user,
        )
        with running(server):
            yield Postgres(port, server, programs, driver)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
