"""What a silver table's columns are made of, by contract, refine function and mode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from catchment.answers import TracedTable
from catchment.contract import Contract, Reference, RowRule
from catchment.errors import ConfigError
from catchment.interfaces import Engine
from catchment.silver.definition import LookedUp, Table
from catchment.silver.lineage import field_name, traced
from catchment.silver.refine import RefineFunction
from catchment.testing.fakes import column, contract

USERS = contract(
    "users",
    column("id", key_position=1),
    column("tier"),
    column("at", "timestamp"),
    column("op"),
)
ROWS = contract(
    "t",
    column("no", "integer", key_position=1, source="No"),
    column("id"),
    column("at", "timestamp"),
    column("amount", "integer", source="$.money.amount"),
    column("made", derived=True),
)


def made(table: TracedTable, name: str) -> list[str]:
    return [".".join(place) for found in table.columns if found.name == name for place in found.of]


def rows(table: TracedTable) -> set[str]:
    return {".".join(place) for place in table.rows}


def refined(
    tmp_path: Path, engine: Engine[Any], body: str, *, wanted: Contract = ROWS, as_of: str | None = "at", **rest: Any
) -> TracedTable:
    path = tmp_path / "t.py"
    path.write_text(f"import narwhals as nw\n\ndef refine(rows, users):\n    return {body}\n", encoding="utf-8")
    lookups = {"users": LookedUp(USERS, as_of=as_of, versions=as_of is not None)}
    function = RefineFunction("silver/t.py", path)
    return traced(Table("t", ("src.rows",), wanted, "merge", function=function, lookups=lookups, **rest), engine)


def test_a_column_is_made_of_the_field_that_its_contract_names_in_every_stream(engine: Engine[Any]) -> None:
    wanted = contract("t", column("no", source="Order No"), column("city", source="$.address.city"))
    table = traced(Table("t", ("a.one", "b.two"), wanted, "append"), engine)
    assert made(table, "no") == ["a.one.Order No", "b.two.Order No"]
    assert made(table, "city") == ["a.one.address.city", "b.two.address.city"]
    assert made(table, "_load") == []
    assert (table.name, table.kind, table.file) == ("silver.t", "silver", "contracts/t.odcs.yaml")


@pytest.mark.parametrize(
    ("source", "field"),
    [("country", "country"), ("$.a.b", "a.b"), ('$."Order No"', "Order No"), ("$", "$"), ("Price in $", "Price in $")],
)
def test_a_field_is_a_header_or_the_path_in_the_document(source: str, field: str) -> None:
    assert field_name(source) == field


def test_a_function_that_changes_a_column_and_makes_another_is_followed_through_its_expressions(
    tmp_path: Path, engine: Engine[Any]
) -> None:
    body = "rows.with_columns(id=nw.col('id').str.to_lowercase(), made=nw.col('no') + nw.col('amount'))"
    table = refined(tmp_path, engine, body)
    assert made(table, "made") == ["src.rows.money.amount", "src.rows.No"]
    assert made(table, "id") == ["src.rows.id"]
    assert {one.name: one.words for one in table.columns if one.words} == {"id": "silver/t.py", "made": "silver/t.py"}


@pytest.mark.parametrize("as_of", ["at", None])
def test_what_comes_from_a_look_up_is_made_of_the_looked_up_table(
    tmp_path: Path, engine: Engine[Any], as_of: str | None
) -> None:
    body = "rows.join(users.select('id', 'tier'), on='id', how='left').rename({'tier': 'made'})"
    table = refined(tmp_path, engine, body, as_of=as_of)
    assert made(table, "made") == ["silver.users.tier"]
    assert made(table, "no") == ["src.rows.No"]
    assert "silver.users.id" in rows(table)
    assert ("silver.users._valid_from" in rows(table)) == (as_of is not None)
    assert "silver.users.*" not in rows(table)  # a left join adds no row and takes none


def test_two_look_ups_of_one_table_and_a_calculation_after_them_are_followed(
    tmp_path: Path, engine: Engine[Any]
) -> None:
    body = (
        "(rows.join(users.select('id', 'tier'), on='id', how='left')"
        ".with_columns(made=nw.concat_str(nw.col('tier'), nw.col('id'))))"
    )
    assert made(refined(tmp_path, engine, body), "made") == ["src.rows.id", "silver.users.tier"]


def test_an_aggregated_look_up_is_made_of_what_is_aggregated(tmp_path: Path, engine: Engine[Any]) -> None:
    body = (
        "rows.join(users.group_by('id').agg(nw.col('tier').max().alias('best')), on='id', how='left')"
        ".rename({'best': 'made'})"
    )
    assert made(refined(tmp_path, engine, body, as_of=None), "made") == ["silver.users.tier"]


def test_filters_and_inner_joins_decide_rows(tmp_path: Path, engine: Engine[Any]) -> None:
    body = (
        "rows.filter(nw.col('amount') > 0).join(users.select('id', 'tier'), on='id', how='inner')"
        ".rename({'tier': 'made'})"
    )
    found = rows(refined(tmp_path, engine, body, as_of=None))
    assert {"src.rows.money.amount", "src.rows.id", "silver.users.id", "silver.users.*", "src.rows.*"} <= found


def test_the_mode_decides_rows_and_makes_columns_of_its_own(engine: Engine[Any]) -> None:
    table = traced(Table("users", ("src.users",), USERS, "history", latest_by="at", deleted_when="op = 'D'"), engine)
    assert made(table, "_valid_from") == ["silver.users.at"]
    assert made(table, "_valid_to") == ["silver.users.id", "silver.users.at", "silver.users.op"]
    assert made(table, "_hidden") == ["silver.users.op"]
    assert rows(table) == {"src.users.*", "src.users.id", "src.users.at", "src.users.op"}


def test_rules_and_references_of_the_contract_decide_rows(engine: Engine[Any]) -> None:
    wanted = contract(
        "t",
        column("no", required=True),
        column("low", "integer"),
        column("owner"),
        column("free"),
        row_rules=(RowRule("positive", "low > 0", "low is not positive"),),
        references=(Reference(("owner",), "users", ("id",)),),
    )
    found = rows(traced(Table("t", ("src.rows",), wanted, "append"), engine))
    assert found == {"src.rows.*", "src.rows.no", "src.rows.low", "src.rows.owner", "silver.users.id"}


def test_a_function_that_does_not_do_is_told_with_its_line(tmp_path: Path, engine: Engine[Any]) -> None:
    with pytest.raises(ConfigError, match=r"silver/t\.py:4"):
        refined(tmp_path, engine, "rows.with_columns(made=nw.col('nothing'))")
