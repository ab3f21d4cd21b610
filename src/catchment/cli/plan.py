"""`catchment plan`: what a run would do, before it does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from catchment.cli.invocation import Invocation, examples, json_option, select_option, target_name, target_option
from catchment.cli.terminal import out, out_json
from catchment.observe.words import pad, plural

if TYPE_CHECKING:
    from catchment.records import Pending

# What `Pending` says of a step with nothing to do and something to tell.
_NOTHING_BUT = "nothing new; "


@click.command(epilog=examples("catchment plan", "catchment plan --select silver.users+"))
@select_option
@target_option
@json_option
@click.pass_obj
def plan(invocation: Invocation, select: Sequence[str], target: str | None, as_json: bool) -> None:
    """Show what a run would do.

    Reads no rows and writes nothing: new files, what follows from them, and definitions that have changed.
    """
    from catchment.run import pending, steps

    project = invocation.load()
    found = pending(project, target, steps(project, target, select))
    name = target_name(project, target)
    if as_json:
        out_json({"project": project.name, "target": name, "steps": [as_value(one) for one in found]})
        return
    out(f"{project.name} · target {name}")
    for line in lines(found):
        out(line)


def lines(found: Sequence[Pending]) -> list[str]:
    """The plan as people read it."""
    shown = [one for one in found if one.is_new or one.changed or _words(one)]
    names = max((len(one.step.name) for one in shown), default=0)
    told = [line for one in shown for line in _step(one, names)]
    news = sum(1 for one in found if one.is_new or one.changed)
    rest = len(found) - news
    if not news:
        return [*told, f"Nothing new in {plural(rest, 'step')}."]
    behind = f"; {rest:,} {'has' if rest == 1 else 'have'} nothing new" if rest else ""
    told.append(f"{plural(news, 'step')}{behind}.")
    choices = sum(1 for one in shown if one.changed and one.cure is not None)
    if choices:
        told.append(f"{plural(choices, 'step')} {'needs' if choices == 1 else 'need'} your choice.")
    return told


def _step(one: Pending, names: int) -> list[str]:
    words = "definition changed:" if one.changed else _words(one)
    told = [f"  {pad(one.step.kind, 8)} {pad(one.step.name, names)}   {words}"]
    told += [f"             {difference}" for difference in one.changed]
    if one.cure is not None:
        told.append(f"           {'choose: ' if one.cure.startswith('--') else ''}{one.cure}")
    return told


def _words(one: Pending) -> str:
    """What a step would do, or what is worth knowing of one that would do nothing: no file matches, a file changed."""
    return one.words if one.is_new else one.words.partition(_NOTHING_BUT)[2]


def as_value(one: Pending) -> dict[str, Any]:
    """One step of `plan --json`."""
    step = one.step
    return {
        "step": step.id,
        "kind": step.kind,
        "name": step.name,
        "reads": step.reads,
        "writes": step.writes,
        "is_new": one.is_new,
        "words": one.words,
        "changed": one.changed,
        "cure": one.cure,
    }
