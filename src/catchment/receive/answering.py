"""One request, one answer: an ASGI application without a framework, which would cost more than the write."""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from catchment.reading.kinds.webhooks import ANSWERED_AGAIN_S, OURS
from catchment.receive.counting import REPEATED, TAKEN, Counts
from catchment.receive.endpoints import Delivery, Endpoint
from catchment.receive.signatures import Headers, Refusal
from catchment.receive.writing import Writing

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# How long a sender may take over a body.
BODY_S = 20.0

# What all requests together may hold in memory, and how many may wait; more are asked to come again.
MOST_BYTES = 64 << 20
MOST_REQUESTS = 5_000

_MOST_KNOWN = 50_000

_RETRY_BUSY_S, _RETRY_UNWRITTEN_S = 1, 5

# A body that is somewhat too large is read to its end and thrown away: a sender that still writes hears no answer.
_DISCARDED = 8 << 20


@dataclass(frozen=True)
class Answer:
    """What the sender hears."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


def _answer(status: int, told: dict[str, Any], *headers: tuple[bytes, bytes]) -> Answer:
    return Answer(status, json.dumps(told).encode() + b"\n", headers)


_TAKEN = _answer(200, {"status": TAKEN})
_REPEATED = _answer(200, {"status": REPEATED})
_CLOSE = (b"connection", b"close")


class Answering:
    """`clock` tells seconds since 1970."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        writing: Writing,
        counts: Counts,
        *,
        clock: Callable[[], float] = time.time,
        most_bytes: int = MOST_BYTES,
        most_requests: int = MOST_REQUESTS,
        body_s: float = BODY_S,
    ) -> None:
        self._endpoints = {endpoint.path: endpoint for endpoint in endpoints}
        self._known = {endpoint.path: _Known() for endpoint in endpoints}
        self._writing = writing
        self._counts = counts
        self._clock = clock
        self._most = (most_bytes, most_requests)
        self._body_s = body_s
        self._bytes = self._requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await self._to(scope, receive)
        if answer is None:
            return
        length = (b"content-length", str(len(answer.body)).encode())
        headers = [(b"content-type", b"application/json"), length, *answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _to(self, scope: Scope, receive: Receive) -> Answer | None:
        path, method = scope["path"], scope["method"]
        endpoint = self._endpoints.get(path)
        if endpoint is None:
            return self._ours(path, method)
        if method != "POST":
            self._counts.add(endpoint.stream, "method")
            return _answer(
                405, {"error": "method", "message": "deliveries are sent with POST"}, (b"allow", b"POST"), _CLOSE
            )
        headers = _headers(scope["headers"])
        length = int(headers["content-length"]) if "content-length" in headers else None
        if length is not None and length > endpoint.largest:
            return await self._oversized(endpoint, receive, length)
        if self._bytes + (length or 0) > self._most[0] or self._requests >= self._most[1]:
            return self._busy(endpoint)
        held = _Held()
        self._requests += 1
        try:
            return await self._delivered(endpoint, headers, receive, held)
        finally:
            self._bytes -= held.bytes
            self._requests -= 1

    def _ours(self, path: str, method: str) -> Answer:
        """Health is that this answers at all; ready is that a write may be expected to succeed."""
        if path not in OURS:
            self._counts.add("", "unknown_path")
            return _answer(404, {"error": "unknown_path", "message": "nothing is taken at this path"}, _CLOSE)
        if method not in ("GET", "HEAD"):
            return _answer(405, {"error": "method", "message": "ask with GET"}, (b"allow", b"GET"), _CLOSE)
        if path == "/health":
            return _answer(200, {"status": "ok"})
        reason = self._unready()
        told = {"ready": reason is None, "waiting": self._requests, **({} if reason is None else {"reason": reason})}
        return _answer(200 if reason is None else 503, told)

    def _unready(self) -> str | None:
        failed = self._writing.failed_at
        # Somebody has to send again for a write to be tried again.
        if failed is not None and time.monotonic() - failed < _RETRY_UNWRITTEN_S:
            return "the last write failed"
        full = self._bytes > 0.9 * self._most[0] or self._requests > 0.9 * self._most[1]
        return "too many deliveries wait to be written" if full else None

    async def _delivered(self, endpoint: Endpoint, headers: Headers, receive: Receive, held: _Held) -> Answer | None:
        began = time.perf_counter()
        body = await self._body(endpoint, receive, held)
        if isinstance(body, Answer | None):
            return body
        found = endpoint.judge(headers, body, self._clock())
        if isinstance(found, Refusal):
            return self._refused(endpoint, found)
        known = self._known[endpoint.path]
        before = known.of(found.id)
        word = TAKEN if before is None else REPEATED
        written = before or self._offered(endpoint, known, found)
        # Shielded: another request may wait for the same write, and one that is given up must not take it along.
        if not await asyncio.shield(written):
            return self._come_again(endpoint, "unwritten", "the delivery could not be written", _RETRY_UNWRITTEN_S)
        self._counts.add(endpoint.stream, word, time.perf_counter() - began)
        return _TAKEN if word == TAKEN else _REPEATED

    def _offered(self, endpoint: Endpoint, known: _Known, delivery: Delivery) -> asyncio.Future[bool]:
        written = self._writing.offer(endpoint.topic, delivery.message)
        known.add(delivery.id, written)
        return written

    async def _body(self, endpoint: Endpoint, receive: Receive, held: _Held) -> bytes | Answer | None:
        """The whole body; an answer where it is too large or too slow, None where the sender has gone.

        It takes room as it comes: who announces much and sends nothing keeps nobody else away.
        """
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(self._body_s):
                while (message := await self._part(receive)) is not None:
                    parts.append(message.get("body", b""))
                    held.bytes += len(parts[-1])
                    self._bytes += len(parts[-1])
                    if held.bytes > endpoint.largest:
                        return self._too_large(endpoint)
                    if self._bytes > self._most[0]:
                        return self._busy(endpoint)
                    if not message.get("more_body", False):
                        return parts[0] if len(parts) == 1 else b"".join(parts)
        except TimeoutError:
            self._counts.add(endpoint.stream, "slow")
            words = f"the body was not there within {self._body_s:g} s"
            return _answer(408, {"error": "slow", "message": words}, _CLOSE)
        self._counts.add(endpoint.stream, "broken_off")
        return None

    async def _part(self, receive: Receive) -> MutableMapping[str, Any] | None:
        """None where the sender has gone."""
        message = await receive()
        return message if message["type"] == "http.request" else None

    async def _oversized(self, endpoint: Endpoint, receive: Receive, length: int) -> Answer:
        left = length if length <= _DISCARDED else 0
        try:
            async with asyncio.timeout(self._body_s):
                while left > 0 and (message := await self._part(receive)) is not None:
                    left = left - len(message.get("body", b"")) if message.get("more_body", False) else 0
        except TimeoutError:
            pass
        return self._too_large(endpoint)

    def _too_large(self, endpoint: Endpoint) -> Answer:
        message = f"the body has more than {endpoint.largest:,} bytes"
        return self._refused(endpoint, Refusal("oversized", 413, message), _CLOSE)

    def _refused(self, endpoint: Endpoint, refusal: Refusal, *headers: tuple[bytes, bytes]) -> Answer:
        self._counts.add(endpoint.stream, refusal.reason)
        return _answer(refusal.status, {"error": refusal.reason, "message": refusal.message}, *headers)

    def _busy(self, endpoint: Endpoint) -> Answer:
        return self._come_again(endpoint, "busy", "too many deliveries wait to be written", _RETRY_BUSY_S)

    def _come_again(self, endpoint: Endpoint, reason: str, message: str, seconds: int) -> Answer:
        later = (b"retry-after", str(seconds).encode())
        return self._refused(endpoint, Refusal(reason, 503, message), later, _CLOSE)


@dataclass
class _Held:
    """What one request has in memory."""

    bytes: int = 0


class _Known:
    """Deliveries that are being written or were, for a while; one that failed is forgotten."""

    def __init__(self) -> None:
        self._writes: OrderedDict[str, tuple[float, asyncio.Future[bool]]] = OrderedDict()

    def of(self, delivery: str) -> asyncio.Future[bool] | None:
        found = self._writes.get(delivery)
        if found is None:
            return None
        at, written = found
        if time.monotonic() - at > ANSWERED_AGAIN_S or (written.done() and not written.result()):
            del self._writes[delivery]
            return None
        return written

    def add(self, delivery: str, written: asyncio.Future[bool]) -> None:
        now = time.monotonic()
        self._writes[delivery] = (now, written)
        for _ in range(2):  # two out for one in: as many as came in ten minutes, without ever counting them all
            oldest = next(iter(self._writes))
            if now - self._writes[oldest][0] <= ANSWERED_AGAIN_S and len(self._writes) <= _MOST_KNOWN:
                break
            del self._writes[oldest]


def _headers(given: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """By name in lower case, the first of several: what stands behind it was not asked for."""
    found: dict[str, str] = {}
    for name, value in given:
        found.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
    return found
