"""Limits of a request's head: how long it may be, and how long a sender may take over it. uvicorn has neither."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from catchment.receive.counting import Counts

HEAD_BYTES = 32 << 10
HEAD_S = 10.0

_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Guarded(HttpToolsProtocol):
    """One connection. The clock runs from its beginning, and from the first byte of each later request, until the head
    is there; the bytes of a head count as they come, so that one which never ends fills no memory."""

    def __init__(self, *given: Any, counts: Counts, head_s: float = HEAD_S, **told: Any) -> None:
        super().__init__(*given, **told)
        self._counts = counts
        self._head_s = head_s
        self._head = 0
        self._is_over = False
        self._clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
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
        super().on_headers_complete()

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
