"""From a folder of files, or from nothing, to a project that runs without being touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from catchment.cli import main

RETAIL = Path(__file__).parents[4] / "shared" / "data" / "retail"

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    rows = [f"{number},{number % 28 + 1:02}.01.2026,{number}.50" for number in range(1, 41)]
    text = "\n".join(["order_id,ordered_on,amount", *rows, "41,01.01.2026,n/a", "42,31.02.2026,1.00"]) + "\n"
    (tmp_path / "in" / "orders-2026-01.csv").write_text(text, encoding="utf-8")
    return tmp_path


def test_init_says_what_it_wrote_and_what_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", "mine"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("Created mine from template `blank`: 0 streams, 0 silver tables, 0 gold models.\n")
    assert "  catchment.yaml       start here\n" in captured.out
    assert captured.err.startswith("Next: cd mine && ")


def test_init_overwrites_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", "mine"]) == 0
    (tmp_path / "mine" / "catchment.yaml").write_text("mine", encoding="utf-8")
    assert main(["init", "mine"]) == 1
    assert "would be overwritten" in capsys.readouterr().err
    assert (tmp_path / "mine" / "catchment.yaml").read_text(encoding="utf-8") == "mine"


def test_init_from_files_says_what_it_found(orders: Path, capsys: Captured) -> None:
    assert main(["init", "--from", "in/*.csv", "mine"]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "Read 1 file (42 rows).",
        "  orders-2026-01.csv   3 columns   key order_id (unique in 42 of 42)   ordered_on as dd.MM.yyyy (41 rows)",
        "Wrote mine/: 1 stream, 1 contract (each type with its evidence as a comment), 1 stg model.",
    ]
    assert captured.err.endswith("Next: cd mine && catchment preview silver.orders\n")


def test_init_from_files_names_what_it_left_out_and_quotes_what_comes_next(orders: Path, capsys: Captured) -> None:
    (orders / "in" / "notes.docx").write_text("x", encoding="utf-8")
    csv = (orders / "in" / "orders-2026-01.csv").read_text(encoding="utf-8")
    for folder in ("older", "newer"):
        (orders / "in" / folder).mkdir()
        (orders / "in" / folder / "customers.csv").write_text(csv, encoding="utf-8")
    assert main(["init", "--from", "in/*", "my shop"]) == 0
    told = capsys.readouterr().err
    assert "Left out: newer/, notes.docx, older/. " in told
    assert told.endswith("Next: cd 'my shop' && catchment preview silver.orders\n")
    assert main(["init", "--from", "in/**/*.csv", "second"]) == 0
    assert "Left out" not in capsys.readouterr().err


def test_init_leaves_out_files_without_rows_unless_all_are(orders: Path, capsys: Captured) -> None:
    (orders / "in" / "empty.csv").write_text("", encoding="utf-8")
    assert main(["init", "--from", "in/*.csv", "mine"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("Read 1 file (42 rows).\n")
    assert "Left out: empty.csv has no rows.\n" in captured.err
    assert main(["init", "--from", "in/empty.csv", "second"]) == 1
    assert "error: empty.csv has no rows" in capsys.readouterr().err
    assert not (orders / "second").exists()


def test_init_from_files_into_a_project_is_refused(orders: Path, capsys: Captured) -> None:
    assert main(["init", "--from", "in/*.csv", "mine"]) == 0
    assert main(["init", "--from", "in/*.csv", "mine"]) == 1
    assert "is there already" in capsys.readouterr().err


def test_a_drafted_project_runs_untouched(orders: Path, capsys: Captured) -> None:
    assert main(["init", "--from", "in/*.csv", "mine"]) == 0
    assert main(["--project", "mine", "check"]) == 0
    capsys.readouterr()

    assert main(["--project", "mine", "preview", "silver.orders", "--limit", "2"]) == 0
    captured = capsys.readouterr()
    # One amount is a word for nothing, one date is none of the calendar's.
    assert captured.out.startswith("42 rows read, 41 would pass, 1 would not (")
    assert "Nothing was written." in captured.err
    assert not (orders / "mine" / "lake").exists()

    assert main(["--project", "mine", "run", "--select", "bronze", "--select", "silver"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "42 rows landed, 41 in silver, 1 in quarantine." in captured.err

    assert main(["--project", "mine", "run", "--select", "silver", "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [events[0]["event"], events[-1]["event"]] == ["RunStarted", "RunFinished"]
    assert events[-1]["outcome"] == "nothing_new"
    assert "Reached" not in {event["event"] for event in events}

    assert main(["--project", "mine", "quarantine", "show", "silver.orders"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "order_id 42  from drops.orders, file orders-2026-01.csv, line 43"
    assert shown[1].startswith('  ordered_on: "31.02.2026" is not a date in dd.MM.yyyy')

    assert main(["--project", "mine", "status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {table["table"]: table["rows"] for table in found["tables"]} == {
        "bronze.drops__orders": 42,
        "silver.orders": 41,
    }
    assert found["last_run"]["outcome"] == "nothing_new"

    assert main(["--project", "mine", "query", "select count(*) as n from silver.orders", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"n": 41}]


def test_a_demo_does_not_touch_a_folder_that_it_did_not_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop-demo").mkdir()
    (tmp_path / "shop-demo" / "thesis.txt").write_text("years", encoding="utf-8")
    assert main(["demo"]) == 1
    assert "no demo made it" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "shop-demo").iterdir()] == ["thesis.txt"]


@pytest.mark.shared
@pytest.mark.skipif(not RETAIL.is_dir(), reason="../shared is not here")
def test_the_retail_files_become_a_project_that_runs_untouched(tmp_path: Path, capsys: Captured) -> None:
    folder = tmp_path / "retail"
    assert main(["init", "--from", f"{RETAIL}/*.csv", str(folder)]) == 0
    assert "Read 20 files (42,481 rows)." in capsys.readouterr().out
    assert main(["--project", str(folder), "run", "--select", "bronze", "--select", "silver"]) == 0
    assert "42,481 rows landed" in capsys.readouterr().err
    total = "select count(*) as rows, sum(quantity * unit_price) as total from silver.retail"
    assert main(["--project", str(folder), "query", total, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["rows"], round(float(row["total"]), 3)) == (42_481, 748_957.020)
