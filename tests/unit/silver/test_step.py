"""The refine step: spans, verdicts that count, changed definitions, rebuilding in one commit."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from catchment.contract import SetRule
from catchment.errors import Conflict, DefinitionChanged, Unfenced
from catchment.events import CheckFailed, RowsQuarantined, RowsRefined
from catchment.interfaces import Engine, Table
from catchment.lake.delta import DeltaLake
from catchment.naming import TableName
from catchment.records import Order, bronze_schema
from catchment.silver import definition
from catchment.silver.conform import conform
from catchment.silver.span import span
from catchment.testing.fakes import Workbench, arrived, column, contract

NUMBERS = contract("t", column("id"), column("n", "integer", required=True))
TABLE = definition.Table("t", ("src.rows",), NUMBERS, "append")
SILVER, BRONZE = TableName("silver", "t"), TableName("bronze", "src__rows")


def numbers(*texts: str | None) -> pa.Table:
    return arrived({"id": [f"r{place}" for place in range(len(texts))], "n": pa.array(texts, pa.string())})


def opened(bench: Workbench, name: TableName) -> Table:
    table = bench.lake.open(name)
    assert table is not None
    return table


def values(bench: Workbench) -> list[int]:
    return sorted(row["n"] for row in bench.rows("silver.t"))


def test_nothing_landed_is_nothing_to_do(bench: Workbench) -> None:
    assert not bench.refine(TABLE)
    assert bench.lake.list() == []


def test_what_is_new_is_refined_once(bench: Workbench) -> None:
    bench.land(numbers("1", "x"), numbers("2"))
    assert bench.refine(TABLE)
    assert not bench.refine(TABLE)
    bench.land(numbers("3"))
    assert bench.refine(TABLE)
    assert values(bench) == [1, 2, 3]
    assert [(event.rows, event.written, event.rejected) for event in bench.heard.of(RowsRefined)] == [
        (3, 2, 1),
        (1, 1, 0),
    ]


@pytest.mark.parametrize("loads", [1, 3])
def test_bronze_that_was_made_anew_stops_what_took_the_old_one(bench: Workbench, tmp_path: Path, loads: int) -> None:
    bench.land(numbers("1"), numbers("2"))
    bench.refine(TABLE)
    shutil.rmtree(tmp_path / "lake" / "bronze")
    anew = Workbench(DeltaLake(tmp_path / "lake"), bench.engine)
    anew.land(*[numbers(str(number)) for number in range(loads)])
    with pytest.raises(Unfenced, match=r"bronze\.src__rows no longer holds load 2") as told:
        anew.refine(TABLE)
    assert "--rebuild" in (told.value.hint or "")
    assert values(anew) == [1, 2]
    assert anew.refine(TABLE, order=Order("rebuild"))
    assert values(anew) == list(range(loads))


def test_silver_rows_name_where_they_come_from_and_the_commit_that_brought_them(bench: Workbench) -> None:
    bench.land(numbers("1"), numbers("2", "3"))
    bench.refine(TABLE)
    rows = bench.rows("silver.t", "SELECT _stream, _shard, _load, _row, _judged, n FROM t ORDER BY n")
    assert [tuple(row.values()) for row in rows] == [
        ("src.rows", 0, 1, 0, 1, 1),
        ("src.rows", 0, 2, 0, 1, 2),
        ("src.rows", 0, 2, 1, 1, 3),
    ]
    names = opened(bench, SILVER).schema().names
    assert names == ["id", "n", "_stream", "_shard", "_load", "_row", "_judged"]


def test_the_state_says_how_far_bronze_was_taken(bench: Workbench) -> None:
    bench.land(numbers("1"), numbers("2"))
    bench.refine(TABLE)
    progress = opened(bench, SILVER).progress()
    assert progress.cursors["refine"] == {str(BRONZE): 2}
    assert progress.judged == ((1, 1),)
    assert span(opened(bench, BRONZE), progress).scan.files == ()


def test_judged_numbers_are_kept_as_ranges(bench: Workbench) -> None:
    for number in range(3):
        bench.land(numbers(str(number)))
        bench.refine(TABLE)
    opened(bench, SILVER).claim()  # somebody died
    bench.land(numbers("9"))
    bench.refine(TABLE)
    assert opened(bench, SILVER).progress().judged == ((1, 3), (5, 5))


def test_a_load_of_rejects_alone_moves_the_state(bench: Workbench) -> None:
    bench.land(numbers("x", "y"))
    assert bench.refine(TABLE)
    assert not bench.refine(TABLE)
    assert (values(bench), len(bench.standing_rejects("t"))) == ([], 2)


def test_a_rejected_row_says_where_it_came_from_and_what_it_was(bench: Workbench) -> None:
    bench.land(numbers("1", "2.9"))
    bench.refine(TABLE)
    (row,) = bench.standing_rejects("t")
    bronze = bench.rows("bronze.src__rows", "SELECT * FROM t WHERE _row = 1")[0]
    assert {name: row[name] for name in ("_shard", "_load", "_row", "_origin", "_position", "_loaded_at")} == {
        name: bronze[name] for name in ("_shard", "_load", "_row", "_origin", "_position", "_loaded_at")
    }
    assert (row["_stream"], row["status"], row["raw"]) == ("src.rows", "rejected", '{"id":"r1","n":"2.9"}')
    assert row["reasons"] == [{"column": "n", "rule": "type", "message": "is not an integer", "value": "2.9"}]
    (told,) = bench.heard.of(RowsQuarantined)
    assert (told.rows, list(told.reasons)) == (1, [("n: is not an integer", 1)])


@pytest.mark.parametrize("point", ["quarantine.committed", "silver.written", "silver.filled"])
def test_a_verdict_whose_silver_commit_never_came_counts_nowhere(
    tmp_path: Path, engine: Engine[Any], point: str
) -> None:
    dying = Workbench(DeltaLake(tmp_path, reached=_die_at(point)), engine)
    bench = Workbench(DeltaLake(tmp_path), engine)
    bench.land(numbers("1", "x"))
    with pytest.raises(_Died):
        dying.refine(TABLE)
    assert len(bench.rows("quarantine.t")) == 1
    assert (bench.standing_rejects("t"), bench.rows("silver.t")) == ([], [])
    assert bench.refine(TABLE)
    assert (values(bench), len(bench.standing_rejects("t"))) == ([1], 1)


class _Died(Exception):
    pass


def _die_at(point: str) -> Any:
    def reached(here: str) -> None:
        if here == point:
            raise _Died

    return reached


def test_of_two_refines_of_one_span_one_is_a_conflict_and_counts_nowhere(tmp_path: Path, engine: Engine[Any]) -> None:
    bench = Workbench(DeltaLake(tmp_path), engine)
    bench.land(numbers("1", "x"))
    raced = False

    def race(here: str) -> None:
        nonlocal raced
        if here == "silver.filled" and not raced:
            raced = True
            bench.refine(TABLE)

    slower = Workbench(DeltaLake(tmp_path, reached=race), engine)
    with pytest.raises(Conflict):
        slower.refine(TABLE)
    assert (values(bench), len(bench.standing_rejects("t")), len(bench.rows("quarantine.t"))) == ([1], 1, 2)
    assert not slower.refine(TABLE)


def test_a_changed_definition_stops_before_anything_is_written(bench: Workbench) -> None:
    bench.land(numbers("1"))
    bench.refine(TABLE)
    bench.land(numbers("-2"))
    before = {name: opened(bench, name).pin for name in bench.lake.list()}
    stricter = replace(TABLE, contract=contract("t", column("id"), column("n", "integer", required=True, minimum=0)))
    with pytest.raises(DefinitionChanged, match="n: minimum 0 added") as told:
        bench.refine(stricter)
    assert told.value.hint == "choose: catchment run --rebuild silver.t  or  catchment run --forward silver.t"
    assert {name: opened(bench, name).pin for name in bench.lake.list()} == before
    assert bench.refine(TABLE)


def test_rebuild_makes_the_table_anew_in_one_commit_under_its_readers(bench: Workbench) -> None:
    for text in ("1", "-2", "x"):
        bench.land(numbers(text))
        bench.refine(TABLE)
    old = opened(bench, SILVER)
    reading = bench.engine.frame(old.scan())
    changed = contract("t", column("n", "integer", minimum=0), column("name", source="id"))
    assert bench.refine(replace(TABLE, contract=changed), order=Order("rebuild"))
    new = opened(bench, SILVER)
    assert new.pin.version == old.pin.version + 1
    assert new.schema().names[:2] == ["n", "name"]
    assert [(row["n"], row["name"]) for row in bench.rows("silver.t")] == [(1, "r0")]
    assert sorted(row["raw"] for row in bench.standing_rejects("t")) == ['{"id":"r0","n":"-2"}', '{"id":"r0","n":"x"}']
    assert sorted(row["n"] for row in reading.to_arrow_table().to_pylist()) == [-2, 1]
    assert not bench.refine(replace(TABLE, contract=changed))


def test_rebuild_of_an_empty_input_leaves_an_empty_table(bench: Workbench) -> None:
    bench.land(numbers())
    assert bench.refine(TABLE, order=Order("rebuild"))
    assert values(bench) == []


def test_rebuild_of_a_merged_table_starts_from_nothing(bench: Workbench) -> None:
    keyed = contract("t", column("id", key_position=1), column("n", "integer"))
    table = definition.Table("t", ("src.rows",), keyed, "merge")
    for text in ("1", "2"):
        bench.land(numbers(text))
        bench.refine(table)
    before = bench.rows("silver.t", "SELECT id, n, _load FROM t")
    assert bench.refine(table, order=Order("rebuild"))
    assert bench.rows("silver.t", "SELECT id, n, _load FROM t") == before == [{"id": "r0", "n": 2, "_load": 2}]


def test_a_set_rule_that_fails_warns_and_stops_nothing(bench: Workbench) -> None:
    rules = (
        SetRule("share", "rejected_share", "at most 5 %", maximum=0.05),
        SetRule("rows", "rows", "at least one", minimum=1),
        SetRule("twice", "duplicates", "none", ("id",), maximum=0),
    )
    bench.land(numbers("1", "x"), arrived({"id": ["r0"], "n": ["3"]}))
    bench.refine(replace(TABLE, contract=replace(NUMBERS, set_rules=rules)))
    assert {event.rule: event.message for event in bench.heard.of(CheckFailed)} == {
        "share": "33.3 % of 3 new rows were rejected, at most 5 %",
        "twice": "1 duplicates in id; none",
    }
    assert values(bench) == [1, 3]


def test_a_column_that_comes_to_bronze_later_is_null_in_older_rows(bench: Workbench) -> None:
    bench.land(numbers("1"))
    bench.land(arrived({"id": ["r0"], "n": ["2"], "note": ["x"]}))
    noted = replace(TABLE, contract=contract("t", *NUMBERS.columns, column("note")))
    bench.refine(noted)
    assert {row["n"]: row["note"] for row in bench.rows("silver.t")} == {1: None, 2: "x"}


def test_two_tables_of_one_stream_go_their_own_ways(bench: Workbench) -> None:
    other = definition.Table("other", ("src.rows",), contract("other", column("n", "number")), "append")
    bench.land(numbers("1", "2.9"))
    assert bench.refine(TABLE)
    assert bench.refine(other)
    assert values(bench) == [1]
    assert sorted(row["n"] for row in bench.rows("silver.other")) == [1.0, 2.9]


def test_a_column_that_the_function_makes_is_not_read_from_bronze_though_one_is_called_so() -> None:
    made = contract("t", column("id"), column("n", "integer", derived=True))
    assert [item.column.name for item in conform(made, bronze_schema(["id", "N"]), derived=True)] == ["id"]


def test_a_row_that_could_not_be_read_tells_that_and_nothing_it_misses_besides(bench: Workbench) -> None:
    bench.land(arrived({"id": ["a"], "n": ["1"]}, defects={0: "2 fields where 3 are expected"}))
    bench.refine(TABLE)
    (reject,) = bench.standing_rejects("t")
    assert [(reason["rule"], reason["message"]) for reason in reject["reasons"]] == [
        ("readable", "2 fields where 3 are expected")
    ]
