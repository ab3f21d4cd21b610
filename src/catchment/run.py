"""Do: execute steps, try again what may be transient, stop only what depends on a failure, tell everything."""

from __future__ import annotations

import fcntl
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from graphlib import TopologicalSorter

import tenacity

from catchment import naming
from catchment.connected import Connected
from catchment.errors import CatchmentError, ConfigError, Conflict, RetryableError, Stopped, refused
from catchment.events import (
    Event,
    Noticed,
    Reached,
    RunFinished,
    RunStarted,
    StepFinished,
    StepRetried,
    StepStarted,
)
from catchment.gold.build import Built, build_gold, changes, publish_gold
from catchment.interfaces import Listener, Tell
from catchment.plan import needs, plan
from catchment.project import Project
from catchment.records import Cursor, Pending, Step

_BUG = "this is a bug: catchment --debug run shows where"
_log = logging.getLogger(__name__)

_TRIES = 3
# Two runs at once, or compaction going on beside one, lose a race now and then; each loss is another's progress.
_TRIES_IN_CONFLICT = 12

_Outcome = str  # done, nothing_new, failed, skipped, stopped


def run(
    project: Project,
    target: str | None,
    steps: Sequence[Step],
    *,
    listeners: Sequence[Listener] = (),
    jobs: int = 1,
    rebuild: frozenset[str] = frozenset(),
    stop: threading.Event | None = None,
) -> str:
    """Execute steps in the order of their dependencies; the outcome: done, nothing_new, failed or stopped.

    Steps that do not depend on one another run `jobs` at a time and share the target's memory. Nothing is raised for a
    step that fails: `StepFinished` says why. Raises ConfigError for a target or a table to rebuild that is not there.
    """
    name, _ = project.target(target)
    unknown = rebuild - {step.name for step in steps if step.kind == "refine"}
    if unknown:
        message = f"cannot rebuild {', '.join(sorted(unknown))}: not among the silver tables of this run"
        raise ConfigError(message, hint="name silver tables, such as --rebuild silver.sales")
    return _Run(project, name, steps, _Telling(listeners), jobs, rebuild, stop or threading.Event()).execute()


class _Telling:
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


@dataclass
class _Run:
    project: Project
    target: str
    steps: Sequence[Step]
    tell: Tell
    jobs: int
    rebuild: frozenset[str]
    stop: threading.Event
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    outcomes: dict[str, _Outcome] = field(default_factory=dict)
    built: Built | None = None

    def execute(self) -> str:
        began = time.monotonic()
        self.tell(RunStarted(run=self.id, project=self.project.name, target=self.target, steps=len(self.steps)))
        outcome = "failed"
        try:
            with self._alone():
                self._execute_all()
            outcome = self._outcome()
        except KeyboardInterrupt:
            outcome = "stopped"
            raise
        finally:
            self._discard_unpublished()
            self.tell(RunFinished(run=self.id, outcome=outcome, seconds=time.monotonic() - began))
        return outcome

    def _outcome(self) -> str:
        found = set(self.outcomes.values())
        if (self.stop.is_set() and len(self.outcomes) < len(self.steps)) or "stopped" in found:
            return "stopped"
        if found & {"failed", "skipped"}:
            return "failed"
        return "done" if "done" in found else "nothing_new"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """A courtesy: two runs at once are told of each other; that they do no harm is the fences' work."""
        folder = Connected.of(self.project, self.target).state
        folder.mkdir(exist_ok=True)
        with (folder / f"run-{self.target}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                words = "another run of this project is going on; both are safe, each may find the other's work done"
                self.tell(Noticed(step="", kind="second_run", message=words))
            yield

    def _execute_all(self) -> None:
        order = TopologicalSorter(needs(self.steps))
        order.prepare()
        by_id = {step.id: step for step in self.steps}
        place = {step.id: number for number, step in enumerate(self.steps)}
        waiting: list[str] = []
        going: dict[Future[None], str] = {}
        with ThreadPoolExecutor(max_workers=self.jobs, thread_name_prefix="step") as pool:
            while order.is_active():
                waiting = sorted([*waiting, *order.get_ready()], key=place.__getitem__)
                while waiting and len(going) < self.jobs and not self.stop.is_set():
                    step = waiting.pop(0)
                    going[pool.submit(self._execute, by_id[step])] = step
                if not going:
                    return
                # A short wait keeps the main thread free to hear Ctrl-C.
                done, _ = wait(going, timeout=0.2, return_when=FIRST_COMPLETED)
                for future in done:
                    order.done(going.pop(future))
                    future.result()

    def _execute(self, step: Step) -> None:
        broken = [need for need in needs(self.steps)[step.id] if self.outcomes.get(need) in ("failed", "skipped")]
        if broken:
            names = ", ".join(sorted(need.partition(":")[2] for need in broken))
            self._finish(step, "skipped", 0.0, cause=f"{names} failed")
            return
        self.tell(StepStarted(step=step.id, kind=step.kind, name=step.name))
        began = time.monotonic()
        try:
            did = self._tried(step)
        except Stopped:
            self._finish(step, "stopped", time.monotonic() - began)
        except (CatchmentError, OSError) as error:
            told = refused(error) if isinstance(error, OSError) else error
            self._finish(step, "failed", time.monotonic() - began, cause=told.message, hint=told.hint)
        except Exception as error:
            # A bug of ours, or a library's; the run goes on with what does not depend on it.
            _log.debug("step %s", step.id, exc_info=True)
            cause = f"{type(error).__name__}: {error}"
            self._finish(
                step,
                "failed",
                time.monotonic() - began,
                cause=cause,
                hint=_BUG,
            )
        else:
            self._finish(step, "done" if did else "nothing_new", time.monotonic() - began)

    def _finish(
        self, step: Step, outcome: _Outcome, seconds: float, *, cause: str | None = None, hint: str | None = None
    ) -> None:
        self.outcomes[step.id] = outcome
        self.tell(
            StepFinished(
                step=step.id, kind=step.kind, name=step.name, outcome=outcome, seconds=seconds, cause=cause, hint=hint
            )
        )

    def _tried(self, step: Step) -> bool:
        """The step, again after a transient error: three tries with back-off, more where another writer won."""

        def again(state: tenacity.RetryCallState) -> bool:
            error = state.outcome.exception() if state.outcome is not None else None
            tries = _TRIES_IN_CONFLICT if isinstance(error, Conflict) else _TRIES
            return isinstance(error, RetryableError) and state.attempt_number < tries

        def told(state: tenacity.RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome is not None else None
            self.tell(StepRetried(step=step.id, attempt=state.attempt_number + 1, message=str(error)))

        retrying = tenacity.Retrying(
            retry=again, wait=tenacity.wait_random_exponential(0.2, max=10), before_sleep=told, reraise=True
        )
        return retrying(self._do, step)

    def _do(self, step: Step) -> bool:
        self._stopping()
        connected = Connected.of(self.project, self.target, lambda point: self.tell(Reached(step=step.id, point=point)))
        return {"land": self._land, "refine": self._refine, "model": self._model, "publish": self._publish}[step.kind](
            step, connected
        )

    def _stopping(self) -> None:
        if self.stop.is_set():
            message = "asked to stop"
            raise Stopped(message)

    def _land(self, step: Step, connected: Connected) -> bool:
        from catchment.bronze.land import Landing

        feed = next(feed for feed in self.project.feeds() if feed.name == step.name)
        source = connected.source(feed.name.partition(".")[0])
        engine = connected.engine(self.jobs)
        try:
            return Landing(step.id, feed, source, connected.lake, engine, self.tell, self._stopping).run()
        finally:
            engine.close()

    def _refine(self, step: Step, connected: Connected) -> bool:
        from catchment.silver.step import Refining

        name = step.name.partition(".")[2]
        engine = connected.engine(self.jobs)
        try:
            return Refining(
                step=step.id,
                table=connected.silver(name),
                lake=connected.lake,
                engine=engine,
                tell=self.tell,
                stopping=self._stopping,
                rebuild=step.name in self.rebuild,
            ).run()
        finally:
            engine.close()

    def _model(self, step: Step, connected: Connected) -> bool:
        self._discard_unpublished()
        self.built = build_gold(
            connected.warehouse, connected.dbt, connected.pinned(), step=step.id, tell=self.tell, stop=self.stop
        )
        return self.built is not None

    def _publish(self, step: Step, connected: Connected) -> bool:
        if self.built is None:
            return False
        try:
            publish_gold(connected.warehouse, self.built, step=step.id, tell=self.tell)
            self.built = None
        except Conflict:
            self.built = None
            # Another run published first. What it published may be as new as ours; if it is not, gold is built again.
            if self._model(step, connected):
                return self._publish(step, connected)
        return True

    def _discard_unpublished(self) -> None:
        if self.built is not None:
            Connected.of(self.project, self.target).warehouse.discard(self.built.build)
            self.built = None


def steps(project: Project, target: str | None, select: Sequence[str] = ()) -> tuple[Step, ...]:
    """The plan of a selection; gold waits only for the silver tables that its models read."""
    return plan(project, select, gold_reads=Connected.of(project, target).gold_reads())


def pending(project: Project, target: str | None, steps: Sequence[Step]) -> Sequence[Pending]:
    """What each step would do now, in words; reads listings, progress and definitions, no rows."""
    connected = Connected.of(project, target)
    found: dict[str, Pending] = {}
    before = needs(steps)
    for step in steps:
        waits = [need for need in sorted(before[step.id]) if found[need].is_new]
        found[step.id] = _PENDING[step.kind](connected, step, waits)
    return list(found.values())


def _pending_land(connected: Connected, step: Step, _: Sequence[str]) -> Pending:
    source = connected.source(step.name.partition(".")[0])
    feed = next(feed for feed in connected.project.feeds() if feed.name == step.name)
    table = connected.lake.open(feed.table)
    value = table.progress().cursors.get("land") if table is not None else None
    since = Cursor(value, table.seen()) if table is not None and value is not None else None
    about = source.describe(feed, since)
    size = f"{about.bytes / 1e6:,.1f} MB" if about.bytes >= 1e5 else f"{about.bytes / 1e3:,.1f} kB"
    words = (
        f"{about.items:,} new {about.item}{'' if about.items == 1 else 's'}, {size}" if about.is_new else "nothing new"
    )
    words += "".join(f"; {notice.message}" for notice in about.notices)
    return Pending(step, about.is_new, words)


def _pending_refine(connected: Connected, step: Step, waits: Sequence[str]) -> Pending:
    from catchment.silver.definition import differences, fingerprint
    from catchment.silver.step import span

    table = connected.silver(step.name.partition(".")[2])
    silver = connected.lake.open(naming.silver_table(table.name))
    bronze = connected.lake.open(naming.bronze_table(table.streams[0]))
    if silver is not None:
        progress = silver.progress()
        definition = table.definition()
        if progress.definition not in (None, fingerprint(definition)):
            changed = differences(connected.lake.definition(progress.definition or ""), definition)
            rows = 0 if bronze is None else bronze.scan().rows
            cure = f"--rebuild {step.name} ({rows:,} bronze rows)"
            return Pending(step, True, "definition changed", changed=tuple(changed), cure=cure)
    if waits:
        return Pending(step, True, f"after {', '.join(sorted({need.partition(':')[0] for need in waits}))}")
    if bronze is not None:
        from catchment.records import Progress

        new = span(bronze, silver.progress() if silver is not None else Progress())
        if new.scan.files:
            return Pending(step, True, f"loads {new.after + 1}-{new.to} of {bronze.name}")
    return Pending(step, False, "nothing new")


def _pending_model(connected: Connected, step: Step, waits: Sequence[str]) -> Pending:
    from catchment.gold.dbt import fingerprint

    if waits:
        return Pending(step, True, f"after {', '.join(sorted({need.partition(':')[0] for need in waits}))}")
    pinned = connected.pinned()
    why = changes(connected.warehouse.served(), pinned, fingerprint(connected.dbt.folder))
    return Pending(step, bool(why), "; ".join(why) or "nothing new")


def _pending_publish(_: Connected, step: Step, waits: Sequence[str]) -> Pending:
    return Pending(step, bool(waits), "after model" if waits else "nothing new")


_PENDING: Mapping[str, Callable[[Connected, Step, Sequence[str]], Pending]] = {
    "land": _pending_land,
    "refine": _pending_refine,
    "model": _pending_model,
    "publish": _pending_publish,
}
