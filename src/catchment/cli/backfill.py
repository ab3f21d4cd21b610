"""`catchment backfill`: refine a span of loads again."""

from __future__ import annotations

import re

import click

from catchment.cli.invocation import Invocation, examples, json_option, target_option
from catchment.errors import ConfigError


@click.command(
    epilog=examples(
        "catchment backfill silver.transactions --loads 2-5",
        "catchment backfill silver.transactions --since 2026-11-01 --until 2026-11-08",
    )
)
@click.argument("table")
@click.option("--loads", metavar="FIRST-LAST", help="Loads of bronze by number, both ends with them.")
@click.option("--since", metavar="TIME", help="Loads that landed at this time or later (without a zone UTC).")
@click.option("--until", metavar="TIME", help="Loads that landed before this time.")
@click.option("--stream", metavar="STREAM", help="Of which stream, where the table has several.")
@target_option
@json_option
@click.pass_obj
def backfill(
    invocation: Invocation,
    table: str,
    loads: str | None,
    since: str | None,
    until: str | None,
    stream: str | None,
    target: str | None,
    as_json: bool,
) -> int:
    """Refine a span of a silver table's loads again.

    After the table went forward with a changed definition, or what a refine function looks up was mended: each row of
    the span is judged anew, and the table becomes what it would be had it been judged so at once. Without a span all
    that was taken is judged again.
    """
    from catchment.cli.quarantine import ordered
    from catchment.inspect import loads_between
    from catchment.reading.moments import moment
    from catchment.records import Order

    project = invocation.load()
    if loads is not None and (since is not None or until is not None):
        message = "--loads and times both name the span"
        raise ConfigError(message, hint="give one of them")
    span = _span(loads)
    if since is not None or until is not None:
        first, last = (None if text is None else moment(text) for text in (since, until))
        span = loads_between(project, target, table, stream, first, last)
    return ordered(invocation, table, Order("backfill", loads=span, stream=stream), target=target, as_json=as_json)


def _span(loads: str | None) -> tuple[int, int] | None:
    """`(after, to]`."""
    if loads is None:
        return None
    found = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", loads.strip())
    if found is None:
        message = f"`{loads}` is no span of loads"
        raise ConfigError(message, hint="write two numbers, such as --loads 2-5, or one")
    first, last = int(found[1]), int(found[2] or found[1])
    return first - 1, last
