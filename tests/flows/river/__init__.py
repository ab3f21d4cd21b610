"""A shop's events from its generator to gold and live figures, while what moves them is killed; and what must hold."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from catchment import naming
from catchment.compare import compare
from catchment.connected import Connected
from catchment.errors import RetryableError
from catchment.figures.recounted import recounted
from catchment.outlook import steps
from catchment.project import Project, load_project
from catchment.records import Step
from catchment.run import run

HERE = Path(__file__).parent

EVENTS, ORDERS = "user_events", "transactions"

# What the generator sends beside good events.
FAULTS = ("--late", "0.05", "--out-of-order", "0.05", "--duplicates", "0.02", "--broken", "0.004")


def written(folder: Path, targets: str, **edits: str) -> Project:
    """The project of this folder on these targets. `edits` are put in place of what stands in its file."""
    shutil.copytree(HERE / "project", folder, dirs_exist_ok=True)
    text = (folder / "catchment.yaml").read_text()
    for one, other in edits.items():
        assert _EDITED[one] in text
        text = text.replace(_EDITED[one], other)
    (folder / "catchment.yaml").write_text(text + targets)
    return load_project(folder)


_EDITED = {
    "orders": "    type: topic\n    streams:\n      transactions: {}\n",
    "mode": "    mode: window\n    event_time: occurred_at\n    lateness: 2 days\n",
}


@dataclass
class River:
    """Everything that moves: the generator and the processes of a stream, with whatever else can be killed."""

    project: Project
    target: str
    rate: str
    shares: int = 2
    others: Mapping[str, Callable[[], None]] = field(default_factory=dict)  # kills something and starts it again
    going: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        command = [sys.executable, "-m", "catchment", "--project", str(self.project.folder), *self._command(name)]
        with (self.project.folder / f"{name.replace('/', '-')}.log").open("a") as log:
            self.going[name] = subprocess.Popen(
                [*command, "--target", self.target], stdout=subprocess.DEVNULL, stderr=log, text=True
            )

    def _command(self, name: str) -> list[str]:
        if name == "generate":
            return ["generate", "--rate", self.rate, "--resume", *FAULTS]
        return ["stream", "--share", name.removeprefix("stream ")]

    @property
    def processes(self) -> list[str]:
        return ["generate", *(f"stream {number + 1}/{self.shares}" for number in range(self.shares))]

    def flow(self, kills: int, seed: int, *, pause_s: float = 2.0, least: int = 2_000) -> Counter[str]:
        """Let everything go until so much was killed and so many events were sent; what was killed, by name."""
        chance, killed = random.Random(seed), Counter[str]()
        for name in self.processes:
            self.start(name)
        try:
            while sum(killed.values()) < kills or self._sent() < least:
                time.sleep(chance.uniform(0.2, 2 * pause_s))
                if self.going["generate"].poll() is not None:
                    self.start("generate")  # a broker that is killed under it ends it
                name = chance.choice([*self.processes, *self.others])
                if name in self.others:
                    self.others[name]()
                else:
                    self.going[name].kill()
                    self.going[name].wait()
                    self.start(name)
                killed[name] += 1
            time.sleep(pause_s)
        finally:
            self._stop()
        return killed

    def _sent(self) -> int:
        broker = Connected.of(self.project, self.target).broker
        try:
            return sum(end for _, end in broker.bounds(EVENTS).values()) if EVENTS in broker.topics() else 0
        except RetryableError:
            return 0
        finally:
            broker.close()

    def _stop(self) -> None:
        for process in self.going.values():
            process.terminate()
        for process in self.going.values():
            process.wait(120)

    def settle(self) -> None:
        """Let the stream take the rest, by one process, as if the others were gone for good."""
        command = [sys.executable, "-m", "catchment", "--project", str(self.project.folder), "stream", "--until-idle"]
        # What a look-up in the other's share would bring is there by the second time.
        for _ in range(2):
            place = ["--target", self.target]
            done = subprocess.run([*command, *place], check=False, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, done.stderr[-4000:]


def rows(project: Project, target: str, table: str, *, hidden: bool = False) -> list[dict[str, Any]]:
    connected = Connected.of(project, target)
    found, engine = connected.lake.open(naming.TableName.parse(table)), connected.engine()
    try:
        if found is None or not found.scan().files:
            return []
        told: list[dict[str, Any]] = engine.frame(found.scan(hidden=hidden)).to_arrow_table().to_pylist()
        return told
    finally:
        engine.close()


def messages(project: Project, target: str, topic: str) -> list[dict[str, Any]]:
    broker = Connected.of(project, target).broker
    bounds = broker.bounds(topic)
    starts = {partition: first for partition, (first, _) in bounds.items()}
    ends = {partition: end for partition, (_, end) in bounds.items()}
    found = [row for batch in broker.read(topic, starts, ends) for row in batch.to_pylist()]
    broker.close()
    return found


def landed_once(project: Project, target: str) -> int:
    """Every message of both topics is one row of bronze; how many of them there are."""
    total = 0
    for topic, tables in ((EVENTS, (f"clicks__{EVENTS}", f"clicks__{EVENTS}__1")), (ORDERS, (f"orders__{ORDERS}",))):
        sent = Counter((f"{topic}/{one['partition']}", one["offset"]) for one in messages(project, target, topic))
        found = [row for table in tables for row in rows(project, target, f"bronze.{table}")]
        assert Counter((row["_origin"], row["_position"]) for row in found) == sent
        assert max(sent.values()) == 1
        total += len(found)
    return total


def as_a_batch(project: Project, target: str, batch: str) -> None:
    """A batch over the same topics leaves the same silver and the same gold; it tells nobody of it."""
    for place in (target, batch):
        chosen = [step for step in steps(project, place) if place == target or not _is_outward(step)]
        assert run(project, place, chosen) in ("done", "nothing_new")
    for layer in ("silver", "gold"):
        found = list(compare(project, target, batch, [layer]))
        assert found
        assert [one.table for one in found if not one.is_equal] == []


def _is_outward(step: Step) -> bool:
    return step.kind == "feed" or step.writes.startswith("topic ")


def refined_once(project: Project, target: str) -> None:
    """Readers of the refined topics see silver: each event once, each order as it is now."""
    refined = messages(project, target, f"{EVENTS}.refined")
    told = [{head["name"]: head["value"].decode() for head in one["headers"]} for one in refined]
    ids = [one[naming.ROW_ID] for one in told if one[naming.ROW_DELETED] == "false"]
    assert len(ids) == len(set(ids))
    silver = rows(project, target, "silver.events")
    gone = {one[naming.ROW_ID] for one in told if one[naming.ROW_DELETED] == "true"}
    assert {_identity(row) for row in silver} == set(ids) - gone
    by_event = {json.loads(one["value"])["event_id"] for one, head in zip(refined, told, strict=True)}
    assert {row["event_id"] for row in silver} <= by_event
    _in_order(refined, told)
    newest: dict[bytes, Any] = {}
    for one in messages(project, target, f"{ORDERS}.refined"):
        newest[one["key"]] = json.loads(one["value"])
    orders = {row["transaction_id"].encode(): row["status"] for row in rows(project, target, "silver.payments")}
    assert {key: value["status"] for key, value in newest.items()} == orders


def _identity(row: Mapping[str, Any]) -> str:
    return "/".join(str(row[name]) for name in naming.IDENTITY)


def _in_order(refined: list[dict[str, Any]], told: list[dict[str, str]]) -> None:
    """Messages of one user come in the order in which they landed, but for a commit that came later."""
    last: dict[tuple[Any, bytes], tuple[int, ...]] = {}
    for one, head in zip(refined, told, strict=True):
        _, shard, load, row = head[naming.ROW_ID].rsplit("/", 3)
        place = (int(head[naming.ROW_COMMIT]), int(load), int(row))
        key = (one["partition"], one["key"])
        if head[naming.ROW_DELETED] == "false":
            assert last.get((*key, shard), (0, 0, 0)) < place  # type: ignore[call-overload]
            last[*key, shard] = place  # type: ignore[index]


def figures_as_gold(project: Project, target: str) -> None:
    """Live figures are those of a recount of silver, and those that gold has."""
    connected = Connected.of(project, target)
    told = list(recounted(connected))
    assert {one.metric for one in told} == set(project.live)
    assert [one for one in told if not one.is_equal] == []
    served = Connected.of(project, target).warehouse
    for metric, columns in (
        ("events_per_minute", ("window_start", "event_type", "events", "users")),
        ("sold", ("status", "orders", "total")),
    ):
        listed = ", ".join(columns)
        live = Connected.of(project, target).live_store
        found = live.query(f"SELECT {listed} FROM live.{metric}").read_all().to_pylist()
        live.close()
        gold = served.query(f"SELECT {listed} FROM gold.{metric}", {}).read_all().to_pylist()
        assert found
        assert _plain(found) == _plain(gold)


def _plain(found: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return sorted(tuple(_text(value) for value in row.values()) for row in found)


def _text(value: Any) -> str:
    from datetime import UTC, datetime
    from decimal import Decimal

    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    return f"{Decimal(str(value)):.2f}" if isinstance(value, int | float | Decimal) else str(value)
