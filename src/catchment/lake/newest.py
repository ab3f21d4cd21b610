"""Where a Delta table stands, told by the newest entries of its log alone: no table is opened.

Our commits name the generation in their entry, and the generation names the state. Over anything but rewritten files
on top of them (another program's rows, a restore, a checkpoint whose entry is gone) nothing is told: open the table.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable

from catchment.records import Glance, Pin, Progress

# Entries and checkpoints; a checkpoint may outlive its entry.
_VERSION = re.compile(r"[0-9]{20}\.")

# Commits that move rows between files and change none of them.
_REWRITES = ("OPTIMIZE", "VACUUM START", "VACUUM END")
_LOOK_BACK = 16


def glance(log: str, fence: str, state: Callable[[int], Progress]) -> Glance | None:
    """What the newest entries tell; None where they do not. `state` reads a generation's, and may raise Unfenced."""
    try:
        newest = max(int(name[:20]) for name in os.listdir(log) if _VERSION.match(name))  # noqa: PTH208 - half the time
        status = os.stat(_entry(log, newest))  # noqa: PTH116 - as above
        generation = _generation(log, newest, fence)
        if generation is None:
            return None
        progress = state(generation)
    except (OSError, ValueError):  # told in words by whoever opens the table
        return None
    mark = f"{log} {newest} {status.st_size} {status.st_mtime_ns} {status.st_ino}"
    return Glance(Pin(version=newest, generation=generation), progress, mark)


def _entry(log: str, version: int) -> str:
    return f"{log}{os.sep}{version:020d}.json"


def _generation(log: str, newest: int, fence: str) -> int | None:
    """The number that the newest commit gives the fence, rewritten files left aside."""
    named = f'"{fence}"'.encode()
    for version in range(newest, max(-1, newest - _LOOK_BACK), -1):
        with open(_entry(log, version), "rb") as file:  # noqa: PTH123 - half the time
            lines = file.read().splitlines()
        found = next((line for line in lines if line.startswith(b'{"txn"') and named in line), None)
        if found is not None:
            return int(json.loads(found)["txn"]["version"])
        if _operation(lines) not in _REWRITES:
            return None
    return None


def _operation(lines: list[bytes]) -> str | None:
    found = next((line for line in lines if line.startswith(b'{"commitInfo"')), None)
    return json.loads(found)["commitInfo"].get("operation") if found is not None else None
