"""`catchment check`: every mistake of a project at once, before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from catchment.cli.invocation import Invocation, examples, json_option, target_option
from catchment.cli.terminal import out_json, out_words
from catchment.errors import ConfigError, Problem, ProjectProblems
from catchment.observe.words import aligned, plural

if TYPE_CHECKING:
    from catchment.records import Finding


@click.command(epilog=examples("catchment check", "catchment check --connect"))
@click.option(
    "--connect",
    is_flag=True,
    help="Then ask every source and the live store, all at the same time and for at most 30 seconds: can each stream be"
    " read?",
)
@target_option
@json_option
@click.pass_obj
def check(invocation: Invocation, connect: bool, target: str | None, as_json: bool) -> int:
    """Check the project without running it.

    Reads catchment.yaml and the contracts, rehearses every table's expressions and refine function on empty frames,
    has dbt compile gold's models where they changed and holds them to the rules of their layers, and names each
    mistake with its file, line and cure. Warnings alone are no failure. With --connect, sources are asked where
    nothing is wrong with the project itself, the live store where there are figures for it, and nothing is written.
    """
    from catchment.check import CHECKERS, check_project
    from catchment.inspect import rehearsals
    from catchment.reading.declaration import FILE

    folder = invocation.folder()
    found_there = (folder / FILE).exists()
    try:
        problems = list(check_project(folder, [rehearsals, *CHECKERS]))
    except ProjectProblems as found:
        problems = list(found.problems)
    except ConfigError as found:
        if not found_there:
            raise
        # What only shows on the way, such as an environment variable that is not set, is a mistake like the others.
        problems = [Problem(FILE, found.message, cure=found.hint)]
    failed = any(problem.severity == "error" for problem in problems)
    outside = _found(folder, target, connect=connect) if (connect or target) and not failed else []
    if as_json:
        out_json(as_value(problems, outside if connect else None), words=True)
    else:
        for line in [*lines(problems), *(connect_lines(outside) if connect and not failed else [])]:
            out_words(line)
    return 1 if failed or any(finding.severity == "error" for finding in outside) else 0


def _found(folder: Path, target: str | None, *, connect: bool) -> list[Finding]:
    """Raises ConfigError for a target that is not there, whether anything is asked or not."""
    from catchment.connected import Connected
    from catchment.probing import probe
    from catchment.project import load_project

    connected = Connected.of(load_project(folder), target)
    return probe(connected) if connect else []


def as_value(problems: list[Problem], found: list[Finding] | None) -> dict[str, object]:
    """`check --json`; `findings` are there with --connect only."""
    said = [one.severity for one in (*problems, *(found or ()))]
    value: dict[str, object] = {"errors": said.count("error"), "warnings": said.count("warning"), "problems": problems}
    return value if found is None else value | {"findings": found}


def connect_lines(found: list[Finding]) -> list[str]:
    """One line a finding, the cure below it, and how many streams were found in order."""
    if not found:
        return ["No source to connect to."]
    from catchment.probing import is_live_store

    streams = sum(1 for one in found if not is_live_store(one))
    rows = aligned([(one.feed, one.severity, one.message) for one in found])
    told = []
    for one, row in zip(found, rows, strict=True):
        told += [row, *([f"    {one.hint}"] if one.hint is not None and one.severity != "ok" else [])]
    errors = sum(1 for one in found if one.severity == "error")
    warnings = sum(1 for one in found if one.severity == "warning")
    if not errors and not warnings:
        also = "" if streams == len(found) else ", and the live store answers"
        return [*told, f"All {plural(streams, 'stream')} can be read{also}. Nothing was written."]
    counts = ", ".join(plural(n, word) for n, word in ((errors, "error"), (warnings, "warning")) if n)
    return [*told, f"{counts} outside. Nothing was written."]


def lines(problems: list[Problem]) -> list[str]:
    """One line a problem, and how many there are."""
    errors = sum(1 for problem in problems if problem.severity == "error")
    warnings = len(problems) - errors
    told = [str(problem) if problem.severity == "error" else _warning(problem) for problem in problems]
    also = plural(warnings, "warning") if warnings else ""
    if errors:
        told.append(f"{plural(errors, 'problem')}{f' and {also}' if also else ''}. Nothing was run.")
    else:
        told.append(f"No problems{f', {also}' if also else ''}.")
    return told


def _warning(problem: Problem) -> str:
    place, _, words = str(problem).partition("  ")
    return f"{place}  warning: {words}"
