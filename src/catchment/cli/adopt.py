"""`catchment adopt`: take the rows of a table as they are, after somebody else was at it."""

from __future__ import annotations

import click

from catchment.cli.invocation import Invocation, examples, target_option
from catchment.cli.restore import confirmed, events_option, table_name, yes_option
from catchment.cli.terminal import note


@click.command(epilog=examples("catchment adopt silver.users"))
@click.argument("table")
@yes_option
@target_option
@events_option
@click.pass_obj
def adopt(invocation: Invocation, table: str, yes: bool, target: str | None, as_json: bool) -> int:
    """Take a table's rows as they are, and go on from them.

    For a table that another program has put back, or whose state was lost: every command stops at it and names this
    one. A stream goes on after what its rows say was read; a silver table without its state is made anew by the next
    run. A table that is whole is left as it is.
    """
    from catchment.cli.run import execute
    from catchment.connected import Connected
    from catchment.records import Order, Step
    from catchment.restore import outlook

    project = invocation.load()
    name = table_name(table)
    found = outlook(Connected.of(project, target), name)
    if found is None:
        note(f"{name} is whole: nothing to adopt.")
        return 0
    for line in (found.why, *found.words):
        note(line)
    if not confirmed(yes=yes):
        return 1
    step = Step("land" if name.layer == "bronze" else "refine", found.step, writes=str(name))
    orders = {found.step: Order("adopt")}
    return execute(invocation, project, [step], target=target, orders=orders, as_json=as_json)
