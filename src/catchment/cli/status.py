"""`catchment status`: where every table stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from catchment.cli.invocation import Invocation, examples, json_option, limit_option, target_option
from catchment.cli.terminal import out_json, out_words
from catchment.observe.words import aligned, figures_behind, instant, plural, seconds, share

if TYPE_CHECKING:
    from catchment.answers import GoldStatus, LastRun, LiveStatus, PublishedStatus, Status, TableStatus, TableVersion

_OUTCOMES = {"done": "ok", "nothing_new": "nothing new", "unknown": "has not said how it ended"}

_FRESH = {True: "ok", False: "late", None: "-"}

# So many gaps of a table are named; --json has all of them.
_MOST_GAPS = 5


@click.command(
    epilog=examples(
        "catchment status",
        "catchment status --gaps",
        "catchment status --gold",
        "catchment status --versions silver.users",
    )
)
@click.option("--gaps", is_flag=True, help="Also tell on which days silver tables have no row; reads a column of each.")
@click.option("--gold", "all_of_gold", is_flag=True, help="All of gold, table by table; else the models of cur.")
@click.option("--versions", "table", metavar="TABLE", help="The versions of one table that can be read again.")
@limit_option(20)
@target_option
@json_option
@click.pass_obj
def status(
    invocation: Invocation,
    gaps: bool,
    all_of_gold: bool,
    table: str | None,
    limit: int,
    target: str | None,
    as_json: bool,
) -> int:
    """Show where every table stands.

    Rows, version, the newest row and whether it is as fresh as the contract promises, what was rejected, the score of
    the newest load (catchment quality), and how many loads of its input a table has not taken yet. A gap is a day in
    UTC without a row, between the oldest and the newest one; --limit is for --versions.

    Gold is as fresh as the silver tables that it was built over: late, once those rows are older than promised.
    """
    project, damaged = invocation.load(), False
    if table is None:
        from catchment.status import status as find_status

        found = find_status(project, target, gaps=gaps)
        told = [] if as_json else lines(found, all_of_gold=all_of_gold)
        damaged = any(one.problem for one in found.tables)
    else:
        from catchment.status import versions as find_versions

        kept = find_versions(project, target, table, limit)
        told = [] if as_json else version_lines(kept)
    if as_json:
        out_json(found if table is None else kept, words=True)
    for line in told:
        out_words(line)
    return int(damaged)


def version_lines(found: Sequence[TableVersion]) -> list[str]:
    """Versions as people read them."""
    rows = [
        (str(one.version), f"{instant(one.at, at='seconds')} UTC", f"{one.rows:,}", one.what or "-") for one in found
    ]
    return aligned([("version", "made at", "rows", "by"), *rows], right=frozenset({0, 2}))


def lines(found: Status, *, all_of_gold: bool = False) -> list[str]:
    """The status as people read it; of gold the models of cur, or all that it holds."""
    head = f"{found.project} · target {found.target} · {_last_run(found.last_run)}"
    looked = any(table.gaps is not None for table in found.tables)
    rows = [(*_row(table), *([_gaps(table)] if looked else [])) for table in found.tables]
    if found.gold.is_current is not None or found.gold.build is not None:
        rows += [(*row, *(["-"] if looked else [])) for row in _gold(found.gold, all_of_gold)]
    if not rows:
        return [head, "No table yet."]
    columns = ("table", "rows", "version", "newest row", "fresh", "rejected", "score", "behind")
    header = (*columns, *(["gaps"] if looked else []))
    notes = [f"  {note}" for table in found.tables for note in _notes(table)]
    notes += [f"  {note}" for note in _gold_notes(found.gold)]
    told = aligned([header, *rows], right=frozenset({1, 5, 6}), gap="   ")
    return [head, *told, *notes, *_topics(found.topics), *_live(found.live)]


def _topics(found: Sequence[PublishedStatus]) -> list[str]:
    """Refined topics, and what to do where one has stopped."""
    if not found:
        return []
    rows = [
        (
            one.topic or "-",
            one.table,
            "-" if one.messages is None else f"{one.messages:,}",
            "stopped" if one.stopped else plural(one.behind, "commit") if one.behind else "-",
        )
        for one in found
    ]
    notes = [f"  {one.problem}" for one in found if one.problem is not None]
    for one in found:
        if one.stopped is not None:
            notes.append(f"  {one.table} is not published any further: {one.stopped}")
            notes.append(f"  choose: {'   or   '.join(one.choices)}")
    return [*aligned([("topic", "from", "messages", "behind"), *rows], right=frozenset({2}), gap="   "), *notes]


def _live(found: LiveStatus | None) -> list[str]:
    """Live figures, and what to do where one was edited."""
    if found is None:
        return []
    if found.problem is not None:
        return [f"  {found.problem}"]
    rows = [
        (
            f"live.{one.metric}",
            one.table,
            figures_behind(one.behind, reset=one.reset) if one.declared else "no longer declared",
        )
        for one in found.metrics
    ]
    edited = any(one.differences for one in found.metrics)
    notes = ["  some are not as the project says: catchment live apply"] if edited else []
    return [*aligned([(f"live ({found.store})", "from", "behind"), *rows], gap="   "), *notes]


def _gaps(table: TableStatus) -> str:
    if not table.gaps:
        return "-"
    return plural(sum((last - first).days + 1 for first, last in table.gaps), "day")


def _notes(table: TableStatus) -> Iterator[str]:
    """What of a table wants a look, one line each."""
    if table.problem is not None:
        yield table.problem
    if table.held:
        yield (f"{plural(table.held, 'row')} of {table.table} are held: catchment quarantine show {table.table} --held")
    if table.waiting:
        yield f"{plural(table.waiting, 'row')} of {table.table} wait for rows that they refer to"
    if table.gaps:
        days = [f"{first}" if first == last else f"{first} to {last}" for first, last in table.gaps]
        more = f" and {plural(len(days) - _MOST_GAPS, 'more gap')}" if len(days) > _MOST_GAPS else ""
        yield f"{table.table} has no row of {', '.join(days[:_MOST_GAPS])}{more}"


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
        _score(table),
        plural(table.behind, "load") if table.behind else "-",
    )


def _score(table: TableStatus) -> str:
    from catchment.silver.usual import shown

    return "-" if table.score is None else shown("score", table.score)


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


def _gold_notes(gold: GoldStatus) -> list[str]:
    notes = []
    if gold.content_of is not None and gold.content_of != gold.build:
        notes.append(f"gold was rolled back: build {gold.build} is what build {gold.content_of} held")
    if gold.late:
        notes.append(f"gold holds {', '.join(gold.late)} as of longer ago than was promised")
    if gold.warnings:
        notes.append(f"gold: {plural(len(gold.warnings), 'test')} of {gold.tests} warned: {', '.join(gold.warnings)}")
    if gold.exposures:
        notes.append(f"gold is used by {', '.join(gold.exposures)}")
    return notes


def _gold(gold: GoldStatus, all_of_it: bool) -> Iterator[tuple[str, ...]]:
    build = f"build {gold.build}" if gold.build is not None else "-"
    behind = {True: "-", False: "yes", None: "-"}[gold.is_current]
    models = plural(len(gold.models), "model")
    yield "gold", models, build, instant(gold.published_at), _FRESH[gold.is_fresh], "-", "-", behind
    for one in gold.tables:
        if all_of_it or one.layer == "cur":
            rows = one.materialized if one.rows is None else f"{one.rows:,}"
            yield one.table, rows, build, "-", _FRESH[one.is_fresh], "-", "-", "-"
