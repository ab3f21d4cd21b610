"""A stream's health over HTTP."""

from __future__ import annotations

import http.client

import pytest

from catchment.stream.health import watched


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_head_is_answered_as_get_without_a_body(method: str) -> None:
    with watched(("127.0.0.1", 0), {"/health": lambda: (503, {"ok": False})}) as port:
        asked = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        asked.request(method, "/health")
        answer = asked.getresponse()
        body = b'{"ok": false}\n'
        assert (answer.status, answer.getheader("Content-Length")) == (503, str(len(body)))
        assert answer.read() == (body if method == "GET" else b"")
        asked.close()
