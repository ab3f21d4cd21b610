"""The model and publish steps: build gold beside what is served, and serve it when it is green."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from catchment.errors import CatchmentError, ConfigError, Conflict, DataError
from catchment.events import CheckFailed, GoldBuilt, GoldPublished, Noticed
from catchment.gold import dbt as dbt_process
from catchment.gold.artifacts import Failure, Outcome, keep, read_outcome
from catchment.gold.dbt import Dbt
from catchment.gold.freshness import Looking
from catchment.gold.sources import Sources, sources
from catchment.naming import TableName, did_you_mean, silver_table
from catchment.recall import Recall

if TYPE_CHECKING:
    from catchment.gold.layers.project import LayerRules
    from catchment.gold.pinned import Pinned
    from catchment.interfaces import Build, Tell, Warehouse

_SHOWN = 10


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
    refused = served.get("instead_of")
    if refused is not None and (refused["pins"], refused["project"]) == (now, fingerprint):
        return ()  # somebody went back from just this
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
    anew: bool = False,
    rules: LayerRules | None = None,
) -> Built | None:
    """Gold over these versions, ready to be published; None when what is served was made of just them.

    Incremental models and snapshots go on from what is served; with `anew` gold is built in any case, and incremental
    models from nothing. Raises Conflict where another run publishes at that moment, DataError where tests fail,
    ConfigError where the project is at fault or its models break `rules`; then nothing of the build is left and the old
    gold is served. dbt's state keeps the compiled SQL.
    """
    fingerprint = dbt_process.fingerprint(dbt.folder)
    served = warehouse.served()
    if not anew and not changes(served, tables, fingerprint):
        return None
    found = sources(dbt, [name.name for name in tables])
    _refuse_absent(dbt, tables, found)
    absent = [str(name) for name, table in tables.items() if not table.is_made]
    if absent:
        message = f"{', '.join(absent)}: no row has come yet, so gold is built as if empty"
        tell(Noticed(step=step, kind="tables_absent", message=message))
    began = time.monotonic()
    build = _begun(warehouse, served)
    try:
        for name, table in tables.items():
            warehouse.load(build, name, table.scan, table.columns, also=found.also.get(name.name, ()))
        if build.untold and not anew:
            tell(Noticed(step=step, kind="dbt", message=_from_nothing(build.untold)))
        left = dbt_process.run(
            dbt,
            lambda at: warehouse.profile(build, at),
            build.path.parent,
            step=step,
            tell=tell,
            stop=stop,
            anew=anew or bool(build.untold),
        )
        done = read_outcome(dbt, left, [name.name for name in tables])
        fresh = Looking(warehouse, tables, step, tell, datetime.now(UTC)).found(dbt, done.manifest)
        _refuse_not_yet(done)
        _report(done, step=step, tell=tell, seconds=time.monotonic() - began)
        if done.failures:
            raise _red(done, served)
        if rules is not None:
            rules.hold(done.manifest, Recall(dbt.state / "layers.json"), step=step, tell=tell)
        if not anew and not build.untold:
            for message in _mixed(served, done):
                tell(Noticed(step=step, kind="dbt", message=message))
        mark = build.path.parent.name
        keep(dbt, left, mark)
    except BaseException:
        warehouse.discard(build)
        raise
    return Built(build, {**_made_of(tables, fingerprint, done), "freshness": fresh, "manifest": mark})


def rollback(warehouse: Warehouse, to: int | None = None) -> Built:
    """What an earlier build held, ready to be published as a new one; by default the one before the served.

    Until a silver table or the dbt project changes, no run builds again what was gone back from. Raises ConfigError
    where that build is not kept.
    """
    kept = warehouse.kept()
    if to is None:
        wanted = [made_of for made_of in kept[1:] if content(made_of) < content(kept[0])]
    else:
        wanted = [made_of for made_of in kept[1:] if to in (made_of["build"], content(made_of))]
    if not wanted:
        there = ", ".join(str(made_of["build"]) for made_of in kept[1:]) or "none"
        what = "no earlier build of gold" if to is None else f"no build {to} of gold to go back to"
        message = f"{what}; kept beside the served one: {there}"
        raise ConfigError(message, hint="catchment gold list shows what is kept")
    served, made_of = kept[0], dict(wanted[0])
    instead = served.get("instead_of") or {key: served.get(key) for key in ("build", "pins", "project")}
    build = warehouse.build(of=made_of["build"])
    made_of = {**made_of, "of": content(made_of), "instead_of": instead}
    if (made_of["pins"], made_of["project"]) == (instead["pins"], instead["project"]):
        del made_of["instead_of"]  # forth again
    return Built(build, made_of)


def content(made_of: Mapping[str, Any]) -> int:
    """The number of the build that made what this one holds: another where somebody went back to it."""
    return int(made_of.get("of", made_of["build"]))


def _begun(warehouse: Warehouse, served: Mapping[str, Any] | None) -> Build:
    """A build that goes on from what is served where models live on in it."""
    history = {} if served is None else served.get("history", {})
    build = warehouse.build(of=served["build"], keep=history) if served is not None and history else warehouse.build()
    if (build.base or {}).get("id") != (served or {}).get("id"):
        warehouse.discard(build)
        message = "gold was published by another run while this one began to build it"
        raise Conflict(message, hint="the model step starts over from what is served now")
    return build


def _from_nothing(untold: Sequence[TableName]) -> str:
    names = ", ".join(str(name) for name in untold)
    return f"incremental models are made from nothing: what {names} held at the last build is no longer there"


def _mixed(served: Mapping[str, Any] | None, outcome: Outcome) -> list[str]:
    """Models whose older rows were made by another definition."""
    before = {} if served is None else served.get("history", {})
    edited = [
        name
        for name, relation in outcome.relations.items()
        if before.get(relation, outcome.history.get(relation)) != outcome.history.get(relation)
    ]
    return [
        f"gold.{name} was edited: rows of earlier builds stay as they are. catchment gold rebuild makes all of it anew"
        for name in edited
    ]


def _made_of(tables: Mapping[TableName, Pinned], fingerprint: str, outcome: Outcome) -> dict[str, Any]:
    return {
        "pins": _pins(tables),
        "project": fingerprint,
        "models": dict(outcome.relations),
        "history": dict(outcome.history),
        "exposures": list(outcome.exposures),
        "tests": outcome.tests,
        "warnings": [bad.name for bad in outcome.warnings],
    }


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
    """JSON values; the first file is in it because the build's views name files, and a lake may have moved. A table
    that is not made yet has no version to keep."""
    return {
        str(name): {
            "version": table.pin.version,
            "generation": table.pin.generation,
            "file": min(table.scan.files, default=None),
            "columns": list(table.columns),
        }
        for name, table in sorted(tables.items())
        if table.is_made
    }


def _refuse_absent(dbt: Dbt, tables: Mapping[TableName, Pinned], found: Sources) -> None:
    there = [name.name for name in tables if name.layer == "silver"]
    for name in sorted(found.tables.difference(there)):
        message = f"{dbt.folder.name}/ reads {silver_table(name)}, which is not in the lake"
        near = did_you_mean(name, there)
        hint = "catchment check tells whether catchment.yaml has it, catchment plan what would make it"
        hint = hint if near is None else f"{hint}; {near}"
        raise ConfigError(message, hint=hint)
    for source, file in found.unknown.items():
        message = f"{dbt.folder.name}/{file} reads source {source}, and no silver table in the lake is called so"
        hint = f"say which it is in catchment.yaml: `gold: {{sources: {{{source}: silver.…}}}}`"
        raise ConfigError(message, hint=hint)


def _refuse_not_yet(outcome: Outcome) -> None:
    if outcome.not_yet:
        message = "gold can hold tables, views, ephemeral and incremental models, snapshots and seeds; not yet:\n  "
        message += "\n  ".join(outcome.not_yet)
        raise ConfigError(message, hint="make them `table` or `incremental`")


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
