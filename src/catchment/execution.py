"""What executing a step is, whoever orders it: telling, trying again, what an error says; landing and refining."""

from __future__ import annotations

import fcntl
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import tenacity

from catchment.connected import Connected
from catchment.declared import create_absent
from catchment.errors import CatchmentError, Conflict, RetryableError, refused
from catchment.events import Event, Noticed, StepRetried
from catchment.interfaces import Engine, Listener, Source, Tell
from catchment.records import Order, Step

_BUG = "this is a bug: catchment --debug run shows where"
_log = logging.getLogger(__name__)

_TRIES = 3
# Two runs at once, or compaction going on beside one, lose a race now and then; each loss is another's progress.
_TRIES_IN_CONFLICT = 12


class Telling:
    """Every listener hears every event, one at a time; what one of them raises is said once and stops nothing."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = list(listeners)
        self._lock = threading.RLock()

    def __call__(self, event: Event) -> None:
        with self._lock:
            for listener in list(self._listeners):
                try:
                    listener.on(event)
                except Exception as error:
                    self._listeners.remove(listener)
                    words = f"{type(listener).__name__} failed and hears no more: {type(error).__name__}: {error}"
                    self(Noticed(step="", kind="listener", message=words))


@contextmanager
def alone(connected: Connected, tell: Tell, part: str = "") -> Iterator[None]:
    """A courtesy: two runs at once of the same `part` are told of each other; that they do no harm is the fences'
    work."""
    folder = connected.state
    folder.mkdir(exist_ok=True)
    with (folder / f"run-{connected.target_name}{part}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            words = "another run of this project is going on; both are safe, each may find the other's work done"
            tell(Noticed(step="", kind="second_run", message=words))
        yield


def tried(do: Callable[[], bool], step: Step, tell: Tell, *, ending: threading.Event | None = None) -> bool:
    """What `do` comes to, again after a transient error: three tries with back-off, more where another writer won.

    Once `ending` is set nothing is waited for.
    """

    def again(state: tenacity.RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome is not None else None
        tries = _TRIES_IN_CONFLICT if isinstance(error, Conflict) else _TRIES
        return isinstance(error, RetryableError) and state.attempt_number < tries

    def told(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        tell(StepRetried(step=step.id, attempt=state.attempt_number + 1, message=str(error)))

    retrying = tenacity.Retrying(
        retry=again,
        wait=tenacity.wait_random_exponential(0.2, max=10),
        before_sleep=told,
        reraise=True,
        sleep=tenacity.nap.sleep if ending is None else tenacity.nap.sleep_using_event(ending),
    )
    return retrying(do)


def in_words(error: Exception, step: Step) -> tuple[str, str | None]:
    """Why a step failed, and the cure where one is known."""
    if isinstance(error, CatchmentError | OSError):
        told = refused(error) if isinstance(error, OSError) else error
        return told.message, told.hint
    # A bug of ours, or a library's; what does not depend on the step goes on.
    _log.debug("step %s", step.id, exc_info=error)
    return f"{type(error).__name__}: {error}", _BUG


def feeding(connected: Connected, step: Step, tell: Tell) -> Source:
    """The source that brings a land step's feed; a topic that is declared and not there is made first."""
    feed = connected.project.feed(step.name)
    for words in create_absent(connected, feed):
        tell(Noticed(step=step.id, kind="topic_created", message=words))
    return connected.feeding(feed)


@dataclass(frozen=True)
class Doing:
    """A land or refine step with what it works on. `upto` are the last loads, by bronze table, that a refine takes."""

    step: Step
    connected: Connected
    engine: Engine[Any]
    tell: Tell
    stopping: Callable[[], None]
    order: Order | None = None
    upto: Mapping[str, int] = field(default_factory=dict)

    def land(self, source: Source) -> bool:
        """Land what is new; whether there was anything."""
        from catchment.bronze.land import Landing

        feed = self.connected.project.feed(self.step.name)
        return Landing(self.step.id, feed, source, self.connected.lake, self.engine, self.tell, self.stopping).run()

    def publish(self, share: int = 1) -> bool:
        """Publish what silver has that its refined topic has not; whether there was anything. The memory of one of
        `share` steps may be taken for it. Who does it often keeps a `publishing.Publishing`."""
        from catchment.publishing import opened

        with opened(self.connected, self.step.name.partition(".")[2], self.tell, self.step.id, share) as publishing:
            return publishing.once() > 0

    def feed(self) -> bool:
        """Feed the live store what silver has that it has not; whether there was anything. Who does it often keeps a
        `figures.feeder.Feeder`."""
        from catchment.figures.feeder import feed_table, rows_fed

        fed = feed_table(self.connected, self.step.name.partition(".")[2])
        if fed is not None:
            self.tell(rows_fed(self.step.id, fed))
        return fed is not None

    def refine(self) -> bool:
        """Refine what is new, or do what is ordered; whether there was anything."""
        from catchment.silver.step import Refining

        return Refining(
            step=self.step.id,
            table=self.connected.silver(self.step.name.partition(".")[2]),
            lake=self.connected.lake,
            reads=self.connected.reads,
            engine=self.engine,
            tell=self.tell,
            stopping=self.stopping,
            order=self.order,
            upto=self.upto,
        ).run()
