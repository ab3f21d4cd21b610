"""What is counted of one table of a stream: rows, their rate, and how long they took."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

_WINDOW_S = 60.0


@dataclass
class Figures:
    """Instants are those of a monotonic clock, in seconds. Not safe for threads by itself."""

    since: float = field(default_factory=time.monotonic)
    rows: int = 0
    rejected: int = 0
    commits: int = 0
    _counted: deque[tuple[float, int]] = field(default_factory=deque)
    _took: deque[tuple[float, float, int]] = field(default_factory=lambda: deque(maxlen=10_000))

    def count(self, now: float, rows: int, rejected: int = 0) -> None:
        """A commit of so many rows."""
        self.rows += rows
        self.rejected += rejected
        self.commits += 1
        self._counted.append((now, rows))

    def took(self, now: float, seconds: float, rows: int) -> None:
        """Rows that arrived so long ago are committed."""
        if rows:
            self._took.append((now, seconds, rows))

    def rate(self, now: float) -> float:
        """Rows a second over the last minute."""
        while self._counted and self._counted[0][0] < now - _WINDOW_S:
            self._counted.popleft()
        return sum(rows for _, rows in self._counted) / max(1.0, min(_WINDOW_S, now - self.since))

    def latency(self, now: float, share: float) -> float | None:
        """What that share of the last minute's rows stayed below; None where there were none."""
        found = sorted((seconds, rows) for at, seconds, rows in self._took if at >= now - _WINDOW_S)
        left = share * sum(rows for _, rows in found)
        for seconds, rows in found:
            left -= rows
            if left <= 0:
                return seconds
        return None
