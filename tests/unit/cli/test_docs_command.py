"""`catchment docs` on a small project that never ran."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from catchment.cli.group import catchment

YAML = """name: small
sources:
  src: {type: files, streams: {rows: {path: "rows/*.csv"}}}
silver:
  orders: {from: src.rows}
"""

CONTRACT = """apiVersion: v3.2.0
kind: DataContract
id: orders
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
      - {name: id, logicalType: string}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "contracts").mkdir()
    (tmp_path / "catchment.yaml").write_text(YAML, encoding="utf-8")
    (tmp_path / "contracts" / "orders.odcs.yaml").write_text(CONTRACT, encoding="utf-8")
    return tmp_path


def call(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(catchment, ["--project", str(folder), "docs", *words], catch_exceptions=False)


def test_build_says_where_the_site_is_and_what_is_not_in_it(folder: Path) -> None:
    told = call(folder, "build")
    assert told.stdout == f"{folder / 'site' / 'index.html'}\n"
    assert f"Built the site in {folder / 'site'}: 8 pages on 2 tables and " in told.stderr
    assert "  not in it: nothing has landed yet" in told.stderr
    assert (folder / "site" / "silver" / "orders.html").exists()


def test_build_goes_where_it_is_told_and_tells_it_as_json(folder: Path, tmp_path: Path) -> None:
    told = json.loads(call(folder, "build", "--to", str(tmp_path / "there"), "--json").stdout)
    assert set(told) == {"folder", "index", "pages", "tables", "columns", "bytes", "absent"}
    assert told["index"] == str(tmp_path / "there" / "index.html")
    assert (told["pages"], told["tables"]) == (8, 2)
    assert not (folder / "site").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_builds_and_shows_the_site_until_it_is_told_to_end(folder: Path, number: int) -> None:
    words = [sys.executable, "-m", "catchment", "--project", str(folder), "docs", "serve"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stdout is not None
            address = serving.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:")
            with urllib.request.urlopen(address) as page:
                assert b"<title>small</title>" in page.read()
            serving.send_signal(number)
            _, told = serving.communicate(timeout=20)
        finally:
            serving.kill()
    assert serving.returncode == 0
    assert told.splitlines()[-1] == "ended"


def test_serving_what_was_never_built_says_how_to_build_it(folder: Path) -> None:
    told = CliRunner().invoke(catchment, ["--project", str(folder), "docs", "serve", "--no-build"])
    assert "there is no site" in str(told.exception)
