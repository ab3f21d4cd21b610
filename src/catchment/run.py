"""Do: execute steps, try again what may be transient, stop only what depends on a failure, tell everything."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import TopologicalSorter

from catchment import naming
from catchment.connected import Connected
from catchment.errors import ConfigError, Conflict, Stopped
from catchment.events import Noticed, Reached, RunFinished, RunStarted, StepFinished, StepStarted
from catchment.execution import Doing, Telling, alone, feeding, in_words, tried
from catchment.gold.build import Built, build_gold, publish_gold
from catchment.interfaces import Listener, Tell
from catchment.plan import GOLD, needs
from catchment.project import Project
from catchment.records import Order, Step

_Outcome = str  # done, nothing_new, failed, skipped, stopped


def run(
    project: Project,
    target: str | None,
    steps: Sequence[Step],
    *,
    listeners: Sequence[Listener] = (),
    jobs: int = 1,
    orders: Mapping[str, Order] | None = None,
    stop: threading.Event | None = None,
) -> str:
    """Execute steps in the order of their dependencies; the outcome: done, nothing_new, failed or stopped.

    Steps that do not depend on one another run `jobs` at a time and share the target's memory. `orders` say, by the
    name of a step, what it is to do instead of taking what is new. Nothing is raised for a step that fails:
    `StepFinished` says why. Raises ConfigError for a target, or a step with an order, that is not there.
    """
    name, _ = project.target(target)
    project = project.on(name)
    asked = orders or {}
    taking = {step.name for step in steps if step.kind in ("land", "refine")}
    gold = {step.name for step in steps if step.kind == "model"}
    unknown = {
        found for found, order in asked.items() if found not in taking | (gold if order.verb == "rebuild" else set())
    }
    if unknown:
        verbs = sorted({asked[found].verb for found in unknown})
        message = f"cannot {' or '.join(verbs)} {', '.join(sorted(unknown))}: not among the tables of this run"
        raise ConfigError(message, hint="name silver tables, such as --rebuild silver.sales")
    return _Run(project, name, steps, Telling(listeners), jobs, asked, stop or threading.Event()).execute()


@dataclass
class _Run:
    project: Project
    target: str
    steps: Sequence[Step]
    tell: Tell
    jobs: int
    orders: Mapping[str, Order]
    stop: threading.Event
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    outcomes: dict[str, _Outcome] = field(default_factory=dict)
    built: Built | None = None

    @cached_property
    def needs(self) -> Mapping[str, frozenset[str]]:
        return needs(self.steps)

    def execute(self) -> str:
        began = time.monotonic()
        self.tell(RunStarted(run=self.id, project=self.project.name, target=self.target, steps=len(self.steps)))
        outcome = "failed"
        try:
            with alone(Connected.of(self.project, self.target), self.tell):
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

    def _execute_all(self) -> None:
        order = TopologicalSorter(self.needs)
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
        broken = [need for need in self.needs[step.id] if self.outcomes.get(need) in ("failed", "skipped")]
        if broken:
            names = ", ".join(sorted(need.partition(":")[2] for need in broken))
            self._finish(step, "skipped", 0.0, cause=f"{names} failed")
            return
        self.tell(StepStarted(step=step.id, kind=step.kind, name=step.name))
        began = time.monotonic()
        try:
            did = tried(lambda: self._do(step), step, self.tell)
        except Stopped:
            self._finish(step, "stopped", time.monotonic() - began)
        except Exception as error:
            # The run goes on with what does not depend on it.
            cause, hint = in_words(error, step)
            self._finish(step, "failed", time.monotonic() - began, cause=cause, hint=hint)
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

    def _do(self, step: Step) -> bool:
        self._stopping()
        connected = Connected.of(self.project, self.target, lambda point: self.tell(Reached(step=step.id, point=point)))
        order = self.orders.get(step.name) if step.kind in ("land", "refine") else None
        if order is not None and order.verb in ("restore", "rewind", "adopt"):
            if step.kind == "refine":
                self._warn(step, order, connected)
            return self._put_back(step, order, connected)
        do = {
            "land": self._land,
            "refine": self._refine,
            "publish": self._publish if step.name == GOLD else self._publish_rows,
            "feed": self._feed,
            "model": self._model,
        }
        if order is not None and step.kind == "refine":
            self._warn(step, order, connected)
        with connected.lake.at_work():
            return do[step.kind](step, connected)

    def _warn(self, step: Step, order: Order, connected: Connected) -> None:
        """Say it before a publication stops by what is ordered of its table."""
        from catchment.publishing import will_stop

        words = will_stop(connected, step.name.partition(".")[2], order.verb)
        if words is not None:
            self.tell(Noticed(step=step.id, kind="publication_stops", message=words))

    def _stopping(self) -> None:
        if self.stop.is_set():
            message = "asked to stop"
            raise Stopped(message)

    def _land(self, step: Step, connected: Connected) -> bool:
        source = feeding(connected, step, self.tell)
        try:
            return self._doing(step, connected, lambda doing: doing.land(source))
        finally:
            source.close()

    def _refine(self, step: Step, connected: Connected) -> bool:
        return self._doing(step, connected, Doing.refine)

    def _publish_rows(self, step: Step, connected: Connected) -> bool:
        return self._doing(step, connected, lambda doing: doing.publish(self.jobs))

    def _feed(self, step: Step, connected: Connected) -> bool:
        return self._doing(step, connected, Doing.feed)

    def _doing(self, step: Step, connected: Connected, do: Callable[[Doing], bool]) -> bool:
        engine = connected.engine(self.jobs)
        try:
            return do(Doing(step, connected, engine, self.tell, self._stopping, self.orders.get(step.name)))
        finally:
            engine.close()

    def _put_back(self, step: Step, order: Order, connected: Connected) -> bool:
        from catchment import restore

        do = {"restore": restore.restore, "rewind": restore.rewind, "adopt": restore.adopt}[order.verb]
        name = next((feed.table for feed in self.project.feeds() if feed.name == step.name), None)
        do(connected, order, name or naming.TableName.parse(step.name), step=step.id, tell=self.tell)
        return True

    def _model(self, step: Step, connected: Connected) -> bool:
        self._discard_unpublished()
        order = self.orders.get(step.name)
        self.built = build_gold(
            connected.warehouse,
            connected.dbt,
            connected.pinned(),
            step=step.id,
            tell=self.tell,
            stop=self.stop,
            anew=order is not None and order.verb == "rebuild",
            rules=connected.layer_rules,
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
