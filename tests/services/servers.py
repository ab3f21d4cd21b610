"""Servers for tests: on loopback, on free ports, ended by their process id, their logs kept under build/services/."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOGS = ROOT / "build" / "services"
ENVIRONMENTS = ROOT / ".venvs"
DOWNLOADS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "catchment-services"

_PATIENCE_S = 60.0
_END_S = 10.0


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Whether somebody takes connections on a port of 127.0.0.1."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


class Server:
    """A server that runs: it can be killed and started again with the same words."""

    def __init__(
        self,
        name: str,
        words: Sequence[str],
        ready: Callable[[], bool],
        *,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        self.name = name
        self._words = list(words)
        self._ready = ready
        self._folder = folder
        self._environment = {**os.environ, **(environment or {})}
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None
        LOGS.mkdir(parents=True, exist_ok=True)
        self.log = LOGS / f"{name}-{os.getpid()}.log"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns when it is ready; raises AssertionError with the end of its log where it is not."""
        until = time.monotonic() + _PATIENCE_S
        while not self._started(until):
            # A child in a session of its own may outlive its killed server for a moment, and hold on to its memory.
            if time.monotonic() > until or "is still in use" not in self.tail():
                raise AssertionError(f"{self.name} did not start; {self.log} ends:\n{self.tail()}")
            time.sleep(0.2)

    def _started(self, until: float) -> bool:
        """Whether it is ready by then; it has ended where not."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._words,
                cwd=self._folder,
                env=self._environment,
                user=self._user,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > until:
                self.kill()
                return False
            time.sleep(0.05)
        return True

    def tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end, and end it where it does not."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, how)
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """`kill -9`, its children too."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def restart(self) -> None:
        """As after a power cut."""
        self.kill()
        self.start()


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    server.start()
    try:
        yield server
    finally:
        server.stop()
