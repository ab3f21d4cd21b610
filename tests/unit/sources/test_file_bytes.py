"""Things fetched several at a time come in their order, and no more than that are held."""

from __future__ import annotations

import threading
import time

import pytest

from catchment.sources.files.found import in_order


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_what_is_fetched_comes_in_order(workers: int) -> None:
    def slowly(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number

    assert list(in_order(slowly, range(40), workers)) == list(range(40))


@pytest.mark.parametrize("workers", [1, 4])
def test_no_more_than_so_many_wait_to_be_taken(workers: int) -> None:
    begun: list[int] = []
    coming = in_order(begun.append, range(100), workers)
    for taken in range(1, 20):
        next(coming)
        time.sleep(0.001)
        assert len(begun) <= taken + workers
    coming.close()
    assert len(begun) < 30


def test_several_are_fetched_at_the_same_time() -> None:
    meeting = threading.Barrier(3)
    assert list(in_order(lambda number: (meeting.wait(10), number)[1], range(3), 3)) == [0, 1, 2]


def test_what_goes_wrong_is_raised_in_its_turn_and_ends_it() -> None:
    def work(number: int) -> int:
        if number == 5:
            message = "five"
            raise ValueError(message)
        return number

    coming = in_order(work, range(100), 4)
    assert [next(coming) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="five"):
        next(coming)
    assert list(coming) == []
