"""What DuckDB reads as JSON and JSON has not: NaN, Infinity, and a comma before a bracket."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Where a text looks like it, Python's parser says whether it is so: these may stand inside of a string.
_LOOSE = r"(?i)(?:^|[\[:,\s-])(?:nan|inf(?:inity)?)\s*(?:$|[,\]}])|,\s*[\]}]"

# So many bytes are looked at in one go: all that is made of them stays in the processor's cache.
_BLOCK = 1 << 17

_LOWER = 0x20  # the bit that tells small letters, and `]` from `}`
_BEFORE_A_NAME = np.frombuffer(b"[:,-\t\n\v\f\r ", np.uint8)


def not_strict(text: pa.Array) -> dict[int, str]:
    """By place, why texts that DuckDB reads are no JSON; there are no nulls among them."""
    near = np.fromiter(_near(text), np.int64)
    if not len(near):
        return {}
    looks = np.asarray(pc.match_substring_regex(text.take(pa.array(near)), _LOOSE))
    told = ((place, _why(text[place].as_py())) for place in near[looks].tolist())
    return {place: reason for place, reason in told if reason is not None}


def _near(text: pa.Array) -> list[int]:
    """Places of texts that may look like it; it is five times as quick as the pattern."""
    _, ends, data = text.buffers()
    if data is None:
        return []
    bounds = np.frombuffer(ends, np.int32, len(text) + 1, 4 * text.offset)
    octets = np.frombuffer(data, np.uint8, int(bounds[-1]))
    found = [
        start + _marks(octets[start : start + _BLOCK + 2]) for start in range(int(bounds[0]), int(bounds[-1]), _BLOCK)
    ]
    marks = np.concatenate(found) if found else np.zeros(0, np.int64)
    rows = np.searchsorted(bounds, marks, "right") - 1
    # Of names only those that stand where a value may begin.
    is_name = (octets[marks] | _LOWER) >= ord("i")
    begins = (bounds[rows] == marks) | np.isin(octets[marks - 1], _BEFORE_A_NAME)
    places: list[int] = np.unique(rows[~is_name | begins]).tolist()
    return places


def _marks(octets: NDArray[np.uint8]) -> NDArray[Any]:
    """Where a comma stands before a bracket or two blanks, or `na` or `in`, however large."""
    # Results are written over operands that nobody needs any more: the time goes into memory, not into comparing.
    lower = octets | _LOWER
    close, blank, comma = lower == ord("}"), octets <= ord(" "), octets == ord(",")
    after = close[2:] | blank[2:]
    after &= blank[1:-1]
    after |= close[1:-1]
    after &= comma[:-2]
    n = lower == ord("n")
    found = lower[1:] == ord("a")
    found &= n[:-1]
    i = lower[:-1] == ord("i")
    i &= n[1:]
    found |= i
    found[:-1] |= after
    found[-1:] |= comma[-2:-1] & close[-1:]
    return np.flatnonzero(found)


def _why(text: str) -> str | None:
    """Why it is no JSON; None where it is."""
    try:
        json.loads(text, parse_constant=_refused, parse_int=str, parse_float=str)
    except ValueError as error:
        return f"not valid JSON: {getattr(error, 'msg', error)}"
    except RecursionError:
        return None
    return None


def _refused(constant: str) -> None:
    message = f"{constant} is no number of JSON"
    raise ValueError(message)
