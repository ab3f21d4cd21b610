"""Looks at a site in Chromium and tells what was seen as JSON. Runs in `.venvs/browser`; see install.sh.

look.py BASE SCREENSHOTS PAGES SIZES     BASE is file:///…/ or http://…/, PAGES and SIZES are JSON
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Page, sync_playwright

# As root Chromium has no sandbox; the others keep it from speaking to its makers.
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]

_OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@contextmanager
def browser(size: tuple[int, int], dark: bool = False) -> Iterator[BrowserContext]:
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path="/usr/bin/chromium",
            args=FLAGS,
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
        )
        try:
            yield context
        finally:
            context.close()


class Seen:
    """What pages asked for and complained of."""

    def __init__(self, page: Page) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("requestfailed", lambda request: self.complaints.append(f"failed: {request.url} {request.failure}"))
        page.on("response", self._heard)
        page.on(
            "console", lambda told: self.complaints.append(told.text) if told.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _heard(self, response: Any) -> None:
        if response.status >= 400:
            self.complaints.append(f"{response.status}: {response.url}")


def look(base: str, shots: Path, pages: dict[str, str], size: tuple[int, int], dark: bool) -> dict[str, Any]:
    with browser(size, dark) as context:
        page = context.pages[0] if context.pages else context.new_page()
        seen = Seen(page)
        overflow = {}
        for name, file in pages.items():
            page.goto(base + file)
            overflow[file] = page.evaluate(_OVERFLOW)
            look_of = "dark" if dark else "light"
            page.screenshot(path=shots / f"{name}-{size[0]}-{look_of}.png", full_page=True)
        return {
            "size": list(size),
            "overflow": overflow,
            "search": _search(page, base),
            "lineage": _lineage(page, base),
            "theme": _theme(page, base),
            "requests": sorted(set(seen.requests)),
            "complaints": seen.complaints,
        }


def _search(page: Page, base: str) -> dict[str, Any]:
    """By the keyboard alone: `/`, words, an arrow, Enter."""
    page.goto(base + "index.html")
    page.keyboard.press("/")
    page.keyboard.type("daily_sales revenue")
    page.wait_for_selector("#found [aria-selected=true]")
    found = page.locator("#found b").all_inner_texts()
    overflow = page.evaluate(_OVERFLOW)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.wait_for_url("**/gold/daily_sales.html*")
    return {"found": found, "url": page.url, "overflow": overflow}


def _lineage(page: Page, base: str) -> str:
    """A click on a box of the drawing."""
    page.goto(base + "lineage.html")
    page.locator("svg.flow a", has_text="daily_sales").first.click()
    page.wait_for_url("**/gold/daily_sales.html")
    return page.locator("h1").inner_text()


def _theme(page: Page, base: str) -> list[str]:
    """The ground's colour before and after the button, and on the next page."""
    page.goto(base + "index.html")
    colours = [page.evaluate("getComputedStyle(document.body).backgroundColor")]
    page.locator("#theme").click()
    colours.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    page.goto(base + "silver.html")
    return [*colours, page.evaluate("getComputedStyle(document.body).backgroundColor")]


def main() -> None:
    base, shots, pages, sizes = sys.argv[1:5]
    Path(shots).mkdir(parents=True, exist_ok=True)
    found = [look(base, Path(shots), json.loads(pages), (w, h), bool(dark)) for w, h, dark in json.loads(sizes)]
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
