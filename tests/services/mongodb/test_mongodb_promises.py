"""MongoDB keeps what every source promises, by each kind of cursor and whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from bson import Decimal128, Int64, ObjectId
from pymongo.database import Database
from tests.services.mongodb.conftest import Asking

from catchment.interfaces import Source
from catchment.testing.sources import SourcePromises

# More than 16 MB of JSON text, each character six of them.
TOO_LONG = "\x01" * (3 << 20)


class MongoPromises(SourcePromises):
    forgetful = True
    keys: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(autouse=True)
    def _collection(self, asking: Asking, database: Database[dict[str, Any]]) -> None:
        self.asking = asking
        self.products = database.create_collection("products")
        self.count = 0

    def source(self) -> Source:
        return self.asking.source(**self.keys)

    def document(self, number: int) -> dict[str, Any]:
        at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
        return {"name": f"product {number}", "price": Decimal128("1.50"), "stock": Int64(number), "updated_at": at}

    def add_rows(self, count: int) -> None:
        self.products.insert_many([self.document(self.count + number) for number in range(count)])
        self.count += count

    def add_unreadable(self) -> None:
        self.products.insert_one({**self.document(self.count), "note": TOO_LONG})
        self.count += 1


class TestById(MongoPromises):
    keys: ClassVar[dict[str, Any]] = {"cursor": "_id"}


class TestByDate(MongoPromises):
    keys: ClassVar[dict[str, Any]] = {"cursor": "updated_at", "lookback": "3 s", "extended_json": "relaxed"}


class TestByNumber(MongoPromises):
    keys: ClassVar[dict[str, Any]] = {"cursor": "stock", "lookback": 2}


class TestByText(MongoPromises):
    keys: ClassVar[dict[str, Any]] = {"cursor": "code"}

    def document(self, number: int) -> dict[str, Any]:
        return {"_id": ObjectId(), "code": f"c{number:06d}"}


class TestWhole(MongoPromises):
    whole = True
    unsure = True
