"""`catchment check --connect` in words, over files and a database that is a file."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from catchment.cli import check, main
from catchment.records import Finding

PROJECT = """\
name: shop
sources:
  shop_db:
    type: sql
    url: sqlite:///shop.db
    streams:
      users: {table: users, cursor: changed_at}
      orders: {table: orders}
"""

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "catchment.yaml").write_text(PROJECT)
    with closing(sqlite3.connect(tmp_path / "shop.db")) as database:
        database.executescript(
            "CREATE TABLE users (id INTEGER PRIMARY KEY, changed_at DATETIME);"
            "CREATE TABLE orders (id INTEGER PRIMARY KEY);"
        )
    return tmp_path


LIVE = """\
silver: {orders: {from: shop_db.orders, mode: replace}}
live: {sold: {from: orders, measures: {n: count(*)}}}
targets:
  local: {default: true}
  b: {lake: b, live: {type: clickhouse, url: "http://127.0.0.1:1/live"}}
"""
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: orders
version: 1.0.0
status: active
schema:
  - {name: orders, properties: [{name: id, logicalType: integer, primaryKey: true, required: true}]}
"""


def test_the_live_store_is_asked_too(folder: Path, capsys: Captured) -> None:
    (folder / "catchment.yaml").write_text(PROJECT.replace(", cursor: changed_at", "") + LIVE)
    (folder / "contracts").mkdir()
    (folder / "contracts/orders.odcs.yaml").write_text(CONTRACT)
    assert main(["check", "--connect"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[-2] == "targets.local.live  ok  the live store (duckdb) answers"
    assert told[-1] == "All 2 streams can be read, and the live store answers. Nothing was written."
    assert not (folder / "warehouse").exists()
    assert main(["check", "--connect", "--target", "b"]) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[-3] == ("targets.b.live  error  ClickHouse at 127.0.0.1:1 does not answer: connection refused")
    assert told[-2] == "    is it running, and is url of the target right?"
    assert told[-1] == "1 error outside. Nothing was written."


def test_warnings_alone_are_no_failure_and_nothing_is_written(folder: Path, capsys: Captured) -> None:
    assert main(["check", "--connect"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "No problems."
    assert told[1].startswith("shop_db.users   warning  sqlite://")
    assert "cursor `changed_at` has no index" in told[1]
    assert told[2] == "    create an index that begins with changed_at"
    assert told[3].startswith("shop_db.orders  ok       sqlite://")
    assert told[4] == "1 warning outside. Nothing was written."
    assert not (folder / "lake").exists()


def test_a_table_that_is_not_there_fails(folder: Path, capsys: Captured) -> None:
    (folder / "catchment.yaml").write_text(PROJECT.replace("table: orders", "table: ordres"))
    assert main(["check", "--connect"]) == 1
    told = capsys.readouterr().out
    assert "shop_db.orders  error    there is no table `ordres`\n    did you mean `orders`?\n" in told
    assert told.endswith("1 error, 1 warning outside. Nothing was written.\n")


def test_a_database_that_is_not_there_is_told_once(folder: Path, capsys: Captured) -> None:
    (folder / "shop.db").unlink()
    assert main(["check", "--connect", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["errors"], found["warnings"], found["problems"]) == (1, 0, [])
    assert [one["feed"] for one in found["findings"]] == ["shop_db"]


def test_nothing_is_asked_where_the_project_has_mistakes(folder: Path, capsys: Captured) -> None:
    (folder / "catchment.yaml").write_text(PROJECT + "wrong: 1\n")
    assert main(["check", "--connect", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["errors"], found["findings"]) == (1, [])
    assert main(["check", "--connect"]) == 1
    assert "1 problem. Nothing was run." in capsys.readouterr().out


def test_a_target_has_to_be_one(folder: Path, capsys: Captured) -> None:
    assert main(["check", "--connect", "--target", "lokal"]) == 1
    assert "no target `lokal`" in capsys.readouterr().err
    assert main(["check", "--target", "lokal"]) == 1
    capsys.readouterr()
    assert main(["check", "--connect", "--target", "local"]) == 0


def test_without_connect_there_are_no_findings(folder: Path, capsys: Captured) -> None:
    (folder / "shop.db").unlink()
    assert main(["check", "--json"]) == 0
    assert "findings" not in json.loads(capsys.readouterr().out)


def test_a_project_in_order_says_so() -> None:
    found = [Finding("a.b", "ok", "can be read", "a hint that nobody needs"), Finding("a.c", "ok", "can be read")]
    assert check.connect_lines(found) == [
        "a.b  ok  can be read",
        "a.c  ok  can be read",
        "All 2 streams can be read. Nothing was written.",
    ]
    assert check.connect_lines([]) == ["No source to connect to."]


def test_every_field_of_a_finding_is_in_the_reference() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "json.md").read_text(encoding="utf-8")
    section = page.split("## catchment check --json\n")[1].split("\n## ")[0]
    assert all(f'"{key}":' in section for key in ("feed", "severity", "message", "hint", "findings"))
