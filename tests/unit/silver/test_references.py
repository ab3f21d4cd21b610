"""A row that refers to one that is not there waits, is tried again when that may have come, and is rejected at last."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from catchment import naming
from catchment.answers import Rejected
from catchment.cli.quarantine import row_lines
from catchment.contract import Reference
from catchment.events import RowsRefined, RowsReplayed
from catchment.reading.kinds.postgres import PostgresSource
from catchment.reading.kinds.sql import TableStream
from catchment.records import Order
from catchment.silver.definition import Table
from catchment.silver.judge import parsed
from catchment.silver.refine import RefineFunction
from catchment.testing.fakes import Workbench, arrived, column, contract, project

CUSTOMERS = Table("customers", ("src.customers",), contract("customers", column("id", key_position=1)), "merge")
TO_CUSTOMERS = Reference(("customer",), "customers", ("id",))
ORDERS = Table(
    "t",
    ("src.rows",),
    contract(
        "t",
        column("id", key_position=1),
        column("customer"),
        column("n", "integer", minimum=0),
        references=(TO_CUSTOMERS,),
    ),
    "merge",
)


def orders(*rows: tuple[str, str | None] | tuple[str, str | None, str]) -> pa.Table:
    columns = {
        "id": [row[0] for row in rows],
        "customer": pa.array([row[1] for row in rows], pa.string()),
        "n": [row[2] if len(row) == 3 else "1" for row in rows],
    }
    return arrived(columns)


def customers(bench: Workbench, *ids: str, table: Table = CUSTOMERS) -> None:
    bench.land(arrived({"id": list(ids)}), feed="src.customers")
    bench.refine(table)


def ids(bench: Workbench, name: str = "silver.t") -> list[str]:
    return sorted(row["id"] for row in bench.rows(name))


def standing(bench: Workbench, name: str = "t") -> list[tuple[str, list[tuple[str | None, str, str, str | None]]]]:
    """Status and reasons of the rows in quarantine that count, by where they stand in bronze."""
    silver = bench.lake.open(naming.silver_table(name))
    rejects = bench.lake.open(naming.TableName("quarantine", name))
    if silver is None or rejects is None:
        return []
    progress = silver.progress()
    scan = replace(rejects.scan(), judged=tuple(progress.judged), waiting=tuple(progress.waiting))
    rows = bench.engine.fetch(parsed("SELECT * FROM q ORDER BY _load, _row"), {"q": bench.engine.frame(scan)})
    return [(row["status"], [tuple(reason.values()) for reason in row["reasons"]]) for row in rows.to_pylist()]


def generation(bench: Workbench, name: str = "silver.t") -> int:
    table = bench.lake.open(naming.TableName.parse(name))
    assert table is not None
    return table.pin.generation


def balanced(bench: Workbench) -> RowsRefined:
    """The last refine, whose rows add up."""
    told = [event for event in bench.heard.of(RowsRefined) if event.table == "silver.t"][-1]
    assert told.rows == told.written + told.rejected + told.waiting + told.superseded + told.unchanged + told.filtered
    return told


MISSING = ("customer", "reference", "is not in silver.customers", "c2")


def test_a_row_whose_customer_is_not_there_waits(bench: Workbench) -> None:
    customers(bench, "c1")
    bench.land(orders(("a", "c1"), ("b", "c2"), ("c", None)))
    bench.refine(ORDERS)
    assert ids(bench) == ["a", "c"]  # null refers to nothing
    assert standing(bench) == [("waiting", [MISSING])]
    told = balanced(bench)
    assert (told.rows, told.written, told.waiting, told.rejected) == (3, 2, 1, 0)


def test_a_row_waits_where_there_is_no_such_table_yet(bench: Workbench) -> None:
    bench.land(orders(("a", "c1")))
    bench.refine(ORDERS)
    assert [status for status, _ in standing(bench)] == ["waiting"]
    customers(bench, "c1")
    assert bench.refine(ORDERS)
    assert ids(bench) == ["a"]
    assert standing(bench) == []


def test_it_is_tried_again_when_the_other_table_changed_and_only_then(bench: Workbench) -> None:
    customers(bench, "c1")
    bench.land(orders(("a", "c2"), ("b", "c3")))
    bench.refine(ORDERS)
    before = generation(bench)
    assert not bench.refine(ORDERS)
    assert generation(bench) == before
    customers(bench, "c2")
    assert bench.refine(ORDERS)
    assert ids(bench) == ["a"]
    assert [reasons for _, reasons in standing(bench)] == [[("customer", "reference", MISSING[2], "c3")]]
    told = balanced(bench)
    assert (told.rows, told.written, told.waiting) == (2, 1, 1)
    after = generation(bench)
    assert not bench.refine(ORDERS)
    assert generation(bench) == after
    customers(bench, "c3")
    bench.refine(ORDERS)
    assert ids(bench) == ["a", "b"]
    assert standing(bench) == []
    assert not bench.refine(ORDERS)


def test_rows_that_land_meanwhile_go_in_beside_those_that_wait(bench: Workbench) -> None:
    customers(bench, "c1")
    bench.land(orders(("a", "c2")))
    bench.refine(ORDERS)
    bench.land(orders(("b", "c1"), ("c", "c3")))
    bench.refine(ORDERS)
    assert ids(bench) == ["b"]
    assert [status for status, _ in standing(bench)] == ["waiting", "waiting"]
    customers(bench, "c2")
    bench.land(orders(("d", "c2")))
    bench.refine(ORDERS)
    assert ids(bench) == ["a", "b", "d"]
    assert [status for status, _ in standing(bench)] == ["waiting"]
    told = balanced(bench)
    assert (told.rows, told.written, told.waiting) == (3, 2, 1)


def test_a_row_that_waited_never_wins_over_a_newer_one_of_its_key(bench: Workbench) -> None:
    customers(bench, "c1")
    bench.land(orders(("a", "c2", "1")))
    bench.refine(ORDERS)
    bench.land(orders(("a", "c1", "2")))
    bench.refine(ORDERS)
    customers(bench, "c2")
    bench.refine(ORDERS)
    assert [(row["id"], row["n"]) for row in bench.rows("silver.t")] == [("a", 2)]
    assert standing(bench) == []


def test_who_waits_long_enough_is_rejected(bench: Workbench) -> None:
    customers(bench, "c1")
    bench.land(orders(("a", "c2")))
    bench.refine(ORDERS)
    patience = replace(ORDERS, wait_s=0)
    assert bench.refine(patience)  # though nothing is new
    assert standing(bench) == [("rejected", [MISSING])]
    assert not bench.refine(patience)
    customers(bench, "c2")
    assert not bench.refine(patience)
    assert ids(bench) == []
    assert bench.refine(patience, Order("replay"))  # nothing is lost
    assert ids(bench) == ["a"]
    assert standing(bench) == []


def test_with_no_time_to_wait_a_missing_reference_is_a_fault_at_once(bench: Workbench) -> None:
    bench.land(orders(("a", "c2")))
    bench.refine(replace(ORDERS, wait_s=0))
    assert standing(bench) == [("rejected", [MISSING])]
    told = balanced(bench)
    assert (told.rejected, told.waiting) == (1, 0)


def test_replay_tries_rows_that_wait_as_well(bench: Workbench) -> None:
    bench.land(orders(("a", "c1"), ("b", "c2"), ("c", "c1", "-1")))
    bench.refine(ORDERS)
    customers(bench, "c1")
    bench.refine(ORDERS, Order("replay"))
    assert ids(bench) == ["a"]
    assert [(status, reasons[0][1]) for status, reasons in standing(bench)] == [
        ("waiting", "reference"),
        ("rejected", "minimum"),
    ]
    told = bench.heard.of(RowsReplayed)[-1]
    assert (told.tried, told.passed, told.rejected, told.waiting) == (3, 1, 1, 1)
    assert not bench.refine(ORDERS)
    customers(bench, "c2")
    assert bench.refine(ORDERS)
    assert ids(bench) == ["a", "b"]
    assert [status for status, _ in standing(bench)] == ["rejected"]


def test_a_row_that_breaks_a_rule_is_rejected_and_waits_for_nothing(bench: Workbench) -> None:
    bench.land(orders(("a", "c9", "-1")))
    bench.refine(ORDERS)
    ((status, reasons),) = standing(bench)
    assert (status, [reason[1] for reason in reasons]) == ("rejected", ["minimum"])
    told = balanced(bench)
    assert (told.rejected, told.waiting) == (1, 0)


def test_every_reference_that_is_missing_is_a_reason(bench: Workbench) -> None:
    two = contract(
        "t",
        column("id", key_position=1),
        column("customer"),
        column("shop"),
        references=(TO_CUSTOMERS, Reference(("shop",), "shops", ("id",))),
    )
    table = replace(ORDERS, contract=two)
    bench.land(arrived({"id": ["a", "b"], "customer": ["c1", "c2"], "shop": ["s1", "s2"]}))
    bench.refine(table)
    assert [[reason[0] for reason in reasons] for _, reasons in standing(bench)] == [["customer", "shop"]] * 2
    customers(bench, "c1")
    bench.refine(table)
    assert [[reason[0] for reason in reasons] for _, reasons in standing(bench)] == [["shop"], ["customer", "shop"]]


def test_a_reference_of_several_columns_names_them_together(bench: Workbench) -> None:
    wanted = contract("stock", column("shop", key_position=1), column("product", "integer", key_position=2))
    stock = Table("stock", ("src.stock",), wanted, "merge")
    table = replace(
        ORDERS,
        contract=contract(
            "t",
            column("id", key_position=1),
            column("at"),
            column("what", "integer"),
            references=(Reference(("at", "what"), "stock", ("shop", "product")),),
        ),
    )
    bench.land(arrived({"shop": ["s1", "s2"], "product": ["1", "2"]}), feed="src.stock")
    bench.refine(stock)
    rows = {"id": ["a", "b", "c", "d"], "at": ["s1", "s1", None, "s9"], "what": ["1", "2", "7", None]}
    bench.land(arrived({name: pa.array(values, pa.string()) for name, values in rows.items()}))
    bench.refine(table)
    assert ids(bench) == ["a", "c", "d"]
    assert standing(bench) == [
        ("waiting", [(None, "reference", "at, what: is not in silver.stock (shop, product)", "s1, 2")])
    ]


SELF = Table(
    "t",
    ("src.rows",),
    contract(
        "t",
        column("id", key_position=1),
        column("parent"),
        column("n", "integer", minimum=0),
        references=(Reference(("parent",), "t", ("id",)),),
    ),
    "merge",
)


def people(*rows: tuple[str, str | None, str]) -> pa.Table:
    table = orders(*rows)
    return table.rename_columns([name if name != "customer" else "parent" for name in table.schema.names])


def test_rows_of_one_load_refer_to_each_other(bench: Workbench) -> None:
    bench.land(people(("child", "parent", "1"), ("parent", "root", "1"), ("root", None, "1"), ("own", "own", "1")))
    bench.refine(SELF)
    assert ids(bench) == ["child", "own", "parent", "root"]


def test_a_row_waits_for_one_of_its_own_table_that_comes_later(bench: Workbench) -> None:
    bench.land(people(("child", "parent", "1")))
    bench.refine(SELF)
    assert ids(bench) == []
    bench.land(people(("other", None, "1")))
    bench.refine(SELF)
    assert [status for status, _ in standing(bench)] == ["waiting"]
    bench.land(people(("parent", None, "1")))
    bench.refine(SELF)
    bench.refine(SELF)
    assert ids(bench) == ["child", "other", "parent"]
    assert standing(bench) == []
    assert not bench.refine(SELF)


def test_a_row_does_not_refer_to_one_that_is_rejected(bench: Workbench) -> None:
    bench.land(people(("child", "parent", "1"), ("parent", None, "-1")))
    bench.refine(SELF)
    assert ids(bench) == []
    assert [status for status, _ in standing(bench)] == ["waiting", "rejected"]


@pytest.mark.parametrize("at_once", [True, False])
def test_a_row_waits_with_the_one_that_it_refers_to_however_long_the_chain(bench: Workbench, at_once: bool) -> None:
    chain = [("d", "c", "1"), ("c", "b", "1"), ("b", "a", "1"), ("z", "y", "1"), ("y", None, "1")]
    for part in [chain] if at_once else [[row] for row in chain]:
        bench.land(people(*part))
        bench.refine(SELF)
    assert ids(bench) == ["y", "z"]
    told = [(status, reasons[0][3]) for status, reasons in standing(bench)]
    assert told == [("waiting", "c"), ("waiting", "b"), ("waiting", "a")]
    bench.land(people(("a", None, "1")))
    bench.refine(SELF)
    assert ids(bench) == ["a", "b", "c", "d", "y", "z"]
    assert standing(bench) == []


def test_rows_of_two_streams_refer_to_each_other(bench: Workbench) -> None:
    both = replace(SELF, streams=("src.rows", "src.more"))
    bench.land(people(("child", "parent", "1"), ("root", None, "1")))
    bench.land(people(("parent", "root", "1")), feed="src.more")
    bench.refine(both)
    assert ids(bench) == ["child", "parent", "root"]


def test_a_table_made_anew_refers_to_nothing_that_it_held_before(bench: Workbench) -> None:
    bench.land(people(("parent", None, "20")), people(("child", "parent", "1")))
    bench.refine(SELF)
    assert ids(bench) == ["child", "parent"]
    narrow = replace(SELF.contract, columns=(*SELF.contract.columns[:2], column("n", "integer", maximum=9)))
    bench.refine(replace(SELF, contract=narrow), Order("rebuild"))
    assert ids(bench) == []
    assert [status for status, _ in standing(bench)] == ["rejected", "waiting"]


def test_any_version_of_a_history_can_be_referred_to_and_hidden_ones_cannot(bench: Workbench) -> None:
    kept = contract("customers", column("id", key_position=1), column("at", "timestamp"), column("op"))
    history = Table("customers", ("src.customers",), kept, "history", latest_by="at", deleted_when="op = 'D'")

    def told(*rows: tuple[str, int, str]) -> None:
        days = [f"2026-01-{row[1]:02}T00:00:00Z" for row in rows]
        bench.land(
            arrived({"id": [row[0] for row in rows], "at": days, "op": [row[2] for row in rows]}), feed="src.customers"
        )
        bench.refine(history)

    told(("c1", 1, "U"), ("c1", 2, "U"), ("c2", 1, "U"), ("c2", 2, "D"), ("c3", 1, "D"))
    bench.land(orders(("a", "c1"), ("b", "c2"), ("c", "c3")))
    bench.refine(ORDERS)
    assert ids(bench) == ["a", "b"]
    assert [reasons[0][3] for _, reasons in standing(bench)] == ["c3"]
    told(("c3", 3, "U"))
    bench.refine(ORDERS)
    assert ids(bench) == ["a", "b", "c"]


def test_rows_that_a_function_made_wait_with_the_row_they_were_made_of(bench: Workbench, tmp_path: Path) -> None:
    path = tmp_path / "t.py"
    body = "rows.with_columns(customer=nw.col('all').str.split('-')).explode('customer')"
    path.write_text(f"import narwhals as nw\n\n\ndef refine(rows):\n    return {body}\n", encoding="utf-8")
    made = contract(
        "t",
        column("id", key_position=1),
        column("all"),
        column("customer", key_position=2, derived=True),
        references=(TO_CUSTOMERS,),
    )
    table = Table("t", ("src.rows",), made, "merge", function=RefineFunction("silver/t.py", path))
    customers(bench, "c1", "c3")
    bench.land(arrived({"id": ["a", "b"], "all": ["c1-c2", "c3"]}))
    bench.refine(table)
    pairs = "SELECT id, customer FROM t ORDER BY ALL"
    assert [tuple(row.values()) for row in bench.rows("silver.t", pairs)] == [("a", "c1"), ("b", "c3")]
    assert [(status, reasons[0][3]) for status, reasons in standing(bench)] == [("waiting", "c2")]
    customers(bench, "c2")
    bench.refine(table)
    assert [tuple(row.values()) for row in bench.rows("silver.t", pairs)] == [("a", "c1"), ("a", "c2"), ("b", "c3")]
    assert standing(bench) == []
    assert not bench.refine(table)


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_however_rows_arrive_the_table_becomes_what_one_run_over_all_gives(bench: Workbench, mode: str) -> None:
    table = replace(ORDERS, mode=mode)
    landed: list[tuple[str, str | None]] = [("a", "c1"), ("b", "c2"), ("c", "c3"), ("d", None), ("e", "c1")]
    for place, row in enumerate(landed):
        bench.land(orders(row))
        bench.refine(table)
        if place in (1, 3):
            customers(bench, f"c{place}")
            bench.refine(table)
    customers(bench, "c2")
    bench.refine(table)
    before: Any = sorted((row["id"], row["_load"], row["_row"]) for row in bench.rows("silver.t"))
    bench.refine(table, Order("rebuild"))
    assert sorted((row["id"], row["_load"], row["_row"]) for row in bench.rows("silver.t")) == before
    assert [row[0] for row in before] == ["a", "b", "c", "d", "e"]
    assert standing(bench) == []


def test_what_waits_is_shown_with_what_it_waits_for() -> None:
    reasons = (MISSING, (None, "reference", "at, what: is not in silver.stock (shop, product)", "s1, 2"))
    row = Rejected("silver.t", "rows/1.csv", 0, 1, 0, 2, reasons, '{"id": "b"}', "waiting")
    found = project(Path("/nowhere"), [ORDERS.contract], {"t": {"from": "src.rows", "mode": "merge"}})
    assert row_lines(found, row) == [
        "id b  from src.rows, file 1.csv, byte 0, waiting",
        '  customer: "c2" is not in silver.customers',
        '  at, what: "s1, 2" is not in silver.stock (shop, product)',
        '  raw: {"id": "b"}',
    ]


def test_a_row_that_came_from_no_file_is_told_by_its_place_in_the_stream() -> None:
    reasons = ((None, "reference", "at, what: is not in silver.stock (shop, product)", "s1, 2"),)
    row = Rejected("silver.t", "db.example:5432/shop/public.t", 12, 1, 12, 2, reasons, "{}", "rejected")
    found = project(Path("/nowhere"), [], {"t": {"from": "db.rows"}})
    streams = {"rows": TableStream(table="public.t")}
    source = PostgresSource(type="postgres", url="${env:DB_URL}", streams=streams)
    assert row_lines(replace(found, sources={"db": source}), row)[0] == "from db.rows, row 12"


def test_a_row_that_fits_no_column_is_named_by_its_key_all_the_same() -> None:
    raw = '{"_raw":"{\\"id\\": \\"b\\", \\"total\\": \\"abc\\"}"}'
    row = Rejected("silver.t", "rows/1.csv", 0, 1, 0, 2, ((None, "defect", "total: no number", None),), raw, "rejected")
    found = project(Path("/nowhere"), [ORDERS.contract], {"t": {"from": "src.rows", "mode": "merge"}})
    assert row_lines(found, row) == [
        "id b  from src.rows, file 1.csv, byte 0",
        "  total: no number",
        '  raw: {"id": "b", "total": "abc"}',
    ]
