"""Small files are joined and old ones go while the stream goes on; a commit in between is never held up."""

from __future__ import annotations

import time
from datetime import timedelta

from catchment.connected import Connected
from catchment.errors import CatchmentError, Conflict
from catchment.events import Noticed, TableCompacted
from catchment.maintain import maintain
from catchment.naming import TableName
from catchment.stream.paces import Paces
from catchment.stream.trying import Trying

_LOOK_S = 1.0

# Where commits keep coming in between, the next try is not at once.
_LEAST_S = 10.0


class Tidying:
    """The one worker that compacts; `run` is its thread. Of several processes one keeps up the lake: `keeps_up`."""

    def __init__(self, trying: Trying, *, keeps_up: bool = True) -> None:
        self._trying = trying
        self._keeps_up = keeps_up
        self._last = dict.fromkeys(trying.board.figures, time.monotonic())
        self._upkept = time.monotonic()

    def run(self) -> None:
        """Compact until the stream ends."""
        while not self._trying.ending.wait(_LOOK_S):
            for table in self._due():
                if self._trying.ending.is_set():
                    return
                self._compact(table)
            if self._keeps_up and time.monotonic() - self._upkept >= self._trying.paces.upkeep_every:
                self._keep_up()

    def _keep_up(self) -> None:
        """Take away what is older than the retention: a commit a second is a log entry and a state a second."""
        trying, retention = self._trying, timedelta(seconds=self._trying.paces.retention)
        try:
            done = maintain(trying.project, trying.target, retention=retention, log=retention)
        except CatchmentError as error:
            trying.tell(Noticed(step="", kind="not_maintained", message=f"upkeep failed: {error.message}"))
        else:
            count = sum(chore.items for one in done for chore in one.chores)
            if count:
                words = f"upkeep took {count:,} files and entries older than {trying.project.stream.retention}"
                trying.tell(Noticed(step="", kind="maintained", message=words))
        self._upkept = time.monotonic()

    def _due(self) -> list[str]:
        paces, now = self._trying.paces, time.monotonic()
        with self._trying.board.changed:
            commits = dict(self._trying.board.uncompacted)
        return [table for table, number in commits.items() if self._is_due(table, number, now, paces)]

    def _is_due(self, table: str, commits: int, now: float, paces: Paces) -> bool:
        since = now - self._last.setdefault(table, now)
        return commits > 1 and since >= (_LEAST_S if commits >= paces.compact_files else paces.compact_every)

    def _compact(self, table: str) -> None:
        trying = self._trying
        self._last[table] = time.monotonic()
        with trying.board.changed:
            commits, trying.board.uncompacted[table] = trying.board.uncompacted[table], 0
        try:
            upkeep = Connected.of(trying.project, trying.target).lake.upkeep(TableName.parse(table))
            if upkeep is not None:
                files = upkeep.compact() if upkeep.small() else 0
                upkeep.checkpoint()
                if files:
                    trying.tell(TableCompacted(table=table, files=files))
        except Conflict:
            # A commit was faster, as it should be.
            with trying.board.changed:
                trying.board.uncompacted[table] += commits
        except CatchmentError as error:
            trying.tell(Noticed(step="", kind="not_compacted", message=f"{table} was not compacted: {error.message}"))
