"""The bridge to Singer keeps what every source promises: with states, without any, and whole."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from catchment.interfaces import Source
from catchment.sources.singer.source import SingerSource
from catchment.testing.sources import SourcePromises

TAP = Path(__file__).with_name("singer_tap_of_tests.py")


@dataclass(frozen=True)
class Stream:
    stream: str | None = "users"
    full: bool = False
    method: str | None = None
    replication_key: str | None = None
    along: Sequence[str] = ()


class SingerPromises(SourcePromises):
    forgetful = True
    unsure = True
    stream = Stream()
    config: dict[str, Any]
    discover = True

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.project = tmp_path
        shutil.copyfile(TAP, tmp_path / "tap.py")
        self.rows = 0
        self.config = {}

    def source(self) -> Source:
        return SingerSource(
            "shop",
            {"users": self.stream, "others": Stream("orders")},
            self.project,
            command=f"{sys.executable} -S {self.project / 'tap.py'}",
            config=self.config,
            discover=self.discover,
        )

    def put(self, rows: list[dict[str, Any]]) -> None:
        page = len(list(self.project.glob("page-*.json")))
        (self.project / f"page-{page:03}.json").write_text(json.dumps(rows))
        self.rows += len(rows)

    def add_rows(self, count: int) -> None:
        self.put([{"id": self.rows + n, "name": f"n {n}"} for n in range(count)])

    def add_unreadable(self) -> None:
        self.put([{"id": self.rows, "text": '{"type": "RECORD", "stream": "users", "record": {"id": 7'}])


class TestWithStates(SingerPromises):
    pass


class TestWithoutStatesAndCatalog(SingerPromises):
    discover = False

    @pytest.fixture(autouse=True)
    def _stateless(self, _folder: None) -> None:
        self.config = {"states": False}


class TestWhole(SingerPromises):
    discover = False
    stream = Stream(full=True)
    whole = True
