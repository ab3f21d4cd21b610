"""Delta through delta-rs keeps the promises of every lake, and what is peculiar to it."""

from __future__ import annotations

import shutil
import tempfile
import urllib.parse
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from catchment.engines.duckdb import DuckDBEngine
from catchment.errors import ConfigError, Unfenced
from catchment.interfaces import Lake
from catchment.lake.delta import DeltaLake
from catchment.naming import TableName
from catchment.records import Change
from catchment.testing.lakes import LakePromises, LakeWriting
from catchment.testing.pasts import PastPromises


class DeltaWriting(LakeWriting):
    def open(self, place: Path) -> Lake:
        return DeltaLake(place)

    def compact(self, place: Path, name: TableName) -> None:
        DeltaTable(_folder(place, name)).optimize.compact()

    def write_foreign(self, place: Path, name: TableName, rows: pa.Table) -> None:
        write_deltalake(_folder(place, name), rows)

    def lose_progress(self, place: Path, name: TableName) -> None:
        shutil.rmtree(place / "_progress" / str(name))

    def statistics(self, place: Path, name: TableName) -> Mapping[str, Mapping[str, tuple[Any, Any]]]:
        return _statistics(place, name)

    def put_back(self, place: Path, name: TableName, version: int) -> None:
        DeltaTable(_folder(place, name)).restore(version)


class TestDelta(DeltaWriting, LakePromises):
    """What is there, what is committed, what is read."""


class TestDeltaPast(DeltaWriting, PastPromises):
    """What was there, and how it is had again or goes."""


def _folder(place: Path, name: TableName) -> str:
    return str(place / name.layer / name.name)


def _statistics(place: Path, name: TableName) -> dict[str, dict[str, tuple[Any, Any]]]:
    told = {}
    for action in pa.table(DeltaTable(_folder(place, name)).get_add_actions(flatten=True)).to_pylist():
        columns = {key.partition(".")[2] for key in action if key.startswith(("min.", "max.", "null_count."))}
        path = str(place / name.layer / name.name / urllib.parse.unquote(action["path"]))
        told[path] = {column: (action.get(f"min.{column}"), action.get(f"max.{column}")) for column in columns}
    return told


NAME = TableName("silver", "typed")


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "i": st.none() | st.integers(-(2**63), 2**63 - 1),
                "s": st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=90),
                "d": st.none() | st.dates(date(1, 1, 1), date(9999, 12, 31)),
                "x": st.none() | st.floats(),
            }
        ),
        min_size=1,
        max_size=8,
    )
)
def test_statistics_that_the_engine_gives_and_the_table_keeps_never_exclude_a_row(rows: list[dict[str, Any]]) -> None:
    schema = pa.schema([("i", pa.int64()), ("s", pa.string()), ("d", pa.date32()), ("x", pa.float64())])
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        table = DeltaLake(place).create(NAME, schema)
        engine = DuckDBEngine(memory_bytes=1 << 28, threads=1)
        claim = table.claim()
        files = engine.write(engine.frame(pa.Table.from_pylist(rows, schema)), table.folder(), "1")
        table.commit(claim, Change(add=files), table.progress())
        engine.close()
        (told,) = _statistics(place, NAME).values()
        for name, (low, high) in told.items():
            values = [row[name] for row in rows if row[name] is not None]
            assert all((low is None or low <= v) and (high is None or v <= high) for v in values), (name, low, high)
        assert told["i"][0] == min((row["i"] for row in rows if row["i"] is not None), default=None)


def test_another_reader_of_delta_sees_the_rows_and_the_generation(tmp_path: Path) -> None:
    suite = TestDelta()
    suite.open(tmp_path).create(NAME, pa.schema([("_load", pa.int64()), ("id", pa.int64())]))
    table = suite.open(tmp_path).open(NAME)
    assert table is not None
    suite.append(table, [1, 2])
    theirs = DeltaTable(_folder(tmp_path, NAME))
    assert theirs.transaction_version("catchment:silver.typed/0") == 1
    assert sum(pa.table(theirs.get_add_actions())["num_records"].to_pylist()) == 2


def test_a_create_that_died_before_its_first_log_entry_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "silver" / "typed" / "_delta_log").mkdir(parents=True)
    lake = DeltaLake(tmp_path)
    assert lake.open(NAME) is None
    assert lake.create(NAME, pa.schema([("id", pa.int64())])).progress().generation == 0


def test_named_points_are_told_in_the_order_of_a_commit(tmp_path: Path) -> None:
    points: list[str] = []
    lake = DeltaLake(tmp_path, reached=points.append)
    table = lake.create(NAME, pa.schema([("_load", pa.int64()), ("id", pa.int64())]))
    TestDelta().append(table, [1])
    assert points == ["silver.claimed", "silver.written", "silver.filled", "silver.committed"]


@pytest.mark.parametrize("point", ["silver.claimed", "silver.written", "silver.filled"])
def test_a_commit_that_dies_at_a_point_before_its_end_is_nothing(tmp_path: Path, point: str) -> None:
    class Died(Exception):
        pass

    def die(here: str) -> None:
        if here == point:
            raise Died

    schema = pa.schema([("_load", pa.int64()), ("id", pa.int64())])
    suite = TestDelta()
    table = DeltaLake(tmp_path, reached=die).create(NAME, schema)
    with pytest.raises(Died):
        suite.append(table, [1], seen=pa.table({"path": ["a"]}))
    after = DeltaLake(tmp_path).open(NAME)
    assert after is not None
    assert (after.progress().generation, after.seen(), after.scan().files) == (0, None, ())
    assert suite.append(after, [2]).pin.generation == 2


@pytest.mark.parametrize("name", ["a%20b", "a%2Fb", "a\\b", "a\nb"])
def test_a_folder_that_delta_takes_for_another_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="the lake cannot lie in") as told:
        DeltaLake(tmp_path / name / "lake")
    assert told.value.hint is not None
    (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / name)
    with pytest.raises(ConfigError, match="the lake cannot lie in"):
        DeltaLake(tmp_path / "link")


@pytest.mark.parametrize("name", ["a b", "50%", "%zz", "a#b", "a[1]", "größe", "a'b"])
def test_other_odd_folders_are_fine(tmp_path: Path, name: str) -> None:
    table = TableName("silver", "t")
    DeltaLake(tmp_path / name).create(table, pa.schema([("id", pa.int64())]))
    assert (tmp_path / name / "silver" / "t" / "_delta_log").is_dir()
    assert DeltaLake(tmp_path / name).open(table) is not None


def _landed(place: Path, name: TableName, loads: int) -> DeltaLake:
    """A table with one row a load."""
    lake, engine = DeltaLake(place), DuckDBEngine(memory_bytes=64 << 20, threads=1)
    schema = pa.schema([("_load", pa.int64())])
    for _ in range(loads):
        table = lake.open(name) or lake.create(name, schema)
        claim = table.claim()
        rows = pa.table({"_load": [claim.number]}, schema=schema)
        files = engine.write(engine.frame(rows), table.folder(), f"{claim.number:06d}")
        table.commit(claim, Change(add=files), table.progress())
    engine.close()
    return lake


def test_rows_that_another_program_put_back_are_refused_and_forth_again_are_not(tmp_path: Path) -> None:
    name = TableName("bronze", "t")
    lake = _landed(tmp_path, name, 3)
    DeltaTable(_folder(tmp_path, name)).restore(1)
    DeltaTable(_folder(tmp_path, name)).optimize.compact()
    table = lake.open(name)
    assert table is not None
    with pytest.raises(Unfenced, match=r"bronze\.t was put back by another program, after version 3") as told:
        table.progress()
    assert "restore version 3" in (told.value.hint or "")
    DeltaTable(_folder(tmp_path, name)).restore(3)
    table = lake.open(name)
    assert table is not None
    assert table.progress().generation == 3
    assert table.scan().rows == 3


def test_a_restore_to_a_time_is_refused_too(tmp_path: Path) -> None:
    name = TableName("bronze", "t")
    lake = _landed(tmp_path, name, 2)
    handle = DeltaTable(_folder(tmp_path, name))
    handle.restore(datetime.fromtimestamp(handle.history()[-1]["timestamp"] / 1000, UTC))
    table = lake.open(name)
    assert table is not None
    with pytest.raises(Unfenced, match="put back"):
        table.progress()


def test_a_table_descends_from_the_generations_it_was_made_over(tmp_path: Path) -> None:
    name = TableName("bronze", "t")
    lake = _landed(tmp_path, name, 3)
    table = lake.open(name)
    assert table is not None
    assert [table.descends(generation) for generation in (0, 1, 2, 3, 4)] == [True, True, True, True, False]
    shutil.rmtree(_folder(tmp_path, name))
    table = _landed(tmp_path, name, 1).open(name)  # made anew: the numbers go on
    assert table is not None
    assert [table.descends(generation) for generation in (0, 3, 4)] == [True, False, True]


@pytest.mark.parametrize("content", ["", '{"add": {"pa', "nonsense"])
def test_a_damaged_log_is_told_with_a_way_out(tmp_path: Path, content: str) -> None:
    name = TableName("bronze", "t")
    lake = _landed(tmp_path, name, 2)
    Path(_folder(tmp_path, name), "_delta_log", f"{0:020d}.json").write_text(content)
    with pytest.raises(Unfenced, match=r"bronze\.t cannot be read, its log in .* is damaged") as told:
        lake.open(name)
    assert "move" in (told.value.hint or "")
