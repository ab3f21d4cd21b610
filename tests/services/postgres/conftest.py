"""One server for the session, in a folder of its own; its database is emptied for each test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from adbc_driver_postgresql import dbapi
from tests.services.postgres.server import Postgres, started

from catchment.reading.kinds.sql import TableStream
from catchment.records import Batch, Budget, Cursor
from catchment.sources.postgres.source import PostgresSource
from catchment.testing.sources import committed, rows_in


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with started() as server:
        yield server


@contextlib.contextmanager
def connection(url: str) -> Iterator[dbapi.Connection]:
    opened = dbapi.connect(url, autocommit=True)
    try:
        yield opened
    finally:
        opened.close()


def execute(opened: dbapi.Connection, *statements: str) -> None:
    for statement in statements:
        with opened.cursor() as cursor:
            cursor.execute(statement)


@dataclass
class Database:
    """A database of one test: what fills it, and sources that read it."""

    postgres: Postgres
    name: str
    cursors: dict[str, Cursor | None] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.postgres.url(self.name)

    def run(self, *statements: str) -> None:
        with connection(self.url) as opened:
            execute(opened, *statements)

    def fetch(self, sql: str) -> list[dict[str, Any]]:
        with connection(self.url) as opened, opened.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetch_arrow_table().to_pylist()  # type: ignore[no-any-return]

    def source(self, *, url: str | None = None, **keys: Any) -> PostgresSource:
        return PostgresSource("shop", {"rows": TableStream(**{"table": "rows", **keys})}, Path(), url or self.url)

    def batches(self, budget: Budget | None = None, *, url: str | None = None, **keys: Any) -> list[Batch]:
        """What a run would land now; the next one goes on behind it."""
        source, place = self.source(url=url, **keys), keys.get("table", "rows")
        since = self.cursors.get(place)
        found = list(source.read(source.feeds()[0], since, budget or Budget()))
        if not (found and found[-1].unchanged):
            self.cursors[place] = committed(since, [one.cursor for one in found if one.cursor is not None])
        return found

    def table(self, **keys: Any) -> pa.Table:
        return pa.concat_tables([batch.rows for batch in self.batches(**keys)], promote_options="default")

    def rows(self, *, budget: Budget | None = None, **keys: Any) -> list[dict[str, Any]]:
        return rows_in(self.batches(budget, **keys))


@pytest.fixture
def database(postgres: Postgres) -> Database:
    """Emptied for each test: to make one and drop it again takes the server a second."""
    emptied = Database(postgres, "postgres")
    emptied.run("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    return emptied


def ids(rows: Sequence[dict[str, Any]]) -> list[int]:
    return [row["id"] for row in rows]
