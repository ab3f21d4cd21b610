"""A small HTTP server on loopback that does what APIs do to those who ask: tokens that end, limits, faults as scripted.

Made of routes, each a function of what was asked; `faces` has the shop's own. Use it as a context:

    with ApiServer({"/v1/rates": Collection("rates", rows, way="page")}) as server:
        …  # server.url, server.faults.append(Fault("status", status=500))
"""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

from catchment.generate.routes import Answered, Asked, Route


@dataclass(frozen=True)
class Fault:
    """What one answer is instead of the right one.

    `slow` comes after `seconds`; `status` is `status` with `headers`; `cut` breaks off in the middle; `gone` before
    anything was said; `broken` is half a JSON document; `html` a page for people; `packed` says that it is gzip and is
    not; `repeat` is what was answered before; `turned` has its records in another order.
    """

    kind: Literal["slow", "status", "cut", "gone", "broken", "html", "packed", "repeat", "turned"]
    seconds: float = 0.0
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Limit:
    """So many requests in so many seconds; more are answered with 429 and what is to be waited."""

    count: int
    seconds: float
    _since: float = 0.0
    _used: int = 0

    def headers(self, now: float) -> tuple[bool, dict[str, str]]:
        """Whether one more is too many, and what headers say."""
        if now >= self._since + self.seconds:
            self._since, self._used = now, 0
        self._used += 1
        reset = self._since + self.seconds
        told = {
            "X-RateLimit-Limit": str(self.count),
            "X-RateLimit-Remaining": str(max(0, self.count - self._used)),
            "X-RateLimit-Reset": f"{reset:.3f}",
        }
        too_many = self._used > self.count
        return too_many, {**told, "Retry-After": f"{max(0.0, reset - now):.3f}"} if too_many else told


@dataclass
class Tokens:
    """OAuth2 client credentials at `/oauth/token`; a token ends after `lasts_s`, and after `uses` requests."""

    client_id: str
    client_secret: str
    lasts_s: float = 3600.0
    uses: int | None = None
    given: int = 0
    _live: dict[str, tuple[float, int]] = field(default_factory=dict)

    def give(self, asked: Asked) -> Answered:
        if (asked.params.get("client_id"), asked.params.get("client_secret")) != (self.client_id, self.client_secret):
            return Answered({"error": "invalid_client"}, 401)
        self.given += 1
        token = f"token-{self.given:04d}-of-{self.client_id}"
        self._live[token] = (time.monotonic() + self.lasts_s, 1 << 60 if self.uses is None else self.uses)
        return Answered({"access_token": token, "token_type": "Bearer", "expires_in": self.lasts_s})

    def is_good(self, asked: Asked) -> bool:
        token = asked.headers.get("authorization", "").removeprefix("Bearer ")
        ends, left = self._live.get(token, (0.0, 0))
        self._live[token] = (ends, left - 1)
        return left > 0 and time.monotonic() < ends


@dataclass
class ApiServer:
    """Answers on `port` of 127.0.0.1, a free one by default, and may be stopped and started again.

    `faults` are used up, one a request; `before` is called before each one is answered, with how many came before it.
    """

    routes: Mapping[str, Route]
    port: int = 0
    tokens: Tokens | None = None
    limit: Limit | None = None
    wants: Mapping[str, str] = field(default_factory=dict)  # headers without which nobody is let in
    clock_ahead_s: float = 0.0
    faults: deque[Fault | None] = field(default_factory=deque)
    before: Callable[[int], None] | None = None
    asked: list[Asked] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _last: dict[str, Answered] = field(default_factory=dict)
    _http: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> ApiServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to answer; it is listening when this returns."""
        self._http = _Listening(("127.0.0.1", self.port), type("Handler", (_Handler,), {"api": self}))
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """End every connection, as a server that dies does."""
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
            self._http = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def answer(self, asked: Asked, fault: Fault | None) -> Answered:
        """The right answer, or the one that a fault makes of it; connections are broken by whoever sends it."""
        refusal = self._refusal(asked)
        if refusal is not None:
            return refusal
        if fault is not None and fault.kind == "status":
            return Answered({"message": "as scripted"}, fault.status, fault.headers)
        if fault is not None and fault.kind == "repeat" and asked.path in self._last:
            return self._last[asked.path]
        for path, route in self.routes.items():
            found = re.fullmatch(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+)", re.escape(path)), asked.path)
            if found is not None:
                with self._lock:
                    turned = fault is not None and fault.kind == "turned"
                    given = {name: str(value) for name, value in found.groupdict().items()}
                    answered = route(replace(asked, given=given, turned=turned))
                self._last[asked.path] = answered
                return self._spoilt(answered, fault)
        return Answered({"message": f"there is nothing at {asked.path}"}, 404)

    def next_fault(self) -> Fault | None:
        """What is to happen to the request that just came."""
        with self._lock:
            if self.before is not None:
                self.before(len(self.asked))
            return self.faults.popleft() if self.faults else None

    def now(self) -> float:
        return time.time() + self.clock_ahead_s

    def limits(self) -> tuple[bool, Mapping[str, str]]:
        """Whether somebody asked too often, and what every answer says of it."""
        with self._lock:
            return (False, {}) if self.limit is None else self.limit.headers(self.now())

    def _refusal(self, asked: Asked) -> Answered | None:
        if self.tokens is not None:
            with self._lock:
                if asked.path == "/oauth/token":
                    return self.tokens.give(asked)
                if not self.tokens.is_good(asked):
                    return Answered({"message": "the token has ended"}, 401)
        if any(asked.headers.get(name.lower()) != value for name, value in self.wants.items()):
            return Answered({"message": "Bad credentials"}, 401)
        return None

    @staticmethod
    def _spoilt(answered: Answered, fault: Fault | None) -> Answered:
        kind = None if fault is None else fault.kind
        if kind == "broken":
            return Answered(answered.content[: len(answered.content) // 2], headers=answered.headers)
        if kind == "html":
            return Answered(b"<!doctype html><html><body>Sign in</body></html>", headers={"Content-Type": "text/html"})
        if kind == "packed":
            packed = gzip.compress(answered.content, mtime=0)
            return Answered(packed[:10] + b"\xff" * 20, headers={**answered.headers, "Content-Encoding": "gzip"})
        return answered


class _Listening(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, *words: Any) -> None:
        self.connections: set[socket.socket] = set()
        super().__init__(*words)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        for one in list(self.connections):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are no news."""


class _Handler(BaseHTTPRequestHandler):
    api: ApiServer
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer goes out in one piece: without it small ones wait for the client's acknowledgement

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        asked = self._asked()
        fault = None if asked.path == "/oauth/token" else self.api.next_fault()
        self.api.asked.append(asked)
        if fault is not None and fault.kind == "gone":
            self._break()
            return
        if fault is not None and fault.seconds:
            time.sleep(fault.seconds)
        too_many, limits = self.api.limits()
        answered = Answered({"message": "too many"}, 429) if too_many else self.api.answer(asked, fault)
        self._send(answered, limits, cut=fault is not None and fault.kind == "cut")

    def _asked(self) -> Asked:
        parts = urlsplit(self.path)
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        form = "form" in self.headers.get("Content-Type", "")
        params = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        params |= dict(parse_qsl(data.decode())) if form else {}
        body = json.loads(data) if data and not form else None
        headers = {name.lower(): value for name, value in self.headers.items()}
        url = f"http://{headers.get('host', '')}"
        return Asked(self.command, url, unquote(parts.path), params, headers, body)

    def _send(self, answered: Answered, limits: Mapping[str, str], *, cut: bool) -> None:
        content = answered.content
        self.send_response_only(answered.status)
        headers = {"Content-Type": "application/json", **answered.headers, **limits}
        headers |= {"Date": formatdate(self.api.now(), usegmt=True), "Content-Length": str(len(content))}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        self.wfile.flush()
        if cut:
            self._break()

    def _break(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            # Without lingering the other side sees a reset, as from a process that was killed.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.shutdown(socket.SHUT_WR)

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""
