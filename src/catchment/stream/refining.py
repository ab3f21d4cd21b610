"""Silver tables, each refined when it is its turn; several workers share them."""

from __future__ import annotations

from catchment import naming
from catchment.execution import Doing
from catchment.stream.board import Turn
from catchment.stream.standing import glance
from catchment.stream.trying import Trying


class Refining:
    """One of the workers; `run` is its thread."""

    def __init__(self, trying: Trying) -> None:
        self._trying = trying

    def run(self) -> None:
        """Refine until the stream ends."""
        while not self._trying.ending.is_set():
            turn = self._trying.board.turn(0.5)
            if turn is not None:
                self._take(turn)

    def _take(self, turn: Turn) -> None:
        trying, table = self._trying, turn.table
        did = trying.stepped(table.attempts, Doing.refine, upto=turn.upto)
        if did is None:
            trying.board.failed(turn, trying.pause(table.attempts))
            return
        name = naming.TableName.parse(table.name)
        found = glance(trying.connected(table.attempts.step).lake, name)
        trying.board.refined(turn, did=did, waits=found is not None and bool(found.progress.waiting))
