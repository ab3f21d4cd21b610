"""Cases that an attacker found: columns called as our SQL calls its own, arrivals that bring nothing good, the ends of
time, and rows whose place is told by rows that silver does not hold."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from catchment import naming
from catchment.errors import ConfigError
from catchment.records import Order
from catchment.silver.definition import Table
from catchment.silver.refine import RefineFunction
from catchment.testing.fakes import Workbench, arrived, column, contract

FROM = ("src.rows",)

# What queries of ours call columns, tables and aliases, or once did.
TAKEN = [
    "moment", "gone", "why", "landed", "settled", "said", "run", "begins", "file", "place", "rows", "survivors",
    "present", "fresh", "keys", "good", "told", "arrivals", "whole", "known", "earlier", "changed", "before", "base",
    "bronze", "judged", "status", "reasons", "raw", "standing", "group", "f", "to_0",
]  # fmt: skip

# By mode: how it is declared, and (key, number, load) of what three arrivals leave.
MODES: dict[str, tuple[dict[str, Any], list[tuple[str, int, int]]]] = {
    "append": ({}, [("a", 1, 1), ("c", 2, 1), ("a", 2, 2), ("b", 3, 2), ("a", 2, 3), ("b", 3, 3)]),
    "merge": ({"latest_by": "tsx", "deleted_when": "opx = 'D'"}, [("c", 2, 1), ("a", 2, 3)]),
    "history": ({"latest_by": "tsx", "deleted_when": "opx = 'D'"}, [("a", 1, 1), ("c", 2, 1), ("a", 2, 3)]),
    "window": (
        {"event_time": "tsx", "lateness_s": 3600},
        [("a", 1, 1), ("c", 2, 1), ("a", 2, 2), ("b", 3, 2)],
    ),
    "delete_insert": ({}, [("c", 2, 1), ("a", 2, 3), ("b", 3, 3)]),
    "replace": ({"full": True}, [("a", 2, 3), ("b", 3, 3)]),
    "whole merge": ({"full": True}, [("a", 2, 2), ("b", 3, 2)]),
    "whole history": ({"full": True}, [("a", 1, 1), ("c", 2, 1), ("a", 2, 2), ("b", 3, 2)]),
}
_ARRIVALS = (
    [("a", 1, "U", 1), ("b", -1, "U", 2), ("c", 2, "U", 2)],
    [("a", 2, "U", 3), ("b", 3, "D", 2)],
    [("a", 2, "U", 3), ("b", 3, "D", 2), ("c", -4, "U", 5)],
)


def _landed(rows: list[tuple[str, int, str, int]]) -> pa.Table:
    columns = {
        **{name: [row[0] for row in rows] for name in TAKEN},
        "reason": [str(row[1]) for row in rows],
        "opx": [row[2] for row in rows],
        "tsx": [f"2026-01-01T{row[3]:02}:00:00Z" for row in rows],
    }
    return arrived({name: pa.array(values, pa.string()) for name, values in columns.items()})


@pytest.mark.parametrize("mode", list(MODES))
def test_columns_may_be_called_what_our_queries_call_theirs(bench: Workbench, mode: str) -> None:
    keyed = [column(name, key_position=place) for place, name in enumerate(TAKEN, start=1)]
    made = contract("t", *keyed, column("reason", "integer", minimum=0), column("opx"), column("tsx", "timestamp"))
    keyword, expected = MODES[mode]
    if mode == "delete_insert":
        keyword = {"slice": tuple(TAKEN)}
    table = Table("t", FROM, made, mode.removeprefix("whole "), **keyword)
    for rows in _ARRIVALS:
        bench.land(_landed(rows))
        bench.refine(table)
    for order in (None, Order("backfill")):
        bench.refine(table, order)
        found = bench.rows("silver.t", "SELECT * FROM t ORDER BY _load, _row")
        for key in TAKEN:
            assert [(row[key], row["reason"], row["_load"]) for row in found] == expected
        rejected = [
            (row["_load"], [reason["column"] for reason in row["reasons"]]) for row in bench.standing_rejects("t")
        ]
        assert sorted(rejected) == [(1, ["reason"]), (3, ["reason"])]


# Streams that arrive whole.

PLAIN = contract("t", column("id", key_position=1), column("n", "integer", minimum=0))


def _whole(*rows: tuple[str | None, int]) -> pa.Table:
    columns = {"id": [row[0] for row in rows], "n": [str(row[1]) for row in rows]}
    return arrived({name: pa.array(values, pa.string()) for name, values in columns.items()})


def _found(bench: Workbench) -> list[tuple[str, int, int]]:
    return sorted((row["id"], row["n"], row["_load"]) for row in bench.rows("silver.t"))


@pytest.mark.parametrize(("mode", "slice_"), [("replace", ()), ("delete_insert", ("id",))])
def test_an_arrival_of_which_nothing_is_good_doubles_nothing(
    bench: Workbench, mode: str, slice_: tuple[str, ...]
) -> None:
    table = Table("t", FROM, PLAIN, mode, full=True, slice=slice_)
    for rows in ([("a", 1), ("b", 1)], [("a", -1), ("b", -1)]):
        bench.land(_whole(*rows))
        bench.refine(table)
    assert _found(bench) == [("a", 1, 1), ("b", 1, 1)]
    assert len(bench.standing_rejects("t")) == 2


@pytest.mark.parametrize("mode", ["merge", "history"])
@pytest.mark.parametrize("one_by_one", [True, False])
def test_what_a_first_broken_arrival_brought_goes_with_the_first_whole_one(
    bench: Workbench, mode: str, one_by_one: bool
) -> None:
    table = Table("t", FROM, PLAIN, mode, full=True)
    for rows in ([(None, 1), ("a", 1), ("b", 1)], [(None, 1), ("a", 1)], [("a", 1)], [("a", 1)]):
        bench.land(_whole(*rows))
        if one_by_one:
            bench.refine(table)
    bench.refine(table)
    open_ = "_valid_to IS NULL" if mode == "history" else "TRUE"
    found = bench.rows("silver.t", f"SELECT id, n, _load FROM t WHERE {open_}")
    assert found == [{"id": "a", "n": 1, "_load": 1}]


def test_an_arrival_of_which_a_function_leaves_out_every_row_deletes_all_keys(bench: Workbench, tmp_path: Path) -> None:
    path = tmp_path / "t.py"
    path.write_text("import narwhals as nw\n\n\ndef refine(rows):\n    return rows.filter(nw.col('n') < 5)\n")
    table = Table("t", FROM, PLAIN, "merge", full=True, function=RefineFunction("silver/t.py", path))
    for rows, left in (
        ([("a", 1), ("b", 2)], ["a", "b"]),
        ([("a", 7), ("b", 8)], []),
        ([("a", 1)], ["a"]),
        ([(None, 1), ("b", 9)], ["a"]),
    ):
        bench.land(_whole(*rows))
        bench.refine(table)
        assert [row["id"] for row in bench.rows("silver.t")] == left


# The ends of time.

_TIMED = contract("t", column("id"), column("at", "timestamp", key_position=1), column("n", "integer"))
_ENDS = (
    "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:00:00-05:00",  # in the year 10000 in UTC
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+05:00",
    "2026-01-01T00:00:00Z",
)


@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize("ends", [_ENDS, _ENDS[::4]])
def test_keys_may_lie_at_the_ends_of_time(
    bench: Workbench, tmp_path: Path, ends: tuple[str, ...], compacted: bool
) -> None:
    table = Table("t", FROM, _TIMED, "merge")
    for number in ("1", "2", "3"):
        bench.land(arrived({"id": ["x"] * len(ends), "at": list(ends), "n": [number] * len(ends)}))
        bench.refine(table)
        if compacted:
            DeltaTable(str(tmp_path / "lake/silver/t")).optimize.compact()
    assert bench.rows("silver.t", "SELECT count(*) AS n, min(n) AS least FROM t") == [{"n": len(ends), "least": 3}]


@pytest.mark.parametrize("lateness_s", [0, 3600, 300 * 365 * 86_400])
def test_a_window_may_reach_beyond_the_ends_of_time(bench: Workbench, lateness_s: int) -> None:
    keyed = contract("t", column("id", key_position=1), column("at", "timestamp"))
    table = Table("t", FROM, keyed, "window", event_time="at", lateness_s=lateness_s)
    for _ in range(2):
        bench.land(arrived({"id": ["a", "a"], "at": [_ENDS[0], _ENDS[2]]}))
        bench.refine(table)
    assert [row["_load"] for row in bench.rows("silver.t")] == [1, 1]


# Judged again.

_KEYED = contract(
    "t",
    column("id", key_position=1),
    column("n", "integer", minimum=0),
    column("op"),
    column("at", "timestamp"),
)
JUDGED: dict[str, dict[str, Any]] = {
    "append": {},
    "merge": {"latest_by": "at", "deleted_when": "op = 'D'"},
    "history": {"latest_by": "at", "deleted_when": "op = 'D'"},
    "window": {"event_time": "at", "lateness_s": 3600},
    "delete_insert": {"slice": ("id", "op")},
}


def _random_rows(chance: random.Random) -> pa.Table:
    rows = range(chance.randint(2, 7))
    return arrived(
        {
            "id": pa.array([chance.choice(["a", "b", "c", "a", "b", "c", None]) for _ in rows], pa.string()),
            "n": [chance.choice(["x", *map(str, range(-3, 10))]) for _ in rows],
            "op": [chance.choice("UUUD") for _ in rows],
            "at": [f"2026-01-01T0{chance.randint(0, 9)}:{chance.choice(('00', '30'))}:00Z" for _ in rows],
        }
    )


def _all(bench: Workbench) -> tuple[list[str], list[str]]:
    """Rows and standing verdicts, but for the numbers of commits."""
    silver = [repr({**row, "_judged": 0}) for row in bench.rows("silver.t")]
    return sorted(silver), sorted(repr({**row, "_judged": 0}) for row in bench.standing_rejects("t"))


@pytest.mark.parametrize("mode", list(JUDGED))
@pytest.mark.parametrize("seed", [1, 2])
def test_a_backfill_load_by_load_in_any_order_leaves_what_a_fresh_table_would(
    bench: Workbench, mode: str, seed: int
) -> None:
    """Both ends of a range move, so that rows leave and others come back."""
    chance = random.Random(f"{mode}{seed}")
    table = Table("t", FROM, _KEYED, mode, **JUDGED[mode])
    for _ in range(4):
        bench.land(_random_rows(chance))
        bench.refine(table)
    limits: dict[str, Any] = {"minimum": chance.choice([-9, 2]), "maximum": chance.choice([6, 8])}
    changed = replace(_KEYED.columns[1], **limits)
    table = replace(table, contract=replace(_KEYED, columns=(_KEYED.columns[0], changed, *_KEYED.columns[2:])))
    bench.refine(table, Order("forward"))
    for load in chance.sample([1, 2, 3, 4], 4):
        bench.refine(table, Order("backfill", loads=(load - 1, load)))
    found = _all(bench)
    bench.refine(table, Order("rebuild"))
    assert found == _all(bench)


def test_a_backfill_of_one_load_does_not_shorten_a_window_that_others_hold_open(bench: Workbench) -> None:
    table = Table("t", FROM, _KEYED, "window", event_time="at", lateness_s=3600)

    def at(hour: int) -> pa.Table:
        return arrived({"id": ["a"], "n": ["1"], "op": ["U"], "at": [f"2026-01-01T{hour:02}:00:00Z"]})

    for hour in (1, 2):
        bench.land(at(hour))
        bench.refine(table)
    bench.refine(table, Order("backfill", loads=(0, 1)))
    bench.land(at(3))
    bench.refine(table)
    assert [row["_load"] for row in bench.rows("silver.t")] == [1]


@pytest.mark.parametrize("mode", ["merge", "history", "delete_insert"])
def test_a_row_that_comes_back_beside_a_backfilled_span_leaves_quarantine(bench: Workbench, mode: str) -> None:
    """Its own load is not judged again; but where the row that had put it out goes, the new rule lets it in."""

    def limited(least: int, most: int) -> Table:
        number = replace(_KEYED.columns[1], minimum=least, maximum=most)
        made = replace(_KEYED, columns=(_KEYED.columns[0], number, *_KEYED.columns[2:]))
        return Table("t", FROM, made, mode, **JUDGED[mode])

    for number in ("-3", "8"):
        bench.land(arrived({"id": ["a"], "n": [number], "op": ["U"], "at": ["2026-01-01T00:00:00Z"]}))
        bench.refine(limited(2, 9))
    bench.refine(limited(-9, 5), Order("forward"))
    bench.refine(limited(-9, 5), Order("backfill", loads=(1, 2)))
    assert [row["_load"] for row in bench.rows("silver.t")] == [1]
    assert [row["_load"] for row in bench.standing_rejects("t")] == [2]


def test_a_backfill_says_which_streams_and_loads_there_are(bench: Workbench) -> None:
    both = Table("t", ("shop.east", "shop.west"), _KEYED, "merge", latest_by="at")
    rows = arrived({"id": ["a"], "n": ["1"], "op": ["U"], "at": ["2026-01-01T00:00:00Z"]})
    bench.land(rows, feed="shop.east")
    bench.refine(both)
    bench.land(rows, feed="shop.west")
    assert bench.refine(both, Order("backfill"))  # of the other stream nothing was taken yet
    for order, words in (
        (Order("backfill", stream="shop.est"), "takes no rows from `shop.est`"),
        (Order("backfill", stream="shop.west"), "no rows that could be judged again"),
        (Order("backfill", loads=(0, 1)), "several streams"),
        (
            Order("backfill", loads=(0, 7), stream="shop.east"),
            r"loads 1-7 are not among those that were refined \(1-1\)",
        ),
    ):
        with pytest.raises(ConfigError, match=words):
            bench.refine(both, order)


def test_a_replay_does_not_raise_a_key_whose_delete_is_forgotten(bench: Workbench) -> None:
    strict = Table("t", FROM, _KEYED, "merge", **JUDGED["merge"], lateness_s=3600)
    at_any_rate = replace(_KEYED.columns[1], minimum=-9)
    relaxed = replace(strict, contract=replace(_KEYED, columns=(_KEYED.columns[0], at_any_rate, *_KEYED.columns[2:])))
    for key, number, op, hour in (("a", "-3", "U", 1), ("a", "5", "D", 2), ("b", "5", "U", 9)):
        row = {"id": [key], "n": [number], "op": [op], "at": [f"2026-01-01T{hour:02}:00:00Z"]}
        bench.land(arrived(row))
        bench.refine(strict)
    bench.refine(strict, Order("backfill"))
    table = bench.lake.open(naming.silver_table("t"))
    assert table is not None
    assert table.scan(hidden=True).rows == 1
    bench.refine(relaxed, Order("forward"))
    bench.refine(relaxed, Order("replay"))
    assert [row["id"] for row in bench.rows("silver.t")] == ["b"]
    assert bench.standing_rejects("t") == []
