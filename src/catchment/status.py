"""Where things stand: every table with its rows, version, freshness and rejects, and the served gold."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from catchment import naming
from catchment.connected import Connected
from catchment.gold.build import changes
from catchment.inspect import standing_rejects
from catchment.naming import TableName
from catchment.project import Project
from catchment.records import GoldStatus, LastRun, Status, TableStatus
from catchment.silver.judge import parsed

if TYPE_CHECKING:
    from catchment.interfaces import Engine


def status(project: Project, target: str | None, *, now: datetime | None = None) -> Status:
    """Every table of the project; `now` is an instant in UTC against which freshness is told."""
    connected = Connected.of(project, target)
    engine = connected.engine()
    try:
        bronze = [_bronze(connected, feed.table) for feed in project.feeds()]
        silver = [_silver(connected, engine, name, now or datetime.now(UTC)) for name in project.silver]
    finally:
        engine.close()
    found = [table for table in [*bronze, *silver] if table is not None]
    return Status(project.name, connected.target_name, tuple(found), _gold(connected), _last_run(connected))


def _bronze(connected: Connected, name: TableName) -> TableStatus | None:
    table = connected.lake.open(name)
    return None if table is None else TableStatus(table=str(name), rows=table.scan().rows, version=table.pin.version)


def _silver(connected: Connected, engine: Engine[Any], name: str, now: datetime) -> TableStatus | None:
    full = naming.silver_table(name)
    table = connected.lake.open(full)
    if table is None:
        return None
    declared = connected.silver(name)
    scan = table.scan()
    rejects = standing_rejects(connected, engine, full)
    rejected = 0
    if rejects is not None:
        counted = engine.fetch(parsed("SELECT count(*) AS n FROM rejects"), {"rejects": rejects})
        rejected = counted.column("n")[0].as_py()
    bronze = connected.lake.open(naming.bronze_table(declared.streams[0]))
    taken = int(table.progress().cursors.get("refine", {}).get(str(naming.bronze_table(declared.streams[0])), 0))
    landed = 0 if bronze is None else bronze.scan(loads=(0, taken)).rows
    freshness = declared.contract.freshness
    newest = None
    if freshness is not None and scan.files:
        column = naming.quoted(freshness.column)
        found = engine.fetch(
            parsed(f"SELECT CAST(max({column}) AS TIMESTAMPTZ) AS newest FROM t"), {"t": engine.frame(scan)}
        )
        newest = found.column("newest")[0].as_py()
    return TableStatus(
        table=str(full),
        rows=scan.rows,
        version=table.pin.version,
        newest=newest,
        age_s=None if newest is None else (now - newest).total_seconds(),
        fresh_within_s=None if freshness is None else freshness.seconds,
        rejected=rejected,
        rejected_share=rejected / landed if landed else None,
        behind=0 if bronze is None else max(0, bronze.progress().generation - taken),
    )


def _gold(connected: Connected) -> GoldStatus:
    if connected.project.gold is None:
        return GoldStatus(None, None)
    served = connected.warehouse.served()
    if served is None:
        return GoldStatus(None, None, (), False)
    from catchment.gold.dbt import fingerprint

    current = not changes(served, connected.pinned(), fingerprint(connected.dbt.folder))
    at = served.get("published_at")
    return GoldStatus(
        build=served["build"],
        published_at=datetime.fromisoformat(at) if isinstance(at, str) else at,
        models=tuple(sorted(served["models"])),
        is_current=current,
    )


def _last_run(connected: Connected) -> LastRun | None:
    from catchment.observe.history import last_run

    return last_run(connected.state.parent)
