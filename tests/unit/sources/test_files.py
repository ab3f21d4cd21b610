"""Files in folders: what is new, what changed, what drifted, and broken ones."""

from __future__ import annotations

import gzip
import itertools
import json
import os
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catchment.errors import ChangedFile, ConfigError, DataError, RetryableError, SchemaDrift
from catchment.records import Batch, Budget, Cursor
from catchment.sources.files import found as file_bytes
from catchment.sources.files.found import reading
from catchment.sources.files.source import FilesSource
from catchment.testing.sources import committed

PIECES = [b"a", b",", b",", b"\n", b"\n", b"1,2\n", b'"', b'",', b',"', b"\r", b"\0", b"\xff"]
RETAIL = Path(__file__).parents[4] / "shared" / "data" / "retail"


@dataclass(frozen=True)
class Settings:
    path: str
    format: Literal["csv", "jsonl", "json", "parquet"] | None = None
    encoding: Literal["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"] | None = None
    delimiter: str | None = None
    quote: str | None = None
    header: list[str] | None = None
    columns: Literal["evolve", "freeze", "quarantine"] = "evolve"
    changed: Literal["fail", "ignore", "reload"] = "fail"
    full: bool = False
    load_per_file: bool = False
    ordered: bool = False


class Folder:
    """A project's folder with one stream, and how far it was read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cursor: Cursor | None = None
        self.notices: list[str] = []

    def write(self, name: str, content: bytes | str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def source(self, path: str = "in/*", **how: Any) -> FilesSource:
        return FilesSource("drops", {"sales": Settings(path, **how)}, self.path)

    def batches(self, path: str = "in/*", budget: Budget | None = None, **how: Any) -> list[Batch]:
        """What is new since the last call, committed."""
        source = self.source(path, **how)
        found = list(source.read(source.feeds()[0], self.cursor, budget or Budget()))
        self.cursor = committed(self.cursor, [batch.cursor for batch in found if batch.cursor is not None])
        self.notices = [notice.kind for batch in found for notice in batch.notices]
        return found

    def rows(self, path: str = "in/*", **how: Any) -> list[dict[str, Any]]:
        return [row for batch in self.batches(path, **how) for row in batch.rows.to_pylist()]

    def values(self, path: str = "in/*", **how: Any) -> list[tuple[Any, ...]]:
        """Good rows without our columns."""
        rows = [row for row in self.rows(path, **how) if row["_defect"] is None]
        return [tuple(value for name, value in row.items() if not name.startswith("_")) for row in rows]

    def describe(self, path: str = "in/*", **how: Any) -> Any:
        source = self.source(path, **how)
        return source.describe(source.feeds()[0], self.cursor)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.mark.shared
@pytest.mark.skipif(not RETAIL.is_dir(), reason="../shared is not here")
@pytest.mark.parametrize("budget", [1, 1_000_000, 1 << 30])
def test_twenty_days_of_retail_are_42481_rows(budget: int) -> None:
    source = FilesSource("drops", {"sales": Settings("data/retail/*.csv")}, RETAIL.parents[1])
    batches = list(source.read(source.feeds()[0], None, Budget(budget)))
    table = pa.concat_tables([batch.rows for batch in batches])
    assert table.num_rows == 42_481
    assert table["_defect"].null_count == 42_481
    sold = zip(table["Quantity"].to_pylist(), table["UnitPrice"].to_pylist(), strict=True)
    total = sum(Decimal(quantity) * Decimal(price) for quantity, price in sold)
    assert total == Decimal("748957.020")


def test_text_lands_as_text_with_its_origin_and_place(folder: Folder) -> None:
    folder.write("in/a.csv", 'id,zip,note\n1,00123,""\n\n2,,"a,b"\n')
    assert folder.rows() == [
        {"_origin": "in/a.csv", "_position": 12, "_defect": None, "_raw": None, "id": "1", "zip": "00123", "note": ""},
        {"_origin": "in/a.csv", "_position": 24, "_defect": None, "_raw": None, "id": "2", "zip": None, "note": "a,b"},
    ]


@pytest.mark.parametrize("packed", [False, True])
def test_a_bad_line_lands_as_a_defect_between_its_neighbours(folder: Folder, packed: bool) -> None:
    text = b"id,name\n1,a\n2,b,c\n3,d\xe9\n4,e\n"
    folder.write("in/a.csv.gz" if packed else "in/a.csv", gzip.compress(text) if packed else text)
    rows = folder.rows(encoding="utf-8")
    assert [row["_position"] for row in rows] == [8, 12, 18, 23]
    assert [(row["_defect"], row["_raw"]) for row in rows[1:3]] == [
        ("3 fields where 2 are expected", b"2,b,c"),
        ("not valid UTF-8 at byte 3 of the row", b"3,d\xe9"),
    ]
    assert folder.cursor is not None
    assert folder.cursor.seen is not None
    assert folder.cursor.seen.column("rows").to_pylist() == [4]


def test_a_long_defect_keeps_64_kb_and_its_length(folder: Folder) -> None:
    folder.write("in/a.csv", b"id,name\n1,a\n" + b"x" * 100_000 + b"\n2,b\n")
    row = folder.rows()[1]
    assert row["_raw"] == b"x" * (64 << 10)
    assert row["_defect"] == "1 field where 2 are expected; the first 65,536 of 100,000 bytes are kept"


def test_a_line_without_end_is_one_defect_and_never_held_whole(folder: Folder) -> None:
    size = 40 << 20
    folder.write("in/a.csv", b"id,name\n1,a\n" + b"x" * size + b"\n2,b\n")
    rows = folder.rows()
    assert [row["_position"] for row in rows] == [8, 12, 12 + size + 1]
    assert f"the first 65,536 of {size:,} bytes" in rows[1]["_defect"]
    assert rows[2]["id"] == "2"


def test_large_files_are_read_in_chunks_with_every_byte_in_one_row(folder: Folder) -> None:
    lines = "".join(f'{n},"line\n{"x" * (n % 97)}"\n' for n in range(600_000))
    path = folder.write("in/a.csv", "id,text\n" + lines)
    batches = folder.batches()
    assert len(batches) > 1
    table = pa.concat_tables([batch.rows for batch in batches])
    assert table.num_rows == 600_000
    assert table["id"].to_pylist() == [str(n) for n in range(600_000)]
    data = path.read_bytes()
    places = [*table["_position"].to_pylist(), len(data)]
    assert data[:8] + b"".join(data[a:b] for a, b in itertools.pairwise(places)) == data
    assert sum(batch.bytes for batch in batches) == len(data)


def test_many_small_files_share_a_batch_and_keep_their_own_places(folder: Folder) -> None:
    for n in range(500):
        folder.write(f"in/{n:03}.csv", f"id,name\n{n},a\n{n},b" + "\n" * (n % 2))
    folder.write("in/250.csv", 'id,name\n250,a\n250,"b')
    batches = folder.batches()
    assert len(batches) == 1
    rows = batches[0].rows.to_pylist()
    assert len(rows) == 1000
    assert all(row["_position"] in (8, 12 + len(row["_origin"][3:-4].lstrip("0") or "0") - 1) for row in rows)
    assert [row["_origin"] for row in rows if row["_defect"]] == ["in/250.csv"]


def test_an_unclosed_quote_at_the_end_of_a_file_does_not_reach_into_the_next(folder: Folder) -> None:
    folder.write("in/a.csv", 'id,name\n1,"a\n')
    folder.write("in/b.csv", 'id,name\n",x\n3,c\n')
    assert [row["_defect"] for row in folder.rows()] == ["quote opened and not closed"] * 2 + [None]


@settings(max_examples=60, deadline=None)
@given(bodies=st.lists(st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join), min_size=1, max_size=5))
def test_small_files_together_give_what_each_gives_alone(bodies: list[bytes]) -> None:
    found = []
    for small in (file_bytes.SMALL, -1):
        with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
            patch.setattr(file_bytes, "SMALL", small)
            folder = Folder(Path(name))
            for number, body in enumerate(bodies):
                folder.write(f"in/{number}.csv", b"id,name\n" + body)
            rows = folder.rows(encoding="utf-8")
            assert folder.cursor is not None
            assert folder.cursor.seen is not None
            found.append((rows, folder.cursor.seen.drop_columns(["modified_us", "read_us"]).to_pylist()))
    assert found[0] == found[1]


def test_empty_and_header_only_files_land_nothing_and_are_not_looked_at_again(folder: Folder) -> None:
    folder.write("in/a.csv", "")
    folder.write("in/b.csv", "id;name\n")
    folder.write("in/c.csv", "\n\n")
    assert folder.rows() == []
    assert not folder.describe().is_new
    folder.write("in/d.csv", "other,columns\n1,2\n")
    assert folder.values() == [("1", "2")]


@pytest.mark.parametrize("text", ["", "\n", "id,name", "id,name\r\n"])
def test_a_file_with_no_rows_has_a_cursor(folder: Folder, text: str) -> None:
    folder.write("in/a.csv", text)
    assert [batch.cursor is not None for batch in folder.batches()] == [True]


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_and_pinned(folder: Folder, sign: str) -> None:
    folder.write("in/a.csv", f'id{sign}name{sign}x\n1{sign}"a,;|"{sign}2.5\n')
    assert folder.values() == [("1", "a,;|", "2.5")]
    assert folder.cursor is not None
    assert folder.cursor.value["dialect"]["delimiter"] == sign


def test_another_delimiter_later_is_drift(folder: Folder) -> None:
    folder.write("in/a.csv", "id,name\n1,a\n")
    folder.values()
    folder.write("in/b.csv", "id;name\n1;a\n")
    with pytest.raises(SchemaDrift, match="';' between fields"):
        folder.values()


def test_a_setting_against_what_was_pinned_is_drift(folder: Folder) -> None:
    folder.write("in/a.csv", "id,name\n1,a\n")
    folder.values()
    folder.write("in/b.csv", "id,name\n1,a\n")
    for how in ({"delimiter": ";"}, {"encoding": "latin-1"}, {"format": "jsonl"}):
        with pytest.raises(SchemaDrift) as error:
            folder.values(**how)
        assert error.value.hint is not None
        assert "again" in error.value.hint


def test_a_byte_order_mark_is_not_part_of_the_first_column(folder: Folder) -> None:
    folder.write("in/a.csv", b"\xef\xbb\xbfid,name\n1,\xc3\xa9\n")
    folder.write("in/b.csv", b"id,name\n2,\xc3\xa9\n")
    assert folder.values() == [("1", "é"), ("2", "é")]


def test_latin_1_is_found_and_utf_8_after_it_is_drift(folder: Folder) -> None:
    folder.write("in/a.csv", "id,name\n1,Zoé\n".encode("latin-1"))
    assert folder.values() == [("1", "Zoé")]
    assert folder.notices == ["dialect"]
    folder.write("in/b.csv", "id,name\n2,Zoé\n")
    with pytest.raises(SchemaDrift, match="UTF-8"):
        folder.values()


def test_one_bad_byte_among_good_lines_does_not_make_a_file_latin_1(folder: Folder) -> None:
    folder.write("in/a.csv", "id,name\n1,Zoé\n2,Noël\n".encode() + b"3,caf\xe9\n")
    assert folder.values() == [("1", "Zoé"), ("2", "Noël")]


def test_what_is_no_text_at_all_is_refused_with_a_cure(folder: Folder) -> None:
    folder.write("in/a.csv", b"\0\1\2\3\n\0\0\n")
    with pytest.raises(DataError, match="does not begin with a CSV header"):
        folder.values()


def test_columns_are_mapped_by_name_whatever_their_order(folder: Folder) -> None:
    folder.write("in/a.csv", "id,name\n1,a\n")
    folder.write("in/b.csv", "name,ID\nb,2\n")
    assert folder.values() == [("1", "a"), ("2", "b")]


def test_new_columns_are_added_and_missing_ones_are_null(folder: Folder) -> None:
    folder.write("in/a.csv", "id,name\n1,a\n")
    folder.write("in/b.csv", "id,colour\n2,red\n")
    batches = folder.batches()
    assert [batch.cursor is not None for batch in batches] == [True, True]
    assert batches[0].rows.schema.names[4:] == ["id", "name"]
    assert batches[1].rows.select(["id", "name", "colour"]).to_pylist() == [{"id": "2", "name": None, "colour": "red"}]
    assert set(folder.notices) == {"columns_added", "columns_missing"}
    assert folder.cursor is not None
    assert folder.cursor.value["columns"] == [["id", "string"], ["name", "string"], ["colour", "string"]]


def test_frozen_columns_stop_with_the_difference(folder: Folder) -> None:
    folder.write("in/a.csv", "id,name\n1,a\n")
    folder.values(columns="freeze")
    folder.write("in/b.csv", "id,colour\n2,red\n")
    with pytest.raises(SchemaDrift, match=r"new: `colour`; missing: `name`"):
        folder.values(columns="freeze")


def test_a_wrong_header_stops_with_a_cure(folder: Folder) -> None:
    folder.write("in/a.csv", "id,name\n1,a\n")
    folder.write("in/b.csv", "7,x\n8,y\n")
    with pytest.raises(SchemaDrift, match="none of the columns") as error:
        folder.values()
    assert "`header: […]`" in str(error.value.hint)


def test_files_without_a_header_take_the_names_given(folder: Folder) -> None:
    folder.write("in/a.csv", "1,a\n2,b\n")
    folder.write("in/b.csv", "id,name\n3,c\n")
    assert folder.values(header=["id", "name"]) == [("1", "a"), ("2", "b"), ("3", "c")]


def test_repeated_and_illegal_headers_get_names_of_their_own(folder: Folder) -> None:
    folder.write("in/a.csv", "id,id,Order Date,,_raw\n1,2,3,4,5\n")
    table = folder.batches()[0].rows
    assert table.schema.names[4:] == ["id", "id_2", "Order_Date", "column_4", "raw"]
    assert folder.notices == ["renamed_columns"]


def test_only_new_files_are_read_and_a_second_name_lands_again(folder: Folder) -> None:
    folder.write("in/a.csv", "id,name\n1,a\n")
    assert len(folder.values()) == 1
    assert folder.values() == []
    folder.write("in/b.csv", "id,name\n1,a\n")
    assert len(folder.values()) == 1
    (folder.path / "in/a.csv").unlink()
    assert folder.values() == []


def test_a_touched_file_is_not_a_changed_one(folder: Folder) -> None:
    path = folder.write("in/a.csv", "id,name\n1,a\n")
    folder.values()
    os.utime(path, (1, 1))
    assert folder.describe().notices == []
    assert folder.values() == []


def test_a_changed_file_stops_or_is_told_once(folder: Folder) -> None:
    folder.write("in/a.csv", "id,name\n1,a\n")
    folder.values()
    folder.write("in/a.csv", "id,name\n1,a\n2,b\n")
    assert [notice.kind for notice in folder.describe().notices] == ["file_changed"]
    with pytest.raises(ChangedFile, match=r"in/a.csv changed after it was read \(20.* UTC\)") as error:
        folder.values()
    assert "`changed: ignore`" in str(error.value.hint)
    assert folder.values(changed="ignore") == []
    assert folder.notices == ["file_changed"]
    assert folder.batches(changed="ignore") == []


def test_a_folder_is_read_with_all_below_it_but_hidden_files(folder: Folder) -> None:
    for name in ("in/b.csv", "in/2026/a.csv", "in/.hidden.csv", "in/_tmp/x.csv", "in/README.md"):
        folder.write(name, "id,name\n1,a\n")
    assert [row["_origin"] for row in folder.rows("in")] == ["in/2026/a.csv", "in/b.csv"]


def test_patterns_reach_into_sub_folders_and_beside_the_project(folder: Folder) -> None:
    folder.write("x/y/a.csv", "id,name\n1,a\n")
    project = Folder(folder.path / "project")
    project.path.mkdir()
    assert [row["_origin"] for row in folder.rows("x/**/*.csv")] == ["x/y/a.csv"]
    assert [row["_origin"] for row in project.rows("../x/**/*.csv")] == ["../x/y/a.csv"]
    absolute = str(folder.path / "x/y/a.csv")
    assert [row["_origin"] for row in Folder(project.path).rows(absolute)] == [absolute]


def test_a_path_that_matches_nothing_is_told(folder: Folder) -> None:
    assert folder.batches("nowhere/*.csv") == []
    assert [notice.kind for notice in folder.describe("nowhere/*.csv").notices] == ["nothing_found"]


def test_several_formats_in_one_stream_need_a_word(folder: Folder) -> None:
    folder.write("in/a.csv", "id,name\n1,a\n")
    folder.write("in/b.jsonl", "{}\n")
    with pytest.raises(ConfigError, match="format"):
        folder.values("in")
    assert folder.values("in", format="csv") == [("1", "a")]


@pytest.mark.parametrize("first", ["", "id\n", "\n\n"])
@pytest.mark.parametrize("changed", ["fail", "ignore"])
def test_a_file_that_was_seen_before_its_first_row_is_read_when_it_has_some(
    folder: Folder, first: str, changed: str
) -> None:
    folder.write("in/a.csv", "id\n1\n")
    folder.write("in/b.csv", first)
    assert len(folder.rows(changed=changed)) == 1
    folder.write("in/b.csv", "id\n2\n3\n")
    assert [row["id"] for row in folder.rows(changed=changed)] == ["2", "3"]
    assert folder.rows(changed=changed) == []


def test_a_file_that_may_not_be_read_is_named() -> None:
    with pytest.raises(DataError, match="cannot read in/a") as error, reading("in/a.csv"):
        raise PermissionError
    assert error.value.hint is not None


def test_a_file_that_vanishes_while_others_are_read_is_worth_another_try(folder: Folder) -> None:
    folder.write("in/a.csv", "id\n1\n")
    path = folder.write("in/b.csv", "id\n2\n")
    source = folder.source()
    batches = source.read(source.feeds()[0], None, Budget(1))
    assert next(batches).cursor is not None
    path.unlink()
    with pytest.raises(RetryableError, match="in/b"):
        next(batches)


@pytest.mark.parametrize("cut", [0, 5, -4, -1])
def test_a_gzip_file_that_breaks_off_lands_what_it_holds_and_one_defect(folder: Folder, cut: int) -> None:
    data = gzip.compress(b"id,name\n" + b"".join(b"%d,name %d\n" % (n, n) for n in range(20_000)))
    folder.write("in/a.csv.gz", data[: len(data) // 2] if cut == 0 else data[:cut])
    rows = folder.rows()
    defects = [row for row in rows if row["_defect"] is not None]
    assert len(defects) == 1
    assert defects[0] is rows[-1]
    assert "gzip data" in defects[0]["_defect"]
    assert defects[0]["_raw"] is not None
    assert len(rows) > 5_000 or cut == 5


@pytest.mark.parametrize("data", [b"no gzip at all", gzip.compress(b"id\n1\n", mtime=0)[:5]])
def test_a_gzip_file_of_which_nothing_can_be_had_is_kept_as_it_lies(folder: Folder, data: bytes) -> None:
    folder.write("in/a.csv", "id\n1\n")
    folder.write("in/b.csv.gz", data)
    assert [row["_raw"] for row in folder.rows()] == [None, data]


def test_a_file_whose_name_is_no_text_is_read_under_its_bytes(folder: Folder) -> None:
    folder.write("in/a.csv", "id\n1\n")
    (folder.path / os.fsdecode(b"in/caf\xe9.csv")).write_text("id\n2\n")
    assert [(row["_origin"], row["id"]) for row in folder.rows()] == [("in/a.csv", "1"), ("in/caf\\xe9.csv", "2")]
    assert folder.rows() == []


def test_a_gzip_file_of_several_members_is_read_whole(folder: Folder) -> None:
    folder.write(
        "in/a.csv.gz", gzip.compress(b"id,name\n") + gzip.compress(b"1,a\n2,") + gzip.compress(b"b\n") + b"\0\0"
    )
    assert folder.values() == [("1", "a"), ("2", "b")]


def test_json_lines_land_whole_and_broken_ones_as_defects(folder: Folder) -> None:
    lines = [b'\n{"id": 1, "zip": "007"}', b"{broken", b"[1, 2]\r", b"", b'{"name": "caf\xe9"}', b'"text"']
    path = folder.write("in/a.jsonl", b"\n".join(lines))
    rows = folder.rows()
    assert [row["document"] for row in rows] == ['{"id": 1, "zip": "007"}', None, "[1, 2]", None, '"text"']
    assert "not valid JSON" in rows[1]["_defect"]
    assert rows[1]["_raw"] == b"{broken"
    assert rows[3]["_defect"] == "not valid UTF-8 at byte 13 of the row"
    data = path.read_bytes()
    places = [row["_position"] for row in rows]
    assert data[places[1] :].startswith(b"{broken")
    assert places[0] == 1


def test_parquet_keeps_types_in_what_a_delta_table_knows(folder: Folder) -> None:
    table = pa.table(
        {
            "u": pa.array([1], pa.uint32()),
            "n": pa.array([1_000_000_001], pa.timestamp("ns")),
            "z": pa.array([1], pa.timestamp("ms", "Europe/Vienna")),
            "d": pa.array(["x"]).dictionary_encode(),
            "t": pa.array([3_600_000_000], pa.time64("us")),
            "l": pa.array([[1]], pa.list_(pa.uint8())),
            "a": pa.array([Decimal("1.50")], pa.decimal128(10, 2)),
        }
    )
    (folder.path / "in").mkdir()
    pq.write_table(table, folder.path / "in/a.parquet")
    rows = folder.batches()[0].rows
    assert [str(kind) for kind in rows.schema.types[4:]] == [
        "int64", "timestamp[us]", "timestamp[us, tz=UTC]", "string", "string", "list<item: int16>", "decimal128(10, 2)",
    ]  # fmt: skip
    assert rows["t"].to_pylist() == ["01:00:00.000000"]
    assert rows["_position"].to_pylist() == [0]


def test_parquet_types_may_widen_but_not_change(folder: Folder) -> None:
    (folder.path / "in").mkdir()
    pq.write_table(pa.table({"id": pa.array([1], pa.int64())}), folder.path / "in/a.parquet")
    pq.write_table(pa.table({"id": pa.array([2], pa.int32())}), folder.path / "in/b.parquet")
    assert folder.values() == [(1,), (2,)]
    pq.write_table(pa.table({"id": ["3"]}), folder.path / "in/c.parquet")
    with pytest.raises(SchemaDrift, match="`id` is string"):
        folder.values()


def test_a_decimal_too_wide_for_a_delta_table_is_refused(folder: Folder) -> None:
    (folder.path / "in").mkdir()
    pq.write_table(pa.table({"x": pa.array([Decimal(1)], pa.decimal256(50, 2))}), folder.path / "in/a.parquet")
    with pytest.raises(DataError, match="decimal256"):
        folder.values()


@pytest.mark.parametrize("keep", [0, 3, 100, -1])
def test_a_truncated_parquet_file_is_one_defect(folder: Folder, keep: int) -> None:
    (folder.path / "in").mkdir()
    path = folder.path / "in/a.parquet"
    pq.write_table(pa.table({"id": list(range(1000))}), path)
    path.write_bytes(path.read_bytes()[:keep])
    rows = folder.rows()
    assert len(rows) == 1
    assert rows[0]["_defect"].startswith("cannot be read as Parquet")
    assert rows[0]["_raw"] == path.read_bytes()
    assert folder.rows() == []


def zst(data: bytes) -> bytes:
    packed: bytes = pa.compress(data, "zstd", asbytes=True)
    return packed


@pytest.mark.parametrize("name", ["in/a.csv.zst", "in/a.csv"])
def test_a_zstandard_file_of_several_frames_is_read_whole(folder: Folder, name: str) -> None:
    path = folder.write(name, zst(b"id,name\n") + zst(b"1,a\n2,") + zst(b"b\n"))
    assert folder.values() == [("1", "a"), ("2", "b")]
    assert folder.cursor is not None
    assert folder.cursor.seen is not None
    assert folder.cursor.seen["size"].to_pylist() == [path.stat().st_size]


@pytest.mark.parametrize("cut", [0, 5, -4, -1])
def test_a_zstandard_file_that_breaks_off_lands_what_it_holds_and_one_defect(folder: Folder, cut: int) -> None:
    lines = (b"%d,name %d\n" % (n, n * 7919 % 1_000_003) for n in range(60_000))
    data = zst(b"id,name\n" + b"".join(lines))
    folder.write("in/a.csv.zst", data[: len(data) // 2] if cut == 0 else data[:cut])
    rows = folder.rows()
    assert [row["_defect"] is None for row in rows] == [True] * (len(rows) - 1) + [False]
    assert "Zstandard data ends before its end" in rows[-1]["_defect"]
    assert len(rows) > 5_000 or cut == 5
    assert folder.rows() == []


def test_what_is_no_zstandard_is_one_defect_as_it_lies(folder: Folder) -> None:
    folder.write("in/a.csv", "id\n1\n")
    folder.write("in/b.csv.zst", b"no such thing")
    defect = folder.rows()[1]
    assert defect["_raw"] == b"no such thing"
    assert "Zstandard data is broken" in defect["_defect"]


def test_rows_with_other_columns_are_held_back_where_the_stream_says_so(folder: Folder) -> None:
    how = {"columns": "quarantine"}
    folder.write("in/a.csv", "id,name\n1,a\n")
    folder.write("in/b.csv", 'id,name,colour\n2,b,red\n3,"c\nd",\n4,x\n')
    folder.write("in/c.csv", "name\ne\n")
    folder.write("in/d.csv", "NAME,id\nf,5\n")
    batches = folder.batches(**how)
    rows = [row for batch in batches for row in batch.rows.to_pylist()]
    assert [(row["id"], row["name"]) for row in rows] == [("1", "a"), *[(None, None)] * 4, ("5", "f")]
    assert [row["_raw"] for row in rows[1:5]] == [b"2,b,red", b'3,"c\nd",', b"4,x", b"e"]
    assert [row["_position"] for row in rows[1:5]] == [15, 23, 32, 5]
    assert rows[1]["_defect"] == "the file does not have the stream's columns; new: `colour`"
    assert rows[3]["_defect"] == "2 fields where 3 are expected"
    assert rows[4]["_defect"].endswith("; missing: `id`")
    assert {tuple(batch.rows.schema.names[4:]) for batch in batches} == {("id", "name")}
    assert folder.notices == ["columns_refused"] * 2
    assert folder.rows(**how) == []


def test_a_large_file_with_other_columns_is_held_back_as_a_whole(folder: Folder) -> None:
    folder.write("in/a.csv", "id,name\n1,a\n")
    folder.write("in/b.csv.gz", gzip.compress(b"id,colour\n" + b"2,red\n" * 300_000, 1))
    rows = folder.rows(columns="quarantine")
    assert len(rows) == 300_001
    assert {row["_raw"] for row in rows[1:]} == {b"2,red"}


def test_a_wrong_header_stops_even_where_rows_are_held_back(folder: Folder) -> None:
    folder.write("in/a.csv", "id,name\n1,a\n")
    folder.write("in/b.csv", "7,x\n8,y\n")
    with pytest.raises(SchemaDrift, match="none of the columns"):
        folder.values(columns="quarantine")


def test_parquet_rows_with_other_columns_are_held_back_as_json(folder: Folder) -> None:
    (folder.path / "in").mkdir()
    pq.write_table(pa.table({"id": [1]}), folder.path / "in/a.parquet")
    more = pa.table({"id": [2, 3], "at": pa.array([0, None], pa.timestamp("us", "Europe/Vienna")), "AT": ["x", "y"]})
    pq.write_table(more, folder.path / "in/b.parquet")
    rows = folder.rows(columns="quarantine")
    assert [row["id"] for row in rows] == [1, None, None]
    assert [row["_position"] for row in rows] == [0, 0, 1]
    assert json.loads(rows[1]["_raw"]) == {"id": 2, "at": "1970-01-01 00:00:00+00", "AT_2": "x"}
    assert "new: `at`, `AT`" in rows[2]["_defect"]


def test_a_changed_file_is_read_again_as_a_whole_where_the_stream_says_so(folder: Folder) -> None:
    how = {"changed": "reload"}
    folder.write("in/a.csv", "id,name\n1,a\n")
    folder.write("in/b.csv", "id,name\n2,b\n")
    folder.values(**how)
    folder.write("in/a.csv", "id,name\n1,x\n9,y\n")
    described = folder.describe(**how)
    assert described.items == 1
    assert "it is read again" in described.notices[0].message
    assert folder.values(**how) == [("1", "x"), ("9", "y")]
    assert folder.notices == ["file_changed"]
    assert not folder.describe(**how).is_new
    assert folder.batches(**how) == []
    folder.write("in/a.csv", "id,name\n1,a\n")  # as it was at first
    assert folder.values(**how) == [("1", "a")]
    os.utime(folder.path / "in/a.csv", (1, 1))
    assert folder.values(**how) == []


@pytest.mark.parametrize("how", [{"full": True}, {"load_per_file": True}])
def test_each_file_is_a_load_of_its_own_where_the_stream_says_so(folder: Folder, how: dict[str, Any]) -> None:
    for day in ("03", "01", "02"):
        folder.write(f"in/{day}.csv", f"id\n{day}\n")
    batches = folder.batches(**how)
    assert [batch.rows["id"].to_pylist() for batch in batches if batch.cursor is not None] == [["01"], ["02"], ["03"]]
    assert all(batch.cursor is not None for batch in batches)


@pytest.mark.parametrize("content", ["", "id\n"])
def test_an_empty_file_of_a_full_stream_lands_nothing_and_is_told(folder: Folder, content: str) -> None:
    folder.write("in/1.csv", "id\n1\n")
    folder.write("in/2.csv", content)
    assert folder.values(full=True) == [("1",)]
    assert folder.notices == ["empty_file"]
    assert folder.batches(full=True) == []
    folder.write("in/2.csv", "id\n2\n")
    assert folder.values(full=True) == [("2",)]


def _halves() -> list[tuple[str, bytes]]:
    array = b'[{"id": 1}, {"id": 2}'
    return [
        ("csv.gz", gzip.compress(b"id\n" + b"1\n" * 5000, mtime=0)[:-10]),
        ("csv.zst", zst(b"id\n" + b"1\n" * 5000)[:-3]),
        ("json", array),
        ("json.gz", gzip.compress(array, mtime=0)),
    ]


@pytest.mark.parametrize(("ending", "content"), _halves())
def test_half_a_file_of_a_full_stream_stops_before_it(folder: Folder, ending: str, content: bytes) -> None:
    source = folder.source(full=True)
    folder.write(f"in/2.{ending}", content)
    with pytest.raises(DataError, match="cannot be read to its end") as error:
        list(source.read(source.feeds()[0], None, Budget()))
    assert error.value.hint is not None
    assert folder.rows(load_per_file=True)[-1]["_defect"] is not None


def test_half_a_parquet_file_of_a_full_stream_stops_before_it(folder: Folder) -> None:
    (folder.path / "in").mkdir()
    path = folder.path / "in/a.parquet"
    pq.write_table(pa.table({"id": [1]}), path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match="cannot be read to its end"):
        folder.rows(full=True)


def test_of_full_files_only_the_newest_is_read_again(folder: Folder) -> None:
    how = {"full": True, "changed": "reload"}
    folder.write("in/1.csv", "id\n1\n")
    folder.write("in/2.csv", "id\n2\n")
    folder.values(**how)
    folder.write("in/1.csv", "id\n1\n7\n")
    assert folder.values(**how) == []
    assert folder.notices == ["file_changed"]
    folder.write("in/2.csv", "id\n2\n8\n")
    assert folder.values(**how) == [("2",), ("8",)]


def test_recognizing_keeps_what_is_gone_and_doubts_what_has_other_rows(folder: Folder) -> None:
    for name in "abc":
        folder.write(f"in/{name}.csv", f"id;name\n1;{name}\n")
    origins = pa.table({"_origin": ["in/a.csv", "in/b.csv", "in/gone.csv"], "rows": [1, 5, 3]})
    source = folder.source()
    folder.cursor = source.recognize(source.feeds()[0], origins)
    assert folder.cursor.value["dialect"]["delimiter"] == ";"
    folder.write("in/gone.csv", "id;name\n1;z\n")
    with pytest.raises(ChangedFile):
        folder.values()
    assert folder.values(changed="ignore") == [("1", "c")]
    assert folder.notices == ["file_changed"] * 2
    assert folder.values() == []


def test_recognizing_without_any_file_left_begins_anew(folder: Folder) -> None:
    origins = pa.table({"_origin": ["in/a.csv"], "rows": [1]})
    source = folder.source()
    folder.cursor = source.recognize(source.feeds()[0], origins)
    folder.write("in/b.csv", "id\n2\n")
    assert folder.values() == [("2",)]


def test_what_older_versions_knew_of_files_still_counts(folder: Folder) -> None:
    folder.write("in/a.csv", "id\n1\n")
    folder.rows()
    assert folder.cursor is not None
    assert folder.cursor.seen is not None
    folder.cursor = Cursor(folder.cursor.value, folder.cursor.seen.drop_columns(["tag"]))
    assert folder.batches() == []
    folder.write("in/b.csv", "id\n2\n")
    assert folder.describe().items == 1


def test_an_ordered_stream_takes_only_what_sorts_behind_what_it_has(folder: Folder) -> None:
    folder.write("in/2026-11-02.csv", "id\n2\n")
    assert folder.values(ordered=True) == [("2",)]
    folder.write("in/2026-11-01.csv", "id\n1\n")
    folder.write("in/2026-11-02.csv", "id\n2\n22\n")
    folder.write("in/2026-11-03.csv", "id\n3\n")
    assert folder.describe(ordered=True).items == 1
    assert folder.values(ordered=True) == [("3",)]
    assert folder.batches(ordered=True) == []


def test_probing_touches_a_file(folder: Folder) -> None:
    source = folder.source()
    assert [found.severity for found in source.probe(source.feeds()[0])] == ["warning"]
    folder.write("in/a.csv", "id\n1\n")
    assert [found.message for found in source.probe(source.feeds()[0])] == ["1 file, 0.0 MB"]
