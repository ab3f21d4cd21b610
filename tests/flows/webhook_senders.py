"""A receiver in a process of its own that is killed, and senders that go on until each delivery was taken."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from catchment.connected import Connected
from catchment.inspect import query
from catchment.project import load_project
from catchment.receive.signatures import GitHub, Scheme, Standard, Stripe, standard_key
from catchment.testing import crash

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PROJECT = """\
name: hooks
sources:
  payments:
    type: webhooks
    streams:
      notices: {path: /payments, scheme: standard, secret: "${env:HOOKS_SECRET}", topic: payment_notices}
      pushes: {path: /github, scheme: github, secret: "${env:HOOKS_SECRET}"}
      charges: {path: /stripe, scheme: stripe, secret: "${env:HOOKS_SECRET}"}
"""
SCHEMES: Mapping[str, Scheme] = {
    "/payments": Standard([standard_key(SECRET)]),
    "/github": GitHub([SECRET.encode()]),
    "/stripe": Stripe([SECRET.encode()]),
}
STREAMS = {"/payments": "notices", "/github": "pushes", "/stripe": "charges"}


def write_project(folder: Path) -> Path:
    folder.mkdir()
    (folder / "catchment.yaml").write_text(PROJECT, encoding="utf-8")
    return folder


@dataclass
class Receiving:
    """`catchment receive` over a project; `events` are those of every process that ended in peace."""

    folder: Path
    port: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Receiving:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        if not self.port:
            with socket.create_server(("127.0.0.1", 0)) as free:
                self.port = free.getsockname()[1]
        catchment = str(Path(sys.executable).with_name("catchment"))
        told = self.folder / "receive.jsonl"
        with told.open("w", encoding="utf-8") as out:
            self.process = subprocess.Popen(
                [catchment, "--project", str(self.folder), "receive", "--listen", f"127.0.0.1:{self.port}", "--json"],
                stdout=out,
                text=True,
                env={**os.environ, "HOOKS_SECRET": SECRET},
            )
        until = time.monotonic() + 60
        while "ReceiverStarted" not in told.read_text(encoding="utf-8"):
            assert self.process.poll() is None, told.read_text(encoding="utf-8")
            assert time.monotonic() < until
            time.sleep(0.02)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """The exit code after a SIGTERM."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        lines = (self.folder / "receive.jsonl").read_text(encoding="utf-8").splitlines()
        self.events += map(json.loads, lines)
        return code


@dataclass
class Sender:
    """Sends deliveries to one path until it is over, each again until it is taken, and some once more after that."""

    port: int
    path: str
    chance: random.Random
    over: threading.Event
    size: int = 200
    taken: list[str] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)
    failed: BaseException | None = None

    def run(self) -> None:
        try:
            with Line(self.port) as line:
                for number in itertools.takewhile(lambda _: not self.over.is_set(), itertools.count()):
                    delivery = f"{self.path.strip('/')}-{number}-{self.chance.getrandbits(40):010x}"
                    self._send_until_taken(line, delivery)
                    self.taken.append(delivery)
                    if self.chance.random() < 0.1:
                        self._send_until_taken(line, self.chance.choice(self.taken[-200:]))
        except BaseException as error:  # told by whoever waits for the thread
            self.failed = error

    def _send_until_taken(self, line: Line, delivery: str) -> None:
        body = json.dumps({"id": delivery, "filling": "x" * self.size}).encode()
        while True:
            status = line.send(self.path, delivery, body)
            self.answers[status] += 1
            if status == 200:
                return
            assert status in (0, 503), status
            time.sleep(0.02)


class Line:
    """One connection after the other to a receiver that may be gone."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def send(self, path: str, delivery: str, body: bytes, *, now: float | None = None, **headers: str) -> int:
        """The status of the answer, 0 where there is none."""
        signed = SCHEMES[path].sign(delivery, body, time.time() if now is None else now)
        given = {**signed, **{name.replace("_", "-"): value for name, value in headers.items()}}
        try:
            self._connection.request("POST", path, body, given)
            answer = self._connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return 0
        return answer.status


def under_fire(receiving: Receiving, *, kills: int, seed: int) -> list[Sender]:
    """So many kills of the receiver while two senders a path go on sending, and of runs that land what came.

    The receiver is there again at the end, and everything that was sent was taken.
    """
    chance = random.Random(seed)
    over = threading.Event()
    paths = [path for path in STREAMS for _ in range(2)]
    senders = [Sender(receiving.port, path, random.Random(chance.random()), over) for path in paths]
    threads = [threading.Thread(target=sender.run) for sender in senders]
    for thread in threads:
        thread.start()
    try:
        for _ in range(kills):
            time.sleep(chance.uniform(0.2, 1.2))
            receiving.kill()
            landing = crash.start(receiving.folder, kill_at=chance.randint(1, 25))
            receiving.start()
            landing.join()
    finally:
        over.set()
        for thread in threads:
            thread.join()
    for sender in senders:
        assert sender.failed is None, sender.failed
    return senders


def landed(folder: Path, stream: str) -> Counter[str]:
    """How often each delivery is in bronze."""
    key = "message_key" if stream == "notices" else "document ->> 'id'"
    rows = query(load_project(folder), None, f"select {key} as id from bronze.payments__{stream}")
    return Counter(rows.read_all().column("id").to_pylist())


def written(folder: Path) -> int:
    """How many messages the topics hold, what came again among them."""
    broker = Connected.of(load_project(folder)).broker
    try:
        bounds = [broker.bounds(topic) for topic in broker.topics()]
        return sum(end - first for of_one in bounds for first, end in of_one.values())
    finally:
        broker.close()
