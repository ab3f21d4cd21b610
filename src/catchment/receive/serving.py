"""The server: sockets, limits that lie below a request, and an end that leaves no delivery unanswered."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from catchment.errors import CatchmentError, ConfigError, MissingExtra
from catchment.errors import refused as refused_by
from catchment.events import Noticed, ReceiverStarted, ReceiverStopped
from catchment.interfaces import Broker, Tell
from catchment.receive.answering import Answering
from catchment.receive.connections import WAITING, most_connections
from catchment.receive.counting import REPEATED, TAKEN, Counts, refused
from catchment.receive.endpoints import Endpoint
from catchment.receive.writing import Writing
from catchment.records import TopicSpec

try:
    import uvicorn

    from catchment.receive.guarding import HEAD_S, Guarded
except ModuleNotFoundError as error:
    _absent = f"cannot take webhooks: package `{error.name}` is not installed"
    raise MissingExtra(_absent, hint="pip install 'catchment[webhooks]'") from error

_IDLE_S = 60  # between two requests of one connection; proxies keep theirs for so long
_STOPPING_S = 8  # what is being answered when it stops; most who stop it kill it after ten seconds
_TOLD_EVERY_S = 10.0
_EXPIRED_EVERY_S = 600.0


@dataclass
class Receiver:
    """Takes deliveries until it is stopped, by `stop`, SIGTERM or Ctrl-C."""

    endpoints: Sequence[Endpoint]
    broker: Broker
    tell: Tell
    address: tuple[str, int] = ("127.0.0.1", 8080)
    limits: Mapping[str, Any] = field(default_factory=dict)  # of `Answering`, for tests
    declared: Sequence[TopicSpec] = ()  # topics as the project wants them
    told_every_s: float = _TOLD_EVERY_S
    head_s: float = HEAD_S
    most_connections: int | None = None  # by default as many as the system gives files for

    def __post_init__(self) -> None:
        self._counts = Counts()
        self._most = 0
        self._server: _Server | None = None
        self._stopping = threading.Event()
        self._unwritten_told = -_TOLD_EVERY_S

    def run(self) -> None:
        """Take deliveries; returns once it is stopped and everything that was taken is answered.

        Raises ConfigError where it cannot listen there or a topic cannot be.
        """
        began = time.monotonic()
        self._most = self.most_connections or most_connections()
        self._declare()
        listening = _listening(self.address)
        try:
            asyncio.run(self._serve(listening))
        finally:
            listening.close()
            self.broker.close()
            self._tell_counts()
            totals = self._counts.totals
            self.tell(
                ReceiverStopped(
                    taken=totals[TAKEN],
                    repeated=totals[REPEATED],
                    refused=refused(totals),
                    seconds=round(time.monotonic() - began, 3),
                )
            )

    def _declare(self) -> None:
        """A new topic has one partition, so that deliveries land in the order in which they came, unless the project
        declares it: then it is made so where it is absent, and stays as it is where it is there."""
        there, declared = set(self.broker.topics()), {spec.name: spec for spec in self.declared}
        for endpoint in self.endpoints:
            wanted = declared.get(endpoint.topic)
            if wanted is not None:
                keep_s = endpoint.keep_s if wanted.retention_s is None else wanted.retention_s
                self.broker.declare([] if endpoint.topic in there else [replace(wanted, retention_s=keep_s)])
                continue
            partitions = self.broker.spec(endpoint.topic).partitions if endpoint.topic in there else 1
            self.broker.declare([TopicSpec(endpoint.topic, partitions, endpoint.keep_s)])

    def stop(self) -> None:
        """Take nothing more, answer what is taken, and end; again, end at once. From any thread."""
        server = self._server
        if server is not None:
            server.force_exit = self._stopping.is_set()
            server.should_exit = True
        self._stopping.set()

    async def _serve(self, listening: socket.socket) -> None:
        writing = Writing(self.broker.write, self._failed)
        answering = Answering(self.endpoints, writing, self._counts, **self.limits)
        self._server = _Server(
            _config(answering, partial(Guarded, counts=self._counts, head_s=self.head_s, most=self._most))
        )
        self._server.should_exit = self._stopping.is_set()
        with _signals(self.stop):
            self.tell(
                ReceiverStarted(
                    address=_words(listening),
                    endpoints=tuple((one.path, one.stream, one.topic) for one in self.endpoints),
                )
            )
            beside = [asyncio.create_task(self._telling()), asyncio.create_task(self._expiring())]
            written = asyncio.create_task(writing.run())
            written.add_done_callback(lambda _: self.stop())  # a bug in a write ends the receiver as well
            try:
                await self._server.serve(sockets=[listening])
            finally:
                writing.close()
                for task in beside:
                    task.cancel()
                await written

    async def _telling(self) -> None:
        while True:
            await asyncio.sleep(self.told_every_s)
            self._tell_counts()

    async def _expiring(self) -> None:
        """Deliveries go when the topic's retention says so, whether or not anybody else looks after it."""
        while True:
            await asyncio.sleep(_EXPIRED_EVERY_S)
            for endpoint in self.endpoints:
                try:
                    await asyncio.to_thread(self.broker.expire, endpoint.topic, datetime.now(UTC))
                except (CatchmentError, OSError) as error:
                    words = error if isinstance(error, CatchmentError) else refused_by(error)
                    self.tell(Noticed(step="receive", kind="not_expired", message=words.message))

    def _tell_counts(self) -> None:
        for counted in self._counts.since_last():
            self.tell(counted)

    def _failed(self, error: CatchmentError) -> None:
        """A full disk would fail a hundred times a second, and is told once in a while."""
        now = time.monotonic()
        if now - self._unwritten_told >= self.told_every_s:
            self._unwritten_told = now
            self.tell(Noticed(step="receive", kind="unwritten", message=f"nothing can be written: {error.message}"))


def _listening(address: tuple[str, int]) -> socket.socket:
    host, port = address
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=WAITING)
        # Connections inherit it. uvicorn writes head and body of an answer apart, and asyncio sets this only where the
        # socket names its protocol: the body would wait 40 ms for the sender's acknowledgement of the head.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        message = f"cannot listen on {host or '*'}:{port}: {(error.strerror or str(error)).lower()}"
        raise ConfigError(message, hint="name another address: --listen 127.0.0.1:8081") from None


def _words(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and Ctrl-C stop it; outside the main thread there are none to hear."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop, asked = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)
    for number in asked:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in asked:
            loop.remove_signal_handler(number)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Not uvicorn's business here: it would send itself the signal again once it has stopped."""
        yield


def _config(application: Answering, protocol: partial[Guarded]) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        http=protocol,  # type: ignore[arg-type]  # it is called as its class would be
        ws="none",
        loop="asyncio",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        backlog=WAITING,
        timeout_keep_alive=_IDLE_S,
        timeout_graceful_shutdown=_STOPPING_S,
    )
