"""Facts of a project and its lake as one value. What cannot be told is told to be absent; it stops nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from catchment import naming
from catchment.answers import GoldStatus, Lineage, QualityOfLoad, QualityOfTable, QuarantineSummary, Status, TableStatus
from catchment.connected import Connected
from catchment.errors import CatchmentError
from catchment.site.absences import Absences
from catchment.site.facts import SiteFacts, TableFacts
from catchment.site.from_gold import built_gold, gold_facts
from catchment.site.from_lake import bronze_facts, origin_facts, silver_facts
from catchment.site.tracing import Tracing

if TYPE_CHECKING:
    from catchment.project import Project


def gather(project: Project, target: str | None, *, now: datetime | None = None) -> SiteFacts:
    """Everything that the site tells of a project on a target. Raises ConfigError for a target that is not there.

    dbt compiles the models where they have changed since it last did; nothing is built, and no table is written.
    """
    connected = Connected.of(project, target)
    project = connected.project
    absences = Absences(str(project.folder))
    at = (now or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0)
    tracing = Tracing.of(_lineage(project, target, absences), project.feeds())
    status = _status(connected, at, absences)
    standing = {table.table: table for table in status.tables}
    if not standing and not absences.broken and project.sources:
        absences.tell("nothing has landed yet: pages show what the project promises, not what is there")
    reasons = {summary.table: summary.reasons for summary in _rejects(project, target, absences)}
    built = built_gold(connected, absences)
    found = [
        *origin_facts(project),
        *bronze_facts(connected, tracing, standing, absences),
        *silver_facts(connected, tracing, standing, reasons, built, absences),
        *gold_facts(connected, tracing, built),
    ]
    loads = _loads(project, target, absences)
    tables = {table.name: _completed(table, loads, absences) for table in found}
    return SiteFacts(
        project=project.name,
        target=connected.target_name,
        made_at=at,
        tables=tables,
        edges=sorted({edge for edge in _edges(project, tracing) if edge[0] in tables and edge[1] in tables}),
        gold=status.gold,
        has_gold=project.gold is not None,
        last_run=status.last_run,
        absent=tuple(absences.found),
    )


def _completed(table: TableFacts, loads: Mapping[str, Sequence[QualityOfLoad]], absences: Absences) -> TableFacts:
    name = table.name
    broken, not_yet = (tuple(dict.fromkeys(told.get(name, ()))) for told in (absences.broken, absences.not_yet))
    return replace(table, loads=loads.get(name, ()), broken=broken, not_yet=not_yet)


def _lineage(project: Project, target: str | None, absences: Absences) -> Lineage:
    from catchment.lineage import lineage

    nothing = Lineage()
    what = "where columns come from is not known"
    before = absences.attempt(what, partial(lineage, project, target, gold=False), nothing)
    if project.gold is None or before is nothing:
        return before
    what = "which columns gold is made of is not known"
    return absences.attempt(what, partial(lineage, project, target), before)


def _status(connected: Connected, now: datetime, absences: Absences) -> Status:
    """Where tables stand; where one of them cannot be read, each alone."""
    from catchment.observe.history import last_run
    from catchment.status import status

    project, target = connected.project, connected.target_name
    with contextlib.suppress(CatchmentError):
        return status(project, target, now=now)
    tables: list[TableStatus] = []
    for name, alone in _alone(project):
        found = absences.attempt(name, partial(status, alone, target, now=now), None, table=name)
        tables += [] if found is None else [table for table in found.tables if table.table == name]
    gold = absences.attempt("the served gold cannot be read", partial(_served, connected), GoldStatus(None, None))
    return Status(project.name, target, tables, gold, last_run(project.folder))


def _served(connected: Connected) -> GoldStatus:
    """The served gold, without a look at the lake: whether it is current is not known."""
    served = None if connected.project.gold is None else connected.warehouse.served()
    if served is None:
        return GoldStatus(None, None)
    at = datetime.fromisoformat(str(served["published_at"])) if served.get("published_at") else None
    return GoldStatus(served["build"], at, tuple(sorted(served["models"])), tests=served.get("tests"))


def _alone(project: Project) -> Iterator[tuple[str, Project]]:
    """For each table of the lake a project that has only that one, so that what is wrong with one is told of one."""
    for feed in project.feeds():
        only = _streams(project, [name for name in project.streams() if project.feed(name) == feed])
        yield str(feed.table), replace(project, sources=only, silver={}, gold=None)
    for name, declared in project.silver.items():
        silver = {name: declared.model_copy(update={"with_": {}})}
        only = _streams(project, declared.streams)
        yield str(naming.silver_table(name)), replace(project, sources=only, silver=silver, gold=None)


def _streams(project: Project, feeds: Sequence[str]) -> dict[str, Any]:
    """The sources with these streams only."""
    chosen: dict[str, dict[str, Any]] = {}
    for feed in feeds:
        source, _, stream = feed.partition(".")
        chosen.setdefault(source, {})[stream] = project.sources[source].streams[stream]
    return {name: project.sources[name].model_copy(update={"streams": only}) for name, only in chosen.items()}


def _rejects(project: Project, target: str | None, absences: Absences) -> Sequence[QuarantineSummary]:
    from catchment.inspect import quarantine_summaries

    with contextlib.suppress(CatchmentError):
        return quarantine_summaries(project, target)
    found: list[QuarantineSummary] = []
    for name, alone in _alone(project):
        if alone.silver:
            found += absences.attempt(name, partial(quarantine_summaries, alone, target), (), table=name)
    return found


def _loads(project: Project, target: str | None, absences: Absences) -> Mapping[str, Sequence[QualityOfLoad]]:
    """What the last loads of silver tables were like, oldest first."""
    from catchment.quality import quality

    found: list[QualityOfTable] = []
    try:
        found += quality(project, target)
    except CatchmentError:
        for name in project.silver:
            full = str(naming.silver_table(name))
            found += absences.attempt(full, partial(quality, project, target, name), (), table=full)
    for one in found:
        if one.problem is not None:
            absences.damaged(one.table, one.problem)
    return {one.table: one.loads for one in found}


def _edges(project: Project, tracing: Tracing) -> Iterator[tuple[str, str]]:
    for feed in project.feeds():
        yield feed.name.partition(".")[0], str(feed.table)
    for known in tracing.lineage.tables.values():
        if known.kind != "stream":
            yield from ((read, known.name) for read in tracing.reads(known.name))
    for name, declared in project.silver.items():
        table = str(naming.silver_table(name))
        if table not in tracing.lineage.tables:
            yield from ((str(project.feed(stream).table), table) for stream in declared.streams)
