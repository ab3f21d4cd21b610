"""`catchment rewind`: read a stream again from an earlier place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from catchment.cli.invocation import Invocation, examples, target_option
from catchment.cli.restore import events_option, go_back, lines, yes_option
from catchment.cli.terminal import note
from catchment.cli.values import TIME
from catchment.errors import ConfigError, DataError
from catchment.naming import did_you_mean

if TYPE_CHECKING:
    from datetime import datetime

    from catchment.project import Project
    from catchment.records import Feed
    from catchment.restore import Load, WayBack


@click.command(epilog=examples("catchment rewind drops.users --to-start"))
@click.argument("stream")
@click.option("--to-start", is_flag=True, help="Take everything out.")
@click.option("--to-load", type=click.IntRange(min=0), metavar="N", help="Take out what landed after this load.")
@click.option(
    "--to-time", type=TIME, metavar="TIME", help="Take out what landed after 2026-11-01T08:30Z; without a zone UTC."
)
@click.option("--lose-rows", is_flag=True, help="Go on where rows that go out cannot be read again.")
@yes_option
@target_option
@events_option
@click.pass_obj
def rewind(  # noqa: PLR0913, PLR0917 - click hands over each option
    invocation: Invocation,
    stream: str,
    to_start: bool,
    to_load: int | None,
    to_time: datetime | None,
    lose_rows: bool,
    yes: bool,
    target: str | None,
    as_json: bool,
) -> int:
    """Take out of bronze what a stream has landed, to read it again.

    The next run reads what the source still has. What it has no longer would be lost: that is looked for first, and
    stops this unless --lose-rows allows it. Silver tables that have refined what goes out must be rebuilt.
    """
    from catchment.connected import Connected
    from catchment.restore import Load, way_back

    if sum((to_start, to_load is not None, to_time is not None)) != 1:
        message = "say where to: --to-start, --to-load N or --to-time TIME"
        raise click.UsageError(message)
    project = invocation.load().on(target)
    feed = _feed(project, stream)
    moment: Load | datetime = to_time if to_time is not None else Load(to_load or 0)
    way = way_back(Connected.of(project, target), feed.table, moment)
    _refuse_lost(invocation, way, lose_rows=lose_rows)
    return go_back(invocation, project, "rewind", way, target=target, yes=yes, as_json=as_json)


def _feed(project: Project, stream: str) -> Feed:
    feeds = {feed.name: feed for feed in project.feeds()}
    if stream not in feeds:
        message = f"no stream {stream} in this project"
        raise ConfigError(message, hint=did_you_mean(stream, feeds) or f"there are {', '.join(feeds) or 'none'}")
    return feeds[stream]


def _refuse_lost(invocation: Invocation, way: WayBack, *, lose_rows: bool) -> None:
    if way.is_nothing or way.again is None or not way.again.lost_count or lose_rows:
        return
    for line in lines(invocation, way):
        note(line)
    message = f"{way.step} was not rewound: not all of its rows can be read again"
    raise DataError(message, hint="bring back what is lost, or give those rows up: --lose-rows")
