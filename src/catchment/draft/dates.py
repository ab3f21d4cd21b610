"""What dates look like: from a text whose digits are all 9 to the JDK patterns that may read it."""

from __future__ import annotations

import re

_MONTH = "MMM"
_CLOCK = re.compile(
    r"(?P<gap>[ T])(?P<hour>9{1,2}):99(?P<second>:99)?(?P<fraction>[.]9{1,9})?"
    r"(?P<half> ?[AaPp][Mm])?(?P<zone> ?(?:Z|[+-]99:?99))?"
)
_DAYS: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = (
    (re.compile(r"9999-99-99"), ("yyyy-MM-dd",)),
    (re.compile(r"9999/99/99"), ("yyyy/MM/dd",)),
    (re.compile(r"9999\.99\.99"), ("yyyy.MM.dd",)),
    (re.compile(r"9{1,2}\.9{1,2}\.9999"), ("dd.MM.yyyy",)),
    (re.compile(r"9{1,2}/9{1,2}/9999"), ("dd/MM/yyyy", "MM/dd/yyyy")),
    (re.compile(r"9{1,2}-9{1,2}-9999"), ("dd-MM-yyyy", "MM-dd-yyyy")),
    (re.compile(r"9{1,2} MMM 9999"), ("dd MMM yyyy",)),
    (re.compile(r"9{1,2}-MMM-9999"), ("dd-MMM-yyyy",)),
    (re.compile(r"MMM 9{1,2}, 9999"), ("MMM dd, yyyy",)),
)
_DAY_AT_START = re.compile(r"9999[-/.]99[-/.]99|9{1,2}[./-](?:9{1,2}|MMM)[./-]9999|9{1,2} MMM 9999|MMM 9{1,2}, 9999")

# The same digits read either way: which one is meant can only be told by a day after the twelfth.
TWINS = {"dd/MM/yyyy": "MM/dd/yyyy", "dd-MM-yyyy": "MM-dd-yyyy"}


def shape_sql(text: str) -> str:
    """SQL for a text's shape: digits as 9, English month names as MMM, 40 characters at most."""
    months = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
    named = f"regexp_replace({text}, '\\b({months})\\b', '{_MONTH}', 'i')"
    return f"left(regexp_replace({named}, '[0-9]', '9', 'g'), 40)"


def patterns_of(shape: str) -> tuple[str, ...]:
    """JDK patterns for a shape, none where it is no date; two where day and month cannot be told apart by it."""
    day = _DAY_AT_START.match(shape)
    if day is None:
        return ()
    days = next((patterns for known, patterns in _DAYS if known.fullmatch(day.group())), ())
    rest = shape[day.end() :]
    if not rest:
        return days
    clock = _clock(rest)
    return tuple(pattern + clock for pattern in days) if clock is not None else ()


def _clock(rest: str) -> str | None:
    found = _CLOCK.fullmatch(rest)
    if found is None:
        return None
    half = found["half"]
    if half is None and found["hour"] == "9":
        return None
    parts = ["'T'" if found["gap"] == "T" else " ", "hh" if half else "HH", ":mm", ":ss" if found["second"] else ""]
    if found["fraction"]:
        parts.append("." + "S" * (len(found["fraction"]) - 1))
    if half:
        parts.append(" a" if half.startswith(" ") else "a")
    if found["zone"]:
        parts.append((" " if found["zone"].startswith(" ") else "") + ("XXX" if ":" in found["zone"] else "X"))
    return "".join(parts)


def is_iso(pattern: str) -> bool:
    """Whether the contract needs no format for it: ISO 8601 is read without one."""
    return pattern.startswith("yyyy-MM-dd") and "a" not in pattern and " X" not in pattern


def has_clock(pattern: str) -> bool:
    return "mm" in pattern


def twin(pattern: str) -> str | None:
    """The pattern that reads the same digits with day and month exchanged."""
    for one, other in (*TWINS.items(), *((other, one) for one, other in TWINS.items())):
        if pattern.startswith(one):
            return other + pattern[len(one) :]
    return None
