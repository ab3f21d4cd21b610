"""One server for the session, with its data in a file of its own; a database for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from tests.services.mongodb.server import MongoServer, started

from catchment.reading.kinds.mongodb import MongoStream
from catchment.sources.mongodb.source import MongoSource


@pytest.fixture(scope="session")
def port(mongodb: MongoServer) -> int:
    return mongodb.port


@pytest.fixture(scope="session")
def mongodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    with started(tmp_path_factory.mktemp("mongodb")) as server:
        yield server


@pytest.fixture
def database(port: int, request: pytest.FixtureRequest) -> Iterator[Database[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](f"mongodb://127.0.0.1:{port}/", serverSelectionTimeoutMS=20_000) as client:
        name = f"t{abs(hash(request.node.nodeid)) % 10**9}"
        client.drop_database(name)
        yield client[name]
        client.drop_database(name)


class Asking:
    """Makes sources over one database, each a fresh instance."""

    def __init__(self, port: int, database: str) -> None:
        self.port = port
        self.database = database
        self.url = f"mongodb://127.0.0.1:{port}/{database}"

    def source(self, *, port: int | None = None, options: str = "", **keys: Any) -> MongoSource:
        url = f"mongodb://127.0.0.1:{port or self.port}/{self.database}{options}"
        stream = MongoStream(**{"collection": "products", **keys})
        return MongoSource("shop", {"products": stream}, Path(), url=url)


@pytest.fixture
def asking(port: int, database: Database[dict[str, Any]]) -> Asking:
    return Asking(port, database.name)
