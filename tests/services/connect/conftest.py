"""One Kafka, one S3 server, one PostgreSQL and one worker of Kafka Connect for the session."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.services.connect.server import Connect
from tests.services.connect.server import started as connect_started
from tests.services.kafka.server import Kafka
from tests.services.kafka.server import started as kafka_started
from tests.services.postgres.server import Postgres
from tests.services.postgres.server import started as postgres_started
from tests.services.s3.conftest import bucket, client, no_keys_of_the_machine, server

__all__ = ["bucket", "client", "no_keys_of_the_machine", "server"]

# What the worker finds in its own environment, and nobody else.
OF_THE_WORKER = {"S3_SECRET_OF_THE_WORKER": "an-open-secret"}


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    with kafka_started() as broker:
        yield broker


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    settings = ("fsync=off", "shared_buffers=32MB", "wal_level=logical", "max_replication_slots=4")
    with postgres_started(settings) as found:
        yield found


@pytest.fixture(scope="session")
def worker(kafka: Kafka) -> Iterator[Connect]:
    names = ("debezium", "s3", "iceberg")
    with connect_started(kafka, names=names, flush_ms=1000, environment=OF_THE_WORKER) as connect:
        yield connect


@pytest.fixture
def connect(worker: Connect) -> Iterator[Connect]:
    """The worker without a connector, and left so."""
    yield worker
    names = worker.ask("/connectors")
    for name in names:
        worker.ask(f"/connectors/{name}", method="DELETE")
    # It answers before it is done.
    until = time.monotonic() + 30
    while any(map(worker.states, names)):
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    return folder
