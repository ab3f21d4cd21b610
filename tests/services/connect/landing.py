"""What the tests of this folder share: messages, runs that are killed, and what then is in bronze."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.services.connect.server import Connect

from catchment.connected import Connected
from catchment.opened import OpenProject
from catchment.project import load_project
from catchment.records import Message, TopicSpec
from catchment.testing import crash

KILLS = ("bronze.written", "bronze.filled", "bronze.committed")
PATIENCE_S = 90.0


def make_topic(folder: Path, topic: str, partitions: int = 3) -> None:
    broker = Connected.of(load_project(folder), "cluster").broker
    broker.declare([TopicSpec(topic, partitions)])
    broker.close()


def write(folder: Path, topic: str, first: int, count: int, at_once: int = 250, pause_s: float = 0.0) -> None:
    """Messages `{"number": n}` with their numbers as keys."""
    broker = Connected.of(load_project(folder), "cluster").broker
    for begin in range(first, first + count, at_once):
        numbers = range(begin, min(begin + at_once, first + count))
        broker.write(topic, [Message(json.dumps({"number": n}).encode(), str(n).encode()) for n in numbers])
        time.sleep(pause_s)
    broker.close()


def disturbed(folder: Path, topic: str, connect: Connect, count: int) -> None:
    """Write so many messages while the worker and our own runs are killed, three times each."""
    chance, pause_s = random.Random(7), 6 * 250 / count
    writing = threading.Thread(target=write, args=(folder, topic, 0, count), kwargs={"pause_s": pause_s})
    writing.start()
    for point in KILLS:
        time.sleep(chance.uniform(1.0, 2.5))
        connect.server.restart()
        until = time.monotonic() + PATIENCE_S
        while not crash.run_until(folder, kill_at=point).killed:
            assert time.monotonic() < until, f"no run came to {point}"
            time.sleep(0.3)
    writing.join()


def landed(folder: Path, column: str, is_all: Callable[[Counter[int]], bool], table: str) -> Counter[int]:
    """Land until it is all there; how often each number is in bronze then."""
    opened = OpenProject(load_project(folder))
    until = time.monotonic() + PATIENCE_S
    while True:
        ended = crash.run_until(folder)
        found = numbers(opened, column, table)
        if is_all(found) or time.monotonic() > until:
            assert ended.outcome in ("done", "nothing_new"), ended.causes
            return found
        time.sleep(0.5)


def numbers(opened: OpenProject, column: str, table: str) -> Counter[int]:
    try:
        rows: Sequence[dict[str, object]] = (
            opened.query(f"SELECT {column} AS number FROM {table}").read_all().to_pylist()
        )
    except Exception:  # no table yet
        return Counter()
    return Counter(int(str(row["number"])) for row in rows)
