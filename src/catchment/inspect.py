"""Look at a project's tables without changing them: rows by SQL, quarantine, and what a refine would give."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catchment import naming
from catchment.bronze.land import arriving
from catchment.connected import Connected
from catchment.errors import ConfigError, Problem
from catchment.naming import TableName
from catchment.project import Project
from catchment.records import Preview, QuarantineSummary, Rejected, Scan
from catchment.silver.definition import Table
from catchment.silver.judge import QUARANTINE, count_reasons, parsed
from catchment.silver.rehearsal import rehearse
from catchment.silver.step import Rows, lookups

if TYPE_CHECKING:
    from catchment.interfaces import Engine

_REASONS = 20


def query(project: Project, target: str | None, sql: str) -> pa.RecordBatchReader:
    """Rows of a reading statement over bronze, silver, quarantine and gold, streamed. Raises ConfigError."""
    connected = Connected.of(project, target)
    scans: dict[TableName, Scan] = {}
    mentioned = sql.lower()
    for name in connected.lake.list():
        # Only what the statement may mean is opened: a lake can hold thousands of tables.
        found = _scan(connected, name) if name.name in mentioned else None
        scans[name] = found or Scan(files=(), schema=pa.schema([]))
    return connected.warehouse.query(sql, scans)


def _scan(connected: Connected, name: TableName) -> Scan | None:
    """A table's rows; of a quarantine table those whose verdict counts: silver's state names its number."""
    # Silver first: verdicts are written before the silver commit that names them.
    silver = connected.lake.open(naming.silver_table(name.name)) if name.layer == "quarantine" else None
    table = connected.lake.open(name)
    if table is None or name.layer != "quarantine":
        return None if table is None else table.scan()
    return replace(table.scan(), judged=() if silver is None else tuple(silver.progress().judged))


def quarantine_summaries(project: Project, target: str | None) -> Sequence[QuarantineSummary]:
    """One line a table that has rejected rows, most rows first."""
    connected = Connected.of(project, target)
    engine = connected.engine()
    try:
        found = [_summary(connected, engine, name) for name in project.silver]
    finally:
        engine.close()
    return sorted((summary for summary in found if summary.rows), key=lambda summary: -summary.rows)


def _summary(connected: Connected, engine: Engine[Any], name: str) -> QuarantineSummary:
    table = naming.silver_table(name)
    rejects = standing_rejects(connected, engine, table)
    if rejects is None:
        return QuarantineSummary(str(table), 0, None, ())
    figures = engine.fetch(parsed("SELECT count(*) AS n, max(_loaded_at) AS newest FROM rejects"), {"rejects": rejects})
    row = figures.to_pylist()[0]
    reasons = engine.fetch(count_reasons(_REASONS), {"rejects": rejects}).to_pylist()
    return QuarantineSummary(str(table), row["n"], row["newest"], tuple((r["words"], r["n"]) for r in reasons))


def standing_rejects(connected: Connected, engine: Engine[Any], silver: TableName) -> Any:
    """The rows in quarantine whose verdict counts. None where there is no table."""
    scan = _scan(connected, naming.quarantine_table(silver))
    return None if scan is None else engine.frame(scan)


def quarantine_rows(project: Project, target: str | None, table: str, limit: int) -> Sequence[Rejected]:
    """The newest rejected rows of a silver table. Raises ConfigError for a table that is not there."""
    name = _silver_name(project, table)
    connected = Connected.of(project, target)
    engine = connected.engine()
    try:
        rejects = standing_rejects(connected, engine, name)
        if rejects is None:
            return ()
        newest = parsed(f"SELECT * FROM rejects ORDER BY _load DESC, _row, _shard LIMIT {limit}")
        return _rejected(name, engine.fetch(newest, {"rejects": rejects}))
    finally:
        engine.close()


def _rejected(table: TableName, rows: pa.Table) -> tuple[Rejected, ...]:
    return tuple(
        Rejected(
            table=str(table),
            origin=row["_origin"],
            position=row["_position"],
            load=row["_load"],
            row=row["_row"],
            judged=row["_judged"],
            reasons=tuple((r["column"], r["rule"], r["message"], r["value"]) for r in row["reasons"]),
            raw=row["raw"],
        )
        for row in rows.to_pylist()
    )


def preview(project: Project, target: str | None, table: str, limit: int) -> Preview:
    """What a refine of everything in the table's input would give: bronze where it has landed, and the source's new
    rows beside it. Nothing is written. Raises ConfigError."""
    name = _silver_name(project, table)
    connected = Connected.of(project, target)
    declared = connected.silver(name.name)
    engine = connected.engine()
    connected.state.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="preview-", dir=connected.state) as folder:
        try:
            frame, schema = _input(connected, declared, engine, folder)
            rows = Rows(declared, engine, schema, 0, lookups(declared, connected.lake, engine))
            rows.over(frame)
            return _previewed(name, engine, rows, limit)
        finally:
            engine.close()


def _input(connected: Connected, declared: Table, engine: Engine[Any], folder: str) -> tuple[Any, pa.Schema]:
    """Everything a silver table would be made from, and the columns it has."""
    bronze = connected.lake.open(naming.bronze_table(declared.streams[0]))
    feed = next(feed for feed in connected.project.feeds() if feed.name == declared.streams[0])
    fresh = arriving(connected.source(feed.name.partition(".")[0]), feed, bronze, engine, folder)
    if fresh is None and bronze is None:
        message = f"{feed.table} is empty and {feed.name} brings no rows"
        raise ConfigError(message, hint="catchment plan shows what each stream would bring")
    scans = [] if bronze is None else [bronze.scan()]
    if fresh is not None:
        files, schema = fresh
        scans.append(Scan(files=tuple(file.path for file in files), schema=schema))
    frames = {f"part_{place}": engine.frame(scan) for place, scan in enumerate(scans)}
    union = " UNION ALL BY NAME ".join(f"SELECT * FROM {name}" for name in frames)
    return engine.query(parsed(union), frames), pa.unify_schemas([scan.schema for scan in scans])


def _previewed(name: TableName, engine: Engine[Any], rows: Rows, limit: int) -> Preview:
    bad = rows.bad()
    frames: Mapping[str, Any] = {f"bad_{place}": frame for place, frame in enumerate(bad)}
    union = " UNION ALL BY NAME ".join(f"SELECT * FROM {frame}" for frame in frames)
    rejects = engine.frame(engine.fetch(parsed(union), frames)) if frames else engine.frame(QUARANTINE.empty_table())
    failed = engine.fetch(parsed("SELECT count(*) AS n FROM rejects"), {"rejects": rejects}).column("n")[0].as_py()
    reasons = engine.fetch(count_reasons(_REASONS), {"rejects": rejects}).to_pylist()
    columns = ", ".join(naming.quoted(column.name) for column in rows.contract.columns)
    good = rows.good()
    shown = engine.fetch(parsed(f"SELECT {columns} FROM good ORDER BY _load, _row LIMIT {limit}"), {"good": good})
    passed = engine.fetch(parsed("SELECT count(*) AS n FROM good"), {"good": good}).column("n")[0].as_py()
    some = engine.fetch(parsed(f"SELECT * FROM rejects ORDER BY _load, _row LIMIT {limit}"), {"rejects": rejects})
    return Preview(
        table=str(name),
        read=rows.read,
        passed=passed,
        failed=failed,
        reasons=tuple((row["words"], row["n"]) for row in reasons),
        good=shown,
        bad=_rejected(name, some),
    )


def rehearsals(project: Project) -> list[Problem]:
    """What only the engine can find wrong with contracts and refine functions; reads no row."""
    connected = Connected.of(project)
    engine = connected.engine()
    try:
        found = []
        for name, declared in project.silver.items():
            bronze = connected.lake.open(naming.bronze_table(declared.streams[0]))
            source, _, stream = declared.streams[0].partition(".")
            settings = project.sources[source].streams[stream]
            documents = settings.format == "jsonl" or (settings.format is None and "json" in settings.path)
            schema = None if bronze is None else bronze.schema()
            found += rehearse(connected.silver(name), engine, documents=documents, bronze=schema)
        return found
    finally:
        engine.close()


def _silver_name(project: Project, table: str) -> TableName:
    name = table.removeprefix("silver.")
    if name not in project.silver:
        message = f"no table {table} in this project"
        near = naming.nearest(name, project.silver)
        known = ", ".join(f"silver.{known}" for known in project.silver) or "no silver tables"
        raise ConfigError(message, hint=f"did you mean silver.{near}?" if near else f"there are {known}")
    return naming.silver_table(name)
