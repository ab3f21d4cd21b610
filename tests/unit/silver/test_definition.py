"""What a table's rows were made with: what changes it, and what does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from catchment.contract import Contract, Freshness, RowRule, SetRule
from catchment.silver.definition import Table, fingerprint
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


def test_what_the_mode_looks_at_is_heeded() -> None:
    assert TABLE.heeded() == {"id", "n"}
    deletes = replace(TABLE, latest_by=None, deleted_when="N > 3 and lower('x') = 'y'")
    assert deletes.heeded() == {"id", "n"}
    window = replace(TABLE, latest_by=None, event_time="n", slice=("a", "b"))
    assert window.heeded() == {"id", "n", "a", "b"}
