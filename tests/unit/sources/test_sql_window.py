"""The window behind a cursor: where it begins, and which of its rows have landed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from catchment.errors import ConfigError
from catchment.sources.sql.window import Digest, Floor, Ways, Window, floor_of

_NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
_ZONED, _PLAIN = pa.timestamp("us", "UTC"), pa.timestamp("us")


def _instant(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


def _plain(*parts: int) -> datetime:
    return _instant(*parts).replace(tzinfo=None)


@pytest.mark.parametrize(
    ("at", "kind", "lookback", "floor"),
    [
        (100, pa.int64(), 7, 93),
        (100, pa.int64(), 0, 100),
        (Decimal("1.50"), pa.decimal128(10, 2), 1, Decimal("0.50")),
        ("b", pa.string(), 0, "b"),
        (_instant(2026, 1, 1), _ZONED, "1 hour", _instant(2025, 12, 31, 23)),
        (_instant(2027, 1, 1), _ZONED, "1 hour", _NOW - timedelta(hours=1)),
        (_instant(1, 1, 1), _ZONED, "1 hour", _instant(1, 1, 1)),
        (_plain(2026, 6, 1, 20), _PLAIN, 0, _plain(2026, 6, 1, 20)),
        (_plain(2026, 6, 3), _PLAIN, 0, _plain(2026, 6, 1)),
        (date(2026, 1, 10), pa.date32(), "36 hours", date(2026, 1, 8)),
        (date(2027, 1, 1), pa.date32(), 0, date(2026, 6, 1)),
        (date(1, 1, 1), pa.date32(), "2 days", date(1, 1, 1)),
        ("2026-01-01 00:00:00", pa.string(), "1 minute", "2025-12-31 23:59:00"),
        ("2026-01-01T00:00:00Z", pa.string(), "1 minute", "2025-12-31T23:59:00"),
        ("2026-01-10", pa.string(), "2 days", "2026-01-08"),
    ],
)
def test_a_window_begins_a_lookback_before_the_cursor_and_never_in_the_future(
    at: Any, kind: pa.DataType, lookback: str | int, floor: Any
) -> None:
    assert floor_of(pa.scalar(at, kind), lookback, _NOW).as_py() == floor


@pytest.mark.parametrize(("at", "lookback"), [(5, "1 hour"), ("b", 5), ("b", "1 hour"), (_NOW, 5)])
def test_a_lookback_of_another_kind_is_refused_with_a_cure(at: Any, lookback: str | int) -> None:
    with pytest.raises(ConfigError) as refused:
        floor_of(pa.scalar(at), lookback, _NOW)
    assert refused.value.hint is not None


def _rows(*pairs: tuple[int, str | None], **more: list[Any]) -> pa.Table:
    return pa.table({"id": [one for one, _ in pairs], "note": pa.array([two for _, two in pairs], pa.string()), **more})


def _after(rows: pa.Table, floor: int = 0, **ways: Any) -> Window:
    """A window over what a first read remembered."""
    first = Window(None, pa.int64(), Ways("id"))
    first.landed(rows, pa.scalar(floor))
    kept, _ = first.kept(Floor(pa.scalar(floor)))
    return Window(kept, pa.int64(), Ways("id", **ways))


def test_rows_that_landed_are_left_out_in_any_order_and_any_parts() -> None:
    window = _after(_rows((1, "a"), (2, None), (3, "c")))
    assert window.fresh(_rows((3, "c"), (4, "d"))).to_pylist() == [{"id": 4, "note": "d"}]
    assert window.fresh(_rows((2, "new"), (2, None), (1, "a"))).to_pylist() == [{"id": 2, "note": "new"}]


def test_rows_that_are_alike_count() -> None:
    window = _after(_rows((1, "a"), (1, "a")))
    assert window.fresh(_rows((1, "a"))).num_rows == 0
    assert window.fresh(_rows((1, "a"), (1, "a"))).num_rows == 1


def test_text_that_looks_like_two_columns_is_not_taken_for_them() -> None:
    window = _after(pa.table({"id": [1], "a": ['x"\x1fb="y'], "b": pa.array([None], pa.string())}))
    assert window.fresh(pa.table({"id": [1], "a": ["x"], "b": ["y"]})).num_rows == 1


def test_a_column_of_nulls_makes_no_row_another_one() -> None:
    assert _after(_rows((1, "a"))).fresh(_rows((1, "a"), more=[None])).num_rows == 0


def test_with_other_columns_rows_are_known_by_key_and_cursor() -> None:
    other = pa.table({"id": [1, 2]})
    assert _after(_rows((1, "a"))).fresh(other).num_rows == 2
    assert _after(_rows((1, "a")), by_key=True).fresh(other).to_pylist() == [{"id": 2}]


def test_what_lies_before_the_floor_is_forgotten() -> None:
    window = _after(_rows((1, "a"), (2, "b"), (3, "c")), floor=2)
    assert [row["id"] for row in window.fresh(_rows((1, "a"), (2, "b"), (3, "c"))).to_pylist()] == [1]


def test_a_digest_is_the_same_in_any_order_and_any_parts_and_another_for_other_rows() -> None:
    def digest(*parts: pa.Table) -> str:
        made = Digest()
        for part in parts:
            made.add(part)
        return made.value(parts[0].schema)

    whole = digest(_rows((1, "a"), (2, "b"), (2, "b")))
    assert digest(_rows((2, "b")), _rows((2, "b"), (1, "a"))) == whole
    others = [_rows((1, "a"), (2, "b")), _rows((1, "b"), (2, "a"), (2, "b")), _rows((1, "a"), (2, "b"), (2, None))]
    assert whole not in [digest(one) for one in others]
    assert digest(_rows((1, "a"), (2, "b"), (2, "b")), _rows()) == whole
