"""`catchment backfill`: refine a span of loads again."""

from __future__ import annotations

from datetime import datetime

import click

from catchment.cli.invocation import Invocation, examples, json_option, target_option
from catchment.cli.values import LOADS, TIME


@click.command(
    epilog=examples(
        "catchment backfill silver.transactions --loads 2-5",
        "catchment backfill silver.transactions --since 2026-11-01 --until 2026-11-08",
    )
)
@click.argument("table")
@click.option(
    "--loads", "span", type=LOADS, metavar="FIRST-LAST", help="Loads of bronze by number, both ends with them."
)
@click.option(
    "--since", type=TIME, metavar="TIME", help="Loads that landed at this time or later (without a zone UTC)."
)
@click.option("--until", type=TIME, metavar="TIME", help="Loads that landed before this time.")
@click.option("--stream", metavar="STREAM", help="Of which stream, where the table has several.")
@target_option
@json_option
@click.pass_obj
def backfill(
    invocation: Invocation,
    table: str,
    span: tuple[int, int] | None,
    since: datetime | None,
    until: datetime | None,
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
    from catchment.records import Order

    is_timed = since is not None or until is not None
    if span is not None and is_timed:
        message = "--loads and times both name the span: give one of them"
        raise click.UsageError(message)
    if is_timed:
        span = loads_between(invocation.load(), target, table, stream, since, until)
    return ordered(invocation, table, Order("backfill", loads=span, stream=stream), target=target, as_json=as_json)
