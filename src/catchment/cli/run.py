"""`catchment run`: everything that is new, from the sources to gold."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import click

from catchment.cli.hints import named
from catchment.cli.invocation import Invocation, examples, select_option, target_option
from catchment.cli.signals import stoppable
from catchment.cli.terminal import note
from catchment.errors import ConfigError
from catchment.naming import did_you_mean

if TYPE_CHECKING:
    from catchment.interfaces import Listener
    from catchment.project import Project
    from catchment.records import Order, Step

EXIT_CODES = {"done": 0, "nothing_new": 0, "failed": 1, "stopped": 130}


@click.command(
    epilog=examples(
        "catchment run",
        "catchment run --select silver.transactions+",
        "catchment run --rebuild silver.users",
        "catchment run --forward silver.users",
    )
)
@select_option
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="So many steps at once.")
@click.option(
    "--rebuild",
    multiple=True,
    metavar="TABLE",
    help="Make this silver table anew from bronze, in one commit. Repeatable.",
)
@click.option(
    "--forward",
    multiple=True,
    metavar="TABLE",
    help="Go on with this silver table's changed definition: older rows stay as they were judged. Repeatable.",
)
@target_option
@click.option(
    "--json", "as_json", is_flag=True, help="Print events, one JSON object a line (docs/reference/events.md)."
)
@click.pass_obj
def run(
    invocation: Invocation,
    select: Sequence[str],
    jobs: int,
    rebuild: Sequence[str],
    forward: Sequence[str],
    target: str | None,
    as_json: bool,
) -> int:
    """Run what is new.

    Every step takes what it has not taken yet: run it twice and nothing changes. A step that fails stops only what
    depends on it. Ctrl-C stops after the commit that is being made; pressed again, at once.
    """
    from catchment.observe.outcome import Published
    from catchment.outlook import steps

    both = sorted(set(rebuild) & set(forward))
    if both:
        message = f"{both[0]} cannot go forward and be rebuilt: --rebuild makes its rows anew, --forward keeps them"
        raise click.UsageError(message)
    project = invocation.load()
    chosen = steps(project, target, select)
    orders = {**_orders("forward", forward, chosen), **_orders("rebuild", rebuild, chosen)}
    gold = Published()
    code = execute(
        invocation,
        project,
        chosen,
        target=target,
        jobs=jobs,
        orders=orders,
        as_json=as_json,
        beside=[gold],
    )
    if gold.heard and code == 0 and not as_json:
        _look_at_gold(invocation, project, target)
    return code


def _orders(verb: Literal["rebuild", "forward"], names: Sequence[str], steps: Sequence[Step]) -> dict[str, Order]:
    """What is asked of silver tables. Raises ConfigError for one that is not among the steps."""
    from catchment.records import Order

    tables = [step.name for step in steps if step.kind == "refine"]
    for name in names:
        if name not in tables:
            what = "rebuild" if verb == "rebuild" else "go forward with"
            message = f"cannot {what} {name}: not among the silver tables of this run"
            hint = did_you_mean(name, tables) or f"there are {', '.join(tables) or 'none'}"
            raise ConfigError(message, hint=hint)
    return {name: Order(verb) for name in names}


def execute(
    invocation: Invocation,
    project: Project,
    steps: Sequence[Step],
    *,
    target: str | None = None,
    jobs: int = 1,
    orders: Mapping[str, Order] | None = None,
    as_json: bool = False,
    beside: Sequence[Listener] = (),
) -> int:
    """Run steps before the user's eyes, and of other listeners; the exit code."""
    from catchment.observe.console import Console
    from catchment.observe.history import History
    from catchment.observe.jsonl import JsonLines
    from catchment.run import run as run_steps

    history = History(project.folder, report=lambda message: note(f"note: {message}"))
    bars = sys.stderr.isatty() and not as_json
    names = [step.name for step in steps]
    told = Console(
        sys.stderr,
        names=names,
        bars=bars,
        colour=invocation.colour,
        columns=shutil.get_terminal_size().columns if bars else None,
        named=named,
    )
    with stoppable() as stop, told as console:
        listener = JsonLines(sys.stdout, named=named) if as_json else console
        outcome = run_steps(
            project, target, steps, listeners=[listener, history, *beside], jobs=jobs, orders=orders, stop=stop
        )
    return EXIT_CODES[outcome]


def _look_at_gold(invocation: Invocation, project: Project, target: str | None) -> None:
    from catchment.connected import Connected

    served = Connected.of(project, target).warehouse.served()
    model = None if served is None else worth_a_look(sorted(served["models"]), served.get("rows", {}))
    if model is not None:
        words = invocation.command(f'query "select * from gold.{model} limit 10"')
        note(f"  Look at gold: {words}")


def worth_a_look(every: Sequence[str], rows: Mapping[str, int]) -> str | None:
    """A model to begin with: one by day, or else the last one that is no staging view. `rows` are those of tables, by
    `schema.name`: where one has none, another is taken if there is any."""
    empty = {table.partition(".")[2] for table, count in rows.items() if not count}
    models = [model for model in every if model not in empty] or every
    finished = [model for model in models if not model.startswith(("stg_", "raw_"))] or list(models)
    daily = [model for model in finished if "daily" in model]
    return next(iter(daily or finished[-1:]), None)
