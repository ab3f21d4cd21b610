"""ClickHouse keeps the promises of a live store, also when the server is killed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from catchment.errors import ConfigError, RetryableError
from catchment.interfaces import LiveStore
from catchment.metric import Owner
from catchment.stores.clickhouse import ClickHouseLiveStore
from catchment.testing.stores import FEED, LIVE, SALES, SCHEMA, LiveStorePromises, Order, given, some_orders, token

URL = "CATCHMENT_TEST_CLICKHOUSE"


class TestClickHouseLiveStore(LiveStorePromises):
    points = ("live.taken", "live.kept", "live.shown", "live.fed")

    @pytest.fixture(autouse=True)
    def _address(self, server: object, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(URL, server.url(""))  # type: ignore[attr-defined]

    def open(
        self, place: Path, reached: Callable[[str], None] | None = None, owner: Owner | None = None
    ) -> ClickHouseLiveStore:
        database = f"t_{hashlib.sha256(str(place).encode()).hexdigest()[:12]}"
        return ClickHouseLiveStore(os.environ[URL] + database, reached=reached or (lambda _point: None), owner=owner)

    def expired(self, store: LiveStore) -> None:
        assert isinstance(store, ClickHouseLiveStore)
        store._command(f"OPTIMIZE TABLE {store._name('orders__1')} FINAL")

    def test_a_server_that_is_killed_keeps_what_it_answered(self, server: object, tmp_path: Path) -> None:
        orders = some_orders(5, 60)
        store = self.fed(self.open(tmp_path), orders[:30])
        server.kill()  # type: ignore[attr-defined]
        store.close()
        with pytest.raises(RetryableError, match="does not answer: connection refused"):
            store.feed(FEED, given(orders[30:]), token(2))
        server.start()  # type: ignore[attr-defined]
        store.close()
        assert store.progress(FEED) == token(1)
        store.feed(FEED, given(orders[30:]), token(2))
        self.holds(store, orders)

    def test_merged_parts_say_what_unmerged_ones_did(self, tmp_path: Path) -> None:
        orders = some_orders(6, 90)
        store = self.fed(self.open(tmp_path), [])
        for number in range(9):
            store.feed(FEED, given(orders[number * 10 : number * 10 + 10]), token(2 + number))
        self.holds(store, orders)
        store._command(f"OPTIMIZE TABLE {store._name('orders__1')} FINAL")
        self.holds(store, orders)

    def test_a_table_of_another_number_is_dropped_once_rows_are_taken_anew(self, tmp_path: Path) -> None:
        store = self.fed(self.open(tmp_path), [Order("a", 1)])
        for number in (2, 3):
            store.feed(FEED, given([Order("b", 1)]), token(number), anew=True)
        listed = f"SELECT name FROM system.tables WHERE database = '{store._database}' AND name LIKE 'orders\\_\\_%'"
        assert sorted(name for (name,) in store._rows(listed)) == ["orders__3", "orders__rows"]

    def test_the_statements_make_a_store_as_it_is(self, tmp_path: Path) -> None:
        store = self.fed(self.open(tmp_path), [Order("a", 1)])
        other = f"{store._database}_other"
        for statement in store.statements(LIVE, {"orders": SCHEMA}):
            store._command(statement.replace(f"`{store._database}`", f"`{other}`"))
        asked = "SELECT table, name, type FROM system.columns WHERE database = '{}' ORDER BY ALL"
        made = store._rows(asked.format(other))
        assert ("sales", "revenue", "Nullable(Float64)") in [tuple(row) for row in made]
        assert store._rows(asked.format(store._database)) == made
        told = f"SELECT comment FROM system.tables WHERE database = '{store._database}' AND name = 'sales'"
        assert store._rows(told)[0][0] == f"live.sales ({SALES.fingerprint})"

    @pytest.mark.parametrize("url", ["clickhouse.example.com:8123", "http://:8123/live", "http://127.0.0.1:x/live"])
    def test_an_address_that_is_none_is_told(self, url: str) -> None:
        with pytest.raises(ConfigError, match="none that can be used"):
            ClickHouseLiveStore(url)

    def test_metrics_are_found_in_schema_live_whatever_the_database_is_called(self, tmp_path: Path) -> None:
        store = self.fed(self.open(tmp_path), [Order("a", 1)])
        asked = "select n, 'live.sales' as said from live.sales as live"
        assert store.query(asked).read_all().to_pylist() == [{"n": 1, "said": "live.sales"}]
