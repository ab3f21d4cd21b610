"""The shop's site in Debian's Chromium, from a disk and from `catchment docs serve`, at three sizes.

Screenshots lie in build/screenshots/ afterwards. What is needed is installed by install.sh beside this file.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from posixpath import dirname, normpath
from typing import Any

import pytest
from tests.unit.site.orchard import Read

from catchment.generate import generate_shop

ROOT = Path(__file__).parents[3]
LOOK = Path(__file__).with_name("look.py")
PYTHON = ROOT / ".venvs" / "browser" / "bin" / "python"
SCREENSHOTS = ROOT / "build" / "screenshots"

SIZES = [(390, 844, 0), (820, 1180, 0), (1440, 900, 0), (1440, 900, 1)]
PAGES = {
    "overview": "index.html",
    "silver": "silver/transactions.html",
    "gold": "gold/daily_sales.html",
    "lineage": "lineage.html",
    "list": "gold.html",
    "bronze": "bronze/clicks__user_events.html",
    "source": "sources/drops.html",
}


def call(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "catchment", *words], check=True, capture_output=True, timeout=300)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop with six days of little data, run twice, and its site."""
    assert PYTHON.exists(), "tests/services/browser/install.sh makes it"
    folder = tmp_path_factory.mktemp("browser") / "shop"
    call("init", str(folder))
    shutil.rmtree(folder / "data")
    generate_shop(folder, days=6, users=60, scale=0.1)
    later = [path for path in (folder / "data").rglob("*-2026-*") if path.name.partition("-")[2][:10] >= "2026-10-25"]
    assert later
    for path in later:
        path.rename(folder / path.name)
    call("--project", str(folder), "run")
    for path in later:
        (folder / path.name).rename(path)
    call("--project", str(folder), "run")
    call("--project", str(folder), "docs", "build")
    return folder


@pytest.fixture(scope="module")
def served(shop: Path) -> Iterator[str]:
    words = [sys.executable, "-m", "catchment", "--project", str(shop), "docs", "serve", "--no-build"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stdout is not None
            yield serving.stdout.readline().strip()
        finally:
            serving.terminate()


def look(base: str, shots: Path, sizes: list[tuple[int, int, int]]) -> list[dict[str, Any]]:
    words = [str(PYTHON), str(LOOK), base, str(shots), json.dumps(PAGES), json.dumps(sizes)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def hold(base: str, seen: dict[str, Any]) -> None:
    """What is promised of every page at every size."""
    assert [url for url in seen["requests"] if not url.startswith(base)] == []
    assert seen["complaints"] == []
    assert seen["overflow"] == dict.fromkeys(PAGES.values(), 0)
    assert seen["search"]["found"][0] == "gold.daily_sales.revenue"
    assert seen["search"]["url"] == f"{base}gold/daily_sales.html#c-revenue"
    assert seen["search"]["overflow"] == 0
    assert seen["lineage"] == "gold.daily_sales"
    before, after, next_page = seen["theme"]
    assert before != after == next_page


@pytest.mark.timeout(400)
def test_from_a_disk_it_is_whole_at_every_size(shop: Path) -> None:
    base = (shop / "site").as_uri() + "/"
    for seen in look(base, SCREENSHOTS, SIZES):
        hold(base, seen)
    shots = {path.name for path in SCREENSHOTS.glob("*.png")}
    told = {0: "light", 1: "dark"}
    assert {f"{name}-{width}-{told[dark]}.png" for name in PAGES for width, _, dark in SIZES} <= shots


@pytest.mark.timeout(400)
def test_served_it_is_whole_at_every_size(served: str, tmp_path: Path) -> None:
    for seen in look(served, tmp_path, SIZES[:3]):
        hold(served, seen)


def test_every_link_of_the_served_site_answers(served: str) -> None:
    met: set[str] = set()
    waiting = ["index.html"]
    while waiting:
        name = waiting.pop()
        if name in met:
            continue
        met.add(name)
        with urllib.request.urlopen(served + name) as answer:
            assert answer.status == 200
            content = answer.read()
        if name.endswith(".html"):
            links = [link.partition("#")[0] for link in Read(content.decode()).links]
            waiting += [normpath(f"{dirname(name)}/{link}".lstrip("/")) for link in links if link and "//" not in link]
    assert len(met) > 25
