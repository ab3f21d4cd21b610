"""Row rules part good rows from bad ones with every reason; set rules say what a whole load should be like."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pytest

from catchment.contract import Column, Contract, RowRule, SetRule
from catchment.interfaces import Engine
from catchment.records import bronze_schema
from catchment.silver.definition import Table
from catchment.silver.judge import parsed
from catchment.silver.rows import Rows
from catchment.silver.rules import faults, verdicts
from catchment.silver.usual import shown
from catchment.testing.fakes import column, contract


def judged(
    engine: Engine[Any], wanted: Contract, columns: Mapping[str, Any], *, mode: str = "append", **ours: Any
) -> list[list[tuple[str | None, str, str, str | None]]]:
    """The reasons of each row in order, none for a good one."""
    given = pa.table(dict(columns))
    first = {field.name: pa.nulls(given.num_rows, field.type) for field in bronze_schema([])}
    first["_row"] = pa.array(range(given.num_rows), pa.int64())
    first |= {name: pa.array(values, first[name].type) for name, values in ours.items()}
    bronze = pa.table({**first, **{name: given.column(name) for name in given.column_names}})
    rows = Rows(Table("t", ("src.rows",), wanted, mode), "src.rows", engine, bronze.schema, 1, {})
    rows.over(engine.frame(bronze))
    found: dict[int, Any] = {row["_row"]: [] for row in _rows(engine, rows.good())}
    for frame in rows.bad():
        for bad in _rows(engine, frame):
            assert bad["_row"] not in found
            found[bad["_row"]] = [(r["column"], r["rule"], r["message"], r["value"]) for r in bad["reasons"]]
    assert rows.figures.read == given.num_rows == len(found)
    assert rows.figures.rejected == sum(bool(reasons) for reasons in found.values())
    return [found[place] for place in range(given.num_rows)]


def _rows(engine: Engine[Any], frame: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = engine.fetch(parsed("SELECT * FROM t"), {"t": frame}).to_pylist()
    return found


@pytest.mark.parametrize(
    ("wanted", "good", "bad", "rule", "message"),
    [
        (column("v", required=True), ["x", "", " "], [None], "required", "required"),
        (column("v", "integer", required=True), ["1"], ["", "  "], "required", "required"),
        (column("v", enum=("a", "b'c")), ["a", "b'c", None], ["A", ""], "enum", "is not one of a, b'c"),
        (column("v", "integer", enum=(1, 2)), ["1", " 2 ", "2.0"], ["3"], "enum", "is not one of 1, 2"),
        (column("v", "boolean", enum=(True,)), ["yes"], ["no"], "enum", "is not one of True"),
        (column("v", pattern="^[A-Z]{2}$"), ["PT", None], ["pt", "PTX", "P1"], "pattern", "does not match ^[A-Z]{2}$"),
        (column("v", min_length=2), ["ab", "ää"], ["a", "ä", ""], "minLength", "is shorter than 2 characters"),
        (column("v", max_length=2), ["", "ää"], ["abc"], "maxLength", "is longer than 2 characters"),
        (column("v", "integer", minimum=0), ["0", "5"], ["-1"], "minimum", "is less than 0"),
        (column("v", "number", maximum=1.5), ["1.5", "-9"], ["1.500001"], "maximum", "is more than 1.5"),
        (column("v", "number", exclusive_minimum=0), ["0.1"], ["0", "-1"], "exclusiveMinimum", "is not more than 0"),
        (column("v", "integer", exclusive_maximum=3), ["2"], ["3"], "exclusiveMaximum", "is not less than 3"),
        (
            column("v", "decimal", precision=9, scale=2, minimum=0.1),
            ["0.10"],
            ["0.09"],
            "minimum",
            "is less than 0.1",
        ),
        (column("v", "integer", multiple_of=5), ["0", "-10"], ["4"], "multipleOf", "is not a multiple of 5"),
        (column("v", "number", multiple_of=0.1), ["0.3", "1"], ["0.35"], "multipleOf", "is not a multiple of 0.1"),
        (
            column("v", "decimal", precision=14, scale=4, multiple_of=0.01),
            ["1.23", "1.2300"],
            ["1.2345"],
            "multipleOf",
            "is not a multiple of 0.01",
        ),
        (
            column("v", "date", minimum="2026-01-01"),
            ["2026-01-01"],
            ["2025-12-31"],
            "minimum",
            "is less than 2026-01-01",
        ),
        (
            column("v", "timestamp", timezone="Asia/Tokyo", maximum="2026-01-01T00:00:00"),
            ["2026-01-01T00:00:00", "2025-12-31T15:00:00Z"],
            ["2025-12-31T15:00:01Z"],
            "maximum",
            "is more than 2026-01-01T00:00:00",
        ),
    ],
)
def test_every_rule_of_a_column_finds_what_breaks_it_and_nothing_else(
    engine: Engine[Any], wanted: Column, good: list[Any], bad: list[Any], rule: str, message: str
) -> None:
    told = judged(engine, contract("t", wanted), {"v": pa.array([*good, *bad], pa.string())})
    assert told[: len(good)] == [[] for _ in good]
    assert [[reason[:3] for reason in reasons] for reasons in told[len(good) :]] == [[("v", rule, message)]] * len(bad)


def test_a_missing_value_breaks_no_rule_but_required(engine: Engine[Any]) -> None:
    wanted = column("v", "integer", enum=(1,), minimum=0, multiple_of=2)
    rule = RowRule("own", "v > 0", "must be positive")
    assert judged(engine, contract("t", wanted, row_rules=(rule,)), {"v": pa.array([None], pa.string())}) == [[]]


def test_a_rule_in_sql_sees_typed_columns(engine: Engine[Any]) -> None:
    total = RowRule("total", "abs(total - quantity * price) <= 0.01", "total does not add up", column=None)
    wanted = contract(
        "t",
        column("quantity", "integer"),
        column("price", "decimal", precision=9, scale=2),
        column("total", "decimal", precision=9, scale=2),
        row_rules=(total,),
    )
    given = {"quantity": ["3", "3", None], "price": ["1.10", "1.10", "1"], "total": ["3.30", "3.50", "7"]}
    assert judged(engine, wanted, given) == [[], [(None, "total", "total does not add up", None)], []]


@pytest.mark.parametrize(
    ("condition", "good", "bad"),
    [
        ("CAST(v AS INTEGER) > 3", ["4", None], ["3", "abc", "", "99999999999"]),
        ("sqrt(CAST(v AS DOUBLE)) >= 2", ["4"], ["1", "-1"]),
        ("v", ["true", None], ["false", "abc"]),
        ("v <> 'a' -- the rest is fine", ["b", None], ["a"]),
        ("v <> 'a--b'", ["a"], ["a--b"]),
    ],
)
def test_a_row_for_which_a_rule_cannot_be_computed_breaks_it_and_sinks_no_other(
    engine: Engine[Any], condition: str, good: list[str | None], bad: list[str]
) -> None:
    wanted = contract("t", column("v"), row_rules=(RowRule("own", condition, "not met"),))
    told = judged(engine, wanted, {"v": pa.array([*good, *bad], pa.string())})
    assert told == [[]] * len(good) + [[(None, "own", "not met", None)]] * len(bad)


def test_a_rule_sees_a_decimal_rounded_to_its_places(engine: Engine[Any]) -> None:
    """So that whoever wants to refuse more places declares them (docs/concepts/contracts.md)."""
    wanted = contract("t", column("v", "decimal", precision=14, scale=2, multiple_of=0.01))
    assert judged(engine, wanted, {"v": ["1.2345"]}) == [[]]


def test_a_number_too_large_to_be_divided_exactly_is_no_multiple(engine: Engine[Any]) -> None:
    told = judged(engine, contract("t", column("v", "number", multiple_of=0.1)), {"v": ["1e300", "0.2"]})
    assert [[reason[1] for reason in reasons] for reasons in told] == [["multipleOf"], []]


def test_where_no_file_could_be_read_yet_every_row_is_its_defect(engine: Engine[Any]) -> None:
    wanted = contract("t", column("id", "integer", required=True))
    first = {field.name: pa.nulls(1, field.type) for field in bronze_schema([])}
    bronze = pa.table({**first, "_defect": ["not Parquet"], "_raw": pa.array(["PAR \xe4".encode()])})
    rows = Rows(Table("t", ("src.rows",), wanted, "append"), "src.rows", engine, bronze.schema, 1, {})
    rows.over(engine.frame(bronze))
    ((bad,),) = (_rows(engine, frame) for frame in rows.bad())
    assert [reason["rule"] for reason in bad["reasons"]] == ["readable"]
    assert json.loads(bad["raw"]) == {"_raw": "PAR \xe4"}


def test_a_row_tells_all_its_reasons_in_the_order_of_the_contract(engine: Engine[Any]) -> None:
    wanted = contract(
        "t",
        column("id", required=True),
        column("n", "integer"),
        column("c", enum=("a",), min_length=2),
        row_rules=(RowRule("own", "c <> 'x'", "must not be x", column="c"),),
    )
    (told,) = judged(engine, wanted, {"id": pa.array([None], pa.string()), "n": ["2.9"], "c": ["x"]})
    assert [(reason[0], reason[1]) for reason in told] == [
        ("n", "type"),
        ("id", "required"),
        ("c", "enum"),
        ("c", "minLength"),
        ("c", "own"),
    ]
    assert {reason[0]: reason[3] for reason in told} == {"n": "2.9", "id": None, "c": "x"}


def test_what_is_required_and_cannot_be_read_has_one_reason(engine: Engine[Any]) -> None:
    told = judged(engine, contract("t", column("n", "integer", required=True)), {"n": ["2.9", "", "1"]})
    assert told == [[("n", "type", "is not an integer", "2.9")], [("n", "required", "required", None)], []]


def test_columns_of_the_key_are_required_where_the_mode_needs_them(engine: Engine[Any]) -> None:
    wanted = contract("t", column("id", key_position=1))
    given = {"id": pa.array(["a", None], pa.string())}
    assert judged(engine, wanted, given, mode="append") == [[], []]
    assert judged(engine, wanted, given, mode="merge") == [[], [("id", "required", "required", None)]]
    assert [fault.rule for fault in faults(contract("t", column("id", key_position=1, required=True)), ["id"])] == [
        "required"
    ]


def test_a_defect_of_the_source_is_one_reason_and_keeps_its_raw_form(engine: Engine[Any]) -> None:
    wanted = contract("t", column("n", "integer"))
    told = judged(
        engine,
        wanted,
        {"n": pa.array([None, "1"], pa.string())},
        _defect=["a quote is not closed", None],
        _raw=[b'1,"', None],
    )
    assert told == [[(None, "readable", "a quote is not closed", None)], []]


def test_a_long_value_is_shown_only_so_far_that_it_is_recognised(engine: Engine[Any]) -> None:
    ((reason,),) = judged(engine, contract("t", column("n", "integer")), {"n": ["x" * 5000]})
    assert reason[3] == "x" * 200


def test_names_and_texts_that_need_quotes_do_no_harm(engine: Engine[Any]) -> None:
    odd = 'O\'Brien "x"'
    wanted = contract(
        "t",
        Column(name='say "so"', type="string", source='say "so"', enum=(odd,), pattern="[\"']"),
        row_rules=(RowRule("it's", '"say ""so""" <> \'\'', 'isn\'t "right"'),),
    )
    told = judged(engine, wanted, {'say_"so"': [odd, ""], 'say "so"': [odd, ""]})
    assert told[0] == []
    assert [reason[2] for reason in told[1]][-1] == 'isn\'t "right"'


def test_a_contracts_column_may_have_the_name_of_another_source_column(engine: Engine[Any]) -> None:
    wanted = contract("t", column("a", "integer", source="b"), column("b", source="a"))
    assert judged(engine, wanted, {"a": ["x", "y"], "b": ["1", "z"]}) == [[], [("a", "type", "is not an integer", "z")]]


@pytest.mark.parametrize(
    ("rule", "figures", "passed", "words"),
    [
        (SetRule("r", "rows", "at least 10", minimum=10), {"good": 10}, True, "10 rows; at least 10"),
        (SetRule("r", "rows", "at least 10", minimum=10), {"good": 9}, False, "9 rows; at least 10"),
        (SetRule("r", "rows", "at most", maximum=5), {"good": 6}, False, "6 rows; at most"),
        (
            SetRule("r", "rejected_share", "at most 5 %", maximum=0.05),
            {"read": 12_400, "rejected": 3844},
            False,
            "31 % of 12,400 new rows were rejected, at most 5 %",
        ),
        (SetRule("r", "rejected_share", "m", maximum=0.05), {"read": 100, "rejected": 5}, True, "5 % of 100"),
        (
            SetRule("r", "rejected_share", "at most 12 %", maximum=0.12),
            {"read": 50_000, "rejected": 6_001},
            False,
            "12.002 % of 50,000 new rows were rejected, at most 12 %",
        ),
        (SetRule("r", "rejected_share", "m", maximum=0.0), {"read": 0, "rejected": 0}, True, "0 % of 0"),
        (SetRule("r", "duplicates", "m", ("a", "b"), maximum=0), {"r": 2}, False, "2 duplicates in a, b; m"),
        (SetRule("r", "nulls", "m", ("a",), maximum=10, unit="percent"), {"r": 1, "good": 10}, True, "1 nulls in a"),
        (SetRule("r", "nulls", "m", ("a",), maximum=10, unit="percent"), {"r": 2, "good": 10}, False, "2 nulls in a"),
    ],
)
def test_a_set_rule_says_what_it_found_and_what_it_wants(
    rule: SetRule, figures: dict[str, int], passed: bool, words: str
) -> None:
    (verdict,) = verdicts(
        [rule],
        {"r": figures.get("r", 0)},
        read=figures.get("read", 100),
        rejected=figures.get("rejected", 0),
        good=figures.get("good", 100),
    )
    assert (verdict.passed, verdict.severity) == (passed, "warn")
    assert verdict.message.startswith(words)


@pytest.mark.parametrize(
    ("score", "words"),
    [(100.0, "100.0"), (99.97, "99.9"), (98.96, "98.9"), (99.8, "99.8"), (64.1, "64.1"), (0.0, "0.0")],
)
def test_a_score_is_cut_to_tenths_and_never_looks_better_than_it_is(score: float, words: str) -> None:
    assert shown("score", score) == words
    (verdict,) = verdicts([SetRule("r", "score", "m", minimum=90)], {}, read=1, rejected=0, good=1, score=score)
    assert verdict.message.startswith(f"score {words} of")


def test_raw_is_the_bronze_row_as_json(engine: Engine[Any]) -> None:
    wanted = contract("t", column("n", "integer"))
    bronze = {"n": ["x"], "other": ['ü "q"'], "nothing": pa.array([None], pa.string())}
    assert json.loads(_raw(engine, wanted, bronze)) == {"n": "x", "other": 'ü "q"', "nothing": None}


def test_raw_of_a_document_is_the_document(engine: Engine[Any]) -> None:
    document = '{"n": "x", "z": [1,  2]}'
    assert _raw(engine, contract("t", column("n", "integer")), {"document": [document]}) == document


def test_raw_of_a_defect_is_what_the_source_could_not_read(engine: Engine[Any]) -> None:
    wanted = contract("t", column("n", "integer"))
    raw = _raw(engine, wanted, {"n": pa.array([None], pa.string())}, _defect=["broken"], _raw=[b'1,\xff"x'])
    (text,) = json.loads(raw).values()
    assert text.startswith("1,")
    assert "x" in text


def _raw(engine: Engine[Any], wanted: Contract, columns: Mapping[str, Any], **ours: Any) -> str:
    given = pa.table(dict(columns))
    first = {field.name: pa.nulls(1, field.type) for field in bronze_schema([])}
    first |= {name: pa.array(values, first[name].type) for name, values in ours.items()}
    bronze = pa.table({**first, **{name: given.column(name) for name in given.column_names}})
    rows = Rows(Table("t", ("src.rows",), wanted, "append"), "src.rows", engine, bronze.schema, 1, {})
    rows.over(engine.frame(bronze))
    (frame,) = rows.bad()
    (bad,) = _rows(engine, frame)
    raw: str = bad["raw"]
    return raw
