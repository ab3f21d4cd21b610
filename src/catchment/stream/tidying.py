"""Small files are joined while the stream goes on; a commit that comes in between is never held up."""

from __future__ import annotations

import time

from catchment.connected import Connected
from catchment.errors import CatchmentError, Conflict
from catchment.events import Noticed, TableCompacted
from catchment.naming import TableName
from catchment.stream.paces import Paces
from catchment.stream.trying import Trying

_LOOK_S = 1.0

# Where commits keep coming in between, the next try is not at once.
_LEAST_S = 10.0


class Tidying:
    """The one worker that compacts; `run` is its thread."""

    def __init__(self, trying: Trying) -> None:
        self._trying = trying
        self._last = dict.fromkeys(trying.board.figures, time.monotonic())

    def run(self) -> None:
        """Compact until the stream ends."""
        while not self._trying.ending.wait(_LOOK_S):
            for table in self._due():
                if self._trying.ending.is_set():
                    return
                self._compact(table)

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
