"""A way to a server that can be cut, slowed and shut: between a source and the real thing, on loopback."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType

_CHUNK = 16 << 10
_PATIENCE_S = 0.05


@dataclass
class FaultProxy:
    """Listens on `port` of 127.0.0.1 and passes bytes on to `to`, both ways; use it as a context.

    `cut_after` breaks each connection once so many bytes have come from the server, `cuts` times; then all goes well.
    `delay_s` passes before each piece of the server's. While `shut`, nobody is let in and everybody is thrown out.
    """

    to: tuple[str, int]
    cut_after: int | None = None
    cuts: int = 1
    delay_s: float = 0.0
    connections: int = 0
    port: int = field(init=False)
    _shut: threading.Event = field(default_factory=threading.Event)
    _ended: threading.Event = field(default_factory=threading.Event)
    _open: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> FaultProxy:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_PATIENCE_S)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        self._listener.close()
        self._throw_out()

    def shut(self) -> None:
        """Break what is open and let nobody in."""
        self._shut.set()
        self._throw_out()

    def reopen(self) -> None:
        self._shut.clear()

    def _throw_out(self) -> None:
        with self._lock:
            for one in list(self._open):
                _break(one)
            self._open.clear()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            if self._shut.is_set():
                _break(client)
                continue
            self.connections += 1
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self.to, timeout=10)
        except OSError:
            _break(client)
            return
        server.settimeout(None)
        client.settimeout(None)
        with self._lock:
            self._open |= {client, server}
        asking = threading.Thread(target=self._copy, args=(client, server, False), daemon=True)
        asking.start()
        self._copy(server, client, True)
        asking.join()
        with self._lock:
            self._open -= {client, server}

    def _copy(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        for data in _pieces(source):
            left = data
            if answers:
                time.sleep(self.delay_s)
                left = self._spared(data)
            with contextlib.suppress(OSError):
                sink.sendall(left)
            if len(left) < len(data):
                break
        _break(source)
        _break(sink)

    def _spared(self, data: bytes) -> bytes:
        """What goes through of an answer before the cut."""
        with self._lock:
            if self.cut_after is None or not self.cuts:
                return data
            self._passed = getattr(self, "_passed", 0) + len(data)
            if self._passed <= self.cut_after:
                return data
            over = self._passed - self.cut_after
            self._passed = 0
            self.cuts -= 1
            return data[: max(0, len(data) - over)]


def _pieces(source: socket.socket) -> Iterator[bytes]:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            yield data


def _break(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
