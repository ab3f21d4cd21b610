"""`catchment impact`: what is made of a column, up to the exposures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from catchment.cli.invocation import Invocation, examples, json_option, target_option
from catchment.cli.lineage import depth_option, into_value, rows_option, tell_unsure, tree_lines, unsure
from catchment.cli.terminal import out, out_json
from catchment.observe.words import plural

if TYPE_CHECKING:
    from catchment.lineage import Found, Graph


@click.command(epilog=examples("catchment impact drops.users.country", "catchment impact silver.products --depth 2"))
@click.argument("name")
@rows_option
@depth_option
@target_option
@json_option
@click.pass_obj
def impact(invocation: Invocation, name: str, rows: bool, depth: int | None, target: str | None, as_json: bool) -> None:
    """Show what a change of NAME would reach: a field of a source, a column or a table.

    Every column that is made of it, every table whose rows it decides, and the exposures that show one of these.
    Nothing is run; dbt compiles the models once, and again when they change.
    """
    from catchment.lineage import Graph
    from catchment.lineage import lineage as look

    graph = Graph(look(invocation.load(), target))
    found = graph.downstream(graph.places(name), rows=rows, depth=depth)
    if as_json:
        out_json(as_value(graph, found))
        return
    for line in tree_lines(graph, found):
        out(line)
    out(summary(graph, found))
    tell_unsure(graph, found)


def as_value(graph: Graph, found: Found) -> dict[str, Any]:
    """`impact --json`."""
    exposures = [graph.lineage.tables[name] for name in graph.exposures(found)]
    return {
        "start": [{"table": table, "column": column} for table, column in found.start],
        "columns": into_value(graph, found),
        "exposures": [{"exposure": one.name.removeprefix("exposure."), "file": one.file} for one in exposures],
        "unsure": unsure(graph, found),
    }


def summary(graph: Graph, found: Found) -> str:
    """`14 columns of 6 tables, rows of 2 tables; shown by board, forecast.`"""
    from catchment.lineage import ROWS

    met = [place for place, distance in found.distance.items() if distance and place[0] in graph.lineage.tables]
    met = [place for place in met if graph.lineage.tables[place[0]].kind != "exposure"]
    columns = [place for place in met if place[1] != ROWS]
    rows = [place for place in met if place[1] == ROWS]
    exposures = [name.removeprefix("exposure.") for name in graph.exposures(found)]
    told = f"{plural(len(columns), 'column')} of {plural(len({table for table, _ in columns}), 'table')}"
    told += f", rows of {plural(len(rows), 'table')}" if rows else ""
    return f"{told}; shown by {', '.join(exposures)}." if exposures else f"{told}; no exposure names them."
