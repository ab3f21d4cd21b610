"""`catchment demo`: the shop, made, run and shown."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from catchment.cli.init import contents
from catchment.cli.invocation import Invocation, examples
from catchment.cli.quarantine import lines as quarantine_lines
from catchment.cli.query import table_lines
from catchment.cli.run import execute
from catchment.cli.terminal import note, out
from catchment.errors import ConfigError

if TYPE_CHECKING:
    from catchment.project import Project

# Says that a folder is ours to run again; only `demo` writes it.
_MARK = Path(".catchment") / "demo"

_FIGURES = (
    "select day, sum(orders) as orders, sum(paid_orders) as paid, sum(units) as units, sum(revenue) as revenue"
    " from gold.daily_sales group by day order by day desc limit 7"
)


@click.command(epilog=examples("catchment demo", "catchment demo /tmp/shop-demo"))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default="shop-demo")
@click.pass_obj
def demo(invocation: Invocation, folder: Path) -> int:
    """Make an online shop in FOLDER (./shop-demo), run it and show what came of it.

    30 days of data with mistakes in them on purpose: from files to tested gold, without a server. Called again it runs
    the same project again, finds nothing new and overwrites nothing.
    """
    from catchment.outlook import steps
    from catchment.project import load_project

    _make(folder)
    project = load_project(folder)
    note(f"{folder}: {contents(project, folder)}")
    note()
    code = execute(Invocation(folder, invocation.debug, invocation.no_colour), project, steps(project, None))
    if code == 0:
        _show(project, folder)
    return code


def _make(folder: Path) -> None:
    """The shop's project, unless an earlier demo made it; raises ConfigError where something else lies there."""
    from catchment.templates import write_template

    if (folder / _MARK).exists():
        note(f"{folder} is there from an earlier demo: it runs again, nothing is overwritten.")
        return
    if folder.exists() and any(folder.iterdir()):
        message = f"{folder} is not empty, and no demo made it"
        raise ConfigError(message, hint="name another folder: catchment demo FOLDER")
    note(f"Making an online shop in {folder} …")
    write_template("shop", folder, project_name="shop")
    mark = folder / _MARK
    mark.parent.mkdir(exist_ok=True)
    mark.write_text("made by catchment demo\n", encoding="utf-8")


def _show(project: Project, folder: Path) -> None:
    """Why rows were rejected, figures from gold, and where to look next."""
    from catchment.inspect import quarantine_summaries, query

    found = quarantine_summaries(project, None)
    out()
    out("What was refused, and why")
    for line in quarantine_lines(found):
        out(f"  {line}")
    out()
    out("The last days in gold.daily_sales")
    for line in table_lines(query(project, None, _FIGURES).read_all()):
        out(f"  {line}")
    out()
    out("Where to look next")
    for line in _next(folder, [one.table for one in found]):
        out(f"  {line}")


def _next(folder: Path, tables: Sequence[str]) -> list[str]:
    first = tables[0] if tables else "silver.users"
    return [
        f"cd {shlex.quote(str(folder))}",
        'catchment query "from gold.business_metrics order by day desc limit 7"',
        f"catchment quarantine show {first} --limit 3",
        "catchment status",
        "catchment run        # nothing new: nothing happens",
    ]
