"""One request, one answer: 200 only once it is durable, and every other answer with its reason, counted."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from catchment.errors import CatchmentError, DataError, RetryableError
from catchment.receive.answering import Answering
from catchment.receive.counting import Counts, refused
from catchment.receive.endpoints import Endpoint
from catchment.receive.signatures import GitHub, Unsigned
from catchment.receive.writing import Writing
from catchment.records import Message, TopicSpec
from catchment.topics.embedded import EmbeddedBroker


@dataclass
class Reply:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)


@dataclass
class Desk:
    """An application over the real log. `gate` holds writes back while it is cleared, `failing` lets them fail."""

    broker: EmbeddedBroker
    limits: dict[str, Any] = field(default_factory=dict)
    gate: threading.Event = field(default_factory=threading.Event)
    failing: CatchmentError | OSError | None = None
    poison: bytes | None = None  # a value that cannot be written
    counts: Counts = field(default_factory=Counts)
    writes: list[int] = field(default_factory=list)
    failures: list[CatchmentError] = field(default_factory=list)

    def run(self, work: Callable[[Answering], Awaitable[Any]]) -> Any:
        self.gate.set()
        return asyncio.run(self._run(work))

    async def _run(self, work: Callable[[Answering], Awaitable[Any]]) -> Any:
        writing = Writing(self._write, self.failures.append)
        endpoints = [
            Endpoint("pay.notices", "/notices", Unsigned(), "notices", largest=1000),
            Endpoint("code.pushes", "/pushes", GitHub([b"secret"]), "pushes"),
        ]
        answering = Answering(endpoints, writing, self.counts, **self.limits)
        running = asyncio.create_task(writing.run())
        try:
            return await work(answering)
        finally:
            writing.close()
            await running

    def _write(self, topic: str, messages: Sequence[Message]) -> None:
        self.gate.wait()
        if self.failing is not None:
            raise self.failing
        if self.poison in [message.value for message in messages]:
            message = "larger than the topic takes"
            raise DataError(message, hint="write less")
        self.writes.append(len(messages))
        self.broker.write(topic, messages)

    def kept(self, topic: str = "notices") -> list[bytes]:
        until = {partition: end for partition, (_, end) in self.broker.bounds(topic).items()}
        return [value for batch in self.broker.read(topic, {}, until) for value in batch.column("value").to_pylist()]

    def refused(self) -> dict[str, int]:
        return refused(self.counts.totals)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    broker = EmbeddedBroker(tmp_path / "topics")
    broker.declare([TopicSpec("notices", 1), TopicSpec("pushes", 1)])
    yield Desk(broker)
    broker.close()


async def ask(
    answering: Answering,
    body: bytes | Sequence[bytes | float] = b"{}",
    path: str = "/notices",
    *,
    method: str = "POST",
    length: int | None = None,
    **headers: str,
) -> Reply:
    """A request whose body comes in these parts; a number is a pause, and the sender goes after the last `b""`."""
    parts = [body] if isinstance(body, bytes) else list(body)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if length is not None:
        given["content-length"] = str(length)
    reply, waiting = Reply(), iter(enumerate(parts, start=1))

    async def receive() -> MutableMapping[str, Any]:
        place, part = next(waiting, (0, None))
        if isinstance(part, float):
            await asyncio.sleep(part)
            place, part = next(waiting, (0, None))
        if part is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": part, "more_body": place < len(parts) or part == b""}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            reply.status = message["status"]
            reply.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            reply.told = json.loads(message["body"])

    pairs = [(name.encode(), value.encode()) for name, value in given.items()]
    await answering({"type": "http", "path": path, "method": method, "headers": pairs}, receive, send)
    return reply


def test_a_delivery_is_answered_once_it_is_in_the_topic(desk: Desk) -> None:
    async def work(answering: Answering) -> None:
        desk.gate.clear()
        asked = asyncio.create_task(ask(answering, b'{"a": 1}'))
        await asyncio.sleep(0.1)
        assert not asked.done()
        desk.gate.set()
        reply = await asked
        assert (reply.status, reply.told) == (200, {"status": "taken"})
        assert desk.kept() == [b'{"a": 1}']

    desk.run(work)
    (counted,) = desk.counts.since_last()
    assert (counted.stream, counted.taken, counted.refused) == ("pay.notices", 1, {})
    assert counted.p99_ms is not None
    assert counted.p99_ms >= 100


def test_what_comes_while_one_write_goes_on_is_written_at_once(desk: Desk) -> None:
    async def work(answering: Answering) -> None:
        desk.gate.clear()
        asked = [asyncio.create_task(ask(answering, b"%d" % number)) for number in range(50)]
        await asyncio.sleep(0.1)
        desk.gate.set()
        assert {reply.status for reply in await asyncio.gather(*asked)} == {200}

    desk.run(work)
    assert sum(desk.writes) == 50
    assert len(desk.writes) <= 2
    assert desk.kept() == [b"%d" % number for number in range(50)]


def test_a_write_takes_a_thousand_messages_or_eight_megabytes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catchment.receive.writing._MOST_MESSAGES", 20)
    monkeypatch.setattr("catchment.receive.writing._MOST_BYTES", 900)

    async def work(answering: Answering) -> None:
        desk.gate.clear()
        small = [ask(answering, b"%d" % number) for number in range(50)]
        large = [ask(answering, b'"%d%s"' % (number, b"x" * 600)) for number in range(3)]
        asked = [asyncio.create_task(one) for one in (*small, *large)]
        await asyncio.sleep(0.1)
        desk.gate.set()
        assert {reply.status for reply in await asyncio.gather(*asked)} == {200}

    desk.run(work)
    assert sum(desk.writes) == 53
    assert max(desk.writes) <= 20
    assert desk.writes[-2:] == [1, 1]
    assert len(desk.kept()) == 53


def test_the_same_delivery_is_written_once_also_while_it_is_being_written(desk: Desk) -> None:
    async def work(answering: Answering) -> list[str]:
        desk.gate.clear()
        asked = [asyncio.create_task(ask(answering, webhook_id="msg_1")) for _ in range(3)]
        await asyncio.sleep(0.1)
        desk.gate.set()
        replies = [*await asyncio.gather(*asked), await ask(answering, webhook_id="msg_1")]
        assert {reply.status for reply in replies} == {200}
        return [reply.told["status"] for reply in replies]

    assert desk.run(work) == ["taken", "repeated", "repeated", "repeated"]
    assert desk.kept() == [b"{}"]
    assert desk.counts.totals["repeated"] == 3


@pytest.mark.parametrize("error", [RetryableError("the disk is busy"), OSError(28, "No space left on device")])
def test_what_cannot_be_written_is_not_taken_and_tried_anew_when_it_comes_again(
    desk: Desk, error: CatchmentError | OSError
) -> None:
    async def work(answering: Answering) -> None:
        desk.failing = error
        reply = await ask(answering, webhook_id="msg_1")
        assert (reply.status, reply.headers["retry-after"], reply.told["error"]) == (503, "5", "unwritten")
        assert (await ask(answering, b"", "/ready", method="GET")).status == 503
        desk.failing = None
        assert (await ask(answering, webhook_id="msg_1")).told == {"status": "taken"}
        assert (await ask(answering, b"", "/ready", method="GET")).told == {"ready": True, "waiting": 0}

    desk.run(work)
    assert desk.kept() == [b"{}"]
    assert desk.refused() == {"unwritten": 1}
    assert len(desk.failures) == 1


def test_a_bug_in_a_write_leaves_nobody_without_an_answer(desk: Desk) -> None:
    class Bug(Exception):
        pass

    async def work(answering: Answering) -> None:
        desk.failing = Bug("oh")  # type: ignore[assignment]
        assert (await ask(answering)).status == 503

    with pytest.raises(Bug):
        desk.run(work)


@pytest.mark.parametrize("limits", [{"most_requests": 3}, {"most_bytes": 6}])
def test_more_than_can_wait_is_asked_to_come_again(desk: Desk, limits: dict[str, int]) -> None:
    desk.limits = limits

    async def work(answering: Answering) -> None:
        desk.gate.clear()
        asked = [asyncio.create_task(ask(answering, b"%02d" % (10 + number), length=2)) for number in range(5)]
        await asyncio.sleep(0.1)
        ready = await ask(answering, b"", "/ready", method="GET")
        assert ready.told == {"ready": False, "waiting": 3, "reason": "too many deliveries wait to be written"}
        assert (await ask(answering, b"", "/health", method="GET")).status == 200
        desk.gate.set()
        replies = await asyncio.gather(*asked)
        assert sorted(reply.status for reply in replies) == [200, 200, 200, 503, 503]
        assert {reply.headers.get("retry-after") for reply in replies} == {None, "1"}
        assert (await ask(answering, b"10", length=2)).status == 200

    desk.run(work)
    assert desk.refused() == {"busy": 2}


@pytest.mark.parametrize("length", [None, 900])
def test_who_announces_much_and_sends_little_keeps_nobody_away(desk: Desk, length: int | None) -> None:
    desk.limits = {"most_bytes": 1000}

    async def work(answering: Answering) -> None:
        slow = [asyncio.create_task(ask(answering, [b"1" * 300, 0.3, b"1" * 600], length=length)) for _ in range(2)]
        await asyncio.sleep(0.1)
        assert (await ask(answering, b"{}", length=2)).status == 200
        # Both together are too much.
        assert sorted([reply.status for reply in await asyncio.gather(*slow)]) == [200, 503]
        assert (await ask(answering, b"1" * 900, length=900)).status == 200

    desk.run(work)
    assert desk.refused() == {"busy": 1}


def test_one_that_cannot_be_written_is_no_reason_to_refuse_others(desk: Desk) -> None:
    """Whoever asks at the same time is written with it at first."""

    async def work(answering: Answering) -> None:
        desk.gate.clear()
        first = asyncio.create_task(ask(answering, b"0"))
        await asyncio.sleep(0.1)
        asked = [asyncio.create_task(ask(answering, body)) for body in (b"1", b'"poison"', b"3")]
        await asyncio.sleep(0.1)
        desk.gate.set()
        replies = await asyncio.gather(first, *asked)
        assert [reply.status for reply in replies] == [200, 200, 503, 200]

    desk.poison = b'"poison"'
    desk.run(work)
    assert desk.kept() == [b"0", b"1", b"3"]
    assert len(desk.failures) == 1


@pytest.mark.parametrize(
    ("body", "length"),
    [(b"1" * 1001, 1001), (b"1" * 1001, None), ([b"1" * 600, b"1" * 600], None), ([b"1" * 600, b"1" * 600], 1200)],
)
def test_what_is_too_large_is_refused_whether_or_not_it_says_so(
    desk: Desk, body: bytes | list[bytes], length: int | None
) -> None:
    reply = desk.run(lambda answering: ask(answering, body, length=length))
    assert (reply.status, reply.headers["connection"]) == (413, "close")
    assert reply.told == {"error": "oversized", "message": "the body has more than 1,000 bytes"}
    assert desk.refused() == {"oversized": 1}
    assert desk.kept() == []


def test_a_body_that_is_far_too_large_is_not_read(desk: Desk) -> None:
    async def work(answering: Answering) -> Reply:
        async def unread() -> MutableMapping[str, Any]:
            raise AssertionError

        reply = Reply()

        async def send(message: MutableMapping[str, Any]) -> None:
            reply.status = message.get("status", reply.status)

        headers = [(b"content-length", b"9000000")]
        await answering({"type": "http", "path": "/notices", "method": "POST", "headers": headers}, unread, send)
        return reply

    assert desk.run(work).status == 413


def test_a_body_in_parts_is_taken_whole(desk: Desk) -> None:
    assert desk.run(lambda answering: ask(answering, [b'{"a"', 0.01, b": 1}"])).status == 200
    assert desk.kept() == [b'{"a": 1}']


def test_a_sender_that_is_too_slow_is_not_waited_for(desk: Desk) -> None:
    desk.limits = {"body_s": 0.05}
    reply = desk.run(lambda answering: ask(answering, [b"{", 1.0, b"}"]))
    assert (reply.status, reply.told["error"]) == (408, "slow")
    reply = desk.run(lambda answering: ask(answering, [1.0, b"{}"]))
    assert reply.status == 408
    assert desk.refused() == {"slow": 2}


def test_a_sender_that_goes_in_the_middle_has_sent_nothing(desk: Desk) -> None:
    assert desk.run(lambda answering: ask(answering, [b"{", b""])).status == 0
    assert desk.refused() == {"broken_off": 1}
    assert desk.kept() == []


def test_a_sender_that_goes_before_the_answer_takes_nobody_else_along(desk: Desk) -> None:
    async def work(answering: Answering) -> Reply:
        desk.gate.clear()
        first = asyncio.create_task(ask(answering, webhook_id="msg_1"))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(ask(answering, webhook_id="msg_1"))
        await asyncio.sleep(0.05)
        first.cancel()
        desk.gate.set()
        return await second

    assert desk.run(work).told == {"status": "repeated"}
    assert desk.kept() == [b"{}"]


@pytest.mark.parametrize(
    ("path", "method", "status", "word"),
    [
        ("/nowhere", "POST", 404, "unknown_path"),
        ("/notices/", "POST", 404, "unknown_path"),
        ("/notices", "GET", 405, "method"),
        ("/notices", "PUT", 405, "method"),
        ("/health", "POST", 405, None),
    ],
)
def test_only_post_to_a_path_that_is_there_is_taken(
    desk: Desk, path: str, method: str, status: int, word: str | None
) -> None:
    assert desk.run(lambda answering: ask(answering, b"{}", path, method=method)).status == status
    assert desk.refused() == ({} if word is None else {word: 1})


def test_forged_unsigned_and_malformed_ones_are_refused_and_counted_apart(desk: Desk) -> None:
    signed = GitHub([b"secret"]).sign("guid", b"{", 0)

    async def work(answering: Answering) -> list[int]:
        asked = [
            ask(answering, b"{}", "/pushes"),
            ask(answering, b"{}", "/pushes", x_hub_signature_256="sha256=" + "0" * 64),
            ask(answering, b"{", "/pushes", x_hub_signature_256=signed["x-hub-signature-256"]),
        ]
        return [(await one).status for one in asked]

    assert desk.run(work) == [401, 401, 400]
    assert desk.refused() == {"forged": 1, "malformed": 1, "unsigned": 1}
    (counted,) = desk.counts.since_last()
    assert (counted.stream, counted.taken) == ("code.pushes", 0)
    assert desk.counts.since_last() == []


def test_of_a_header_that_stands_twice_the_first_one_counts(desk: Desk) -> None:
    right = GitHub([b"secret"]).sign("guid", b"{}", 0)["x-hub-signature-256"].encode()

    async def work(answering: Answering) -> list[int]:
        found = []
        for signatures in ((right, b"sha256=00"), (b"sha256=00", right)):
            headers = [(b"X-Hub-Signature-256", one) for one in signatures]
            reply = Reply()

            async def receive() -> MutableMapping[str, Any]:
                return {"type": "http.request", "body": b"{}", "more_body": False}

            async def send(message: MutableMapping[str, Any], reply: Reply = reply) -> None:
                reply.status = message.get("status", reply.status)

            scope = {"type": "http", "path": "/pushes", "method": "POST", "headers": headers}
            await answering(scope, receive, send)
            found.append(reply.status)
        return found

    assert desk.run(work) == [200, 401]


def test_what_is_known_is_forgotten_after_a_while_and_when_it_is_too_much(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catchment.receive.answering._MOST_KNOWN", 2)

    async def work(answering: Answering) -> list[str]:
        told = [(await ask(answering, webhook_id=name)).told["status"] for name in ("a", "b", "c", "c", "a")]
        monkeypatch.setattr("catchment.receive.answering.ANSWERED_AGAIN_S", -1)
        return [*told, (await ask(answering, webhook_id="a")).told["status"]]

    assert desk.run(work) == ["taken", "taken", "taken", "repeated", "taken", "taken"]
