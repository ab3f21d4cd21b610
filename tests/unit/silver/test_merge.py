"""`merge` keeps the latest row of each key whatever the order and the batching; `append` leaves all."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catchment.engines.duckdb import DuckDBEngine
from catchment.events import RowsRefined
from catchment.interfaces import Engine
from catchment.lake.delta import DeltaLake
from catchment.naming import TableName
from catchment.silver.definition import Table
from catchment.testing.fakes import Workbench, arrived, column, contract

KEYED = contract("t", column("id", key_position=1), column("n", "integer"), column("at", "date"))
TABLE = Table("t", ("src.rows",), KEYED, "merge", latest_by="at")

Row = tuple[str, str, str | None]

_ROWS = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.integers(0, 99).map(str),
        st.sampled_from([None, "2026-01-01", "2026-01-02", "2026-01-03"]),
    ),
    min_size=1,
    max_size=6,
)


def landed(rows: list[Row]) -> pa.Table:
    kinds = {"id": 0, "n": 1, "at": 2}
    return arrived({name: pa.array([row[place] for row in rows], pa.string()) for name, place in kinds.items()})


def oracle(bench: Workbench, latest_by: str | None) -> list[tuple[Any, ...]]:
    """The same in plain SQL over all of bronze."""
    rows = pa.Table.from_pylist(bench.rows("bronze.src__rows", 'SELECT id, n, "at", _load, _row FROM t'))
    order = "" if latest_by is None else f'CAST("{latest_by}" AS DATE) DESC NULLS LAST,'
    latest = f"""SELECT id, CAST(n AS BIGINT) AS n, CAST("at" AS DATE) AS "at", _load, _row FROM bronze
                 QUALIFY row_number() OVER (PARTITION BY id ORDER BY {order} _load DESC, _row DESC) = 1 ORDER BY id"""
    with duckdb.connect() as connection:
        connection.register("bronze", rows)
        return connection.sql(latest).fetchall()


def silver(bench: Workbench) -> list[tuple[Any, ...]]:
    rows = bench.rows("silver.t", 'SELECT id, n, "at", _load, _row FROM t ORDER BY id')
    return [tuple(row.values()) for row in rows]


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(loads=st.lists(st.tuples(_ROWS, st.booleans()), min_size=1, max_size=5), latest_by=st.sampled_from([None, "at"]))
def test_a_history_in_any_order_and_batching_leaves_what_plain_sql_would(
    engine: Engine[Any], loads: list[tuple[list[Row], bool]], latest_by: str | None
) -> None:
    table = Table("t", ("src.rows",), KEYED, "merge", latest_by=latest_by)
    with tempfile.TemporaryDirectory() as folder:
        bench = Workbench(DeltaLake(Path(folder)), engine)
        for rows, refine in loads:
            bench.land(landed(rows))
            if refine:
                bench.refine(table)
                assert silver(bench) == oracle(bench, latest_by)
        bench.refine(table)
        assert silver(bench) == oracle(bench, latest_by)
        assert bench.rows("quarantine.t") == []
        told = bench.heard.of(RowsRefined)
        assert sum(event.rows for event in told) == sum(len(rows) for rows, _ in loads)
        assert all(event.rows == event.written + event.superseded + event.unchanged for event in told)


def test_a_late_row_does_not_win_over_a_newer_one(bench: Workbench) -> None:
    for row in (("a", "1", "2026-01-02"), ("a", "2", "2026-01-01"), ("a", "3", None)):
        bench.land(landed([row]))
        bench.refine(TABLE)
    assert [row["n"] for row in bench.rows("silver.t")] == [1]
    assert [event.superseded for event in bench.heard.of(RowsRefined)] == [0, 1, 1]


def test_rewriting_touches_only_files_that_hold_a_key(bench: Workbench) -> None:
    for keys in ("abc", "def", "ghi"):
        bench.land(landed([(key, "1", None) for key in keys]))
        bench.refine(TABLE)
    before = _files(bench)
    bench.land(landed([("e", "2", None), ("z", "2", None)]))
    bench.refine(TABLE)
    after = _files(bench)
    assert (len(before - after), len(after - before)) == (1, 1)
    assert {row["id"]: row["n"] for row in bench.rows("silver.t")} == dict.fromkeys("abcdfghi", 1) | {"e": 2, "z": 2}


def test_new_keys_alone_rewrite_nothing(bench: Workbench) -> None:
    for keys in ("abc", "def"):
        before = _files(bench) if bench.rows("silver.t") else set()
        bench.land(landed([(key, "1", None) for key in keys]))
        bench.refine(TABLE)
        assert before < _files(bench)


def test_append_keeps_every_row_and_every_file(bench: Workbench) -> None:
    table = Table("t", ("src.rows",), KEYED, "append")
    files: set[str] = set()
    for _ in range(3):
        bench.land(landed([("a", "1", None), ("a", "1", None)]))
        bench.refine(table)
        assert files < _files(bench)
        files = _files(bench)
    assert len(bench.rows("silver.t")) == 6


def test_a_key_of_several_columns_is_one_key(bench: Workbench) -> None:
    wanted = contract("t", column("id", key_position=1), column("n", "integer", key_position=2), column("at", "date"))
    table = Table("t", ("src.rows",), wanted, "merge")
    bench.land(landed([("a", "1", None), ("a", "2", None), ("a", "1", "2026-01-01"), ("b", "1", None)]))
    bench.refine(table)
    found = bench.rows("silver.t", 'SELECT id, n, "at"::VARCHAR AS day FROM t ORDER BY ALL')
    assert [tuple(row.values()) for row in found] == [("a", 1, "2026-01-01"), ("a", 2, None), ("b", 1, None)]


def test_with_little_memory_rows_are_the_same(tmp_path: Path) -> None:
    count = 120_000
    rows = pa.table(
        {
            "id": pa.array([str(number % 30_000) for number in range(count)]),
            "n": pa.array([str(number) for number in range(count)]),
            "at": pa.nulls(count, pa.string()),
        }
    )
    engine = DuckDBEngine(memory_bytes=32 << 20, threads=1, spill=tmp_path / "spill")
    bench = Workbench(DeltaLake(tmp_path / "lake"), engine)
    for part in (rows.slice(0, 50_000), rows.slice(50_000)):
        bench.land(arrived(part))
        bench.refine(TABLE)
    (told,) = bench.rows("silver.t", "SELECT count(*) AS n, count(DISTINCT id) AS ids, min(n) AS low FROM t")
    assert told == {"n": 30_000, "ids": 30_000, "low": 90_000}
    engine.close()


def _files(bench: Workbench) -> set[str]:
    table = bench.lake.open(TableName("silver", "t"))
    assert table is not None
    return set(table.scan().files)


def test_a_delete_is_forgotten_when_newer_rows_are_that_far_ahead(bench: Workbench) -> None:
    table = Table("t", ("src.rows",), KEYED, "merge", latest_by="at", deleted_when="n = 0", lateness_s=86_400)
    remembered = "SELECT id FROM t WHERE n = 0"
    for rows, left in (
        ([("a", "1", "2026-01-01"), ("a", "0", "2026-01-02"), ("b", "1", "2026-01-02")], ["b"]),
        ([("a", "2", "2026-01-01"), ("b", "2", "2026-01-03")], ["b"]),
        ([("a", "2", "2026-01-01"), ("b", "3", "2026-01-05")], ["b"]),
        ([("a", "2", "2026-01-01"), ("b", "4", "2026-01-06")], ["a", "b"]),
    ):
        bench.land(landed(rows))
        bench.refine(table)
        assert [row["id"] for row in bench.rows("silver.t", "SELECT id FROM t ORDER BY id")] == left
    assert bench.rows("silver.t", remembered) == []
