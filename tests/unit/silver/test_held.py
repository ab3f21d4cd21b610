"""A set rule that stops: only the rejected rows are committed, as held, until the rule or somebody lets all pass."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from catchment import naming
from catchment.cli.invocation import Invocation
from catchment.contract import SetRule
from catchment.errors import ConfigError, Held
from catchment.events import CheckFailed, RowsRefined, SpanAccepted
from catchment.records import Order
from catchment.silver.definition import Table
from catchment.silver.held import held_span
from catchment.testing.fakes import Workbench, arrived, column, contract

STRICT = SetRule("share", "rejected_share", "the contract allows 20 %", maximum=0.2, severity="stop")
NUMBERS = contract("t", column("id"), column("n", "integer"), set_rules=(STRICT,))
TABLE = Table("t", ("src.rows",), NUMBERS, "append")
NAME = naming.silver_table("t")
FIRST = "bronze.src__rows"


def numbers(*texts: str) -> pa.Table:
    return arrived(
        {"id": [f"r{place}" for place in range(len(texts))], "n": pa.array(texts, pa.string())}, origin="f.csv"
    )


def values(bench: Workbench) -> list[int]:
    return sorted(row["n"] for row in bench.rows("silver.t"))


def generation(bench: Workbench, name: str) -> int:
    table = bench.lake.open(naming.TableName.parse(name))
    return 0 if table is None else table.pin.generation


def refused(bench: Workbench, table: Table = TABLE, order: Order | None = None) -> Held:
    with pytest.raises(Held) as told:
        bench.refine(table, order)
    return told.value


def lines(error: Held) -> list[str]:
    return error.message.splitlines()


def test_nothing_is_committed_but_the_rejected_rows_as_held(bench: Workbench) -> None:
    bench.land(numbers("1", "2"))
    bench.refine(TABLE)
    before = generation(bench, "silver.t")
    bench.land(numbers("3", "x", "y"))
    told = refused(bench)
    assert lines(told) == [
        "silver.t stopped before it committed: 66.7 % of 3 new rows were rejected, the contract allows 20 %",
        "  most frequent reason: n: is not an integer (2 rows, all from f.csv)",
        "  silver.t still holds version 1; the rejected rows are held",
    ]
    assert told.hint == (
        "look: catchment quarantine show silver.t --held   ·   let it pass: catchment quarantine accept silver.t"
    )
    assert values(bench) == [1, 2]
    assert generation(bench, "silver.t") == before
    assert [row["status"] for row in bench.rows("quarantine.t")] == ["held", "held"]
    assert bench.standing_rejects("t") == []
    assert [(event.rule, event.severity) for event in bench.heard.of(CheckFailed)] == [("share", "stop")]
    assert len(bench.heard.of(RowsRefined)) == 1


def test_a_first_load_that_is_stopped_leaves_an_empty_table(bench: Workbench) -> None:
    bench.land(numbers("x"))
    assert lines(refused(bench))[-1] == "  silver.t is still empty; the rejected rows are held"
    assert values(bench) == []


def test_a_load_without_a_row_that_is_bad_in_itself_has_nothing_to_show(bench: Workbench) -> None:
    many = replace(NUMBERS, set_rules=(SetRule("many", "rows", "at least 3 rows", minimum=3, severity="stop"),))
    bench.land(numbers("1"))
    told = refused(bench, replace(TABLE, contract=many))
    assert lines(told) == [
        "silver.t stopped before it committed: 1 rows; at least 3 rows",
        "  silver.t is still empty; no row was rejected",
    ]
    assert told.hint is not None
    assert told.hint.startswith("look: catchment preview silver.t")


def test_reasons_from_several_files_say_so(bench: Workbench) -> None:
    bench.land(numbers("x"), arrived({"id": ["r"], "n": ["y"]}, origin="other.csv"))
    assert "  most frequent reason: n: is not an integer (2 rows, from 2 files)" in lines(refused(bench))


def test_a_second_run_says_the_same_and_computes_nothing(bench: Workbench) -> None:
    bench.land(numbers("1", "x"))
    first = refused(bench)
    before = generation(bench, "quarantine.t")
    second = refused(bench)
    assert (second.message, second.hint) == (first.message, first.hint)
    assert generation(bench, "quarantine.t") == before
    assert generation(bench, "silver.t") == 0


def test_what_lands_afterwards_is_judged_with_what_is_held(bench: Workbench) -> None:
    bench.land(numbers("1", "x"))
    refused(bench)
    bench.land(numbers("2"))
    assert lines(refused(bench))[0].startswith("silver.t stopped before it committed: 33.3 % of 3 new rows")
    bench.land(numbers("3", "4"))
    bench.refine(TABLE)  # one of five is what the contract allows
    assert values(bench) == [1, 2, 3, 4]
    assert [row["status"] for row in bench.standing_rejects("t")] == ["rejected"]
    assert held_span(bench.lake, NAME) is None


@pytest.mark.parametrize(
    "rules",
    [(replace(STRICT, maximum=0.5),), (replace(STRICT, severity="warn"),), ()],
)
def test_a_rule_that_is_relaxed_judges_the_span_again(bench: Workbench, rules: tuple[SetRule, ...]) -> None:
    bench.land(numbers("1", "x"))
    refused(bench)
    bench.refine(replace(TABLE, contract=replace(NUMBERS, set_rules=rules)))
    assert values(bench) == [1]
    assert len(bench.standing_rejects("t")) == 1


def test_what_is_accepted_passes_with_the_next_run(bench: Workbench) -> None:
    bench.land(numbers("1", "x"))
    refused(bench)
    assert bench.refine(TABLE, Order("accept"))
    assert bench.heard.of(SpanAccepted)[-1].spans == {FIRST: 1}
    assert values(bench) == []  # a generation without rows
    assert bench.refine(TABLE)
    assert values(bench) == [1]
    assert [row["status"] for row in bench.standing_rejects("t")] == ["rejected"]
    # That a rule was broken is told all the same.
    assert [(event.rule, event.severity) for event in bench.heard.of(CheckFailed)] == [
        ("share", "stop"),
        ("share", "warn"),
    ]
    assert not bench.refine(TABLE)


def test_accepting_twice_is_accepting_once(bench: Workbench) -> None:
    bench.land(numbers("1", "x"))
    refused(bench)
    bench.refine(TABLE, Order("accept"))
    before = generation(bench, "silver.t")
    assert bench.refine(TABLE, Order("accept"))
    assert generation(bench, "silver.t") == before


def test_just_the_span_that_was_held_passes_and_what_landed_since_is_judged_strictly(bench: Workbench) -> None:
    bench.land(numbers("1", "x"))
    refused(bench)
    bench.land(numbers("y", "z"))
    bench.refine(TABLE, Order("accept"))
    told = refused(bench)
    assert lines(told)[0].startswith("silver.t stopped before it committed: 100 % of 2 new rows")
    assert values(bench) == [1]  # what was accepted went in
    assert [row["raw"] for row in bench.standing_rejects("t")] == ['{"id":"r1","n":"x"}']
    bench.refine(TABLE, Order("accept"))
    bench.refine(TABLE)
    assert len(bench.standing_rejects("t")) == 3


def test_what_landed_since_and_is_good_goes_in_with_the_same_run(bench: Workbench) -> None:
    bench.land(numbers("1", "x"))
    refused(bench)
    bench.refine(TABLE, Order("accept"))
    bench.land(numbers("2"))
    assert bench.refine(TABLE)
    assert values(bench) == [1, 2]


def test_an_accepted_table_can_be_made_anew(bench: Workbench) -> None:
    bench.land(numbers("1", "x"))
    refused(bench)
    bench.refine(TABLE, Order("accept"))
    bench.refine(TABLE)
    bench.land(numbers("2"))
    bench.refine(TABLE)
    assert bench.refine(TABLE, Order("rebuild"))
    assert values(bench) == [1, 2]
    assert len(bench.standing_rejects("t")) == 1
    assert not bench.refine(TABLE)


def test_a_rebuild_that_is_stopped_leaves_the_table_whole(bench: Workbench) -> None:
    bench.land(numbers("1", "x"))
    refused(bench)
    bench.refine(TABLE, Order("accept"))
    bench.refine(TABLE)
    bench.land(numbers("2", "30"))
    bench.refine(TABLE)
    before = generation(bench, "silver.t")
    narrow = replace(NUMBERS, columns=(NUMBERS.columns[0], column("n", "integer", maximum=9)))
    edited = replace(TABLE, contract=narrow)
    told = refused(bench, edited, Order("rebuild"))
    # What was let pass is not judged again, and the rest is.
    assert lines(told)[0].startswith("silver.t stopped before it committed: 50 % of 2 new rows")
    assert (told.hint or "").endswith("catchment quarantine accept silver.t, then catchment run --rebuild silver.t")
    assert values(bench) == [1, 2, 30]
    assert generation(bench, "silver.t") == before
    quarantined = generation(bench, "quarantine.t")
    assert refused(bench, edited, Order("rebuild")).message == told.message
    assert generation(bench, "quarantine.t") == quarantined
    assert bench.refine(edited, Order("accept"))
    assert bench.refine(edited, Order("rebuild"))
    assert values(bench) == [1, 2]
    assert len(bench.standing_rejects("t")) == 2
    assert held_span(bench.lake, NAME) is None
    with pytest.raises(ConfigError):
        bench.refine(edited, Order("accept"))


def test_there_must_be_something_to_accept(bench: Workbench) -> None:
    with pytest.raises(ConfigError, match=r"silver\.t is not there yet"):
        bench.refine(TABLE, Order("accept"))
    bench.land(numbers("1"))
    bench.refine(TABLE)
    with pytest.raises(ConfigError, match=r"nothing of silver\.t is held"):
        bench.refine(TABLE, Order("accept"))
    bench.land(numbers("x"))
    refused(bench)
    bench.refine(TABLE, Order("accept"))
    bench.refine(TABLE)
    with pytest.raises(ConfigError, match=r"nothing of silver\.t is held"):
        bench.refine(TABLE, Order("accept"))


def test_two_streams_are_held_and_let_pass_together(bench: Workbench) -> None:
    both = replace(TABLE, streams=("src.rows", "src.more"))
    bench.land(numbers("1", "x"))
    bench.land(numbers("2", "3"), feed="src.more")
    assert lines(refused(bench, both))[0].startswith("silver.t stopped before it committed: 25 % of 4 new rows")
    bench.land(numbers("4", "5"), feed="src.more")
    bench.refine(both, Order("accept"))
    assert bench.heard.of(SpanAccepted)[-1].spans == {FIRST: 1, "bronze.src__more": 1}
    bench.refine(both)
    assert values(bench) == [1, 2, 3, 4, 5]
    assert not bench.refine(both)
    bench.refine(both, Order("rebuild"))
    assert values(bench) == [1, 2, 3, 4, 5]
    assert len(bench.standing_rejects("t")) == 1


# The words, from a project on the command line.

_YAML = """\
name: small
sources:
  src:
    type: files
    streams:
      rows: {path: "rows/*.csv"}
silver:
  orders: {from: src.rows, mode: merge}
"""

_CONTRACT = """\
apiVersion: v3.0.2
kind: DataContract
id: orders
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
      - {name: id, logicalType: string, required: true, primaryKey: true, primaryKeyPosition: 1}
      - {name: currency, logicalType: string, required: true}
    quality:
      - {type: custom, engine: catchment, severity: error, implementation: {rejectedShare: 0.05}}
"""


def call(folder: Path, name: str, *words: str) -> Any:
    command = getattr(importlib.import_module(f"catchment.cli.{name}"), name)
    return command.main(list(words), standalone_mode=False, obj=Invocation(project_folder=folder, no_colour=True))


def test_the_whole_way_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("rows", "contracts"):
        (tmp_path / name).mkdir()
    (tmp_path / "catchment.yaml").write_text(_YAML, encoding="utf-8")
    (tmp_path / "contracts/orders.odcs.yaml").write_text(_CONTRACT, encoding="utf-8")
    (tmp_path / "rows/1.csv").write_text("id,currency\na,EUR\n", encoding="utf-8")
    assert call(tmp_path, "run") in (None, 0)
    (tmp_path / "rows/orders-2.csv").write_text("id,currency\nb,EUR\nc,\nd,\n", encoding="utf-8")
    capsys.readouterr()
    assert call(tmp_path, "run") == 1
    said = capsys.readouterr().err
    assert (
        "error: silver.orders stopped before it committed: 66.7 % of 3 new rows were rejected,"
        " the contract allows 5 %\n"
        "  most frequent reason: currency: required (2 rows, all from orders-2.csv)\n"
        "  silver.orders still holds version 1; the rejected rows are held\n"
        "hint: look: catchment quarantine show silver.orders --held   ·   let it pass: catchment quarantine accept"
        " silver.orders\n"
    ) in said
    call(tmp_path, "quarantine", "show", "silver.orders")
    assert capsys.readouterr().err == "No row of silver.orders is in quarantine.\n"
    call(tmp_path, "quarantine", "show", "silver.orders", "--held", "--limit", "1")
    shown = capsys.readouterr().out.splitlines()
    assert shown[:2] == ["id c  from src.rows, file orders-2.csv, line 3", "  currency: required"]
    assert call(tmp_path, "quarantine", "accept", "silver.orders") in (None, 0)
    said = capsys.readouterr().err
    assert "Held rows of silver.orders will pass (bronze.src__rows up to load 2): catchment" in said
    assert call(tmp_path, "run") in (None, 0)
    said = capsys.readouterr().err
    assert "1 row   2 rejected" in said
    assert "2 rows of silver.orders were rejected: catchment" in said
    call(tmp_path, "quarantine", "show", "silver.orders", "--held")
    assert capsys.readouterr().err == "No row of silver.orders is held.\n"
    assert call(tmp_path, "run") in (None, 0)
    assert "nothing new" in capsys.readouterr().err
    assert call(tmp_path, "quarantine", "accept", "silver.orders") == 1
    assert "error: nothing of silver.orders is held" in capsys.readouterr().err
