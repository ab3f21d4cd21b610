"""Batches as Parquet files: how they are cut and written, and what is left where that fails."""

from __future__ import annotations

import math
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from hashlib import sha512
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catchment.engines import arrow_files
from catchment.errors import DataError, RetryableError

_FROM = datetime(2026, 1, 1, tzinfo=UTC)

SCHEMA = pa.schema(
    [
        ("_load", pa.int64()),
        ("_row", pa.int64()),
        ("day", pa.date32()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("kind", pa.string()),
        ("document", pa.string()),
        ("_raw", pa.binary()),
    ]
)


def _batches(count: int, rows: int = 1_000) -> Iterator[pa.RecordBatch]:
    for number in range(count):
        first = number * rows
        yield pa.record_batch(
            [
                pa.array([7] * rows),
                pa.array(range(first, first + rows)),
                pa.array([date(2026, 1, 1)] * rows),
                pa.array([_FROM + timedelta(seconds=n) for n in range(first, first + rows)], pa.timestamp("us", "UTC")),
                pa.array([("a", "b", None)[n % 3] for n in range(rows)]),
                pa.array([sha512(b"%d" % n).hexdigest() for n in range(first, first + rows)]),
                pa.nulls(rows, pa.binary()),
            ],
            schema=SCHEMA,
        )


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups and files that are full soon."""
    monkeypatch.setattr(arrow_files, "_GROUP_ROWS", 2_000)
    monkeypatch.setattr(arrow_files, "FILE_BYTES", 300_000)


@pytest.mark.usefixtures("small")
def test_rows_keep_their_order_over_groups_and_files_and_each_file_says_its_own(tmp_path: Path) -> None:
    files = arrow_files.write(_batches(21), SCHEMA, tmp_path, "000001")
    assert len(files) > 2
    tables = [pq.read_table(file.path, partitioning=None) for file in files]
    assert pa.concat_tables(tables).column("_row").to_pylist() == list(range(21_000))
    first = 0
    for file, table in zip(files, tables, strict=True):
        last = first + file.rows - 1
        assert (file.rows, file.bytes) == (table.num_rows, Path(file.path).stat().st_size)
        assert file.statistics["_row"] == (first, last, 0)
        assert file.statistics["kind"] == ("a", "b", table.column("kind").null_count)
        assert file.statistics["day"] == ("2026-01-01", "2026-01-01", 0)
        ends = [(_FROM + timedelta(seconds=n)).isoformat(timespec="microseconds") for n in (first, last)]
        assert file.statistics["at"] == (*(end.replace("+00:00", "Z") for end in ends), 0)
        first = last + 1
    assert {Path(file.path) for file in files} == set(tmp_path.iterdir())


def test_what_comes_again_has_a_dictionary_what_counts_up_is_told_by_differences_and_long_texts_have_no_bounds(
    tmp_path: Path,
) -> None:
    (file,) = arrow_files.write(_batches(3), SCHEMA, tmp_path, "000001")
    group = pq.ParquetFile(file.path).metadata.row_group(0)
    found = {group.column(n).path_in_schema: group.column(n) for n in range(group.num_columns)}
    assert {name for name, one in found.items() if one.has_dictionary_page} >= {"_load", "day", "kind"}
    assert {name for name, one in found.items() if "DELTA_BINARY_PACKED" in one.encodings} == {"_row", "at"}
    assert "PLAIN" in found["document"].encodings
    assert not found["document"].is_stats_set
    assert "document" not in file.statistics


def test_a_text_that_is_long_only_later_has_no_bounds_in_the_table_either(tmp_path: Path) -> None:
    schema = pa.schema([("name", pa.string())])
    texts = [*["a"] * 10_000, "b" * 65]
    (file,) = arrow_files.write(iter(pa.table({"name": texts}).to_batches()), schema, tmp_path, "000001")
    assert dict(file.statistics) == {}


def test_days_that_python_does_not_know_have_no_bounds(tmp_path: Path) -> None:
    column = pa.array([0, 10_000_000], pa.int32()).view(pa.date32())
    table = pa.table({"day": column, "n": [1, 2]})
    (file,) = arrow_files.write(iter(table.to_batches()), table.schema, tmp_path, "000001")
    assert dict(file.statistics) == {"n": (1, 2, 0)}
    assert pq.read_table(file.path, partitioning=None).equals(table)


def test_what_is_nested_or_finer_than_microseconds_is_left_to_duckdb() -> None:
    for kind in (pa.list_(pa.string()), pa.struct([("a", pa.int64())]), pa.timestamp("ns"), pa.uint64(), pa.null()):
        assert not arrow_files.can_write(pa.schema([("n", pa.int64()), ("other", kind)]))
    assert arrow_files.can_write(SCHEMA)


@pytest.mark.usefixtures("small")
def test_nothing_is_left_of_a_load_whose_source_fails(tmp_path: Path) -> None:
    def failing() -> Iterator[pa.RecordBatch]:
        yield from _batches(15)
        message = "gone"
        raise OSError(message)

    with pytest.raises(OSError, match=r"^gone$"):
        arrow_files.write(failing(), SCHEMA, tmp_path, "000001")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_may_be_there_on_the_next_try(tmp_path: Path) -> None:
    with pytest.raises(RetryableError, match="cannot write"):
        arrow_files.write(_batches(1), SCHEMA, tmp_path / "gone", "000001")


@contextmanager
def _no_file_above(octets: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("batches", [1, 40], ids=["in the last group", "while more is read"])
def test_where_there_is_no_room_nothing_is_left(tmp_path: Path, batches: int) -> None:
    with (
        _no_file_above(30_000 if batches == 1 else 200_000),
        pytest.raises(RetryableError, match=r"cannot write .*000001"),
    ):
        arrow_files.write(_batches(batches), SCHEMA, tmp_path, "000001")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()])
def test_no_filter_passes_over_a_number_that_is_none(tmp_path: Path, kind: pa.DataType) -> None:
    schema = pa.schema([("f", kind)])
    rows = pa.table({"f": pa.array([7, 7, math.nan], kind)})
    (file,) = arrow_files.write(iter(rows.to_batches()), schema, tmp_path, "000001")
    for test, count in (("> 8", 1), ("= 'nan'", 1), ("= 7", 2), ("<> 7", 1)):
        asked = f"SELECT count(*) FROM read_parquet('{file.path}') WHERE f {test}"
        assert duckdb.execute(asked).fetchone() == (count,), test


@pytest.mark.usefixtures("small")
def test_text_that_is_not_in_utf8_is_refused_where_it_lands(tmp_path: Path) -> None:
    """A Parquet file of somebody else may hold it, and Arrow does not look."""
    schema = pa.schema([("name", pa.string())])
    wrong = pa.array([b"caf\xe9"]).view(pa.string())
    batches = [pa.record_batch([pa.array(["a"] * 3_000)], schema=schema), pa.record_batch([wrong], schema=schema)]
    with pytest.raises(DataError, match="column name holds text that is not in UTF-8"):
        arrow_files.write(iter(batches), schema, tmp_path, "000001")
    assert list(tmp_path.iterdir()) == []
