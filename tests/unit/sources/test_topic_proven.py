"""What is proven in one go is JSON, each text by itself; what is not is told the same as one by one."""

from __future__ import annotations

import json
import random

import numpy as np
import pyarrow as pa
import pytest

from catchment.sources.topic import proven, rows

_PARTS = [b",", b":", b"[", b"]", b"{", b"}", b'"', b'"a"', b'"x":', b"1", b"-0", b"1e5", b" ", b"\n", b"\\", b"\xc3"]
_GOOD = [
    b'{"a":1}',
    b"[]",
    b"null",
    b'"\\u00e9"',
    b" {} ",
    b"[1,[2,{}]]",
    b'"\xc3\xa9"',
    b"1.5e3",
    b"[]\n",
    b'{"a":1}\r\n',
]
_ODD = [b'{"a":NaN}', b"[1,]", b"123456789012345678901234567890", b'"\\ud800"', b"\xff", b"", b"[" * 2000 + b"]" * 2000]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proven, "_AT_ONCE", 32)


def all_proven(*values: bytes) -> bool:
    return all(is_json for _, is_json in proven.Proof().parts(pa.array(values, pa.binary())))


@pytest.mark.parametrize(
    "values",
    [
        [b'{},"x":{}', b'{"a":{}', b"{}}"],  # three values, and the comma between two of them is inside of one
        [b"1", b'[{"a":1', b"2}]", b'3,"":4'],
        [b"[1", b"2]"],
        [b'{"a":"', b'"}'],
        [b"1,2"],
        [b'1},{"x":1'],
        [b"1}"],
        [b'"\xc3', b'\xa9"'],
        [b" "],
        [b""],
    ],
)
def test_none_that_begins_or_ends_within_another_is_proven(
    values: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proven, "_AT_ONCE", 1 << 20)
    assert not all_proven(*values)


def test_the_key_between_two_is_another_each_time() -> None:
    """Who knew it could write messages that pass as several."""
    assert proven.Proof()._key != proven.Proof()._key


def test_good_ones_are_proven_but_for_those_that_lose_a_line_end() -> None:
    parts = list(proven.Proof().parts(pa.array(_GOOD, pa.binary())))
    assert len(parts) > 1
    assert [b"\n" not in b"".join(part.to_pylist()) for part, _ in parts] == [is_json for _, is_json in parts]


def test_a_part_that_is_too_long_is_left_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proven, "_LONGEST", 1000)
    assert not all_proven(json.dumps("x" * 1000).encode())
    assert all_proven(json.dumps("x" * 500).encode())


@pytest.mark.parametrize("bad", [300, 4000])
def test_all_is_told_the_same_as_one_by_one(bad: int) -> None:
    """Among many that are none all are asked about one by one, among few their neighbours."""
    drawn = random.Random(5)
    texts = [b"".join(drawn.choices(_PARTS, k=drawn.randrange(1, 7))) for _ in range(bad)]
    texts += drawn.choices(_GOOD[:-2] if bad < 1000 else _GOOD, k=40_000) + drawn.choices(_ODD, k=100)
    drawn.shuffle(texts)
    values = pa.array([b"not read", *texts], pa.binary()).slice(1)  # as one of several of a batch
    told, good, reasons = (quick := rows._Json()).read(values)
    slowly, good_slowly, reasons_slowly = quick._each(values)
    assert told.equals(slowly)
    assert np.array_equal(good, good_slowly)
    assert reasons == reasons_slowly
    assert bad / 4 < len(reasons) < len(texts) / 2


def test_what_is_proven_is_json_one_by_one() -> None:
    drawn = random.Random(7)
    texts = [b"".join(drawn.choices(_PARTS, k=drawn.randrange(1, 7))) for _ in range(10_000)]
    texts += drawn.choices(_GOOD, k=20_000)
    drawn.shuffle(texts)
    asked = rows._Json()
    proved = [part for part, is_json in proven.Proof().parts(pa.array(texts, pa.binary())) if is_json]
    assert len(proved) > 100
    for part in proved:
        text, _, reasons = asked._each(part)
        assert not reasons
        assert text.equals(part.view(pa.string()))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 50])
def test_the_number_of_a_schema_is_taken_off_whatever_the_number_of_messages(count: int) -> None:
    values = [b"\0\0\0\0\1" + b'{"n":%d}' % number for number in range(count)]
    told, defects = rows.Numbered().read(pa.array([*values, b"7"], pa.binary()))
    assert told.to_pylist() == [*(value[5:].decode() for value in values), "7"]
    assert not defects
