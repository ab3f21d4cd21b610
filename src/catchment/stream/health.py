"""Whether a stream lives, is ready and how far it is, over HTTP, for whoever watches it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from typing import Any

from catchment.served import Handler, served
from catchment.settings import redact

# What each path answers: the status, and a JSON document or text for Prometheus.
Answers = Mapping[str, Callable[[], tuple[int, Mapping[str, Any] | str]]]


@contextmanager
def watched(address: tuple[str, int], answers: Answers) -> Iterator[int]:
    """Answers while it is entered; the port. Raises ConfigError where the address cannot be listened to."""

    class Health(Handler):
        timeout = 10

        def get(self) -> None:
            answer = answers.get(self.path.partition("?")[0])
            paths = ", ".join(answers)
            status, told = answer() if answer is not None else (404, {"error": f"there are {paths}"})
            text = told if isinstance(told, str) else json.dumps(told, ensure_ascii=False) + "\n"
            kind = "text/plain; version=0.0.4; charset=utf-8" if isinstance(told, str) else "application/json"
            self.reply(status, {"Content-Type": kind}, redact(text).encode())

    def make(place: tuple[str, int]) -> ThreadingHTTPServer:
        return ThreadingHTTPServer(place, Health)

    with served(make, address, "name another address: --health 127.0.0.1:8091") as server:
        yield int(server.server_address[1])
