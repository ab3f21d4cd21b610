"""A project from Python, with no lock held."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import catchment
from catchment.errors import ConfigError, MissingExtra, ProjectProblems
from catchment.naming import TableName
from catchment.opened import OpenProject, OpenTable
from catchment.plan import plan
from catchment.project import load_project
from catchment.run import run

YAML = """name: small
sources:
  src:
    type: files
    streams:
      rows: {path: "rows/*.csv"}
silver:
  orders: {from: src.rows}
"""

CONTRACT = """apiVersion: v3.0.2
kind: DataContract
id: orders
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
      - {name: id, logicalType: string}
      - {name: n, logicalType: integer}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rows").mkdir()
    (tmp_path / "contracts").mkdir()
    (tmp_path / "catchment.yaml").write_text(YAML, encoding="utf-8")
    (tmp_path / "contracts" / "orders.odcs.yaml").write_text(CONTRACT, encoding="utf-8")
    (tmp_path / "rows" / "1.csv").write_text("id,n\na,1\nb,2\n", encoding="utf-8")
    return tmp_path


def go(folder: Path) -> None:
    found = load_project(folder)
    assert run(found, None, plan(found)) == "done"


def test_opening_reads_no_table_and_is_found_from_below(folder: Path) -> None:
    assert isinstance(catchment.open(folder / "rows"), OpenProject)
    assert not (folder / "lake").exists()


def test_a_table_is_read_as_it_is_at_each_call(folder: Path) -> None:
    go(folder)
    table = catchment.open(folder).table("silver.orders")
    assert sorted(table.arrow()["n"].to_pylist()) == [1, 2]
    (folder / "rows" / "2.csv").write_text("id,n\nc,3\n", encoding="utf-8")
    go(folder)  # with the table open: no lock is held
    assert sorted(table.arrow()["n"].to_pylist()) == [1, 2, 3]


def test_a_reader_keeps_what_it_opened(folder: Path) -> None:
    go(folder)
    reader = catchment.open(folder).table("silver.orders").reader()
    (folder / "rows" / "2.csv").write_text("id,n\nc,3\n", encoding="utf-8")
    go(folder)
    assert sorted(reader.read_all()["n"].to_pylist()) == [1, 2]


def test_tables_are_those_that_are_there(folder: Path) -> None:
    opened = catchment.open(folder)
    assert opened.tables() == []
    go(folder)
    assert [str(name) for name in opened.tables()] == ["bronze.src__rows", "silver.orders"]


def test_rows_come_by_sql_too(folder: Path) -> None:
    go(folder)
    rows = catchment.open(folder).query("select max(n) as n from silver.orders").read_all()
    assert rows.to_pylist() == [{"n": 2}]


def test_mistakes_say_what_was_meant(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(ConfigError, match=r"no table silver\.orders") as told:
        catchment.open(folder).table("silver.orders")
    assert told.value.hint == "there are none yet"
    go(folder)
    with pytest.raises(ConfigError) as told:
        catchment.open(folder).table("silver.order")
    assert told.value.hint == "did you mean `silver.orders`?"
    with pytest.raises(ConfigError, match="no target"):
        catchment.open(folder, target="nowhere")
    with pytest.raises(ConfigError, match=r"no catchment\.yaml"):
        catchment.open(tmp_path_factory.mktemp("empty"))
    (folder / "catchment.yaml").write_text("nam: small\n", encoding="utf-8")
    with pytest.raises(ProjectProblems):
        catchment.open(folder)


def test_without_pandas_the_cure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    table = OpenTable(OpenProject(_Project()), TableName.parse("silver.sales"))  # type: ignore[arg-type]
    with pytest.raises(MissingExtra, match="pandas") as caught:
        table.df()
    assert caught.value.hint is not None
    assert ".arrow()" in caught.value.hint
    assert repr(table) == "<silver.sales of shop>"


class _Project:
    name = "shop"
    folder = Path("shop")
