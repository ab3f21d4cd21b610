"""`catchment gold`: the builds that are kept, and the way back to one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from catchment.cli.invocation import Invocation, examples, json_option, target_option
from catchment.cli.restore import confirmed, events_option, yes_option
from catchment.cli.terminal import note, out, out_json
from catchment.errors import ConfigError
from catchment.observe.words import aligned, instant, plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from catchment.connected import Connected


@click.group(epilog=examples("catchment gold list", "catchment gold rollback --to 1"))
def gold() -> None:
    """See the builds of gold, and go back.

    The served build and the two before it are kept. What is served changes in one moment; who has gold open keeps
    reading what he opened.
    """


@gold.command("list", epilog=examples("catchment gold list"))
@target_option
@json_option
@click.pass_obj
def list_(invocation: Invocation, target: str | None, as_json: bool) -> None:
    """Show the builds that can be served, the served one first."""
    kept = _connected(invocation, target).warehouse.kept()
    if as_json:
        out_json([as_value(made_of, served=place == 0) for place, made_of in enumerate(kept)])
        return
    if not kept:
        note("Gold was never built: catchment run")
        return
    for line in lines(kept):
        out(line)


@gold.command("rollback", epilog=examples("catchment gold rollback", "catchment gold rollback --to 1"))
@click.option("--to", type=click.IntRange(min=1), metavar="N", help="A kept build; by default the one before.")
@yes_option
@target_option
@click.pass_obj
def rollback(invocation: Invocation, to: int | None, yes: bool, target: str | None) -> int:
    """Serve an earlier build again, as a new one.

    Silver stays as it is. Until a silver table or the dbt project changes, no run builds again what was gone back
    from. Going forth is another rollback, `--to` that build.
    """
    from catchment.gold import build

    warehouse = _connected(invocation, target).warehouse
    before = warehouse.served()
    built = build.rollback(warehouse, to)
    try:
        goal = build.content(built.made_of)
        note(f"gold goes back from build {before['build'] if before else '-'} to what build {goal} held")
        if not confirmed(yes=yes):
            warehouse.discard(built.build)
            return 1
        number = build.publish_gold(warehouse, built, step="publish:gold", tell=lambda _event: None)
    except BaseException:
        warehouse.discard(built.build)
        raise
    note(f"Served: build {number}, which is build {goal}.")
    return 0


@gold.command("rebuild", epilog=examples("catchment gold rebuild"))
@target_option
@events_option
@click.pass_obj
def rebuild(invocation: Invocation, target: str | None, as_json: bool) -> int:
    """Build gold from nothing: incremental models, too, from all rows of silver.

    After the SQL of an incremental model was edited. Snapshots keep what they hold: it is nowhere else.
    """
    from catchment.cli.run import execute
    from catchment.outlook import steps
    from catchment.records import Order

    project = invocation.load()
    _connected(invocation, target)
    chosen = steps(project, target, ["gold"])
    return execute(invocation, project, chosen, target=target, orders={"gold": Order("rebuild")}, as_json=as_json)


@gold.command("modified", epilog=examples("catchment gold modified"))
@target_option
@json_option
@click.pass_obj
def modified(invocation: Invocation, target: str | None, as_json: bool) -> None:
    """Name what was edited in the dbt project since the served gold was built (dbt's `state:modified`)."""
    from catchment.gold import modified as looking

    connected = _connected(invocation, target)
    served = connected.warehouse.served()
    if served is None:
        message = "gold was never built, so everything is new"
        raise ConfigError(message, hint="catchment run")
    found = looking.modified(connected.dbt, served)
    if as_json:
        out_json(found)
        return
    if not found:
        note(f"Nothing was edited since build {served['build']}.")
        return
    for line in aligned([(one.kind, one.name, one.file) for one in found]):
        out(line)


def as_value(made_of: Mapping[str, Any], *, served: bool) -> dict[str, Any]:
    """A build as `--json` prints it."""
    from catchment.gold.build import content

    return {
        "build": made_of["build"],
        "content_of": content(made_of),
        "published_at": made_of.get("published_at"),
        "served": served,
        "models": sorted(made_of.get("models", {})),
        "history": sorted(made_of.get("history", {})),
        "tests": made_of.get("tests"),
        "warnings": made_of.get("warnings", []),
        "exposures": made_of.get("exposures", []),
        "versions": {name: pin["version"] for name, pin in made_of.get("pins", {}).items()},
        "rows": made_of.get("rows", {}),
        "late": sorted({found["table"] for found in made_of.get("freshness", ()) if found["is_late"]}),
    }


def lines(kept: Sequence[Mapping[str, Any]]) -> list[str]:
    """The kept builds as people read them."""
    from datetime import datetime

    from catchment.gold.build import content

    rows = []
    for place, made_of in enumerate(kept):
        at = made_of.get("published_at")
        same = content(made_of) != made_of["build"]
        words = ["served"] if place == 0 else []
        words += [f"what build {content(made_of)} held"] if same else []
        when = f"{instant(datetime.fromisoformat(at), at='seconds')} UTC" if at else "-"
        models = plural(len(made_of.get("models", {})), "model")
        rows.append((str(made_of["build"]), when, models, ", ".join(words) or "-"))
    return aligned([("build", "published at", "holds", "is"), *rows], right=frozenset({0}))


def _connected(invocation: Invocation, target: str | None) -> Connected:
    from catchment.connected import Connected

    project = invocation.load()
    if project.gold is None:
        message = f"project `{project.name}` has no gold"
        raise ConfigError(message, hint="gold: {dbt: gold/} in catchment.yaml names a dbt project")
    return Connected.of(project, target)
