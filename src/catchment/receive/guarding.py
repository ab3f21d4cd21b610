"""Limits of a request's head: how long it may be, and how long a sender may take over it. uvicorn has neither.

And a request that would rather speak another protocol is taken as what it is.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from catchment.receive.connections import MOST
from catchment.receive.counting import Counts

HEAD_BYTES = 32 << 10
HEAD_S = 10.0

_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


# Of a request that asks for another protocol, what says so.
_ASKING = (b"upgrade", b"http2-settings")


class Guarded(HttpToolsProtocol):
    """One connection. The clock runs from its beginning, and from the first byte of each later request, until the head
    is there; the bytes of a head count as they come, so that one which never ends fills no memory."""

    def __init__(self, *given: Any, counts: Counts, head_s: float = HEAD_S, most: int = MOST, **told: Any) -> None:
        super().__init__(*given, **told)
        self._most = most
        self._counts = counts
        self._head_s = head_s
        self._head = 0
        self._is_over = False
        self._clock: asyncio.TimerHandle | None = None
        self._plain: bytes | None = None
        self.parser = _Parser(self)  # type: ignore[assignment]  # it is asked as the one in it would be

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._most:
            self._counts.add("", "crowded")
            transport.abort()
            return
        self._clock = self.loop.call_later(self._head_s, self._slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._in_time()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._clock is None and (self.cycle is None or self.cycle.response_complete):
            self._clock = self.loop.call_later(self._head_s, self._slow)
        super().data_received(data)
        if self._clock is not None:
            self._head += len(data)
            if self._head > HEAD_BYTES and not self.transport.is_closing():
                self._too_long()

    def on_headers_complete(self) -> None:
        self._in_time()
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > HEAD_BYTES:
            self._is_over = True
            message = "the head is too long"
            raise ValueError(message)  # for httptools a request that cannot be read
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._plain = self._without_upgrade()
        else:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if self._plain is None:
            super().on_message_complete()

    def plain(self) -> bytes:
        """The head that ended last, without its wish for another protocol."""
        head, self._plain = self._plain or b"", None
        return head

    def _without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            if name == b"connection":
                kept = [one.strip() for one in value.split(b",") if one.strip().lower() not in _ASKING]
                lines += [b"connection: " + b", ".join(kept)] if kept else []
            elif name not in _ASKING:
                lines.append(name + b": " + value)
        return b"\r\n".join((*lines, b"", b""))

    def send_400_response(self, msg: str) -> None:
        self._in_time()
        if self._is_over:
            self._too_long()
        else:
            self._counts.add("", "no_http")
            super().send_400_response(msg)

    def _in_time(self) -> None:
        self._head = 0
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _slow(self) -> None:
        self._clock = None
        if not self.transport.is_closing():
            if self._head:  # a connection on which nothing was asked is nobody's mistake
                self._counts.add("", "slow")
            self.transport.close()

    def _too_long(self) -> None:
        self._counts.add("", "head_too_long")
        self.transport.write(_TOO_LONG)
        self.transport.close()


class _Parser:
    """httptools' parser, which ends at the head of a request that asks for another protocol: its body would be lost.

    Java's client asks for HTTP/2 with the first request of a connection; a server may go on as if it had not (RFC 9110,
    7.8).
    """

    def __init__(self, protocol: Guarded) -> None:
        self._protocol = protocol
        self._own = self._opened()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def _opened(self) -> Any:
        own = httptools.HttpRequestParser(self._protocol)
        with contextlib.suppress(AttributeError):  # of before 0.6.3
            own.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        return own

    def feed_data(self, data: bytes) -> None:
        try:
            self._own.feed_data(data)
        except httptools.HttpParserUpgrade as asked:
            plain = self._protocol.plain()
            if not plain:
                raise
            self._own = self._opened()
            self.feed_data(plain + data[asked.args[0] :])
