"""`catchment check`: every mistake of a project at once, before anything runs."""

from __future__ import annotations

import click

from catchment.cli.invocation import Invocation, examples, json_option
from catchment.cli.terminal import out, out_json
from catchment.errors import ConfigError, Problem, ProjectProblems
from catchment.observe.words import plural


@click.command(epilog=examples("catchment check"))
@json_option
@click.pass_obj
def check(invocation: Invocation, as_json: bool) -> int:
    """Check the project without running it.

    Reads catchment.yaml and the contracts, rehearses every table's expressions and refine function on empty frames,
    has dbt compile gold's models where they changed and holds them to the rules of their layers, and names each
    mistake with its file, line and cure. Warnings alone are no failure.
    """
    from catchment.check import check_project, layer_rules
    from catchment.inspect import rehearsals
    from catchment.reading.declaration import FILE

    folder = invocation.folder()
    found_there = (folder / FILE).exists()
    try:
        problems = list(check_project(folder, [rehearsals, layer_rules]))
    except ProjectProblems as found:
        problems = list(found.problems)
    except ConfigError as found:
        if not found_there:
            raise
        # What only shows on the way, such as an environment variable that is not set, is a mistake like the others.
        problems = [Problem(FILE, found.message, cure=found.hint)]
    errors = [problem for problem in problems if problem.severity == "error"]
    if as_json:
        out_json({"errors": len(errors), "warnings": len(problems) - len(errors), "problems": problems})
    else:
        for line in lines(problems):
            out(line)
    return 1 if errors else 0


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
