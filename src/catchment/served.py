"""A small HTTP server in a thread of its own, for what a running command shows of itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar

from catchment.errors import ConfigError

ServerT = TypeVar("ServerT", bound=ThreadingHTTPServer)


class Handler(BaseHTTPRequestHandler):
    """Answers HEAD as GET, without a body; requests are not told."""

    def do_GET(self) -> None:
        raise NotImplementedError

    def do_HEAD(self) -> None:
        self.do_GET()

    def begin(self, status: int, headers: Mapping[str, str]) -> bool:
        """Sends the head of an answer; whether a body is to follow."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        return self.command != "HEAD"

    def reply(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        if self.begin(status, {**headers, "Content-Length": str(len(body))}):
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@contextmanager
def served(make: Callable[[tuple[str, int]], ServerT], address: tuple[str, int], hint: str) -> Iterator[ServerT]:
    """The server that `make` makes, while it serves. Raises ConfigError where the address cannot be listened to."""
    try:
        server = make(address)
    except OSError as error:
        message = f"cannot listen to {address[0]}:{address[1]}: {(error.strerror or str(error)).lower()}"
        raise ConfigError(message, hint=hint) from error
    threading.Thread(target=server.serve_forever, args=(0.2,), name="served", daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
