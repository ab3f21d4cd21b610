"""Who is answered by what a running command shows of itself."""

from __future__ import annotations

import http.client
from http.server import ThreadingHTTPServer

import pytest

from catchment.served import Handler, served


class _Told(Handler):
    def get(self) -> None:
        self.reply(200, {}, b"told")


def _asked(port: int, method: str, host: str | None) -> tuple[int, bytes]:
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    asked.putrequest(method, "/", skip_host=True)
    if host is not None:
        asked.putheader("Host", host)
    asked.endheaders()
    answer = asked.getresponse()
    found = answer.status, answer.read()
    asked.close()
    return found


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:80", "localhost:1", "LOCALHOST", "[::1]:8", None])
def test_this_machine_is_answered(host: str | None) -> None:
    with served(lambda place: ThreadingHTTPServer(place, _Told), ("127.0.0.1", 0), "") as server:
        assert _asked(server.server_address[1], "GET", host) == (200, b"told")


@pytest.mark.parametrize("host", ["example.com", "localhost.example.com", "10.0.0.1:80", "[", "127.0.0.1.nip.io"])
def test_another_name_is_answered_only_where_others_may_ask(host: str) -> None:
    """A page elsewhere may have its name point to this machine."""
    for address, status in (("127.0.0.1", 403), ("0.0.0.0", 200)):
        with served(lambda place: ThreadingHTTPServer(place, _Told), (address, 0), "") as server:
            found = _asked(server.server_address[1], "GET", host)
            assert (found[0], b"told" in found[1]) == (status, status == 200)
            assert _asked(server.server_address[1], "HEAD", host) == (status, b"")
