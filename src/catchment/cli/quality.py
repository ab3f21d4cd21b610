"""`catchment quality`: how good each load was, and what about it was unusual."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from catchment.cli.invocation import Invocation, examples, json_option, target_option
from catchment.cli.terminal import note, out, out_json, styled
from catchment.observe.words import aligned, instant, plural, share

if TYPE_CHECKING:
    from catchment.answers import Measured, QualityOfLoad, QualityOfTable

# The mean that one line a table tells is of so many loads.
_MEAN_OF = 30


@click.command(epilog=examples("catchment quality", "catchment quality silver.transactions --loads 10"))
@click.argument("table", required=False)
@click.option(
    "--loads",
    type=click.IntRange(min=1),
    default=_MEAN_OF,
    show_default=True,
    help="Tell of so many loads, the newest ones.",
)
@target_option
@json_option
@click.pass_obj
def quality(invocation: Invocation, table: str | None, loads: int, target: str | None, as_json: bool) -> int:
    """Show how good the loads of silver tables were.

    The score of a load (0-100) is the share of its rows with nothing wrong, over the contract's columns and rules by
    their weights. With TABLE every load is told, and what was measured of the newest one beside what is usual; without
    it one line a table. Unusual is what lies far beside the loads before it; the contract says whether that warns or
    stops a load.
    """
    from catchment.quality import quality as look

    found = look(invocation.load(), target, table, loads)
    problems = [one.problem for one in found if one.problem is not None]
    code = int(bool(problems))
    if as_json:
        out_json(found)
        return code
    for line in lines_of_table(found[0]) if table is not None and found else lines(found):
        out(line)
    for problem in problems:
        note(f"{styled('error:', fg='red', bold=True)} {problem}")
    if not problems and not any(one.loads for one in found):
        note("no load has figures so far; the next one will" if found else "no load so far: catchment run")
    return code


def lines(found: Sequence[QualityOfTable]) -> list[str]:
    """One line a table."""
    rows = [_line(one) for one in found if one.loads]
    return aligned([("table", "score", "mean", "loads", "unusual"), *rows], right=frozenset({1, 2, 3})) if rows else []


def _line(found: QualityOfTable) -> tuple[str, ...]:
    scores = [load.score for load in found.loads if load.score is not None]
    mean = _score(sum(scores) / len(scores) if scores else None)
    newest = found.loads[-1]
    return found.table, _score(newest.score), mean, f"{len(found.loads)}", _unusual(newest)


def lines_of_table(found: QualityOfTable) -> list[str]:
    """A table's loads, then the figures of the newest with their bands."""
    if not found.loads:
        return []
    head = ("load", "at", "rows", "rejected", "score", "unusual")
    rows = [
        (
            f"{load.load}",
            f"{instant(load.at)} UTC",
            f"{load.rows:,}",
            share(load.rejected / load.rows) if load.rows else "-",
            _score(load.score),
            _unusual(load),
        )
        for load in found.loads
    ]
    newest = found.loads[-1]
    told = aligned([("measure", "value", "usually"), *map(_figure, newest.measures)], right=frozenset({1}))
    told += [f"  {words}" for words in newest.unusual]
    return [*aligned([head, *rows], right=frozenset({0, 2, 3, 4})), "", f"Load {newest.load}:", *told]


def _figure(figure: Measured) -> tuple[str, str, str]:
    from catchment.silver.usual import between, shown

    name = figure.measure if figure.column is None else f"{figure.column}: {figure.measure}"
    return name, shown(figure.measure, figure.value), between(figure) or "-"


def _score(score: float | None) -> str:
    from catchment.silver.usual import shown

    return "-" if score is None else shown("score", score)


def _unusual(load: QualityOfLoad) -> str:
    """The first of what is unusual, and how much more there is."""
    if not load.unusual:
        return "-"
    more = len(load.unusual) - 1
    return load.unusual[0] + (f", and {plural(more, 'more figure')}" if more else "")
