"""Has another program put a Delta table back? Its log says so; the transactions in it, which last, do not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class PutBack:
    """A table that another program took back to before `ours`, the version of our newest commit.

    `to` is the version that it has again; None where the log does not tell.
    """

    ours: int
    to: int | None


def restored_over(log: Path, version: int, fence: str) -> PutBack | None:
    """Whether a RESTORE after our newest commit went back to before it.

    Looks at commits from `version` backwards to the newest of ours, which mostly is the first. Compaction may stand
    between; commits that the log no longer keeps were looked at while it did.
    """
    target: _Target | None = None
    for number in range(version, -1, -1):
        try:
            text = _entry(log, number).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        if fence in text:
            if target is None or (target.to is not None and target.to >= number):
                return None
            return PutBack(ours=number, to=target.to)
        if target is None and "RESTORE" in text:
            target = _target(log, number, [json.loads(line) for line in text.splitlines() if line.strip()])
    return None


def _entry(log: Path, number: int) -> Path:
    return log / f"{number:020d}.json"


@dataclass(frozen=True)
class _Target:
    to: int | None


def _target(log: Path, number: int, actions: list[dict[str, Any]]) -> _Target | None:
    """The version that commit `number` restores; None where it restores nothing."""
    info: dict[str, Any] = next((action["commitInfo"] for action in actions if "commitInfo" in action), {})
    files = [action.get("add") or action.get("remove") for action in actions]
    if info.get("operation") != "RESTORE" or not any(file and file.get("dataChange") for file in files):
        return None
    told: dict[str, Any] = info.get("operationParameters", {})
    if told.get("version") is not None:
        return _Target(int(told["version"]))
    at = _milliseconds(told.get("datetime") or told.get("timestamp"))
    return _Target(None if at is None else _as_of(log, number, at))


def _milliseconds(told: Any) -> int | None:
    """An instant as delta-rs (milliseconds) and Spark (ISO 8601) write it."""
    try:
        return int(told)
    except (TypeError, ValueError):
        pass
    try:
        at = datetime.fromisoformat(str(told))
    except ValueError:
        return None
    return int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _as_of(log: Path, before: int, at: int) -> int | None:
    """The version that was the newest at an instant, looked for backwards."""
    for number in range(before - 1, -1, -1):
        try:
            first = _entry(log, number).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        for line in first.splitlines():
            info = json.loads(line).get("commitInfo") if "commitInfo" in line else None
            if info is not None and int(info.get("timestamp", 0)) <= at:
                return number
    return None
