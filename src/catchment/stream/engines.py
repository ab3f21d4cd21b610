"""Engines that are handed from step to step: few at once, so that they share the target's memory, and never old."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from catchment.connected import Connected
from catchment.errors import Stopped
from catchment.interfaces import Engine

# An engine keeps a name for every frame that it was asked for, as a source keeps what a server gave it.
COMMITS = 50
_USES = 1_000


@dataclass
class _Slot:
    engine: Engine[Any] | None = None
    commits: int = 0
    uses: int = 0

    def close(self) -> None:
        if self.engine is not None:
            self.engine.close()
        self.engine, self.commits, self.uses = None, 0, 0


@dataclass
class Loan:
    """An engine for one step; whoever borrows it says what came of it."""

    engine: Engine[Any]
    did: bool = False
    failed: bool = False


class Engines:
    """`size` engines at most; so many in all, `share`, share the target's memory."""

    def __init__(self, connected: Connected, size: int, ending: threading.Event, *, share: int) -> None:
        self._connected = connected
        self._share = share
        self._ending = ending
        self._free: queue.LifoQueue[_Slot] = queue.LifoQueue()
        for _ in range(size):
            self._free.put(_Slot())

    @contextmanager
    def borrowed(self) -> Iterator[Loan]:
        """An engine until the end of the block. Raises Stopped where none gets free before the stream ends."""
        slot = self._slot()
        try:
            slot.engine = slot.engine or self._connected.engine(self._share)
            loan = Loan(slot.engine)
            yield loan
            slot.uses += 1
            slot.commits += loan.did
            if loan.failed or slot.commits >= COMMITS or slot.uses >= _USES:
                slot.close()
        except BaseException:
            slot.close()
            raise
        finally:
            self._free.put(slot)

    def _slot(self) -> _Slot:
        while True:
            try:
                return self._free.get(timeout=0.2)
            except queue.Empty:
                if self._ending.is_set():
                    message = "asked to stop"
                    raise Stopped(message) from None

    def close(self) -> None:
        """Close those that nobody has."""
        while not self._free.empty():
            self._free.get().close()
