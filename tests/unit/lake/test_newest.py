"""Where a table stands, told by the newest entries of its log: the same as opening it, or nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from catchment.engines.duckdb import DuckDBEngine
from catchment.errors import Unfenced
from catchment.lake.delta import DeltaLake, DeltaLakeTable
from catchment.lake.newest import glance
from catchment.lake.progress import ProgressFolder
from catchment.naming import TableName
from catchment.records import Change, Glance, Progress

NAME = TableName("silver", "t")
SCHEMA = pa.schema([("n", pa.int64()), ("_load", pa.int64())])


@pytest.fixture
def lake(tmp_path: Path) -> DeltaLake:
    return DeltaLake(tmp_path / "lake")


def write(lake: DeltaLake, cursor: int) -> None:
    """One row more, in a file of its own."""
    table = lake.open(NAME) or lake.create(NAME, SCHEMA)
    claim = table.claim()
    engine = DuckDBEngine(memory_bytes=256 << 20, threads=1, spill=Path(table.folder()) / "spill")
    try:
        rows = engine.frame(pa.table({"n": [cursor], "_load": [claim.number]}, SCHEMA))
        files = engine.write(rows, table.folder(), str(claim.number))
    finally:
        engine.close()
    table.commit(claim, Change(add=files), Progress(cursors={"refine": {"bronze.s": cursor}}))


def folder(lake: DeltaLake) -> Path:
    table = lake.open(NAME)
    assert table is not None
    return Path(table.folder())


def told(lake: DeltaLake) -> Glance | None:
    """What the log alone tells."""
    place = folder(lake)
    state = ProgressFolder(place.parents[1], NAME, 0).read
    return glance(str(place / "_delta_log"), f"catchment:{NAME}/0", state)


def opened(lake: DeltaLake) -> DeltaLakeTable:
    table = lake.open(NAME)
    assert table is not None
    return table


def stands_as_opened(lake: DeltaLake) -> bool:
    found, table = lake.glance(NAME), opened(lake)
    return found is not None and (found.pin, found.progress) == (table.pin, table.progress())


def test_no_table_stands_nowhere(lake: DeltaLake, tmp_path: Path) -> None:
    assert lake.glance(NAME) is None
    (tmp_path / "lake" / "silver" / "t" / "_delta_log").mkdir(parents=True)
    assert lake.glance(NAME) is None


def test_a_new_table_stands_at_its_first_version(lake: DeltaLake) -> None:
    lake.create(NAME, SCHEMA)
    found = lake.glance(NAME)
    assert found is not None
    assert (found.pin.version, found.pin.generation, found.progress) == (0, 0, Progress())


def test_every_commit_of_ours_is_told_without_opening(lake: DeltaLake) -> None:
    marks = set()
    for cursor in range(1, 4):
        write(lake, cursor)
        found = told(lake)
        assert found is not None
        assert (found.pin.version, found.pin.generation) == (cursor, cursor)
        assert stands_as_opened(lake)
        marks.add(found.mark)
    assert len(marks) == 3
    assert told(lake) == told(lake)


def test_a_column_added_is_a_commit_like_any_other(lake: DeltaLake) -> None:
    write(lake, 1)
    table = opened(lake)
    table.add_columns(table.claim(), pa.schema([("more", pa.string())]), table.progress())
    found = told(lake)
    assert found is not None
    assert found.pin.generation == 2
    assert stands_as_opened(lake)


def test_rewritten_files_on_top_of_ours_are_looked_through(lake: DeltaLake) -> None:
    for cursor in (1, 2):
        write(lake, cursor)
    before = told(lake)
    handle = DeltaTable(str(folder(lake)))
    handle.optimize.compact()
    handle.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    after = told(lake)
    assert before is not None
    assert after is not None
    assert (after.pin.generation, after.progress) == (2, before.progress)
    assert after.pin.version > before.pin.version
    assert after.mark != before.mark
    assert stands_as_opened(lake)


def test_rows_of_another_program_are_left_to_opening(lake: DeltaLake) -> None:
    write(lake, 1)
    write_deltalake(str(folder(lake)), pa.table({"n": [9], "_load": [9]}, SCHEMA), mode="append")
    assert told(lake) is None
    assert stands_as_opened(lake)


def test_a_table_that_another_program_put_back_is_unfenced_as_when_opened(lake: DeltaLake) -> None:
    for cursor in (1, 2):
        write(lake, cursor)
    DeltaTable(str(folder(lake))).restore(1)
    assert told(lake) is None
    with pytest.raises(Unfenced, match="put back by another program"):
        lake.glance(NAME)


def test_a_state_that_is_gone_is_unfenced_as_when_opened(lake: DeltaLake, tmp_path: Path) -> None:
    write(lake, 1)
    shutil.rmtree(tmp_path / "lake" / "_progress")
    with pytest.raises(Unfenced, match="at generation 1"):
        lake.glance(NAME)


def test_a_state_that_is_damaged_is_unfenced_as_when_opened(lake: DeltaLake, tmp_path: Path) -> None:
    write(lake, 1)
    next((tmp_path / "lake" / "_progress").rglob("*1.json")).write_text("{", encoding="utf-8")
    with pytest.raises(Unfenced, match="damaged"):
        lake.glance(NAME)


def test_an_entry_that_is_cut_off_is_left_to_opening(lake: DeltaLake) -> None:
    write(lake, 1)
    entry = folder(lake) / "_delta_log" / f"{1:020d}.json"
    entry.write_bytes(entry.read_bytes()[:-40])
    with pytest.raises(Unfenced, match="damaged"):
        lake.glance(NAME)


def test_a_checkpoint_whose_entry_is_gone_is_left_to_opening(lake: DeltaLake) -> None:
    for cursor in (1, 2):
        write(lake, cursor)
    place = folder(lake)
    DeltaTable(str(place)).create_checkpoint()
    assert told(lake) is not None
    (place / "_delta_log" / f"{2:020d}.json").unlink()
    assert told(lake) is None
    assert stands_as_opened(lake)


def test_a_mark_of_a_table_that_had_to_be_opened_never_comes_twice(lake: DeltaLake) -> None:
    write(lake, 1)
    write_deltalake(str(folder(lake)), pa.table({"n": [9], "_load": [9]}, SCHEMA), mode="append")
    marks = {found.mark for found in (lake.glance(NAME), lake.glance(NAME)) if found is not None}
    assert len(marks) == 2
