"""Webhooks a second on one core: `catchment receive` with every delivery durable before its answer, and the same server
answering without a write.

    python benchmarks/webhooks/run.py [--seconds 10] [--connections 32] [--bytes 1000]

Server and sender each have a core of their own where there are two. Deliveries are signed (Standard Webhooks) before
the clock runs. Prints JSON: deliveries a second as fast as it goes, and milliseconds to the answer (p50, p99, worst) at
1,000 deliveries a second, counted from when each was due.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from catchment.receive.signatures import Standard, standard_key

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
PROJECT = """\
name: hooks
sources:
  payments:
    type: webhooks
    streams:
      notices: {path: /payments, scheme: standard, secret: "${env:PAYMENTS_SECRET}", tolerance: 1 hour}
"""
RATE = 1_000


def requests(count: int, size: int) -> list[bytes]:
    """Whole requests, each another delivery."""
    scheme = Standard([standard_key(SECRET)])
    made, now = [], time.time()
    for number in range(count):
        body = json.dumps({"number": number, "filling": "x" * (size - 40)}).encode()
        signed = scheme.sign(f"msg_{os.urandom(9).hex()}", body, now)
        head = {"host": "here", "content-type": "application/json", "content-length": str(len(body)), **signed}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        made.append(f"POST /payments HTTP/1.1\r\n{lines}\r\n".encode() + body)
    return made


class Sender(asyncio.Protocol):
    """One connection: a request, its answer, the next one."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._answer: asyncio.Future[bytes] | None = None
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._got += data
        if self._got.endswith(b"}\n") and self._answer is not None:
            self._answer.set_result(self._got)
            self._got = b""

    async def send(self, request: bytes) -> None:
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        answer = await self._answer
        if not answer.startswith(b"HTTP/1.1 200"):
            message = answer.decode(errors="replace")
            raise AssertionError(message)


async def senders(port: int, count: int) -> list[Sender]:
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(Sender, "127.0.0.1", port))[1] for _ in range(count)]


async def flat_out(port: int, made: Sequence[bytes], connections: int) -> dict[str, float]:
    """Every connection sends as soon as it is answered."""
    waiting, times = iter(made), []

    async def run(sender: Sender) -> None:
        for request in waiting:
            began = time.perf_counter()
            await sender.send(request)
            times.append(time.perf_counter() - began)

    all_senders = await senders(port, connections)
    began = time.perf_counter()
    await asyncio.gather(*map(run, all_senders))
    took = time.perf_counter() - began
    return {"deliveries_per_second": round(len(times) / took), **percentiles(times)}


async def steady(port: int, made: Sequence[bytes], connections: int) -> dict[str, float]:
    """One delivery a millisecond, however long answers take; a delivery for which no connection is free waits."""
    free: asyncio.Queue[Sender] = asyncio.Queue()
    for sender in await senders(port, connections):
        free.put_nowait(sender)
    times: list[float] = []

    async def one(request: bytes, due: float) -> None:
        sender = await free.get()
        await sender.send(request)
        times.append(time.perf_counter() - due)
        free.put_nowait(sender)

    began, sent = time.perf_counter(), []
    for number, request in enumerate(made):
        due = began + number / RATE
        if due > time.perf_counter():
            await asyncio.sleep(due - time.perf_counter())
        sent.append(asyncio.create_task(one(request, due)))
    await asyncio.gather(*sent)
    took = time.perf_counter() - began
    return {"deliveries_per_second": round(len(times) / took), **percentiles(times)}


def percentiles(times: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(times, n=100)
    return {name: round(1000 * value, 1) for name, value in (("p50_ms", cuts[49]), ("p99_ms", cuts[98]))} | {
        "worst_ms": round(1000 * max(times), 1)
    }


@contextmanager
def served(project: Path, *, writing: bool, cores: Sequence[int]) -> Iterator[int]:
    """A receiver in a process of its own; its port."""
    catchment = Path(sys.executable).with_name("catchment")
    ours = [str(catchment), "--project", str(project), "receive", "--listen", "127.0.0.1:0"]
    command = ours if writing else [sys.executable, __file__, "--without-write", str(project)]
    process = subprocess.Popen(
        ["taskset", "-c", str(cores[0]), *command],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PAYMENTS_SECRET": SECRET},
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
            if found is not None:
                yield int(found[1])
                return
        message = "the receiver did not start"
        raise AssertionError(message)
    finally:
        process.terminate()
        process.communicate()


def without_write(project: Path) -> None:
    """The same server over a broker that forgets."""
    from catchment.project import load_project
    from catchment.receive.endpoints import endpoints
    from catchment.receive.serving import Receiver

    class Forgetful:
        def __getattr__(self, name: str) -> Any:
            return lambda *given, **told: [] if name == "topics" else {}

    found = endpoints(load_project(project))
    Receiver(found, Forgetful(), lambda event: print(event, file=sys.stderr), ("127.0.0.1", 0)).run()  # type: ignore[arg-type]


def measured(folder: Path, given: argparse.Namespace, *, writing: bool) -> dict[str, Any]:
    """Each of the two figures over a topic of its own."""
    cores = sorted(os.sched_getaffinity(0))
    found = {}
    for name, way, count in (
        ("as_fast_as_it_goes", flat_out, given.seconds * 2_500),
        ("at_1000_a_second", steady, given.seconds * RATE),
    ):
        project = folder / f"{name}-{writing}"
        project.mkdir()
        (project / "catchment.yaml").write_text(PROJECT, encoding="utf-8")
        made = requests(count, given.bytes)
        with served(project, writing=writing, cores=cores) as port:
            os.sched_setaffinity(0, {cores[-1]})
            try:
                asyncio.run(way(port, made[:200], given.connections))  # everything is open and warm
                found[name] = asyncio.run(way(port, made[200:], given.connections))
            finally:
                os.sched_setaffinity(0, cores)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--bytes", type=int, default=1_000)
    parser.add_argument("--without-write", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.without_write is not None:
        without_write(given.without_write)
        return
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        figures = {
            "durable": measured(Path(folder), given, writing=True),
            "without_write": measured(Path(folder), given, writing=False),
        }
    ratio = [figures[name]["as_fast_as_it_goes"]["deliveries_per_second"] for name in ("durable", "without_write")]
    print(json.dumps({"cores": os.cpu_count(), **figures, "ratio": round(ratio[0] / ratio[1], 2)}, indent=2))


if __name__ == "__main__":
    main()
