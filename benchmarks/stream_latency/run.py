"""From a message in a topic to silver on disk, to the refined topic and to live figures, by `catchment stream`.

    python benchmarks/stream_latency/run.py [--broker embedded|kafka] [--rate 1000] [--seconds 60]

Messages are written twenty times a second and say when. The refined topic is read by a reader of its own that waits for
each message; silver and the live store (DuckDB) are asked what their newest commit is of, and when it was made. Prints
JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build" / "bench" / "stream_latency"

PROJECT = """\
name: swift
sources:
  clicks: {{type: topic, streams: {{events: {{}}}}}}
silver:
  events: {{from: clicks.events, publish: {{topic: events.refined, key: user_id}}}}
live:
  events_per_minute:
    from: events
    every: 1 minute
    time: sent_at
    by: [kind]
    measures: {{events: count(*), users: count(distinct user_id)}}
targets:
  local: {{default: true{broker}}}
"""
CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: events
version: 1.0.0
status: active
schema:
  - name: events
    properties:
      - {name: event_id, logicalType: integer, required: true, primaryKey: true, primaryKeyPosition: 1}
      - {name: user_id, logicalType: string, required: true}
      - {name: kind, logicalType: string, required: true}
      - {name: page, logicalType: string}
      - {name: sent_at, logicalType: timestamp, required: true}
"""
_EVERY_S = 0.05


def event(number: int, at: str) -> dict[str, Any]:
    return {
        "event_id": number,
        "user_id": f"user-{number * 7919 % 5_000:05d}",
        "kind": ("page_view", "search", "add_to_cart", "purchase")[number % 4],
        "page": f"https://shop.example/products/{number % 997}",
        "sent_at": at,
    }


def write(broker: Any, rate: int, seconds: float, told: list[tuple[int, float]]) -> int:
    """So many messages a second; `told` gets how many were there, and when the write of the last began."""
    from catchment.records import Message

    count, began = 0, time.time()
    while (gone := time.time() - began) < seconds:
        due = int(gone * rate)
        if due > count:
            at = time.time()
            stamp = datetime.fromtimestamp(at, UTC).isoformat()
            rows = [event(number, stamp) for number in range(count, due)]
            broker.write("events", [Message(json.dumps(row).encode(), key=row["user_id"].encode()) for row in rows])
            count = due
            told.append((count, at))
        time.sleep(_EVERY_S)
    return count


def refined(broker: Any, ended: threading.Event, found: list[float]) -> None:
    """How long each message of the refined topic took."""
    offsets = {partition: end for partition, (_, end) in broker.bounds("events.refined").items()}
    while not ended.is_set():
        if not broker.wait("events.refined", offsets, 0.5):
            continue
        until = {partition: end for partition, (_, end) in broker.bounds("events.refined").items()}
        for batch in broker.read("events.refined", offsets, until):
            now = time.time()
            found += [now - _sent_at(value) for value in batch.column("value").to_pylist()]
        offsets = until


def _sent_at(value: bytes) -> float:
    return datetime.fromisoformat(json.loads(value)["sent_at"]).timestamp()


def live(ended: threading.Event, told: list[tuple[int, float]], found: list[float]) -> None:
    """How long it took until the live figures counted so many messages, looked at every 20 ms."""
    from catchment.connected import Connected
    from catchment.project import load_project

    seen = 0
    while not ended.wait(0.02):
        store = Connected.of(load_project(WORK)).live_store
        with contextlib.suppress(Exception):  # not there yet
            counted = store.query("SELECT coalesce(sum(events), 0) AS n FROM live.events_per_minute").read_all()
            count, now = int(counted.column("n")[0].as_py()), time.time()
            found += [now - at for total, at in list(told) if seen < total <= count for _ in range(1)]
            seen = count
        store.close()


def silver() -> list[float]:
    """How long each row took until the commit that brought it into silver."""
    from catchment.connected import Connected
    from catchment.naming import silver_table
    from catchment.opened import OpenProject
    from catchment.project import load_project

    project = load_project(WORK)
    table = Connected.of(project).lake.open(silver_table("events"))
    assert table is not None
    at = {commit.pin.generation: commit.at for commit in table.history()}
    rows = OpenProject(project).query("SELECT _judged, sent_at FROM silver.events").read_all().to_pylist()
    return [(at[row["_judged"]] - row["sent_at"]).total_seconds() for row in rows if row["_judged"] in at]


def summary(found: list[float]) -> dict[str, float]:
    parts = statistics.quantiles(found, n=100)
    return {"count": len(found), **{f"p{share}": round(parts[share - 1], 3) for share in (50, 95, 99)}}


@contextlib.contextmanager
def declared(broker: str) -> Iterator[str]:
    """What the target says of its broker, which runs meanwhile."""
    if broker == "embedded":
        yield ""
        return
    from tests.services.kafka.server import started

    with started(("-Xms512m", "-Xmx512m")) as kafka:
        yield f', broker: {{type: kafka, servers: "{kafka.address}"}}'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", choices=["embedded", "kafka"], default="embedded")
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60)
    said = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    shutil.rmtree(WORK, ignore_errors=True)
    (WORK / "contracts").mkdir(parents=True)
    (WORK / "contracts" / "events.odcs.yaml").write_text(CONTRACT)
    with declared(said.broker) as broker:
        (WORK / "catchment.yaml").write_text(PROJECT.format(broker=broker))
        print(json.dumps({"broker": said.broker, "rate": said.rate, **measured(said.rate, said.seconds)}, indent=2))


def measured(rate: int, seconds: float) -> dict[str, Any]:
    from catchment.connected import Connected
    from catchment.project import load_project
    from catchment.records import TopicSpec

    project = load_project(WORK)
    broker = Connected.of(project).broker
    broker.declare([TopicSpec("events", 3), TopicSpec("events.refined", 3)])
    log = (WORK / "stream.log").open("w")
    command = [sys.executable, "-m", "catchment", "--project", str(WORK), "stream"]
    stream = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    ended, told = threading.Event(), list[tuple[int, float]]()
    published, figures = list[float](), list[float]()
    threads = [
        threading.Thread(target=refined, args=(Connected.of(project).broker, ended, published)),
        threading.Thread(target=live, args=(ended, told, figures)),
    ]
    try:
        time.sleep(5)
        for thread in threads:
            thread.start()
        count = write(broker, rate, seconds, told)
        time.sleep(5)
    finally:
        ended.set()
        stream.send_signal(signal.SIGTERM)
        assert stream.wait(60) == 0, (WORK / "stream.log").read_text()[-2000:]
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        log.close()
    for thread in threads:
        thread.join()
    return {
        "messages": count,
        "to_silver_s": summary(silver()),
        "to_refined_topic_s": summary(published),
        "to_live_figures_s": summary(figures),
        "stream_cpu_s": round(used.ru_utime + used.ru_stime, 1),
        "stream_peak_mb": used.ru_maxrss // 1024,
    }


if __name__ == "__main__":
    main()
