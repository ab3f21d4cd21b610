"""Names of tables and columns, and what is quoted."""

from __future__ import annotations

import string

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catchment import naming
from catchment.naming import TableName


@pytest.mark.parametrize("name", [TableName("bronze", "a__b"), TableName("silver", "sales"), TableName("gold", "x.y")])
def test_a_table_name_comes_back_from_its_text(name: TableName) -> None:
    assert TableName.parse(str(name)) == name


@pytest.mark.parametrize("text", ["", "sales", "silver", "silver.", ".sales", "tin.sales", "Silver.sales"])
def test_what_is_no_table_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a table name such as"):
        TableName.parse(text)


def test_tables_that_belong_together_have_names_that_do() -> None:
    assert str(naming.bronze_table("drops.sales")) == "bronze.drops__sales"
    assert str(naming.silver_table("sales")) == "silver.sales"
    assert str(naming.quarantine_table(naming.silver_table("sales"))) == "quarantine.sales"


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("a", True),
        ("sales_2026", True),
        ("a1", True),
        ("1a", False),
        ("_a", False),
        ("a__b", False),
        ("Sales", False),
        ("a-b", False),
        ("a b", False),
        ("ä", False),
        ("", False),
        ("a\n", False),
    ],
)
def test_a_good_name_is_good_in_sql_paths_and_topics(text: str, good: bool) -> None:
    assert naming.is_name(text) is good


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("id", "id"),
        (" id ", "id"),
        ("Order ID", "Order_ID"),
        ("a,b;c", "a_b_c"),
        ("price (EUR)", "price_EUR"),
        ("Größe", "Größe"),
        ("_load", "load"),
        ("_mine", "mine"),
        ("a=b", "a_b"),
        ("()", "column"),
        ("_", "column"),
    ],
)
def test_a_header_becomes_a_column_name(header: str, name: str) -> None:
    assert naming.column(header) == name


@pytest.mark.parametrize(
    ("headers", "names"),
    [
        (["id", "ID", "Id"], ["id", "ID_2", "Id_3"]),
        (["a", "a_2", "a"], ["a", "a_2", "a_3"]),
        (["", "a", " "], ["column_1", "a", "column_3"]),
        (["a b", "a_b"], ["a_b", "a_b_2"]),
    ],
)
def test_headers_become_names_that_differ(headers: list[str], names: list[str]) -> None:
    assert naming.columns(headers) == names


@given(st.lists(st.text(alphabet=string.ascii_letters + " _,;=()2\n", max_size=5), max_size=8))
def test_whatever_the_headers_names_differ_without_regard_to_case(headers: list[str]) -> None:
    names = naming.columns(headers)
    assert len(names) == len(headers)
    assert len({name.lower() for name in names}) == len(names)
    assert not any(name.startswith("_") or set(name) & set(" ,;{}()\n\t=") for name in names)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")))
def test_quotes_hold_whatever_stands_between_them(text: str) -> None:
    found = duckdb.sql(f"SELECT {naming.literal(text)} AS {naming.quoted('x' + text)}")
    assert found.columns == ["x" + text]
    assert found.fetchall() == [(text,)]


def test_a_slip_of_the_pen_gets_the_nearest_name() -> None:
    known = ["drops.orders", "drops.users", "shop_db.users"]
    assert naming.nearest("drops.order", known) == "drops.orders"
    assert naming.nearest("DROPS.USERS", known) == "drops.users"
    assert naming.nearest("xyzzy", known) is None
    assert naming.nearest("x", []) is None
    assert naming.did_you_mean("drops.order", known) == "did you mean `drops.orders`?"
    assert naming.did_you_mean("xyzzy", known) is None
