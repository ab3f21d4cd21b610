"""One try of a step of a stream: what came of it is told, and nothing stops the other workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from catchment.connected import Connected
from catchment.errors import Stopped
from catchment.events import Reached, StepFailing, StepRecovered
from catchment.execution import Doing, in_words, tried
from catchment.interfaces import Tell
from catchment.project import Project
from catchment.records import Step
from catchment.stream.board import Attempts, Board
from catchment.stream.engines import Engines
from catchment.stream.paces import Paces

# A step that fails comes again after a second, then two, then four …
_LONGEST_PAUSE_S = 60.0


@dataclass(frozen=True)
class Trying:
    """What every worker works with. `ending` is set once the stream is to end."""

    project: Project
    target: str
    paces: Paces
    board: Board
    engines: Engines
    tell: Tell
    ending: threading.Event

    def stepped(self, attempts: Attempts, do: Callable[[Doing], bool], **options: object) -> bool | None:
        """A step with an engine, as `attempt`. `options` are `Doing`'s."""

        def once() -> bool:
            connected = self.connected(attempts.step)
            with self.engines.borrowed() as loan, connected.lake.at_work():
                doing = Doing(attempts.step, connected, loan.engine, self.tell, self._stopping, **options)  # type: ignore[arg-type]
                loan.failed = True
                loan.did = tried(lambda: do(doing), attempts.step, self.tell, ending=self.ending)
                loan.failed = False
            return loan.did

        return self._attempt(attempts, once)

    def attempt(self, attempts: Attempts, do: Callable[[], bool]) -> bool | None:
        """Do it; whether there was anything to do, None where it failed or the stream ends."""
        return self._attempt(attempts, lambda: tried(do, attempts.step, self.tell, ending=self.ending))

    def _attempt(self, attempts: Attempts, do: Callable[[], bool]) -> bool | None:
        began = time.monotonic()
        try:
            did = do()
        except Stopped:
            return None
        except Exception as error:
            self._failed(attempts, error)
            return None
        finally:
            attempts.busy_s += time.monotonic() - began
        self._worked(attempts, did)
        return did

    def connected(self, step: Step) -> Connected:
        """The project on its target; its named points are told as the step's."""
        return Connected.of(self.project, self.target, lambda point: self.tell(Reached(step=step.id, point=point)))

    def _stopping(self) -> None:
        if self.ending.is_set():
            message = "asked to stop"
            raise Stopped(message)

    def _worked(self, attempts: Attempts, did: bool) -> None:
        attempts.did, attempts.tries = attempts.did or did, attempts.tries + 1
        since, attempts.failing_since, attempts.failures, attempts.cause = attempts.failing_since, None, 0, None
        if since is not None:
            step, seconds = attempts.step, time.monotonic() - since
            self.tell(StepRecovered(step=step.id, kind=step.kind, name=step.name, seconds=seconds))

    def _failed(self, attempts: Attempts, error: Exception) -> None:
        step, before = attempts.step, attempts.cause
        attempts.cause, attempts.hint = in_words(error, step)
        attempts.failing_since = attempts.failing_since or time.monotonic()
        attempts.failures, attempts.tries = attempts.failures + 1, attempts.tries + 1
        if attempts.cause != before:
            event = StepFailing(step=step.id, kind=step.kind, name=step.name, cause=attempts.cause, hint=attempts.hint)
            self.tell(event)

    @staticmethod
    def pause(attempts: Attempts) -> float:
        """How long to wait before a step is tried again that failed."""
        return float(min(_LONGEST_PAUSE_S, 2 ** max(0, attempts.failures - 1)))
