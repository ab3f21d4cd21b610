"""Live figures in DuckDB keep the promises of a live store."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from catchment.stores.duckdb import DuckDBLiveStore
from catchment.testing.stores import FEED, LiveStorePromises, Order, given, token


class TestDuckDBLiveStore(LiveStorePromises):
    points = ("live.taken", "live.kept", "live.fed")

    def open(self, place: Path, reached: Callable[[str], None] | None = None) -> DuckDBLiveStore:
        return DuckDBLiveStore(place, reached=reached or (lambda _point: None))


_HOLD = """
import sys, time, duckdb
held = duckdb.connect(sys.argv[1])
print("held", flush=True)
time.sleep(0.5)
"""


def test_who_finds_the_file_taken_waits_a_little(tmp_path: Path) -> None:
    suite = TestDuckDBLiveStore()
    store = suite.fed(suite.open(tmp_path), [Order("a", 1)])
    words = [sys.executable, "-c", _HOLD, str(tmp_path / "live_store.duckdb")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        store.feed(FEED, given([Order("b", 1)]), token(2))
    suite.holds(store, [Order("a", 1), Order("b", 1)])
