"""Clicks that come twice, late and broken for as long as SOAK_S says, over kills of who sends and of the stream."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.flows.test_stream import CONTRACT
from tests.flows.test_window_stream import COLUMNS, PROJECT, equal

from catchment.connected import Connected
from catchment.generate.into_topics import EVENTS
from catchment.naming import TableName
from catchment.project import load_project
from catchment.records import TopicSpec

SHARES = ("--late", "0.05", "--out-of-order", "0.05", "--duplicates", "0.05", "--broken", "0.001")


def test_each_click_is_kept_once_over_kills_and_memory_stays_level(tmp_path: Path) -> None:
    length, chance = float(os.environ.get("SOAK_S", "3600")), random.Random(21)
    (tmp_path / "contracts").mkdir()
    (tmp_path / "catchment.yaml").write_text(PROJECT)
    (tmp_path / "contracts/events.odcs.yaml").write_text(CONTRACT.format("events") + COLUMNS)
    Connected.of(load_project(tmp_path)).broker.declare([TopicSpec(EVENTS)])
    clicks = ("generate", "--rate", "500/s", "--only", EVENTS, *SHARES, "--resume")
    wanted = {"clicks": clicks, "stream": ("stream",)}
    going = {name: _started(tmp_path, *words) for name, words in wanted.items()}
    taken: list[tuple[float, int]] = []
    end, kills = time.monotonic() + length, 0
    try:
        while time.monotonic() < end:
            time.sleep(min(20.0, length / 10) * (0.5 + chance.random()))
            began = going["stream"]
            taken.append((time.monotonic(), _memory_kb(began.pid)))
            name = chance.choice(list(wanted))
            if chance.random() < 0.5 or name == "clicks":
                going[name].send_signal(signal.SIGKILL)
                going[name].wait()
                going[name] = _started(tmp_path, *wanted[name])
                kills += 1
    finally:
        for process in going.values():
            process.send_signal(signal.SIGTERM)
        codes = [process.wait(120) for process in going.values()]
    # Who was only just started hears nothing yet.
    assert set(codes) <= {0, -signal.SIGTERM}
    last = _started(tmp_path, "stream", "--until-idle")
    assert last.wait(600) == 0
    equal(tmp_path)
    table = Connected.of(load_project(tmp_path)).lake.open(TableName.parse("silver.events"))
    assert table is not None
    files, memory = table.scan().files, [kilobytes for _, kilobytes in taken]
    print(f"{length:.0f} s, {kills} kills: {len(files)} files, memory in kB {memory[:3]} ... {memory[-3:]}")  # noqa: T201
    assert len(files) < 300
    early = memory[len(memory) // 4 :][:3]
    assert max(memory[-3:]) <= 1.5 * max(early) + 100_000


def _started(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "catchment", "--project", str(folder), *words]
    with (folder / f"{words[0]}.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def _memory_kb(process: int) -> int:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0])
