"""`catchment preview`: what a silver table would hold, without writing it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from catchment.cli.invocation import Invocation, examples, json_option, limit_option, target_option
from catchment.cli.quarantine import as_value as quarantined
from catchment.cli.quarantine import row_lines
from catchment.cli.query import table_lines
from catchment.cli.terminal import note, out, out_json
from catchment.observe.words import plural

if TYPE_CHECKING:
    from catchment.answers import Preview
    from catchment.project import Project

# How many kinds of reasons the first line names.
_MOST_REASONS = 3


@click.command(epilog=examples("catchment preview silver.transactions", "catchment preview silver.users --limit 3"))
@click.argument("table")
@limit_option(10)
@target_option
@json_option
@click.pass_obj
def preview(invocation: Invocation, table: str, limit: int, target: str | None, as_json: bool) -> None:
    """Show good rows, bad rows and reasons; write nothing.

    Everything in the table's input goes through its contract and its refine function, as a run would do it.
    """
    from catchment.inspect import preview as look

    project = invocation.load().on(target)
    found = look(project, target, table, limit)
    if as_json:
        out_json(as_value(found))
        return
    for line in lines(project, found):
        out(line)
    note("Nothing was written.")


def lines(project: Project, found: Preview) -> list[str]:
    """The preview as people read it."""
    told = [summary(found)]
    if found.good.num_rows:
        told += table_lines(found.good, widest=60)
    for rejected in found.bad:
        told += row_lines(project, rejected)
    return told


def summary(found: Preview) -> str:
    """`812,331 rows read, 811,906 would pass, 425 would not (amount: "n/a" is not a number, 425).`"""
    told = f"{plural(found.read, 'row')} read, {found.passed:,} would pass"
    rest = found.read - found.passed - found.failed
    if rest > 0:
        told += f", {rest:,} would be dropped or give way to a newer row"
    if not found.failed:
        return (
            told + "."
            if rest > 0 or found.passed < found.read
            else f"{plural(found.read, 'row')} read, all would pass."
        )
    why = "; ".join(f"{words}, {count:,}" for words, count in found.reasons[:_MOST_REASONS])
    more = "; …" if len(found.reasons) > _MOST_REASONS else ""
    return f"{told}, {found.failed:,} would not ({why}{more})." if why else f"{told}, {found.failed:,} would not."


def as_value(found: Preview) -> dict[str, object]:
    """`preview --json`."""
    return {
        "table": found.table,
        "read": found.read,
        "passed": found.passed,
        "failed": found.failed,
        "reasons": [{"words": words, "rows": count} for words, count in found.reasons],
        "good": found.good.to_pylist(),
        "bad": [quarantined(rejected) for rejected in found.bad],
    }
