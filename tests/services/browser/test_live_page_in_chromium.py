"""The live page in Debian's Chromium: drawn, readable on a small screen, and changed by itself when figures change."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.unit.figures.test_feeder import CONTRACT, YAML, arrive

ROOT = Path(__file__).parents[3]
WATCH = Path(__file__).with_name("watch.py")
PYTHON = ROOT / ".venvs" / "browser" / "bin" / "python"
SHOT = ROOT / "build" / "screenshots" / "live.png"


def test_the_page_is_drawn_and_follows(tmp_path: Path) -> None:
    assert PYTHON.exists(), "tests/services/browser/install.sh makes it"
    SHOT.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "catchment.yaml").write_text(YAML, encoding="utf-8")
    (tmp_path / "orders.yaml").write_text(CONTRACT, encoding="utf-8")
    (tmp_path / "rows").mkdir()
    arrive(tmp_path, 1, "a,1", "<b>b</b>,2")
    words = [sys.executable, "-m", "catchment", "--project", str(tmp_path), "live", "serve", "--feed"]
    with subprocess.Popen([*words, "--listen", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stderr is not None
            found = re.search(r"http://127\.0\.0\.1:\d+/", serving.stderr.readline())
            assert found is not None
            first, then = watched(found[0], tmp_path)
        finally:
            serving.terminate()
    assert first["headings"] == ["sold"]
    assert first["cells"] == ["2", "3"]
    assert then["cells"] == ["3", "777"]
    assert first["drawings"] == ["orders: 2"]
    assert then["drawings"] == ["orders: 3"]
    for one in (first, then):
        assert one["state"].startswith("live · ")
        assert one["overflow"] == 0
        assert one["complaints"] == []
        assert {request for request in one["requests"] if not request.startswith("data:")} == {
            found[0],
            f"{found[0]}events",
        }


def watched(address: str, shop: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the page shows, and what after a row more has come."""
    words = [str(PYTHON), str(WATCH), address, str(SHOT)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdin is not None
        assert watching.stdout is not None
        try:
            first = json.loads(watching.stdout.readline())
            arrive(shop, 2, "c,774")
            watching.stdin.write("777\n")
            watching.stdin.flush()
            then = json.loads(watching.stdout.readline())
            watching.stdin.close()
        finally:
            watching.terminate()
    return first, then
