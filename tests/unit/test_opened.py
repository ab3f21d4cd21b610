"""A project from Python, with no lock held."""

from __future__ import annotations

import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import catchment
from catchment.errors import CatchmentError, ConfigError, MissingExtra, ProjectProblems
from catchment.events import StepFinished
from catchment.naming import TableName
from catchment.opened import OpenProject, OpenTable
from catchment.plan import plan
from catchment.project import load_project
from catchment.run import run
from catchment.testing.fakes import Heard

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


def add(folder: Path, text: str) -> None:
    count = len(list((folder / "rows").iterdir()))
    (folder / "rows" / f"{count + 1}.csv").write_text(f"id,n\n{text}\n", encoding="utf-8")


def numbers(opened: OpenProject, as_of: Any = None) -> list[int]:
    return sorted(opened.table("silver.orders", as_of=as_of).arrow()["n"].to_pylist())


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


def test_a_run_is_asked_for_in_the_words_of_the_command_line(folder: Path) -> None:
    opened = catchment.open(folder)
    heard = Heard()
    assert [step.is_new for step in opened.plan()] == [True, True]
    assert opened.run(select="src.rows", listeners=[heard]) == "done"
    assert [event.name for event in heard.of(StepFinished)] == ["src.rows"]
    assert opened.run() == "done"
    assert opened.run() == "nothing_new"
    assert opened.run(rebuild="silver.orders", select=["silver.orders"]) == "done"
    assert opened.status().tables[1].version == 2
    assert opened.status().last_run is not None
    assert opened.check() == []


def test_a_run_that_fails_raises_every_cause_and_the_cure(folder: Path) -> None:
    opened = catchment.open(folder)
    opened.run()
    contract = folder / "contracts" / "orders.odcs.yaml"
    contract.write_text(CONTRACT.replace("integer", "number"), encoding="utf-8")
    with pytest.raises(CatchmentError, match=r"silver\.orders: .*definition") as raised:
        catchment.open(folder).run()
    assert "--rebuild silver.orders" in (raised.value.hint or "")
    assert catchment.open(folder).run(forward="silver.orders") == "done"


def test_the_past_is_named_by_version_time_or_day(folder: Path) -> None:
    opened = catchment.open(folder)
    opened.run()
    between = datetime.now(UTC)
    time.sleep(0.01)
    add(folder, "c,3")
    opened.run()
    assert numbers(opened) == [1, 2, 3]
    for as_of in (1, "1", between, between.isoformat(), between.replace(tzinfo=None)):
        assert numbers(opened, as_of) == [1, 2], as_of
    assert opened.query("select count(*) as n from silver.orders", as_of=1).read_all()["n"].to_pylist() == [2]
    assert numbers(opened, date(2100, 1, 1)) == [1, 2, 3]
    with pytest.raises(ConfigError, match=r"was not there yet as of 2020-01-01 00:00:00 UTC"):
        numbers(opened, date(2020, 1, 1))
    assert [version.version for version in opened.table("silver.orders").versions()] == [2, 1, 0]
    assert [version.rows for version in opened.table("silver.orders").versions(1)] == [3]


def test_tables_and_queries_are_written_to_files(folder: Path, tmp_path: Path) -> None:
    opened = catchment.open(folder)
    opened.run()
    add(folder, "c,3")
    opened.run()
    assert opened.table("silver.orders", as_of=1).export(tmp_path / "then.parquet").rows == 2
    assert opened.export("select max(n) as n from silver.orders", str(tmp_path / "most.csv")).rows == 1
    assert (tmp_path / "most.csv").read_text(encoding="utf-8") == "n\n3\n"
    with pytest.raises(ConfigError, match="is there already"):
        opened.table("silver.orders").export(tmp_path / "most.csv")
    assert opened.table("silver.orders").export(tmp_path / "most.csv", form="jsonl", overwrite=True).form == "jsonl"


def test_rejected_rows_are_looked_at_and_tried_again(folder: Path) -> None:
    add(folder, "c,three")
    opened = catchment.open(folder)
    opened.run()
    assert [(one.table, one.rows) for one in opened.quarantine.list()] == [("silver.orders", 1)]
    assert opened.quarantine.show("silver.orders")[0].raw == '{"id":"c","n":"three"}'
    assert opened.quarantine.show("silver.orders", held=True) == ()
    opened.quarantine.replay("silver.orders")
    assert [one.rows for one in opened.quarantine.list()] == [1]
    with pytest.raises(CatchmentError, match=r"nothing of silver\.orders is held"):
        opened.quarantine.accept("silver.orders")
    assert opened.preview("silver.orders").failed == 1


def test_what_a_rule_holds_back_is_accepted(folder: Path) -> None:
    contract = folder / "contracts" / "orders.odcs.yaml"
    rule = (
        "    quality:\n      - {type: custom, engine: catchment, name: few, severity: error,"
        " implementation: {rejectedShare: 0.1}}\n"
    )
    contract.write_text(CONTRACT + rule, encoding="utf-8")
    add(folder, "c,three")
    opened = catchment.open(folder)
    with pytest.raises(CatchmentError, match="stopped before it committed") as raised:
        opened.run()
    assert "catchment quarantine accept silver.orders" in (raised.value.hint or "")
    assert len(opened.quarantine.show("silver.orders", held=True)) == 1
    opened.quarantine.accept("silver.orders")
    assert opened.run() == "done"
    assert numbers(opened) == [1, 2]


def test_a_table_is_put_back_and_goes_on(folder: Path) -> None:
    opened = catchment.open(folder)
    opened.run()
    add(folder, "c,3")
    opened.run()
    way = opened.restore("silver.orders", 1)
    assert (way.rows_now, way.rows_then) == (3, 2)
    assert numbers(opened) == [1, 2]
    assert opened.run() == "done"
    assert numbers(opened) == [1, 2, 3]
    assert opened.restore("silver.orders", datetime.now(UTC)).is_nothing


def test_a_stream_is_read_again_from_the_start_or_after_a_load(folder: Path) -> None:
    opened = catchment.open(folder)
    opened.run()
    add(folder, "c,3")
    opened.run()
    opened.rewind("src.rows", 1)
    assert opened.table("bronze.src__rows").arrow().num_rows == 2
    opened.run(select="src.rows")
    (folder / "rows" / "1.csv").unlink()
    with pytest.raises(ConfigError, match="can no longer be read") as raised:
        opened.rewind("src.rows")
    assert "lose_rows=True" in (raised.value.hint or "")
    assert opened.rewind("src.rows", lose_rows=True).rows_then == 0
    opened.run(select="src.rows")
    assert opened.table("bronze.src__rows").arrow()["id"].to_pylist() == ["c"]
    opened.run(rebuild="silver.orders")
    assert numbers(opened) == [3]
    with pytest.raises(ConfigError, match=r"no stream src\.row") as raised:
        opened.rewind("src.row")
    assert raised.value.hint == "did you mean `src.rows`?"


def test_loads_are_judged_again_and_upkeep_is_told_before_it_is_done(folder: Path) -> None:
    opened = catchment.open(folder)
    opened.run()
    opened.backfill("silver.orders", loads=(1, 1))
    opened.backfill("silver.orders", since=date(2020, 1, 1), until="2100-01-01")
    with pytest.raises(ConfigError, match="both name the span"):
        opened.backfill("silver.orders", loads=(1, 1), since="2020-01-01")
    opened.adopt("silver.orders")  # which has its state
    assert numbers(opened) == [1, 2]
    assert list(opened.maintain()) == []  # all of it is younger than the retention
    opened.run(rebuild="silver.orders")
    time.sleep(0.05)
    due = opened.maintain(select="silver.orders", retention=timedelta(0))
    assert [one.table for one in due] == ["silver.orders"]
    files = set((folder / "lake" / "silver").rglob("*.parquet"))
    assert opened.maintain(do=True, select="silver.orders", retention=timedelta(0))
    assert set((folder / "lake" / "silver").rglob("*.parquet")) < files
    assert numbers(opened) == [1, 2]


def test_tests_are_run_from_python_too(folder: Path) -> None:
    (folder / "tests" / "orders").mkdir(parents=True)
    (folder / "tests" / "orders" / "given.csv").write_text("id,n\na,1\n", encoding="utf-8")
    (folder / "tests" / "orders" / "expect.csv").write_text("id,n\na,2\n", encoding="utf-8")
    (trial,) = catchment.open(folder).test("silver.orders")
    assert not trial.passed
    assert (trial.missing, trial.unexpected) == ([{"id": "a", "n": "2"}], [{"id": "a", "n": "1"}])


def test_without_polars_the_cure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(MissingExtra, match="polars"):
        OpenTable(OpenProject(_Project()), TableName.parse("silver.sales")).polars()  # type: ignore[arg-type]


class _Project:
    name = "shop"
    folder = Path("shop")
