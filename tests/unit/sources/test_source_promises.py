"""The files source keeps the promises of every source, in each format; the one for Delta tables, too."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from catchment.interfaces import Source
from catchment.sources.delta import DeltaSource
from catchment.sources.files.source import FilesSource
from catchment.testing.sources import SourcePromises


@dataclass(frozen=True)
class Settings:
    path: str = "in"
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


class _InAFolder(SourcePromises):
    ending = ""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.project = tmp_path
        (tmp_path / "in").mkdir()
        self.rows = 0

    settings = Settings()

    def source(self) -> Source:
        return FilesSource("drops", {"sales": self.settings, "others": Settings("none/*.csv")}, self.project)

    def numbers(self, count: int) -> list[int]:
        self.rows += count
        return list(range(self.rows - count, self.rows))

    def next_file(self) -> Path:
        return self.project / "in" / f"{len(list((self.project / 'in').iterdir())):03}{self.ending}"


class TestCsvFiles(_InAFolder):
    ending = ".csv"

    def add_rows(self, count: int) -> None:
        self.next_file().write_text("id,name\n" + "".join(f'{n},"n, {n}"\n' for n in self.numbers(count)))

    def add_unreadable(self) -> None:
        self.next_file().write_bytes(b'id,name\n1,2,3\n4,"open\n5,fine\n')


class TestLargeCsvFilesInGzip(_InAFolder):
    ending = ".csv.gz"

    def add_rows(self, count: int) -> None:
        lines = "".join(f"{n},{'x' * 700_000}\n" for n in self.numbers(count))
        self.next_file().write_bytes(gzip.compress(b"id,name\n" + lines.encode(), 1))

    def add_unreadable(self) -> None:
        self.next_file().write_bytes(gzip.compress(b"id,name\n" + b"7,seven\n" * 1000)[:-10])


class TestJsonLinesFiles(_InAFolder):
    ending = ".jsonl"

    def add_rows(self, count: int) -> None:
        self.next_file().write_text("".join(json.dumps({"id": n}) + "\n" for n in self.numbers(count)))

    def add_unreadable(self) -> None:
        self.next_file().write_text('{"id": \n{"id": 7}\n')


class TestParquetFiles(_InAFolder):
    ending = ".parquet"

    def add_rows(self, count: int) -> None:
        pq.write_table(pa.table({"id": self.numbers(count)}), self.next_file())

    def add_unreadable(self) -> None:
        path = self.next_file()
        pq.write_table(pa.table({"id": [1, 2, 3]}), path)
        path.write_bytes(path.read_bytes()[:-20])


class TestCsvFilesInZstandard(_InAFolder):
    ending = ".csv.zst"

    def add_rows(self, count: int) -> None:
        lines = "".join(f"{n},{'x' * 700_000}\n" for n in self.numbers(count))
        self.next_file().write_bytes(pa.compress(b"id,name\n" + lines.encode(), "zstd", asbytes=True))

    def add_unreadable(self) -> None:
        self.next_file().write_bytes(pa.compress(b"id,name\n" + b"7,seven\n" * 1000, "zstd", asbytes=True)[:-4])


class TestCsvFilesInUtf16(_InAFolder):
    ending = ".csv"

    def add_rows(self, count: int) -> None:
        text = "id,name\n" + "".join(f'{n},"Zoé 🦊, {n}"\n' for n in self.numbers(count))
        self.next_file().write_bytes(text.encode("utf-16"))

    def add_unreadable(self) -> None:
        text = 'id,name\n1,2,3\n4,"open\n5,fine\n'
        self.next_file().write_bytes(b"\xfe\xff" + text.encode("utf-16-be") + b"\xd8\x00\x00")


class TestJsonLinesInUtf16WithoutMark(_InAFolder):
    ending = ".jsonl"
    settings = Settings(encoding="utf-16-be")

    def add_rows(self, count: int) -> None:
        text = "".join(json.dumps({"id": n, "é": "🦊"}, ensure_ascii=False) + "\n" for n in self.numbers(count))
        self.next_file().write_bytes(text.encode("utf-16-be"))

    def add_unreadable(self) -> None:
        self.next_file().write_bytes('{"id": \n{"id": 7}\n'.encode("utf-16-be"))


class TestJsonArrays(_InAFolder):
    ending = ".json"

    def add_rows(self, count: int) -> None:
        self.next_file().write_text(json.dumps([{"id": n} for n in self.numbers(count)], indent=2))

    def add_unreadable(self) -> None:
        self.next_file().write_text('[{"id": 7}, {"id": 8')


class TestFilesThatAreLoads(TestCsvFiles):
    settings = Settings(load_per_file=True)


class TestFilesThatAreWhole(TestCsvFiles):
    settings = Settings(full=True)
    refuses_halves = True

    def add_unreadable(self) -> None:
        self.next_file().with_suffix(".csv.gz").write_bytes(gzip.compress(b"id,name\n" + b"7,seven\n" * 1000)[:-10])


@dataclass(frozen=True)
class DeltaSettings:
    path: str = "table"


class TestDeltaTables(SourcePromises):
    whole = True
    refuses_halves = True

    @pytest.fixture(autouse=True)
    def _table(self, tmp_path: Path) -> None:
        self.project = tmp_path
        self.rows = 0
        write_deltalake(str(tmp_path / "table"), pa.table({"id": pa.array([], pa.int64())}))

    def source(self) -> Source:
        return DeltaSource("lake", {"users": DeltaSettings(), "others": DeltaSettings("other")}, self.project)

    def add_rows(self, count: int) -> None:
        rows = pa.table({"id": list(range(self.rows, self.rows + count))})
        self.rows += count
        write_deltalake(str(self.project / "table"), rows, mode="append")

    def add_unreadable(self) -> None:
        before = set((self.project / "table").glob("*.parquet"))
        self.add_rows(3)
        (path,) = set((self.project / "table").glob("*.parquet")) - before
        path.write_bytes(path.read_bytes()[:-20])
