"""JSON that is not one document a line: arrays, single documents, and what is broken in them."""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catchment.reading.kinds.files import FileStream
from catchment.records import Budget
from catchment.sources.files.cuts import Cut
from catchment.sources.files.json_documents import DocumentCutter
from catchment.sources.files.json_lines import Validity
from catchment.sources.files.source import FilesSource

VALIDITY = Validity()
BLANKS = st.text(" \t\r\n", max_size=3)
TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=8)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def rows(folder: Path, content: bytes, name: str = "a.json", **how: Any) -> list[dict[str, Any]]:
    (folder / name).write_bytes(content)
    source = FilesSource("drops", {"calls": FileStream(path=name, **how)}, folder)
    return [row for batch in source.read(source.feeds()[0], None, Budget()) for row in batch.rows.to_pylist()]


def documents(found: list[dict[str, Any]]) -> list[str | None]:
    return [row["document"] for row in found]


class Fed:
    """What a cutter finds when it is fed bit by bit, as a file's body does it."""

    def __init__(self, data: bytes, size: int, *, array: bool, longest: int = 1 << 20) -> None:
        cutter = DocumentCutter("utf-8", VALIDITY, array=array, longest=longest)
        self.found: list[tuple[int, str]] = []
        self.rest: tuple[int, str] | None = None
        waiting, offset = b"", 0
        chunks = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
        for place, chunk in enumerate(chunks):
            waiting += chunk
            cut = cutter.cut(waiting, last=place == len(chunks) - 1)
            self._take(cut, offset)
            if cut.rest is not None:
                self.rest = offset + cut.used, cut.rest
                return
            offset, waiting = offset + cut.used, waiting[cut.used :]

    def _take(self, cut: Cut, offset: int) -> None:
        good = [
            (offset + at, text) for at, text in zip(cut.starts.tolist(), cut.rows["document"].to_pylist(), strict=True)
        ]
        self.found += sorted([*good, *((offset + defect.start, defect.reason) for defect in cut.defects)])


@st.composite
def arrays(draw: st.DrawFn) -> tuple[list[Any], bytes]:
    """What follows the opening bracket, and what was written."""
    items = draw(st.lists(DOCUMENTS, max_size=6))
    plain = draw(st.booleans())
    words = [json.dumps(item, ensure_ascii=plain, indent=draw(st.sampled_from([None, 1]))) for item in items]
    text = ",".join(f"{draw(BLANKS)}{word}{draw(BLANKS)}" for word in words)
    return items, f"{text}{draw(BLANKS)}]{draw(BLANKS)}".encode()


@settings(max_examples=150, deadline=None)
@given(written=arrays(), size=st.integers(1, 30))
def test_an_array_gives_its_documents_however_it_is_fed(written: tuple[list[Any], bytes], size: int) -> None:
    items, data = written
    whole, bits = Fed(data, len(data), array=True), Fed(data, size, array=True)
    assert [json.loads(text) for _, text in whole.found] == items
    assert whole.rest is None
    assert all(data[at:].decode().startswith(text) for at, text in whole.found)
    assert (bits.found, bits.rest) == (whole.found, whole.rest)


@settings(max_examples=200, deadline=None)
@given(written=arrays(), size=st.integers(1, 30), at=st.integers(0, 200), put=st.binary(max_size=2), data=st.data())
def test_a_broken_array_gives_the_documents_before_the_break_and_one_defect(
    written: tuple[list[Any], bytes], size: int, at: int, put: bytes, data: st.DataObject
) -> None:
    good = Fed(written[1], len(written[1]), array=True).found
    at %= len(written[1])
    broken = written[1][:at] + put + (b"" if data.draw(st.booleans()) else written[1][at + 1 :])
    whole, bits = Fed(broken, max(1, len(broken)), array=True), Fed(broken, size, array=True)
    assert (bits.found, bits.rest) == (whole.found, whole.rest)
    before = [(start, text) for start, text in good if start + len(text.encode()) < at]
    assert whole.found[: len(before)] == before


@settings(max_examples=80, deadline=None)
@given(items=st.lists(DOCUMENTS, max_size=5), size=st.integers(1, 30))
def test_documents_over_several_lines_are_found_one_after_the_other(items: list[Any], size: int) -> None:
    data = "\n".join(json.dumps(item, indent=1, ensure_ascii=False) for item in items).encode()
    whole, bits = Fed(data, max(1, len(data)), array=False), Fed(data, size, array=False)
    assert [json.loads(text) for _, text in whole.found] == items
    assert (bits.found, bits.rest) == (whole.found, whole.rest)


@pytest.mark.parametrize("size", [3, 10, 1000])
def test_a_document_that_is_too_long_ends_the_file_however_it_is_fed(size: int) -> None:
    data = b'{"a": 1}, {"b": "' + b"x" * 100 + b'"}, {"c": 3}]'
    fed = Fed(data, size, array=True, longest=50)
    assert fed.found == [(0, '{"a": 1}')]
    assert fed.rest is not None
    assert fed.rest[0] == 10
    assert "a document that is broken or of more than 50 bytes" in fed.rest[1]


def test_every_byte_of_an_array_belongs_to_one_row(tmp_path: Path) -> None:
    data = b'\n [ {"id": 1, "zip": "007"},\n{"id": 2},\t3 , "x" ]\n'
    found = rows(tmp_path, data)
    assert documents(found) == ['{"id": 1, "zip": "007"}', '{"id": 2}', "3", '"x"']
    assert [row["_position"] for row in found] == [4, 29, 40, 44]


@pytest.mark.parametrize(("data", "found"), [("1, 2 ", ["1", "2"]), ("1, 2", ["1"]), ("null\n", ["null"])])
def test_a_number_counts_in_an_array_that_is_cut_off_where_a_blank_shows_its_end(data: str, found: list[str]) -> None:
    for size in (1, 100):
        fed = Fed(data.encode(), size, array=True)
        assert [text for _, text in fed.found] == found
        assert fed.rest is not None
        assert "the array is not closed" in fed.rest[1]


def test_a_break_costs_what_follows_as_one_defect(tmp_path: Path) -> None:
    data = b'[{"id": 1}, {"id": 2}, {"id": }, {"id": 4}]'
    found = rows(tmp_path, data)
    assert documents(found) == ['{"id": 1}', '{"id": 2}', None]
    assert found[2]["_raw"] == b'{"id": }, {"id": 4}]'
    assert found[2]["_position"] == 23
    assert found[2]["_defect"].startswith("not valid JSON: Expecting value")
    assert found[2]["_defect"].endswith("what follows in the file cannot be read")


@pytest.mark.parametrize(
    ("tail", "raw", "why"),
    [
        (b"", b"", "not closed"),
        (b",", b"", "not closed"),
        (b", 12", b"12", "not closed"),
        (b', {"id', b'{"id', "not valid JSON"),
        (b",]", b"]", "not valid JSON"),
        (b"] x", b"x", "text after the array"),
        (b' {"id": 2}]', b'{"id": 2}]', "no comma"),
    ],
)
def test_an_array_that_does_not_end_well_keeps_what_was_whole(
    tmp_path: Path, tail: bytes, raw: bytes, why: str
) -> None:
    good, bad = rows(tmp_path, b'[{"id": 1}' + tail)
    assert good["document"] == '{"id": 1}'
    assert bad["_raw"] == raw
    assert why in bad["_defect"]


def test_what_only_duckdb_refuses_costs_its_own_row(tmp_path: Path) -> None:
    found = rows(tmp_path, b'[{"x": "\\ud800"}, {"y": "caf\xe9"}, {"z": 1}]')
    assert documents(found) == [None, None, '{"z": 1}']
    assert [row["_raw"] for row in found[:2]] == [b'{"x": "\\ud800"}', b'{"y": "caf\xe9"}']
    assert found[1]["_defect"] == "not valid UTF-8 at byte 10 of the row"


def test_a_single_document_is_one_row(tmp_path: Path) -> None:
    text = json.dumps({"id": 1, "lines": [{"sku": "a"}, {"sku": "b"}]}, indent=2)
    assert documents(rows(tmp_path, text.encode())) == [text]


@pytest.mark.parametrize(
    "text", ['{"id": 1}\n{"id": 2}\n', '{"id": 1}\n{broken\n{"id": 2}', "[1]\n[2]\n", '{"a":\n{"id": 2}']
)
def test_a_json_file_with_a_document_a_line_is_read_by_lines(tmp_path: Path, text: str) -> None:
    lines = text.splitlines()
    found = rows(tmp_path, text.encode())
    assert [row["document"] or row["_raw"].decode() for row in found] == lines
    assert [row["_position"] for row in found] == [0, *itertools.accumulate(len(line) + 1 for line in lines[:-1])]


def test_lines_stay_lines_where_the_name_or_the_project_says_so(tmp_path: Path) -> None:
    array = b'[{"id": 1}, {"id": 2}]'
    assert documents(rows(tmp_path, array, "a.jsonl")) == [array.decode()]
    assert documents(rows(tmp_path, array, "b.json", format="jsonl")) == [array.decode()]
    assert (
        documents(rows(tmp_path, array, "c.dat", format="json")) == [array.decode()]
        or len(documents(rows(tmp_path, array, "c.dat", format="json"))) == 2
    )


@pytest.mark.parametrize("text", [b"", b" \n", b"[]", b" [ \n] \n"])
def test_a_file_without_documents_lands_nothing(tmp_path: Path, text: bytes) -> None:
    assert rows(tmp_path, text) == []


def test_large_arrays_are_read_in_chunks(tmp_path: Path) -> None:
    items = [{"id": n, "text": "é" * (n % 200)} for n in range(120_000)]
    data = json.dumps(items, ensure_ascii=False).encode()
    assert len(data) > 24 << 20
    found = rows(tmp_path, data)
    assert [json.loads(row["document"])["id"] for row in found] == list(range(120_000))
    places = [row["_position"] for row in found]
    assert all(data[place:].startswith(b'{"id": %d,' % n) for n, place in enumerate(places[::9999]) for n in [n * 9999])


def test_a_break_in_a_large_array_keeps_its_beginning_and_its_length(tmp_path: Path) -> None:
    tail = b'{"id": 2 "x": 1},' + b'{"id": 3},' * 4_000_000
    found = rows(tmp_path, b'[{"id": 1},' + tail)
    assert documents(found) == ['{"id": 1}', None]
    assert found[1]["_raw"] == tail[: 64 << 10]
    assert f"of {len(tail):,} bytes are kept" in found[1]["_defect"]


def test_an_array_in_gzip_that_breaks_off_keeps_its_whole_documents(tmp_path: Path) -> None:
    packed = gzip.compress(json.dumps([{"id": n, "name": f"name {n}"} for n in range(20_000)]).encode())
    found = rows(tmp_path, packed[: len(packed) // 2], "a.json.gz")
    assert [row["_defect"] is None for row in found] == [True] * (len(found) - 1) + [False]
    assert len(found) > 5000
    assert "gzip data ends before its end" in found[-1]["_defect"]


def test_latin_1_and_utf_16_are_read_as_they_are_declared(tmp_path: Path) -> None:
    text = '[{"a": "é"}, {"b": "ü"}]'
    assert documents(rows(tmp_path, text.encode("latin-1"), "a.json", encoding="latin-1")) == [
        '{"a": "é"}',
        '{"b": "ü"}',
    ]
    found = rows(tmp_path, text.encode("utf-16"), "b.json")
    assert documents(found) == ['{"a": "é"}', '{"b": "ü"}']
    assert [row["_position"] for row in found] == [4, 28]
    broken = rows(tmp_path, '[{"é": }]'.encode("utf-16"), "c.json")
    assert broken[0]["_defect"].startswith("not valid JSON: Expecting value at byte 12;")
    assert broken[0]["_raw"] == '{"é": }]'.encode("utf-16-le")
