from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from catchment.errors import ConfigError
from catchment.records import Cursor
from catchment.sources.http import landed as module
from catchment.sources.http.landed import RECENT, Landed
from catchment.sources.http.order import Order

MINUTE = 60_000_000


def _order(lookback: str | None = "5 minutes") -> Order:
    return Order("timestamp", "timestamp", lookback)


def _again(landed: Landed, order: Order | None = None) -> Landed:
    cursor = landed.cursor()
    return Landed.of("api.items", order or landed.order, Cursor(cursor.value, cursor.seen))


def _name(number: int) -> bytes:
    return number.to_bytes(16, "big")


def _read(landed: Landed, *minutes: int) -> None:
    part = landed.part("")
    for minute in minutes:
        part.take(_name(minute), minute * MINUTE)
    landed.finished("", last=True)


def test_the_mark_moves_at_the_end_and_the_window_before_it_is_remembered() -> None:
    landed = Landed("api.items", _order())
    for minute in (30, 10, 27):
        landed.part("").take(_name(minute), minute * MINUTE)
        assert landed.part("").mark is None
    landed.finished("", last=True)
    part = _again(landed).part("")
    assert part.mark == 30 * MINUTE
    assert set(part.before) == {_name(30), _name(27)}
    assert not part.is_new(_name(27), 27 * MINUTE)
    assert part.is_new(_name(99), 26 * MINUTE)
    assert not part.is_new(_name(98), 24 * MINUTE)


def test_a_read_that_goes_on_knows_where_and_what_it_met() -> None:
    landed = Landed("api.items", _order())
    part = landed.part("a")
    part.tells_time(datetime(1970, 1, 1, 0, 20, tzinfo=UTC))
    part.take(_name(30), 30 * MINUTE)
    landed.goes_on("a", {"page": 2})
    again = _again(landed)
    assert again.going == {"part": "a", "position": {"page": 2}, "top": str(30 * MINUTE), "clock": str(20 * MINUTE)}
    assert not again.part("a").is_new(_name(30), 30 * MINUTE)
    again.finished("a", last=True)
    assert again.part("a").mark == 20 * MINUTE
    assert not _again(again).part("a").is_new(_name(30), 30 * MINUTE)


def test_a_longer_lookback_does_not_land_again_what_was_forgotten() -> None:
    landed = Landed("api.items", _order("5 minutes"))
    _read(landed, 10, 20, 30)
    longer = _again(landed, _order("60 minutes"))
    assert not longer.part("").is_new(_name(20), 20 * MINUTE)
    assert longer.part("").is_new(_name(26), 26 * MINUTE)
    _read(longer, 31)
    assert not _again(longer).part("").is_new(_name(20), 20 * MINUTE)


def test_records_without_a_value_land_once() -> None:
    landed = Landed("api.items", _order())
    landed.part("").take(_name(1), None)
    _read(landed, 30)
    _read(landed, 300)
    assert not _again(landed).part("").is_new(_name(1), None)


def test_another_format_is_refused() -> None:
    landed = Landed("api.items", _order())
    _read(landed, 1)
    with pytest.raises(ConfigError, match="was read as timestamp until now"):
        _again(landed, Order("epoch", "epoch"))


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    landed = Landed("api.items", _order())
    part = landed.part("")
    for number in range(3 * RECENT):
        part.take(_name(number), number * MINUTE)
    assert len(part.now) <= 2 * RECENT
    assert _name(3 * RECENT - 1) in part.now
    monkeypatch.setattr(module, "MOST", 10)
    with pytest.raises(ConfigError, match="more than 10") as refused:
        landed.cursor()
    assert "lookback" in (refused.value.hint or "")


@pytest.mark.parametrize(
    ("format_", "value", "send", "written"),
    [
        ("timestamp", "2026-11-21T10:00:00.5+02:00", "timestamp", "2026-11-21T08:00:00.500000Z"),
        ("timestamp", "2026-11-21 10:00:00", "timestamp", "2026-11-21T10:00:00Z"),
        ("timestamp", "2026-11-21T10:00:00.999Z", "epoch", "1795255200"),
        ("timestamp", "2026-11-21T10:00:00Z", "date", "2026-11-21"),
        ("date", "2026-11-21", "date", "2026-11-21"),
        ("date", "2026-11-21", "timestamp", "2026-11-21T00:00:00Z"),
        ("epoch", 1795255200.25, "epoch_ms", "1795255200250"),
        ("epoch_ms", "1795255200250", "epoch", "1795255200"),
        ("number", 12345678901234567890, "number", "12345678901234567890"),
        ("number", "1.50", "number", "1.50"),
        ("text", "abc", "text", "abc"),
    ],
)
def test_values_are_put_in_order_and_written(format_: Any, value: Any, send: Any, written: str) -> None:
    order = Order(format_, send)
    place = order.place(value)
    assert order.written(place) == written
    assert order.read(str(place)) == place


@pytest.mark.parametrize(
    ("format_", "value"),
    [("timestamp", 5), ("timestamp", "soon"), ("epoch", "2026-11-21"), ("number", "NaN"), ("date", {}), ("text", True)],
)
def test_values_that_are_none_are_refused(format_: Any, value: Any) -> None:
    with pytest.raises(ValueError, match=f"is no {format_}"):
        Order(format_, format_).place(value)


def test_windows_reach_back_as_far_as_they_say() -> None:
    assert _order("2 minutes").back(5 * MINUTE) == 3 * MINUTE
    assert Order("date", "date", "36 hours").back(10) == 8
    assert Order("number", "number", "7").back(10) == 3
    assert Order("text", "text").back("b") == "b"
