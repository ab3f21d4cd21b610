"""What every warehouse promises. Subclass `WarehousePromises`, say how yours is opened and filled, and run pytest."""

from __future__ import annotations

import inspect
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catchment.errors import ConfigError, Conflict
from catchment.interfaces import Build, Warehouse
from catchment.naming import TableName
from catchment.records import FileForm, Scan

SALES = TableName("silver", "sales")

_DIE_AT = """
import os, pathlib, runpy, signal, sys
file, name, place, amount, point = sys.argv[1:]
def reached(here):
    if here == point:
        os.kill(os.getpid(), signal.SIGKILL)
suite = runpy.run_path(file)[name]()
suite.make(suite.open(pathlib.Path(place), reached), int(amount))
"""


class WarehousePromises(ABC):
    """One class per warehouse. Its file is run once more in a process that dies, so it may need no conftest."""

    points: ClassVar[tuple[str, ...]] = ()
    """The named points that a build and its publication go by."""

    @abstractmethod
    def open(self, place: Path, reached: Callable[[str], None] | None = None) -> Warehouse:
        """The warehouse that lives in `place`; every call is another process's view of the same one."""

    @abstractmethod
    def fill(self, build: Build, amount: int) -> Mapping[str, str]:
        """What dbt would do: a model `daily` of one row (`amount`), read as `gold.daily`; the `models` of `made_of`."""

    def make(self, warehouse: Warehouse, amount: int) -> Build:
        """A build from its first to its last moment."""
        build = warehouse.build()
        models = self.fill(build, amount)
        warehouse.publish(build, {"pins": {}, "project": str(amount), "models": models})
        return build

    def amounts(self, warehouse: Warehouse) -> list[int]:
        """What a new reader sees."""
        return list(warehouse.query("select amount from gold.daily").read_all()["amount"].to_pylist())

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path / "gold"

    @pytest.fixture
    def warehouse(self, place: Path) -> Warehouse:
        return self.open(place)

    @pytest.fixture
    def sales(self, tmp_path: Path) -> Scan:
        """Two files of a lake's table; the second has a column more."""
        first, second = tmp_path / "1.parquet", tmp_path / "2.parquet"
        pq.write_table(pa.table({"id": pa.array([1, 2], pa.int64())}), first)
        pq.write_table(pa.table({"id": pa.array([3], pa.int64()), "note": ["x"]}), second)
        schema = pa.schema([("id", pa.int64()), ("note", pa.string())])
        return Scan(files=[str(first), str(second)], schema=schema, rows=3)

    def test_nothing_is_served_before_the_first_publication(self, warehouse: Warehouse) -> None:
        assert warehouse.served() is None
        build = warehouse.build()
        self.fill(build, 1)
        assert warehouse.served() is None
        warehouse.discard(build)

    def test_what_was_published_is_served_with_what_it_was_made_of(self, warehouse: Warehouse, place: Path) -> None:
        build = self.make(warehouse, 7)
        served = self.open(place).served()
        assert served is not None
        assert (served["build"], served["project"]) == (build.number, "7")
        assert 1 in served["rows"].values()
        assert self.amounts(self.open(place)) == [7]

    def test_what_is_served_changes_only_in_publish(self, warehouse: Warehouse, sales: Scan) -> None:
        self.make(warehouse, 1)
        served = warehouse.served()
        build = warehouse.build()
        warehouse.load(build, SALES, sales, ["id", "note"])
        models = self.fill(build, 2)
        assert warehouse.served() == served
        assert self.amounts(warehouse) == [1]
        warehouse.publish(build, {"models": models})
        assert self.amounts(warehouse) == [2]

    def test_builds_are_numbered_one_after_the_other(self, warehouse: Warehouse) -> None:
        assert [self.make(warehouse, amount).number for amount in (1, 2, 3)] == [1, 2, 3]

    def test_publishing_twice_is_once(self, warehouse: Warehouse) -> None:
        build = self.make(warehouse, 1)
        served = warehouse.served()
        assert served is not None
        warehouse.publish(build, {"project": "another", "models": served["models"]})
        assert warehouse.served() == served
        assert self.amounts(warehouse) == [1]

    def test_an_older_build_cannot_replace_a_newer_one(self, warehouse: Warehouse, place: Path) -> None:
        older = warehouse.build()
        models = self.fill(older, 1)
        self.make(self.open(place), 2)
        with pytest.raises(Conflict, match="another run"):
            warehouse.publish(older, {"models": models})
        assert self.amounts(warehouse) == [2]
        warehouse.discard(older)

    def test_discard_leaves_what_is_served(self, warehouse: Warehouse) -> None:
        self.make(warehouse, 1)
        served = warehouse.served()
        build = warehouse.build()
        self.fill(build, 2)
        warehouse.discard(build)
        warehouse.discard(build)
        assert warehouse.served() == served
        assert self.amounts(warehouse) == [1]

    def test_a_reader_keeps_the_gold_that_it_opened(self, warehouse: Warehouse) -> None:
        self.make(warehouse, 1)
        reader = warehouse.query("select amount + 0 * range as amount from gold.daily, range(1000000)")
        first = reader.read_next_batch()["amount"].unique().to_pylist()
        self.make(warehouse, 2)
        assert first == [1]
        assert reader.read_all()["amount"].unique().to_pylist() == [1]
        assert self.amounts(warehouse) == [2]

    def test_a_living_build_is_not_taken_for_a_dead_one(self, warehouse: Warehouse, place: Path) -> None:
        mine = warehouse.build()
        other = self.open(place)
        other.discard(other.build())
        models = self.fill(mine, 5)
        warehouse.publish(mine, {"models": models})
        assert self.amounts(warehouse) == [5]

    def test_a_process_killed_anywhere_leaves_old_or_new_gold_and_the_next_build_works(self, place: Path) -> None:
        assert self.points, "name the points that are to be gone by"
        self.make(self.open(place), 1)
        for point in self.points:
            before = self.amounts(self.open(place))[0]
            self.die(place, before + 1, point)
            survivor = self.open(place)
            assert self.amounts(survivor)[0] in (before, before + 1), point
            served = survivor.served()
            assert served is not None
            assert served["project"] == str(self.amounts(survivor)[0]), point
            self.make(survivor, before + 10)
            assert self.amounts(survivor) == [before + 10], point

    def test_the_last_three_builds_are_kept_with_what_they_were_made_of(self, warehouse: Warehouse) -> None:
        assert warehouse.kept() == []
        for amount in (1, 2, 3, 4):
            self.make(warehouse, amount)
        assert [(made_of["build"], made_of["project"]) for made_of in warehouse.kept()] == [
            (4, "4"),
            (3, "3"),
            (2, "2"),
        ]

    def test_a_build_can_begin_as_an_earlier_one_and_be_served_in_its_place(self, warehouse: Warehouse) -> None:
        for amount in (1, 2, 3):
            self.make(warehouse, amount)
        models = warehouse.kept()[1]["models"]
        build = warehouse.build(of=2)
        warehouse.publish(build, {"project": "2", "models": models, "of": 2})
        assert self.amounts(warehouse) == [2]
        assert [made_of["build"] for made_of in warehouse.kept()] == [4, 3, 1], "each content once"
        with pytest.raises(Conflict, match="build 2 of gold is not kept"):
            warehouse.build(of=2)

    def test_a_query_cannot_write(self, warehouse: Warehouse) -> None:
        self.make(warehouse, 1)
        for sql in (
            "delete from gold.daily",
            "create table gold.mine as select 1 as one",
            "drop view gold.daily",
            "insert into gold.daily select 2",
            "select 1; drop table gold.daily",
        ):
            with pytest.raises(ConfigError):
                warehouse.query(sql).read_all()
        assert self.amounts(warehouse) == [1]

    def test_a_query_reads_the_lake_where_there_is_no_gold(self, warehouse: Warehouse, sales: Scan) -> None:
        rows = warehouse.query("select id, note from silver.sales order by id", {SALES: sales}).read_all()
        assert rows.to_pylist() == [{"id": 1, "note": None}, {"id": 2, "note": None}, {"id": 3, "note": "x"}]

    def test_an_unknown_table_gets_the_nearest_name(self, warehouse: Warehouse, sales: Scan) -> None:
        with pytest.raises(ConfigError, match=r"no table silver\.sale; did you mean silver\.sales\?"):
            warehouse.query("select * from silver.sale", {SALES: sales})
        self.make(warehouse, 1)
        with pytest.raises(ConfigError, match=r"no table gold\.dayly; did you mean gold\.daily\?"):
            warehouse.query("select * from gold.dayly", {SALES: sales})

    def test_without_gold_only_the_lake_is_read(self, warehouse: Warehouse, sales: Scan) -> None:
        self.make(warehouse, 1)
        rows = warehouse.query("select count(*) as n from silver.sales", {SALES: sales}, gold=False).read_all()
        assert rows["n"].to_pylist() == [3]
        with pytest.raises(ConfigError, match=r"no table gold\.daily"):
            warehouse.query("select * from gold.daily", {SALES: sales}, gold=False)

    @pytest.mark.parametrize("form", ["parquet", "csv", "jsonl"])
    def test_an_export_holds_what_a_query_reads(
        self, warehouse: Warehouse, sales: Scan, tmp_path: Path, form: FileForm
    ) -> None:
        self.make(warehouse, 7)
        sql = "select id, note, amount from silver.sales, gold.daily order by id"
        out = tmp_path / f"out.{form}"
        assert warehouse.export(sql, {SALES: sales}, out, form) == 3
        text = {
            "csv": b"id,note,amount\n1,,7\n2,,7\n3,x,7\n",
            "jsonl": b"".join(
                b'{"id":%d,"note":%s,"amount":7}\n' % (place, note)
                for place, note in ((1, b"null"), (2, b"null"), (3, b'"x"'))
            ),
        }
        if form == "parquet":
            assert pq.read_table(out) == warehouse.query(sql, {SALES: sales}).read_all()
        else:
            assert out.read_bytes() == text[form]

    def test_an_export_says_how_far_it_is(self, warehouse: Warehouse, tmp_path: Path) -> None:
        told: list[float] = []
        sql = "select range as n, md5(range::varchar) as m from range(1500000) order by m"
        assert warehouse.export(sql, {}, tmp_path / "out.csv", "csv", told=told.append) == 1_500_000
        assert told
        assert all(0 <= share <= 1 for share in told)

    def test_an_export_cannot_write_elsewhere_and_explains_what_is_not_there(
        self, warehouse: Warehouse, sales: Scan, tmp_path: Path
    ) -> None:
        self.make(warehouse, 1)
        for sql in ("delete from gold.daily", "select 1; drop table gold.daily", ""):
            with pytest.raises(ConfigError):
                warehouse.export(sql, {}, tmp_path / "out.csv", "csv")
        with pytest.raises(ConfigError, match=r"no table silver\.sale; did you mean silver\.sales\?"):
            warehouse.export("select * from silver.sale", {SALES: sales}, tmp_path / "out.csv", "csv")
        assert self.amounts(warehouse) == [1]

    def die(self, place: Path, amount: int, point: str) -> None:
        """A whole build in a process that is killed at `point`."""
        arguments = [inspect.getfile(type(self)), type(self).__name__, str(place), str(amount), point]
        done = subprocess.run([sys.executable, "-c", _DIE_AT, *arguments], capture_output=True, timeout=60, check=False)
        assert done.returncode == -signal.SIGKILL, f"{point} was not gone by: {done.stderr.decode()}"
