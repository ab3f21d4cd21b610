"""What came, by stream and by what became of it: told every ten seconds, and once more at the end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from catchment.events import DeliveriesCounted

TAKEN, REPEATED = "taken", "repeated"

# Latencies of one interval that are kept for the percentiles; more would tell nothing more.
_MOST_TIMES = 20_000


@dataclass
class _Counted:
    words: Counter[str] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)


class Counts:
    """`stream` is empty where a request was for no endpoint."""

    def __init__(self) -> None:
        self._new: dict[str, _Counted] = defaultdict(_Counted)
        self.totals: Counter[str] = Counter()

    def add(self, stream: str, word: str, seconds: float | None = None) -> None:
        """`word` is taken, repeated or why it was refused; `seconds` is how long the answer took."""
        counted = self._new[stream]
        counted.words[word] += 1
        self.totals[word] += 1
        if seconds is not None and len(counted.times) < _MOST_TIMES:
            counted.times.append(seconds)

    def since_last(self) -> list[DeliveriesCounted]:
        """What was counted since this was asked last, a stream each; nothing of streams to which nothing came."""
        new, self._new = self._new, defaultdict(_Counted)
        return [
            DeliveriesCounted(
                stream=stream,
                taken=counted.words[TAKEN],
                repeated=counted.words[REPEATED],
                refused=refused(counted.words),
                p50_ms=_percentile(counted.times, 0.50),
                p99_ms=_percentile(counted.times, 0.99),
            )
            for stream, counted in sorted(new.items())
        ]


def refused(words: Mapping[str, int]) -> dict[str, int]:
    """Of what was counted, what was not taken, by reason."""
    return {word: count for word, count in sorted(words.items()) if word not in (TAKEN, REPEATED)}


def _percentile(times: list[float], share: float) -> float | None:
    if not times:
        return None
    return round(1000 * sorted(times)[min(int(share * len(times)), len(times) - 1)], 1)
