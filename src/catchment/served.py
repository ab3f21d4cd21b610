"""A small HTTP server in a thread of its own, for what a running command shows of itself."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar
from urllib.parse import urlsplit

from catchment.errors import ConfigError

ServerT = TypeVar("ServerT", bound=ThreadingHTTPServer)


class Handler(BaseHTTPRequestHandler):
    """Answers HEAD as GET, without a body; requests are not told.

    Who listens on this machine only answers to its own names: a page elsewhere could have its name point here, and a
    browser would then let it read what is shown.
    """

    server: ThreadingHTTPServer

    def get(self) -> None:
        raise NotImplementedError

    def do_GET(self) -> None:
        if _is_here(str(self.server.server_address[0])) and not _is_here(_named(self.headers.get("Host", ""))):
            body = b"this is shown on this machine only, as 127.0.0.1 or localhost\n"
            self.reply(403, {"Content-Type": "text/plain; charset=utf-8"}, body)
        else:
            self.get()

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


def _named(host: str) -> str:
    """The name in a `Host` header, without a port; of none, which no browser leaves out, this machine."""
    try:
        return urlsplit(f"//{host}").hostname or "localhost"
    except ValueError:
        return host


def _is_here(name: str) -> bool:
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


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
