"""Lengths of time as people write them: `24 hours`, `2 days`, `90 min`, `30s`."""

from __future__ import annotations

import re

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(
    r"\s*(?P<number>[0-9]+)\s*(?P<unit>s|sec|seconds?|m|min|minutes?|h|hours?|d|days?|w|weeks?)\s*", re.IGNORECASE
)


def pace(text: str) -> float | None:
    """A length of time in seconds, which may be in milliseconds: `250ms`; None where the text is none."""
    found = re.fullmatch(r"\s*([0-9]+)\s*(?:ms|milliseconds?)\s*", text, re.IGNORECASE)
    return seconds(text) if found is None else int(found[1]) / 1000


def seconds(text: str) -> int | None:
    """A length of time in seconds, None where the text is none."""
    found = _DURATION.fullmatch(text)
    return None if found is None else int(found["number"]) * _SECONDS[found["unit"][0].lower()]
