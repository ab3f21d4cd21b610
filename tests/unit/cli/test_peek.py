"""`catchment peek`: the first rows as they would land, a contract to propose, and nothing written."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from catchment.cli import main
from catchment.reading.documents import Findings, parse
from catchment.reading.odcs.document import read_node
from catchment.records import Message, TopicSpec
from catchment.topics.embedded import EmbeddedBroker

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "json.md").read_text(encoding="utf-8")
PROJECT = """\
name: shop
sources:
  drops:
    type: files
    streams: {users: {path: "in/users.csv"}, clicks: {path: "in/clicks.jsonl"}}
  shop_db:
    type: sql
    url: sqlite:///shop.db
    streams: {orders: {table: orders, cursor: changed_at}, few: {table: orders, columns: [order_id]}}
"""

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "catchment.yaml").write_text(PROJECT)
    (tmp_path / "in").mkdir()
    rows = [f"{number},Name {number},2026-01-{number % 28 + 1:02}" for number in range(1, 31)]
    (tmp_path / "in/users.csv").write_text("\n".join(["user_id,name,since", *rows, '31,"never closed']) + "\n")
    (tmp_path / "in/clicks.jsonl").write_text('{"id": 1, "by": {"name": "a"}}\n{"id": 2}\n')
    with closing(sqlite3.connect(tmp_path / "shop.db")) as database:
        database.execute(
            "CREATE TABLE orders (order_id INTEGER PRIMARY KEY, total NUMERIC(10, 2), changed_at DATETIME)"
        )
        database.executemany("INSERT INTO orders VALUES (?, ?, ?)", [(n, n / 4, "2026-01-02 10:00:00") for n in (1, 2)])
        database.commit()
    return tmp_path


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_the_first_rows_are_shown_and_nothing_is_written(folder: Path, capsys: Captured) -> None:
    before = files(folder)
    assert main(["peek", "drops.users", "--limit", "2"]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "drops.users: 2 rows, the first, from in/users.csv",
        "user_id  name    since",
        "1        Name 1  2026-01-02",
        "2        Name 2  2026-01-03",
    ]
    assert captured.err == "Nothing was written.\n"
    assert files(folder) == before


def test_rows_that_cannot_be_read_are_told_apart(folder: Path, capsys: Captured) -> None:
    assert main(["peek", "drops.users", "--limit", "100"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "drops.users: 31 rows, all of them, from in/users.csv"
    assert shown[-2] == "1 row cannot be read:"
    assert "quote opened and not closed" in shown[-1]


def test_documents_are_shown_whole(folder: Path, capsys: Captured) -> None:
    assert main(["peek", "drops.clicks"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ['{"id": 1, "by": {"name": "a"}}', '{"id": 2}']


def test_a_stream_without_rows_says_so(folder: Path, capsys: Captured) -> None:
    with closing(sqlite3.connect(folder / "shop.db")) as database:
        database.execute("DELETE FROM orders")
        database.commit()
    assert main(["peek", "shop_db.orders"]) == 0
    assert capsys.readouterr().out == "shop_db.orders has no rows.\n"
    assert main(["peek", "shop_db.orders", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == []


def test_json_has_every_column_and_is_in_the_reference(folder: Path, capsys: Captured) -> None:
    assert main(["peek", "shop_db.orders", "--limit", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["stream"], found["table"], found["is_all"]) == ("shop_db.orders", "bronze.shop_db__orders", False)
    assert [column["name"] for column in found["columns"]] == ["order_id", "total", "changed_at"]
    assert found["rows"][0]["order_id"] == 1
    assert set(found["rows"][0]) >= {"_origin", "_position", "_defect", "_raw"}
    section = PAGE.split("## catchment peek --json\n")[1].split("\n## ")[0]
    assert [key for key in found if f'"{key}":' not in section] == []


@pytest.mark.parametrize(
    ("asked", "cure"),
    [
        ("drops.user", "did you mean `drops.users`?"),
        ("users", "did you mean `drops.users`?"),
        ("drops", "did you mean `drops.users` or `drops.clicks`?"),
        ("quite.different", "there are drops.users, drops.clicks, shop_db.orders, shop_db.few"),
    ],
)
def test_an_unknown_stream_is_told_with_those_that_may_be_meant(
    folder: Path, asked: str, cure: str, capsys: Captured
) -> None:
    assert main(["peek", asked]) == 1
    assert capsys.readouterr().err.splitlines() == [f"error: no stream `{asked}`", f"hint: {cure}"]


def contract_of(folder: Path, arguments: list[str], capsys: Captured) -> str:
    assert main(["peek", *arguments, "--contract"]) == 0
    text = capsys.readouterr().out
    findings = Findings("proposed.odcs.yaml")
    root = parse(text, findings)
    assert root is not None
    assert read_node(root, "any", findings) is not None
    assert findings.problems == []
    return text


def test_a_database_tells_the_contract_itself(folder: Path, capsys: Captured) -> None:
    text = contract_of(folder, ["shop_db.orders"], capsys)
    assert "physicalType: decimal(10,2)" in text
    assert "primaryKey: true" in text
    assert "# key: order_id: the table's primary key" in text


def test_what_is_sampled_claims_neither_key_nor_required(
    folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = contract_of(folder, ["drops.users"], capsys)
    assert text.startswith("# Proposed from all rows that drops.users has now, 31 rows.\n")
    assert "required: true" in text
    monkeypatch.setattr("catchment.cli.peek._STUDIED", 10)
    text = contract_of(folder, ["drops.users"], capsys)
    assert text.startswith("# Proposed from the first rows of drops.users, 10 rows:")
    assert "logicalType: date" in text
    assert "required: true" not in text
    assert "primaryKey" not in text
    assert "# key: in the first 10 rows: user_id is unique in 10 of 10 rows" in text


def test_a_stream_that_brings_something_else_is_sampled(folder: Path, capsys: Captured) -> None:
    text = contract_of(folder, ["shop_db.few"], capsys)
    assert "- name: order_id" in text
    assert "total" not in text


def test_documents_give_paths(folder: Path, capsys: Captured) -> None:
    assert 'transformSourceObjects: ["$.by.name"]' in contract_of(folder, ["drops.clicks"], capsys)


def test_a_topic_gives_the_fields_of_its_messages(folder: Path, capsys: Captured) -> None:
    project = "name: shop\nsources: {web: {type: topic, streams: {clicks: {topic: clicks}}}}\n"
    (folder / "catchment.yaml").write_text(project)
    broker = EmbeddedBroker(folder / "topics")
    broker.declare([TopicSpec("clicks", 2)])
    documents = [{"event_id": f"e-{number}", "at": "2026-01-02T10:00:00Z"} for number in range(30)]
    broker.write("clicks", [Message(json.dumps(one).encode(), b"u-1") for one in documents])
    text = contract_of(folder, ["web.clicks"], capsys)
    assert "# key: event_id is unique in 30 of 30 rows" in text
    assert 'transformSourceObjects: ["$.event_id"]' in text
    assert "name: document" not in text
    assert "name: message_" not in text
    assert (
        "# Beside the document: message_key, message_headers, message_at (transformSourceObjects: [message_key])"
        in text
    )


def test_a_database_that_no_project_reads_can_be_looked_into(folder: Path, capsys: Captured) -> None:
    (folder / "catchment.yaml").unlink()
    before = files(folder)
    assert main(["peek", "orders", "--from", "sqlite:///shop.db"]) == 0
    assert capsys.readouterr().out.startswith("shop_db.orders: 2 rows, all of them, from sqlite://")
    assert main(["peek", "ordres", "--from", "sqlite:///shop.db"]) == 1
    assert "did you mean `orders`?" in capsys.readouterr().err
    assert "physicalType: decimal(10,2)" in contract_of(folder, ["orders", "--from", "sqlite:///shop.db"], capsys)
    assert files(folder) == before


def test_contract_and_json_exclude_each_other(folder: Path, capsys: Captured) -> None:
    assert main(["peek", "drops.users", "--json", "--contract"]) == 2
    assert "exclude each other" in capsys.readouterr().err
