"""Why steps failed, each cause told once."""

from __future__ import annotations

from collections.abc import Sequence

from catchment.events import StepFinished
from catchment.observe.words import plural


def causes(failed: Sequence[StepFinished]) -> list[tuple[str, str | None]]:
    """Cause and hint in the order of the steps; a server that is down is one cause, however many streams it has."""
    found: dict[tuple[str, str | None], list[StepFinished]] = {}
    for step in failed:
        words = (step.cause or f"{step.step} failed").removeprefix(f"{step.name}: ")
        found.setdefault((words, step.hint), []).append(step)
    return [(_words(words, steps), hint) for (words, hint), steps in found.items()]


def _words(words: str, steps: Sequence[StepFinished]) -> str:
    if len(steps) == 1:
        return steps[0].cause or words
    return f"{steps[0].name} and {plural(len(steps) - 1, 'other')}: {words}"
