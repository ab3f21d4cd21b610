from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catchment.errors import CatchmentError, ConfigError, RetryableError
from catchment.interfaces import Build
from catchment.naming import TableName
from catchment.records import Scan
from catchment.testing.warehouses import WarehousePromises
from catchment.warehouses.duckdb import DuckDBBuild, DuckDBWarehouse

SALES = TableName("silver", "sales")


def fill(build: Build, amount: int) -> Mapping[str, str]:
    with duckdb.connect(str(build.path)) as connection:
        connection.execute("create schema if not exists main_cur")
        connection.execute(f"create or replace table main_cur.daily_table as select {amount} as amount")
        connection.execute("create or replace view main_cur.daily as from shop.main_cur.daily_table")
    return {"daily": "main_cur.daily"}


class TestDuckDBWarehouse(WarehousePromises):
    points = ("build.made", "publish.ready", "publish.written", "publish.kept", "publish.renamed", "publish.cleaned")

    def open(self, place: Path, reached: Callable[[str], None] | None = None) -> DuckDBWarehouse:
        return DuckDBWarehouse(place, "shop", reached=reached)

    def fill(self, build: Build, amount: int) -> Mapping[str, str]:
        build.hand_over()  # type: ignore[attr-defined]
        return fill(build, amount)


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDBWarehouse:
    return DuckDBWarehouse(tmp_path / "gold", "shop")


def serve(warehouse: DuckDBWarehouse, amount: int) -> None:
    build = warehouse.build()
    build.hand_over()
    warehouse.publish(build, {"models": fill(build, amount)})


def amounts(warehouse: DuckDBWarehouse) -> list[int]:
    return list(warehouse.query("select amount from gold.daily").read_all()["amount"].to_pylist())


def leave_a_wal(path: Path) -> None:
    """What a process leaves that is killed while it writes."""
    program = (
        "import duckdb, os, sys; c = duckdb.connect(sys.argv[1]); "
        "c.execute('create table if not exists main.half_built as select 1 as x'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert path.with_name(f"{path.name}.wal").exists()


def test_a_stale_wal_of_a_dead_build_is_never_replayed(warehouse: DuckDBWarehouse) -> None:
    serve(warehouse, 1)
    dead = warehouse.build()
    dead.release()
    leave_a_wal(dead.path)
    fresh = warehouse.build()
    assert not dead.path.exists()
    assert [p.name for p in fresh.path.parent.iterdir() if p.suffix == ".wal" and p.stat().st_size == 0] == []
    fresh.hand_over()
    warehouse.publish(fresh, {"models": fill(fresh, 2)})
    assert amounts(warehouse) == [2]
    assert warehouse.query("select count(*) n from duckdb_tables() where table_name = 'half_built'").read_all()[
        "n"
    ].to_pylist() == [0]


def test_a_wal_beside_the_served_file_does_not_get_into_the_next_gold(warehouse: DuckDBWarehouse) -> None:
    serve(warehouse, 1)
    leave_a_wal(warehouse.path)
    serve(warehouse, 2)
    assert sorted(p.name for p in warehouse.folder.iterdir()) == ["builds", "kept", "shop.duckdb"]
    assert amounts(warehouse) == [2]
    tables = "select table_name from duckdb_tables() where table_name = 'half_built'"
    assert warehouse.query(tables).read_all().num_rows == 0


def test_a_program_that_has_the_file_open_reads_its_own_gold_to_the_end(warehouse: DuckDBWarehouse) -> None:
    def numbers(seed: int) -> None:
        build = warehouse.build()
        build.connect().execute(f"create table numbers as select hash(range + {seed}) as n from range(500000)")
        warehouse.publish(build, {"models": {"numbers": "main.numbers"}})

    figures = "select count(*), sum(n)::varchar from numbers"
    numbers(1)
    with duckdb.connect(str(warehouse.path), read_only=True) as before:
        numbers(2)
        assert (
            before.execute(figures).fetchone()
            == before.execute("select count(*), sum(hash(range + 1))::varchar from range(500000)").fetchone()
        )


def test_published_gold_leaves_no_build_behind(warehouse: DuckDBWarehouse) -> None:
    serve(warehouse, 1)
    assert [p.name for p in (warehouse.folder / "builds").iterdir()] == [".lock"]


def test_a_query_leaves_the_served_file_as_it_is(warehouse: DuckDBWarehouse) -> None:
    serve(warehouse, 1)
    before = warehouse.path.read_bytes()
    amounts(warehouse)
    assert warehouse.path.read_bytes() == before


def test_layers_of_the_served_file_can_be_named_as_dbt_named_them(warehouse: DuckDBWarehouse) -> None:
    serve(warehouse, 3)
    for name in ("main_cur.daily", "main_cur.daily_table", "shop.main_cur.daily", "GOLD.Daily", '"gold"."daily"'):
        assert warehouse.query(f"select amount from {name}").read_all()["amount"].to_pylist() == [3], name


def test_silver_in_a_query_is_the_lakes_newest_and_not_the_pinned_one(
    warehouse: DuckDBWarehouse, tmp_path: Path
) -> None:
    old, new = tmp_path / "old.parquet", tmp_path / "new.parquet"
    pq.write_table(pa.table({"id": [1]}), old)
    pq.write_table(pa.table({"id": [2]}), new)
    schema = pa.schema([("id", pa.int64())])
    build = warehouse.build()
    warehouse.load(build, SALES, Scan([str(old)], schema), ["id"])
    build.hand_over()
    warehouse.publish(build, {"models": {}})
    newest = {SALES: Scan([str(new)], schema)}
    assert warehouse.query("from silver.sales", newest).read_all().to_pylist() == [{"id": 2}]
    assert warehouse.query("from shop.silver.sales", newest).read_all().to_pylist() == [{"id": 1}]


def test_only_the_tables_that_a_query_mentions_are_looked_up(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    class Lazy(dict[TableName, Scan]):
        asked: list[TableName]

        def __getitem__(self, name: TableName) -> Scan:
            self.asked.append(name)
            return super().__getitem__(name)

    scan = Scan([], pa.schema([("id", pa.int64())]))
    lake = Lazy({SALES: scan, TableName("silver", "users"): scan})
    lake.asked = []
    warehouse.query("with x as (from silver.sales s join silver.sales t using (id)) from x", lake).read_all()
    assert lake.asked == [SALES]


def test_a_pinned_view_has_the_types_of_the_scan_whatever_the_files_hold(
    warehouse: DuckDBWarehouse, tmp_path: Path
) -> None:
    folder = tmp_path / "it's [1] *" / "id=9"
    folder.mkdir(parents=True)
    narrow, wide = folder / "1.parquet", folder / "2.parquet"
    pq.write_table(pa.table({"id": pa.array([1], pa.int32()), "n": pa.array([7], pa.int32())}), narrow)
    at = datetime(2026, 11, 21, 9, 14, tzinfo=UTC)
    pq.write_table(pa.table({"id": pa.array([2], pa.int64()), "at": pa.array([at], pa.timestamp("us", "UTC"))}), wide)
    money = pa.decimal128(10, 2)
    schema = pa.schema(
        [
            ("id", pa.int64()),
            ("n", pa.int64()),
            ("at", pa.timestamp("us", "UTC")),
            ("total", money),
            ("select", pa.string()),
        ]
    )
    rows = warehouse.query("from silver.sales order by id", {SALES: Scan([str(narrow), str(wide)], schema)}).read_all()
    assert rows.schema.types == schema.types
    assert rows.to_pylist() == [
        {"id": 1, "n": 7, "at": None, "total": None, "select": None},
        {"id": 2, "n": None, "at": at, "total": None, "select": None},
    ]


def test_a_table_without_files_is_an_empty_view_with_types(warehouse: DuckDBWarehouse) -> None:
    schema = pa.schema([("id", pa.int64()), ("total", pa.decimal128(10, 2)), ("tags", pa.list_(pa.string()))])
    build = warehouse.build()
    warehouse.load(build, SALES, Scan([], schema), ["id", "total"])
    with build.connect() as connection:
        described = connection.execute("describe silver.sales").fetchall()
    assert [row[:2] for row in described] == [("id", "BIGINT"), ("total", "DECIMAL(10,2)")]
    assert warehouse.query("from silver.sales", {SALES: Scan([], schema)}).read_all().num_rows == 0


def test_a_span_of_loads_is_kept(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    pq.write_table(pa.table({"_load": pa.array([1, 2, 3, 4], pa.int64())}), tmp_path / "1.parquet")
    scan = Scan([str(tmp_path / "1.parquet")], pa.schema([("_load", pa.int64())]), loads=(1, 3))
    assert warehouse.query("from silver.sales", {SALES: scan}).read_all()["_load"].to_pylist() == [2, 3]


def test_dbt_is_given_the_build_and_never_the_served_file(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    build = warehouse.build()
    assert warehouse.profile(build)["path"] == str(build.path)
    assert warehouse.profile(build, tmp_path / "link")["path"] == str(tmp_path / "link" / "shop.duckdb")
    assert build.path.name == warehouse.path.name
    assert build.path != warehouse.path


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("explain select * from gold.daily", 1),
        ("describe gold.daily", 1),
        ("summarize gold.daily", 1),
        ("pivot gold.daily on amount using count(*)", 1),
        ("select sum(amount) from gold.daily where amount = 1.5", 1),
        ("select 1 as one -- silver.nothing is not read", 1),
        ("select 'gold.nothing' as words", 1),
    ],
)
def test_reading_statements_are_answered(warehouse: DuckDBWarehouse, sql: str, rows: int) -> None:
    serve(warehouse, 1)
    assert warehouse.query(sql).read_all().num_rows == rows


@pytest.mark.parametrize(
    "sql",
    [
        "copy (select 1) to '{file}'",
        "explain analyze copy (select 1) to '{file}'",
        "attach '{file}' as other",
        "create table mine as select 1",
        "set memory_limit = '1GB'",
        "pivot gold.daily on amount using count(*); copy (select 1) to '{file}'",
        "",
    ],
)
def test_other_statements_are_refused_and_leave_no_file(warehouse: DuckDBWarehouse, tmp_path: Path, sql: str) -> None:
    serve(warehouse, 1)
    file = tmp_path / "written.csv"
    with pytest.raises(ConfigError, match="only reads"):
        warehouse.query(sql.format(file=file))
    assert not file.exists()


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("selec 1", "syntax error"),
        ("select amont from gold.daily", "amont"),
        ("select * from nowhere.x", "nowhere"),
    ],
)
def test_a_wrong_query_gets_duckdbs_own_words(warehouse: DuckDBWarehouse, sql: str, words: str) -> None:
    serve(warehouse, 1)
    with pytest.raises(ConfigError, match=words):
        warehouse.query(sql)


def test_a_query_that_fails_on_its_way_is_a_clear_error(warehouse: DuckDBWarehouse) -> None:
    # Of a stream DuckDB tells now and then only that the thread that failed interrupted the others.
    with pytest.raises(ConfigError, match=r"the query failed: .*(Could not convert|Interrupted)"):
        warehouse.query(
            "select (case when range < 900000 then '1' else 'x' end)::int as n from range(1000000)"
        ).read_all()


def test_without_gold_the_message_names_the_cure(warehouse: DuckDBWarehouse) -> None:
    with pytest.raises(ConfigError, match=r"no table gold\.daily") as raised:
        warehouse.query("from gold.daily")
    assert raised.value.hint == "there is nothing yet: catchment run"


@pytest.mark.parametrize("content", [b"", b"x" * 5000, None])
def test_a_damaged_file_is_a_clear_error(warehouse: DuckDBWarehouse, content: bytes | None) -> None:
    serve(warehouse, 1)
    whole = warehouse.path.read_bytes()
    warehouse.path.write_bytes(whole[:9000] if content is None else content)
    for act in (warehouse.served, warehouse.build, lambda: warehouse.query("from gold.daily")):
        with pytest.raises(CatchmentError, match=r"damaged: .*shop\.duckdb") as raised:
            act()
        assert "remove" in str(raised.value.hint)


def test_a_file_of_somebody_else_is_never_replaced(warehouse: DuckDBWarehouse) -> None:
    warehouse.folder.mkdir()
    with duckdb.connect(str(warehouse.path)) as connection:
        connection.execute("create table precious as select 1 as one")
    with pytest.raises(ConfigError, match="not made by catchment"):
        warehouse.build()


def test_a_file_that_another_program_writes_to_is_tried_again_later(warehouse: DuckDBWarehouse) -> None:
    serve(warehouse, 1)
    program = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(warehouse.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(RetryableError, match="another program holds"):
            warehouse.served()
        other.communicate()
    assert warehouse.served() is not None


def test_the_build_of_a_process_that_ended_is_removed(warehouse: DuckDBWarehouse) -> None:
    dead = warehouse.build()
    dead.release()
    warehouse.discard(warehouse.build())
    assert not dead.path.parent.exists()


def test_gold_that_was_removed_by_hand_is_built_again(warehouse: DuckDBWarehouse) -> None:
    serve(warehouse, 1)
    shutil.rmtree(warehouse.folder)
    assert warehouse.served() is None
    serve(warehouse, 2)
    assert amounts(warehouse) == [2]
    assert os.listdir(warehouse.folder / "builds") == [".lock"]  # noqa: PTH208


def test_a_project_may_have_any_name_but_a_layers(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(tmp_path, "my-shop 2")
    build = warehouse.build()
    build.connect().execute("create table main.daily as select 4 as amount")
    warehouse.publish(build, {"models": {"daily": "main.daily"}})
    assert amounts(warehouse) == [4]
    assert warehouse.query("select amount from daily").read_all()["amount"].to_pylist() == [4]
    with pytest.raises(ConfigError, match="cannot be called silver"):
        DuckDBWarehouse(tmp_path, "silver")


def going_on(warehouse: DuckDBWarehouse, files: list[Path], keep: list[str]) -> DuckDBBuild:
    """A build that goes on from the served one, over these files of silver.sales."""
    served = warehouse.served()
    build = warehouse.build() if served is None else warehouse.build(of=served["build"], keep=keep)
    schema = pa.schema([("id", pa.int64()), ("note", pa.string())])
    warehouse.load(build, SALES, Scan([str(file) for file in files], schema), schema.names)
    return build


def sales(folder: Path, name: str, *rows: tuple[int, str]) -> Path:
    table = pa.table({"id": [number for number, _ in rows], "note": [note for _, note in rows]})
    pq.write_table(table, folder / name)
    return folder / name


def changed(build: DuckDBBuild, side: str) -> list[tuple[int, str]]:
    return [
        (number, note) for number, note in build.connect().execute(f"from _{side}_silver.sales order by 1").fetchall()
    ]


def test_a_build_that_goes_on_shows_the_rows_that_came_and_left(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    same, old = sales(tmp_path, "1", (1, "a")), sales(tmp_path, "2", (2, "b"), (3, "c"), (4, "d"))
    first = going_on(warehouse, [same, old], [])
    warehouse.publish(first, {"models": {}})
    rewritten, late = sales(tmp_path, "3", (2, "b"), (3, "C")), sales(tmp_path, "4", (0, "late"))
    second = going_on(warehouse, [same, rewritten, late], [])
    assert changed(second, "came") == [(0, "late"), (3, "C")]
    assert changed(second, "left") == [(3, "c"), (4, "d")]
    assert second.untold == []
    warehouse.publish(second, {"models": {}})
    schemas = warehouse.query("select schema_name from duckdb_schemas() where database_name = 'shop'").read_all()
    assert not {"_came_silver", "_left_silver"} & set(schemas["schema_name"].to_pylist()), "only dbt reads them"


def test_what_changed_cannot_be_told_where_older_files_are_gone(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    old, new = sales(tmp_path, "1", (1, "a")), sales(tmp_path, "2", (1, "b"))
    warehouse.publish(going_on(warehouse, [old], []), {"models": {}})
    old.unlink()
    assert going_on(warehouse, [new], []).untold == [SALES]


def test_a_build_that_goes_on_has_the_tables_that_live_on_and_no_other(warehouse: DuckDBWarehouse) -> None:
    build = warehouse.build()
    build.connect().execute(
        "create table main.facts (n integer primary key); insert into main.facts values (1);"
        " create table main.old as select 1 as n; create view main.look as from shop.main.old"
    )
    warehouse.publish(build, {"models": {"facts": "main.facts", "old": "main.old", "look": "main.look"}})
    again = warehouse.build(of=1, keep=["main.facts"])
    tables = "select table_name from duckdb_tables() where schema_name = 'main' union all"
    tables += " select view_name from duckdb_views() where schema_name = 'main' and not internal"
    assert again.connect().execute(tables).fetchall() == [("facts",)]
    with pytest.raises(duckdb.ConstraintException):
        again.connect().execute("insert into main.facts values (1)")
    warehouse.publish(again, {"models": {}})
    left = warehouse.query("select count(*) as n from duckdb_tables() where table_name = 'facts'").read_all()
    assert left["n"].to_pylist() == [0], "no model of the project is called so any more"


def test_a_half_copied_build_is_not_kept(warehouse: DuckDBWarehouse) -> None:
    serve(warehouse, 1)
    half = warehouse.folder / "kept/1/shop.duckdb"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    serve(warehouse, 2)
    assert [made_of["build"] for made_of in warehouse.kept()] == [2, 1]


def test_rows_are_those_that_are_there_whatever_was_deleted(warehouse: DuckDBWarehouse) -> None:
    build = warehouse.build()
    build.hand_over()
    with duckdb.connect(str(build.path)) as connection:
        connection.execute("create table main.odd as select range as n from range(10_000)")
        connection.execute("delete from main.odd where n % 2 = 0")
    warehouse.publish(build, {"models": {"odd": "main.odd"}})
    served = warehouse.served()
    assert served is not None
    assert served["rows"] == {"main.odd": 5_000}
