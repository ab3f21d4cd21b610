"""The connectors of a project, each with the configuration that Connect is given. Equal projects give equal texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catchment.deploy.connect import databases, sinks
from catchment.errors import ConfigError
from catchment.reading.kinds.connectors import (
    Connector as Keys,
)
from catchment.reading.kinds.connectors import (
    DebeziumMongo,
    DebeziumPostgres,
    IcebergSink,
    Jdbc,
    S3Sink,
    Snowflake,
)
from catchment.reading.kinds.iceberg import IcebergSource

if TYPE_CHECKING:
    from catchment.connected import Connected
    from catchment.reading.kinds.keys import SourceKeys


@dataclass(frozen=True)
class Connector:
    """A connector as the project wants it. References stand in `config` as they were written.

    `place` is its path in catchment.yaml; `control` a topic that must be there before it starts, with one partition.
    """

    name: str
    place: str
    config: Mapping[str, str]
    control: str | None = None


def connectors(connected: Connected) -> tuple[Connector, ...]:
    """Every connector of the target's sources, in the order of the file. Raises ConfigError for two of one name."""
    found: dict[str, Connector] = {}
    for source, keys in connected.project.sources.items():
        declared: Keys | None = getattr(keys, "connector", None)
        if declared is None:
            continue
        made = _made(connected.project.name, source, keys, declared)
        if made.name in found:
            message = f"{made.place}: there is a connector {made.name} already, at {found[made.name].place}"
            raise ConfigError(message, hint="give one of them another name:")
        found[made.name] = made
    return tuple(found.values())


def one(connected: Connected, name: str) -> Connector:
    """The connector of that name, or of the source of that name. Raises ConfigError where there is none."""
    known = connectors(connected)
    for connector in known:
        if name in (connector.name, connector.place.split(".")[1]):
            return connector
    names = ", ".join(connector.name for connector in known)
    message = f"no connector `{name}`"
    raise ConfigError(message, hint=f"there are {names}" if names else "write connector: at a source of topics")


def _made(project: str, source: str, keys: SourceKeys, declared: Keys) -> Connector:
    name, place = declared.name or f"{project}-{source}", f"sources.{source}.connector"
    topics = {stream: found.topic or stream for stream, found in _streams(keys).items()}
    config: dict[str, str]
    control = None
    match declared:
        case S3Sink():
            config = sinks.s3(declared, tuple(topics.values()))
        case Snowflake():
            config = sinks.snowflake(declared, tuple(topics.values()))
        case IcebergSink() if isinstance(keys, IcebergSource):
            control = declared.control or f"control-{name}"
            tables = {keys.streams[stream].table: topic for stream, topic in topics.items()}
            config = sinks.iceberg(declared, keys.catalog, tables, control)
        case DebeziumPostgres():
            config = databases.debezium_postgres(declared, tuple(topics.values()))
        case DebeziumMongo():
            config = databases.debezium_mongo(declared, tuple(topics.values()))
        case Jdbc():
            config = databases.jdbc(declared, tuple(topics.values()))
        case _:
            message = f"{place}: nothing is known of such a connector"
            raise ConfigError(message, hint="write one of the types of docs/guides/connect.md")
    common = {"tasks.max": str(declared.tasks)}
    whole = {**config, **common, **declared.settings}
    return Connector(name, place, dict(sorted(whole.items())), control)


def _streams(keys: SourceKeys) -> dict[str, Any]:
    """Those that come by the connector."""
    return {name: stream for name, stream in keys.streams.items() if getattr(stream, "via", None) == "connect"}
