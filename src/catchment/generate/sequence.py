"""Which click is sent when: in order, or on request late, twice, or broken.

What is sent has a place in an endless sequence, its ordinal. Ordinal 4,711 sends click 4,711, unless that is late; then
it sends nothing, and click 4,711 comes with a later ordinal. So any stretch of the sequence can be made by itself, and
sent again from any place on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import TYPE_CHECKING

from catchment.errors import ConfigError
from catchment.generate.counted import drawn, pick

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from catchment.generate.counted import Integers

# So many clicks later comes what is late, what is out of order, and what comes again.
LATE = (200, 10_000)
OUT_OF_ORDER = (1, 50)
AGAIN = (0, 200)


@dataclass(frozen=True)
class Shares:
    """The share (0-1) of clicks that each befalls. Raises ConfigError for another number, or more than all."""

    late: float = 0.0  # sent 200 to 10,000 clicks after its turn
    out_of_order: float = 0.0  # sent 1 to 50 clicks after its turn
    duplicates: float = 0.0  # sent once more, 0 to 200 clicks later
    broken: float = 0.0  # cut off, without its key, or with properties that are no JSON

    def __post_init__(self) -> None:
        for name in ("late", "out_of_order", "duplicates", "broken"):
            if not 0 <= getattr(self, name) <= 1:
                message = f"--{name.replace('_', '-')} is {getattr(self, name)}; a share lies between 0 and 1"
                raise ConfigError(message)
        if self.late + self.out_of_order > 1:
            message = "what is late is not out of order too: --late and --out-of-order are more than 1 together"
            raise ConfigError(message)

    @property
    def farthest(self) -> int:
        """How many clicks after its turn a click may still be sent."""
        delay = LATE[1] if self.late else OUT_OF_ORDER[1] if self.out_of_order else 0
        return delay + (AGAIN[1] if self.duplicates else 0)


@dataclass(frozen=True)
class Stretch:
    """What is sent from one ordinal to before another, in order: its ordinal, which click it is, how it is broken."""

    ordinals: Integers
    clicks: Integers
    broken: Integers  # 0: not at all


@dataclass(frozen=True)
class Sent:
    """How many clicks and changes of orders."""

    events: int = 0
    changes: int = 0

    def __add__(self, other: Sent) -> Sent:
        return Sent(self.events + other.events, self.changes + other.changes)


@dataclass(frozen=True)
class Clock:
    """When a click is: `start`, and a click every 1 / `per_s` seconds."""

    start: datetime
    per_s: Fraction

    def seconds(self, clicks: Integers) -> Integers:
        """Whole seconds since 1970."""
        found: Integers = int(self.start.timestamp()) + clicks * self.per_s.denominator // self.per_s.numerator
        return found


def stretch(seed: int, shares: Shares, first: int, end: int) -> Stretch:
    """What is sent from ordinal `first` to before `end`."""
    import numpy as np

    clicks = np.arange(max(0, first - shares.farthest), end, dtype=np.int64)
    draws = drawn(seed, "fortune", clicks)
    broken = np.where(_befalls(draws, 2, shares.broken), 1 + clicks % 3, 0)
    if not shares.farthest:
        return Stretch(clicks, clicks, broken)
    delays = drawn(seed, "delay", clicks)
    late = _befalls(draws, 0, shares.late)
    shuffled = ~late & _befalls(draws, 0, shares.late + shares.out_of_order)
    sent = clicks + np.where(late, _between(delays, 0, LATE), np.where(shuffled, _between(delays, 1, OUT_OF_ORDER), 0))
    twice = np.flatnonzero(_befalls(draws, 1, shares.duplicates))
    ordinals = np.concatenate([sent, sent[twice] + _between(delays, 2, AGAIN)[twice]])
    places = np.concatenate([np.arange(len(clicks)), twice])
    copy = np.repeat([0, 1], [len(clicks), len(twice)])
    chosen = np.flatnonzero((ordinals >= first) & (ordinals < end))
    chosen = chosen[np.lexsort((copy[chosen], places[chosen], ordinals[chosen]))]
    return Stretch(ordinals[chosen], clicks[places[chosen]], broken[places[chosen]])


def _befalls(draws: npt.NDArray[np.uint64], place: int, share: float) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = pick(draws, place, 65_536) < round(share * 65_536)
    return found


def _between(draws: npt.NDArray[np.uint64], place: int, bounds: tuple[int, int]) -> Integers:
    low, high = bounds
    found: Integers = low + pick(draws, place, high - low + 1)
    return found
