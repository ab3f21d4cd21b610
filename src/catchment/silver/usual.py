"""Whether a load is like the loads before it: a band for each figure, and words where one lies beside its band."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, sqrt

from catchment.answers import Measured
from catchment.contract import LEAST_LOADS, Usual
from catchment.silver.quality import REFINE, Figure, Load
from catchment.silver.rules import tenths

# Makes the median absolute deviation of a normal distribution its standard deviation.
_NORMAL = 1.4826

# Figures from 0 to 1, and those of which one side only is bad.
_SHARES = frozenset({"rejected_share", "nulls", "true"})
_ONLY_HIGH_IS_BAD = frozenset({"rejected_share", "freshness"})
_ONLY_LOW_IS_BAD = frozenset({"score"})
_UNBANDED = frozenset({"good", "rejected"})  # rows and the share say it
_MOST = {**dict.fromkeys(_SHARES, 1.0), "score": 100.0}

# No band is narrower than this, so that what was always the same may change a little: one point of a percentage,
# a twentieth of an amount, a tenth of an age or a minute, for runs do not start to the second.
_A_POINT, _A_TWENTIETH, _A_TENTH, _A_MINUTE = 0.01, 0.05, 0.1, 60.0


# From here on a mean is told as a power of ten.
_LONG = 1e15


@dataclass(frozen=True)
class Compared:
    """A figure with its band, and in words what is unusual about it; None where nothing is."""

    figure: Measured
    words: str | None = None


def compared(load: Load, before: Sequence[Load], usual: Usual) -> list[Compared]:
    """Every figure of a load beside those of the loads `before` it, oldest first, that brought new rows.

    What was made anew, or had waited, is no load like the others and has no bands.
    """
    window = [one for one in before if one.kind == REFINE][-usual.loads :] if load.kind == REFINE else []
    return [_compared(name, load, window, usual) for name in load.figures]


def unusual(load: Load, before: Sequence[Load], usual: Usual) -> list[str]:
    """What is unusual about a load, as far as `usual` covers it."""
    found = compared(load, before, usual)
    return [one.words for one in found if one.words and usual.covers(one.figure.measure, one.figure.column)]


def _compared(name: Figure, load: Load, window: Sequence[Load], usual: Usual) -> Compared:
    measure, column = name
    value = load.figures[name]
    values = [one.figures[name] for one in window if name in one.figures]
    if len(values) < LEAST_LOADS or measure in _UNBANDED:
        return Compared(Measured(measure, column, value))
    low, high = band(values, measure, load.figures["rows", None], usual.deviations)
    figure = Measured(measure, column, value, low, high)
    beside = (low is not None and value < low) or (high is not None and value > high)
    told = f"{_sentence(figure)}, usually {between(figure)} ({len(values)} loads)"
    return Compared(figure, told if beside else None)


def band(values: Sequence[float], measure: str, rows: float, deviations: float) -> tuple[float | None, float | None]:
    """Between what a figure usually lies, for a load of so many rows; None on a side on which nothing is bad.

    The median, and `deviations` times 1.4826 median absolute deviations on both sides: a few odd loads move neither.
    None on both sides where numbers are too large to compute with.
    """
    middle = statistics.median(values)
    spread = _NORMAL * statistics.median(abs(value - middle) for value in values)
    width = max(deviations * spread, _least_width(measure, middle, rows, deviations))
    if not isfinite(2 * middle) or not isfinite(middle + width):
        return None, None
    low: float | None = middle - width
    high: float | None = min(middle + width, _MOST.get(measure, middle + width))
    if measure not in ("mean", "freshness"):
        low = max(0.0, middle - width)
    return None if measure in _ONLY_HIGH_IS_BAD else low, None if measure in _ONLY_LOW_IS_BAD else high


def _least_width(measure: str, middle: float, rows: float, deviations: float) -> float:
    """What never counts as unusual; of counts and shares at least what chance alone does in so many rows."""
    if measure == "rows":
        return max(_A_TWENTIETH * middle, deviations * sqrt(max(middle, 1.0)))
    if measure in _SHARES:
        return max(_A_POINT, deviations * _chance(middle, rows))
    if measure == "score":
        return 100 * max(_A_POINT, deviations * _chance(middle / 100, rows))
    if measure == "freshness":
        return max(_A_TENTH * abs(middle), _A_MINUTE)
    return _A_TWENTIETH * abs(middle)


def _chance(share: float, rows: float) -> float:
    """The standard deviation of a share of so many rows; of none or all, as if it were one row."""
    return sqrt(max(share * (1 - share), 1 / rows) / rows) if rows >= 1 else 1.0


def _sentence(figure: Measured) -> str:
    """`412 rows`, `amount: 31 % null`."""
    value = shown(figure.measure, figure.value)
    words = {
        "rows": f"{value} {'row' if figure.value == 1 else 'rows'}",
        "rejected_share": f"{value} rejected",
        "score": f"score {value}",
        "freshness": f"newest row {value} old",
        "nulls": f"{value} null",
        "mean": f"mean {value}",
        "true": f"{value} true",
        "length": f"mean length {value}",
    }[figure.measure]
    return words if figure.column is None else f"{figure.column}: {words}"


def between(figure: Measured) -> str:
    """Its band: `9,800 to 11,200`, `at most 0.5 %`, `at least 98.1`; nothing without one."""
    low, high = (None if bound is None else shown(figure.measure, bound) for bound in (figure.low, figure.high))
    if low is not None and high is not None:
        return f"{low} to {high}"
    return f"at least {low}" if low is not None else f"at most {high}" if high is not None else ""


def shown(measure: str, value: float) -> str:
    """A figure as people read it."""
    if measure in ("rows", "good", "rejected"):
        return f"{value:,.0f}"
    if measure in _SHARES:
        return f"{100 * value:.3g} %"
    if measure == "score":
        return tenths(value)
    if measure == "freshness":
        return _age(value)
    return f"{value:,.0f}" if 1e4 <= abs(value) < _LONG else f"{value:,.4g}"


def _age(seconds: float) -> str:
    """In its largest fitting unit: `40 s`, `26 h`, `3 days`."""
    if abs(seconds) < 120:
        return f"{seconds:.0f} s"
    if abs(seconds) < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if abs(seconds) < 48 * 3600 else f"{seconds / 86400:,.0f} days"
