"""`catchment compare`: two places of one project, table by table and row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from catchment.cli.invocation import Invocation, examples, json_option, target_name, target_option
from catchment.cli.terminal import note, out, out_json
from catchment.errors import ConfigError
from catchment.naming import LAYERS, LIVE, did_you_mean
from catchment.observe.words import plural

if TYPE_CHECKING:
    from collections.abc import Mapping

    from catchment.answers import Compared, RowPair
    from catchment.project import Project

DIFFERENT = 1


@click.command(
    epilog=examples(
        "catchment compare --env alice",
        "catchment compare silver.users gold.daily_sales --env alice",
        "catchment compare live",
    )
)
@click.argument("tables", nargs=-1)
@click.option(
    "--with",
    "other",
    metavar="PLACE",
    help="The other place: a target, or an environment in one (local@alice); by default the target itself.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="How far floating point numbers may be apart, as a share of the larger one.",
)
@click.option(
    "--examples", "shown", type=click.IntRange(min=0), default=3, show_default=True, help="So many rows of each kind."
)
@target_option
@json_option
@click.pass_obj
def compare(
    invocation: Invocation,
    tables: Sequence[str],
    other: str | None,
    tolerance: float,
    shown: int,
    target: str | None,
    as_json: bool,
) -> int:
    """Compare two places, table by table and row by row.

    An environment with its target, or two targets. The order of rows does not matter, nor in which steps they were
    made. `catchment compare live` holds every live figure against a recount from silver. Exit code 0: all are equal;
    1: some differ.
    """
    if tuple(tables) == ("live",):
        from catchment.cli.live import compared as recounted

        return recounted(invocation, target, shown, as_json=as_json)
    from catchment.compare import compare as compared

    project = invocation.load()
    _refuse_unknown(tables, project)
    one = target_name(project, target)
    against = target_name(project, other if other is not None else one.partition("@")[0])
    if one == against:
        message = f"{one} would be compared with itself"
        raise ConfigError(message, hint="name another place: --env alice, or --with <target>")
    found = []
    for table in compared(project, one, against, tables, tolerance=tolerance, examples=shown):
        found.append(table)
        if not as_json:
            for line in lines(table, one, against):
                out(line)
    differing = [table for table in found if not table.is_equal]
    if as_json:
        out_json({"one": one, "other": against, "tables": [as_value(table) for table in found]})
    else:
        note(f"{plural(len(found), 'table')}: {len(found) - len(differing):,} equal, {len(differing):,} not.")
    return DIFFERENT if differing else 0


def _refuse_unknown(tables: Sequence[str], project: Project) -> None:
    """Raises ConfigError for a word that is no layer; a table's name has a layer, and is looked for in both places."""
    for name in tables:
        if "." in name or name in LAYERS:
            continue
        if name == LIVE:
            message = "live figures are compared by themselves"
            raise ConfigError(message, hint="catchment compare live")
        message = f"there is nothing called {name} to compare"
        cure = did_you_mean(name, [LIVE, *LAYERS, *(f"silver.{table}" for table in project.silver)])
        raise ConfigError(message, hint=cure or "name a table such as silver.users, a layer such as silver, or live")


def lines(table: Compared, one: str, other: str) -> list[str]:
    """One table as people read it."""
    if table.is_equal:
        return [f"equal   {table.table}   {plural(table.rows[0], 'row')}"]
    if table.only_in is not None:
        return [f"differ  {table.table}   only in {table.only_in}"]
    told = [f"differ  {table.table}   {table.rows[0]:,} rows in {one}, {table.rows[1]:,} in {other}"]
    if table.columns_in_one:
        told.append(f"  columns that one has alone: {', '.join(table.columns_in_one)}")
    if table.types_differ:
        told.append(f"  columns of other types: {', '.join(table.types_differ)}")
    for place, count in zip((one, other), table.only, strict=True):
        if count:
            told.append(f"  only in {place}: {plural(count, 'row')}")
    if table.differ:
        by_column = ", ".join(f"{name} ({count:,})" for name, count in table.by_column.items())
        told.append(f"  differ: {plural(table.differ, 'row')} in {by_column}")
    return told + [f"    {line}" for pair in table.examples for line in _example(pair, table.key, one, other)]


def _example(pair: RowPair, key: Sequence[str], one: str, other: str) -> list[str]:
    if pair.one is None or pair.other is None:
        row, place = (pair.one, one) if pair.one is not None else (pair.other, other)
        return [f"{place}: {_row(row or {})}"]
    names = ", ".join(f"{name} {pair.one[name]}" for name in key)
    apart = [f"{name} {pair.one[name]} | {pair.other[name]}" for name in pair.one if pair.one[name] != pair.other[name]]
    return [f"{names}: {', '.join(apart)}"]


def _row(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.items())


def as_value(table: Compared) -> dict[str, Any]:
    """One table of `compare --json`."""
    return {
        "table": table.table,
        "is_equal": table.is_equal,
        "rows": table.rows,
        "only_in": table.only_in,
        "key": table.key,
        "only": table.only,
        "differ": table.differ,
        "by_column": table.by_column,
        "columns_in_one": table.columns_in_one,
        "types_differ": table.types_differ,
        "examples": [{"one": pair.one, "other": pair.other} for pair in table.examples],
    }
