"""Look at a project's tables without changing them: rows by SQL, quarantine, and what a refine would give."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catchment import naming
from catchment.answers import Preview, QuarantineSummary, Rejected
from catchment.bronze.land import arriving
from catchment.connected import Connected
from catchment.errors import ConfigError, Problem
from catchment.naming import TableName
from catchment.project import Project
from catchment.reading.moments import words
from catchment.records import FileForm, Progress, Scan
from catchment.silver import definition as definitions
from catchment.silver.held import held_span
from catchment.silver.judge import HELD, count_reasons, parsed, stacked
from catchment.silver.quality import FIGURES
from catchment.silver.rehearsal import rehearse
from catchment.silver.rows import Rows, lookups, refer, referred_keys
from catchment.silver.span import of_stream

if TYPE_CHECKING:
    from catchment.interfaces import Engine, Table

_REASONS = 20

# The layers of which earlier versions are kept; the figures of loads go with the versions of silver.
_LAKE = ("bronze", "silver", "quarantine")
_KEPT = (*_LAKE, naming.QUALITY)


def query(project: Project, target: str | None, sql: str, as_of: int | datetime | None = None) -> pa.RecordBatchReader:
    """Rows of a reading statement over bronze, silver, quarantine and gold, streamed; or over the lake as it was.

    Raises ConfigError, also for a table that was not there `as_of` then, and for gold, of which one build is kept.
    """
    connected = Connected.of(project, target)
    tables = _tables(connected, sql, as_of)
    figures = _figures_of_now(connected, sql) if as_of is None else None
    if figures is None:
        return connected.warehouse.query(sql, tables, gold=as_of is None)
    folder, live = figures
    rows = connected.warehouse.query(sql, {**tables, **live})
    return pa.RecordBatchReader.from_batches(rows.schema, _with_folder(rows, folder))


def write_query(
    project: Project,
    target: str | None,
    sql: str,
    path: Path,
    form: FileForm,
    *,
    as_of: int | datetime | None = None,
    told: Callable[[float], None] | None = None,
) -> int:
    """What `query` gives as a new file; the number of rows. Raises ConfigError."""
    connected = Connected.of(project, target)
    with connected.reads.at_work():
        tables = _tables(connected, sql, as_of)
        folder, live = (_figures_of_now(connected, sql) if as_of is None else None) or (contextlib.nullcontext(), {})
        with folder:
            return connected.warehouse.export(sql, {**tables, **live}, path, form, gold=as_of is None, told=told)


def _figures_of_now(
    connected: Connected, sql: str
) -> tuple[tempfile.TemporaryDirectory[str], dict[TableName, Scan]] | None:
    """The live figures that a statement may mean, in files of a folder that goes with the value; None for none."""
    from pyarrow import parquet

    mentioned = sql.lower()
    meant = [name for name in connected.project.live if name in mentioned and naming.LIVE in mentioned]
    if not meant:
        return None
    connected.state.mkdir(exist_ok=True)
    folder, found = tempfile.TemporaryDirectory(prefix="live-", dir=connected.state), dict[TableName, Scan]()
    try:
        for name in meant:
            rows = connected.live_store.query(f"SELECT * FROM {naming.LIVE}.{naming.quoted(name)}").read_all()
            path = f"{folder.name}/{name}.parquet"
            parquet.write_table(rows, path)
            found[TableName(naming.LIVE, name)] = Scan(files=(path,), schema=rows.schema, rows=rows.num_rows)
    except BaseException:
        folder.cleanup()
        raise
    finally:
        connected.live_store.close()
    return folder, found


def _with_folder(rows: pa.RecordBatchReader, folder: tempfile.TemporaryDirectory[str]) -> Iterator[pa.RecordBatch]:
    """The rows, as long as the folder that they are read from is there."""
    with folder:
        yield from rows


def _tables(connected: Connected, sql: str, as_of: int | datetime | None) -> dict[TableName, Scan]:
    """Every table of the lake; only what the statement may mean is opened, for a lake can hold thousands."""
    known = _readable(connected)
    nothing = Scan(files=(), schema=pa.schema([]))
    if as_of is None:
        mentioned = sql.lower()
        may = {name for name in known if name.name in mentioned and (name.layer in _LAKE or name.layer in mentioned)}
        live = {TableName(naming.LIVE, name): nothing for name in connected.project.live}
        return live | {name: (_scan(connected, name) if name in may else None) or nothing for name in known}
    meant = _meant(sql, as_of, known)
    return {name: scan_as_of(connected, name, as_of) if name in meant else nothing for name in known}


def _readable(connected: Connected) -> list[TableName]:
    """Every table of the lake, and what is known of the loads of those in silver."""
    found = connected.reads.list()
    return [*found, *(TableName(naming.QUALITY, name.name) for name in found if name.layer == "silver")]


def _meant(sql: str, as_of: int | datetime, known: Sequence[TableName]) -> set[TableName]:
    """The tables that a statement reads as of another time; those that are not there are told by the warehouse."""
    found = _mentioned(sql)
    later = sorted(name for name in found if name.layer not in _KEPT)
    if later:
        message = f"{later[0]} cannot be read as of {words(as_of)}: of gold only the build that is served can be read"
        raise ConfigError(message, hint="ask bronze, silver or quarantine, or leave the time out")
    if isinstance(as_of, int) and len(found) > 1:
        message = f"a version is one table's own, and this names {', '.join(sorted(map(str, found)))}"
        raise ConfigError(message, hint="give a time instead, such as 2026-11-01T08:30Z: it means all of them")
    return {name for name in known if TableName(name.layer, name.name.lower()) in found}


def _mentioned(sql: str) -> set[TableName]:
    """What stands behind a schema in a statement, in small letters. Raises ConfigError for what cannot be parsed."""
    import sqlglot
    from sqlglot import exp

    try:
        statements = sqlglot.parse(sql, read="duckdb")
    except sqlglot.ParseError as error:
        message = f"the query was not understood: {str(error).partition(chr(10))[0]}"
        raise ConfigError(message) from error
    tables = [table for statement in statements if statement is not None for table in statement.find_all(exp.Table)]
    return {TableName(table.db.lower(), table.name.lower()) for table in tables if table.db}


def scan_as_of(connected: Connected, name: TableName, as_of: int | datetime) -> Scan:
    """A table of the lake as it was. Raises ConfigError where it was not there, or is no longer kept.

    Versions of a quarantine table are those of its silver table: a verdict counts where silver's state names it.
    """
    if name.layer == naming.QUALITY:
        return _figures(connected, _opened_then(connected, naming.silver_table(name.name), as_of, as_of))
    silver = None
    at = as_of
    if name.layer == "quarantine":
        silver = connected.reads.open(naming.silver_table(name.name), as_of)
        at = as_of if silver is None or isinstance(as_of, datetime) else silver.history(1)[0].at
    table = _opened_then(connected, name, at, as_of)
    return _counting(table.scan(), silver) if name.layer == "quarantine" else table.scan()


def _opened_then(connected: Connected, name: TableName, at: int | datetime, as_of: int | datetime) -> Table:
    table = connected.reads.open(name, at)
    if table is None:
        message = f"{name} was not there yet as of {words(as_of)}, or nothing from then is kept"
        raise ConfigError(message, hint=f"its versions: catchment status --versions {name}")
    return table


def _scan(connected: Connected, name: TableName) -> Scan | None:
    """A table's rows; of a quarantine table those whose verdict counts: silver's state names its number."""
    if name.layer == naming.QUALITY:
        opened = connected.reads.open(naming.silver_table(name.name))
        return None if opened is None else _figures(connected, opened)
    # Silver first: verdicts are written before the silver commit that names them.
    silver = connected.reads.open(naming.silver_table(name.name)) if name.layer == "quarantine" else None
    table = connected.reads.open(name)
    if table is None or name.layer != "quarantine":
        return None if table is None else table.scan()
    return _counting(table.scan(), silver)


def _figures(connected: Connected, silver: Table) -> Scan:
    """The figures of a silver table's loads, as its state names them."""
    return Scan(files=tuple(connected.reads.seen_files(silver.name, silver.progress())), schema=FIGURES)


def _counting(scan: Scan, silver: Table | None) -> Scan:
    """A quarantine table's rows that silver's state names."""
    progress = Progress() if silver is None else silver.progress()
    return replace(scan, judged=tuple(progress.judged), waiting=tuple(progress.waiting))


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


def quarantine_rows(
    project: Project, target: str | None, table: str, limit: int, *, held: bool = False
) -> Sequence[Rejected]:
    """The newest rejected and waiting rows of a silver table, or those that are `held`. Raises ConfigError for a table
    that is not there."""
    name = silver_name(project, table)
    connected = Connected.of(project, target)
    engine = connected.engine()
    try:
        rejects = _held_rows(connected, engine, name) if held else standing_rejects(connected, engine, name)
        if rejects is None:
            return ()
        newest = parsed(f"SELECT * FROM rejects ORDER BY _load DESC, _row, _shard LIMIT {limit}")
        return _rejected(name, engine.fetch(newest, {"rejects": rejects}))
    finally:
        engine.close()


def _held_rows(connected: Connected, engine: Engine[Any], silver: TableName) -> Any:
    """The rows of the span that a rule holds back, None where none is."""
    held = held_span(connected.lake, silver)
    quarantine = connected.lake.open(naming.quarantine_table(silver))
    if held is None or quarantine is None:
        return None
    rows = engine.frame(quarantine.scan(within={"_judged": (held["judged"], held["judged"])}))
    chosen = f"SELECT * FROM q WHERE status = {naming.literal(HELD)} AND _judged = {held['judged']:d}"
    return engine.query(parsed(chosen), {"q": rows})


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
            status=row["status"],
            stream=row["_stream"],
        )
        for row in rows.to_pylist()
    )


def preview(project: Project, target: str | None, table: str, limit: int) -> Preview:
    """What a refine of everything in the table's input would give: bronze where it has landed, and the source's new
    rows beside it. Nothing is written. Raises ConfigError."""
    name = silver_name(project, table)
    connected = Connected.of(project, target)
    declared = connected.silver(name.name)
    engine = connected.engine()
    connected.state.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="preview-", dir=connected.state) as folder:
        try:
            looked_up, referred = (
                lookups(declared, connected.reads, engine),
                referred_keys(declared, connected.reads, engine, anew=True),
            )
            taken = []
            for stream, frame, schema in _inputs(connected, declared, engine, folder):
                rows = Rows(declared, stream, engine, schema, 0, looked_up)
                rows.over(frame)
                taken.append(rows)
            refer(taken, referred)
            return _previewed(name, engine, taken, limit)
        finally:
            engine.close()


def _inputs(
    connected: Connected, declared: definitions.Table, engine: Engine[Any], folder: str
) -> list[tuple[str, Any, pa.Schema]]:
    """Everything a silver table would be made from, by stream, and the columns it has. Raises ConfigError for none."""
    found = []
    for stream in declared.streams:
        scans = []
        for feed in connected.project.feeds_of(stream):
            bronze = connected.lake.open(feed.table)
            with contextlib.closing(connected.feeding(feed)) as source:
                fresh = arriving(source, feed, connected.lake, engine, folder)
            scans += [] if bronze is None else [bronze.scan()]
            if fresh is not None:
                files, schema = fresh
                scans.append(Scan(files=tuple(file.path for file in files), schema=schema))
        if not scans:
            continue
        schema = pa.unify_schemas([scan.schema for scan in scans])
        rows = of_stream(declared, stream, engine, stacked(engine, [engine.frame(scan) for scan in scans]))
        found.append((stream, rows, schema))
    if not found:
        tables = [str(table) for _, _, table in declared.reads()]
        message = f"{', '.join(tables)} {'is' if len(tables) == 1 else 'are'} empty and no stream brings rows"
        raise ConfigError(message, hint="catchment plan shows what each stream would bring")
    return found


def _previewed(name: TableName, engine: Engine[Any], taken: Sequence[Rows], limit: int) -> Preview:
    bad = [frame for rows in taken for frame in rows.bad()]
    rejects = stacked(engine, bad)
    failed = engine.fetch(parsed("SELECT count(*) AS n FROM rejects"), {"rejects": rejects}).column("n")[0].as_py()
    reasons = engine.fetch(count_reasons(_REASONS), {"rejects": rejects}).to_pylist()
    columns = ", ".join(naming.quoted(column.name) for column in taken[0].contract.columns)
    good = stacked(engine, [rows.good() for rows in taken])
    shown = engine.fetch(parsed(f"SELECT {columns} FROM good ORDER BY _load, _row LIMIT {limit}"), {"good": good})
    passed = engine.fetch(parsed("SELECT count(*) AS n FROM good"), {"good": good}).column("n")[0].as_py()
    some = engine.fetch(parsed(f"SELECT * FROM rejects ORDER BY _load, _row LIMIT {limit}"), {"rejects": rejects})
    return Preview(
        table=str(name),
        read=sum(rows.figures.read for rows in taken),
        passed=passed,
        failed=failed,
        reasons=tuple((row["words"], row["n"]) for row in reasons),
        good=shown,
        bad=_rejected(name, some),
    )


def rehearsals(project: Project) -> list[Problem]:
    """What only the engine can find wrong with contracts and refine functions; reads no row."""
    connected = Connected.of(project)
    project, engine = connected.project, connected.engine()
    try:
        found = []
        for name, declared in project.silver.items():
            for feed in declared.streams:
                bronze = connected.lake.open(project.feed(feed).table)
                schema = None if bronze is None else bronze.schema()
                documents = project.brings_documents(feed)
                found += rehearse(connected.silver(name), engine, feed, documents=documents, bronze=schema)
        return found
    finally:
        engine.close()


def silver_name(project: Project, table: str) -> TableName:
    """The silver table that is meant by `sales` or `silver.sales`. Raises ConfigError, with the nearest name."""
    name = table.removeprefix("silver.")
    if name not in project.silver:
        message = f"no table {table} in this project"
        near = naming.nearest(name, project.silver)
        known = ", ".join(f"silver.{known}" for known in project.silver) or "no silver tables"
        raise ConfigError(message, hint=f"did you mean silver.{near}?" if near else f"there are {known}")
    return naming.silver_table(name)


def loads_between(
    project: Project,
    target: str | None,
    table: str,
    stream: str | None,
    since: int | datetime | None,
    until: int | datetime | None,
) -> tuple[int, int]:
    """The loads of a silver table's stream that landed from `since` on and before `until`, `(after, to]`.

    Raises ConfigError where there are none, or where the stream must be named.
    """
    if isinstance(since, int) or isinstance(until, int):
        message = "--since and --until are times"
        raise ConfigError(message, hint="write 2026-11-01T08:30Z or 2026-11-01, or name --loads 2-5")
    name = silver_name(project, table)
    streams = project.silver[name.name].streams
    if stream is None and len(streams) > 1:
        message = f"{name} has several streams: {', '.join(streams)}"
        raise ConfigError(message, hint=f"name one, such as --stream {streams[0]}")
    connected = Connected.of(project, target)
    landing = connected.project.feed(stream or streams[0]).table
    bronze = connected.lake.open(landing)
    wanted = [
        f"_loaded_at {sign} TIMESTAMPTZ {naming.literal(at.isoformat())}"
        for sign, at in ((">=", since), ("<", until))
        if at is not None
    ]
    engine = connected.engine()
    try:
        found: dict[str, Any] = {"low": None}
        if bronze is not None:
            frames = {"b": engine.frame(bronze.scan(within={"_loaded_at": (since, until)}))}
            bounds = f"SELECT min(_load) AS low, max(_load) AS high FROM b WHERE {' AND '.join(wanted) or 'TRUE'}"
            found = engine.fetch(parsed(bounds), frames).to_pylist()[0]
    finally:
        engine.close()
    if found["low"] is None:
        message = f"no load of {stream or streams[0]} landed then"
        raise ConfigError(message, hint=f"catchment status --versions {landing}")
    return found["low"] - 1, found["high"]
