from __future__ import annotations

from datetime import UTC, datetime

import pytest

from catchment.observe import words


@pytest.mark.parametrize(
    ("duration", "told"),
    [(0.04, "0.0 s"), (8.14, "8.1 s"), (59.96, "1 min 0 s"), (125, "2 min 5 s"), (3780, "1 h 3 min")],
)
def test_durations_are_told_in_their_unit(duration: float, told: str) -> None:
    assert words.seconds(duration) == told


@pytest.mark.parametrize(
    ("number", "told"),
    [(812, "812 bytes"), (1_400, "1.4 kB"), (11_200_000, "11 MB"), (999_600, "1.0 MB"), (2e15, "2000 TB")],
)
def test_sizes_are_told_in_powers_of_ten(number: float, told: str) -> None:
    assert words.size(number) == told


@pytest.mark.parametrize(
    ("part", "told"), [(0, "0 %"), (1, "100 %"), (0.035, "3.5 %"), (0.0001, "< 0.1 %"), (0.9999, "> 99.9 %")]
)
def test_a_share_is_never_rounded_to_nothing_or_all(part: float, told: str) -> None:
    assert words.share(part) == told


def test_columns_stand_under_each_other_whatever_the_script() -> None:
    lines = words.aligned([("table", "rows"), ("東京", "1,702"), ("x", "7")], right=frozenset({1}))
    assert [words.width(line) for line in lines] == [12, 12, 12]
    assert lines[2] == "x          7"


def test_instants_are_told_in_utc() -> None:
    assert words.instant(datetime(2026, 11, 21, 9, 14, 30, tzinfo=UTC)) == "2026-11-21 09:14"
    assert words.instant(None) == "-"
