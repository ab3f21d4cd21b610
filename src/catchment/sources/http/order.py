"""Values of a cursor: in what order they stand, how far back a window reaches, and how they are written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from catchment.reading.durations import seconds
from catchment.reading.kinds.http import CursorFormat

# int, Decimal or str, the same for all values of a stream. Times are microseconds since 1970, days count since then.
Place = Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = date(1970, 1, 1)
_SECOND = 1_000_000


@dataclass(frozen=True)
class Order:
    """One format of values, and how it is sent."""

    format: CursorFormat
    send: CursorFormat
    lookback: str | None = None

    def place(self, value: Any) -> Place:
        """Where a value stands; raises ValueError with the reason."""
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
            message = f"{value!r:.60} is no {self.format}"
            raise ValueError(message)
        try:
            return self._place(value)
        except (ValueError, InvalidOperation, OverflowError, TypeError):
            message = f"{value!r:.60} is no {self.format}"
            raise ValueError(message) from None

    def _place(self, value: float | Decimal | str) -> Place:
        if self.format == "text":
            return str(value)
        if self.format == "timestamp":
            return _instant(str(value))
        if self.format == "date":
            return (date.fromisoformat(str(value)[:10]) - _DAY).days
        number = Decimal(str(value))
        if not number.is_finite():
            raise ValueError
        if self.format == "number":
            return int(number) if number == number.to_integral_value() else number
        return int(number * (_SECOND if self.format == "epoch" else 1000))

    def back(self, place: Place) -> Place:
        """Where the window before a place begins."""
        if self.lookback is None or isinstance(place, str):
            return place
        if self.format == "number":
            return place - int(self.lookback)
        away = seconds(self.lookback) or 0
        return place - (-(-away // 86_400) if self.format == "date" else away * _SECOND)

    def of_clock(self, now: datetime) -> Place | None:
        """Where an instant stands, None where values are no times."""
        if self.format in ("number", "text"):
            return None
        return (now.date() - _DAY).days if self.format == "date" else _micros(now)

    def written(self, place: Place) -> str:
        """As it is sent; never later than the place."""
        if self.send in ("number", "text"):
            return str(place)
        micros = int(place) * 86_400 * _SECOND if self.format == "date" else int(place)
        if self.send == "epoch":
            return str(micros // _SECOND)
        if self.send == "epoch_ms":
            return str(micros // 1000)
        instant = _EPOCH + timedelta(microseconds=micros)
        if self.send == "date":
            return instant.date().isoformat()
        return instant.isoformat(timespec="microseconds" if instant.microsecond else "seconds").replace("+00:00", "Z")

    def kept(self, place: Place) -> str:
        """For a cursor's value; `read` makes a place of it again."""
        return str(place)

    def read(self, kept: str) -> Place:
        if self.format == "text":
            return kept
        return Decimal(kept) if "." in kept or "E" in kept else int(kept)


def _instant(text: str) -> int:
    found = datetime.fromisoformat(text.strip())
    return _micros(found if found.tzinfo is not None else found.replace(tzinfo=UTC))


def _micros(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(microseconds=1)
