"""Which files compaction joins: work and memory do not rise with what a table holds."""

from __future__ import annotations

import itertools
import math
import os
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import ColumnProperties, DeltaTable, WriterProperties, write_deltalake

from catchment.interfaces import Upkeep
from catchment.lake import joining
from catchment.lake.delta import DeltaLake
from catchment.lake.joining import target, worth_joining
from catchment.naming import TableName
from catchment.records import Leftover

MB = 1 << 20


def _files(*sizes: int) -> list[Leftover]:
    return [Leftover(f"{number}.parquet", size) for number, size in enumerate(sizes)]


def _joined(*sizes: int) -> list[int]:
    return [file.bytes for file in worth_joining(_files(*sizes))]


@pytest.mark.parametrize(
    ("sizes", "joined"),
    [
        ((), []),
        ((1,), []),
        ((40 * MB,), []),
        ((3000, 1000), [3000, 1000]),
        ((MB, MB, 40 * MB), [MB, MB]),
        ((MB, 40 * MB, MB), []),
        ((MB, 2 * MB, 40 * MB, MB, 30 * MB, MB, MB), [MB, 2 * MB, MB, MB]),
        ((40 * MB, 40 * MB), [40 * MB, 40 * MB]),
        ((5 * MB, 41 * MB, 40 * MB), [5 * MB, 41 * MB, 40 * MB]),
        ((5 * MB, 11 * MB, 30 * MB), []),
        ((64 * MB, 64 * MB), []),
        ((64 * MB, MB, MB), [MB, MB]),
        ((*[50 * MB] * 5, 80 * MB), [50 * MB] * 4),
    ],
)
def test_a_file_is_joined_once_smaller_ones_hold_as_much(sizes: tuple[int, ...], joined: list[int]) -> None:
    assert _joined(*sizes) == joined


@pytest.mark.parametrize("sizes", [(3000, 1000), (MB, MB, 30 * MB), (*[MB] * 20, 19 * MB, 60 * MB)])
def test_the_target_leaves_out_every_other_file(sizes: tuple[int, ...]) -> None:
    joined = _joined(*sizes)
    assert sum(joined) <= target(_files(*sizes))
    assert all(size > target(_files(*sizes)) for size in sizes if size not in joined)


def test_a_row_is_written_again_once_in_a_doubling_however_long_a_stream_goes_on() -> None:
    files: list[int] = []
    wrote = 0
    for _ in range(1_000):  # 100 MB, a hundred kilobytes at a time
        files.insert(0, MB // 10)  # the log tells the newest first
        found = worth_joining(_files(*files))
        if found:
            wrote += (size := sum(file.bytes for file in found))
            files = [size, *files[len(found) :]]
    assert len(files) <= 10
    assert all(large > small for small, large in itertools.pairwise(sorted(files)))
    # Twenty times while a file is small, which is cheap, and once in each doubling from 4 MB on; a thousand joins of
    # the whole would have written it five hundred times.
    assert wrote < 30 * 100 * MB


def _rows(*, count: int, size: int) -> pa.Table:
    return pa.table({"word": [os.urandom(size).hex() for _ in range(count)]})


def _folder(place: Path) -> str:
    return str(place / "bronze" / "words")


def _upkeep(place: Path) -> Upkeep:
    upkeep = DeltaLake(place).upkeep(TableName("bronze", "words"))
    assert upkeep is not None
    return upkeep


def _join(place: Path) -> int:
    return _upkeep(place).compact()


def test_a_large_file_is_left_until_small_ones_are_as_much(tmp_path: Path) -> None:
    write_deltalake(_folder(tmp_path), _rows(count=6_000, size=1_000))
    (large,) = DeltaTable(_folder(tmp_path)).file_uris()
    for _ in range(3):
        write_deltalake(_folder(tmp_path), _rows(count=10, size=10), mode="append")
    assert (_join(tmp_path), _join(tmp_path)) == (3, 0)
    left = DeltaTable(_folder(tmp_path)).file_uris()
    assert (len(left), large in left) == (2, True)
    for _ in range(2):
        write_deltalake(_folder(tmp_path), _rows(count=4_000, size=1_000), mode="append")
    assert _join(tmp_path) == 4
    assert DeltaTable(_folder(tmp_path)).count() == 14_030


def test_memory_of_a_compaction_is_that_of_a_row_group_whatever_is_joined(tmp_path: Path) -> None:
    for _ in range(2):
        write_deltalake(_folder(tmp_path), _rows(count=100_000, size=2), mode="append")
    assert _join(tmp_path) == 2
    (file,) = DeltaTable(_folder(tmp_path)).file_uris()
    found = pq.ParquetFile(file).metadata
    assert [found.row_group(place).num_rows for place in range(found.num_row_groups)] == [122_880, 77_120]


def test_long_rows_are_few_in_a_row_group(tmp_path: Path) -> None:
    for _ in range(3):
        write_deltalake(_folder(tmp_path), _rows(count=20, size=500_000), mode="append")
    assert _join(tmp_path) == 3
    (file,) = DeltaTable(_folder(tmp_path)).file_uris()
    found = pq.ParquetFile(file).metadata
    assert max(found.row_group(place).num_rows for place in range(found.num_row_groups)) < 20


def test_what_a_log_tells_of_joined_files_is_as_short_as_before(tmp_path: Path) -> None:
    for _ in range(2):
        write_deltalake(_folder(tmp_path), _rows(count=10, size=1_000), mode="append")
    _join(tmp_path)
    (told,) = pa.table(DeltaTable(_folder(tmp_path)).get_add_actions(flatten=True)).to_pylist()
    assert (told["num_records"], len(told["min.word"])) == (20, 64)


@pytest.mark.parametrize("seed", range(6))
def test_exactly_those_files_are_joined_wherever_they_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(joining, "_FULL", 128 << 10)
    monkeypatch.setattr(joining, "_LITTLE", 4 << 10)
    random = Random(seed)
    for turn in range(4):
        for _ in range(random.randint(1, 8)):
            write_deltalake(_folder(tmp_path), _rows(count=1, size=int(2 ** random.uniform(6, 15))), mode="append")
        if turn % 2:
            DeltaTable(_folder(tmp_path)).create_checkpoint()
        while wanted := {file.path for file in _upkeep(tmp_path).small()}:
            before = set(DeltaTable(_folder(tmp_path)).file_uris())
            assert _join(tmp_path) == len(wanted)
            assert before - set(DeltaTable(_folder(tmp_path)).file_uris()) == wanted
        assert _join(tmp_path) == 0


def test_no_filter_passes_over_a_number_that_is_none_in_a_joined_file(tmp_path: Path) -> None:
    rows = pa.table(
        {
            "n": [1, 2],
            "a.b": [7.0, math.nan],
            "nested": [{"x": 7.0}, {"x": math.nan}],
            "listed": [[7.0], [math.nan]],
        }
    )
    for _ in range(2):
        write_deltalake(_folder(tmp_path), rows, mode="append")
    assert _join(tmp_path) == 2
    (file,) = DeltaTable(_folder(tmp_path)).file_uris()
    for value in ('"a.b"', "nested.x", "listed[1]"):
        for test in ("> 8", "= 'nan'", "= 7", "<> 7"):
            asked = f"SELECT count(*) FROM read_parquet('{file}') WHERE {value} {test}"
            assert duckdb.execute(asked).fetchone() == (2,), (value, test)
    (told,) = pa.table(DeltaTable(_folder(tmp_path)).get_add_actions(flatten=True)).to_pylist()
    assert (told["min.n"], told["max.n"], told["null_count.n"], told.get("max.a.b")) == (1, 2, 0, None)


_FAR = {
    "day": pa.array([19_000, 2_932_897, -719_529], pa.int32()).view(pa.date32()),  # of 2022, 10000 and 0
    "at": pa.array([0, 253_402_300_800_000_000, -62_167_219_200_000_000]).view(pa.timestamp("us", tz="UTC")),
}


@pytest.mark.parametrize("bounds", ["PAGE", "NONE"])
def test_a_table_with_days_that_python_has_not_is_joined_and_read(tmp_path: Path, bounds: Any) -> None:
    """Such bounds are in no log that we write, and delta-rs writes them; what others wrote is read as well."""
    rows = pa.table({"n": [1, 2, 3], **_FAR})
    far = {name: ColumnProperties(statistics_enabled=bounds) for name in _FAR}
    for number in range(3):
        properties = WriterProperties(column_properties=far)
        write_deltalake(_folder(tmp_path), rows.slice(number, 1), mode="append", writer_properties=properties)
    for _ in range(2):
        table = DeltaLake(tmp_path).open(TableName("bronze", "words"))
        assert table is not None
        between = date(2022, 1, 1), date(2023, 1, 1)
        files = table.scan(within={"day": between}).files
        found = duckdb.execute(f"SELECT n FROM read_parquet({list(files)}) WHERE day BETWEEN ? AND ?", between)
        assert found.fetchall() == [(1,)]
        assert sum(file.rows for file in table.files()) == 3
        _join(tmp_path)
    assert len(list((tmp_path / "bronze" / "words").glob("*.parquet"))) == 4  # three, and what became of them
    if bounds == "NONE":
        kept = DeltaTable(_folder(tmp_path)).to_pyarrow_dataset().to_table(columns=["n"])
        assert sorted(kept["n"].to_pylist()) == [1, 2, 3]
