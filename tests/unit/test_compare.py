"""Two places of one project side by side, and an environment over the lake of its target."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from catchment.answers import Compared
from catchment.compare import compare
from catchment.connected import Connected
from catchment.contract import Contract
from catchment.errors import ConfigError
from catchment.inspect import query
from catchment.naming import TableName
from catchment.outlook import pending, steps
from catchment.project import Project
from catchment.run import run
from catchment.testing.fakes import column, contract, project

HERE, ALICE = "local", "local@alice"


def orders(**limits: Any) -> Contract:
    return contract("orders", column("id", key_position=1), column("n", "number", **limits), column("at", "date"))


SILVER: Mapping[str, Mapping[str, Any]] = {
    "orders": {"from": "src.rows", "mode": "merge", "latest_by": "at"},
    "lines": {"from": "src.rows"},
}


def small(folder: Path, **limits: Any) -> Project:
    lines = contract("lines", column("id"), column("n", "number"))
    return project(folder, [orders(**limits), lines], SILVER)


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    """Landed and refined outside of any environment."""
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows/1.csv").write_text("id,n,at\na,1,2026-01-01\nb,2,2026-01-01\nc,3,2026-01-01\na,4,2026-01-02\n")
    found = small(tmp_path)
    assert run(found, None, steps(found, None)) == "done"
    return found


def compared(found: Project, *tables: str, **rest: Any) -> dict[str, Compared]:
    return {table.table: table for table in compare(found, ALICE, HERE, tables, **rest)}


def test_an_environment_lands_nothing_and_makes_its_own_tables(shop: Project) -> None:
    assert [step.name for step in steps(shop, ALICE)] == ["silver.orders", "silver.lines"]
    before = {path for path in (shop.folder / "lake/silver").rglob("*") if path.is_file()}
    assert run(shop, ALICE, steps(shop, ALICE)) == "done"
    assert {path for path in (shop.folder / "lake/silver").rglob("*") if path.is_file()} == before
    assert all(table.is_equal for table in compared(shop).values())
    assert not any(one.is_new for one in pending(shop, ALICE, steps(shop, ALICE)))


def test_what_an_environment_has_not_made_is_read_from_its_target(shop: Project) -> None:
    stricter = small(shop.folder, maximum=2)
    chosen = steps(stricter, ALICE, ["silver.orders"])
    assert run(stricter, ALICE, chosen) == "done"
    counted = "SELECT (SELECT count(*) FROM silver.orders) AS o, (SELECT count(*) FROM silver.lines) AS l"
    assert query(stricter, ALICE, counted).read_all().to_pylist() == [{"o": 2, "l": 4}]
    assert query(stricter, HERE, counted).read_all().to_pylist() == [{"o": 3, "l": 4}]
    assert compared(stricter)["silver.lines"].is_equal


def test_an_environment_has_a_name(shop: Project) -> None:
    with pytest.raises(ConfigError, match="no name of an environment"):
        steps(shop, "local@Alice B")
    with pytest.raises(ConfigError, match="no target `nowhere`"):
        steps(shop, "nowhere@alice")
    assert Connected.of(shop, "@alice").target_name == ALICE


def test_an_environment_refuses_to_land(shop: Project) -> None:
    lake = Connected.of(shop, ALICE).lake
    with pytest.raises(ConfigError, match="does not land rows"):
        lake.create(TableName("bronze", "src__rows"), orders_schema(shop))


def orders_schema(found: Project) -> Any:
    table = Connected.of(found).lake.open(TableName("bronze", "src__rows"))
    assert table is not None
    return table.schema()


def test_rows_that_differ_are_counted_by_column_and_shown(shop: Project) -> None:
    (shop.folder / "silver").mkdir()
    (shop.folder / "silver/twice.py").write_text(
        "import narwhals as nw\n\n\ndef refine(rows):\n"
        "    return rows.filter(nw.col('id') != 'c').with_columns(n=nw.col('n') * 1.001)\n"
    )
    refined = {**SILVER, "orders": {**SILVER["orders"], "refine": "silver/twice.py"}}
    found = project(shop.folder, list(shop.contracts.values()), refined)
    assert run(found, ALICE, steps(found, ALICE)) == "done"
    table = compared(found, "silver.orders")["silver.orders"]
    assert (table.rows, table.key, table.only, table.differ) == ((2, 3), ("id",), (0, 1), 2)
    assert table.by_column == {"n": 2}
    first, *_, last = table.examples
    assert (first.one or {})["id"] == (first.other or {})["id"] == "a"
    assert (last.one, (last.other or {})["id"]) == (None, "c")
    near = compared(found, "silver.orders", tolerance=0.01)["silver.orders"]
    assert (near.differ, near.only, near.is_equal) == (0, (0, 1), False)


def test_rows_without_a_key_are_compared_as_often_as_they_are_there(shop: Project) -> None:
    assert run(shop, ALICE, steps(shop, ALICE)) == "done"
    (shop.folder / "rows/2.csv").write_text("id,n,at\na,1,2026-01-01\n")
    assert run(shop, HERE, steps(shop, HERE)) == "done"
    table = compared(shop, "silver.lines")["silver.lines"]
    assert (table.rows, table.only, table.differ, table.is_equal) == ((4, 5), (0, 1), 0, False)
    assert [(pair.one, pair.other) for pair in table.examples] == [(None, {"id": "a", "n": 1.0})]


def test_a_table_of_one_place_and_a_slip_in_a_name(shop: Project) -> None:
    chosen = steps(shop, ALICE, ["silver.orders"])
    assert run(shop, ALICE, chosen) == "done"
    assert set(compared(shop)) == {"silver.orders", "silver.lines"}
    with pytest.raises(ConfigError, match=r"neither place has silver\.ordrs"):
        compared(shop, "silver.ordrs")
