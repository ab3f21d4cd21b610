"""What each type of source may say in catchment.yaml: one file a type, imported when a project names the type.

A package of others that brings a type names the class of its keys in its own pyproject:
`[project.entry-points."catchment.kinds"] mine = "my_package.keys:MyKeys"`, beside the source in `catchment.sources`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import get_args

from catchment.errors import ConfigError
from catchment.reading.kinds.keys import Keys, SourceKeys, StreamKeys

_PLACES = {
    "files": "files:FilesSource",
    "delta": "delta:DeltaSource",
    "iceberg": "iceberg:IcebergSource",
    "postgres": "postgres:PostgresSource",
    "postgres_changes": "postgres_changes:PostgresChangesSource",
    "sql": "sql:SqlSource",
    "rest": "rest:RestSource",
    "graphql": "graphql:GraphQLSource",
    "mongodb": "mongodb:MongoSource",
    "mongodb_changes": "mongodb_changes:MongoChangesSource",
    "redis": "redis:RedisSource",
    "dlt": "dlt:DltSource",
    "singer": "singer:SingerSource",
    "topic": "topic:TopicSource",
    "webhooks": "webhooks:WebhooksSource",
}


class _OnUse(Mapping[str, type[SourceKeys]]):
    """Ten types of models take 60 ms, of which a project needs one or two."""

    def __getitem__(self, kind: str) -> type[SourceKeys]:
        if kind not in _PLACES:
            return _loaded(kind, _theirs()[kind])
        module, _, name = _PLACES[kind].partition(":")
        found: type[SourceKeys] = getattr(importlib.import_module(f"{__name__}.{module}"), name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(_theirs() | _PLACES)

    def __len__(self) -> int:
        return len(_theirs() | _PLACES)


def _theirs() -> dict[str, str]:
    """The places of the keys that other packages bring, by type."""
    from importlib.metadata import entry_points

    return {entry.name: entry.value for entry in entry_points(group="catchment.kinds")}


def _loaded(kind: str, place: str) -> type[SourceKeys]:
    """The keys of a type of another package. Raises ConfigError where there are none such."""
    module, _, name = place.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        message = f"the keys of source type `{kind}` cannot be loaded from {place}: {error}"
        raise ConfigError(message, hint="install what its package needs, or a version of it that fits") from error
    if not (isinstance(found, type) and issubclass(found, SourceKeys)):
        message = f"the keys of source type `{kind}` cannot be used: {place} is no SourceKeys"
        raise ConfigError(message, hint="tell who made the package that brings it")
    return found


# Type of source -> its keys.
KINDS: Mapping[str, type[SourceKeys]] = _OnUse()


def stream_keys(source: type[Keys]) -> type[StreamKeys]:
    """The keys of the streams of a type of source."""
    (keys,) = (one for one in get_args(source.model_fields["streams"].annotation) if one is not str)
    found: type[StreamKeys] = keys
    return found
