"""Rows that come again over a bridge: counted, bounded, and looked at by key."""

from __future__ import annotations

import pytest

from catchment.sources import bridged
from catchment.sources.bridged import Landed, Repeats, cursor
from catchment.sources.document_rows import mark

A, B, C = (mark(text) for text in (b"a", b"b", b"c"))
KEY = mark(b"key")


def test_a_row_is_left_out_as_often_as_the_last_run_gave_it() -> None:
    repeats = Repeats(A + A + B)
    assert repeats.new([A, C, A, A, B], [None] * 5) == [False, True, False, True, False]
    assert repeats.new([B], [None]) == [True]


def test_a_key_with_a_new_row_is_not_looked_at_again() -> None:
    assert Repeats(A).new([B, A], [KEY, KEY]) == [True, True]
    assert Repeats(A).new([B, A], [KEY, C]) == [True, False]


def test_before_its_end_a_run_remembers_what_the_last_one_gave_besides() -> None:
    repeats = Repeats(A + B)
    repeats.new([A, C], [None, None])
    left = repeats.marks(done=False)
    assert sorted(left[at : at + 16] for at in range(0, len(left), 16)) == sorted([A, B, C])
    assert repeats.marks(done=True) == A + C


def test_only_the_newest_rows_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridged, "MOST", 3)
    repeats = Repeats(b"")
    given = [mark(b"%d" % number) for number in range(10)]
    for one in given:
        repeats.new([one], [None])
    assert repeats.marks(done=True) == b"".join(given[-3:])


@pytest.mark.parametrize("state", [None, "{}", "x" * 1_000_000])
@pytest.mark.parametrize("marks", [b"", A + A + B])
def test_a_cursor_gives_back_what_went_into_it(state: str | None, marks: bytes) -> None:
    landed = Landed.of(cursor({"rows": 7}, state, marks))
    assert (landed.rows, landed.state, landed.marks) == (7, state, marks)


def test_nothing_is_known_without_a_cursor() -> None:
    assert Landed.of(None).is_nothing
    assert not Landed.of(cursor({"rows": 0}, None, b"")).is_nothing
