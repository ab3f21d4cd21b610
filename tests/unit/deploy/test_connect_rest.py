"""Kafka Connect's answers, and those of servers that are none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from catchment.cli import main
from catchment.deploy.connect.rest import Connect
from catchment.errors import ConfigError, FatalError
from catchment.served import Handler, served

Serve = Callable[[int, Any], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A server that gives one answer, whatever it is asked: text as it is, anything else as JSON."""
    running = []

    def started(status: int, body: Any) -> str:
        class Told(Handler):
            def get(self) -> None:
                text = body if isinstance(body, str) else json.dumps(body)
                self.reply(status, {"Content-Type": "text/plain"}, text.encode())

        server = served(lambda place: ThreadingHTTPServer(place, Told), ("127.0.0.1", 0), "")
        running.append(server)
        return f"http://127.0.0.1:{server.__enter__().server_address[1]}"

    yield started
    for server in running:
        server.__exit__(None, None, None)


ASKED: dict[str, Callable[[Connect], object]] = {
    "state": lambda connect: connect.state("a"),
    "config": lambda connect: connect.config("a"),
    "names": lambda connect: connect.names(),
}


@pytest.mark.parametrize(
    ("status", "body", "refused"),
    [
        (404, "<h1>404 Not Found</h1>", "state config names"),
        (200, "<p>Welcome", "state config names"),
        (404, {"message": "Not Found"}, "state config names"),
        (200, {}, "state names"),
        (200, [], "state config"),
    ],
)
def test_what_is_no_connect_is_named_with_its_port(status: int, body: Any, refused: str, serve: Serve) -> None:
    url = serve(status, body)
    with closing(Connect(url)) as connect:
        for name in refused.split():
            with pytest.raises(ConfigError) as told:
                ASKED[name](connect)
            assert told.value.message == f"what answers at {url.removeprefix('http://')} is no Kafka Connect"
            assert told.value.hint == "is connect.url its address?"


def test_a_connector_that_connect_does_not_have_is_absent(serve: Serve) -> None:
    url = serve(404, {"error_code": 404, "message": "No status found for connector a"})
    with closing(Connect(url)) as connect:
        assert connect.state("a").state == "ABSENT"
        assert connect.config("a") is None


@pytest.mark.parametrize("body", ["User cannot access the resource.", {"error_code": 401, "message": "no"}])
def test_whoever_is_not_let_in_learns_it(body: Any, serve: Serve) -> None:
    with closing(Connect(serve(401, body))) as connect, pytest.raises(ConfigError, match=r"let us in \(401\)"):
        connect.names()


def test_a_proxy_before_workers_that_are_gone_says_that_they_are_not_well(serve: Serve) -> None:
    with (
        closing(Connect(serve(502, "<h1>Bad Gateway</h1>"))) as connect,
        pytest.raises(FatalError, match="not well: 502"),
    ):
        connect.state("a")


def test_status_of_a_server_that_is_no_connect(
    tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = serve(404, "no such page")
    (tmp_path / "catchment.yaml").write_text(
        "name: shop\n"
        "sources:\n"
        "  clicks: {type: topic, connector: {type: s3, bucket: shop-landing}, streams: {user_events: {via: connect}}}\n"
        f'targets: {{local: {{broker: {{type: kafka, servers: "k:1"}}, connect: {{url: "{url}"}}}}}}\n'
    )
    monkeypatch.chdir(tmp_path)
    assert main(["connect", "status"]) != 0
    told = capsys.readouterr()
    assert f"{url.removeprefix('http://')} is no Kafka Connect" in told.err
    assert "ABSENT" not in told.out
    assert "Have Connect run them" not in told.err
