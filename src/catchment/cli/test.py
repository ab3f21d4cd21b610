"""`catchment test`: silver tables on rows that somebody wrote down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from catchment.cli.hints import named
from catchment.cli.invocation import Invocation, examples, json_option
from catchment.cli.terminal import out, out_json
from catchment.observe.words import plural, seconds

if TYPE_CHECKING:
    from catchment.trial import Difference, Trial

# So many rows of a kind are shown to people; --json has all of them.
_SHOWN = 10


@click.command(epilog=examples("catchment test", "catchment test silver.users"))
@click.argument("tables", nargs=-1, metavar="[TABLE]...")
@json_option
@click.pass_obj
def test(invocation: Invocation, tables: Sequence[str], as_json: bool) -> int:
    """Try silver tables on rows of your own.

    tests/<table>/given.csv holds what arrives, expect.csv the rows that shall come of it, rejects.csv those that shall
    be rejected. They go through the contract and the refine function as in a run; nothing of the lake is touched. The
    exit code is 1 where a test fails.
    """
    from catchment.trial import trials

    project = invocation.load()
    found = []
    for trial in trials(project, tables):
        found.append(trial)
        for line in [] if as_json else lines(trial):
            out(line)
    failed = sum(not trial.passed for trial in found)
    if as_json:
        out_json([as_value(trial) for trial in found])
    elif len(found) > 1:
        out(f"{plural(len(found), 'test')}, {f'{failed} failed' if failed else 'all passed'}.")
    return 1 if failed else 0


def lines(trial: Trial) -> list[str]:
    """A test as people read it."""
    figures = [plural(trial.rows, "row"), *([f"{trial.rejected:,} rejected"] if trial.rejected else [])]
    told = [f"{'ok    ' if trial.passed else 'FAILED'}  {trial.case} ({', '.join([*figures, seconds(trial.seconds)])})"]
    if trial.problem is not None:
        told += [f"  {line}" for line in trial.problem.splitlines()]
        told += [f"  hint: {named(trial.hint)}"] if trial.hint is not None else []
    told += _some([f"missing     {_row(row)}" for row in trial.missing])
    told += _some([f"unexpected  {_row(row)}" for row in trial.unexpected])
    for difference in trial.different[:_SHOWN]:
        told += _difference(difference)
    told += _some([""] * max(0, len(trial.different) - _SHOWN), shown=0)
    told += _some(list(trial.rejects))
    if not trial.passed:
        told += _some([f"rejected    {reason}" for reason in trial.reasons])
    return told


def _some(found: Sequence[str], shown: int = _SHOWN) -> list[str]:
    more = [f"  … and {len(found) - shown:,} more"] if len(found) > shown else []
    return [*(f"  {line}" for line in found[:shown]), *more]


def _row(row: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name} {_value(value)}" for name, value in row.items())


def _difference(difference: Difference) -> list[str]:
    widest = max(len(name) for name in difference.columns)
    columns = [
        f"              {name:<{widest}}  expected {_value(wanted)}, found {_value(found)}"
        for name, (wanted, found) in difference.columns.items()
    ]
    return [f"  differs     {_row(difference.key)}", *columns]


def _value(value: str | None) -> str:
    return "null" if value is None else '""' if value == "" else value


def as_value(trial: Trial) -> dict[str, Any]:
    """One test of `test --json`."""
    return {
        "test": trial.case,
        "passed": trial.passed,
        "rows": trial.rows,
        "rejected": trial.rejected,
        "seconds": trial.seconds,
        "problem": trial.problem,
        "hint": trial.hint and named(trial.hint),
        "missing": trial.missing,
        "unexpected": trial.unexpected,
        "different": [
            {
                "key": one.key,
                "columns": {
                    name: {"expected": wanted, "found": found} for name, (wanted, found) in one.columns.items()
                },
            }
            for one in trial.different
        ],
        "rejects": trial.rejects,
        "reasons": trial.reasons,
    }
