"""What the entries of a Delta log tell of their commits.

delta-rs' own history counts versions back from the handle's, over entries that may have come since: a handle that
somebody has overtaken would name wrong versions (1.6.6).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One commit: its version, when it was made, and what its writer said of it."""

    version: int
    at: datetime
    told: Mapping[str, Any]


def entries(log: Path, version: int) -> Iterator[Entry]:
    """Commits from `version` backwards, as far as the log keeps them."""
    for number in range(version, -1, -1):
        path = log / f"{number:020d}.json"
        try:
            with path.open(encoding="utf-8") as lines:
                told: Mapping[str, Any] = next(
                    (json.loads(line)["commitInfo"] for line in lines if line.startswith('{"commitInfo"')), {}
                )
            milliseconds = told.get("timestamp") or path.stat().st_mtime * 1000
        except FileNotFoundError:
            return
        yield Entry(number, datetime.fromtimestamp(milliseconds / 1000, UTC), told)
