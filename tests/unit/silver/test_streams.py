"""Several streams under one contract: each is taken as far as it has come, and rows keep the stream they came from."""

from __future__ import annotations

import pyarrow as pa
import pytest

from catchment.errors import ConfigError
from catchment.events import Noticed, RowsRefined
from catchment.records import Order
from catchment.silver.definition import Table
from catchment.testing.fakes import Workbench, arrived, column, contract

COLUMNS = (column("id", key_position=1), column("n", "integer", minimum=0), column("at", "timestamp"))
SHOPS = ("shop.east", "shop.west")
BOTH = Table("t", SHOPS, contract("t", *COLUMNS), "merge", latest_by="at")


def rows(*given: tuple[str, int, int], **more: list[str]) -> pa.Table:
    columns = {
        "id": [row[0] for row in given],
        "n": [str(row[1]) for row in given],
        "at": [f"2026-01-{row[2]:02}T00:00:00Z" for row in given],
        **more,
    }
    return arrived({name: pa.array(values, pa.string()) for name, values in columns.items()})


def found(bench: Workbench) -> list[tuple[str, int, str]]:
    listed = bench.rows("silver.t", "SELECT id, n, _stream FROM t ORDER BY id, n")
    return [(row["id"], row["n"], row["_stream"]) for row in listed]


def test_the_latest_of_a_key_counts_whichever_stream_it_came_from(bench: Workbench) -> None:
    bench.land(rows(("a", 1, 5), ("b", 1, 5)), feed="shop.east")
    bench.refine(BOTH)
    bench.land(rows(("a", 2, 6), ("b", 2, 4), ("c", -1, 1)), feed="shop.west")
    bench.refine(BOTH)
    assert found(bench) == [("a", 2, "shop.west"), ("b", 1, "shop.east")]
    assert [reject["_stream"] for reject in bench.standing_rejects("t")] == ["shop.west"]
    bench.refine(BOTH, Order("rebuild"))
    assert found(bench) == [("a", 2, "shop.west"), ("b", 1, "shop.east")]


def test_a_stream_that_comes_later_is_taken_from_its_beginning(bench: Workbench) -> None:
    bench.land(rows(("b", 2, 1)), feed="shop.west")
    bench.land(rows(("a", 1, 1)), feed="shop.east")
    one = Table("t", SHOPS[:1], BOTH.contract, "merge", latest_by="at")
    bench.refine(one)
    assert found(bench) == [("a", 1, "shop.east")]
    assert bench.refine(BOTH)
    assert found(bench) == [("a", 1, "shop.east"), ("b", 2, "shop.west")]
    assert not bench.refine(BOTH)


def test_a_backfill_of_one_stream_leaves_the_other_alone(bench: Workbench) -> None:
    bench.land(rows(("a", 1, 1)), feed="shop.east")
    bench.land(rows(("b", -5, 1)), feed="shop.west")
    bench.refine(BOTH)
    bench.refine(BOTH, Order("backfill", loads=(0, 1), stream="shop.east"))
    assert found(bench) == [("a", 1, "shop.east")]
    assert [reject["_stream"] for reject in bench.standing_rejects("t")] == ["shop.west"]


def test_what_one_stream_does_not_bring_is_null_and_told(bench: Workbench) -> None:
    wider = Table("t", SHOPS, contract("t", *COLUMNS, column("voucher")), "merge", latest_by="at")
    bench.land(rows(("a", 1, 1)), feed="shop.east")
    bench.land(rows(("b", 2, 1), voucher=["X"]), feed="shop.west")
    bench.refine(wider)
    listed = bench.rows("silver.t", "SELECT id, voucher FROM t ORDER BY id")
    assert [tuple(row.values()) for row in listed] == [("a", None), ("b", "X")]
    assert [event.message for event in bench.heard.of(Noticed)] == ["shop.east brings no voucher yet: null in silver.t"]
    assert sum(event.written for event in bench.heard.of(RowsRefined)) == 2


def test_a_slip_in_a_name_and_a_column_that_must_be_there_are_no_nulls(bench: Workbench) -> None:
    bench.land(rows(("a", 1, 1), vouchr=["X"]))
    for wrong in (column("voucher"), column("town", required=True)):
        table = Table("t", ("src.rows",), contract("t", *COLUMNS, wrong), "append")
        with pytest.raises(ConfigError, match="which bronze does not have"):
            bench.refine(table)
