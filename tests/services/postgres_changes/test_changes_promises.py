"""The promises of every source, kept over a real server: by the snapshots of tables, and by the log that follows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from catchment.interfaces import Source
from catchment.naming import changes_table
from catchment.records import Batch, Budget, Cursor, Description, Feed, Finding
from catchment.testing.sources import SMALLEST, SourcePromises
from tests.services.postgres_changes.conftest import Database, drop_slots

_THEN = datetime(2026, 1, 1, tzinfo=UTC)


class _OverPostgres(SourcePromises):
    forgetful = True
    unsure = True  # the log has the changes of other tables too

    @pytest.fixture(autouse=True)
    def _table(self, database: Database) -> Iterator[None]:
        self._database = database
        self._added = 0
        database.run("CREATE TABLE rows (id int PRIMARY KEY, name text, extra json)")
        self._begin()
        yield
        database.close()

    def _begin(self) -> None:
        """Before the first row."""

    def _made(self) -> Source:
        # One slot is read by one at a time, and the suite makes many sources.
        self._database.close()
        return self._database.source()

    def feed(self) -> Feed:
        return Feed("shop", changes_table("shop"))

    def add_rows(self, count: int) -> None:
        self._insert(count, "NULL")

    def add_unreadable(self) -> None:
        self._insert(1, "'\"half of a character: \\ud800\"'")

    def _insert(self, count: int, extra: str) -> None:
        first = self._added + 1
        self._added += count
        numbers = f"generate_series({first}, {self._added}) i"
        self._database.run(f"INSERT INTO rows SELECT i, 'row ' || i, {extra} FROM {numbers}")


class _Wrapped(Source):
    """A source whose log begins at a cursor, or one whose reader acknowledges each load."""

    def __init__(self, source: Source, first: Cursor | None) -> None:
        self.abilities = source.abilities  # type: ignore[misc]
        self._source, self._first = source, first

    def feeds(self) -> Sequence[Feed]:
        return self._source.feeds()

    def describe(self, feed: Feed, since: Cursor | None) -> Description:
        return self._source.describe(feed, since or self._first)

    def read(self, feed: Feed, since: Cursor | None, budget: Budget) -> Iterator[Batch]:
        for batch in self._source.read(feed, since or self._first, budget):
            yield batch
            if batch.cursor is not None and self._first is None:
                self._source.acknowledge(feed, batch.cursor)

    def acknowledge(self, feed: Feed, cursor: Cursor) -> None:
        self._source.acknowledge(feed, cursor)

    def wait(self, feed: Feed, since: Cursor | None, seconds: float) -> bool:
        return self._source.wait(feed, since or self._first, seconds)

    def recognize(self, feed: Feed, origins: pa.Table) -> Cursor:
        return self._source.recognize(feed, origins)

    def probe(self, feed: Feed) -> Sequence[Finding]:
        return self._source.probe(feed)

    def close(self) -> None:
        self._source.close()


class TestSnapshot(_OverPostgres):
    """Each first read finds a server without a slot."""

    def source(self) -> Source:
        return _Wrapped(self._made(), None)

    def batches(self, since: Cursor | None = None, budget: Budget = SMALLEST) -> Iterator[Batch]:
        source = self.source()
        if since is None:
            drop_slots(self._database.url)
        for batch in source.read(source.feeds()[0], since, budget):
            at = batch.rows.schema.get_field_index("committed_at")
            then = pa.repeat(pa.scalar(_THEN, batch.rows.schema.field(at).type), batch.rows.num_rows)
            yield replace(batch, rows=batch.rows.set_column(at, batch.rows.schema.field(at), then))

    def test_who_wants_a_look_is_given_the_first_rows(self) -> None:
        self.add_rows(5)
        whole = [batch.rows.drop_columns("committed_at") for batch in self.batches()]
        look = [batch.rows for batch in self.source().read(self.feed(), None, Budget(rows=2))]
        first = pa.concat_tables(look).drop_columns("committed_at")
        assert first.num_rows == 2
        assert first == pa.concat_tables(whole).slice(0, 2)


class TestLog(_OverPostgres):
    def _begin(self) -> None:
        assert self._database.land() == []
        assert self._database.cursor is not None
        self._first = self._database.cursor

    def source(self) -> Source:
        return _Wrapped(self._made(), self._first)

    def test_describing_changes_nothing_and_agrees_with_reading(self) -> None:
        """But for how much log there is, which others may have made more."""
        self.add_rows(3)
        assert self.source().describe(self.feed(), None).item == "stretch of log"
        assert sum(batch.rows.num_rows for batch in self.batches()) == 3
