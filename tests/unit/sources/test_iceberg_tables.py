"""Iceberg tables as a source: the promises over a catalog in SQLite, and what stops it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from catchment.errors import DataError
from catchment.interfaces import Source
from catchment.reading.kinds.iceberg import IcebergCatalog, IcebergStream
from catchment.records import Cursor
from catchment.sources.iceberg import IcebergSource
from catchment.testing.sources import SourcePromises, committed, rows_in


class _Tables:
    """A catalog of its own, its tables, and sources over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.uri = f"sqlite:///{folder}/catalog.db"
        self.catalog = SqlCatalog("iceberg", uri=self.uri, warehouse=f"file://{folder}/warehouse")
        self.catalog.create_namespace("raw")
        self.table = self.catalog.create_table("raw.users", pa.schema([("id", pa.int64())]))

    def source(self) -> IcebergSource:
        catalog = IcebergCatalog(type="jdbc", uri=self.uri)
        streams = {"users": IcebergStream(table="raw.users"), "others": IcebergStream(table="raw.others")}
        return IcebergSource("lakehouse", streams, self.folder, catalog=catalog)

    def append(self, *ids: int, **more: Any) -> None:
        self.table.append(pa.table({"id": pa.array(ids, pa.int64()), **more}))

    def expire(self, *places: int) -> None:
        """Let go of snapshots, counted from the oldest."""
        known = [entry.snapshot_id for entry in self.table.history()]
        self.table.maintenance.expire_snapshots().by_ids([known[place] for place in places]).commit()

    def read(self, since: Cursor | None = None) -> tuple[list[dict[str, Any]], Cursor | None]:
        source = self.source()
        batches = list(source.read(source.feeds()[0], since, _BUDGET))
        source.close()
        return rows_in(batches), committed(since, [one.cursor for one in batches if one.cursor is not None])


_BUDGET: Any = type("Budget", (), {"bytes": 1, "rows": None})()


@pytest.fixture
def tables(tmp_path: Path) -> _Tables:
    return _Tables(tmp_path)


class TestIcebergTables(SourcePromises):
    refuses_halves = True

    @pytest.fixture(autouse=True)
    def _tables(self, tmp_path: Path) -> None:
        self.tables = _Tables(tmp_path)
        self.rows = 0

    def source(self) -> Source:
        return self.tables.source()

    def add_rows(self, count: int) -> None:
        self.tables.append(*range(self.rows, self.rows + count))
        self.rows += count

    def add_unreadable(self) -> None:
        data = self.tables.folder / "warehouse"
        before = set(data.rglob("*.parquet"))
        self.add_rows(3)
        (path,) = set(data.rglob("*.parquet")) - before
        path.write_bytes(path.read_bytes()[:-20])


def test_rows_keep_their_types_and_new_columns_come_by_name(tables: _Tables) -> None:
    tables.append(1)
    rows, cursor = tables.read()
    with tables.table.update_schema() as change:
        from pyiceberg.types import StringType

        change.add_column("name", StringType())
    tables.append(2, name=pa.array(["b"]))
    more, _ = tables.read(cursor)
    assert [row["id"] for row in rows] == [1]
    assert [(row["id"], row["name"]) for row in more] == [(2, "b")]
    assert all(str(row["_origin"]).startswith("raw.users@") for row in (*rows, *more))


def test_a_snapshot_that_removes_rows_stops_it(tables: _Tables) -> None:
    tables.append(1, 2)
    _, cursor = tables.read()
    tables.table.delete("id = 1")
    with pytest.raises(DataError, match=r"is of operation (delete|overwrite), and only added rows can land"):
        tables.read(cursor)


def test_a_table_made_anew_stops_it(tables: _Tables) -> None:
    tables.append(1)
    _, cursor = tables.read()
    tables.catalog.drop_table("raw.users")
    tables.table = tables.catalog.create_table("raw.users", pa.schema([("id", pa.int64())]))
    tables.append(1)
    with pytest.raises(DataError, match="is another one now"):
        tables.read(cursor)


def test_a_snapshot_that_went_after_it_was_read_is_not_missed(tables: _Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    tables.append(1)
    _, cursor = tables.read()
    tables.append(2)
    tables.append(3)
    # Iceberg's own Java leaves the parent's name where the parent went; pyiceberg takes it away.
    whole = IcebergSource._table

    def without_the_first(source: IcebergSource, feed: Any) -> Any:
        found = whole(source, feed)
        return None if found is None else replace(found, snapshots=found.snapshots[1:])

    monkeypatch.setattr(IcebergSource, "_table", without_the_first)
    rows, _ = tables.read(cursor)
    assert [row["id"] for row in rows] == [2, 3]


def test_a_snapshot_that_went_before_it_was_read_stops_it(tables: _Tables) -> None:
    tables.append(1)
    _, cursor = tables.read()
    tables.append(2)
    tables.append(3)
    tables.expire(0, 1)
    with pytest.raises(DataError, match="does not keep what came after it"):
        tables.read(cursor)


@pytest.mark.parametrize("past", ["expired", "changed"])
def test_a_table_with_a_past_is_taken_whole_first(tables: _Tables, past: str) -> None:
    tables.append(1)
    tables.append(2, 3)
    if past == "expired":
        tables.expire(0)
    else:
        tables.table.delete("id = 3")
        tables.append(3)
    rows, cursor = tables.read()
    assert sorted(row["id"] for row in rows) == [1, 2, 3]
    tables.append(4)
    more, _ = tables.read(cursor)
    assert [row["id"] for row in more] == [4]


def test_no_table_and_no_catalog_yet_is_nothing_new(tmp_path: Path) -> None:
    catalog = IcebergCatalog(type="jdbc", uri=f"sqlite:///{tmp_path}/none.db")
    source = IcebergSource("lakehouse", {"users": IcebergStream(table="raw.users")}, tmp_path, catalog=catalog)
    (feed,) = source.feeds()
    told = source.describe(feed, None)
    assert not told.is_new
    assert [notice.kind for notice in told.notices] == ["nothing_found"]
    assert list(source.read(feed, None, _BUDGET)) == []
    assert source.probe(feed)[0].severity == "warning"


def test_a_table_whose_rows_all_went_is_nothing_yet(tables: _Tables) -> None:
    tables.append(1)
    tables.table.delete("id = 1")
    rows, cursor = tables.read()
    assert rows == []
    tables.append(2)
    more, _ = tables.read(cursor)
    assert [row["id"] for row in more] == [2]
