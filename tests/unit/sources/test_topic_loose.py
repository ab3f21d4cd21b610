"""What DuckDB reads as JSON and JSON has not is found wherever it stands, and is not where it only looks so."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from catchment.sources.topic import loose

_PARTS = [
    ",",
    "]",
    "}",
    "[",
    "{",
    '"',
    " ",
    "\t",
    "\r",
    "nan",
    "NaN",
    "inf",
    "Infinity",
    "iN",
    "na",
    "-",
    ":",
    "1",
    "é",
    "x",
]


def everywhere(text: pa.Array) -> dict[int, str]:
    """The same, looked for in every text by the pattern alone."""
    places = np.flatnonzero(np.asarray(pc.match_substring_regex(text, loose._LOOSE))).tolist()
    told = {place: loose._why(text[place].as_py()) for place in places}
    return {place: reason for place, reason in told.items() if reason is not None}


@pytest.mark.parametrize(
    ("text", "is_strict"),
    [
        ('{"a":1}', True),
        ('{"a":1,}', False),
        ('{"a":[1, \t ]}', False),
        ('{"a":"1,]"}', True),
        ('{"a": NaN}', False),
        ('{"a":"NaN, or Infinity ,}"}', True),
        ("[1,nan]", False),
        ("-inf", False),
        ("Infinity", False),
        ('{"information":1,"name":[null]}', True),
    ],
)
def test_one_text_among_others(text: str, is_strict: bool) -> None:
    found = loose.not_strict(pa.array(['{"in":"no"}', text, '"nan"']))
    assert set(found) == (set() if is_strict else {1})


@pytest.mark.parametrize("block", [1, 2, 7, 1 << 17])
@pytest.mark.parametrize("seed", range(3))
def test_no_text_is_missed_wherever_blocks_end(block: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loose, "_BLOCK", block)
    draw = random.Random(seed)
    texts = ["".join(draw.choices(_PARTS, k=draw.randint(0, 6))) for _ in range(400)]
    whole = pa.array(texts)
    for text in (whole, whole[13:377], whole[:0]):
        assert loose.not_strict(text) == everywhere(text)
    assert everywhere(whole)
