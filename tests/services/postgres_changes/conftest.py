"""One server that writes a logical log, for the session; each test has its database, slots and all, to itself."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from catchment.interfaces import Source
from catchment.reading.kinds.postgres_changes import ChangesStream
from catchment.records import Batch, Budget, Cursor
from catchment.sources.postgres_changes.source import PostgresChangesSource
from catchment.testing.sources import committed
from tests.services.postgres.server import QUIET, Postgres, started

LOGICAL = (
    *QUIET,
    "wal_level=logical",
    "max_replication_slots=12",
    "max_wal_senders=12",
    "autovacuum=off",
    "track_commit_timestamp=on",
)
SLOT = "catchment_shop"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with started(LOGICAL) as server:
        yield server


def drop_slots(url: str) -> None:
    """Every slot; who reads one still, of a test that has ended, is ended first."""
    mine = "FROM pg_replication_slots WHERE database = current_database()"
    until = time.monotonic() + 10
    with psycopg.connect(url, autocommit=True) as opened:
        while opened.execute(f"SELECT pg_terminate_backend(active_pid) {mine} AND active".encode()).fetchall():
            assert time.monotonic() < until
            time.sleep(0.05)
        opened.execute(f"SELECT pg_drop_replication_slot(slot_name) {mine}".encode())


@dataclass
class Database:
    """A database of one test: what fills it, a source that follows it, and what has landed of it."""

    postgres: Postgres
    name: str
    streams: Mapping[str, str] = field(default_factory=lambda: {"rows": "public.rows"})
    keys: dict[str, Any] = field(default_factory=dict)
    cursor: Cursor | None = None
    landed: list[dict[str, Any]] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.postgres.url(self.name)

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.url, autocommit=True)

    def run(self, *statements: str) -> None:
        with self.connect() as opened:
            for statement in statements:
                opened.execute(statement.encode())

    def fetch(self, sql: str) -> list[tuple[Any, ...]]:
        with self.connect() as opened:
            return opened.execute(sql.encode()).fetchall()

    def source(self, *, url: str | None = None, **keys: Any) -> PostgresChangesSource:
        streams = {
            name: said if isinstance(said, ChangesStream) else ChangesStream(table=said)
            for name, said in self.streams.items()
        }
        found = PostgresChangesSource("shop", streams, Path(), url=url or self.url, **{**self.keys, **keys})
        self.sources.append(found)
        return found

    def land(
        self, source: Source | None = None, *, budget: Budget | None = None, loads: int | None = None
    ) -> list[dict[str, Any]]:
        """What a run would land now, committed and acknowledged load by load; a fresh source unless one goes on."""
        own = source or self.source()
        before, load = len(self.landed), list[dict[str, Any]]()
        feed = own.feeds()[0]
        given = 0
        batches = own.read(feed, self.cursor, budget or Budget())
        for batch in batches:
            load += batch.rows.to_pylist()
            if batch.cursor is not None:
                self.landed += load
                load, given = [], given + 1
                self.cursor = committed(self.cursor, [batch.cursor])
                own.acknowledge(feed, batch.cursor)
                if given == loads:
                    break
        batches.close()  # type: ignore[attr-defined]
        assert load == [] or loads is not None
        if source is None:
            own.close()
        return self.landed[before:]

    def close(self) -> None:
        for source in self.sources:
            source.close()


def preview(source: Source, since: Cursor | None, budget: Budget | None = None) -> list[Batch]:
    """What is read by somebody who commits nothing."""
    return list(source.read(source.feeds()[0], since, budget or Budget()))


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    """Emptied for each test: to make one and drop it again takes the server a second."""
    emptied = Database(postgres, "postgres")
    with contextlib.suppress(psycopg.OperationalError):
        drop_slots(emptied.url)
    emptied.run("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    emptied.run(*(f"DROP PUBLICATION {name}" for (name,) in emptied.fetch("SELECT pubname FROM pg_publication")))
    yield emptied
    emptied.close()


def brief(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str | None]]:
    """What happened, and the document."""
    return [(row["op"], row["document"]) for row in rows]
