"""One stream by several processes: which steps each of them takes.

Shards of a topic are dealt one by one, so that they land side by side. A silver table and what it looks at in time go
to one process, with the feeds of those look-ups: only who reads them himself knows up to when they hold everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from catchment.errors import ConfigError
from catchment.project import Project
from catchment.records import Step


@dataclass(frozen=True)
class Share:
    """The `number`th, from 1, of so many processes."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Share:
        """`2/3`. Raises ConfigError."""
        found = re.fullmatch(r"(\d{1,3})/(\d{1,3})", text.strip())
        share = None if found is None else cls(int(found[1]), int(found[2]))
        if share is None or not 1 <= share.number <= share.of:
            message = f"`{text}` is no share"
            raise ConfigError(message, hint="write 1/3, 2/3 and 3/3 for three processes")
        return share

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def steps(self, project: Project, steps: Sequence[Step]) -> tuple[Step, ...]:
        """Those of the steps that this process takes; the others take the others, each step one of them."""
        if self.of == 1:
            return tuple(steps)
        taken = _dealt(project, steps, self.of)
        return tuple(step for step in steps if taken[step.id] == self.number - 1)


def _dealt(project: Project, steps: Sequence[Step], count: int) -> Mapping[str, int]:
    """The process of each step, from 0."""
    groups = _together(project, steps)
    found: dict[str, int] = {}
    turn = 0
    for step in steps:
        group = groups[step.id]
        if group in found:
            found[step.id] = found[group]
            continue
        if group == step.id and step.kind == "land" and (feed := project.feed(step.name)).shards > 1:
            found[step.id] = feed.shard % count
            continue
        found[group] = found[step.id] = turn % count
        turn += 1
    return found


def _together(project: Project, steps: Sequence[Step]) -> Mapping[str, str]:
    """For each step the one that stands for all that must be taken with it."""
    stands = {step.id: step.id for step in steps}

    def first(step: str) -> str:
        while stands[step] != step:
            step = stands[step]
        return step

    for one, other in _pairs(project, steps):
        if one in stands and other in stands:
            stands[first(other)] = first(one)
    return {step.id: first(step.id) for step in steps}


def _pairs(project: Project, steps: Sequence[Step]) -> Iterator[tuple[str, str]]:
    """Steps that one process takes both of."""
    for name, table in project.silver.items():
        for lookup in (one for one, how in table.with_.items() if how != "current"):
            yield f"refine:silver.{name}", f"refine:silver.{lookup}"
            for stream in project.silver[lookup].streams:
                yield from ((f"refine:silver.{name}", f"land:{feed.name}") for feed in project.feeds_of(stream))
    yield from ((f"refine:{step.reads[0]}", step.id) for step in steps if step.kind in ("publish", "feed"))
