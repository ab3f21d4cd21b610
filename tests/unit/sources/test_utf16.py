"""UTF-16: places and raw bytes as they lie in the file, however the file is cut into chunks."""

from __future__ import annotations

import itertools
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catchment.errors import DataError, SchemaDrift
from catchment.reading.kinds.files import FileStream
from catchment.records import Budget, Cursor
from catchment.sources.files import found as file_bytes
from catchment.sources.files import utf16
from catchment.sources.files.source import FilesSource
from catchment.testing.sources import committed

ORDERS = st.sampled_from(["utf-16-le", "utf-16-be"])
PIECES = ["a", ",", "\n", "1,2\n", '"', "\r", "\0", "é", "🦊", "\ud800", "\udc00", '"x,\n🦊"', "\ufeff"]


class Folder:
    def __init__(self, path: Path, **how: Any) -> None:
        self.path, self.how = path, how
        self.cursor: Cursor | None = None
        self.notices: list[str] = []

    def rows(self, name: str, content: bytes) -> list[dict[str, Any]]:
        (self.path / name).write_bytes(content)
        source = FilesSource("drops", {"sales": FileStream(path=f"*.{name.split('.')[1]}", **self.how)}, self.path)
        batches = list(source.read(source.feeds()[0], self.cursor, Budget()))
        self.cursor = committed(self.cursor, [batch.cursor for batch in batches if batch.cursor is not None])
        self.notices = [notice.message for batch in batches for notice in batch.notices]
        return [row for batch in batches for row in batch.rows.to_pylist()]


@given(data=st.binary(max_size=60), order=ORDERS, sizes=st.lists(st.integers(1, 9), max_size=20))
def test_any_bytes_come_back_as_they_were(data: bytes, order: utf16.Order, sizes: list[int]) -> None:
    stops = [*itertools.accumulate(sizes), len(data)]
    chunks = [data[a:b] for a, b in itertools.pairwise([0, *stops]) if data[a:b]]
    parts = list(utf16.recoded(iter(chunks), order))
    assert utf16.as_written(b"".join(parts), order) == data
    assert b"".join(parts) == b"".join(utf16.recoded(iter([data]), order))


@given(text=st.text(max_size=40), data=st.data())
def test_places_are_counted_in_units_of_two_bytes(text: str, data: st.DataObject) -> None:
    chosen = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=10)))
    starts = np.array([len(text[:place].encode()) for place in chosen], np.int64)
    assert utf16.places(text.encode(), starts).tolist() == [len(text[:p].encode("utf-16-le")) for p in chosen]


@given(text=st.text(min_size=1, max_size=20), keep=st.integers(0, 80), order=ORDERS)
def test_a_character_that_was_cut_off_is_left_out(text: str, keep: int, order: utf16.Order) -> None:
    assert text.encode(order).startswith(utf16.as_written(text.encode()[:keep], order))


@settings(max_examples=150, deadline=None)
@given(
    pieces=st.lists(st.sampled_from(PIECES), max_size=25), order=ORDERS, single=st.booleans(), chunk=st.integers(1, 40)
)
def test_every_byte_belongs_to_one_row_and_rows_are_those_of_utf_8(
    pieces: list[str], order: utf16.Order, single: bool, chunk: int
) -> None:
    body = "".join(pieces)
    head = "\ufeffa,b\n"
    data = (head + body).encode(order, "surrogatepass") + b"\n" * single
    found = []
    for size in (16 << 20, 2 * chunk):
        with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
            patch.setattr(file_bytes, "CHUNK", max(size, len(head.encode(order))))
            found.append(Folder(Path(name)).rows("a.csv", data))
    assert found[0] == found[1]
    places = [row["_position"] for row in found[0]]
    assert places == sorted(set(places))
    assert all(place % 2 == 0 for place in places)
    for row, stop in zip(found[0], [*places, len(data)][1:], strict=True):
        if row["_defect"] is not None:
            written = data[row["_position"] : stop]
            assert written.startswith(row["_raw"])
            assert not written[len(row["_raw"]) :].decode(order).strip("\r\n")
    try:
        text = data.decode(order)
    except UnicodeDecodeError:
        return
    with TemporaryDirectory() as name:
        plain = Folder(Path(name), encoding="utf-8").rows("a.csv", text.encode())
    values = [[(row["a"], row["b"], row["_defect"] is None) for row in rows] for rows in (found[0], plain)]
    assert values[0] == values[1]


def test_a_row_that_is_no_text_says_where_and_keeps_its_bytes(tmp_path: Path) -> None:
    data = "\ufeffa,b\n1,é\n".encode("utf-16-le") + "x,\udc00\n2,z\n".encode("utf-16-le", "surrogatepass") + b"3"
    good, bad, fine, cut = Folder(tmp_path).rows("a.csv", data)
    assert [(row["a"], row["b"]) for row in (good, fine)] == [("1", "é"), ("2", "z")]
    assert [row["_position"] for row in (good, bad, fine, cut)] == [10, 18, 26, 34]
    assert bad["_defect"] == "not valid UTF-16 at byte 4 of the row"
    assert bad["_raw"] == "x,\udc00".encode("utf-16-le", "surrogatepass")
    assert cut["_raw"] == b"3"


def test_what_was_found_is_pinned_and_told(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert [row["b"] for row in folder.rows("a.csv", "a;b\n1;é\n".encode("utf-16"))] == ["é"]
    assert folder.cursor is not None
    assert folder.cursor.value["dialect"]["encoding"] == "utf-16"
    assert "encoding 'utf-16'" in folder.notices[0]
    big = b"\xfe\xff" + "a;b\n2;ü\n".encode("utf-16-be")
    assert [row["b"] for row in folder.rows("b.csv", big)] == ["ü"]
    with pytest.raises(DataError, match="byte order mark") as error:
        folder.rows("c.csv", b"a;b\n3;x\n")
    assert "utf-16-le" in str(error.value.hint)


def test_other_encodings_do_not_mix_with_it(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.rows("a.csv", b"a,b\n1,x\n")
    with pytest.raises(SchemaDrift, match=r"b\.csv is written in utf-16-le; drops\.sales is read as utf-8"):
        folder.rows("b.csv", "a,b\n2,y\n".encode("utf-16"))


def test_without_a_mark_it_must_be_declared(tmp_path: Path) -> None:
    data = "a,b\n1,é\n".encode("utf-16-le")
    (tmp_path / "found").mkdir()
    with pytest.raises(DataError, match="NUL") as error:
        Folder(tmp_path / "found").rows("a.csv", data)
    assert "`encoding: utf-16-le`" in str(error.value.hint)
    assert Folder(tmp_path, encoding="utf-16-le").rows("a.csv", data)[0]["b"] == "é"
    with pytest.raises(SchemaDrift):
        Folder(tmp_path, encoding="utf-16-be").rows("b.csv", b"\xff\xfe" + data)


def test_utf_32_is_refused_with_a_cure(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="UTF-32") as error:
        Folder(tmp_path).rows("a.csv", "a,b\n1,x\n".encode("utf-32"))
    assert "iconv" in str(error.value.hint)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", "\ufeffa,b\n".encode("utf-16-le")])
def test_a_file_without_rows_lands_nothing(tmp_path: Path, data: bytes) -> None:
    assert Folder(tmp_path, encoding="utf-16").rows("a.csv", data) == []


def test_large_files_are_read_in_chunks_with_every_byte_in_one_row(tmp_path: Path) -> None:
    lines = [f'{n},"{"🦊é"[n % 2] * (n % 97)}"\n' for n in range(150_000)]
    data = ("\ufeffa,b\n" + "".join(lines)).encode("utf-16-be")
    rows = Folder(tmp_path).rows("a.csv", data)
    assert [row["a"] for row in rows] == [str(n) for n in range(150_000)]
    places = [*(row["_position"] for row in rows), len(data)]
    assert [data[a:b].decode("utf-16-be") for a, b in itertools.pairwise(places)] == lines


def test_a_line_without_end_is_one_defect_with_its_length_in_the_file(tmp_path: Path) -> None:
    size = 18 << 20
    data = ("\ufeffa,b\n1,a\n" + "é" * size + "\n2,b\n").encode("utf-16-le")
    rows = Folder(tmp_path).rows("a.csv", data)
    assert [row["_position"] for row in rows] == [10, 18, 18 + 2 * size + 2]
    assert f"of {2 * size:,} bytes are kept" in rows[1]["_defect"]
    assert rows[1]["_raw"] == "é".encode("utf-16-le") * (32 << 10)
