"""What Connect runs beside what the project declares: differences, making it so, how it does, starting it again."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from catchment import settings
from catchment.deploy.connect.connectors import Connector, connectors, one
from catchment.errors import ConfigError, MissingExtra
from catchment.records import TopicSpec

if TYPE_CHECKING:
    from catchment.connected import Connected
    from catchment.deploy.connect.rest import Connect, ConnectorState
    from catchment.reading.declaration import Connect as Place

# How long a connector and its tasks may take to run, and how long what failed before may still be told.
_PATIENCE_S = 60.0
_GRACE_S = 10.0
_PAUSE_S = 0.3

# Keys whose values are nobody's to read.
_SECRET = re.compile(r"password|passphrase|secret|private\.key|token|credential(?!s?\.provider)|jaas", re.IGNORECASE)


@dataclass(frozen=True)
class Difference:
    """What of a connector is not as the project says. `words` never hold what a reference stands for."""

    name: str
    kind: Literal["new", "changed", "strange"]
    words: Sequence[str]


def shown(connected: Connected, name: str | None = None) -> Mapping[str, Mapping[str, str]]:
    """The configurations of all connectors, or of one, by name; references as they stand in the project."""
    chosen = connectors(connected) if name is None else (one(connected, name),)
    return {
        connector.name: {key: _printed(key, text) for key, text in connector.config.items()} for connector in chosen
    }


def differences(connected: Connected) -> Sequence[Difference]:
    """What `apply` would do, and connectors of the project's name that no source has any more. Changes nothing.

    Raises ConfigError, or RetryableError where Connect does not answer.
    """
    with closing(_connect(connected)) as connect:
        found = [
            Difference(connector.name, "new" if there is None else "changed", words)
            for connector in connectors(connected)
            if (words := _different(connected, connector, there := connect.config(connector.name)))
        ]
        declared = {connector.name for connector in connectors(connected)}
        begins = f"{connected.project.name}-"
        for name in connect.names():
            if name.startswith(begins) and name not in declared:
                words = ["is in Connect, and no source has it: it goes on until somebody deletes it there"]
                found.append(Difference(name, "strange", words))
    return found


def apply(connected: Connected, told: Callable[[ConnectorState], None]) -> bool:
    """Make Connect run what the project declares; `told` hears of each connector once it runs or has failed.

    Returns whether all run. Raises ConfigError for what Connect refuses, RetryableError where it does not answer.
    """
    running = True
    with closing(_connect(connected)) as connect:
        for connector in connectors(connected):
            _reachable(connected, connector)
            changed = bool(_different(connected, connector, connect.config(connector.name)))
            if changed:
                if connector.control is not None and not isinstance(connected.target.broker, str):
                    connected.broker.declare([TopicSpec(connector.control, partitions=1)])
                connect.put(connector.name, _resolved(connected, connector))
            state = _settled(connect, connector.name, _GRACE_S if changed else 0.0)
            running = running and state.is_running
            told(state)
    return running


def status(connected: Connected) -> Sequence[ConnectorState]:
    """How each declared connector and its tasks do. Raises as `differences` does."""
    with closing(_connect(connected)) as connect:
        return [connect.state(connector.name) for connector in connectors(connected)]


def restart(connected: Connected, name: str | None, *, failed: bool) -> Sequence[ConnectorState]:
    """Start a connector, or all of them, again; with `failed` only what has failed. How they do then."""
    chosen = connectors(connected) if name is None else (one(connected, name),)
    found = []
    with closing(_connect(connected)) as connect:
        for connector in chosen:
            before = connect.state(connector.name)
            if before.state == "ABSENT":
                message = f"connector {connector.name} is not in Connect"
                raise ConfigError(message, hint="catchment connect apply --yes")
            if failed and not before.has_failed:
                found.append(before)
                continue
            connect.restart(connector.name, failed=failed)
            found.append(_settled(connect, connector.name, _GRACE_S))
    return found


def _settled(connect: Connect, name: str, grace: float) -> ConnectorState:
    """The state once all of it runs twice in a row, or has failed; the last one where that takes too long."""
    began, ran = time.monotonic(), False
    while True:
        state, gone = connect.state(name), time.monotonic() - began
        if (state.is_running and ran) or (state.has_failed and gone > grace) or gone > _PATIENCE_S:
            return state
        ran = state.is_running
        time.sleep(_PAUSE_S)


def _connect(connected: Connected) -> Connect:
    declared = connected.target.connect
    place = f"targets.{connected.target_name}.connect"
    if declared is None:
        message = f"target `{connected.target_name}` does not say where Kafka Connect is"
        raise ConfigError(message, hint="write connect: {url: http://host:8083} at the target")
    try:
        from catchment.deploy.connect.rest import Connect
    except ModuleNotFoundError as error:
        message = f"package `{error.name}` is not installed, and Kafka Connect is asked over HTTP"
        raise MissingExtra(message, hint="pip install 'catchment[connect]'") from error
    texts = (declared.url, declared.username, declared.password)
    keys = ("url", "username", "password")
    folder = connected.project.folder
    url, username, password = (
        None if text is None else settings.resolve(text, folder, place=f"{place}.{key}")
        for text, key in zip(texts, keys, strict=True)
    )
    return Connect(url or "", username, password)


def _reachable(connected: Connected, connector: Connector) -> None:
    """Raises ConfigError where Connect cannot write into the target's topics, or read them."""
    if isinstance(connected.target.broker, str):
        message = (
            f"{connector.name}: target `{connected.target_name}` keeps topics in files, which Connect cannot reach"
        )
        raise ConfigError(message, hint="write broker: {type: kafka, servers: …} at the target")


def _resolved(connected: Connected, connector: Connector) -> dict[str, str]:
    return {key: _value(connected, connector, key, text) for key, text in connector.config.items()}


def _value(connected: Connected, connector: Connector, key: str, text: str) -> str:
    """What Connect is given for a key: what references stand for, or the references where workers look them up."""
    declared: Place | None = connected.target.connect
    place = f"{connector.place}: {key}"
    if not settings.has_references(text):
        return text
    if declared is not None and declared.secrets == "worker":
        strange = [found for found in settings.references(text) if found.kind != "env"]
        if strange:
            message = f"{place}: a worker of Connect cannot look up {strange[0]}"
            raise ConfigError(message, hint="write ${env:NAME}, or secrets: here at the target's connect")
        return text
    return settings.resolve(text, connected.project.folder, place=place)


def _different(connected: Connected, connector: Connector, there: Mapping[str, str] | None) -> list[str]:
    """In words, key by key."""
    if there is None:
        return [f"{key}: {_printed(key, text)}" for key, text in connector.config.items()]
    wanted = _resolved(connected, connector)
    told = []
    for key in sorted(wanted.keys() | there.keys()):
        now, then = there.get(key), wanted.get(key)
        if now == then:
            continue
        if key not in wanted:
            told.append(f"{key}: goes")
        elif settings.has_references(connector.config[key]):
            told.append(
                f"{key}: {connector.config[key]}" + (" (new)" if now is None else " (stands for another value)")
            )
        else:
            was = "" if now is None else f" (was {settings.redact(_printed(key, now))})"
            told.append(f"{key}: {_printed(key, connector.config[key])}{was}")
    return told


def _printed(key: str, text: str) -> str:
    """A value as people may see it: a secret that stands in the project in clear is not printed either."""
    return "***" if not settings.has_references(text) and _SECRET.search(key) is not None else text
