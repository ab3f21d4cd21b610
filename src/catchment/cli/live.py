"""`catchment live`: figures of now, from silver's commits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from catchment.cli.invocation import Invocation, examples, json_option, target_option
from catchment.cli.terminal import note, out, out_json
from catchment.cli.values import ADDRESS
from catchment.observe.words import aligned, figures_behind, plural

if TYPE_CHECKING:
    from catchment.connected import Connected
    from catchment.figures.standing import MetricStatus
    from catchment.live.feeding import Fed
    from catchment.live.recount import Recounted

DIFFERENT = 1
_SIGNS = {"add": "+", "change": "~", "remove": "-", "anew": "*"}


@click.group(epilog=examples("catchment live feed", 'catchment live query "select * from live.purchases_per_minute"'))
def live() -> None:
    """Figures of now, kept in the target's live store and fed from silver.

    What is counted stands under `live` in catchment.yaml. See docs/guides/live.md.
    """


@live.command("apply", epilog=examples("catchment live apply", "catchment live apply --yes"))
@click.option("--yes", is_flag=True, help="Make it so; without it differences are shown only.")
@click.option("--sql", "as_sql", is_flag=True, help="Print the SQL of the whole store as it is to be.")
@target_option
@json_option
@click.pass_obj
def apply(invocation: Invocation, yes: bool, as_sql: bool, target: str | None, as_json: bool) -> None:
    """Show what of the live store is not as the project says, or make it so.

    Rows that a changed metric needs are taken from silver anew; the figures of before are served until they are there.
    """
    from catchment.figures import feeder, standing

    connected = _connected(invocation, target)
    found = feeder.apply(connected, do=yes)
    told = [{"name": one.name, "kind": one.kind, "words": one.words} for one in found]
    statements = standing.statements(connected) if as_sql else []
    if as_json:
        out_json({"differences": told, "statements": statements} if as_sql else told)
    else:
        for one in found:
            name = one.name if one.kind == "anew" else f"live.{one.name}"
            line = f"{_SIGNS[one.kind]} {name}   {one.words}"
            out(f"-- {' '.join(line.splitlines())}" if as_sql else line)
        for statement in statements:
            out(f"\n{statement};")
    if not found:
        note("The live store is as the project says.")
    elif not yes:
        note("Nothing was changed: catchment live apply --yes does it.")


@live.command("feed", epilog=examples("catchment live feed", "catchment live feed --follow"))
@click.option("--follow", is_flag=True, help="Go on until stopped, and feed whenever silver has something new.")
@target_option
@json_option
@click.pass_obj
def feed(invocation: Invocation, follow: bool, target: str | None, as_json: bool) -> None:
    """Take over what silver has committed since the last time.

    Metrics that are new are applied first. Killed at any moment and started again, it goes on: no figure counts a row
    twice. With --json one line for each table that was fed.
    """
    from catchment.cli.signals import stoppable
    from catchment.figures import feeder

    connected = _connected(invocation, target)
    if follow:
        with stoppable("stopping after this feed") as stop:
            feeder.follow(
                connected,
                stop,
                told=lambda fed: _tell(fed, as_json=as_json),
                failed=lambda error: note(f"{error.message}; trying again"),
            )
        return
    found = feeder.feed_once(connected)
    for fed in found:
        _tell(fed, as_json=as_json)
    if not found:
        note("Nothing new.")


def _tell(fed: Fed, *, as_json: bool) -> None:
    if as_json:
        value = {"table": f"silver.{fed.feed}", "rows": fed.rows, "version": fed.token.version, "anew": fed.anew}
        out_json(value, indent=None)
    else:
        anew = "" if fed.anew is None else f"   all of them: {fed.anew}"
        out(f"silver.{fed.feed}   {plural(fed.rows, 'row')}   version {fed.token.version}{anew}")


@live.command("serve", epilog=examples("catchment live serve", "catchment live serve --feed --listen 127.0.0.1:8092"))
@click.option(
    "--listen",
    type=ADDRESS,
    metavar="HOST:PORT",
    default="127.0.0.1:8092",
    show_default=True,
    help="Where the page is to be found.",
)
@click.option("--feed", "feeding", is_flag=True, help="Feed as well, as `live feed --follow` does.")
@target_option
@click.pass_obj
def serve(invocation: Invocation, listen: tuple[str, int], feeding: bool, target: str | None) -> None:
    """Show the newest figures on a page that follows them, until stopped.

    Whoever can reach the address sees the figures: give it to others behind a proxy that asks who they are. The figures
    are at /figures.json too, and at /events as server-sent events.
    """
    from catchment.cli.signals import stoppable
    from catchment.figures import feeder, standing

    connected = _connected(invocation, target)
    with stoppable("stopping") as stop, standing.page(connected, listen) as port:
        note(f"Live figures: http://{listen[0] or '127.0.0.1'}:{port}/   (Ctrl-C ends it)")
        if feeding:
            feeder.follow(
                connected,
                stop,
                told=lambda fed: note(f"silver.{fed.feed}: {plural(fed.rows, 'row')}"),
                failed=lambda error: note(f"{error.message}; trying again"),
            )
        while not stop.wait(0.5):
            pass


@live.command("status", epilog=examples("catchment live status"))
@target_option
@json_option
@click.pass_obj
def status(invocation: Invocation, target: str | None, as_json: bool) -> None:
    """Show every metric: what it counts, and how far it is behind silver."""
    from catchment.figures import standing

    found = standing.status(_connected(invocation, target))
    if as_json:
        out_json([as_value(one) for one in found])
        return
    titles = ("metric", "from", "behind", *(("lag",) if any(one.lag is not None for one in found) else ()))
    for line in aligned([titles, *(_cells(one)[: len(titles)] for one in found)]):
        out(line)
    for trouble in dict.fromkeys(one.trouble for one in found if one.trouble is not None):
        note(f"The store met with: {trouble}")
    if any(one.differences for one in found):
        note("Some metrics are not as the project says: catchment live apply")
    elif any(one.behind for one in found) or any(one.behind is None for one in found):
        note("Take over what is new: catchment live feed")


def as_value(one: MetricStatus) -> dict[str, Any]:
    """One metric of `live status --json`."""
    told = {"metric": one.metric, "table": one.table, "behind": one.behind, "differences": list(one.differences)}
    told |= {"reset": one.reset, "declared": one.declared}
    return told | ({} if one.lag is None else {"lag": one.lag, "trouble": one.trouble})


def _cells(one: MetricStatus) -> tuple[str, str, str, str]:
    behind = figures_behind(one.behind, reset=one.reset) if one.declared else "no longer declared"
    return f"live.{one.metric}", one.table, behind, "-" if one.lag is None else f"{one.lag:,}"


@live.command(
    "query", epilog=examples('catchment live query "select * from live.purchases_per_minute order by 1 desc limit 5"')
)
@click.argument("sql")
@target_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array with one object a row.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV with a header.")
@click.pass_obj
def query(invocation: Invocation, sql: str, target: str | None, as_json: bool, as_csv: bool) -> None:
    """Read figures with the live store's own SQL.

    Metrics are tables in schema `live`. Nothing can be changed with it.
    """
    if as_json and as_csv:
        message = "--json and --csv exclude each other"
        raise click.UsageError(message)
    from catchment.cli.query import out_rows
    from catchment.figures import standing

    rows = standing.query(_connected(invocation, target), sql)
    out_rows(rows, as_json=as_json, as_csv=as_csv)


def compared(invocation: Invocation, target: str | None, examples: int, *, as_json: bool) -> int:
    """`catchment compare live`: every metric beside its recount from silver; the exit code."""
    from catchment.figures.recounted import recounted

    found = []
    for metric in recounted(_connected(invocation, target), examples):
        found.append(metric)
        if not as_json:
            for line in lines(metric):
                out(line)
    differing = [metric for metric in found if not metric.is_equal]
    if as_json:
        out_json({"metrics": [compared_value(metric) for metric in found]})
    else:
        note(f"{plural(len(found), 'metric')}: {len(found) - len(differing):,} equal, {len(differing):,} not.")
    return DIFFERENT if differing else 0


def lines(metric: Recounted) -> Sequence[str]:
    """One metric of `catchment compare live` as people read it."""
    if metric.is_equal:
        return [f"equal   live.{metric.metric}   {plural(metric.rows[0], 'figure')}"]
    told = [f"differ  live.{metric.metric}   {plural(metric.differ, 'figure')} of {metric.rows[1]:,} recounted"]
    for pair in metric.examples:
        told += [f"  {side}: {_row(row)}" for side, row in (("live", pair.one), ("recount", pair.other))]
    return told


def _row(row: Any) -> str:
    return "none" if row is None else ", ".join(f"{name} {value}" for name, value in row.items())


def compared_value(metric: Recounted) -> dict[str, Any]:
    """One metric of `compare live --json`."""
    return {
        "metric": metric.metric,
        "is_equal": metric.is_equal,
        "rows": metric.rows,
        "key": metric.key,
        "differ": metric.differ,
        "examples": [{"live": pair.one, "recount": pair.other} for pair in metric.examples],
    }


def _connected(invocation: Invocation, target: str | None) -> Connected:
    from catchment.connected import Connected

    return Connected.of(invocation.load(), target)
