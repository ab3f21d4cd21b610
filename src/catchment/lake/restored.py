"""Has another program put a Delta table back? Its log says so; the transactions in it, which last, do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def restored_over(log: Path, version: int, fence: str) -> int | None:
    """The version of our newest commit, where a RESTORE after it went back to before it; else None.

    Looks at commits from `version` backwards to the newest of ours, which mostly is the first. Compaction may stand
    between; commits that the log no longer keeps were looked at while it did.
    """
    target: int | None = None
    for number in range(version, -1, -1):
        try:
            text = (log / f"{number:020d}.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        if fence in text:
            return number if target is not None and target < number else None
        if target is None and "RESTORE" in text:
            target = _target([json.loads(line) for line in text.splitlines() if line.strip()])
    return None


def _target(actions: list[dict[str, Any]]) -> int | None:
    """The version that a commit restores; -1 where it names a time instead; None where it restores nothing."""
    info: dict[str, Any] = next((action["commitInfo"] for action in actions if "commitInfo" in action), {})
    files = [action.get("add") or action.get("remove") for action in actions]
    if info.get("operation") != "RESTORE" or not any(file and file.get("dataChange") for file in files):
        return None
    return int(info.get("operationParameters", {}).get("version", -1))
