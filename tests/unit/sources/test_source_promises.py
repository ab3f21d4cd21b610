"""The files source keeps the promises of every source, in each format."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catchment.interfaces import Source
from catchment.sources.files import FilesSource
from catchment.testing.sources import SourcePromises


@dataclass(frozen=True)
class Settings:
    path: str = "in"
    format: Literal["csv", "jsonl", "parquet"] | None = None
    encoding: Literal["utf-8", "utf-8-sig", "latin-1"] | None = None
    delimiter: str | None = None
    quote: str | None = None
    header: list[str] | None = None
    columns: Literal["evolve", "freeze"] = "evolve"
    changed: Literal["fail", "ignore"] = "fail"


class _InAFolder(SourcePromises):
    ending = ""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.project = tmp_path
        (tmp_path / "in").mkdir()
        self.rows = 0

    def source(self) -> Source:
        return FilesSource("drops", {"sales": Settings(), "others": Settings("none/*.csv")}, self.project)

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
