"""Every mode leaves, in any batching, what one statement of plain SQL over all of bronze leaves.

A late row, a delete, a key that comes back, a slice delivered twice, an arrival without a key: the statements below are
the definition, written without looking at how a table is kept.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catchment.engines.duckdb import DuckDBEngine
from catchment.events import RowsRefined
from catchment.interfaces import Engine
from catchment.lake.delta import DeltaLake
from catchment.records import Order
from catchment.silver import write
from catchment.silver.definition import Table
from catchment.testing.fakes import Workbench, arrived, column, contract

KEYED = contract(
    "t",
    column("id", key_position=1),
    column("n", "integer", minimum=0),
    column("op"),
    column("at", "timestamp"),
)
FROM = ("src.rows",)
TABLES = {
    "merge": Table("t", FROM, KEYED, "merge", latest_by="at", deleted_when="op = 'D'"),
    "history": Table("t", FROM, KEYED, "history", latest_by="at", deleted_when="op = 'D'"),
    "window": Table("t", FROM, KEYED, "window", event_time="at", lateness_s=7200),
    "delete_insert": Table("t", FROM, KEYED, "delete_insert", slice=("id",)),
    "replace": Table("t", FROM, KEYED, "replace", full=True),
}

_GOOD = 'CAST(n AS BIGINT) >= 0 AND "at" IS NOT NULL'
_ROWS = f"""SELECT id, CAST(n AS BIGINT) AS n, op, CAST("at" AS TIMESTAMPTZ) AS ts, _load, _row, _loaded_at
            FROM bronze WHERE {_GOOD}"""
ORACLES = {
    "merge": f"""
        SELECT id, n, op, ts FROM
          (SELECT * FROM ({_ROWS})
           QUALIFY row_number() OVER (PARTITION BY id ORDER BY ts DESC, _load DESC, _row DESC) = 1)
        WHERE op <> 'D'""",
    "history": f"""
        SELECT id, n, op, ts, since, till FROM
          (SELECT *, ts AS since, lead(ts) OVER (PARTITION BY id ORDER BY ts) AS till FROM
             (SELECT * FROM ({_ROWS})
              QUALIFY row_number() OVER (PARTITION BY id, ts ORDER BY _load DESC, _row DESC) = 1))
        WHERE op <> 'D'""",
    "window": f"""
        SELECT id, n, op, ts FROM
          (SELECT *, lag(ts) OVER (PARTITION BY id ORDER BY ts, _load, _row) AS before FROM ({_ROWS}))
        WHERE before IS NULL OR ts > before + INTERVAL 2 HOUR""",
    "delete_insert": f"""
        SELECT id, n, op, ts FROM ({_ROWS}) QUALIFY _load = max(_load) OVER (PARTITION BY id)""",
    "replace": f"SELECT id, n, op, ts FROM ({_ROWS}) QUALIFY _load = max(_load) OVER ()",
}

Row = tuple[str, int, str, int]

_HISTORY = st.lists(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(-1, 9), st.sampled_from("UUUD"), st.integers(0, 8)),
        min_size=1,
        max_size=6,
    ),
    min_size=1,
    max_size=5,
)


def landed(rows: list[Row]) -> pa.Table:
    return arrived(
        {
            "id": pa.array([row[0] for row in rows], pa.string()),
            "n": pa.array([str(row[1]) for row in rows], pa.string()),
            "op": pa.array([row[2] for row in rows], pa.string()),
            "at": pa.array([f"2026-01-01T{row[3]:02}:00:00Z" for row in rows], pa.string()),
        }
    )


def oracle(bench: Workbench, mode: str) -> list[tuple[Any, ...]]:
    rows = pa.Table.from_pylist(bench.rows("bronze.src__rows"))
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("bronze", rows)
        return connection.sql(f"SELECT * FROM ({ORACLES[mode]}) ORDER BY ALL").fetchall()


def silver(bench: Workbench, mode: str) -> list[tuple[Any, ...]]:
    own = ", _valid_from, _valid_to" if mode == "history" else ""
    rows = bench.rows("silver.t", f'SELECT id, n, op, "at"{own} FROM t')
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        if not rows:
            return []
        connection.register("t", pa.Table.from_pylist(rows))
        return connection.sql("SELECT * FROM t ORDER BY ALL").fetchall()


def _check(bench: Workbench, mode: str) -> None:
    assert silver(bench, mode) == oracle(bench, mode)


@pytest.mark.parametrize("mode", list(TABLES))
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(loads=_HISTORY, refined=st.lists(st.booleans(), min_size=5, max_size=5), few=st.sampled_from([0, 2, 50_000]))
def test_any_history_in_any_batching_leaves_what_plain_sql_does(
    engine: Engine[Any], mode: str, loads: list[list[Row]], refined: list[bool], few: int
) -> None:
    """`few` decides whether untouched keys of a touched file stay apart, which must not show."""
    with tempfile.TemporaryDirectory() as folder, patch.object(write, "_FEW_ROWS", few):
        bench = Workbench(DeltaLake(Path(folder)), engine)
        for rows, refine in zip(loads, refined, strict=False):
            bench.land(landed(rows))
            if refine:
                bench.refine(TABLES[mode])
                _check(bench, mode)
        bench.refine(TABLES[mode])
        _check(bench, mode)
        told = bench.heard.of(RowsRefined)
        assert sum(event.rows for event in told) == sum(map(len, loads))
        bench.refine(TABLES[mode], Order("rebuild"))
        _check(bench, mode)


@pytest.mark.parametrize("mode", ["merge", "history", "window"])
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(loads=_HISTORY, seed=st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter_where_rows_tell_their_time(
    engine: Engine[Any], mode: str, loads: list[list[Row]], seed: Any
) -> None:
    """Of two rows of one key and one instant the later arrival counts: there is one of each here."""
    rows = list({(row[0], row[3]): row for load in loads for row in load}.values())
    found = []
    for _ in range(2):
        seed.shuffle(rows)
        with tempfile.TemporaryDirectory() as folder:
            bench = Workbench(DeltaLake(Path(folder)), engine)
            while_left = list(rows)
            while while_left:
                size = seed.randint(1, len(while_left))
                bench.land(landed(while_left[:size]))
                bench.refine(TABLES[mode])
                while_left = while_left[size:]
            found.append(silver(bench, mode))
    assert found[0] == found[1]


def test_ranking_in_buckets_changes_nothing(tmp_path: Path) -> None:
    rows: list[Row] = [
        (f"k{number % 997}", number, "D" if number % 7 == 3 else "U", number % 9) for number in range(9000)
    ]
    for mode in ("merge", "history", "window", "delete_insert"):
        small = DuckDBEngine(memory_bytes=128 << 20, threads=1, spill=tmp_path / "spill")
        small.frame(pa.table({"n": [1]}))
        small.memory_bytes = 400_000  # what the ranking takes as its limit; DuckDB itself keeps the larger one
        bench = Workbench(DeltaLake(tmp_path / mode), small)
        for start in range(0, 9000, 3000):
            bench.land(landed(rows[start : start + 3000]))
            bench.refine(TABLES[mode])
        _check(bench, mode)
        small.close()


# A stream that arrives whole: each load is all there is.

SNAPSHOTS = contract("t", column("id", key_position=1), column("n", "integer", minimum=0))
WHOLE = Table("t", FROM, SNAPSHOTS, "merge", full=True)

Arrival = dict[str, int]
_ARRIVALS = st.lists(st.dictionaries(st.sampled_from("abcd"), st.integers(-1, 2), min_size=1), min_size=1, max_size=5)


def whole(arrival: Arrival) -> pa.Table:
    return arrived(
        {
            "id": pa.array(list(arrival), pa.string()),
            "n": pa.array([str(value) for value in arrival.values()], pa.string()),
        }
    )


def present_at_the_end(arrivals: list[Arrival]) -> Arrival:
    """The newest good value of every key since it last was away."""
    found: Arrival = {}
    for arrival in arrivals:
        found = {key: value for key, value in found.items() if key in arrival}
        found |= {key: value for key, value in arrival.items() if value >= 0}
    return found


def versions(arrivals: list[Arrival]) -> list[tuple[str, int, int, int | None]]:
    """(key, value, since which arrival, till which)."""
    found: list[tuple[str, int, int, int | None]] = []
    for key in "abcd":
        open_: tuple[int, int] | None = None
        for place, arrival in enumerate(arrivals):
            value = arrival.get(key)
            if open_ is not None and (value is None or (value >= 0 and value != open_[0])):
                found.append((key, *open_, place))
                open_ = None
            if open_ is None and value is not None and value >= 0:
                open_ = (value, place)
        if open_ is not None:
            found.append((key, *open_, None))
    return sorted(found)


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(arrivals=_ARRIVALS, refined=st.lists(st.booleans(), min_size=5, max_size=5))
def test_what_no_longer_arrives_is_deleted_and_a_rejected_row_holds_its_key(
    engine: Engine[Any], arrivals: list[Arrival], refined: list[bool]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = Workbench(DeltaLake(Path(folder)), engine)
        for arrival, refine in zip(arrivals, refined, strict=False):
            bench.land(whole(arrival))
            if refine:
                bench.refine(WHOLE)
        for order in (None, Order("rebuild")):
            bench.refine(WHOLE, order)
            found = {row["id"]: row["n"] for row in bench.rows("silver.t")}
            assert found == present_at_the_end(arrivals)


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(arrivals=_ARRIVALS, refined=st.lists(st.booleans(), min_size=5, max_size=5))
def test_whole_arrivals_make_a_history_without_gap_or_overlap(
    engine: Engine[Any], arrivals: list[Arrival], refined: list[bool]
) -> None:
    table = replace(WHOLE, mode="history")
    with tempfile.TemporaryDirectory() as folder:
        bench = Workbench(DeltaLake(Path(folder)), engine)
        for arrival, refine in zip(arrivals, refined, strict=False):
            bench.land(whole(arrival))
            if refine:
                bench.refine(table)
        times = sorted({row["_loaded_at"] for row in bench.rows("bronze.src__rows")})
        place = {None: None, **{at: number for number, at in enumerate(times)}}
        for order in (None, Order("rebuild")):
            bench.refine(table, order)
            rows = bench.rows("silver.t")
            found = [(row["id"], row["n"], place[row["_valid_from"]], place[row["_valid_to"]]) for row in rows]
            assert sorted(found, key=lambda version: version[:3]) == versions(arrivals)


def test_rows_that_arrive_as_they_were_are_unchanged_and_lost_to_nobody(bench: Workbench) -> None:
    table = replace(WHOLE, mode="history")
    for arrival in ({"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 2, "c": 1}, {"a": 1, "b": 2}):
        bench.land(whole(arrival))
        bench.refine(table)
    told = bench.heard.of(RowsRefined)
    assert [(event.rows, event.written, event.superseded, event.unchanged, event.deleted) for event in told] == [
        (3, 3, 0, 0, 0),
        (3, 1, 0, 2, 0),
        (2, 0, 0, 2, 1),
    ]


def test_an_arrival_in_which_a_key_cannot_be_read_deletes_nothing(bench: Workbench) -> None:
    bench.land(whole({"a": 1, "b": 1, "c": 1}))
    bench.refine(WHOLE)
    broken = arrived({"id": pa.array(["a", None]), "n": pa.array(["2", "2"])})
    bench.land(broken)
    bench.refine(WHOLE)
    assert {row["id"]: row["n"] for row in bench.rows("silver.t")} == {"a": 2, "b": 1, "c": 1}
    bench.land(whole({"a": 2, "b": 1}))
    bench.refine(WHOLE)
    assert {row["id"]: row["n"] for row in bench.rows("silver.t")} == {"a": 2, "b": 1}
    assert [event.deleted for event in bench.heard.of(RowsRefined)] == [0, 0, 1]


def test_a_version_of_a_whole_stream_begins_when_it_says_and_a_reopened_one_when_it_landed(bench: Workbench) -> None:
    table = replace(
        WHOLE,
        mode="history",
        latest_by="at",
        contract=contract("t", column("id", key_position=1), column("at", "timestamp")),
    )
    first, later = "2020-01-01T00:00:00Z", "2020-02-01T00:00:00Z"
    for present in ({"a": first, "b": first}, {"b": later}, {"a": first, "b": later}):
        bench.land(arrived({"id": pa.array(list(present)), "at": pa.array(list(present.values()))}))
        bench.refine(table)
    landed_at = sorted({row["_loaded_at"] for row in bench.rows("bronze.src__rows")})
    rows = bench.rows("silver.t", "SELECT id, _valid_from AS since, _valid_to AS till FROM t ORDER BY id, since")
    assert [(r["id"], f"{r['since']:%Y-%m}", r["till"]) for r in rows if r["id"] == "b"] == [
        ("b", "2020-01", rows[-1]["since"]),
        ("b", "2020-02", None),
    ]
    gone = [(r["since"], r["till"]) for r in rows if r["id"] == "a"]
    assert (f"{gone[0][0]:%Y-%m}", gone[0][1]) == ("2020-01", landed_at[1])
    assert gone[1] == (landed_at[2], None)


def test_rows_that_lie_far_apart_in_time_are_each_compared_with_what_is_near_them(bench: Workbench) -> None:
    """More places in time than are looked at one by one; every second delivery tells the same time or a later one."""
    days = range(1, 15)

    def delivered(minute: int) -> pa.Table:
        return arrived({name: [one[name] for one in _rows(minute)] for name in ("id", "n", "op", "at")})

    def _rows(minute: int) -> list[dict[str, str]]:
        return [{"id": f"k{day}", "n": "1", "op": "U", "at": f"2026-01-{day:02}T00:{minute:02}:00Z"} for day in days]

    for minute in (10, 10, 20, 5):
        bench.land(delivered(minute))
        bench.refine(TABLES["window"])
    found = bench.rows("silver.t", 'SELECT id, _load, "at" FROM t ORDER BY "at"')
    assert [(row["id"], row["_load"], row["at"].minute) for row in found] == [(f"k{day}", 4, 5) for day in days]
