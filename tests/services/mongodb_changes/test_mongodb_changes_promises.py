"""A change stream of MongoDB keeps what every source promises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from bson import Decimal128, Int64
from pymongo.database import Database
from tests.services.mongodb_changes.conftest import Following

from catchment.interfaces import Source
from catchment.naming import changes_table
from catchment.records import Batch, Budget, Cursor, Description, Feed
from catchment.sources.mongodb_changes.source import MongoChangesSource
from catchment.testing.sources import SMALLEST, SourcePromises

# More than 16 MB of JSON text, each character six of them.
TOO_LONG = "\x01" * (3 << 20)


class ChangesPromises(SourcePromises):
    forgetful = True

    @pytest.fixture(autouse=True)
    def _collection(self, following: Following, database: Database[dict[str, Any]]) -> None:
        self.following = following
        self.database = database
        self.count = 0

    def source(self) -> Source:
        return self.following.source()

    def add_rows(self, count: int) -> None:
        numbers = range(self.count, self.count + count)
        rows = [{"_id": n, "name": f"product {n}", "price": Decimal128("1.50"), "stock": Int64(n)} for n in numbers]
        self.database.products.insert_many(rows)
        self.count += count

    def add_unreadable(self) -> None:
        self.database.products.insert_one({"_id": self.count, "note": TOO_LONG})
        self.count += 1


class TestACollection(ChangesPromises):
    pass


class FromTheBeginningOfTheLog(MongoChangesSource):
    """Knows that the collections were empty: everything is read from the log."""

    begin: Cursor | None = None

    def describe(self, feed: Feed, since: Cursor | None) -> Description:
        return super().describe(feed, since or self.begin)

    def read(self, feed: Feed, since: Cursor | None, budget: Budget) -> Iterator[Batch]:
        yield from super().read(feed, since or self.begin, budget)


class TestTheLog(ChangesPromises):
    @pytest.fixture(autouse=True)
    def _begin(self, _collection: None) -> None:
        (*_, last) = self.following.source("products", "stock").read(
            Feed("shop", changes_table("shop")), None, SMALLEST
        )
        self.begin = last.cursor

    def source(self) -> Source:
        source = self.following.source("products", "stock", kind=FromTheBeginningOfTheLog)
        source.begin = self.begin  # type: ignore[attr-defined]
        return source

    def add_rows(self, count: int) -> None:
        """Inserts, and in the other collection a replaced one and a deleted one; each of them is one change."""
        super().add_rows(max(count - 2, 1))
        if count > 1:
            self.database.stock.replace_one({"_id": 0}, {"count": self.count}, upsert=True)
        if count > 2:
            self.database.stock.delete_one({"_id": 0})


class TestSeveralCollections(ChangesPromises):
    """Rows come in two of three."""

    def source(self) -> Source:
        return self.following.source("products", "stock", "reviews", extended_json="relaxed")

    def add_rows(self, count: int) -> None:
        for number in range(self.count, self.count + count):
            self.database["stock" if number % 2 else "products"].insert_one({"_id": number})
        self.count += count
