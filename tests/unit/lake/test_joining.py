"""Which files compaction joins: work and memory do not rise with what a table holds."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

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
        ((3000, 1000), [1000, 3000]),
        ((MB, 40 * MB, MB), [MB, MB]),
        ((40 * MB, 40 * MB), [40 * MB, 40 * MB]),
        ((5 * MB, 41 * MB, 40 * MB), [5 * MB, 40 * MB, 41 * MB]),
        ((5 * MB, 11 * MB, 30 * MB), []),
        ((64 * MB, 64 * MB), []),
        ((64 * MB, MB, MB), [MB, MB]),
    ],
)
def test_a_file_is_joined_once_smaller_ones_hold_as_much(sizes: tuple[int, ...], joined: list[int]) -> None:
    assert _joined(*sizes) == joined


@pytest.mark.parametrize("sizes", [(3000, 1000), (MB, MB, 30 * MB), (*[MB] * 20, 19 * MB, 60 * MB)])
def test_the_target_leaves_out_every_other_file(sizes: tuple[int, ...]) -> None:
    found = worth_joining(_files(*sizes))
    others = [size for size in sizes if size not in [file.bytes for file in found]]
    assert sum(file.bytes for file in found) <= target(found)
    assert all(size > target(found) for size in others)


def test_a_row_is_written_again_once_in_a_doubling_however_long_a_stream_goes_on() -> None:
    files: list[int] = []
    wrote = 0
    for _ in range(1_000):  # 100 MB, a hundred kilobytes at a time
        files.append(MB // 10)
        found = worth_joining(_files(*files))
        if found:
            wrote += (size := sum(file.bytes for file in found))
            files = [*sorted(files)[len(found) :], size]
    assert len(files) <= 10
    assert all(large > small for small, large in itertools.pairwise(sorted(files)))
    # Twenty times while a file is small, which is cheap, and once in each doubling from 4 MB on; a thousand joins of
    # the whole would have written it five hundred times.
    assert wrote < 30 * 100 * MB


def _rows(*, count: int, size: int) -> pa.Table:
    return pa.table({"word": [os.urandom(size).hex() for _ in range(count)]})


def _folder(place: Path) -> str:
    return str(place / "bronze" / "words")


def _join(place: Path) -> int:
    upkeep = DeltaLake(place).upkeep(TableName("bronze", "words"))
    assert upkeep is not None
    return upkeep.compact()


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


def test_what_a_log_tells_of_joined_files_is_as_short_as_before(tmp_path: Path) -> None:
    for _ in range(2):
        write_deltalake(_folder(tmp_path), _rows(count=10, size=1_000), mode="append")
    _join(tmp_path)
    (told,) = pa.table(DeltaTable(_folder(tmp_path)).get_add_actions(flatten=True)).to_pylist()
    assert (told["num_records"], len(told["min.word"])) == (20, 64)
