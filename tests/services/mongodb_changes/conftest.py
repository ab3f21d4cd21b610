"""A server that keeps a log of changes, for the session; a database with five collections for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from tests.services.mongodb.server import MongoServer, started

from catchment.reading.kinds.mongodb_changes import MongoChangesStream
from catchment.sources.mongodb_changes.source import MongoChangesSource

COLLECTIONS = ("products", "reviews", "stock", "baskets", "prices")


@pytest.fixture(scope="session")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    with started(tmp_path_factory.mktemp("mongodb"), changes=True) as server:
        yield server


@pytest.fixture
def port(replica: MongoServer) -> int:
    return replica.port


@pytest.fixture
def database(port: int, request: pytest.FixtureRequest) -> Iterator[Database[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](f"mongodb://127.0.0.1:{port}/", serverSelectionTimeoutMS=20_000) as client:
        name = f"t{abs(hash(request.node.nodeid)) % 10**9}"
        client.drop_database(name)
        for collection in COLLECTIONS:
            client[name].create_collection(collection)
        yield client[name]
        client.drop_database(name)


class Following:
    """Makes sources over one database, each a fresh instance."""

    def __init__(self, port: int, database: Database[dict[str, Any]]) -> None:
        self.port = port
        self.name = database.name
        self._client = database.client
        self.url = f"mongodb://127.0.0.1:{port}/{database.name}"

    def source(
        self,
        *collections: str,
        port: int | None = None,
        options: str = "",
        on_gap: Literal["stop", "snapshot"] = "stop",
        kind: type[MongoChangesSource] = MongoChangesSource,
        **keys: Any,
    ) -> MongoChangesSource:
        """Following `products`, or the named collections, each as a stream of its own name."""
        url = f"mongodb://127.0.0.1:{port or self.port}/{self.name}{options}"
        names = collections or ("products",)
        streams = {name: MongoChangesStream(collection=name, **keys) for name in names}
        return kind("shop", streams, Path(), url=url, on_gap=on_gap)

    def forget(self) -> None:
        """What a server does whose log has become too long: everything up to now is gone from it."""
        self._client.admin.command("forgetChanges")


@pytest.fixture
def following(port: int, database: Database[dict[str, Any]]) -> Following:
    return Following(port, database)
