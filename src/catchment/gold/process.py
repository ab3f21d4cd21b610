"""A process of dbt: on its leash, heard line by line, and never left behind."""

from __future__ import annotations

import json
import queue
import re
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from catchment import leash
from catchment.errors import Stopped
from catchment.events import Noticed, StepProgress

if TYPE_CHECKING:
    from catchment.interfaces import Tell

_NODES = re.compile(r"(\d+) (?:models?|seeds?|snapshots?)\b")
_GLANCE_S = 0.1


@dataclass
class Told:
    """What dbt said so far."""

    errors: list[str] = field(default_factory=list)
    tail: list[str] = field(default_factory=list)
    total: int | None = None
    done: int = 0
    started: bool = False


def follow(
    arguments: Sequence[str],
    folder: Path,
    stderr: IO[bytes] | int,
    *,
    tell: Tell,
    step: str = "",
    stop: threading.Event | None = None,
    heard: Callable[[str], None] | None = None,
) -> tuple[Told, int]:
    """Start it in `folder`, listen, see it end: what it told, and its code. `heard` gets every line.

    Raises Stopped when `stop` is set; however this ends, the process has.
    """
    process = leash.started(arguments, stderr=stderr, within=folder)
    told = Told()
    try:
        for line in _lines(process, stop):
            if heard is not None:
                heard(line)
            _hear(line, told, step=step, tell=tell)
        return told, process.wait()
    finally:
        leash.end(process)


def _lines(process: subprocess.Popen[bytes], stop: threading.Event | None) -> Iterator[str]:
    """Lines as they come, while looking up for `stop` ten times a second."""
    lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    assert process.stdout is not None
    output = process.stdout

    def listen() -> None:
        for line in output:
            lines.put(line)
        lines.put(None)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    while True:
        if stop is not None and stop.is_set():
            message = "stopped while dbt was building; the gold that is served is untouched"
            raise Stopped(message)
        try:
            line = lines.get(timeout=_GLANCE_S)
        except queue.Empty:
            continue
        if line is None:
            listener.join()
            return
        yield line.decode(errors="replace").rstrip()


def _hear(line: str, told: Told, *, step: str, tell: Tell) -> None:
    try:
        said = json.loads(line)
        info, data = said["info"], said["data"]
    except (ValueError, KeyError, TypeError):
        told.tail = [*told.tail[-19:], line]
        return
    name, level = info["name"], info["level"]
    if name == "FoundStats":
        told.total = sum(int(count) for count in _NODES.findall(info["msg"])) or None
    elif name in {"LogModelResult", "LogSeedResult", "LogSnapshotResult"}:
        told.done += 1
        tell(StepProgress(step=step, done=told.done, total=told.total, unit="models"))
    elif level == "error":
        told.errors.append(str(data.get("exc") or info["msg"]))
    elif level == "warn" and not told.started:
        tell(Noticed(step=step, kind="dbt", message=info["msg"]))
    told.started = told.started or name == "LogStartLine"
