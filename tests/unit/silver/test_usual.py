"""What is usual: bands against NumPy, what never alarms, and the words of what does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from catchment import naming
from catchment.contract import SetRule, Usual
from catchment.errors import Held
from catchment.events import CheckFailed
from catchment.records import Order
from catchment.silver.definition import Table
from catchment.silver.quality import AGAIN, REBUILD, REFINE, Load, loads
from catchment.silver.usual import band, compared, shown, unusual
from catchment.testing.fakes import Workbench, arrived, column, contract

AT = datetime(2026, 1, 1, tzinfo=UTC)
FINITE = st.floats(-1e12, 1e12, allow_subnormal=False)


def load(number: int, *, kind: str = REFINE, column: str | None = None, **figures: float) -> Load:
    return Load(number, AT, kind, {("rows", None): 1000.0} | {(name, column): value for name, value in figures.items()})


def history(values: Sequence[float], measure: str, column: str | None = None) -> list[Load]:
    return [load(place, column=column, **{measure: value}) for place, value in enumerate(values)]


@given(st.lists(FINITE, min_size=7, max_size=40), st.floats(0.1, 10))
@example([5.0] * 30, 3.0)
def test_a_band_is_median_and_deviations_as_numpy_has_them(values: list[float], deviations: float) -> None:
    low, high = band(values, "mean", 1000, deviations)
    middle = np.median(values)
    spread = deviations * 1.4826 * np.median(np.abs(np.array(values) - middle))
    width = max(spread, abs(middle) / 20)
    assert low == pytest.approx(middle - width, rel=1e-9, abs=1e-6)
    assert high == pytest.approx(middle + width, rel=1e-9, abs=1e-6)


@given(st.lists(st.floats(0, 1), min_size=7, max_size=40), st.floats(0.1, 10), st.integers(0, 10**6))
def test_shares_and_scores_stay_within_what_they_can_be(values: list[float], deviations: float, rows: int) -> None:
    low, high = band(values, "nulls", rows, deviations)
    assert low is not None
    assert high is not None
    assert 0 <= low <= np.median(values) <= high <= 1
    least, most = band([100 * value for value in values], "score", rows, deviations)
    assert most is None
    assert least is not None
    assert 0 <= least <= 100 * np.median(values) + 1e-9


@pytest.mark.parametrize(
    ("measure", "usually", "now", "rows", "alarms"),
    [
        ("rows", 1000, 1090, 1000, False),  # chance alone: three times its root
        ("rows", 1000, 1100, 1000, True),
        ("rows", 1_000_000, 1_040_000, 1000, False),  # a twentieth
        ("rows", 1_000_000, 1_060_000, 1000, True),
        ("rows", 4, 9, 9, False),
        ("rows", 1000, 0, 0, True),
        ("nulls", 0.0, 0.009, 1_000_000, False),
        ("nulls", 0.0, 0.02, 1_000_000, True),
        ("nulls", 0.0, 0.1, 10, False),  # one row of ten
        ("nulls", 0.5, 0.4, 1_000_000, True),  # fewer is unusual as well
        ("rejected_share", 0.2, 0.0, 1_000_000, False),  # and here it is good
        ("rejected_share", 0.2, 0.3, 1_000_000, True),
        ("score", 90.0, 100.0, 1_000_000, False),
        ("score", 99.5, 98.6, 1_000_000, False),
        ("score", 99.5, 98.4, 1_000_000, True),
        ("freshness", 3600.0, 3950.0, 1000, False),
        ("freshness", 10.0, 65.0, 1000, False),
        ("freshness", 10.0, 75.0, 1000, True),
        ("freshness", 3600.0, -50.0, 1000, False),
        ("mean", 20.0, 20.9, 1000, False),
        ("mean", 20.0, 21.1, 1000, True),
        ("mean", -20.0, -21.1, 1000, True),
        ("length", 36.0, 35.0, 1000, False),
        ("true", 0.5, 0.9, 1_000_000, True),
    ],
)
def test_what_was_always_the_same_may_change_a_little(
    measure: str, usually: float, now: float, rows: float, alarms: bool
) -> None:
    before = history([float(usually)] * 30, measure)
    figures: dict[Any, float] = {("rows", None): float(rows), (measure, None): float(now)}
    assert bool(unusual(Load(99, AT, REFINE, figures), before, Usual(of=((measure, None),)))) is alarms


def test_numbers_too_large_to_compute_with_have_no_band_and_short_words() -> None:
    huge = load(99, mean=1.7e308)
    (found,) = [one for one in compared(huge, history([1.7e308] * 9, "mean"), Usual()) if one.figure.measure == "mean"]
    assert (found.figure.low, found.figure.high, found.words) == (None, None, None)
    assert [shown("mean", value) for value in (1.7e308, -2e15, 123_456_789.0)] == ["1.7e+308", "-2e+15", "123,456,789"]


def test_a_few_odd_loads_move_the_band_little() -> None:
    calm = [100.0 + place % 3 for place in range(30)]
    odd = [*calm[:25], 5000.0, 0.0, 9000.0, 1.0, 4000.0]
    assert band(odd, "mean", 1000, 3) == pytest.approx(band(calm, "mean", 1000, 3), abs=5)


def test_nothing_is_said_before_there_are_seven_loads() -> None:
    before = history([10.0] * 6, "mean")
    now = load(9, mean=99.0)
    assert unusual(now, before, Usual()) == []
    assert {(one.figure.low, one.figure.high) for one in compared(now, before, Usual())} == {(None, None)}
    assert unusual(now, [*before, load(8, mean=10.0)], Usual()) == ["mean 99, usually 9.5 to 10.5 (7 loads)"]


def test_only_the_last_loads_of_new_rows_are_compared() -> None:
    before = [*history([5.0] * 20, "mean"), *history([10.0] * 7, "mean")]
    other = [load(50, kind=REBUILD, mean=1000.0), load(51, kind=AGAIN, mean=1000.0)] * 10
    assert unusual(load(99, mean=10.0), [*before, *other], Usual(loads=7)) == []
    assert unusual(load(99, mean=5.0), [*before, *other], Usual(loads=7)) != []
    assert unusual(load(99, kind=REBUILD, mean=5.0), before, Usual(loads=7)) == []


def test_a_figure_that_some_loads_lack_is_compared_with_those_that_have_it() -> None:
    before = [*history([10.0] * 7, "mean", "x"), *(load(place) for place in range(10, 20))]
    (told,) = unusual(load(99, column="x", mean=20.0), before, Usual())
    assert told == "x: mean 20, usually 9.5 to 10.5 (7 loads)"


@pytest.mark.parametrize(
    ("measure", "column", "values", "now", "words"),
    [
        ("rows", None, [9_800, 10_500, 11_200] * 10, 412, "412 rows, usually 7,387 to 13,613 (30 loads)"),
        ("rejected_share", None, [0.004] * 8, 0.12, "12 % rejected, usually at most 1.4 % (8 loads)"),
        ("score", None, [99.0] * 8, 71.24, "score 71.2, usually at least 98.0 (8 loads)"),
        ("freshness", None, [1800.0] * 8, 93_600.0, "newest row 26 h old, usually at most 33 min (8 loads)"),
        ("nulls", "amount", [0.02] * 8, 0.31, "amount: 31 % null, usually 0.672 % to 3.33 % (8 loads)"),
        ("mean", "amount", [12_345.0] * 8, 1.5, "amount: mean 1.5, usually 11,728 to 12,962 (8 loads)"),
        ("true", "paid", [0.9] * 8, 0.1, "paid: 10 % true, usually 87.2 % to 92.8 % (8 loads)"),
        ("length", "email", [20.0] * 8, 5.1, "email: mean length 5.1, usually 19 to 21 (8 loads)"),
    ],
)
def test_words_tell_the_figure_and_its_band(
    measure: str, column: str | None, values: list[float], now: float, words: str
) -> None:
    before = history([float(value) for value in values], measure, column)
    told = unusual(load(99, column=column, **{measure: float(now)}), before, Usual(of=((measure, column),)))
    assert told == [words]


def test_a_rule_asks_for_some_figures_or_for_all() -> None:
    before = [load(place, mean=10.0, score=99.0) for place in range(7)]
    now = load(9, mean=20.0, score=50.0)
    assert len(unusual(now, before, Usual())) == 2
    assert len(unusual(now, before, Usual(of=(("mean", None), ("freshness", None))))) == 1


# In the flow of loads.

PLAIN = contract("t", column("id"), column("n", "integer"))
TABLE = Table("t", ("src.rows",), PLAIN, "append")
NAME = naming.silver_table("t")


def ruled(severity: Any, *of: tuple[str, str | None]) -> Table:
    rule = SetRule("usual", "usual", "", severity=severity, usual=Usual(loads=7, of=of))
    return replace(TABLE, contract=replace(PLAIN, set_rules=(rule,)))


def land(bench: Workbench, count: int, *, n: str = "5") -> None:
    bench.land(arrived({"id": [f"{place}" for place in range(count)], "n": [n] * count}))


def test_a_load_that_is_not_usual_warns_in_one_message_and_goes_in(bench: Workbench) -> None:
    table = ruled("warn", ("rows", None), ("mean", "n"))
    for _ in range(7):
        land(bench, 40)
        bench.refine(table)
    assert bench.heard.of(CheckFailed) == []
    land(bench, 4, n="50")
    bench.refine(table)
    (told,) = bench.heard.of(CheckFailed)
    assert (told.rule, told.severity) == ("usual", "warn")
    assert told.message == "4 rows, usually 21 to 59 (7 loads); n: mean 50, usually 4.75 to 5.25 (7 loads)"
    # What was unusual counts for what follows as any load does.
    assert len(_kept(bench)) == 8


def _kept(bench: Workbench) -> list[Load]:
    table = bench.lake.open(NAME)
    assert table is not None
    return loads(bench.lake, NAME, table.progress())


def test_a_load_that_is_not_usual_is_held_until_it_is_accepted(bench: Workbench) -> None:
    table = ruled("stop", ("rows", None))
    for _ in range(7):
        land(bench, 40)
        bench.refine(table)
    land(bench, 400)
    for _ in range(2):
        with pytest.raises(Held) as told:
            bench.refine(table)
        assert told.value.message.splitlines() == [
            "silver.t stopped before it committed: 400 rows, usually 21 to 59 (7 loads)",
            "  silver.t still holds version 7; no row was rejected",
        ]
    assert told.value.hint is not None
    assert told.value.hint.startswith("look: catchment quality silver.t")
    assert len(_kept(bench)) == 7
    bench.refine(table, Order("accept"))
    bench.refine(table)
    assert _kept(bench)[-1].figures["rows", None] == 400


def test_a_table_that_is_made_anew_is_compared_with_nothing(bench: Workbench) -> None:
    table = ruled("stop")
    for _ in range(8):
        land(bench, 40)
        bench.refine(table)
    bench.refine(table, Order("rebuild"))
    assert _kept(bench)[-1].kind == REBUILD
    land(bench, 40)
    bench.refine(table)
    assert len(_kept(bench)) == 10
