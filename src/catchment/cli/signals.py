"""Ctrl-C: once stops between two commits, twice stops at once; SIGTERM is the first of them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from catchment.cli.terminal import note


@contextmanager
def stoppable(saying: str = "stopping after this commit") -> Iterator[threading.Event]:
    """An event that is set when somebody asks to stop, which is said; handlers are put back afterwards.

    The second Ctrl-C raises KeyboardInterrupt in the main thread. Outside the main thread there are no signals to
    hear, and the event stays as it is.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def heard(number: int, frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not stop.is_set():
            stop.set()
            note(f"{saying} … press Ctrl-C again to stop at once")

    before = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
