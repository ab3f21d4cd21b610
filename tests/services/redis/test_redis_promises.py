"""Redis keeps what every source promises, for keys and for streams."""

from __future__ import annotations

from typing import Any

import pytest
from tests.services.redis.conftest import Asking

from catchment.interfaces import Source
from catchment.testing.sources import SourcePromises

# More than 16 MB of JSON text, each character six of them.
TOO_LONG = b"\x01" * (3 << 20)


class TestKeys(SourcePromises):
    whole = True
    unsure = True
    forgetful = True

    @pytest.fixture(autouse=True)
    def _keys(self, asking: Asking, client: Any) -> None:
        self.asking, self.client, self.count = asking, client, 0
        client.set("other", "1")

    def source(self) -> Source:
        return self.asking.source(keys="session:*")

    def add_rows(self, count: int) -> None:
        for _ in range(count):
            self.client.set(f"session:{self.count}", f"user {self.count}")
            self.count += 1

    def add_unreadable(self) -> None:
        self.client.set("session:long", TOO_LONG)


class TestStream(SourcePromises):
    @pytest.fixture(autouse=True)
    def _stream(self, asking: Asking, client: Any) -> None:
        self.asking, self.client, self.count = asking, client, 0

    def source(self) -> Source:
        return self.asking.source(stream="clicks")

    def add_rows(self, count: int) -> None:
        for _ in range(count):
            self.client.xadd("clicks", {"page": f"/{self.count}", "user": b"\xff"})
            self.count += 1

    def add_unreadable(self) -> None:
        self.client.xadd("clicks", {"page": TOO_LONG})
