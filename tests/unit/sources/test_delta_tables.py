"""Whole Delta tables as a source: versions, types, partitions, and tables that are not what they were."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from catchment.errors import ConfigError, DataError, SchemaDrift
from catchment.reading.kinds.delta import DeltaStream
from catchment.records import Batch, Budget, Cursor
from catchment.sources.delta import DeltaSource
from catchment.testing.sources import committed


class Outside:
    """A table of others in a folder, and how far it was read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.table = str(folder / "users")
        self.cursor: Cursor | None = None

    def write(self, rows: dict[str, Any] | pa.Table, **how: Any) -> None:
        write_deltalake(self.table, rows if isinstance(rows, pa.Table) else pa.table(rows), **how)

    def source(self, path: str = "users") -> DeltaSource:
        return DeltaSource("lake", {"users": DeltaStream(path=path)}, self.folder)

    def batches(self, path: str = "users") -> list[Batch]:
        source = self.source(path)
        found = list(source.read(source.feeds()[0], self.cursor, Budget(1)))
        self.cursor = committed(self.cursor, [batch.cursor for batch in found if batch.cursor is not None])
        return found

    def rows(self) -> list[dict[str, Any]]:
        return [row for batch in self.batches() for row in batch.rows.to_pylist()]

    def describe(self) -> Any:
        source = self.source()
        return source.describe(source.feeds()[0], self.cursor)


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    return Outside(tmp_path)


def test_only_the_newest_of_several_versions_is_read_and_whole(outside: Outside) -> None:
    outside.write({"id": [1]})
    outside.write({"id": [2]}, mode="append")
    outside.write({"id": [3, 4]}, mode="overwrite")
    outside.write({"id": [5]}, mode="append")
    rows = outside.rows()
    assert sorted(row["id"] for row in rows) == [3, 4, 5]
    assert {row["_origin"] for row in rows} == {"users@3"}
    assert [row["_position"] for row in rows] == [0, 1, 2]
    assert outside.batches() == []
    assert not outside.describe().is_new
    DeltaTable(outside.table).delete("id = 3")
    assert outside.describe().item == "version"
    assert outside.describe().items == 1
    assert sorted(row["id"] for row in outside.rows()) == [4, 5]


def test_a_version_is_one_load_whatever_its_size(outside: Outside) -> None:
    for part in range(3):
        outside.write({"id": list(range(part * 200_000, (part + 1) * 200_000))}, mode="append")
    batches = outside.batches()
    assert sum(batch.rows.num_rows for batch in batches) == 600_000
    assert max(batch.rows.num_rows for batch in batches) <= 128 << 10
    assert [batch.cursor is not None for batch in batches] == [False] * (len(batches) - 1) + [True]


def test_types_and_partition_columns_are_kept(outside: Outside) -> None:
    rows = pa.table(
        {
            "day": pa.array(["2026-01-01", "2026-01-02", None]),
            "n": pa.array([1, 2, None], pa.int16()),
            "price": pa.array([Decimal("1.50"), None, None], pa.decimal128(10, 2)),
            "at": pa.array([0, None, 1], pa.timestamp("us", "UTC")),
            "tags": pa.array([["a"], [], None], pa.list_(pa.string())),
            "who": pa.array([{"name": "x"}, None, None], pa.struct([("name", pa.string())])),
        }
    )
    outside.write(rows, partition_by=["day"])
    found = pa.concat_tables([batch.rows for batch in outside.batches()])
    kept = found.select(rows.schema.names).sort_by("day")
    assert kept.schema.types == rows.schema.types
    assert kept.to_pylist() == rows.to_pylist()


def test_columns_that_come_and_go_are_added_and_null(outside: Outside) -> None:
    outside.write({"id": [1], "name": ["a"]})
    outside.rows()
    outside.write({"id": [2], "colour": ["red"]}, mode="overwrite", schema_mode="overwrite")
    batches = outside.batches()
    assert [notice.kind for batch in batches for notice in batch.notices] == ["columns_missing", "columns_added"]
    row = batches[0].rows.to_pylist()[0]
    assert (row["id"], row["name"], row["colour"]) == (2, None, "red")


def test_another_type_is_drift(outside: Outside) -> None:
    outside.write({"id": [1]})
    outside.rows()
    outside.write({"id": ["x"]}, mode="overwrite", schema_mode="overwrite")
    with pytest.raises(SchemaDrift, match="`id` is string"):
        outside.rows()


def test_an_empty_version_deletes_nothing_and_is_told(outside: Outside) -> None:
    outside.write({"id": [1]})
    outside.rows()
    DeltaTable(outside.table).delete()
    assert not outside.describe().is_new
    batches = outside.batches()
    assert [notice.kind for batch in batches for notice in batch.notices] == ["empty_file"]
    assert sum(batch.rows.num_rows for batch in batches) == 0
    assert outside.batches() == []


@pytest.mark.parametrize("path", ["nowhere", "s3://bucket/users"])
def test_a_table_that_is_not_there_is_named(outside: Outside, path: str) -> None:
    with pytest.raises(ConfigError, match=path) as error:
        outside.batches(path)
    assert error.value.hint is not None


def test_a_table_that_was_put_back_or_made_anew_is_named(outside: Outside) -> None:
    outside.write({"id": [1]})
    shutil.copytree(outside.table, outside.folder / "copy")
    outside.write({"id": [2]}, mode="append")
    outside.rows()
    shutil.rmtree(outside.table)
    shutil.copytree(outside.folder / "copy", outside.table)
    with pytest.raises(DataError, match=r"version 1 of users has landed, and the table is another one now") as error:
        outside.describe()
    assert "it is at version 0" in str(error.value.hint)
    shutil.rmtree(outside.table)
    for number in range(4):
        outside.write({"id": [number]}, mode="append")
    with pytest.raises(DataError, match="another one now"):
        outside.rows()


def test_a_restore_is_a_new_version_like_any_other(outside: Outside) -> None:
    outside.write({"id": [1]})
    outside.write({"id": [2]}, mode="append")
    assert len(outside.rows()) == 2
    DeltaTable(outside.table).restore(0)
    assert [row["id"] for row in outside.rows()] == [1]


def test_a_broken_log_and_a_lost_file_are_named(outside: Outside) -> None:
    outside.write({"id": [1]})
    (path,) = Path(outside.table).glob("*.parquet")
    path.rename(path.with_suffix(".gone"))
    with pytest.raises(DataError, match="cannot be read") as error:
        outside.rows()
    assert "repair it" in str(error.value.hint)
    (log,) = Path(outside.table).glob("_delta_log/*.json")
    log.write_text("no log")
    with pytest.raises(DataError, match="the log of users cannot be read"):
        outside.describe()


def test_deletion_vectors_are_refused_with_a_cure(outside: Outside) -> None:
    outside.write({"id": [1]}, configuration={"delta.enableDeletionVectors": "true"})
    with pytest.raises(DataError, match="deletionVectors") as error:
        outside.rows()
    assert "drop the feature" in str(error.value.hint)


def test_origins_of_another_source_do_not_tell_a_version(outside: Outside) -> None:
    outside.write({"id": [1]})
    source = outside.source()
    with pytest.raises(ConfigError, match="which version"):
        source.recognize(source.feeds()[0], pa.table({"_origin": ["in/a.csv"], "rows": [1]}))
