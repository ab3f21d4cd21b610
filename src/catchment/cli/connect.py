"""`catchment connect`: the connectors of Kafka Connect that the project's sources declare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from catchment.cli.invocation import Invocation, examples, json_option, target_option
from catchment.cli.terminal import note, out, out_json
from catchment.observe.words import aligned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catchment.connected import Connected
    from catchment.deploy.connect.rest import ConnectorState

FAILED = 1
_SIGNS = {"new": "+", "changed": "~", "strange": "?"}


@click.group(epilog=examples("catchment connect show", "catchment connect apply", "catchment connect status"))
def connect() -> None:
    """Look at the connectors of Kafka Connect that sources declare, and have Connect run them.

    See docs/guides/connect.md.
    """


@connect.command("show", epilog=examples("catchment connect show", "catchment connect show clicks"))
@click.argument("name", required=False)
@target_option
@click.pass_obj
def show(invocation: Invocation, name: str | None, target: str | None) -> None:
    """Print the configuration of every connector, or of NAME (a connector or its source), as JSON.

    References such as ${env:NAME} are printed as they stand; nobody is asked.
    """
    from catchment.deploy.connect.applying import shown

    found = shown(_connected(invocation, target), name)
    if not found:
        note("No source has a connector: docs/guides/connect.md tells how to write one.")
    out_json({connector: dict(config) for connector, config in found.items()})


@connect.command("apply", epilog=examples("catchment connect apply", "catchment connect apply --yes"))
@click.option("--yes", is_flag=True, help="Do it; without it the differences are only shown.")
@target_option
@json_option
@click.pass_obj
def apply(invocation: Invocation, yes: bool, target: str | None, as_json: bool) -> int:
    """Show what Connect runs otherwise than the project says, or make it so and wait until it runs.

    Connectors that the project does not declare stay as they are.
    """
    from catchment.deploy.connect import applying

    connected = _connected(invocation, target)
    found = applying.differences(connected)
    states: list[ConnectorState] = []
    if not as_json:
        for one in found:
            out(f"{_SIGNS[one.kind]} {one.name}")
            for words in one.words:
                out(f"    {words}")
    wanted = any(one.kind != "strange" for one in found)
    running = True
    if yes:
        running = applying.apply(connected, told=states.append)
    if as_json:
        told = [{"name": one.name, "kind": one.kind, "words": list(one.words)} for one in found]
        out_json({"done": yes, "differences": told, "connectors": [as_value(state) for state in states]})
    elif yes:
        _tell(states)
    elif wanted:
        note(f"Nothing was changed. {invocation.command('connect apply --yes')} does it.")
    else:
        note("Connect runs what the project says.")
    return 0 if running else FAILED


@connect.command("status", epilog=examples("catchment connect status"))
@target_option
@json_option
@click.pass_obj
def status(invocation: Invocation, target: str | None, as_json: bool) -> int:
    """Show how every connector and its tasks do; exit code 1 where one has failed or is not there."""
    from catchment.deploy.connect import applying

    states = applying.status(_connected(invocation, target))
    if as_json:
        out_json([as_value(state) for state in states])
    else:
        _tell(states)
        if any(state.has_failed for state in states):
            note(f"Start again what failed: {invocation.command('connect restart --failed')}")
        elif any(state.state == "ABSENT" for state in states):
            note(f"Have Connect run them: {invocation.command('connect apply --yes')}")
    return FAILED if any(state.has_failed or state.state == "ABSENT" for state in states) else 0


@connect.command("restart", epilog=examples("catchment connect restart --failed", "catchment connect restart clicks"))
@click.argument("name", required=False)
@click.option("--failed", is_flag=True, help="Only what has failed.")
@target_option
@json_option
@click.pass_obj
def restart(invocation: Invocation, name: str | None, failed: bool, target: str | None, as_json: bool) -> int:
    """Start NAME (a connector or its source), or all of them, again, and wait until it runs."""
    from catchment.deploy.connect import applying

    states = applying.restart(_connected(invocation, target), name, failed=failed)
    if as_json:
        out_json([as_value(state) for state in states])
    else:
        _tell(states)
    return 0 if all(state.is_running for state in states) else FAILED


def as_value(state: ConnectorState) -> dict[str, Any]:
    """One connector of `connect status --json`."""
    tasks = [
        {"id": task.id, "state": task.state, "worker": task.worker, "trace": task.trace or None} for task in state.tasks
    ]
    told = {"connector": state.name, "state": state.state, "worker": state.worker, "trace": state.trace or None}
    return {**told, "tasks": tasks}


def _tell(states: Sequence[ConnectorState]) -> None:
    rows = [("connector", "state", "tasks")]
    for state in states:
        counted = [f"{task.id} {task.state}" for task in state.tasks]
        rows.append((state.name, state.state, ", ".join(counted) or "-"))
    for line in aligned(rows) if states else ():
        out(line)
    for state in states:
        if state.trace:
            out(f"{state.name}: {state.trace}")
        for task in state.tasks:
            if task.trace:
                out(f"{state.name}/{task.id}: {task.trace}")
    if not states:
        note("No source has a connector: docs/guides/connect.md tells how to write one.")


def _connected(invocation: Invocation, target: str | None) -> Connected:
    from catchment.connected import Connected

    return Connected.of(invocation.load(), target)
