"""`catchment lineage`: what a column is made of, back to the fields of the sources."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from catchment.cli.invocation import Invocation, examples, json_option, target_option
from catchment.cli.terminal import note, out, out_json

if TYPE_CHECKING:
    from catchment.lineage import Found, Graph, Place

depth_option = click.option("--depth", type=click.IntRange(min=1), metavar="N", help="At most so many steps.")
rows_option = click.option(
    "--rows", is_flag=True, help="Also what decides which rows there are: joins, filters, groups, keys, rules."
)

# As much of an expression as a line bears.
_WIDEST = 70


@click.command(
    epilog=examples(
        "catchment lineage gold.daily_sales.revenue",
        "catchment lineage gold.daily_sales --to-sources",
        "catchment lineage silver.events.country",
    )
)
@click.argument("name")
@click.option("--to-sources", is_flag=True, help="Only the fields at the end, without the way there.")
@rows_option
@depth_option
@target_option
@json_option
@click.pass_obj
def lineage(
    invocation: Invocation,
    name: str,
    to_sources: bool,
    rows: bool,
    depth: int | None,
    target: str | None,
    as_json: bool,
) -> None:
    """Show what NAME is made of: a column, a table or an exposure.

    Through SQL models, contracts and refine functions, back to the fields of the sources. Nothing is run; dbt compiles
    the models once, and again when they change. An expression stands behind a column that is not just passed on;
    `rows of` a table stands where its rows are counted.
    """
    from catchment.lineage import Graph
    from catchment.lineage import lineage as look

    project = invocation.load()
    # What lies before gold is known without dbt.
    before_gold = name.strip().lower().partition(".")[0] in ("bronze", "silver", *project.sources)
    graph = Graph(look(project, target, gold=not before_gold))
    found = graph.upstream(graph.places(name, ours=False), rows=rows, depth=depth)
    if as_json:
        out_json(as_value(graph, found))
        return
    for line in to_source_lines(graph, found, rows=rows) if to_sources else tree_lines(graph, found):
        out(line)
    tell_unsure(graph, found)


def as_value(graph: Graph, found: Found) -> dict[str, Any]:
    """`lineage --json`."""
    return {
        "start": [_place(place) for place in found.start],
        "columns": [_met(graph, found, place, "of") for place in found.distance],
        "sources": [_place(place) for place in graph.sources(found)],
        "unsure": unsure(graph, found),
    }


def _place(place: Place) -> dict[str, str]:
    return {"table": place[0], "column": place[1]}


def _met(graph: Graph, found: Found, place: Place, direction: str) -> dict[str, Any]:
    table = graph.lineage.tables.get(place[0])
    return {
        **_place(place),
        "kind": None if table is None else table.kind,
        "file": None if table is None else table.file,
        "words": graph.column(place).words,
        "distance": found.distance[place],
        direction: [_place(next_one) for next_one in found.steps.get(place, ())],
    }


def into_value(graph: Graph, found: Found) -> list[dict[str, Any]]:
    """The places of a walk downstream, as `impact --json` has them."""
    return [_met(graph, found, place, "into") for place in found.distance]


def unsure(graph: Graph, found: Found) -> list[dict[str, str]]:
    """The tables met of which not everything is known."""
    tables = dict.fromkeys(table for table, _ in found.distance)
    known = [graph.lineage.tables[table] for table in tables if table in graph.lineage.tables]
    return [{"table": table.name, "why": table.unsure} for table in known if table.unsure is not None]


def tell_unsure(graph: Graph, found: Found) -> None:
    for one in unsure(graph, found):
        note(f"{one['table']} is not known for sure: {one['why']}")


def to_source_lines(graph: Graph, found: Found, *, rows: bool) -> Iterator[str]:
    """The fields; of a table with each of its columns in front."""
    from catchment.lineage import ROWS, spelled

    if len(found.start) == 1:
        yield from (spelled(place) for place in graph.sources(found))
        return
    columns = [place for place in found.start if place[1] != ROWS] or list(found.start)
    widest = max(len(spelled(place)) for place in columns)
    for place in columns:
        fields = graph.sources(graph.upstream([place], rows=rows))
        yield f"{spelled(place):<{widest}}  {', '.join(map(spelled, fields)) or '(no source)'}".rstrip()


def tree_lines(graph: Graph, found: Found) -> Iterator[str]:
    """A tree for each place that was asked for; what was drawn before is not drawn again."""
    from catchment.lineage import ROWS

    drawn: set[Place] = set()
    asked: Sequence[Place] = found.start
    if len(asked) > 1 and not found.steps.get((asked[0][0], ROWS)):
        asked = [place for place in asked if place[1] != ROWS]
    for place in asked:
        yield from _branch(graph, found, place, drawn, first="", rest="")


def _branch(graph: Graph, found: Found, place: Place, drawn: set[Place], *, first: str, rest: str) -> Iterator[str]:
    from catchment.lineage import spelled

    steps = found.steps.get(place, ())
    again = " …" if place in drawn and steps else ""
    words = " ".join(graph.column(place).words.split())
    words = words if len(words) <= _WIDEST else f"{words[: _WIDEST - 1]}…"
    yield f"{first}{spelled(place)}{again}{f'  = {words}' if words and not again else ''}"
    if again:
        return
    drawn.add(place)
    for at, step in enumerate(steps, start=1):
        is_last = at == len(steps)
        branch, trunk = ("└─ ", "   ") if is_last else ("├─ ", "│  ")
        yield from _branch(graph, found, step, drawn, first=rest + branch, rest=rest + trunk)
