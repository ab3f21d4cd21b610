"""Figures as people read them: thousands separators, one unit, UTC."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from unicodedata import east_asian_width


def plural(number: int, noun: str) -> str:
    """`1 file`, `48,210 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def seconds(duration: float) -> str:
    """`0.4 s`, `2 min 5 s`, `1 h 3 min`."""
    if duration < 59.95:
        return f"{duration:.1f} s"
    minutes, rest = divmod(round(duration), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def size(number: float) -> str:
    """Bytes in powers of ten: `812 bytes`, `11 MB`, `1.4 GB`."""
    if number < 1000:
        return f"{number:.0f} bytes"
    for unit in ("kB", "MB", "GB", "TB"):
        number /= 1000
        if number < 999.5 or unit == "TB":
            break
    return f"{number:.1f} {unit}" if number < 9.95 else f"{number:.0f} {unit}"


def about(number: int) -> str:
    """A count at a glance: `4,112`, `42,481`, `1.2 M`."""
    return f"{number:,}" if number < 1_000_000 else f"{number / 1_000_000:.1f} M"


def share(part: float) -> str:
    """`3.5 %`; what is there is never rounded to nothing, what lacks never to all."""
    percent = part * 100
    if 0 < percent < 0.05:
        return "< 0.1 %"
    if 99.95 <= percent < 100:
        return "> 99.9 %"
    return f"{percent:.1f} %" if percent not in (0, 100) else f"{percent:.0f} %"


def instant(moment: datetime | None, *, at: str = "minutes") -> str:
    """`2026-11-21 09:14`, in UTC; `-` where there is none."""
    if moment is None:
        return "-"
    known = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return known.astimezone(UTC).strftime("%Y-%m-%d %H:%M" if at == "minutes" else "%Y-%m-%d %H:%M:%S")


def width(text: str) -> int:
    """Columns that a text takes on a terminal."""
    return len(text) if text.isascii() else sum(2 if east_asian_width(sign) in "WF" else 1 for sign in text)


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """The text and spaces, `columns` wide on a terminal; a longer text as it is."""
    room = " " * (columns - width(text))
    return room + text if right else text + room


def aligned(rows: Iterable[Sequence[str]], *, right: frozenset[int] = frozenset(), gap: str = "  ") -> list[str]:
    """One line a row, the columns under each other; those of `right` (from 0) end together, figures do."""
    table = [list(row) for row in rows]
    if not table:
        return []
    widths = [max(width(row[place]) for row in table) for place in range(len(table[0]))]
    return [
        gap.join(pad(cell, widths[place], right=place in right) for place, cell in enumerate(row)).rstrip()
        for row in table
    ]


def figures_behind(commits: int | None, *, reset: bool) -> str:
    """How far a live figure is behind silver; None where all rows are to be taken."""
    if commits is None:
        return "to be fed anew" if reset else "never fed"
    return plural(commits, "commit") if commits else "-"
