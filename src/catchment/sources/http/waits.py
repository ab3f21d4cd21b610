"""When to ask again: what servers say of their limits, our own pace, and how long anybody is waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import random

import tenacity

from catchment.sources.http.requests import Again

TRIES = 3
# A server that asks for more than this is told of, and asked again by the next run.
LONGEST_WAIT_S = 300.0
_FIRST_WAIT_S = 0.5
_LEAST_WAIT_S = 0.2
_THROTTLING = (429, 503)

_paces: dict[str, Pace] = {}
_paces_lock = threading.Lock()


@dataclass(frozen=True)
class Clock:
    """Time as it passes; tests hand in another."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    wall: Callable[[], float] = time.time


@dataclass
class Pace:
    """At most so many requests a second, over all streams of a source that are read at the same time."""

    per_second: float
    _next: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, clock: Clock) -> None:
        """Returns when the next request may go out."""
        with self._lock:
            now = clock.now()
            mine = max(now, self._next)
            self._next = mine + 1 / self.per_second
        if mine > now:
            clock.sleep(mine - now)


def pace_of(source: str, per_second: float) -> Pace:
    """The pace that all instances of a source in this process keep together."""
    with _paces_lock:
        found = _paces.get(source)
        if found is None or found.per_second != per_second:
            found = _paces[source] = Pace(per_second)
        return found


def server_time(headers: Mapping[str, str]) -> datetime | None:
    """The server's own clock, from `Date`."""
    return _date(headers.get("date", ""))


def asked_to_wait(status: int, headers: Mapping[str, str], wall: float) -> float | None:
    """Seconds that an answer asks to be left alone, None where it does not say.

    A date is read on the server's own clock, where it tells what time it is there.
    """
    server = server_time(headers)
    now = wall if server is None else server.timestamp()
    after = headers.get("retry-after", "").strip()
    if after and (status in _THROTTLING or status == 403 or 300 <= status < 400):
        if after.replace(".", "", 1).isdigit():
            return float(after)
        at = _date(after)
        if at is not None:
            return max(0.0, at.timestamp() - now)
    return _until_reset(headers, now) if status == 429 or is_spent(headers) else None


def is_spent(headers: Mapping[str, str]) -> bool:
    """Whether the answer says that no request is left."""
    left = next((headers[name] for name in ("x-ratelimit-remaining", "ratelimit-remaining") if name in headers), "")
    return left.strip() == "0"


def _until_reset(headers: Mapping[str, str], now: float) -> float | None:
    named = next((headers[name] for name in ("x-ratelimit-reset", "ratelimit-reset") if name in headers), None)
    try:
        reset = float(named or "")
    except ValueError:
        return None
    # GitHub and others give an instant, the draft of the IETF gives seconds from now.
    return max(0.0, reset - now) if reset > 1e8 else max(0.0, reset)


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


@dataclass
class Patience:
    """How often one request is tried: three times, not counting those that a server put off with a time of its own."""

    clock: Clock
    _counted: int = 0
    _waited: float = 0.0
    _asked: float | None = None

    def trying(self) -> tenacity.Retrying:
        """Asks again after `Again`, which is raised in the end."""
        return tenacity.Retrying(
            retry=self._counts, stop=self._ends, wait=self._wait, sleep=self.clock.sleep, reraise=True
        )

    def _counts(self, state: tenacity.RetryCallState) -> bool:
        """Asked before `_wait` and `_ends`, in whichever order those are."""
        error = state.outcome.exception() if state.outcome is not None else None
        if not isinstance(error, Again):
            return False
        # At least a little, so that a server which says 0 again and again is not asked without end.
        self._asked = None if error.wait_s is None else max(error.wait_s, _LEAST_WAIT_S)
        self._counted += self._asked is None
        self._waited += self._asked or 0.0
        return True

    def _ends(self, _: tenacity.RetryCallState) -> bool:
        return self._counted >= TRIES if self._asked is None else self._waited > LONGEST_WAIT_S

    def _wait(self, _: tenacity.RetryCallState) -> float:
        if self._asked is not None:
            return self._asked
        return _FIRST_WAIT_S * 2.0 ** (self._counted - 1) * (0.5 + random())
