"""`catchment maintain`: fewer files, shorter logs, and nothing kept that nobody needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from catchment.cli.invocation import Invocation, examples, json_option, target_name, target_option
from catchment.cli.terminal import note, out, out_json
from catchment.cli.values import RETENTION
from catchment.observe.words import aligned, size

if TYPE_CHECKING:
    from catchment.maintain import Tidied

_WORDS = {
    "compact": "small files to join",
    "fold": "gaps in judged numbers to close",
    "verdicts": "rejected rows that never count",
    "log": "log entries that are too old",
    "files": "data files that nothing names",
    "states": "states that nothing names",
    "messages": "messages that are older than their topic keeps them",
}


@click.command(epilog=examples("catchment maintain", "catchment maintain --retention '14 days' --do"))
@click.option("--select", multiple=True, metavar="TABLE", help="Only this table, such as silver.users. Repeatable.")
@click.option(
    "--retention",
    "kept",
    type=RETENTION,
    default="7 days",
    show_default=True,
    metavar="TIME",
    help="So far back a table can be read and restored.",
)
@click.option("--do", is_flag=True, help="Do it; without this it is only shown.")
@target_option
@json_option
@click.pass_obj
def maintain(
    invocation: Invocation, select: Sequence[str], kept: timedelta, do: bool, target: str | None, as_json: bool
) -> int:
    """Show what upkeep would do, and do it with --do.

    Joins small files, shortens logs, removes what no version names that is kept, left-overs of killed runs among them.
    Versions that gold reads are kept for as long as it is served. A run may go on at the same time.
    """
    from catchment import maintain as upkeep

    project = invocation.load()
    name = target_name(project, target)
    found = (upkeep.maintain if do else upkeep.survey)(project, name, tuple(select), retention=kept)
    if as_json:
        out_json([as_value(one) for one in found])
        return 0
    for line in lines(found):
        out(line)
    if not any(one.chores for one in found):
        note("Nothing was done: everything is tidy." if do else "Everything is tidy.")
    elif not do:
        note(f"Nothing was changed: {invocation.command('maintain --do')} does it.")
    return 0


def lines(found: Iterable[Tidied]) -> list[str]:
    """The list as people read it; what was left alone comes last."""
    rows = [
        (one.table, _WORDS[chore.kind], f"{chore.items:,}", size(chore.bytes) if chore.bytes else "")
        for one in found
        for chore in one.chores
    ]
    told = aligned([("table", "what", "items", "size"), *rows], right=frozenset({2, 3})) if rows else []
    return [*told, *(f"{one.table}: {one.note}" for one in found if one.note is not None)]


def as_value(one: Tidied) -> dict[str, Any]:
    """One table of `maintain --json`."""
    chores = [{"kind": chore.kind, "items": chore.items, "bytes": chore.bytes} for chore in one.chores]
    return {"table": one.table, "chores": chores, "note": one.note}
