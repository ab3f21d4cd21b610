"""`catchment plan`: what a run would do, before it does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from catchment.cli.invocation import Invocation, examples, json_option, select_option, target_name, target_option
from catchment.cli.terminal import out, out_json, out_words
from catchment.observe.words import aligned, pad, plural
from catchment.observe.words import seconds as duration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from catchment.errors import CatchmentError
    from catchment.records import Pending

# What `Pending` says of a step with nothing to do and something to tell.
_NOTHING_BUT = "nothing new; "


@click.command(epilog=examples("catchment plan", "catchment plan --select silver.users+", "catchment plan --exit-code"))
@select_option
@target_option
@click.option("--exit-code", is_flag=True, help="End with 1 where a changed definition needs a choice, for CI.")
@json_option
@click.pass_obj
@click.pass_context
def plan(
    context: click.Context,
    invocation: Invocation,
    select: Sequence[str],
    target: str | None,
    exit_code: bool,
    as_json: bool,
) -> None:
    """Show what a run would do.

    Reads no rows and writes nothing: new files, what follows from them, and definitions that have changed. Where a
    source cannot be asked its step says why, the rest is told, and the exit code is 1.
    """
    from catchment.outlook import pending, steps, topics

    project = invocation.load()
    found = pending(project, target, steps(project, target, select))
    name = target_name(project, target)
    declared, error = topics(project, target)
    if as_json:
        steps_ = [as_value(one) for one in found]
        told = {"differences": list(declared), "error": None if error is None else error.message}
        out_json({"project": project.name, "target": name, "steps": steps_, "topics": told}, words=True)
    else:
        out(f"{project.name} · target {name}")
        for line in lines(found, _paces(project.folder, name, found)):
            out_words(line)
        for line in topic_lines(declared, error):
            out_words(line)
    if error is not None or any(one.error for one in found) or (exit_code and any(one.choices for one in found)):
        context.exit(1)


def topic_lines(differences: Sequence[str], error: CatchmentError | None) -> list[str]:
    """What is otherwise than declared of topics, as people read it."""
    if error is not None:
        hint = [] if error.hint is None else [f"hint: {error.hint}"]
        return [f"Topics cannot be told: {error.message}", *hint]
    return [*differences, "`catchment topics apply --yes` does it; a run only creates topics."] if differences else []


def _paces(folder: Path, target: str, found: Sequence[Pending]) -> dict[str, float]:
    """Rows a second of each step that needs a choice, as it last went; a step that never ran has none."""
    from catchment.observe.history import runs

    asked = {one.step.id for one in found if one.choices}
    paces: dict[str, float] = {}
    for run in runs(folder) if asked else ():
        for step in run.steps:
            if run.target == target and step.step in asked and step.outcome == "done" and step.rows_in:
                paces.setdefault(step.step, step.rows_in / max(step.seconds, 0.001))
    return paces


def lines(found: Sequence[Pending], paces: Mapping[str, float] | None = None) -> list[str]:
    """The plan as people read it; `paces` are rows a second by step, for how long a choice takes."""
    shown = [one for one in found if one.is_new or one.changed or _words(one)]
    names = max((len(one.step.name) for one in shown), default=0)
    told = [line for one in shown for line in _step(one, names, (paces or {}).get(one.step.id))]
    news = sum(1 for one in found if one.is_new or one.changed)
    untold = [one for one in found if one.error is not None]
    rest = len(found) - news - len(untold)
    if not news and rest:
        told.append(f"Nothing new in {plural(rest, 'step')}.")
    elif news:
        behind = f"; {rest:,} {'has' if rest == 1 else 'have'} nothing new" if rest else ""
        told.append(f"{plural(news, 'step')}{behind}.")
    asked = sum(1 for one in shown if one.choices)
    if asked:
        told.append(f"{plural(asked, 'step')} {'needs' if asked == 1 else 'need'} your choice.")
    return [*told, *_untold(untold)]


def _untold(untold: Sequence[Pending]) -> list[str]:
    """How many steps cannot be told, and what to do about it, each cure once."""
    if not untold:
        return []
    which = "it" if len(untold) == 1 else "them"
    told = f"{plural(len(untold), 'step')} cannot be told; what depends on {which} may have more to do."
    return [told, *(f"hint: {hint}" for hint in dict.fromkeys(one.hint for one in untold) if hint is not None)]


def _step(one: Pending, names: int, pace: float | None) -> list[str]:
    words = "definition changed:" if one.changed else _words(one)
    first, *more = words.splitlines() or [""]
    told = [f"  {pad(one.step.kind, 8)} {pad(one.step.name, names)}   {first}"]
    told += [f"             {line.strip()}" for line in more]
    told += [f"             {line}" for line in aligned(one.changed, gap="   ")]
    if one.choices:
        told.append(f"           choose: {'  or  '.join(_choice(choice, one, pace) for choice in one.choices)}")
    return told


def _choice(choice: str, one: Pending, pace: float | None) -> str:
    """An order; of a rebuild also what it reads and how long the step last took for as many rows."""
    if not choice.startswith("--rebuild") or one.rows is None:
        return choice
    time = "" if pace is None else f", {_about(one.rows / pace)}"
    return f"{choice} ({plural(one.rows, 'bronze row')}{time})"


def _about(seconds: float) -> str:
    return f"about {max(1, round(seconds))} s" if seconds < 59.5 else f"about {duration(seconds)}"


def _words(one: Pending) -> str:
    """What a step would do, or what is worth knowing of one that would do nothing: no file matches, a file changed."""
    return one.words if one.is_new or one.error is not None else one.words.partition(_NOTHING_BUT)[2]


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
        "changed": [{"edit": edit, "effect": effect} for edit, effect in one.changed],
        "choices": one.choices,
        "rows": one.rows,
        "error": one.error,
        "hint": one.hint,
    }
