"""Name -> implementation, loaded on use; open to packages of others through entry points.

A plug-in names itself in its own pyproject: `[project.entry-points."catchment.sources"] mine = "my_package:MySource"`.
"""

from __future__ import annotations

import importlib
from typing import Any, Literal

from catchment.errors import ConfigError, MissingExtra
from catchment.naming import did_you_mean

Role = Literal[
    "sources",
    "marks",
    "finders",
    "loaders",
    "goers",
    "brokers",
    "registries",
    "lakes",
    "engines",
    "warehouses",
    "stores",
]

_OURS: dict[tuple[Role, str], str] = {
    ("sources", "files"): "catchment.sources.files.source:FilesSource",
    ("marks", "files"): "catchment.sources.files.listing:mark",
    ("sources", "delta"): "catchment.sources.delta:DeltaSource",
    ("marks", "delta"): "catchment.sources.files.listing:log_mark",
    ("sources", "iceberg"): "catchment.sources.iceberg:IcebergSource",
    ("sources", "postgres"): "catchment.sources.postgres.source:PostgresSource",
    ("sources", "postgres_changes"): "catchment.sources.postgres_changes.source:PostgresChangesSource",
    ("sources", "sql"): "catchment.sources.sql.source:SqlSource",
    ("sources", "rest"): "catchment.sources.rest:RestSource",
    ("sources", "graphql"): "catchment.sources.graphql:GraphQLSource",
    ("sources", "mongodb"): "catchment.sources.mongodb.source:MongoSource",
    ("sources", "mongodb_changes"): "catchment.sources.mongodb_changes.source:MongoChangesSource",
    ("sources", "redis"): "catchment.sources.redis.source:RedisSource",
    ("finders", "postgres"): "catchment.sources.postgres.find:find",
    ("finders", "sql"): "catchment.sources.sql.source:find",
    ("finders", "mongodb"): "catchment.sources.mongodb.find:find",
    ("finders", "redis"): "catchment.sources.redis.find:find",
    ("loaders", "postgres"): "catchment.generate.postgres:load",
    ("loaders", "mongodb"): "catchment.generate.mongodb:load",
    ("loaders", "redis"): "catchment.generate.redis:load",
    ("goers", "postgres"): "catchment.generate.into_postgres:IntoPostgres",
    ("sources", "dlt"): "catchment.sources.dlt.source:DltSource",
    ("sources", "singer"): "catchment.sources.singer.source:SingerSource",
    ("sources", "topic"): "catchment.sources.topic.source:TopicSource",
    ("sources", "webhooks"): "catchment.sources.webhooks:WebhooksSource",
    ("brokers", "embedded"): "catchment.topics.embedded:EmbeddedBroker",
    ("brokers", "kafka"): "catchment.topics.kafka.broker:KafkaBroker",
    ("registries", "registry"): "catchment.topics.registry:SchemaRegistry",
    ("lakes", "delta"): "catchment.lake.delta:DeltaLake",
    ("engines", "duckdb"): "catchment.engines.duckdb:DuckDBEngine",
    ("warehouses", "duckdb"): "catchment.warehouses.duckdb:DuckDBWarehouse",
    ("stores", "duckdb"): "catchment.stores.duckdb:DuckDBLiveStore",
    ("stores", "clickhouse"): "catchment.stores.clickhouse:ClickHouseLiveStore",
}

# The scheme of an address -> the type of source that reads there.
SCHEMES = {
    **dict.fromkeys(("postgresql", "postgres"), "postgres"),
    **dict.fromkeys(("sqlite", "mysql", "mariadb", "mssql", "oracle"), "sql"),
    **dict.fromkeys(("mongodb", "mongodb+srv"), "mongodb"),
    **dict.fromkeys(("redis", "rediss"), "redis"),
}

# Types of source that need nothing but Catchment; what the others need is an extra of their type's name.
_PLAIN = frozenset({"files", "delta", "singer", "topic", "webhooks"})


def implementation(role: Role, name: str) -> Any:
    """The class that plays `role` under `name`. Raises ConfigError for an unknown name, MissingExtra for no package."""
    place = _OURS.get((role, name)) or _theirs(role).get(name)
    if place is None:
        known = [ours for kind, ours in _OURS if kind == role] + list(_theirs(role))
        message = f"there is nothing called `{name}` among {role}"
        raise ConfigError(message, hint=did_you_mean(name, known) or f"there are {', '.join(known)}")
    module, _, attribute = place.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        message = f"cannot use {name} from {role}: package `{error.name}` is not installed"
        package = f"'catchment[{name}]'" if (role, name) in _OURS else error.name
        raise MissingExtra(message, hint=f"pip install {package}") from error


def if_any(role: Role, name: str) -> Any | None:
    """What plays `role` under `name`, or None: for roles that not everything has to play."""
    return implementation(role, name) if (role, name) in _OURS else None


def names(role: Role) -> dict[str, str]:
    """What there is to play `role`: the place of each implementation by its name, ours first; imports none."""
    return {name: place for (kind, name), place in _OURS.items() if kind == role} | _theirs(role)


def is_ours(role: Role, name: str) -> bool:
    """Whether Catchment itself brings it."""
    return (role, name) in _OURS


def extra(source: str) -> str | None:
    """The extra that brings the packages which a type of source needs; None where it needs none, or is not ours."""
    return source if ("sources", source) in _OURS and source not in _PLAIN else None


def source_at(url: str) -> str | None:
    """The type of source that reads at an address, None where no scheme of ours stands there."""
    scheme, separator, _ = url.partition("://")
    if not separator:
        return None
    # `mysql+pymysql` names a driver, as SQLAlchemy has it.
    return SCHEMES.get(scheme.lower()) or ("sql" if "+" in scheme else None)


def _theirs(role: Role) -> dict[str, str]:
    from importlib.metadata import entry_points

    return {entry.name: entry.value for entry in entry_points(group=f"catchment.{role}")}
