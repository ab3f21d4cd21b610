"""`catchment status`: where every table stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from catchment.cli.invocation import Invocation, examples, json_option, target_option
from catchment.cli.terminal import out, out_json
from catchment.observe.words import aligned, instant, plural, seconds, share

if TYPE_CHECKING:
    from catchment.records import GoldStatus, LastRun, Status, TableStatus

_OUTCOMES = {"done": "ok", "nothing_new": "nothing new", "unknown": "has not said how it ended"}


@click.command(epilog=examples("catchment status", "catchment status --json"))
@target_option
@json_option
@click.pass_obj
def status(invocation: Invocation, target: str | None, as_json: bool) -> None:
    """Show where every table stands.

    Rows, version, the newest row and whether it is as fresh as the contract promises, what was rejected, and how many
    loads of its input a table has not taken yet.
    """
    from catchment.status import status as find_status

    found = find_status(invocation.load(), target)
    if as_json:
        out_json(found)
        return
    for line in lines(found):
        out(line)


def lines(found: Status) -> list[str]:
    """The status as people read it."""
    head = f"{found.project} · target {found.target} · {_last_run(found.last_run)}"
    rows = [_row(table) for table in found.tables]
    if found.gold.is_current is not None or found.gold.build is not None:
        rows.append(_gold(found.gold))
    if not rows:
        return [head, "No table yet."]
    header = ("table", "rows", "version", "newest row", "fresh", "rejected", "behind")
    return [head, *aligned([header, *rows], right=frozenset({1, 5}), gap="   ")]


def _last_run(run: LastRun | None) -> str:
    if run is None:
        return "never run"
    spent = f", {seconds(run.seconds)}" if run.seconds is not None else ""
    return f"last run {instant(run.started_at)} UTC{spent}, {_OUTCOMES.get(run.outcome, run.outcome)}"


def _row(table: TableStatus) -> tuple[str, ...]:
    return (
        table.table,
        f"{table.rows:,}",
        f"{table.version}" if table.version is not None else "-",
        instant(table.newest),
        _fresh(table),
        _rejected(table),
        plural(table.behind, "load") if table.behind else "-",
    )


def _fresh(table: TableStatus) -> str:
    if table.fresh_within_s is None:
        return "-"
    if table.age_s is None:
        return "no row"
    allowed = _short(table.fresh_within_s)
    return f"ok ({allowed})" if table.age_s <= table.fresh_within_s else f"late: {_short(table.age_s)} old ({allowed})"


def _short(duration: float) -> str:
    """A time span in its largest fitting unit: `60 min`, `26 h`, `3 days`."""
    if duration < 120:
        return f"{duration:.0f} s"
    if duration < 2 * 3600:
        return f"{duration / 60:.0f} min"
    return f"{duration / 3600:.0f} h" if duration < 48 * 3600 else f"{duration / 86400:,.0f} days"


def _rejected(table: TableStatus) -> str:
    if table.rejected_share is not None:
        return share(table.rejected_share)
    return f"{table.rejected:,}" if table.rejected is not None else "-"


def _gold(gold: GoldStatus) -> tuple[str, ...]:
    build = f"build {gold.build}" if gold.build is not None else "-"
    behind = {True: "-", False: "yes", None: "-"}[gold.is_current]
    return ("gold", plural(len(gold.models), "model"), build, instant(gold.published_at), "-", "-", behind)
