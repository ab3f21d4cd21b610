"""Rows that are there under a new definition: renamed, cast, dropped, null where new; and what that would lose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from catchment.contract import Column
from catchment.interfaces import Engine
from catchment.records import bronze_schema
from catchment.silver.conform import arrow_type, conform
from catchment.silver.definition import Table
from catchment.silver.forward import carried
from catchment.silver.judge import parsed
from catchment.testing.fakes import column, contract

ID = column("id", key_position=1, required=True)


def table(*columns: Column) -> Table:
    return Table("t", ("src.rows",), contract("t", ID, *columns), "append")


def made(engine: Engine[Any], columns: Sequence[Column], texts: Sequence[str | None]) -> Any:
    """A frame of silver columns, read from texts as refine reads them."""
    schema = bronze_schema(["v"])
    rows = pa.table({"v": pa.array(texts, pa.string())})
    found = conform(contract("t", *columns), schema, derived=False)
    listed = ", ".join(f'{item.value} AS "{item.column.name}"' for item in found)
    return engine.query(parsed(f"SELECT {listed} FROM bronze"), {"bronze": engine.frame(rows)})


def values(engine: Engine[Any], sql: str, silver: Any) -> list[Any]:
    found = engine.fetch(parsed(f"SELECT {sql} AS x FROM silver"), {"silver": silver})
    return list(found.column("x").to_pylist())


def cast(engine: Engine[Any], old: Column, new: Column, texts: Sequence[str | None]) -> tuple[list[Any], list[bool]]:
    """(older values under the new type, which of them are lost)."""
    found = carried(table(old).definition(), table(new).definition())
    silver = made(engine, [old], texts)
    return values(engine, found.columns["v"], silver), values(engine, found.lost["v"], silver)


V = column("v")
WIDENED = [
    (column("v", "integer"), column("v", "number"), ["1", "-7", " 12 ", None]),
    (column("v", "integer"), column("v", "decimal", precision=22, scale=3), ["1", "9223372036854775807"]),
    (column("v", "decimal", precision=5, scale=2), column("v", "decimal", precision=9, scale=3), ["1.25", "-999.99"]),
    (column("v", "decimal", precision=5, scale=2), column("v", "number"), ["1.25", "-999.99", None]),
    (column("v", "date"), column("v", "timestamp", timezone="Europe/Berlin"), ["2026-01-31", "2026-07-01", None]),
]
NARROWED = [
    (column("v", "number"), column("v", "integer"), ["1", "2.0", "-3"], ["2.5", "1e300"]),
    (column("v", "decimal", precision=5, scale=2), column("v", "integer"), ["1", "2.00"], ["2.50"]),
    (
        column("v", "number"),
        column("v", "decimal", precision=5, scale=2),
        ["1.25", "999.99", "1.005"],
        ["1e9", "1e300"],
    ),
    (column("v", "decimal", precision=9, scale=2), column("v", "decimal", precision=5, scale=2), ["1"], ["123456"]),
    (V, column("v", "integer"), ["1", " 2 ", "2.0"], ["x", "2.5", "1_000"]),
    (V, column("v", "decimal", precision=5, scale=2), ["1.005"], ["x", "1e9"]),
    (V, column("v", "boolean"), ["yes", "0"], ["maybe"]),
    (V, column("v", "date", formats=("dd.MM.yyyy",)), ["31.01.2026"], ["31.02.2026", "2026-01-31"]),
    (V, column("v", "timestamp", timezone="Asia/Tokyo"), ["2026-01-31 08:15", "2026-01-31T08:15Z"], ["soon"]),
    (V, column("v", "object"), ['{"a": 1}'], ["[1]", "{"]),
    (V, column("v", "time"), ["08:15"], ["25:00"]),
    (column("v", "timestamp", timezone="Asia/Tokyo"), column("v", "date"), ["2026-01-31T00:00"], ["2026-01-31T09:00"]),
]
ids = [f"{case[0].type}-{case[1].type}" for case in WIDENED]


@pytest.mark.parametrize(("old", "new", "texts"), WIDENED, ids=ids)
def test_a_wider_type_holds_what_a_rebuild_would_give(
    engine: Engine[Any], old: Column, new: Column, texts: list[str | None]
) -> None:
    found, lost = cast(engine, old, new, texts)
    assert found == values(engine, "v", made(engine, [new], texts))
    assert not any(lost)


@pytest.mark.parametrize(
    ("old", "new", "fitting", "unfit"), NARROWED, ids=[f"{case[0].type}-{case[1].type}" for case in NARROWED]
)
def test_a_narrower_type_holds_what_fits_and_tells_what_does_not(
    engine: Engine[Any], old: Column, new: Column, fitting: list[str], unfit: list[str]
) -> None:
    found, lost = cast(engine, old, new, [*fitting, None, *unfit])
    assert found == values(engine, "v", made(engine, [new], [*fitting, None, *unfit]))
    assert lost == [False] * (len(fitting) + 1) + [True] * len(unfit)


def test_text_is_the_value_written_out(engine: Engine[Any]) -> None:
    assert cast(engine, column("v", "integer"), V, [" 007", None]) == (["7", None], [False, False])


def test_renamed_new_and_dropped_columns_are_carried(engine: Engine[Any]) -> None:
    before = table(column("a", source="v"), column("gone", source="w"))
    after = table(column("b", source="v"), column("day", "date"), column("price", "decimal", precision=5, scale=2))
    found = carried(before.definition(), after.definition())
    assert set(found.columns) == {"id", "b", "day", "price"}
    assert found.lost == {}
    silver = made(engine, [column("a", source="v"), column("id", source="v")], ["x"])
    listed = ", ".join(f'{sql} AS "{name}"' for name, sql in found.columns.items())
    rows = engine.fetch(parsed(f"SELECT {listed} FROM silver"), {"silver": silver})
    assert rows.to_pylist() == [{"id": "x", "b": "x", "day": None, "price": None}]
    for one in after.contract.columns:
        assert rows.schema.field(one.name).type == arrow_type(one)


def test_a_renamed_column_can_be_cast_in_a_second_edit_only() -> None:
    before, after = table(column("a", source="v")), table(column("b", "integer", source="v"))
    assert carried(before.definition(), after.definition()).columns["b"] == "CAST(NULL AS BIGINT)"


def test_an_attribute_that_this_version_does_not_know_is_left_aside() -> None:
    definition = table(V).definition()
    definition["contract"]["columns"]["v"]["of_later"] = 1
    assert carried(definition, table(replace(V, type="integer")).definition()).lost.keys() == {"v"}
