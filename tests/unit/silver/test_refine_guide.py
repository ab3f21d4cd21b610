"""The worked example of docs/guides/refine.md is a project that works as the page says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from catchment.cli import main

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "refine.md"

PROJECT = """
name: guide
sources: {drops: {type: files, streams: {orders: {path: orders.csv}}}}
silver: {orders: {from: drops.orders, refine: silver/orders.py}}
"""


def fence(kind: str) -> str:
    found = re.search(rf"^```{kind}\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found.group(1)


def test_prices_with_a_comma_become_numbers_and_odd_ones_are_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["1;1.234,56", "2;39,9", "3;-7", "4;n/a", "5;12.5,1", "6;"]
    files = {
        "catchment.yaml": PROJECT,
        "contracts/orders.odcs.yaml": fence("yaml contract"),
        "silver/orders.py": fence("python"),
        "orders.csv": "\n".join(["order_id;Price", *rows]) + "\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert main(["--project", str(tmp_path), "check"]) == 0
    capsys.readouterr()
    assert main(["--project", str(tmp_path), "preview", "silver.orders", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["order_id"]: row["amount"] for row in found["good"]} == {1: "1234.56", 2: "39.90", 3: "-7.00"}
    assert {row["raw"]["order_id"] for row in found["bad"]} == {"4", "5", "6"}
    assert {reason["words"] for reason in found["reasons"]} == {"amount: required"}
