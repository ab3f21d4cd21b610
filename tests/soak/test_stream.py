"""A stream for as long as SOAK_S says (default an hour): memory, threads and files stay level, rows arrive in time."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from tests.flows.test_stream import CONTRACT, TOPICS

from catchment.compare import compare
from catchment.connected import Connected
from catchment.naming import TableName
from catchment.outlook import steps
from catchment.project import load_project
from catchment.records import Message, TopicSpec
from catchment.run import run

COLUMNS = """\
      - {name: event_id, logicalType: integer, required: true, primaryKey: true, primaryKeyPosition: 1}
      - {name: seq, logicalType: integer}
"""

MERGED = TOPICS.replace("{from: clicks.events}", "{from: clicks.events, mode: merge, latest_by: seq}")
PACES = "stream: {merge_every: 2s, compact_every: 30s}\n"


def test_500_changes_a_second_leave_memory_and_files_level_and_are_in_silver_in_under_5_s(tmp_path: Path) -> None:
    length = float(os.environ.get("SOAK_S", "3600"))
    (tmp_path / "contracts").mkdir()
    (tmp_path / "catchment.yaml").write_text(MERGED + PACES)
    (tmp_path / "contracts/events.odcs.yaml").write_text(CONTRACT.format("events") + COLUMNS)
    broker = Connected.of(load_project(tmp_path)).broker
    broker.declare([TopicSpec("events")])
    command = [sys.executable, "-m", "catchment", "--project", str(tmp_path), "stream", "--json"]
    with (tmp_path / "events.jsonl").open("w") as out:
        child = subprocess.Popen([*command, "--for", f"{length:.0f}s"], stdout=out)
    chance, taken, number = random.Random(11), list[tuple[int, int, int]](), 0
    while child.poll() is None:
        number += 1
        rows = [{"event_id": chance.randrange(100_000), "seq": number} for _ in range(100)]
        broker.write("events", [Message(json.dumps(row).encode()) for row in rows])
        time.sleep(0.2)
        if number % 100 == 0 and child.poll() is None:
            taken.append(_taken(child.pid))
    assert child.returncode == 0
    # The first quarter is warming up: engines fill what they may take.
    early, late = taken[len(taken) // 4 :][:3], taken[-3:]
    print(f"{length:.0f} s: memory in kB, threads, open files: {early} ... {late}")  # noqa: T201 - what a soak is for
    for place, room in ((0, 1.25), (1, 1.25), (2, 1.25)):
        assert max(one[place] for one in late) <= room * max(one[place] for one in early)
    told = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    slowest = [
        event["latency_p95_s"]
        for event in told
        if event["event"] == "StreamProgress" and event["table"] == "silver.events" and event["latency_p95_s"]
    ]
    assert sorted(slowest)[int(len(slowest) * 0.95)] < 5
    _settled(tmp_path)


def _taken(process: int) -> tuple[int, int, int]:
    """Resident memory in kB, threads, open files."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    files = len(list(Path(f"/proc/{process}/fd").iterdir()))
    return int(status["VmRSS"].split()[0]), int(status["Threads"]), files


def _settled(folder: Path) -> None:
    """Few files in the newest versions, and the tables of a batch."""
    project = load_project(folder)
    for name in ("bronze.clicks__events", "silver.events"):
        table = Connected.of(project).lake.open(TableName.parse(name))
        assert table is not None
        assert len(table.scan().files) < 300
    for target in ("local", "batch"):
        run(project, target, steps(project, target))
    assert all(one.is_equal for one in compare(project, "local", "batch"))
