"""Our tests and macros in a user's project, run by the real dbt: each test passes good rows and finds bad ones."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catchment.errors import ConfigError
from catchment.events import CheckFailed, Event
from catchment.gold.build import build_gold, publish_gold
from catchment.gold.dbt import Dbt
from catchment.gold.modified import Modified, modified
from catchment.gold.pinned import Pinned
from catchment.naming import TableName
from catchment.records import Pin, Scan
from catchment.warehouses.duckdb import DuckDBWarehouse

GOOD = {
    "accepted_range": ["{min_value: 1, max_value: 3}", "{min_value: 0, inclusive: false}", "{max_value: 3}"],
    "not_null_share": ["{at_least: 0.75}"],
    "expression": ["{expression: '>= 1 or amount is null'}"],
}
BAD = {
    "accepted_range": ["{min_value: 1, max_value: 2}", "{min_value: 1, inclusive: false}", "{max_value: 2.5}"],
    "not_null_share": ["{at_least: 0.8}"],
    "expression": ["{expression: '>= 1'}"],
}
GOOD_TABLE = {
    "unique_combination": ["{columns: [day, shop]}"],
    "row_count_between": ["{min_value: 4, max_value: 4}", "{max_value: 5}"],
    "expression": ["{expression: 'shop is not null'}"],
}
BAD_TABLE = {
    "unique_combination": ["{columns: [day]}"],
    "row_count_between": ["{min_value: 5}", "{max_value: 3}"],
    "expression": ["{expression: 'amount > 1'}"],
}
RECENT = {"good": "{interval: 2}", "bad": "{interval: 1, datepart: hour}"}


def data_tests(indent: int, tests: dict[str, list[str]], verdict: str) -> str:
    lines = [
        f"- catchment.{test}: {{name: {verdict}_{test}_{indent}_{place}, arguments: {arguments},"
        " config: {severity: warn}}"
        for test, examples in tests.items()
        for place, arguments in enumerate(examples)
    ]
    return "\n".join(" " * indent + line for line in lines)


def properties() -> str:
    column = "\n".join([data_tests(10, GOOD, "good"), data_tests(10, BAD, "bad")])
    table = "\n".join([data_tests(6, GOOD_TABLE, "good"), data_tests(6, BAD_TABLE, "bad")])
    recent = "\n".join(data_tests(10, {"recency": [arguments]}, verdict) for verdict, arguments in RECENT.items())
    return f"""version: 2
models:
  - name: sales
    data_tests:
{table}
    columns:
      - name: amount
        data_tests:
{column}
      - name: sold_at
        data_tests:
{recent}
"""


SALES = """
select * from (values
  (date '2026-11-01', 'a', 1, {now} - interval 1 day), (date '2026-11-01', 'b', 2, {now} - interval 9 day),
  (date '2026-11-02', 'a', 3, null), (date '2026-11-02', 'b', null, null)) as t(day, shop, amount, sold_at)
"""


GROWING = """{{{{ config(materialized='incremental') }}}}
select day from {{{{ catchment.new_rows({0}, by='day') }}}} as changed"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    files = {
        "dbt_project.yml": "name: small\nversion: '1.0.0'\nmodels: {small: {+materialized: table}}\n",
        "models/sales.sql": SALES.format(now="current_timestamp"),
        "models/sales.yml": properties(),
        "models/days.sql": "{{ catchment.date_spine('2026-10-30', '2026-11-03') }}",
        "models/months.sql": "{{ catchment.date_spine('2026-01-01', \"date '2026-04-01'\", datepart='month') }}",
        "models/of_a_table.sql": GROWING.format("ref('sales')"),
        "models/joined.sql": "{{ config(materialized='view') }} select s.day from {{ source('silver', 'a') }} as s"
        " join {{ source('silver', 'b') }} as t on s.day = t.day",
        "models/of_a_join.sql": GROWING.format("ref('joined')"),
        "models/sources.yml": "sources: [{name: silver, tables: [{name: a}, {name: b}]}]",
        "models/keys.sql": "select {{ catchment.surrogate_key(['a', 'b']) }} as key, a, b"
        " from (values ('x', 1), (null, 1), ('', 1), ('x', null)) as t(a, b)",
    }
    for name, text in files.items():
        (folder / "gold" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "gold" / name).write_text(text)
    return folder


def tables(place: Path, version: int) -> dict[TableName, Pinned]:
    rows = pa.table({"day": [version]})
    pq.write_table(rows, place / f"{version}.parquet")
    scan = Scan([str(place / f"{version}.parquet")], rows.schema, rows=1)
    return {TableName("silver", name): Pinned(scan, Pin(version, version), ("day",)) for name in ("a", "b")}


@pytest.fixture(scope="module")
def told(place: Path) -> list[Event]:
    told: list[Event] = []
    before = sorted((place / "gold").rglob("*"))
    warehouse, dbt = DuckDBWarehouse(place / "warehouse", "small"), Dbt(place / "gold", place / "state")
    built = build_gold(warehouse, dbt, tables(place, 1), step="model:gold", tell=told.append)
    assert built is not None
    publish_gold(warehouse, built, step="publish:gold", tell=told.append)
    assert sorted((place / "gold").rglob("*")) == before
    return told


def rows(place: Path, sql: str) -> list[tuple[object, ...]]:
    found = DuckDBWarehouse(place / "warehouse", "small").query(sql).read_all()
    return [tuple(row.values()) for row in found.to_pylist()]


def test_every_test_finds_bad_rows_and_lets_good_ones_pass(told: list[Event]) -> None:
    failed = sorted(event.rule for event in told if isinstance(event, CheckFailed))
    expected = [f"bad_{test}_10_{n}" for test, examples in BAD.items() for n in range(len(examples))]
    expected += [f"bad_{test}_6_{n}" for test, examples in BAD_TABLE.items() for n in range(len(examples))]
    assert failed == sorted([*expected, "bad_recency_10_0"])


def test_a_date_spine_has_every_day_from_the_first_to_before_the_last(place: Path, told: list[Event]) -> None:
    days = rows(place, "select strftime(date_day, '%m-%d') from gold.days order by 1")
    assert days == [("10-30",), ("10-31",), ("11-01",), ("11-02",)]
    assert rows(place, "select month(date_month) from gold.months order by 1") == [(1,), (2,), (3,)]


def test_a_surrogate_key_tells_a_null_from_an_empty_text(place: Path, told: list[Event]) -> None:
    assert rows(place, "select count(distinct key), count(key) from gold.keys") == [(4, 4)]


def test_changes_that_cannot_be_told_are_refused_with_the_reason(place: Path, told: list[Event]) -> None:
    warehouse, dbt = DuckDBWarehouse(place / "warehouse", "small"), Dbt(place / "gold", place / "state")
    with pytest.raises(ConfigError) as raised:
        build_gold(warehouse, dbt, tables(place, 2), step="model:gold", tell=lambda _: None)
    assert "2 of 7 models could not be built" in raised.value.message
    assert "catchment.new_rows: main.sales is a table" in raised.value.message
    assert "it reads silver.a, silver.b; changes can be told of one silver table" in raised.value.message


def test_what_was_edited_since_the_served_build_is_named(place: Path, told: list[Event]) -> None:
    dbt = Dbt(place / "gold", place / "state")
    served = DuckDBWarehouse(place / "warehouse", "small").served()
    assert served is not None
    (place / "gold/models/days.sql").write_text("{{ catchment.date_spine('2026-10-30', '2026-11-04') }}")
    (place / "gold/models/more.sql").write_text("select 1 as one")
    assert modified(dbt, served) == [
        Modified("model", "days", "models/days.sql"),
        Modified("model", "more", "models/more.sql"),
    ]
