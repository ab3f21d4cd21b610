"""How far a change stream was followed, as a cursor keeps it; and the time that each change is given."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from bson.datetime_ms import DatetimeMS
from bson.timestamp import Timestamp

from catchment.records import Cursor
from catchment.sources.mongodb_changes.position import Clock, Position, time_of

SECOND = 1_700_000_000
AT = datetime.fromtimestamp(SECOND, UTC)
US = timedelta(microseconds=1)


def wall(ms: int) -> DatetimeMS:
    return DatetimeMS(SECOND * 1000 + ms)


def test_changes_of_one_commit_have_one_time_and_later_commits_later_ones() -> None:
    clock = Clock(0)
    given = [clock.at(Timestamp(SECOND, inc), wall(ms)) for inc, ms in ((1, 5), (1, 6), (2, 5), (3, 4), (4, 900))]
    first = AT + 5000 * US
    assert given == [first, first, first + US, first + 2 * US, AT + 900_000 * US]


def test_a_server_that_tells_no_wall_time_is_followed_by_its_count() -> None:
    clock = Clock(0)
    given = [clock.at(Timestamp(SECOND + more, inc), None) for more, inc in ((0, 1), (0, 2), (1, 1), (1, 1 << 31))]
    assert given == [AT + US, AT + 2 * US, AT + 1_000_001 * US, AT + 1_999_999 * US]


def test_a_clock_goes_on_after_what_has_landed_and_never_back() -> None:
    later = int((AT + timedelta(hours=1)).timestamp()) * 1_000_000
    clock = Clock(later)
    assert clock.at(Timestamp(SECOND, 1), wall(0)) == AT + timedelta(hours=1) + US
    assert clock.next() == AT + timedelta(hours=1) + 2 * US
    assert clock.last == later + 2


def test_what_the_log_does_not_hold_comes_between_two_commits() -> None:
    clock = Clock(0)
    before = clock.at(Timestamp(SECOND, 1), wall(0))
    between = [clock.next(), clock.next()]
    assert [before, *between, clock.at(Timestamp(SECOND, 1), wall(0))] == [before + n * US for n in range(4)]


def test_a_new_commit_is_known_from_the_last_one() -> None:
    clock = Clock(0)
    assert clock.is_new(Timestamp(SECOND, 1))
    clock.at(Timestamp(SECOND, 1), None)
    assert not clock.is_new(Timestamp(SECOND, 1))
    assert clock.is_new(Timestamp(SECOND, 2))


def test_a_position_comes_back_from_its_cursor() -> None:
    token = {"_data": "8263", "_typeBits": b"\x00\xff"}
    position = Position(token, 7, {"products": "products", "stock": None}, 1_700_000_000_123_456, SECOND)
    kept = Cursor(json.loads(json.dumps(position.cursor().value)))
    assert Position.of(kept) == position
    assert Position.of(None) == Position()
    assert position.at == "2023-11-14 22:13:20 UTC"


def test_only_what_was_followed_all_the_while_is_followed_on() -> None:
    position = Position({"_data": "82"}, 0, {"products": "products", "stock": "stock", "gone": "gone"})
    now = position.following({"products": "products", "stock": "stock_2", "new": "new"})
    assert now.collections == {"products": "products", "stock": None, "gone": None}
    assert position.lost(["stock"]).collections == {"products": "products", "stock": None, "gone": "gone"}
    assert position.lost(["stock"]).token is not None
    everything = position.lost()
    assert (everything.token, set(everything.collections.values())) == (None, {None})


@pytest.mark.parametrize(
    ("token", "time"),
    [
        ({"_data": "826553F1000000000A2B022C0100296E5A1004"}, Timestamp(0x6553F100, 10)),
        ({"_data": "826553F100"}, None),
        ({"_data": "8Z6553F1000000000A"}, None),
        ({"_data": "0a6553F1000000000A"}, None),
        ({"_data": b"binary, as before 4.0.7"}, None),
        ({"other": 1}, None),
        (None, None),
    ],
)
def test_the_time_in_a_token_is_read_where_it_is_there(token: object, time: Timestamp | None) -> None:
    assert time_of(token) == time
