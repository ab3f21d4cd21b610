"""A tap that others publish, pipelinewise-tap-postgres, over a real PostgreSQL: every promise of a source."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

import pytest
from tests.services.postgres.conftest import Database
from tests.services.postgres.server import Postgres, started
from tests.services.servers import ENVIRONMENTS
from tests.services.singer.conftest import Stream

from catchment.interfaces import Source
from catchment.records import Budget
from catchment.sources.singer.source import SingerSource
from catchment.testing.sources import SourcePromises, rows_in

_MADE = "CREATE TABLE users (id bigint PRIMARY KEY, price numeric(12, 4), updated_at timestamptz NOT NULL)"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with started() as server:
        yield server


class TestPublishedTap(SourcePromises):
    forgetful = True
    unsure = True
    stream: ClassVar[Stream] = Stream(method="INCREMENTAL", replication_key="updated_at")

    @pytest.fixture(autouse=True)
    def _table(self, postgres: Postgres, tmp_path: Path, libraries: Sequence[str]) -> None:
        self._database = Database(postgres, "postgres")
        self._folder = tmp_path
        self._added = 0
        self._database.run("DROP SCHEMA public CASCADE", "CREATE SCHEMA public", _MADE)

    def source(self) -> Source:
        url = urlsplit(self._database.url)
        config = {"host": url.hostname, "port": url.port, "user": url.username, "password": url.password}
        tap = f"{ENVIRONMENTS}/singer-postgres/bin/tap-postgres"
        given = {**config, "dbname": "postgres"}
        return SingerSource("shop", {"users": self.stream}, self._folder, command=tap, config=given)

    def add_rows(self, count: int) -> None:
        first, self._added = self._added + 1, self._added + count
        self._database.run(
            "INSERT INTO users SELECT i, i * 1.25, timestamptz '2026-01-01' + i * interval '1 hour'"
            f" FROM generate_series({first}, {self._added}) i"
        )

    def add_unreadable(self) -> None:
        """What is in a database can be read."""

    def test_what_cannot_be_read_is_a_row_with_its_raw_form_and_a_reason(self) -> None:
        """See tests/unit/sources/test_singer.py, with a tap that writes rubbish."""

    def test_digits_are_kept_and_a_changed_row_lands_again(self) -> None:
        self.add_rows(2)
        first = list(self.batches(budget=Budget()))
        documents = [json.loads(row["document"], parse_float=str) for row in rows_in(first)]
        assert [one["price"] for one in documents] == ["1.2500", "2.5000"]
        self._database.run("UPDATE users SET price = 7, updated_at = '2027-01-01' WHERE id = 1")
        again = rows_in(list(self.batches(first[-1].cursor, Budget())))
        assert [json.loads(row["document"])["id"] for row in again] == [1]
