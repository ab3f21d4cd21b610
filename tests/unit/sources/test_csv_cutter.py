"""The cutter against Python's csv on valid input, and its two ways against each other on any."""

from __future__ import annotations

import csv
import io
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catchment.sources.files import csv_cutter
from catchment.sources.files.csv_cutter import Cutter, Dialect

LINE_ENDS = ("\n", "\r\n", "\r")
TEXT = st.text(st.sampled_from('ab ,;"\n\ré漢\N{GRINNING FACE}'), max_size=8)
PIECES = [b"a", b",", b",", b'"', b'"', b"\n", b"\r", b"\r\n", b"\0", b"\xc3\xa9", b"\xff", b'""', b',"', b'",']
LINES = [b"x,y\n", b'"p","q"\n', b"\xef\xbb\xbf"]
BYTES = st.lists(st.sampled_from(PIECES + LINES), max_size=40).map(b"".join)


@pytest.fixture(autouse=True)
def _tiny_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrow's own blocks as small as may be, so that their borders are met as well."""
    monkeypatch.setattr(csv_cutter, "_BLOCK", 64)


def cut_all(data: bytes, cutter: Cutter, chunk: int, *, slowly: bool = False) -> list[tuple[int, object]]:
    """Every row with its place in `data` given chunk by chunk: a tuple of fields, or the reason of a defect."""
    found: list[tuple[int, object]] = []
    waiting, offset = b"", 0
    for begin in itertools.count(0, chunk):
        waiting += data[begin : begin + chunk]
        last = begin + chunk >= len(data)
        cut = cutter._slow(waiting, last=last) if slowly and waiting else cutter.cut(waiting, last=last)
        rows = [tuple(row.values()) for row in cut.rows.to_pylist()]
        here: list[tuple[int, object]] = list(zip(cut.starts.tolist(), rows, strict=True))
        here += [(defect.start, defect.reason) for defect in cut.defects]
        found += [(offset + start, row) for start, row in sorted(here, key=lambda item: item[0])]
        waiting, offset = waiting[cut.used :], offset + cut.used
        if last:
            assert waiting == b""
            return found
    raise AssertionError


def written(field: str, always: bool) -> str:
    """A field as CSV. Python's own writer leaves a line feed bare where lines end in CR."""
    return '"' + field.replace('"', '""') + '"' if always or set(field) & set(',"\r\n') else field


def cutter_of(fields: int, **how: object) -> Cutter:
    return Cutter(Dialect(), [f"c{place}" for place in range(fields)], **how)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("error")
@settings(max_examples=150, deadline=None)
@given(
    rows=st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(TEXT, min_size=n, max_size=n), min_size=1, max_size=8)),
    end=st.sampled_from(LINE_ENDS),
    always=st.booleans(),
    chunk=st.sampled_from([1, 2, 3, 5, 16, 1 << 20]),
    closed=st.booleans(),
)
def test_valid_csv_is_read_as_python_reads_it(
    rows: list[list[str]], end: str, always: bool, chunk: int, closed: bool
) -> None:
    text = "".join(",".join(written(field, always or len(row) == 1) for field in row) + end for row in rows)
    text = text if closed else text.removesuffix(end)
    expected = [tuple(row) for row in csv.reader(io.StringIO(text, newline="")) if row]
    data = text.encode()
    for slowly in (False, True):
        found = cut_all(data, cutter_of(len(rows[0])), chunk, slowly=slowly)
        assert [tuple("" if field is None else field for field in row) for _, row in found] == expected  # type: ignore[attr-defined]


@settings(max_examples=300, deadline=None)
@given(data=BYTES, fields=st.integers(1, 3), longest=st.sampled_from([10, 25, 1000]))
def test_any_bytes_give_the_same_rows_fast_and_slow_whole_and_in_pieces(data: bytes, fields: int, longest: int) -> None:
    cutter = cutter_of(fields, longest=longest)
    whole = cut_all(data, cutter, max(len(data), 1))
    for chunk in (1, 2, 7, 20):
        assert cut_all(data, cutter, chunk) == whole
    assert cut_all(data, cutter, max(len(data), 1), slowly=True) == whole


@settings(max_examples=300, deadline=None)
@given(data=BYTES, fields=st.integers(1, 3))
def test_every_byte_belongs_to_exactly_one_row(data: bytes, fields: int) -> None:
    starts = [place for place, _ in cut_all(data, cutter_of(fields), max(len(data), 1))]
    assert starts == sorted(set(starts))
    body = data.lstrip(b"\r\n")  # blank lines before the first row belong to the header
    slices = [data[start:stop] for start, stop in itertools.pairwise([*starts, len(data)])]
    assert b"".join(slices) == body
    assert all(piece.strip(b"\r\n") for piece in slices)


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=200), fields=st.integers(1, 3), chunk=st.sampled_from([1, 9, 1000]))
def test_no_bytes_raise(data: bytes, fields: int, chunk: int) -> None:
    cut_all(data, cutter_of(fields), chunk)
    Cutter(Dialect(encoding="latin-1"), ["a", "b"]).cut(data, last=True)
    Cutter(Dialect(delimiter=";", quote=""), ["a", "b"]).cut(data, last=True)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1,2", "2 fields where 3 are expected"),
        (b"1", "1 field where 3 are expected"),
        (b"1,2,3,4", "4 fields where 3 are expected"),
        (b'1,"2,3', "quote opened and not closed"),
        (b'1,"2"x,3', "text after a closing quote"),
        (b"1,a\0b,3", "NUL byte at byte 3 of the row"),
        (b"1,caf\xe9,3", "not valid UTF-8 at byte 5 of the row"),
    ],
)
def test_a_bad_line_is_a_defect_alone_and_says_why(line: bytes, reason: str) -> None:
    found = cut_all(b"a,b,c\n" + line + b"\n\nd,e,f\n", cutter_of(3), 1 << 20)
    assert found == [(0, ("a", "b", "c")), (6, reason), (8 + len(line), ("d", "e", "f"))]


def test_a_quote_within_a_field_is_text() -> None:
    assert cut_all(b'1,5" pipe\n', cutter_of(2), 99) == [(0, ("1", '5" pipe'))]


def test_an_empty_field_is_null_and_a_quoted_one_is_not() -> None:
    assert cut_all(b',""\n', cutter_of(2), 99) == [(0, (None, ""))]


def test_one_lost_quote_among_quoted_fields_costs_its_own_line_only() -> None:
    good = b'"1","x","y"\n'
    found = cut_all(good * 50 + b'"2","x,y\n' + good * 50, cutter_of(3), 100)
    assert [row for _, row in found if isinstance(row, str)] == ["quote opened and not closed"]
    assert len(found) == 101


def test_a_field_of_a_megabyte_and_one_of_many_lines_are_kept_whole() -> None:
    long, lines = b"x" * (1 << 20), b"line\n" * 500_000
    data = b'1,"' + long + b'"\n2,"' + lines + b'"\n3,' + long + b"\n"
    found = cut_all(data, cutter_of(2), 1 << 20)
    assert [len(row[1]) for _, row in found] == [len(long), len(lines), len(long)]  # type: ignore[index]


def test_latin_1_text_is_read_and_places_are_those_of_the_file() -> None:
    cutter = Cutter(Dialect(encoding="latin-1"), ["a", "b"])
    assert cut_all("é,ü\nx,ÿ\n".encode("latin-1"), cutter, 3) == [(0, ("é", "ü")), (4, ("x", "ÿ"))]


def test_bodies_of_several_files_are_cut_together_only_where_none_reaches_into_the_next() -> None:
    import numpy as np

    cutter = cutter_of(2)
    together = cutter.cut_whole(b"1,a\n2,b\n3,c\n", np.array([0, 8]))
    assert together is not None
    assert together.starts.tolist() == [0, 4, 8]
    assert cutter.cut_whole(b'1,"a\n2",b\n', np.array([0, 5])) is None
