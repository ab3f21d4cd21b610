"""The server on a real socket: heads that are too long, too slow or none, and an end that answers what was taken."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from catchment.errors import ConfigError
from catchment.events import DeliveriesCounted, Event, Noticed, ReceiverStarted, ReceiverStopped
from catchment.receive.endpoints import Endpoint
from catchment.receive.serving import Receiver
from catchment.receive.signatures import Unsigned
from catchment.records import Message, Offsets, TopicSpec
from catchment.topics.embedded import EmbeddedBroker


class Gated(EmbeddedBroker):
    """Writes wait until the gate is open."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.gate = threading.Event()
        self.gate.set()
        self.failing: Exception | None = None
        self.waiting = False

    def write(self, topic: str, messages: Sequence[Message]) -> Offsets:
        self.waiting = True
        self.gate.wait()
        self.waiting = False
        if self.failing is not None:
            raise self.failing
        return super().write(topic, messages)


class Running:
    """A receiver in a thread of its own."""

    def __init__(self, broker: Gated, **settings: Any) -> None:
        self.events: list[Event] = []
        self.broker = broker
        self._started = threading.Event()
        endpoints = [Endpoint("pay.notices", "/notices", Unsigned(), "notices", largest=100_000)]
        self.receiver = Receiver(endpoints, broker, self._on, ("127.0.0.1", 0), **settings)
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run)
        self.opened: list[http.client.HTTPConnection | socket.socket] = []

    def _run(self) -> None:
        try:
            self.receiver.run()
        except BaseException as error:  # told by whoever waits for the thread
            self.error = error

    def _on(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, ReceiverStarted):
            self._started.set()

    @property
    def port(self) -> int:
        assert self._started.wait(20)
        (started,) = (event for event in self.events if isinstance(event, ReceiverStarted))
        return int(started.address.rpartition(":")[2])

    def connect(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        self.opened.append(connection)
        return connection

    def raw(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        self.opened.append(connection)
        return connection

    def totals(self) -> ReceiverStopped:
        (stopped,) = (event for event in self.events if isinstance(event, ReceiverStopped))
        return stopped


@contextmanager
def running(folder: Path, **settings: Any) -> Iterator[Running]:
    found = Running(Gated(folder / "topics"), **settings)
    found.thread.start()
    try:
        yield found
    finally:
        for connection in found.opened:
            connection.close()
        found.broker.gate.set()
        found.receiver.stop()
        found.thread.join(30)
        assert not found.thread.is_alive()


def post(connection: http.client.HTTPConnection, body: bytes = b"{}", path: str = "/notices") -> tuple[int, Any]:
    connection.request("POST", path, body)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def until_closed(connection: socket.socket) -> bytes:
    got = b""
    while part := connection.recv(65_536):
        got += part
    return got


def knock(port: int) -> None:
    while True:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        time.sleep(0.02)


def fill(connection: socket.socket) -> None:
    for _ in range(500):
        connection.sendall(b"x" * 4096)
        time.sleep(0.002)


def test_several_deliveries_go_over_one_connection(tmp_path: Path) -> None:
    with running(tmp_path) as found:
        connection = found.connect()
        assert [post(connection, b"%d" % number)[0] for number in range(3)] == [200, 200, 200]
        assert post(connection, b"2") == (200, {"status": "repeated"})
        assert post(connection, b"{")[0] == 400
        assert post(connection, b"4")[0] == 200
    assert found.error is None
    assert (found.totals().taken, found.totals().repeated, found.totals().refused) == (4, 1, {"malformed": 1})


@pytest.mark.parametrize("parts", [1, 2, 400])
def test_a_sender_that_would_rather_speak_another_protocol_is_heard(tmp_path: Path, parts: int) -> None:
    """Java's client asks for HTTP/2 so; the body comes with the head."""
    head = (
        b"POST /notices HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings, close\r\nContent-Length: 8\r\nHost: x\r\n"
        b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: h2c\r\n\r\n"
    )
    request = head.replace(b", close", b"") + b'{"a": 1}' + head + b'{"a": 2}'
    with running(tmp_path) as found:
        connection = found.raw()
        size = -(-len(request) // parts)
        for begin in range(0, len(request), size):
            connection.sendall(request[begin : begin + size])
            if parts == 2:
                time.sleep(0.05)
        answers = until_closed(connection)
        assert answers.count(b"200 OK") == 2
        assert answers.count(b'"taken"') == 2


def test_small_answers_do_not_wait_for_acknowledgements(tmp_path: Path) -> None:
    """Forty milliseconds each, where they do."""
    with running(tmp_path) as found:
        connection = found.connect()
        found.broker.gate.set()
        post(connection)
        began = time.perf_counter()
        for _ in range(50):
            assert post(connection, b"{")[0] == 400
        assert time.perf_counter() - began < 1.5


def test_health_and_readiness_are_asked_with_get(tmp_path: Path) -> None:
    with running(tmp_path) as found:
        for path, told in (("/health", {"status": "ok"}), ("/ready", {"ready": True, "waiting": 0})):
            connection = found.connect()
            connection.request("GET", path)
            answer = connection.getresponse()
            assert (answer.status, json.loads(answer.read())) == (200, told)


def test_what_was_taken_when_it_is_stopped_is_answered_and_nothing_more_is_taken(tmp_path: Path) -> None:
    with running(tmp_path) as found:
        port = found.port
        found.broker.gate.clear()
        answers: list[tuple[int, Any]] = []
        sending = threading.Thread(target=lambda: answers.append(post(found.connect())))
        sending.start()
        idle = found.raw()
        while not found.broker.waiting:
            time.sleep(0.01)
        found.receiver.stop()
        assert until_closed(idle) == b""
        with pytest.raises(ConnectionRefusedError):
            knock(port)
        assert answers == []
        found.broker.gate.set()
        sending.join(20)
        assert answers == [(200, {"status": "taken"})]
        found.thread.join(20)
    assert found.error is None


def test_more_connections_than_there_are_files_for_are_closed(tmp_path: Path) -> None:
    with running(tmp_path, most_connections=3) as found:
        kept = found.connect()
        assert post(kept)[0] == 200
        idle = [found.raw() for _ in range(10)]
        assert sum(_is_closed(one) for one in idle) == 8
        assert post(kept, b"[1]")[0] == 200
        for one in idle:
            one.close()
        until = time.monotonic() + 20
        while True:
            try:
                assert post(found.connect(), b"[2]")[0] == 200
                break
            except (http.client.HTTPException, OSError):
                assert time.monotonic() < until
    assert found.totals().refused["crowded"] >= 8


def _is_closed(connection: socket.socket) -> bool:
    connection.settimeout(0.3)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


def test_the_limit_of_open_files_says_how_many_connections_there_may_be() -> None:
    asked = "from catchment.receive.connections import most_connections as most; import resource as r; "
    for soft, hard, found in ((300, 300, 16), (200, 2000, 1644), (100, 15_000, 10_000)):
        limited = f"{asked}r.setrlimit(r.RLIMIT_NOFILE, ({soft}, {hard})); print(most())"
        told = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, check=True)
        assert int(told.stdout) == found


def test_a_head_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    with running(tmp_path, head_s=0.6) as found:
        silent, slow, second = found.raw(), found.raw(), found.raw()
        slow.sendall(b"POST /notices HTTP/1.1\r\nhost: here\r\n")
        second.sendall(b"POST /notices HTTP/1.1\r\nhost: here\r\ncontent-length: 2\r\n\r\n{}")
        while not second.recv(65_536).endswith(b"}\n"):
            pass
        time.sleep(0.8)  # between two requests there is time
        second.sendall(b"POST /notices HTTP/1.1\r\n")
        assert until_closed(silent) == b""
        assert until_closed(slow) == b""
        assert until_closed(second) == b""
    assert found.totals().refused == {"slow": 2}
    assert found.totals().taken == 1


def test_a_head_that_is_too_long_is_refused_also_where_it_never_ends(tmp_path: Path) -> None:
    with running(tmp_path) as found:
        whole, endless = found.raw(), found.raw()
        whole.sendall(b"POST /notices HTTP/1.1\r\nx-filling: " + b"x" * 40_000 + b"\r\ncontent-length: 2\r\n\r\n{}")
        assert until_closed(whole).startswith(b"HTTP/1.1 431 ")
        endless.sendall(b"POST /notices HTTP/1.1\r\nx-filling: ")
        with pytest.raises(ConnectionError):
            fill(endless)
        connection = found.connect()
        assert post(connection)[0] == 200
    assert found.totals().refused == {"head_too_long": 2}


def test_what_is_no_http_is_refused(tmp_path: Path) -> None:
    with running(tmp_path) as found:
        for noise in (b"\x16\x03\x01\x02\x00\x01\x00", b"HELO there\r\n\r\n"):
            connection = found.raw()
            connection.sendall(noise)
            assert until_closed(connection).startswith(b"HTTP/1.1 400 ")
    assert found.totals().refused == {"no_http": 2}


def test_a_body_that_is_too_large_is_told_so_before_the_connection_ends(tmp_path: Path) -> None:
    with running(tmp_path) as found:
        connection = found.connect()
        status, told = post(connection, b"1" * 2_000_000)
        assert (status, told["error"]) == (413, "oversized")


def test_what_came_is_told_now_and_then(tmp_path: Path) -> None:
    with running(tmp_path, told_every_s=0.2) as found:
        connection = found.connect()
        post(connection)
        while not any(isinstance(event, DeliveriesCounted) for event in found.events):
            time.sleep(0.02)
        found.broker.failing = OSError(28, "No space left on device")
        assert [post(connection, b"%d" % number)[0] for number in range(5)] == [503] * 5
        found.broker.failing = None
        connection = found.connect()
        assert post(connection, b"0")[0] == 200
    told = [event for event in found.events if isinstance(event, Noticed)]
    assert told[0].message.startswith("nothing can be written: ")
    assert "no space left on device" in told[0].message
    assert len(told) < 5


def test_a_bug_in_a_write_ends_it(tmp_path: Path) -> None:
    class Bug(Exception):
        pass

    with running(tmp_path) as found:
        found.broker.failing = Bug("oh")
        connection = found.connect()
        assert post(connection)[0] == 503
        found.thread.join(20)
        assert isinstance(found.error, Bug)


def test_a_new_topic_has_one_partition_and_one_that_is_there_keeps_its_own(tmp_path: Path) -> None:
    with running(tmp_path) as found:
        assert found.port
    broker = EmbeddedBroker(tmp_path / "topics")
    assert len(broker.bounds("notices")) == 1
    broker.declare([TopicSpec("notices", 3)])
    with running(tmp_path) as found:
        assert found.port
    assert len(broker.bounds("notices")) == 3
    broker.close()


def test_a_topic_keeps_deliveries_as_long_as_the_stream_says(tmp_path: Path) -> None:
    for keep_s in (3600, 7200, None):
        with running(tmp_path) as found:
            assert found.port
        endpoint = replace(found.receiver.endpoints[0], keep_s=keep_s)
        Receiver([endpoint], found.broker, lambda event: None)._declare()
        assert found.broker.spec("notices").retention_s == (keep_s or 7200)
    found.broker.close()


def test_a_declared_topic_is_made_so_and_stays_as_it_is(tmp_path: Path) -> None:
    with running(tmp_path / "a") as found:
        assert found.port
    endpoint = replace(found.receiver.endpoints[0], topic="declared", keep_s=3600)
    for wanted in (TopicSpec("declared", 2), TopicSpec("declared", 3, 7200)):
        Receiver([endpoint], found.broker, lambda event: None, declared=[wanted])._declare()
        assert found.broker.spec("declared") == TopicSpec("declared", 2, 3600)
    found.broker.close()


def test_an_address_in_use_is_told_with_what_to_write_instead(tmp_path: Path) -> None:
    with running(tmp_path) as found:
        second = Receiver([], found.broker, lambda event: None, ("127.0.0.1", found.port))
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{found.port}: address already in use"):
            second.run()
