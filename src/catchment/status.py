"""Where things stand: every table with its rows, version, freshness and rejects, and the served gold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from catchment import naming
from catchment.answers import (
    GoldStatus,
    LastRun,
    LiveStatus,
    MetricStanding,
    ModelStatus,
    PublishedStatus,
    Status,
    TableStatus,
    TableVersion,
)
from catchment.connected import Connected
from catchment.errors import CatchmentError, ConfigError, in_short
from catchment.gold.build import changes, content
from catchment.inspect import standing_rejects
from catchment.naming import TableName
from catchment.project import Project
from catchment.records import Progress, Scan
from catchment.silver.definition import Table
from catchment.silver.held import held_span
from catchment.silver.judge import parsed
from catchment.silver.quality import newest_score

if TYPE_CHECKING:
    from catchment.interfaces import Engine

# So many models are named as the slowest.
_SLOWEST = 5


def status(project: Project, target: str | None, *, now: datetime | None = None, gaps: bool = False) -> Status:
    """Every table of the project; `now` is an instant in UTC against which freshness is told.

    With `gaps` also the days without a row in silver, for which a whole column is read.
    """
    connected = Connected.of(project, target)
    engine = connected.engine()
    try:
        bronze = [_bronze(connected, feed.table) for feed in connected.project.feeds()]
        silver = [_silver(connected, engine, name, now or datetime.now(UTC), gaps) for name in project.silver]
    finally:
        engine.close()
    found = [table for table in [*bronze, *silver] if table is not None]
    gold = _gold(connected, now or datetime.now(UTC))
    topics, live = published(connected), live_figures(connected)
    return Status(project.name, connected.target_name, tuple(found), gold, _last_run(connected), topics, live)


def published(connected: Connected) -> tuple[PublishedStatus, ...]:
    """How every refined topic stands, without reading a message; an environment publishes nothing."""
    from catchment.publishing import published_tables

    tables = published_tables(connected) if connected.environment is None else []
    try:
        return tuple(_published(connected, name) for name in tables)
    finally:
        if tables:
            connected.broker.close()


def _published(connected: Connected, name: str) -> PublishedStatus:
    from catchment.publishing import standing

    full = str(naming.silver_table(name))
    try:
        found = standing(connected, name)
    except (CatchmentError, OSError) as error:
        return PublishedStatus(full, problem=in_short(error, full))
    return PublishedStatus(full, found.topic, found.messages, found.behind, found.stopped, found.choices)


def live_figures(connected: Connected) -> LiveStatus | None:
    """How every metric stands in the live store; None where none is declared."""
    if not connected.project.live:
        return None
    from catchment.figures import standing

    store = connected.live_type
    try:
        found = standing.status(connected, topics=False)
    except (CatchmentError, OSError) as error:
        return LiveStatus(store, problem=in_short(error, "live figures"))
    told = [
        MetricStanding(one.metric, one.table, one.behind, one.differences, one.reset, one.declared) for one in found
    ]
    return LiveStatus(store, told)


def versions(project: Project, target: str | None, table: str, limit: int | None = None) -> Sequence[TableVersion]:
    """The versions of a table of the lake that can be read again, newest first. Raises ConfigError."""
    connected = Connected.of(project, target)
    name = _lake_table(connected, table)
    found = []
    opened = connected.lake.open(name)
    for commit in [] if opened is None else opened.history(limit):
        try:
            then = connected.lake.open(name, commit.pin.version)
        except ConfigError:  # it is no longer kept
            continue
        if then is not None:
            rows = then.scan().rows
            found.append(TableVersion(commit.pin.version, commit.pin.generation, commit.at, rows, commit.operation))
    return found


def _lake_table(connected: Connected, table: str) -> TableName:
    known = {str(name): name for name in connected.lake.list()}
    if table not in known:
        message = f"no table {table} in the lake"
        hint = naming.did_you_mean(table, known) or f"there are {', '.join(known) or 'none yet'}"
        raise ConfigError(message, hint=hint)
    return known[table]


def _bronze(connected: Connected, name: TableName) -> TableStatus | None:
    table = connected.lake.open(name)
    return None if table is None else TableStatus(table=str(name), rows=table.scan().rows, version=table.pin.version)


def _silver(connected: Connected, engine: Engine[Any], name: str, now: datetime, gaps: bool) -> TableStatus | None:
    full = naming.silver_table(name)
    table = connected.lake.open(full)
    if table is None:
        return None
    declared = connected.silver(name)
    scan, progress = table.scan(), table.progress()
    verdicts = _verdicts(connected, engine, full)
    landed, behind = _input(connected, declared, progress)
    freshness = declared.contract.freshness
    newest = None if freshness is None else _newest(engine, scan, freshness.column)
    column = _day_column(declared)
    score, problem = _score(connected, full, progress)
    return TableStatus(
        table=str(full),
        rows=scan.rows,
        version=table.pin.version,
        newest=newest,
        age_s=None if newest is None else (now - newest).total_seconds(),
        fresh_within_s=None if freshness is None else freshness.seconds,
        rejected=verdicts.get("rejected", 0),
        rejected_share=verdicts.get("rejected", 0) / landed if landed else None,
        behind=behind,
        waiting=verdicts.get("waiting", 0),
        held=_held(connected, full),
        gaps=_gaps(engine, scan, column) if gaps and column is not None else None,
        score=score,
        problem=problem,
    )


def _score(connected: Connected, silver: TableName, progress: Progress) -> tuple[float | None, str | None]:
    """The score of the newest load, or why there is none to be told."""
    try:
        return newest_score(connected.lake, silver, progress), None
    except (CatchmentError, OSError) as error:
        return None, in_short(error, str(silver))


def _verdicts(connected: Connected, engine: Engine[Any], silver: TableName) -> dict[str, int]:
    """How many rows are in quarantine, by what they are there: rejected, waiting."""
    standing = standing_rejects(connected, engine, silver)
    if standing is None:
        return {}
    counted = parsed("SELECT status, count(*) AS n FROM standing GROUP BY status")
    return {row["status"]: row["n"] for row in engine.fetch(counted, {"standing": standing}).to_pylist()}


def _input(connected: Connected, declared: Table, progress: Progress) -> tuple[int, int]:
    """(rows that were taken of all streams, loads that were not)."""
    landed = behind = 0
    for _, _, name in declared.reads():
        bronze = connected.lake.open(name)
        if bronze is not None:
            taken = int(progress.cursors.get("refine", {}).get(str(name), 0))
            landed += bronze.scan(loads=(0, taken)).rows
            behind += max(0, bronze.progress().generation - taken)
    return landed, behind


def _held(connected: Connected, silver: TableName) -> int:
    """Rows of a span that a rule stopped and nobody has let pass."""
    held = held_span(connected.lake, silver)
    return 0 if held is None else int(held["read"])


def _newest(engine: Engine[Any], scan: Scan, column: str) -> datetime | None:
    if not scan.files:
        return None
    newest = parsed(f"SELECT CAST(max({naming.quoted(column)}) AS TIMESTAMPTZ) AS newest FROM t")
    found: datetime | None = engine.fetch(newest, {"t": engine.frame(scan)}).column("newest")[0].as_py()
    return found


def _day_column(declared: Table) -> str | None:
    """The column that tells of which day a row is, where there is one."""
    freshness = declared.contract.freshness
    named = (None if freshness is None else freshness.column, declared.latest_by, declared.event_time)
    times = {column.name for column in declared.contract.columns if column.type in ("date", "timestamp")}
    return next((name for name in named if name in times), None)


def _gaps(engine: Engine[Any], scan: Scan, column: str) -> tuple[tuple[date, date], ...]:
    """Days in UTC between the oldest and the newest row on which there is none, as closed ranges."""
    if not scan.files:
        return ()
    name = naming.quoted(column)
    between = parsed(
        "SELECT CAST(day + INTERVAL 1 DAY AS DATE) AS first, CAST(following - INTERVAL 1 DAY AS DATE) AS last"
        " FROM (SELECT day, lead(day) OVER (ORDER BY day) AS following"
        f" FROM (SELECT DISTINCT CAST({name} AS DATE) AS day FROM t WHERE {name} IS NOT NULL))"
        " WHERE following > day + INTERVAL 1 DAY ORDER BY first"
    )
    found = engine.fetch(between, {"t": engine.frame(scan)})
    return tuple((row["first"], row["last"]) for row in found.to_pylist())


def _gold(connected: Connected, now: datetime) -> GoldStatus:
    if connected.project.gold is None:
        return GoldStatus(None, None)
    served = connected.warehouse.served()
    if served is None:
        return GoldStatus(None, None, (), False)
    from catchment.gold.dbt import fingerprint
    from catchment.gold.standing import freshness

    current = not changes(served, connected.pinned(), fingerprint(connected.dbt.folder))
    at = served.get("published_at")
    fresh, tables = freshness(served, now), _models(connected, served, now)
    return GoldStatus(
        build=served["build"],
        published_at=datetime.fromisoformat(at) if isinstance(at, str) else at,
        models=tuple(sorted(served["models"])),
        is_current=current,
        content_of=content(served),
        history=tuple(sorted(served.get("history", ()))),
        tests=served.get("tests"),
        warnings=tuple(served.get("warnings", ())),
        exposures=tuple(served.get("exposures", ())),
        tables=tables,
        slowest=tuple(one.table for one in sorted(tables, key=lambda one: -(one.seconds or 0))[:_SLOWEST]),
        is_fresh=all(fresh.values()) if fresh else None,
        late=tuple(table for table, held in fresh.items() if not held),
    )


def _models(connected: Connected, served: Mapping[str, Any], now: datetime) -> tuple[ModelStatus, ...]:
    """Empty where it is not known any more what dbt told of the build."""
    from catchment.gold.artifacts import artifacts
    from catchment.gold.standing import models

    found, rules = artifacts(connected.dbt, served), connected.layer_rules
    if found is None or rules is None:
        return ()
    return tuple(models(found, connected.dbt, rules.layers, served, now))


def _last_run(connected: Connected) -> LastRun | None:
    from catchment.observe.history import last_run

    return last_run(connected.state.parent)
