"""Taps made with the libraries that public taps are made with, in environments of their own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.services.servers import ENVIRONMENTS

from catchment.reading.kinds.singer import SingerStream
from catchment.sources.singer.source import SingerSource

HERE = Path(__file__).parent
_BEGIN = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Stream:
    stream: str | None = "users"
    full: bool = False
    method: str | None = None
    replication_key: str | None = None
    along: Sequence[str] = ()


@dataclass
class Outside:
    """What a tap reads: pages of users, each updated later than the one before."""

    folder: Path
    rows: int = 0

    def add(self, count: int) -> None:
        pages = self.folder / "pages"
        pages.mkdir(exist_ok=True)
        rows = [_user(self.rows + number) for number in range(count)]
        (pages / f"{len(list(pages.iterdir())):03}.json").write_text(json.dumps(rows))
        self.rows += count

    def source(self, library: str, stream: Stream | SingerStream, **config: Any) -> SingerSource:
        given = {"folder": str(self.folder / "pages"), **config}
        return SingerSource("shop", {"users": stream}, self.folder, command=command(library), config=given)


def _user(number: int) -> dict[str, Any]:
    at = _BEGIN + timedelta(minutes=number)
    return {"id": number, "name": f"n {number}", "updated_at": at.isoformat(timespec="seconds")}


def command(library: str) -> str:
    """How the tap of one of the libraries is started."""
    return f"{ENVIRONMENTS}/singer-{library}/bin/python {HERE}/{library}_tap.py"


@pytest.fixture(scope="session")
def libraries() -> Sequence[str]:
    """The environments, made where they are not there."""
    installed = subprocess.run([HERE / "install.sh"], capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stderr
    return "sdk", "python"


@pytest.fixture
def outside(tmp_path: Path, libraries: Sequence[str]) -> Outside:
    return Outside(tmp_path)
