"""Figures over loads as small SVG."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from catchment.answers import QualityOfLoad
from catchment.silver.usual import shown

_WIDTH, _HEIGHT, _EDGE = 320.0, 72.0, 6.0
_WIDEST = 22.0


def score_chart(loads: Sequence[QualityOfLoad]) -> Markup | None:
    """The score of each load as a line; None with fewer than two scores."""
    told = [(place, one, one.score) for place, one in enumerate(loads) if one.score is not None]
    if len(told) < 2:
        return None
    step = (_WIDTH - 2 * _EDGE) / max(len(loads) - 1, 1)
    # From below the lowest score, but never so near that a tenth of a point looks like a fall.
    least = min(90.0, *(score for _, _, score in told))
    dots = []
    for place, one, score in told:
        high = (score - least) / (100 - least)
        dots.append((_EDGE + place * step, _HEIGHT - _EDGE - high * (_HEIGHT - 2 * _EDGE), one, score))
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in dots)
    marks = [
        Markup('<circle cx="{:.1f}" cy="{:.1f}" r="3"{}><title>load {}: {}{}</title></circle>').format(
            *(x, y, Markup(' class="odd"') if one.unusual else "", one.load, shown("score", score)),
            "".join(f"\n{words}" for words in one.unusual),
        )
        for x, y, one, score in dots
    ]
    words = f"Score of {len(told)} loads, between {least:.0f} and 100"
    return _svg("score", words, [Markup('<polyline points="{}"/>').format(line), *marks])


def rows_chart(loads: Sequence[QualityOfLoad]) -> Markup | None:
    """Rows that each load judged, as bars, the rejected ones on top; None with fewer than two loads."""
    if len(loads) < 2:
        return None
    most = max(one.rows for one in loads) or 1
    step = (_WIDTH - 2 * _EDGE) / len(loads)
    parts = []
    for place, one in enumerate(loads):
        good, bad = (count / most * (_HEIGHT - 2 * _EDGE) for count in (one.rows - one.rejected, one.rejected))
        width = min(max(step * 0.8, 1.0), _WIDEST)
        x = _EDGE + (place + 0.5) * step - width / 2
        parts.append(
            Markup(
                '<g><title>load {}: {:,} rows, {:,} rejected</title><rect x="{:.1f}" y="{:.1f}" width="{:.1f}"'
                ' height="{:.1f}"/><rect class="bad" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/></g>'
            ).format(
                *(one.load, one.rows, one.rejected, x, _HEIGHT - _EDGE - good, width, good),
                *(x, _HEIGHT - _EDGE - good - bad, width, bad),
            )
        )
    return _svg("rows", f"Rows of {len(loads)} loads, at most {most:,}", parts)


def _svg(look: str, words: str, parts: Sequence[Markup]) -> Markup:
    head = Markup('<svg class="chart {}" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">').format(
        look, _WIDTH, _HEIGHT, words
    )
    base = Markup('<line x1="0" x2="{0:g}" y1="{1:g}" y2="{1:g}"/>').format(_WIDTH, _HEIGHT - _EDGE)
    return Markup("").join([head, base, *parts, Markup("</svg>")])
