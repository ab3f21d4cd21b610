"""A stream from its start to its end: workers for feeds, silver tables and small files, and one who watches them."""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from catchment.connected import Connected
from catchment.errors import ConfigError
from catchment.events import (
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
    StreamIdle,
    StreamProgress,
    StreamReady,
    StreamStarted,
)
from catchment.execution import Telling, alone
from catchment.interfaces import Listener, Tell
from catchment.naming import TableName
from catchment.plan import GOLD
from catchment.project import Project
from catchment.records import Step
from catchment.stream.board import Board
from catchment.stream.engines import Engines
from catchment.stream.following import Following
from catchment.stream.health import Answers, watched
from catchment.stream.metrics import exposition
from catchment.stream.paces import Paces
from catchment.stream.passing import Passing
from catchment.stream.refining import Refining
from catchment.stream.shares import Share
from catchment.stream.sparing import Sparing
from catchment.stream.standing import board_of, glance
from catchment.stream.tidying import Tidying
from catchment.stream.trying import Trying

# So many feeds land at the same moment, each with its part of the memory.
_MOST_LANDING = 8

# How many parts of the memory the engine of each has.
_LANDS, _REFINES, _PASSES = 1, 3, 2

_TELL_S = 5.0
_LOOK_AROUND_S = 30.0

# What has failed for so long does not mend itself: then the stream is not healthy.
_LONG_S = 60.0


@dataclass(frozen=True)
class Wanted:
    """How a stream is to go: `until_idle` or for so many `seconds`, else until it is stopped; `jobs` tables are refined
    at once; `health` is where it can be asked how it is; `share` says which of several processes this is."""

    until_idle: bool = False
    seconds: float | None = None
    jobs: int = 2
    health: tuple[str, int] | None = None
    share: Share = field(default_factory=Share)


def stream(
    project: Project,
    target: str | None,
    steps: Sequence[Step],
    *,
    wanted: Wanted | None = None,
    listeners: Sequence[Listener] = (),
    stop: threading.Event | None = None,
) -> str:
    """Land and refine what is new until `stop` is set; the outcome: done, stopped, or failed where a step still fails.

    Nothing is raised for a step that fails: `StepFailing` says why, and it is tried again. Raises ConfigError for a
    target that is not there, where there is nothing to land or refine, and for an address that cannot be listened to.
    """
    connected = Connected.of(project, target)
    wanted = wanted or Wanted()
    streamed = [step for step in steps if step.kind in ("land", "refine", "feed") or _is_of_rows(step)]
    if not streamed:
        message = "nothing to stream: no stream of a source and no silver table is selected"
        raise ConfigError(message, hint="gold is built by catchment run")
    chosen = wanted.share.steps(connected.project, streamed)
    if not chosen:
        message = f"nothing is left for share {wanted.share}: the processes before it take every step"
        raise ConfigError(message, hint="start fewer processes, or give topics more `shards`")
    board = board_of(connected, chosen, Paces.of(connected), shared=wanted.share.of > 1)
    tell = Sparing(Telling([board, *listeners]))
    return _Going(connected, chosen, board, wanted, tell, stop or threading.Event()).go()


def _is_of_rows(step: Step) -> bool:
    """Whether it publishes a silver table; gold is published too."""
    return step.kind == "publish" and step.name != GOLD


@dataclass
class _Going:
    connected: Connected
    steps: Sequence[Step]
    board: Board
    wanted: Wanted
    tell: Tell
    stop: threading.Event
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    ending: threading.Event = field(default_factory=threading.Event)
    began: float = field(default_factory=time.monotonic)
    died: list[BaseException] = field(default_factory=list)
    is_ready: bool = False
    is_idle: bool = False
    is_last: bool = False  # rows that wait are tried for the last time

    def go(self) -> str:
        self.board.hurry = self.wanted.until_idle
        with ExitStack() as stack:
            if self.wanted.health is not None:
                stack.enter_context(watched(self.wanted.health, self._answers()))
            return self._told()

    def _told(self) -> str:
        project, target = self.connected.project, self.connected.target_name
        self.tell(RunStarted(run=self.id, project=project.name, target=target, steps=len(self.steps)))
        outcome = "failed"
        try:
            share = self.wanted.share
            part = "" if share.of == 1 else f"-{share.number}-{share.of}"
            with alone(self.connected, self.tell, part), self._working():
                outcome = self._watch()
            if any(attempts.failures for attempts in self.board.attempts()):
                outcome = "failed"
        except KeyboardInterrupt:
            outcome = "stopped"
            raise
        finally:
            self._tell_end(outcome)
        return outcome

    # Workers.

    @contextmanager
    def _working(self) -> Iterator[None]:
        """Every worker at work; at the end of the block they finish the commit at hand."""
        landing = [step for step in self.steps if step.kind == "land"]
        refining = [step for step in self.steps if step.kind == "refine"]
        self.tell(
            StreamStarted(
                run=self.id,
                project=self.connected.project.name,
                target=self.connected.target_name,
                feeds=[step.name for step in landing],
                tables=[step.name for step in refining],
                sinks=list(self.board.sinks),
            )
        )
        lands, jobs = min(len(landing), _MOST_LANDING), min(self.wanted.jobs, len(refining))
        # Engines of their own for each, so that slow reads keep nobody from refining; a backlog is refined at once, and
        # needs more than the rest.
        parts = _LANDS * lands + _REFINES * jobs + _PASSES * len(self.board.sinks)
        engines = [
            Engines(self.connected, size, self.ending, share=max(1, parts // weight))
            for size, weight in ((lands, _LANDS), (jobs, _REFINES))
        ]
        workers = self._workers(landing, self._trying(engines[0]), jobs, self._trying(engines[1]))
        workers += self._passing(self._trying(engines[1]), max(1, parts // _PASSES))
        for step in self.steps:
            self.tell(StepStarted(step=step.id, kind=step.kind, name=step.name))
        threads = [threading.Thread(target=self._alive, args=(run,), name=name, daemon=True) for name, run in workers]
        for thread in threads:
            thread.start()
        try:
            yield
        except KeyboardInterrupt:
            self.ending.set()  # the second Ctrl-C waits for nobody: what is not committed is nothing
            raise
        self._end(threads)
        for one in engines:
            one.close()

    def _trying(self, engines: Engines) -> Trying:
        project, target, paces = self.connected.project, self.connected.target_name, Paces.of(self.connected)
        return Trying(project, target, paces, self.board, engines, self.tell, self.ending)

    def _workers(
        self, landing: Sequence[Step], lands: Trying, jobs: int, refines: Trying
    ) -> list[tuple[str, Callable[[], None]]]:
        """What each thread does, by its name."""
        feeds = {feed.name: feed for feed in self.connected.project.feeds()}
        tidying = Tidying(refines, keeps_up=self.wanted.share.number == 1)
        found: list[tuple[str, Callable[[], None]]] = [("tidying", tidying.run)]
        found += [(f"refine-{number}", Refining(refines).run) for number in range(jobs)]
        for step in landing:
            attempts = self.board.bronze[step.writes].attempts
            assert attempts is not None
            found.append((step.id, Following(lands, feeds[step.name], attempts).run))
        return found

    def _passing(self, trying: Trying, parts: int) -> list[tuple[str, Callable[[], None]]]:
        return [(sink.attempts.step.id, Passing(trying, sink, parts).run) for sink in self.board.sinks.values()]

    def _end(self, threads: Sequence[threading.Thread]) -> None:
        self.ending.set()
        with self.board.changed:
            self.board.changed.notify_all()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)  # short, so that a second Ctrl-C is heard
        if self.died:
            raise self.died[0]

    def _alive(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:
            # A bug of ours: without this worker the stream is no stream.
            self.died.append(error)

    # Watching.

    def _watch(self) -> str:
        """Until the stream is to end; the outcome."""
        until = math.inf if self.wanted.seconds is None else self.began + self.wanted.seconds
        told = looked = time.monotonic()
        while not self.died:
            if self.stop.wait(0.1):
                return "stopped"
            now = time.monotonic()
            self._notice_state()
            if now >= until or self._has_done_all():
                return "done"
            if now >= told + _TELL_S:
                told = now
                for event in self.progress():
                    self.tell(event)
            self._look_around(every=now >= looked + _LOOK_AROUND_S)
            looked = now if now >= looked + _LOOK_AROUND_S else looked
        return "failed"

    def _has_done_all(self) -> bool:
        if not (self.wanted.until_idle and self.is_idle and self.is_ready):
            return False
        if self.wanted.share.of == 1 or self.is_last:
            return True
        # What rows wait for may have come by another process, which nothing tells here.
        self.is_last = True
        self.board.try_again()
        return False

    def _notice_state(self) -> None:
        seconds = time.monotonic() - self.began
        if not self.is_ready and self.board.is_ready():
            self.is_ready = True
            self.tell(StreamReady(seconds=seconds))
        before, self.is_idle = self.is_idle, self.board.is_idle()
        if self.is_idle and not before and self.is_ready:
            self.tell(StreamIdle(seconds=seconds))

    def _look_around(self, *, every: bool) -> None:
        """What other processes did: to bronze tables that nobody lands here at once, to the others now and then."""
        for name, found in self.board.bronze.items():
            if every or found.attempts is None:
                found_now = glance(self.connected.reads, TableName.parse(name))
                if found_now is not None:
                    self.board.found(name, found_now.progress.generation)
        if every:
            self.board.try_again()

    # Telling.

    def progress(self) -> list[StreamProgress]:
        """How every table stands."""
        now, steps = time.monotonic(), {step.writes: step.id for step in self.steps}
        with self.board.changed:
            return [self._progress(name, step, now) for name, step in steps.items()]

    def _progress(self, name: str, step: str, now: float) -> StreamProgress:
        figures, bronze = self.board.figures[name], self.board.bronze.get(name)
        behind_s, loads = self.board.behind_s(name, now)
        return StreamProgress(
            step=step,
            table=name,
            rows=figures.rows,
            rejected=figures.rejected,
            rate=figures.rate(now),
            behind_s=behind_s,
            behind_loads=loads,
            behind_items=0 if bronze is None else bronze.items,
            behind_bytes=0 if bronze is None else bronze.bytes,
            latency_p50_s=figures.latency(now, 0.5),
            latency_p95_s=figures.latency(now, 0.95),
        )

    def _tell_end(self, outcome: str) -> None:
        for event in self.progress():
            self.tell(event)
        for attempts in self.board.attempts():
            step = attempts.step
            ended = "failed" if attempts.failures else "done" if attempts.did else "nothing_new"
            self.tell(
                StepFinished(
                    step=step.id,
                    kind=step.kind,
                    name=step.name,
                    outcome=ended,
                    seconds=attempts.busy_s,
                    cause=attempts.cause,
                    hint=attempts.hint if attempts.cause is not None else None,
                )
            )
        self.tell(RunFinished(run=self.id, outcome=outcome, seconds=time.monotonic() - self.began))

    # Asked from outside.

    def _answers(self) -> Answers:
        return {
            "/health": self._health,
            "/ready": self._readiness,
            "/status": self._status,
            "/metrics": self._metrics,
        }

    def _metrics(self) -> tuple[int, str]:
        failing = [found["step"] for found in self._failing()]
        return 200, exposition(self.progress(), failing, ready=self.is_ready)

    def _failing(self, least_s: float = 0.0) -> list[dict[str, Any]]:
        now = time.monotonic()
        return [
            {"step": found.step.id, "cause": found.cause, "hint": found.hint, "seconds": round(now - since, 1)}
            for found in self.board.attempts()
            if (since := found.failing_since) is not None and now - since >= least_s
        ]

    def _health(self) -> tuple[int, Mapping[str, Any]]:
        failing = self._failing(_LONG_S)
        if self.died:
            failing.append({"step": "", "cause": f"a worker died: {self.died[0]}", "hint": None, "seconds": 0.0})
        return (503 if failing else 200), {"healthy": not failing, "failing": failing}

    def _readiness(self) -> tuple[int, Mapping[str, Any]]:
        return (200 if self.is_ready else 503), {"ready": self.is_ready}

    def _status(self) -> tuple[int, Mapping[str, Any]]:
        tables = [{k: v for k, v in event.json().items() if k not in ("event", "at")} for event in self.progress()]
        return 200, {
            "run": self.id,
            "project": self.connected.project.name,
            "target": self.connected.target_name,
            "seconds": round(time.monotonic() - self.began, 1),
            "ready": self.is_ready,
            "idle": self.is_idle,
            "failing": self._failing(),
            "tables": tables,
        }
