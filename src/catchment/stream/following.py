"""One feed, read again and again at its pace; what it is read with stays open in between."""

from __future__ import annotations

import time
from contextlib import suppress

from catchment.bronze.sharing import Sharing
from catchment.errors import CatchmentError
from catchment.execution import Doing, feeding
from catchment.interfaces import Source
from catchment.records import Cursor, Feed
from catchment.stream.board import Attempts
from catchment.stream.engines import COMMITS
from catchment.stream.trying import Trying

# A source that wakes is asked for so long at a time, and is read once in so long whatever it says.
_LISTEN_S = 0.25
_UNASKED_S = 30.0

# How often a source is asked how much there is.
_ASK_S = 5.0


class Following:
    """The worker of one feed; `run` is its thread."""

    def __init__(self, trying: Trying, feed: Feed, attempts: Attempts) -> None:
        self._trying = trying
        self._feed = feed
        self._table = str(feed.table)
        self._attempts = attempts
        self._source: Source | None = None
        self._commits = 0
        self._asked = -_ASK_S

    def run(self) -> None:
        """Read until the stream ends."""
        try:
            while not self._trying.ending.is_set():
                began = time.monotonic()
                did = self._read()
                self._rest(began, failed=did is None)
        finally:
            self._close()

    def _read(self) -> bool | None:
        with self._trying.board.reading(self._table) as ended:
            did = self._trying.stepped(self._attempts, self._land)
            if did is None:
                self._close()
                return None
            ended(did)
        self._commits += did
        if self._commits >= COMMITS:
            self._close()
        return did

    def _land(self, doing: Doing) -> bool:
        if self._source is None:
            # Made anew, so that references (a password that was changed) are resolved anew.
            self._source = feeding(doing.connected, doing.step, doing.tell)
        self._ask(self._source, doing)
        return doing.land(self._source)

    def _ask(self, source: Source, doing: Doing) -> None:
        """Tell how much there is to read, where that is cheap and a read of it may take long."""
        now = time.monotonic()
        if source.abilities.wakes and now >= self._asked + _ASK_S:
            self._asked = now
            about = source.describe(self._feed, self._since(doing, source))
            self._trying.board.behind(self._table, about.items, about.bytes)

    def _since(self, doing: Doing, source: Source) -> Cursor | None:
        if self._feed.shards > 1:
            return Sharing(doing.connected.lake, self._feed, source).place()
        glance = doing.connected.lake.glance(self._feed.table)
        value = None if glance is None else glance.progress.cursors.get("land")
        if glance is None or value is None:
            return None
        return Cursor(value, doing.connected.lake.seen(self._feed.table, glance.progress))

    def _rest(self, began: float, *, failed: bool) -> None:
        """Until the next read is due, or the source says that something is there."""
        trying, paces = self._trying, self._trying.paces
        if failed:
            trying.ending.wait(trying.pause(self._attempts))
            return
        pace = paces.every[self._feed.name]
        pace = min(pace, paces.commit_every) if trying.board.hurry else pace
        source = self._source
        if source is not None and source.abilities.wakes:
            trying.ending.wait(max(0.0, began + min(pace, paces.commit_every) - time.monotonic()))
            self._listen(source, until=began + (pace if trying.board.hurry else max(pace, _UNASKED_S)))
            return
        # The first time, whoever looks things up here may wait for what lies behind the first read.
        is_first = self._attempts.tries == 1
        while not trying.ending.is_set() and (left := began + pace - time.monotonic()) > 0:
            if is_first and time.monotonic() >= began + paces.commit_every and trying.board.is_awaited(self._table):
                return
            trying.ending.wait(min(left, 0.2) if is_first else left)

    def _listen(self, source: Source, until: float) -> None:
        """Until a source says that something is there; one that cannot be asked is read, which tells why."""
        with suppress(CatchmentError, OSError):
            connected = self._trying.connected(self._attempts.step)
            since = Sharing(connected.lake, self._feed, source).place()
            while not self._trying.ending.is_set() and time.monotonic() < until:
                if source.wait(self._feed, since, _LISTEN_S):
                    return

    def _close(self) -> None:
        self._commits = 0
        if self._source is not None:
            source, self._source = self._source, None
            with suppress(CatchmentError, OSError):
                source.close()
