"""`catchment restore`: a table as it was, as a commit like any other."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import click

from catchment.cli.invocation import Invocation, examples, target_option
from catchment.cli.terminal import note
from catchment.cli.values import TIME
from catchment.errors import ConfigError
from catchment.naming import LAYERS, TableName
from catchment.observe.words import instant, plural, size

if TYPE_CHECKING:
    from catchment.project import Project
    from catchment.restore import Readable, WayBack

yes_option = click.option("--yes", is_flag=True, help="Do it without asking.")
events_option = click.option(
    "--json", "as_json", is_flag=True, help="Print events, one JSON object a line (docs/reference/events.md)."
)


@click.command(epilog=examples("catchment restore silver.users --to-version 1"))
@click.argument("table")
@click.option("--to-version", type=click.IntRange(min=0), metavar="N", help="See `catchment status --versions TABLE`.")
@click.option(
    "--to-time",
    type=TIME,
    metavar="TIME",
    help="As it was then: 2026-11-01T08:30Z; without a zone it is UTC.",
)
@yes_option
@target_option
@events_option
@click.pass_obj
def restore(
    invocation: Invocation,
    table: str,
    to_version: int | None,
    to_time: datetime | None,
    yes: bool,
    target: str | None,
    as_json: bool,
) -> int:
    """Give a table the rows and the state that it had.

    A new version; nothing is deleted, so that going forth again is another restore. Of a silver table the next run
    refines again what has come since; of a bronze table it reads again what its source still has. What would happen is
    shown first.
    """
    from catchment.connected import Connected
    from catchment.restore import way_back

    to = to_time if to_version is None else to_version
    if to is None or None not in (to_version, to_time):
        message = "say where to: --to-version N or --to-time TIME"
        raise click.UsageError(message)
    project = invocation.load()
    way = way_back(Connected.of(project, target), table_name(table), to)
    return go_back(invocation, project, "restore", way, target=target, yes=yes, as_json=as_json)


def table_name(text: str) -> TableName:
    """Raises ConfigError for what is no table's name."""
    try:
        return TableName.parse(text)
    except ValueError as error:
        raise ConfigError(str(error), hint=f"the layers are {', '.join(LAYERS)}") from error


def go_back(
    invocation: Invocation,
    project: Project,
    verb: Literal["restore", "rewind"],
    way: WayBack,
    *,
    target: str | None,
    yes: bool,
    as_json: bool,
) -> int:
    """Show what would be done, ask, and run it; the exit code."""
    from catchment.cli.run import execute
    from catchment.records import Order, Step

    if way.is_nothing:
        note(f"{way.table} is there already: nothing to do.")
        return 0
    for line in lines(invocation, way):
        note(line)
    if not confirmed(yes=yes):
        return 1
    step = Step("land" if way.table.layer == "bronze" else "refine", way.step, writes=str(way.table))
    orders = {way.step: Order(verb, to=way.to)}
    return execute(invocation, project, [step], target=target, orders=orders, as_json=as_json)


def confirmed(*, yes: bool) -> bool:
    """Whether to do it; raises ConfigError where nobody can be asked."""
    if yes:
        return True
    if not sys.stdin.isatty():
        message = "nothing was changed: there is no terminal to ask on"
        raise ConfigError(message, hint="--yes does it without asking")
    if click.confirm("Do it?", err=True):
        return True
    note("Nothing was changed.")
    return False


def lines(invocation: Invocation, way: WayBack) -> list[str]:
    """What going back would do, as people read it."""
    when = f", {instant(way.at)} UTC" if way.at is not None else ""
    where = "to its beginning" if way.version is None else f"to version {way.version} (generation {way.to}{when})"
    told = [f"{way.table} goes back {where}", f"  rows        {way.rows_now:,} now, {way.rows_then:,} then"]
    if way.cut_off:
        told.append(f"  cut off     loads {', '.join(f'{first}-{last}' for first, last in way.cut_off)}")
    if way.again is not None:
        told += _readable(way.again)
    for table in way.stale:
        told.append(f"  afterwards  {invocation.command(f'run --rebuild {table}')}: it has taken rows that go")
    return told


def _readable(again: Readable) -> list[str]:
    about = again.about
    places = plural(again.origins, "file" if about.item == "file" else "place")
    told = [
        f"  goes out    {plural(again.rows, 'row')} of {places}",
        f"  read again  {plural(about.items, about.item)}, {size(about.bytes)}",
    ]
    if again.lost_count:
        named = ", ".join(again.lost) or "some of them"
        told.append(f"  lost        {plural(again.lost_count, about.item)} cannot be read again: {named}")
    return told
