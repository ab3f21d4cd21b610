"""The live page: one HTML file, the figures as JSON, and events when they have changed. It reads, and changes nothing.

/               the page
/figures.json   every metric's newest figures
/events         the same as server-sent events, once at first and then with every change
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.server import ThreadingHTTPServer
from importlib.resources import files
from typing import Any

from catchment.errors import CatchmentError, in_short
from catchment.served import Handler, served

# So many readers at once, each of which has a thread.
_READERS = 50
_KNOCKED_EVERY_S = 15.0
_STALE_S = 1.0


@dataclass
class Newest:
    """The figures as they were looked at last: one looks for all readers, and nobody where nobody reads."""

    look: Callable[[], Mapping[str, Any]]
    title: str
    every_s: float = _STALE_S
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _looked: float = -1e9
    _figures: Mapping[str, Any] = field(default_factory=dict)
    _number: int = 0

    def now(self) -> tuple[int, Mapping[str, Any]]:
        """The figures, a second old at most, and their number, which changes as they do."""
        with self._lock:
            if time.monotonic() - self._looked >= self.every_s:
                try:
                    found = {"title": self.title, "trouble": None, **self.look()}
                except CatchmentError as error:
                    found = {**self._figures, "title": self.title, "trouble": in_short(error, "live figures")}
                if found != self._figures:
                    self._figures, self._number = found, self._number + 1
                self._looked = time.monotonic()
            return self._number, self._figures


@dataclass(frozen=True)
class Page:
    """The page, and who may do what in it: nothing but its own script and style."""

    body: bytes
    policy: str

    @classmethod
    def read(cls) -> Page:
        text = (files("catchment.live") / "page.html").read_text("utf-8")
        script, style = (
            _digest(re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[0]) for tag in ("script", "style")
        )
        none = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        own = "connect-src 'self'; img-src data:"
        return cls(text.encode(), f"{none}; {own}; script-src {script}; style-src {style}")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


class PageServer(ThreadingHTTPServer):
    """Serves until it is shut down; readers of events are let go then."""

    def __init__(self, address: tuple[str, int], newest: Newest) -> None:
        super().__init__(address, _Handler)
        self.newest = newest
        self.ending = threading.Event()
        self.readers = threading.BoundedSemaphore(_READERS)

    @cached_property
    def page(self) -> Page:
        return Page.read()


@contextmanager
def shown(address: tuple[str, int], newest: Newest) -> Iterator[int]:
    """Serves the page while it is entered; its port. Raises ConfigError where the address cannot be listened to."""
    hint = "name another address: --listen 127.0.0.1:8093"
    with served(lambda place: PageServer(place, newest), address, hint) as server:
        try:
            yield int(server.server_address[1])
        finally:
            server.ending.set()


class _Handler(Handler):
    server: PageServer
    timeout = 30

    def get(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/":
            page = self.server.page
            self._reply(200, "text/html; charset=utf-8", page.body, {"Content-Security-Policy": page.policy})
        elif path == "/figures.json":
            self._reply(200, "application/json", _json(self.server.newest.now()[1]), {})
        elif path == "/events":
            self._events()
        else:
            self._reply(404, "application/json", _json({"error": "there are /, /figures.json and /events"}), {})

    def _events(self) -> None:
        if not self.server.readers.acquire(blocking=False):
            body = _json({"error": f"{_READERS} readers are here already"})
            self._reply(503, "application/json", body, {"Retry-After": "30"})
            return
        try:
            if self.begin(200, {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}):
                self._follow()
        except OSError:
            return  # the reader went
        finally:
            self.server.readers.release()

    def _follow(self) -> None:
        """Write every change, and now and then a word, so that a reader who went is noticed."""
        seen, written = 0, time.monotonic()
        while not self.server.ending.is_set():
            number, figures = self.server.newest.now()
            if number != seen:
                self.wfile.write(b"id: %d\ndata: %s\n\n" % (number, _json(figures)))
                seen, written = number, time.monotonic()
            elif time.monotonic() - written > _KNOCKED_EVERY_S:
                self.wfile.write(b": still here\n\n")
                written = time.monotonic()
            self.wfile.flush()
            self.server.ending.wait(self.server.newest.every_s)

    def _reply(self, status: int, kind: str, body: bytes, more: Mapping[str, str]) -> None:
        told = {
            "Content-Type": kind,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }
        self.reply(status, {**told, **more}, body)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
