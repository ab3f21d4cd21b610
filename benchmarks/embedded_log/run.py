"""The embedded log against the disk's own limit, in one run.

    python benchmarks/embedded_log/run.py [--seconds 5] [--rounds 3] [--folder DIR]

Writes: messages of 160 bytes with a key, in batches of 1, 50 and 1,000, by one process and by three at once, for so
many seconds; beside each the same bytes appended to a plain file with one fdatasync a batch. `overtaken` is by how many
writes of others one that waits is overtaken: two, where three take turns. Reads: all from its beginning, as Arrow.
Wake: how long after its write a message is there for a process that waits. Medians of the rounds; prints JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from catchment.records import Message, TopicSpec
from catchment.topics.embedded import EmbeddedBroker

BODY = b'{"event_id": "%012d", "user_id": "u-%05d", "event_type": "page_view", "page": "/products/p-0176", "at": '
BODY += b'"2026-11-21T10:00:00.000Z", "device": "mobile", "n": %d}'
PROCESSES = multiprocessing.get_context("forkserver")


def messages(number: int, count: int) -> list[Message]:
    return [
        Message(BODY % (number + one, (number + one) % 10_000, one), b"u-%05d" % ((number + one) % 10_000))
        for one in range(count)
    ]


def write(folder: Path, batch: int, seconds: float, told: Connection, *, alone: bool) -> None:
    """Write batches; tell messages a second, milliseconds of each write, and by how many others it was overtaken."""
    broker = EmbeddedBroker(folder)
    broker.bounds("bench")
    took, overtaken, number = [], [], 0
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        made = messages(number, batch)
        before = 0 if alone else _written(broker)
        at = time.perf_counter()
        broker.write("bench", made)
        took.append(1000 * (time.perf_counter() - at))
        overtaken.append(0 if alone else (_written(broker) - before) // batch - 1)
        number += batch
    told.send((number / (time.perf_counter() - began), took, overtaken))


def _written(broker: EmbeddedBroker) -> int:
    return sum(end for _, end in broker.bounds("bench").values())


def append(folder: Path, batch: int, seconds: float) -> float:
    """The disk's own limit: messages a second."""
    handle = os.open(folder / "plain", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    began, number = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        os.write(handle, b"".join(one.value or b"" for one in messages(number, batch)))
        os.fdatasync(handle)
        number += batch
    os.close(handle)
    return number / (time.perf_counter() - began)


def writers(folder: Path, count: int, batch: int, seconds: float) -> dict[str, float]:
    EmbeddedBroker(folder).declare([TopicSpec("bench", 3)])
    pipes = [PROCESSES.Pipe(duplex=False) for _ in range(count)]
    started = [
        PROCESSES.Process(target=write, args=(folder, batch, seconds, there), kwargs={"alone": count == 1})
        for _, there in pipes
    ]
    for process in started:
        process.start()
    found = [here.recv() for here, _ in pipes]
    for process in started:
        process.join()
    took = sorted(one for _, each, _ in found for one in each)
    overtaken = sorted(one for _, _, each in found for one in each)
    return {
        "messages_a_second": sum(rate for rate, _, _ in found),
        "ms_p50": took[len(took) // 2],
        "ms_p99": took[int(0.99 * len(took))],
        "ms_most": took[-1],
        "overtaken_p50": overtaken[len(overtaken) // 2],
        "overtaken_p99": overtaken[int(0.99 * len(overtaken))],
    }


def read(folder: Path) -> dict[str, float]:
    broker = EmbeddedBroker(folder)
    until = {partition: end for partition, (_, end) in broker.bounds("bench").items()}
    next(broker.read("bench", {}, until, messages=1))  # imports Arrow
    began = time.perf_counter()
    rows = size = 0
    for batch in broker.read("bench", {}, until):
        rows, size = rows + batch.num_rows, size + batch.nbytes
    took = time.perf_counter() - began
    return {"messages_a_second": rows / took, "mb_a_second": size / took / 1e6}


def wait(folder: Path, told: Connection) -> None:
    """Tell when each new message was seen."""
    broker = EmbeddedBroker(folder)
    offsets = {partition: end for partition, (_, end) in broker.bounds("bench").items()}
    told.send(0.0)
    for _ in range(200):
        broker.wait("bench", offsets, 60)
        told.send(time.monotonic())
        offsets = {partition: end for partition, (_, end) in broker.bounds("bench").items()}


def wake(folder: Path) -> dict[str, float]:
    here, there = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=wait, args=(folder, there))
    process.start()
    here.recv()
    broker, took = EmbeddedBroker(folder), []
    for number in range(200):
        time.sleep(0.02)
        broker.write("bench", messages(number, 1))
        written = time.monotonic()
        took.append(1000 * (here.recv() - written))
    process.join()
    took.sort()
    return {"ms_p50": took[100], "ms_p99": took[198]}


def within(place: Path | None, work: Callable[[Path], Any]) -> Any:
    with tempfile.TemporaryDirectory(dir=place) as folder:
        return work(Path(folder))


def medians(found: list[dict[str, float]]) -> dict[str, float]:
    return {key: round(statistics.median(one[key] for one in found), 2) for key in found[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="On the disk to measure; by default where temporary files go.")
    asked = parser.parse_args()
    figures: dict[str, Any] = {}
    for batch in (1, 50, 1000):
        told: dict[str, list[dict[str, float]]] = {"plain file": [], "1 writer": [], "3 writers": []}
        for _ in range(asked.rounds):
            plain = within(asked.folder, lambda folder, batch=batch: append(folder, batch, asked.seconds))
            told["plain file"].append({"messages_a_second": plain})
            for count in (1, 3):
                found = within(
                    asked.folder, lambda folder, batch=batch, count=count: writers(folder, count, batch, asked.seconds)
                )
                found["of_plain"] = found["messages_a_second"] / plain
                told[f"{count} writer{'s' if count > 1 else ''}"].append(found)
        figures[f"batches of {batch:,}"] = {name: medians(each) for name, each in told.items()}

    def filled(folder: Path) -> tuple[dict[str, float], dict[str, float]]:
        writers(folder, 1, 1000, asked.seconds)
        return read(folder), wake(folder)

    looks = [within(asked.folder, filled) for _ in range(asked.rounds)]
    figures["read"] = medians([one for one, _ in looks])
    figures["wake"] = medians([one for _, one in looks])
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
