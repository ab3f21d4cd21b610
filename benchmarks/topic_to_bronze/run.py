"""A topic into bronze: Catchment against a consumer that only counts, and against Spark, in one run.

    python benchmarks/topic_to_bronze/run.py [--messages 2000000] [--rounds 2] [--memory 1GB] [--without-spark]

Kafka 4.3 with its default JIT and the embedded log, four partitions in each, events of 200 bytes. Counted are
seconds from the word go, with everything imported, connected and (of Spark) warm. On one core the process that is
measured has the first core for itself and the broker the other; on two all share both, Catchment as two processes of a
stream with two shards, and as one of a stream with none. Spark takes values as they are, and once more `with checks`:
parsed as JSON, with a place for what is none. CPU seconds are the reader's, without the broker's. Prints JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from events import PARTITIONS

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
WORK = ROOT / "build" / "bench" / "topic_to_bronze"

# What a consumer waits for where it does nothing else: by default a whole second, each time its queue is full.
QUICK = "fetch.queue.backoff.ms=20"

Figures = dict[str, float]


@contextlib.contextmanager
def only(cores: Sequence[int] | None) -> Iterator[None]:
    """What is started in here runs on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def move(pid: int, cores: Sequence[int]) -> None:
    words = ["taskset", "-a", "-c", "-p", ",".join(map(str, cores)), str(pid)]
    subprocess.run(words, check=True, capture_output=True)


def measured(cores: Sequence[int], *words: Sequence[object]) -> Figures:
    """Processes side by side, each told to go once all are ready."""
    with only(cores):
        started = [
            subprocess.Popen(
                [str(word) for word in each], cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for each in words
        ]
    for process in started:
        assert process.stdout is not None
        while (line := process.stdout.readline()) != "ready\n":
            if not line:
                sys.exit(f"{process.args} did not begin")
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    found = [json.loads(process.communicate()[0].splitlines()[-1]) for process in started]
    return {
        "messages": sum(one["messages"] for one in found),
        "seconds": max(one["seconds"] for one in found),
        "cpu": sum(one["cpu"] for one in found),
        "peak": sum(one["peak"] for one in found),
    }


def catchment(kind: str, place: object, memory: str, cores: Sequence[int], shards: int) -> Figures:
    lake = WORK / "lake"
    shutil.rmtree(lake, ignore_errors=True)
    land = [sys.executable, "land.py", kind, place, "events", lake, memory]
    return measured(cores, *([*land, shard, shards] for shard in range(shards)))


def spark(address: str, cores: Sequence[int], installed: Sequence[str], way: str) -> Figures:
    folder = WORK / "spark"
    shutil.rmtree(folder, ignore_errors=True)
    python, jars = installed
    return measured(cores, [python, "with_spark.py", jars, address, "events", "warm", folder, len(cores), way])


def fill(kind: str, place: object, topic: str, messages: int) -> None:
    subprocess.run([sys.executable, "fill.py", kind, str(place), topic, str(messages)], cwd=HERE, check=True)


def summary(rounds: list[Figures], messages: int) -> Figures:
    for one in rounds:
        assert one["messages"] == messages, f"{one['messages']:,} of {messages:,} messages"
    seconds, cpu = (statistics.median(one[key] for one in rounds) for key in ("seconds", "cpu"))
    return {
        "seconds": round(seconds, 2),
        "messages_a_second": round(messages / seconds),
        "messages_a_cpu_second": round(messages / cpu),
        "peak_mb": round(max(one["peak"] for one in rounds) / 1e6),
    }


def ratios(found: dict[str, Figures]) -> dict[str, dict[str, float]]:
    """Of Catchment's, to each of the others."""
    told: dict[str, dict[str, float]] = {}
    for of in ("messages_a_second", "messages_a_cpu_second"):
        ours = {name: one[of] for name, one in found.items() if "catchment" in name}
        told[of] = {
            f"{name} / {other}": round(rate / one[of], 2)
            for name, rate in ours.items()
            for other, one in found.items()
            if other not in ours and other.split()[0] == name.split()[0]
        }
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--memory", default="1GB", help="of each process of Catchment")
    parser.add_argument("--without-spark", action="store_true")
    said = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from tests.services.kafka.server import FAST, started

    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    installed: list[str] = []
    if not said.without_spark:
        installed = subprocess.run([HERE / "spark.sh"], check=True, capture_output=True, text=True).stdout.split()
    first, *others = sorted(os.sched_getaffinity(0))[:2]
    one, two = [first], [first, *others]
    log = WORK / "topics"
    fill("embedded", log, "events", said.messages)
    with started(FAST) as kafka:
        fill("kafka", kafka.address, "events", said.messages)
        if installed:
            fill("kafka", kafka.address, "warm", 300_000)
        bare = [sys.executable, "bare.py", "kafka", kafka.address, "events"]
        ways: dict[str, Any] = {
            "kafka: bare consumer": lambda: measured(one, bare),
            "kafka: bare consumer, quick": lambda: measured(one, [*bare, QUICK]),
            "kafka: catchment, one core": lambda: catchment("kafka", kafka.address, said.memory, one, 1),
            "kafka: catchment, two cores": lambda: catchment("kafka", kafka.address, said.memory, two, 2),
            "kafka: catchment, two cores, one process": lambda: catchment("kafka", kafka.address, said.memory, two, 1),
            "embedded: bare": lambda: measured(one, [sys.executable, "bare.py", "embedded", log, "events"]),
            "embedded: catchment, one core": lambda: catchment("embedded", log, said.memory, one, 1),
            "embedded: catchment, two cores": lambda: catchment("embedded", log, said.memory, two, 2),
        }
        if installed:
            for way, name in (("plain", "spark"), ("checked", "spark with checks")):
                for cores, which in ((one, "one core"), (two, "two cores")):
                    ways[f"kafka: {name}, {which}"] = functools.partial(spark, kafka.address, cores, installed, way)
        rounds: dict[str, list[Figures]] = {name: [] for name in ways}
        for _ in range(said.rounds):
            for name, way in ways.items():
                move(kafka.server.pid, others or one if "two cores" not in name else two)
                rounds[name].append(way())
                print(name, summary(rounds[name][-1:], said.messages), file=sys.stderr)
    found = {name: summary(each, said.messages) for name, each in rounds.items()}
    print(json.dumps({"messages": said.messages, "partitions": PARTITIONS, **found, "ratios": ratios(found)}, indent=2))


if __name__ == "__main__":
    main()
