"""Live figures in DuckDB keep the promises of a live store."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from catchment.errors import FatalError
from catchment.metric import Owner
from catchment.stores.duckdb import DuckDBLiveStore
from catchment.testing.stores import FEED, LIVE, SCHEMA, LiveStorePromises, Order, given, token


class TestDuckDBLiveStore(LiveStorePromises):
    points = ("live.taken", "live.kept", "live.fed")

    def open(
        self, place: Path, reached: Callable[[str], None] | None = None, owner: Owner | None = None
    ) -> DuckDBLiveStore:
        return DuckDBLiveStore(place, reached=reached or (lambda _point: None), owner=owner)


def test_the_statements_make_a_store_as_it_is(tmp_path: Path) -> None:
    suite = TestDuckDBLiveStore()
    store = suite.fed(suite.open(tmp_path), [Order("a", 1)])
    asked = "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns ORDER BY ALL"
    with duckdb.connect(str(tmp_path / "other.duckdb")) as other:
        for statement in store.statements(LIVE, {"orders": SCHEMA}):
            other.execute(statement)
        made = other.execute(asked).fetchall()
    with duckdb.connect(str(tmp_path / "live_store.duckdb"), read_only=True) as there:
        assert there.execute(asked).fetchall() == made
    assert ("live", "sales", "pieces", "BIGINT") in made


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


@pytest.mark.parametrize("damage", ["no database", "cut off", "a bit"])
def test_a_broken_file_is_not_tried_again_and_its_cure_is_to_make_it_anew(tmp_path: Path, damage: str) -> None:
    suite = TestDuckDBLiveStore()
    suite.fed(suite.open(tmp_path), [Order("a", 1)])
    path = tmp_path / "live_store.duckdb"
    whole = path.read_bytes()
    bit = whole[:12] + bytes([whole[12] ^ 255]) + whole[13:]
    path.write_bytes({"no database": b"hello", "cut off": whole[: len(whole) // 2], "a bit": bit}[damage])
    begun = time.monotonic()
    with pytest.raises(FatalError, match=r"live_store\.duckdb cannot be read") as told:
        suite.open(tmp_path).progress(FEED.name)
    assert time.monotonic() - begun < 2
    assert told.value.hint == f"remove {path}: catchment live feed makes it anew from silver"
    path.unlink()
    suite.holds(suite.fed(suite.open(tmp_path), [Order("a", 1)]), [Order("a", 1)])


def test_a_file_that_nobody_lets_us_read_asks_for_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, and runs these tests in places: what DuckDB says to others is scripted."""
    path = tmp_path / "live_store.duckdb"
    path.touch()

    def refuse(*_: object, **__: object) -> None:
        message = f'IO Error: Cannot open file "{path}": Permission denied'
        raise duckdb.IOException(message)

    monkeypatch.setattr(duckdb, "connect", refuse)
    with pytest.raises(FatalError, match="Permission denied") as told:
        DuckDBLiveStore(tmp_path).query("select 1")
    assert told.value.hint == f"who runs this has to be let read and write {path} and its folder"
