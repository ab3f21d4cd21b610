"""The promises of every source, kept over a real PostgreSQL: by cursor, with a lookback, whole, and as type sql."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.services.postgres.conftest import Database

from catchment.interfaces import Source
from catchment.reading.kinds.sql import TableStream
from catchment.sources.sql.source import SqlSource
from catchment.testing.sources import SourcePromises

_MADE = """\
CREATE TABLE rows (id bigint PRIMARY KEY, name text, price numeric(10, 2), seen timestamptz,
                   updated_at timestamptz NOT NULL)"""


class _OverPostgres(SourcePromises):
    forgetful = True
    keys: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(autouse=True)
    def _table(self, database: Database) -> None:
        self._database = database
        self._added = 0
        database.run(_MADE, "CREATE INDEX ON rows (updated_at)")

    def source(self) -> Source:
        return self._database.source(**self.keys)

    def add_rows(self, count: int) -> None:
        self._insert(count, "'2026-01-01'")

    def add_unreadable(self) -> None:
        self._insert(1, "'infinity'")

    def _insert(self, count: int, seen: str) -> None:
        first = self._added + 1
        self._added += count
        self._database.run(
            f"INSERT INTO rows SELECT i, 'row ' || i, i / 4.0, {seen}, timestamptz '2026-01-01' + i * interval '1 hour'"
            f" FROM generate_series({first}, {self._added}) i"
        )


class TestByCursor(_OverPostgres):
    keys: ClassVar[dict[str, Any]] = {"cursor": "updated_at"}


class TestByCursorWithLookback(_OverPostgres):
    keys: ClassVar[dict[str, Any]] = {"cursor": "updated_at", "lookback": "3 hours"}


class TestByKey(_OverPostgres):
    keys: ClassVar[dict[str, Any]] = {"cursor": "id", "lookback": 2, "columns": ["id", "seen"]}


class TestWhole(_OverPostgres):
    whole = True


class _AsSql(_OverPostgres):
    """The same table through SQLAlchemy and a driver that is no dependency of ours."""

    @pytest.fixture(autouse=True)
    def _driver(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        # Behind ours: what the driver brings with it must not stand in for what we have.
        monkeypatch.setattr("sys.path", [*sys.path, database.postgres.driver])

    def source(self) -> Source:
        url = self._database.url.replace("postgresql://", "postgresql+pg8000://")
        return SqlSource("shop", {"rows": TableStream(**{"table": "rows", **self.keys})}, Path(), url)


class TestAsSqlByCursor(_AsSql):
    keys: ClassVar[dict[str, Any]] = {"cursor": "updated_at", "lookback": "3 hours"}


class TestAsSqlWhole(_AsSql):
    whole = True
