"""What every read and every refine would tell again is told once an hour."""

from __future__ import annotations

import threading
import time

from catchment.events import CheckFailed, Event, Noticed, SchemaChanged
from catchment.interfaces import Tell

_AGAIN_S = 3_600.0
_MOST = 10_000


class Sparing:
    """Passes events on, but for a notice that was told lately in the same words, or a rule that warned lately."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._told: dict[tuple[str, ...], float] = {}
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Noticed | SchemaChanged):
            key = (event.step, type(event).__name__, event.message)
        elif isinstance(event, CheckFailed) and event.severity == "warn":
            key = (event.step, event.table, event.rule)
        else:
            self._tell(event)
            return
        with self._lock:
            now = time.monotonic()
            if now < self._told.get(key, -_AGAIN_S) + _AGAIN_S:
                return
            if len(self._told) >= _MOST:
                self._told.clear()
            self._told[key] = now
        self._tell(event)
