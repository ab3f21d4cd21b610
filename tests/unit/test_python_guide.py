"""What docs/guides/python.md shows can be done, in the order in which it is shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from catchment.templates import write_template

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "python.md"


def test_every_snippet_of_the_guide_works_in_the_shop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_template("shop", tmp_path / "shop", project_name="shop")
    # A few days of it, and no dbt: gold is tried elsewhere.
    for file in (tmp_path / "shop" / "data").rglob("*-*.*"):
        if file.is_file() and not re.search(r"-2026-10-2[2-4]\.", file.name):
            file.unlink()
    declared = tmp_path / "shop" / "catchment.yaml"
    declared.write_text(declared.read_text(encoding="utf-8").replace("gold: {dbt: gold/}", ""), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    found = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(found) == 6
    names: dict[str, object] = {}
    for snippet in found:
        exec(compile(snippet, GUIDE.name, "exec"), names)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gold_users.csv", "shop", "users.parquet"]
    assert "silver.users after land" in capsys.readouterr().out
