"""Rows into files: whole, exact, and never over another by accident."""

from __future__ import annotations

import csv
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catchment.cli import main
from catchment.errors import CatchmentError, ConfigError
from catchment.export import export, form_of, whole_table
from catchment.inspect import query
from catchment.plan import plan
from catchment.project import Project
from catchment.run import run
from catchment.testing.fakes import column, contract, project

TABLE = "SELECT * FROM silver.orders"


@pytest.fixture
def orders(tmp_path: Path) -> Project:
    wanted = contract(
        "orders",
        column("id"),
        column("seen_at", "timestamp"),
        column("day", "date"),
        column("price", "decimal", precision=38, scale=2),
        column("weight", "number"),
        column("big", "integer"),
        column("open", "boolean"),
    )
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "1.csv").write_text(
        "id,seen_at,day,price,weight,big,open\n"
        '"a ""b"", c",2026-11-01T08:30:00.5Z,2026-11-01,123456789012345678901234567890.12,0.1,9007199254740993,true\n'
        '"",,,,,,\n'
        '"two\nlines",2026-11-01T08:30:00Z,2026-11-01,1.50,1e300,-1,no\n',
        encoding="utf-8",
    )
    found = project(tmp_path, [wanted], {"orders": {"from": "src.rows"}})
    assert run(found, None, plan(found)) == "done"
    return found


def test_parquet_keeps_every_type_and_value(orders: Project, tmp_path: Path) -> None:
    told = export(orders, None, TABLE, tmp_path / "out.parquet")
    there = query(orders, None, TABLE).read_all()
    back = pq.read_table(tmp_path / "out.parquet")
    assert (told.rows, told.form, told.bytes) == (3, "parquet", (tmp_path / "out.parquet").stat().st_size)
    assert [(f.name, f.type) for f in back.schema] == [(f.name, f.type) for f in there.schema]
    assert back.sort_by("_row").to_pylist() == there.sort_by("_row").to_pylist()
    assert back.sort_by("_row")["price"][0].as_py() == Decimal("123456789012345678901234567890.12")


def test_a_sum_keeps_its_digits_in_parquet(orders: Project, tmp_path: Path) -> None:
    export(orders, None, "select sum(big) as s from silver.orders", tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet")["s"].to_pylist() == [Decimal(9007199254740992)]


def test_csv_is_read_by_others_as_it_was_written(orders: Project, tmp_path: Path) -> None:
    columns = "id, seen_at, day, price, weight, big, open"
    export(orders, None, f"select {columns} from silver.orders order by _row", tmp_path / "out.csv")
    text = (tmp_path / "out.csv").read_text(encoding="utf-8")
    assert list(csv.reader(text.splitlines(keepends=True))) == [
        columns.split(", "),
        [
            *('a "b", c', "2026-11-01T08:30:00.500000Z", "2026-11-01", "123456789012345678901234567890.12"),
            *("0.1", "9007199254740993", "true"),
        ],
        [""] * 7,
        ["two\nlines", "2026-11-01T08:30:00.000000Z", "2026-11-01", "1.50", "1e+300", "-1", "false"],
    ]
    assert '\n"",,,,,,\n' in text  # an empty text is quoted, a null is nothing


def test_csv_lands_again_as_it_was(orders: Project, tmp_path: Path) -> None:
    columns = "id, seen_at, day, price, weight, big, open"
    before = query(orders, None, f"select {columns} from silver.orders order by _row").read_all()
    (tmp_path / "again" / "rows").mkdir(parents=True)
    export(orders, None, f"select {columns} from silver.orders order by _row", tmp_path / "again/rows/1.csv")
    again = project(tmp_path / "again", list(orders.contracts.values()), {"orders": {"from": "src.rows"}})
    assert run(again, None, plan(again)) == "done"
    assert query(again, None, f"select {columns} from silver.orders order by _row").read_all() == before


def test_json_lines_hold_one_object_a_row(orders: Project, tmp_path: Path) -> None:
    sql = (
        "select id, seen_at, price, big, [1, 2] as l, {'a': null} as s, 'nan'::double as x"
        " from silver.orders order by _row"
    )
    export(orders, None, sql, tmp_path / "out.jsonl")
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 3
    first = json.loads(lines[0], parse_float=Decimal)
    assert first == {
        "id": 'a "b", c',
        "seen_at": "2026-11-01T08:30:00.500000Z",
        "price": Decimal("123456789012345678901234567890.12"),
        "big": 9007199254740993,
        "l": [1, 2],
        "s": {"a": None},
        "x": None,
    }


def test_nested_values_are_json_in_csv(orders: Project, tmp_path: Path) -> None:
    export(orders, None, "select [1, null] as l, {'a': 'x,y'} as s, map {'k': 1} as m", tmp_path / "out.csv")
    rows = list(csv.reader((tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()))
    assert [json.loads(cell) for cell in rows[1]] == [[1, None], {"a": "x,y"}, {"k": 1}]


def test_a_table_may_be_written_as_it_was(orders: Project, tmp_path: Path) -> None:
    assert export(orders, None, TABLE, tmp_path / "then.parquet", as_of=0).rows == 0
    assert pq.read_schema(tmp_path / "then.parquet").field("price").type == pa.decimal128(38, 2)


@pytest.mark.parametrize("sql", ["select 1 as a, 2 as a", "select 1 as a; ", "select 1 as a -- end", "from range(3)"])
def test_whatever_can_be_asked_can_be_written(orders: Project, tmp_path: Path, sql: str) -> None:
    assert export(orders, None, sql, tmp_path / "out.csv").rows == len(query(orders, None, sql).read_all())


def test_what_is_there_is_kept_unless_it_is_said(orders: Project, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="is there already") as told:
        export(orders, None, TABLE, out)
    assert "--overwrite" in (told.value.hint or "")
    assert out.read_text(encoding="utf-8") == "mine"
    assert export(orders, None, TABLE, out, overwrite=True).rows == 3
    assert out.read_text(encoding="utf-8").startswith("id,")


def test_a_file_is_there_whole_or_not_at_all(orders: Project, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    fails_late = "select case when range = 2000000 then error('late') else 'x' end as v from range(2000001)"
    with pytest.raises(CatchmentError, match="late"):
        export(orders, None, fails_late, tmp_path / "out.csv")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("sql", "path", "words"),
    [
        (TABLE, "out.xls", "cannot tell from `out.xls`"),
        (TABLE, "out", "cannot tell from `out`"),
        (TABLE, "rows", "cannot tell"),
        (TABLE, "none/out.csv", "there is no folder"),
        ("select * from silver.order", "out.csv", r"no table silver\.order; did you mean silver\.orders"),
        ("drop table x", "out.csv", "a query only reads"),
        ("select nothing from silver.orders", "out.csv", "not understood"),
    ],
)
def test_what_cannot_be_written_says_why(orders: Project, tmp_path: Path, sql: str, path: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        export(orders, None, sql, tmp_path / path)
    assert not [entry for entry in tmp_path.iterdir() if entry.name.endswith(".part")]


def test_endings_say_the_form_and_names_are_tables() -> None:
    assert [form_of(Path(f"a.{ending}")) for ending in ("PARQUET", "csv", "jsonl", "ndjson")] == [
        "parquet", "csv", "jsonl", "jsonl",
    ]  # fmt: skip
    assert whole_table("silver.a", "x = 1 -- so") == 'SELECT * FROM silver."a" WHERE (\nx = 1 -- so\n)'
    with pytest.raises(ConfigError, match="is not a table name"):
        whole_table("orders")


YAML = (
    "name: small\nsources: {src: {type: files, streams: {rows: {path: 'rows/*.csv'}}}}\nsilver: {t: {from: src.rows}}\n"
)
CONTRACT = """apiVersion: v3.2.0
kind: DataContract
id: t
version: 1.0.0
status: active
schema:
  - name: t
    properties: [{name: id, logicalType: string}, {name: n, logicalType: integer}]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in {
        "catchment.yaml": YAML, "contracts/t.odcs.yaml": CONTRACT, "rows/1.csv": "id,n\na,1\nb,2\nc,x\n",
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(["run"]) == 0
    return tmp_path


def test_the_command_writes_files_and_says_so_on_stderr(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    assert main(["export", "silver.t", "out.csv", "--where", "n > 1"]) == 0
    told = capfd.readouterr()
    assert told.out == ""
    assert told.err.startswith("out.csv: 1 row, ")
    assert (folder / "out.csv").read_text(encoding="utf-8").startswith("id,n,")
    assert main(["export", "silver.t", "out.csv"]) == 1
    assert main(["export", "--query", "select count(*) as n from quarantine.t", "out.jsonl"]) == 0
    assert (folder / "out.jsonl").read_text(encoding="utf-8") == '{"n":1}\n'


def test_stdout_gets_data_alone(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    assert main(["export", "--query", "select id, n from silver.t order by n", "-", "--format", "csv"]) == 0
    assert capfd.readouterr() == ("id,n\na,1\nb,2\n", "")
    assert main(["export", "silver.t", "-"]) == 2
    assert "stdout needs --format" in capfd.readouterr().err


@pytest.mark.parametrize(
    "words",
    [["out.csv"], ["silver.t", "b", "out.csv"], ["--query", "select 1", "a", "out.csv"],
     ["--query", "select 1", "--where", "true", "out.csv"], []],
)  # fmt: skip
def test_what_does_not_belong_together_is_wrong_use(folder: Path, words: list[str]) -> None:
    assert main(["export", *words]) == 2
    assert not (folder / "out.csv").exists()


def test_query_and_export_take_a_time_of_the_past(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    assert main(["query", "select count(*) as n from silver.t", "--as-of", "0", "--csv"]) == 0
    assert capfd.readouterr().out == '"n"\n0\n'
    assert main(["query", "select count(*) as n from silver.t", "--as-of", "yesterday"]) == 2
    assert "neither a version nor a time" in capfd.readouterr().err
    assert main(["export", "silver.t", "-", "--format", "jsonl", "--as-of", "2020-01-01"]) == 1
    assert "was not there yet as of 2020-01-01 00:00:00 UTC" in capfd.readouterr().err


def test_a_day_and_an_instant_have_the_words_of_iso_8601(orders: Project, tmp_path: Path) -> None:
    values: Any = {"d": date(2026, 11, 1), "t": datetime(2026, 11, 1, tzinfo=UTC)}
    export(orders, None, "select date '2026-11-01' as d, timestamptz '2026-11-01' as t", tmp_path / "o.jsonl")
    back = json.loads((tmp_path / "o.jsonl").read_text(encoding="utf-8"))
    assert {"d": date.fromisoformat(back["d"]), "t": datetime.fromisoformat(back["t"])} == values
