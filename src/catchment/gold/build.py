"""The model and publish steps: build gold beside what is served, and serve it when it is green."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catchment.errors import CatchmentError, ConfigError, Conflict, DataError
from catchment.events import CheckFailed, GoldBuilt, GoldPublished
from catchment.gold import dbt as dbt_process
from catchment.gold.dbt import Dbt, Failure, Outcome
from catchment.naming import TableName, did_you_mean, silver_table

if TYPE_CHECKING:
    from catchment.interfaces import Build, Tell, Warehouse
    from catchment.records import Pin, Scan

_SHOWN = 10


@dataclass(frozen=True)
class Pinned:
    """A table of the lake as gold reads it: these files at this version, these columns."""

    scan: Scan
    pin: Pin
    columns: Sequence[str]


@dataclass(frozen=True)
class Built:
    """Green gold that nobody sees yet."""

    build: Build
    made_of: Mapping[str, Any]


def changes(served: Mapping[str, Any] | None, tables: Mapping[TableName, Pinned], fingerprint: str) -> tuple[str, ...]:
    """Why gold has to be built, in words; empty when nothing is new. Pure, for the plan too."""
    if served is None:
        return ("gold was never built",)
    before, now = served.get("pins", {}), _pins(tables)
    found = [f"{name} changed" for name in now if name in before and before[name] != now[name]]
    found += [f"{name} is new" for name in now if name not in before]
    found += [f"{name} is no longer read" for name in before if name not in now]
    if served.get("project") != fingerprint:
        found.append("the dbt project changed")
    return tuple(found)


def build_gold(
    warehouse: Warehouse,
    dbt: Dbt,
    tables: Mapping[TableName, Pinned],
    *,
    step: str,
    tell: Tell,
    stop: threading.Event | None = None,
) -> Built | None:
    """Gold over these versions, ready to be published; None when what is served was made of just them.

    Raises DataError where tests fail, ConfigError where the project is at fault; then nothing of the build is left and
    the old gold is served. dbt's state keeps the compiled SQL.
    """
    fingerprint = dbt_process.fingerprint(dbt.folder)
    served = warehouse.served()
    if not changes(served, tables, fingerprint):
        return None
    _refuse_absent(dbt, tables)
    began = time.monotonic()
    build = warehouse.build()
    try:
        for name, table in tables.items():
            warehouse.load(build, name, table.scan, table.columns)
        outcome = dbt_process.run(
            dbt, lambda at: warehouse.profile(build, at), build.path.parent, step=step, tell=tell, stop=stop
        )
        _refuse_not_yet(outcome)
        _report(outcome, step=step, tell=tell, seconds=time.monotonic() - began)
        if outcome.failures:
            raise _red(outcome, served)
    except BaseException:
        warehouse.discard(build)
        raise
    return Built(build, {"pins": _pins(tables), "project": fingerprint, "models": dict(outcome.relations)})


def publish_gold(warehouse: Warehouse, built: Built, *, step: str, tell: Tell) -> int:
    """Serve it; the build's number. Raises Conflict where another run was faster: then gold is to be built again."""
    try:
        warehouse.publish(built.build, built.made_of)
    except Conflict:
        warehouse.discard(built.build)
        raise
    tell(GoldPublished(step=step, build=built.build.number))
    return built.build.number


def _pins(tables: Mapping[TableName, Pinned]) -> dict[str, dict[str, Any]]:
    """JSON values; the first file is in it because the build's views name files, and a lake may have moved."""
    return {
        str(name): {
            "version": table.pin.version,
            "generation": table.pin.generation,
            "file": min(table.scan.files, default=None),
            "columns": list(table.columns),
        }
        for name, table in sorted(tables.items())
    }


def _refuse_absent(dbt: Dbt, tables: Mapping[TableName, Pinned]) -> None:
    there = [name.name for name in tables if name.layer == "silver"]
    for name in sorted(dbt_process.sources_used(dbt.folder).difference(there)):
        message = f"{dbt.folder.name}/ reads {silver_table(name)}, which is not in the lake"
        hint = did_you_mean(name, there) or "catchment plan shows what its stream would bring"
        raise ConfigError(message, hint=hint)


def _refuse_not_yet(outcome: Outcome) -> None:
    if outcome.not_yet:
        message = "gold can hold models of materialization table, view and ephemeral, and seeds; not yet:\n  "
        message += "\n  ".join(outcome.not_yet)
        raise ConfigError(message, hint="make them `table`: every build of gold starts from empty")


def _report(outcome: Outcome, *, step: str, tell: Tell, seconds: float) -> None:
    for bad in [*outcome.failures, *outcome.warnings]:
        if bad.kind == "test":
            message = bad.message if bad.rows is None else _rows(bad.rows)
            tell(CheckFailed(step=step, table=bad.table, rule=bad.name, message=message, severity=bad.severity))
    tell(
        GoldBuilt(
            step=step,
            models=outcome.models,
            tests=outcome.tests,
            warnings=len(outcome.warnings),
            failures=len(outcome.failures),
            seconds=round(seconds, 3),
        )
    )


def _red(outcome: Outcome, served: Mapping[str, Any] | None) -> CatchmentError:
    """Broken models before failed tests: the reader mends those first."""
    models = [bad for bad in outcome.failures if bad.kind == "model"]
    tests = [bad for bad in outcome.failures if bad.kind == "test"]
    counts = [f"{len(tests)} of {outcome.tests} tests failed"] if tests else []
    if models:
        counts.insert(0, f"{len(models)} of {outcome.models} models could not be built")
    lines = [_told(bad) for bad in [*models, *tests]]
    left = [] if len(lines) <= _SHOWN else [f"… and {len(lines) - _SHOWN} more"]
    still = "there is no older gold" if served is None else f"build {served['build']} is still served"
    message = "\n  ".join([f"gold was not published: {', '.join(counts)}", *lines[:_SHOWN], *left, still])
    if models:
        return ConfigError(message, hint="correct the model, then catchment run")
    query = next((f"the failing rows are found by {bad.sql}; " for bad in tests if bad.sql is not None), "")
    return DataError(message, hint=f"{query}correct the rows or the model, then catchment run")


def _told(bad: Failure) -> str:
    if bad.kind == "model":
        return f"{bad.table}: {bad.message} ({bad.file})"
    return f"{bad.name} on {bad.table}: {bad.message if bad.rows is None else _rows(bad.rows)} ({bad.file})"


def _rows(count: int) -> str:
    return f"{count:,} {'row' if count == 1 else 'rows'}"
