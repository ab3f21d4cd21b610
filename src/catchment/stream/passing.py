"""What silver has, passed on: into a refined topic, or into the live store. One worker each, at its own pace.

Each has its own progress, in the topic or in the store, so that a slow one holds up nobody, and one that was killed
goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from catchment.errors import CatchmentError
from catchment.figures.feeder import Feeder, rows_fed
from catchment.publishing import Publishing
from catchment.records import Step
from catchment.stream.board import Sink
from catchment.stream.trying import Trying

# Silver tables that another process refines are looked at so often; a look costs a listing.
_LOOK_S = 0.5


class _Passes(Protocol):
    def once(self) -> int: ...
    def close(self) -> None: ...


class Passing:
    """The worker of one sink; `run` is its thread. Its engine has one of `share` equal parts of the memory."""

    def __init__(self, trying: Trying, sink: Sink, share: int) -> None:
        self._trying = trying
        self._sink = sink
        self._share = share
        self._open: _Passes | None = None

    def run(self) -> None:
        """Pass on until the stream ends."""
        trying, sink = self._trying, self._sink
        try:
            while not trying.ending.is_set():
                began = time.monotonic()
                taken = trying.board.to_pass(sink, _LOOK_S)
                did = trying.attempt(sink.attempts, self._once)
                if did is None:
                    self._close()
                    trying.board.not_passed(sink, taken)
                    trying.ending.wait(trying.pause(sink.attempts))
                else:
                    trying.board.passed(sink, taken)
                    trying.ending.wait(max(0.0, began + trying.paces.flush - time.monotonic()))
        finally:
            self._close()

    def _once(self) -> bool:
        if self._open is None:
            # Made anew after each failure, so that references (a password that was changed) are resolved anew.
            self._open = _MADE[self._sink.attempts.step.kind](self._trying, self._sink.attempts.step, self._share)
        return self._open.once() > 0

    def _close(self) -> None:
        found, self._open = self._open, None
        if found is not None:
            with suppress(CatchmentError, OSError):
                found.close()


class _Feeding:
    """Feeds the live store, and tells what it took."""

    def __init__(self, trying: Trying, step: Step, share: int) -> None:
        self._trying = trying
        self._step = step
        self._feeder = Feeder(trying.connected(step), _table(step), share)

    def once(self) -> int:
        fed = self._feeder.once()
        if fed is None:
            return 0
        self._trying.tell(rows_fed(self._step.id, fed))
        return fed.rows

    def close(self) -> None:
        self._feeder.close()


def _publishing(trying: Trying, step: Step, share: int) -> Publishing:
    return Publishing(trying.connected(step), _table(step), trying.tell, step.id, share)


def _table(step: Step) -> str:
    return step.name.partition(".")[2]


_MADE: dict[str, Callable[[Trying, Step, int], _Passes]] = {"publish": _publishing, "feed": _Feeding}
