"""Decide: a project and a selection into ordered steps. Pure: opens nothing, reads no table and no file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from graphlib import TopologicalSorter

from catchment import naming
from catchment.errors import ConfigError
from catchment.project import Project
from catchment.records import Step

GOLD = "gold"

# Layers by the kind of a step; a refined topic is no layer of the lake, and gold is published, too.
_LAYERS = {"land": "bronze", "refine": "silver", "feed": naming.LIVE}


def plan(project: Project, select: Sequence[str] = (), *, gold_reads: Iterable[str] | None = None) -> tuple[Step, ...]:
    """The steps of a selection in the order they can run.

    A selector is a table (`silver.sales`, `bronze.drops__sales`), a stream (`drops.sales`), a layer (`bronze`,
    `silver`, `live`, `gold`), a gold model (`gold.daily_sales`: all of gold), what is fed of a table (`live.sales`),
    a refined topic or a step (`publish:silver.sales`); `+` before it adds what it needs, `+` after it what depends on
    it. `gold_reads` are the silver tables that gold's models read, all where it is not said.
    Raises ConfigError for a name that nothing has.
    """
    steps = _all(project, gold_reads)
    if not select:
        return steps
    graph = _needs(steps)
    chosen: set[str] = set()
    for selector in select:
        chosen |= _selected(selector, steps, graph)
    return tuple(step for step in steps if step.id in chosen)


def needs(steps: Sequence[Step]) -> Mapping[str, frozenset[str]]:
    """For each step of a plan, the steps of the same plan that come before it."""
    return _needs(steps)


def _all(project: Project, gold_reads: Iterable[str] | None) -> tuple[Step, ...]:
    steps = [Step(kind="land", name=feed.name, writes=str(feed.table)) for feed in project.feeds()]
    needed = {name: project.looks_at(name) for name in project.silver}
    for name in TopologicalSorter(needed).static_order():
        table = project.silver[name]
        reads = (
            *dict.fromkeys(str(feed.table) for stream in table.streams for feed in project.feeds_of(stream)),
            *(f"silver.{other}" for other in needed[name]),
        )
        steps.append(Step(kind="refine", name=f"silver.{name}", reads=reads, writes=f"silver.{name}"))
    steps += _outward(project)
    if project.gold is not None:
        used = project.silver if gold_reads is None else [name for name in project.silver if name in set(gold_reads)]
        steps.append(Step(kind="model", name=GOLD, reads=tuple(f"silver.{name}" for name in used), writes="gold build"))
        steps.append(Step(kind="publish", name=GOLD, reads=("gold build",), writes=GOLD))
    return tuple(steps)


def _outward(project: Project) -> list[Step]:
    """What leaves silver as soon as it is there: into refined topics and into the live store."""
    found = []
    for name, declared in project.silver.items():
        if declared.published is not None:
            topic = f"topic {declared.published.topic}"
            found.append(Step(kind="publish", name=f"silver.{name}", reads=(f"silver.{name}",), writes=topic))
    for name in dict.fromkeys(metric.from_ for metric in project.live.values()):
        live = f"{naming.LIVE}.{name}"
        found.append(Step(kind="feed", name=live, reads=(f"silver.{name}",), writes=live))
    return found


def _needs(steps: Sequence[Step]) -> dict[str, frozenset[str]]:
    writer = {step.writes: step.id for step in steps}
    return {step.id: frozenset(writer[table] for table in step.reads if table in writer) for step in steps}


def _selected(selector: str, steps: Sequence[Step], graph: Mapping[str, frozenset[str]]) -> set[str]:
    name = selector.strip("+")
    found = {step.id for step in steps if _matches(name, step)}
    if not found:
        written = [step.writes.removeprefix("topic ") for step in steps if "." in step.writes]
        known = [*(step.name for step in steps), *written]
        message = f"nothing is called `{name}` in this project"
        raise ConfigError(
            message, hint=naming.did_you_mean(name, known) or f"there are {', '.join(sorted(set(known)))}"
        )
    if selector.startswith("+"):
        found |= _reachable(found, graph)
    if selector.endswith("+"):
        dependents: dict[str, set[str]] = {}
        for step, needed in graph.items():
            for need in needed:
                dependents.setdefault(need, set()).add(step)
        found |= _reachable(found, dependents)
    return found


def _matches(name: str, step: Step) -> bool:
    if name == step.id:
        return True
    if step.kind == "publish" and step.name != GOLD:
        return name == step.writes.removeprefix("topic ")  # by its table's name the table is meant
    layer = _LAYERS.get(step.kind, GOLD)
    return name in (step.name, step.writes, layer) or (layer == GOLD and name.startswith("gold."))


def _reachable(start: set[str], edges: Mapping[str, Iterable[str]]) -> set[str]:
    found, waiting = set(start), list(start)
    while waiting:
        for step in edges.get(waiting.pop(), ()):
            if step not in found:
                found.add(step)
                waiting.append(step)
    return found
