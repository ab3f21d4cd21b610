"""What a table's rows were made with: what changes it, what does not, and the difference in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from catchment.contract import Contract, Freshness, RowRule, SetRule
from catchment.silver.definition import LookedUp, Table, differences, fingerprint
from catchment.silver.refine import RefineFunction
from catchment.testing.fakes import column, contract

CONTRACT = contract(
    "t",
    column("id", key_position=1, required=True),
    column("n", "integer", minimum=0, enum=(1, 2)),
    row_rules=(RowRule("own", "n < 5", "too large"),),
)
TABLE = Table("t", ("src.rows",), CONTRACT, "merge", latest_by="n")

FUNCTION = '''"""What it is for."""
import narwhals as nw

def refine(rows):
    """Doubles."""
    # twice
    return rows.with_columns(n=nw.col("n") * 2)
'''


def _with_column(name: str, **changes: Any) -> Contract:
    columns = tuple(replace(found, **changes) if found.name == name else found for found in CONTRACT.columns)
    return replace(CONTRACT, columns=columns)


def _function(tmp_path: Path, text: str) -> RefineFunction:
    path = tmp_path / "refine.py"
    path.write_text(text, encoding="utf-8")
    return RefineFunction("silver/refine.py", path)


@pytest.mark.parametrize(
    "same",
    [
        replace(CONTRACT, description="said better", version="2.0.0", id="other", file="elsewhere.yaml"),
        replace(CONTRACT, columns=tuple(reversed(CONTRACT.columns))),
        replace(CONTRACT, freshness=Freshness("n", 60)),
        replace(CONTRACT, set_rules=(SetRule("r", "rows", "m", minimum=1),)),
        replace(CONTRACT, row_rules=(RowRule("renamed", "n < 5", "said better"),)),
        _with_column("n", description="said better", classification="public"),
        _with_column("n", enum=(2, 1)),
        _with_column("n", minimum=0.0),
        _with_column("id", timezone="Europe/Lisbon"),
        _with_column("n", unique=True),
    ],
)
def test_words_order_and_rules_over_loads_change_nothing(same: Contract) -> None:
    assert fingerprint(replace(TABLE, contract=same).definition()) == fingerprint(TABLE.definition())


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (replace(TABLE, mode="append"), ["~ mode: merge -> append"]),
        (replace(TABLE, latest_by=None), ["~ latest_by: n -> None"]),
        (replace(TABLE, streams=("src.other",)), ["~ from: src.rows -> src.other"]),
        (replace(TABLE, lookups={"users": LookedUp(CONTRACT)}), ["~ with: nothing -> users"]),
        (replace(TABLE, contract=_with_column("n", minimum=1)), ["~ n: minimum 0 -> 1"]),
        (replace(TABLE, contract=_with_column("n", minimum=None)), ["~ n: minimum 0 -> none"]),
        (replace(TABLE, contract=_with_column("n", type="number")), ['~ n: type "integer" -> "number"']),
        (replace(TABLE, contract=_with_column("n", enum=(1, 2, 3))), ["~ n: enum [1, 2] -> [1, 2, 3]"]),
        (replace(TABLE, contract=_with_column("n", source="m")), ['~ n: source "n" -> "m"']),
        (replace(TABLE, contract=_with_column("n", pattern="ü")), ['~ n: pattern none -> "ü"']),
        (
            replace(TABLE, contract=_with_column("n", key_position=2)),
            ["~ key: id -> id, n"],
        ),
        (
            replace(TABLE, contract=replace(CONTRACT, columns=(*CONTRACT.columns, column("x", "date")))),
            ["+ column x (date)"],
        ),
        (replace(TABLE, contract=replace(CONTRACT, columns=CONTRACT.columns[:1])), ["- column n"]),
        (
            replace(TABLE, contract=replace(CONTRACT, row_rules=(RowRule("own", "n < 6", "too large"),))),
            ["- rule n < 5", "+ rule n < 6"],
        ),
    ],
)
def test_what_decides_rows_is_told_in_words(changed: Table, words: list[str]) -> None:
    before, after = TABLE.definition(), changed.definition()
    assert fingerprint(before) != fingerprint(after)
    assert differences(before, after) == words


def test_a_definition_that_is_no_longer_known_is_said_to_be() -> None:
    assert differences(None, TABLE.definition()) == ["~ made with a definition that is no longer known"]


@pytest.mark.parametrize(
    "text",
    [
        FUNCTION.replace("# twice", "# two times"),
        FUNCTION.replace('"""Doubles."""', '"""Twice as much."""'),
        FUNCTION.replace('"""What it is for."""', '"""Said better."""'),
        FUNCTION.replace("\n\n", "\n\n\n\n"),
        FUNCTION.replace('nw.col("n") * 2', "(nw.col('n')  *  2)"),
    ],
)
def test_comments_docstrings_and_spaces_of_a_refine_function_change_nothing(tmp_path: Path, text: str) -> None:
    assert text != FUNCTION
    first = replace(TABLE, function=_function(tmp_path, FUNCTION)).definition()
    assert replace(TABLE, function=_function(tmp_path, text)).definition() == first


@pytest.mark.parametrize(
    "text", [FUNCTION.replace("* 2", "* 3"), FUNCTION + "\nX = 1\n", FUNCTION.replace('"n"', '"m"')]
)
def test_code_of_a_refine_function_changes_the_definition(tmp_path: Path, text: str) -> None:
    first = replace(TABLE, function=_function(tmp_path, FUNCTION)).definition()
    other = replace(TABLE, function=_function(tmp_path, text)).definition()
    assert fingerprint(first) != fingerprint(other)
    assert differences(first, other) == ["~ refine function changed"]


def test_a_refine_function_that_comes_or_goes_changes_the_definition(tmp_path: Path) -> None:
    with_function = replace(TABLE, function=_function(tmp_path, FUNCTION)).definition()
    assert differences(TABLE.definition(), with_function) == ["~ refine function changed"]
