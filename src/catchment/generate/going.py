"""An endless shop sent at a pace: what is due is sent, in as few writes as the pace allows."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

from catchment.errors import ConfigError, RetryableError
from catchment.generate.sequence import Sent

if TYPE_CHECKING:
    from catchment.generate.endless import Endless

# How long what is due waits at most for others to go with; a slower pace waits for the next one.
_TICK_S = 0.05

# So much a second, or that slowly: beyond it the shop's time has no microseconds or no dates.
_MOST = Fraction(10**9)

_RATE = re.compile(r"\s*(?P<number>[0-9]+(\.[0-9]+)?)\s*/\s*(?P<unit>s|sec|second|m|min|minute|h|hour)\s*")
_UNITS = {"s": 1, "m": 60, "h": 3600}

# Between attempts, where nobody answers.
_AGAIN_S = 1.0


class Sink(Protocol):
    """Where it goes; what goes there is its shop."""

    shop: Endless

    def next(self) -> int | None:
        """The ordinal to go on with; None where nothing was sent yet."""

    def mend(self, upto: int) -> Sent:
        """Send what the last write, which ended there, left out."""

    def send(self, first: int, end: int) -> Sent:
        """Send from one ordinal to before another. Raises RetryableError where nobody answers."""

    def close(self) -> None:
        """Nothing more is sent."""


@dataclass(frozen=True)
class Pace:
    """`per_s` is None for as fast as it goes; it ends after so many seconds or ordinals where that is said."""

    per_s: Fraction | None
    seconds: float | None = None
    count: int | None = None
    most: int = 10_000  # ordinals at once


@dataclass(frozen=True)
class Rate:
    """As people write it, and a second; None for as fast as it goes."""

    text: str
    per_s: Fraction | None

    @classmethod
    def parse(cls, text: str) -> Rate:
        """`120/min`, `1000/s`, `10/hour`, `max`. Raises ConfigError."""
        if text.strip() == "max":
            return cls(text, None)
        found = _RATE.fullmatch(text)
        if found is None or not Fraction(found["number"]):
            message = f"`{text}` is no rate"
            raise ConfigError(message, hint="write 120/min, 1000/s, 10/hour or max")
        rate = Fraction(found["number"]) / _UNITS[found["unit"][0]]
        if not 1 / _MOST <= rate <= _MOST:
            message = f"{text} is too {'fast' if rate > 1 else 'slow'}"
            hint = "write max for as fast as it goes" if rate > 1 else "write 10/hour, for example"
            raise ConfigError(message, hint=hint)
        return cls(text, rate)


@dataclass
class Standing:
    """How it stands: `next` is the ordinal to come, `behind_s` how late that is by the pace."""

    first: int
    next: int
    sent: Sent = field(default_factory=Sent)
    seconds: float = 0.0
    behind_s: float = 0.0

    @property
    def rate(self) -> float:
        """Ordinals a second so far."""
        return (self.next - self.first) / self.seconds if self.seconds else 0.0


def go(
    sink: Sink,
    pace: Pace,
    first: int,
    *,
    now: Callable[[], float],
    stopped: Callable[[float], bool],
    tell: Callable[[Standing], None],
    trouble: Callable[[str], None],
) -> Standing:
    """Send from ordinal `first` on until stopped, or as long as the pace says; how it stood at the end.

    `now` tells seconds that only grow; `stopped` waits so many of them at most and says whether to end. What was sent
    when it ends is whole up to `Standing.next`. Where nobody answers it tells `trouble`, goes on trying, and sends
    what is not there then; what a broker took and still hides at that moment comes twice.
    """
    begun, standing = now(), Standing(first, first)
    last = None if pace.count is None else first + pace.count
    while last is None or standing.next < last:
        standing.seconds = now() - begun
        is_over = pace.seconds is not None and standing.seconds >= pace.seconds
        due = standing.next + pace.most
        if pace.per_s is not None:
            reached = standing.seconds if pace.seconds is None else min(standing.seconds, pace.seconds)
            # The first one is due at once.
            due = first + 1 + int(reached * pace.per_s)
            standing.behind_s = max(0.0, standing.seconds - float((standing.next - first) / pace.per_s))
        end = min(due, standing.next + pace.most, due if last is None else last)
        if end > standing.next:
            sent = _sent(sink, standing.next, end, stopped, trouble)
            if sent is None:
                break
            standing.sent += sent
            standing.next = end
            standing.seconds = now() - begun
            tell(standing)
        if is_over or stopped(_pause(pace, standing, due)):
            break
    standing.seconds = now() - begun
    return standing


def _sent(
    sink: Sink, first: int, end: int, stopped: Callable[[float], bool], told: Callable[[str], None]
) -> Sent | None:
    """Sent, if not at once then when what it goes to answers again; None where somebody stopped meanwhile."""
    try:
        return sink.send(first, end)
    except RetryableError as error:
        told(f"{error.message}; trying again")
    while not stopped(_AGAIN_S):
        try:
            return sink.mend(end)
        except RetryableError:
            continue
    return None


def _pause(pace: Pace, standing: Standing, due: int) -> float:
    if pace.per_s is None or due > standing.next:
        return 0.0
    until = float((standing.next - standing.first) / pace.per_s) - standing.seconds
    left = max(_TICK_S, until)
    return left if pace.seconds is None else max(0.0, min(left, pace.seconds - standing.seconds))
