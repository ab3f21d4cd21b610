"""`catchment stream`: what is new, from the sources to silver, until somebody stops it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import Any

import click

from catchment.cli.hints import named
from catchment.cli.invocation import Invocation, examples, select_option, target_option
from catchment.cli.signals import stoppable
from catchment.cli.terminal import note
from catchment.cli.values import ADDRESS, LENGTH, SHARE

# Whoever stops a stream gets what he asked for.
EXIT_CODES = {"done": 0, "stopped": 0, "failed": 1}


@click.command(
    epilog=examples(
        "catchment stream",
        "catchment stream --until-idle",
        "catchment stream --select drops.users+ --for 10m --health 127.0.0.1:8090",
        "catchment stream --share 1/2",
    )
)
@select_option
@click.option(
    "--until-idle",
    is_flag=True,
    help="Stop once every stream was read to its end and silver has it all. With --share also: once what others land,"
    " and tables here read, had nothing new for as long as its source's `every`, and for 5 seconds at least.",
)
@click.option(
    "--for",
    "seconds",
    type=LENGTH,
    metavar="TIME",
    help="Stop after so long, such as 10m or 2 hours.",
)
@click.option("--jobs", type=click.IntRange(min=1), default=2, show_default=True, help="Refine so many tables at once.")
@click.option(
    "--health",
    type=ADDRESS,
    metavar="HOST:PORT",
    help="Answer /health, /ready, /status and /metrics there, such as 127.0.0.1:8090.",
)
@click.option(
    "--share",
    type=SHARE,
    metavar="K/N",
    help="Be the Kth of N processes that share the work, such as 1/2.",
)
@target_option
@click.option(
    "--json", "as_json", is_flag=True, help="Print events, one JSON object a line (docs/reference/events.md)."
)
@click.pass_obj
def stream(
    invocation: Invocation,
    /,
    select: Sequence[str],
    target: str | None,
    as_json: bool,
    **going: Any,
) -> int:
    """Land, refine and pass on what is new, and go on until stopped.

    The steps of `catchment run` but for gold, at the paces of catchment.yaml (`every` of a source, `stream`). A step
    that fails is tried again and holds up only what needs it. Ctrl-C stops after the commit that is being made; pressed
    again, at once. Exit code 1 where a step still fails at the end.
    """
    from catchment.observe.history import History
    from catchment.observe.jsonl import JsonLines
    from catchment.observe.streaming import StreamConsole
    from catchment.outlook import steps
    from catchment.stream.going import Wanted
    from catchment.stream.going import stream as follow

    wanted = Wanted(**{name: value for name, value in going.items() if value is not None})
    project = invocation.load()
    history = History(project.folder, report=lambda message: note(f"note: {message}"))
    redraw = sys.stderr.isatty() and not as_json
    columns = shutil.get_terminal_size().columns if redraw else None
    shown = StreamConsole(sys.stderr, redraw=redraw, columns=columns, named=named)
    told = JsonLines(sys.stdout, named=named) if as_json else shown
    # On a terminal the cursor stands behind how it stands.
    with stoppable(("\n" if redraw else "") + "stopping after this commit") as stop:
        chosen = steps(project, target, select)
        outcome = follow(project, target, chosen, wanted=wanted, listeners=[told, history], stop=stop)
    return EXIT_CODES[outcome]
