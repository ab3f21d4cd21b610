"""What each type of source may say in catchment.yaml: one file a type, imported when a project names the type."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import get_args

from catchment.reading.kinds.keys import Keys, SourceKeys, StreamKeys

_PLACES = {
    "files": "files:FilesSource",
    "delta": "delta:DeltaSource",
    "postgres": "postgres:PostgresSource",
    "sql": "sql:SqlSource",
    "rest": "rest:RestSource",
    "graphql": "graphql:GraphQLSource",
    "mongodb": "mongodb:MongoSource",
    "redis": "redis:RedisSource",
    "dlt": "dlt:DltSource",
    "singer": "singer:SingerSource",
}


class _OnUse(Mapping[str, type[SourceKeys]]):
    """Ten types of models take 60 ms, of which a project needs one or two."""

    def __getitem__(self, kind: str) -> type[SourceKeys]:
        module, _, name = _PLACES[kind].partition(":")
        found: type[SourceKeys] = getattr(importlib.import_module(f"{__name__}.{module}"), name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


# Type of source -> its keys.
KINDS: Mapping[str, type[SourceKeys]] = _OnUse()


def stream_keys(source: type[Keys]) -> type[StreamKeys]:
    """The keys of the streams of a type of source."""
    (keys,) = (one for one in get_args(source.model_fields["streams"].annotation) if one is not str)
    found: type[StreamKeys] = keys
    return found
