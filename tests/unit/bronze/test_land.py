"""Landing: what a source gives is in bronze once, with our columns first, whatever breaks off between."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from catchment.bronze.land import Landing, arriving
from catchment.engines.duckdb import DuckDBEngine
from catchment.errors import Conflict, RetryableError, Stopped
from catchment.events import Noticed, RowsLanded, SchemaChanged, StepProgress
from catchment.interfaces import Engine, Source, Table
from catchment.lake.delta import DeltaLake
from catchment.naming import BRONZE_COLUMNS, TableName
from catchment.records import Batch, Budget, Cursor, Feed, Notice
from catchment.testing.fakes import (
    Crash,
    End,
    Heard,
    Open,
    Same,
    ScriptedSource,
    Seen,
    Tell,
    Transient,
    Workbench,
    arrived,
)
from catchment.testing.sources import SourcePromises

BRONZE = TableName("bronze", "src__rows")


@pytest.fixture
def engine() -> Iterator[Engine[Any]]:
    running = DuckDBEngine(memory_bytes=128 << 20, threads=1)
    yield running
    running.close()


@pytest.fixture
def bench(tmp_path: Path, engine: Engine[Any]) -> Workbench:
    return Workbench(DeltaLake(tmp_path), engine)


def rows(*ids: int) -> pa.Table:
    return arrived({"id": pa.array(ids, pa.int64())})


def landed(bench: Workbench) -> list[int]:
    return sorted(row["id"] for row in bench.rows("bronze.src__rows"))


def table(bench: Workbench) -> Table:
    found = bench.lake.open(BRONZE)
    assert found is not None
    return found


class TestScriptedSource(SourcePromises):
    """The fake is a source as good as any."""

    @pytest.fixture(autouse=True)
    def _script(self) -> None:
        self.script: list[Any] = []
        self.last = 0

    def source(self) -> Source:
        found = ScriptedSource([])
        found.script = self.script  # the outside goes on while a source is open
        return found

    def add_rows(self, count: int) -> None:
        self.script.append(arrived({"id": list(range(self.last, self.last + count))}, origin=f"{len(self.script)}"))
        self.last += count

    def add_unreadable(self) -> None:
        self.script.append(arrived({"id": [0]}, origin=f"{len(self.script)}", defects={0: "broken"}))


def test_our_columns_come_first_and_say_where_each_row_is_from(bench: Workbench) -> None:
    began = datetime.now(UTC)
    bench.land(rows(7, 8), rows(9))
    assert tuple(table(bench).schema().names) == (*BRONZE_COLUMNS, "id")
    found = bench.rows("bronze.src__rows", "SELECT _shard, _load, _row, _origin, _position, id FROM t ORDER BY id")
    assert [tuple(row.values()) for row in found] == [
        (0, 1, 0, "script", 0, 7),
        (0, 1, 1, "script", 1, 8),
        (0, 2, 0, "script", 0, 9),
    ]
    for row in bench.rows("bronze.src__rows"):
        assert began - timedelta(seconds=1) < row["_loaded_at"] <= datetime.now(UTC)


def test_a_load_ends_at_a_cursor_and_each_is_one_commit(bench: Workbench) -> None:
    bench.land(Open(rows(1)), Open(rows(2)), rows(3), rows(4))
    assert [(event.load, event.rows) for event in bench.heard.of(RowsLanded)] == [(1, 3), (2, 1)]
    assert [commit.pin.generation for commit in table(bench).history()] == [2, 1, 0]
    ordinals = bench.rows("bronze.src__rows", "SELECT id, _row FROM t WHERE _load = 1 ORDER BY id")
    assert [row["_row"] for row in ordinals] == [0, 1, 2]


def test_nothing_new_lands_nothing_and_commits_nothing(bench: Workbench) -> None:
    assert bench.land(rows(1))
    pin = table(bench).pin
    assert not bench.land()
    assert table(bench).pin == pin
    assert len(bench.heard.of(RowsLanded)) == 1


def test_a_source_without_rows_makes_no_table(bench: Workbench) -> None:
    assert not bench.land()
    assert bench.lake.list() == []


def test_after_a_failure_the_next_landing_goes_on_after_the_last_commit(bench: Workbench) -> None:
    with pytest.raises(RetryableError):
        bench.land(rows(1), Open(rows(2)), Transient(), rows(3), Crash(ValueError("broken")), rows(4))
    assert landed(bench) == [1]
    with pytest.raises(ValueError, match="broken"):
        bench.land()
    assert landed(bench) == [1, 2, 3]
    assert bench.land()
    assert landed(bench) == [1, 2, 3, 4]
    loads = [event.load for event in bench.heard.of(RowsLanded)]
    assert loads == sorted(set(loads))


def test_what_comes_after_the_end_lands_the_next_time(bench: Workbench) -> None:
    bench.land(rows(1), End(), rows(2))
    assert landed(bench) == [1]
    bench.land()
    assert landed(bench) == [1, 2]


def test_the_cursor_rides_in_the_commit_that_brings_its_rows(bench: Workbench) -> None:
    bench.land(rows(1), rows(2))
    assert table(bench).progress().cursors["land"] == {"place": 2}


def test_a_load_that_holds_what_the_last_one_held_is_thrown_away(bench: Workbench) -> None:
    bench.land(rows(1, 2), Same(rows(1, 2)))
    assert landed(bench) == [1, 2]
    assert table(bench).progress().generation == 1
    assert table(bench).progress().cursors["land"] == {"place": 1}
    folder = Path(table(bench).folder())
    assert len(list(folder.rglob("*.parquet"))) == 1
    bench.land(Open(rows(3)), Same(rows(4)), rows(5))
    assert landed(bench) == [1, 2, 5]


def test_what_a_source_wants_to_be_given_as_seen_takes_the_place_of_what_it_saw(bench: Workbench) -> None:
    def names(*found: str) -> pa.Table:
        return pa.table({"name": found})

    bench.land(Seen(rows(1), names("a")), Seen(rows(2), names("b", "c")))
    seen = table(bench).seen()
    assert seen is not None
    assert seen.column("name").to_pylist() == ["b", "c"]
    assert landed(bench) == [1, 2]


def test_a_new_column_is_added_before_its_rows(bench: Workbench) -> None:
    bench.land(rows(1), arrived({"id": [2], "note": ["x"]}))
    assert table(bench).schema().names[-2:] == ["id", "note"]
    assert {row["id"]: row["note"] for row in bench.rows("bronze.src__rows")} == {1: None, 2: "x"}
    assert [commit.pin.generation for commit in table(bench).history()] == [3, 2, 1, 0]


def test_a_column_that_is_missing_later_is_null(bench: Workbench) -> None:
    bench.land(arrived({"id": [1], "note": ["x"]}), rows(2))
    assert {row["id"]: row["note"] for row in bench.rows("bronze.src__rows")} == {1: "x", 2: None}


def test_defects_are_rows_and_are_counted(bench: Workbench) -> None:
    bench.land(arrived({"id": [1, 2]}, defects={1: "a quote is not closed"}))
    found = bench.rows("bronze.src__rows", "SELECT id, _defect, _raw FROM t ORDER BY _row")
    assert [tuple(row.values()) for row in found] == [(1, None, None), (None, "a quote is not closed", b"raw 1")]
    assert [(event.rows, event.defects) for event in bench.heard.of(RowsLanded)] == [(2, 1)]


def test_what_a_source_noticed_is_told(bench: Workbench) -> None:
    notices = [
        Notice("columns_added", "new column note", {"columns": ["note"]}),
        Notice("file_changed", "a.csv changed after it landed"),
    ]
    bench.land(Tell(rows(1), notices))
    assert [(event.table, list(event.added)) for event in bench.heard.of(SchemaChanged)] == [(str(BRONZE), ["note"])]
    assert [(event.kind, event.message) for event in bench.heard.of(Noticed)] == [
        ("file_changed", "a.csv changed after it landed")
    ]


def test_progress_is_told_in_bytes_that_only_grow(bench: Workbench) -> None:
    bench.land(Open(rows(1)), rows(2, 3))
    done = [event.done for event in bench.heard.of(StepProgress)]
    assert done == sorted(done)
    assert done[-1] == rows(1).nbytes + rows(2, 3).nbytes


def test_another_process_that_landed_first_is_a_conflict_and_nothing_lands_twice(
    tmp_path: Path, engine: Engine[Any]
) -> None:
    script = [rows(1), rows(2)]
    faster = Workbench(DeltaLake(tmp_path), engine)
    raced = False

    def race(point: str) -> None:
        nonlocal raced
        if point == "bronze.filled" and not raced:
            raced = True
            faster.land(*script)

    slower = Workbench(DeltaLake(tmp_path, reached=race), engine)
    with pytest.raises(Conflict):
        slower.land(*script)
    assert landed(faster) == [1, 2]
    assert not slower.land()
    assert landed(faster) == [1, 2]


def test_rows_that_another_process_landed_while_they_were_read_do_not_land_again(
    tmp_path: Path, engine: Engine[Any]
) -> None:
    lake, faster = DeltaLake(tmp_path), Workbench(DeltaLake(tmp_path), engine)
    faster.land(rows(1))

    class Overtaken(ScriptedSource):
        def read(self, feed: Feed, since: Cursor | None, budget: Budget) -> Iterator[Batch]:
            found = list(super().read(feed, since, budget))
            faster.land(rows(2))
            yield from found

    slower = Overtaken([rows(1), rows(2)])
    with pytest.raises(Conflict, match="another process landed first"):
        Landing("land:src.rows", slower.feeds()[0], slower, lake, engine, Heard(), lambda: None).run()
    assert landed(faster) == [1, 2]


def test_a_stop_between_two_loads_keeps_what_was_committed(tmp_path: Path, engine: Engine[Any]) -> None:
    source = ScriptedSource([rows(1), rows(2), rows(3)])
    heard = Heard()

    def stopping() -> None:
        if heard.of(RowsLanded):
            raise Stopped("asked to stop")

    lake = DeltaLake(tmp_path)
    with pytest.raises(Stopped):
        Landing("land:src.rows", source.feeds()[0], source, lake, engine, heard, stopping).run()
    bench = Workbench(lake, engine)
    assert landed(bench) == [1]
    bench.land(*source.script)
    assert landed(bench) == [1, 2, 3]


def test_what_would_land_can_be_looked_at_and_commits_nothing(bench: Workbench, tmp_path: Path) -> None:
    bench.land(rows(1))
    source = ScriptedSource([rows(1), rows(2), arrived({"id": [3], "note": ["x"]})])
    folder = tmp_path / "preview"
    folder.mkdir()
    pin = table(bench).pin
    found = arriving(source, source.feeds()[0], bench.lake, bench.engine, str(folder))
    assert found is not None
    files, schema = found
    assert sum(file.rows for file in files) == 2
    assert "id" in schema.names
    assert table(bench).pin == pin
    assert arriving(ScriptedSource([]), source.feeds()[0], bench.lake, bench.engine, str(folder)) is None
