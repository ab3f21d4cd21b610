"""A lake and an engine for tests of silver; nothing stands in for anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catchment.engines.duckdb import DuckDBEngine
from catchment.interfaces import Engine
from catchment.lake.delta import DeltaLake
from catchment.testing.fakes import Workbench


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine[Any]]:
    running = DuckDBEngine(memory_bytes=256 << 20, threads=1)
    yield running
    running.close()


@pytest.fixture
def bench(tmp_path: Path, engine: Engine[Any]) -> Workbench:
    return Workbench(DeltaLake(tmp_path / "lake"), engine)
