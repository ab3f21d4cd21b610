"""Every row of bronze is in silver or in quarantine, once, however it was cut into loads."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catchment.contract import Column, Contract, RowRule
from catchment.events import RowsLanded, RowsQuarantined, RowsRefined
from catchment.interfaces import Engine
from catchment.lake.delta import DeltaLake
from catchment.silver.definition import Table
from catchment.testing.fakes import Workbench, arrived, column, contract

_TEXTS = st.one_of(
    st.none(),
    st.sampled_from(
        ["", " ", "1", "-1", "2.9", "1e3", "nan", "x", "n/a", "2026-01-31", "2026-02-30", "31/01/2026", "{}"]
    ),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=6),
)

_COLUMNS = st.sampled_from(
    [
        column("v", "string", required=True),
        column("v", "integer", minimum=0),
        column("v", "integer", required=True, null_markers=("n/a",)),
        column("v", "number", maximum=10),
        column("v", "decimal", precision=4, scale=1),
        column("v", "boolean", required=True),
        column("v", "date", formats=("yyyy-MM-dd", "dd/MM/yyyy")),
        column("v", "timestamp", timezone="Europe/Lisbon"),
        column("v", "object"),
        column("v", "string", pattern="^[0-9]", max_length=3),
    ]
)


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    one=_COLUMNS,
    other=_COLUMNS,
    loads=st.lists(
        st.tuples(
            st.lists(st.tuples(_TEXTS, _TEXTS, st.booleans()), min_size=1, max_size=5),  # rows, defective or not
            st.booleans(),  # whether a refine comes after it
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_every_row_is_in_silver_or_in_quarantine_once_over_any_batching(
    engine: Engine[Any], one: Column, other: Column, loads: list[tuple[list[tuple[Any, Any, bool]], bool]]
) -> None:
    table = Table("t", ("src.rows",), _both(one, other), "append")
    with tempfile.TemporaryDirectory() as folder:
        bench = Workbench(DeltaLake(Path(folder) / "lake"), engine)
        for rows, refine in loads:
            bench.land(_arrived(rows))
            if refine:
                bench.refine(table)
        bench.refine(table)
        whole = Workbench(DeltaLake(Path(folder) / "whole"), engine)
        whole.land(_arrived([row for rows, _ in loads for row in rows]))
        whole.refine(table)
        for each in (bench, whole):
            _assert_accounted(each)
        assert _values(bench) == _values(whole)
        assert not bench.refine(table)


def _both(one: Column, other: Column) -> Contract:
    def renamed(found: Column, name: str) -> Column:
        return Column(**{**found.__dict__, "name": name, "source": name})

    return contract(
        "t",
        renamed(one, "a"),
        renamed(other, "b"),
        row_rules=(RowRule("own", "length(CAST(a AS VARCHAR)) < 5", "too long", column="a"),),
    )


def _arrived(rows: list[tuple[Any, Any, bool]]) -> pa.Table:
    columns = {
        "a": pa.array([row[0] for row in rows], pa.string()),
        "b": pa.array([row[1] for row in rows], pa.string()),
    }
    return arrived(columns, defects={place: "cannot be read" for place, row in enumerate(rows) if row[2]})


def _identity(row: dict[str, Any]) -> tuple[int, int, int]:
    return row["_shard"], row["_load"], row["_row"]


def _assert_accounted(bench: Workbench) -> None:
    bronze = Counter(map(_identity, bench.rows("bronze.src__rows")))
    silver = Counter(map(_identity, bench.rows("silver.t")))
    rejects = Counter(map(_identity, bench.standing_rejects("t")))
    assert silver + rejects == bronze
    assert max(bronze.values()) == 1
    refined = bench.heard.of(RowsRefined)
    assert sum(event.rows for event in refined) == bronze.total()
    parts = [event.written + event.rejected + event.superseded + event.unchanged + event.filtered for event in refined]
    assert [event.rows for event in refined] == parts
    assert sum(event.written for event in refined) == silver.total()
    assert sum(event.rows for event in bench.heard.of(RowsQuarantined)) == rejects.total()
    assert sum(event.rows for event in bench.heard.of(RowsLanded)) == bronze.total()
    assert all(row["reasons"] for row in bench.standing_rejects("t"))


def _values(bench: Workbench) -> tuple[Counter[str], Counter[str]]:
    silver = Counter(repr((row["a"], row["b"])) for row in bench.rows("silver.t"))
    return silver, Counter(repr(row["reasons"]) for row in bench.standing_rejects("t"))
