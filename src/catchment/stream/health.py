"""Whether a stream lives, is ready and how far it is, over HTTP, for whoever watches it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from catchment.errors import ConfigError
from catchment.settings import redact

# What each path answers: the status, and a JSON document or text for Prometheus.
Answers = Mapping[str, Callable[[], tuple[int, Mapping[str, Any] | str]]]


@contextmanager
def served(address: tuple[str, int], answers: Answers) -> Iterator[int]:
    """A server in a thread of its own; its port. Raises ConfigError where the address cannot be listened to."""
    try:
        server = ThreadingHTTPServer(address, _handler(answers))
    except OSError as error:
        message = f"cannot listen to {address[0]}:{address[1]}: {(error.strerror or str(error)).lower()}"
        raise ConfigError(message, hint="name another address: --health 127.0.0.1:8091") from error
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.2,), name="health", daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()


def _handler(answers: Answers) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            answer = answers.get(self.path.partition("?")[0])
            paths = ", ".join(answers)
            status, told = answer() if answer is not None else (404, {"error": f"there are {paths}"})
            text = told if isinstance(told, str) else json.dumps(told, ensure_ascii=False) + "\n"
            kind = "text/plain; version=0.0.4; charset=utf-8" if isinstance(told, str) else "application/json"
            body = redact(text).encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            """Requests are not told."""

    return Handler
