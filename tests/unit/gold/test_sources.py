from __future__ import annotations

from pathlib import Path

import pytest

from catchment.gold.dbt import Dbt
from catchment.gold.sources import Sources, sources


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    (tmp_path / "dbt_project.yml").write_text("name: tiny\nvars: {landing: raw_data}\n")
    return tmp_path


def found(folder: Path, *silver: str, **named: str) -> Sources:
    named = {name.replace("__", "."): table for name, table in named.items()}
    return sources(Dbt(folder, folder / "state", sources=named), silver)


def read(folder: Path, source: str, table: str) -> None:
    (folder / "models" / f"{source}_{table}.sql").write_text(f"from {{{{ source('{source}', '{table}') }}}}")


def declare(folder: Path, text: str) -> None:
    (folder / "models" / "sources.yml").write_text(f"version: 2\nsources:\n{text}")


def test_silver_tables_are_found_in_sql_python_and_yaml(folder: Path) -> None:
    (folder / "models" / "a.sql").write_text("select * from {{ source('silver', 'sales') }}")
    (folder / "models" / "b.sql").write_text('from {{source( "silver" ,"users" )}}')
    (folder / "models" / "c.py").write_text('def model(dbt, session):\n    return dbt.source("silver", "events")\n')
    (folder / "models" / "d.yml").write_text("to: source('silver', 'products')")
    (folder / "models" / "e.sql").write_text("{# source('silver', 'old') #} select 1")
    (folder / "models" / "f.md").write_text("source('silver', 'told_of')")
    assert found(folder) == Sources(frozenset({"sales", "users", "events", "products"}))


def test_a_source_of_another_name_is_the_silver_table_called_as_its_table(folder: Path) -> None:
    read(folder, "shop", "orders")
    declare(folder, "  - {name: shop, schema: raw, tables: [{name: orders}]}")
    assert found(folder, "orders") == Sources(frozenset({"orders"}), {"orders": frozenset({"raw.orders"})})


@pytest.mark.parametrize("silver", ["order_lines", "ORDERS_V2", "shop_order_lines"])
def test_or_as_its_identifier_or_as_source_and_table_joined(folder: Path, silver: str) -> None:
    read(folder, "shop", "order_lines")
    declare(folder, "  - {name: shop, tables: [{name: order_lines, identifier: ORDERS_V2}]}")
    assert found(folder, silver).also == {silver: frozenset({"shop.ORDERS_V2"})}


def test_what_catchment_yaml_says_goes_first(folder: Path) -> None:
    read(folder, "shop", "orders")
    assert found(folder, "orders", "sales", shop__orders="silver.sales").tables == {"sales"}
    assert found(folder, "orders", "sales", shop__orders="nothing").unknown == {"shop.orders": "models/shop_orders.sql"}


@pytest.mark.parametrize(
    ("schema", "asked"),
    [
        ("\"{{ var('landing') }}\"", "raw_data"),
        ("\"{{ var('nowhere', 'lake') }}\"", "lake"),
        ("\"{{ env_var('NO_SUCH_NAME', 'env') }}_x\"", "env_x"),
        ('"{{ target.schema }}"', "main"),
    ],
)
def test_a_schema_that_jinja_writes_is_understood_where_it_is_simple(folder: Path, schema: str, asked: str) -> None:
    read(folder, "shop", "orders")
    declare(folder, f"  - name: shop\n    schema: {schema}\n    tables: [{{name: orders}}]")
    assert found(folder, "orders").also == {"orders": frozenset({f"{asked}.orders"})}


def test_a_source_that_is_no_silver_table_is_told_with_its_file(folder: Path) -> None:
    read(folder, "shop", "orders")
    assert found(folder, "users") == Sources(frozenset(), {}, {"shop.orders": "models/shop_orders.sql"})


@pytest.mark.parametrize("key", ["meta: {external_location: x}", "config: {meta: {external_location: x}}"])
def test_a_source_that_lies_elsewhere_is_dbts_own_affair(folder: Path, key: str) -> None:
    read(folder, "shop", "orders")
    declare(folder, f"  - {{name: shop, {key}, tables: [{{name: orders}}]}}")
    assert found(folder, "users") == Sources(frozenset())
