"""Watches the live page in Chromium. Runs in `.venvs/browser`; see install.sh.

watch.py ADDRESS SCREENSHOT     one line of JSON once figures are drawn, and one more with every change, until the input
                                ends
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from look import Seen, browser  # type: ignore[import-not-found]
from playwright.sync_api import Page

_SIZES = ((1200, 900), (400, 800))
_OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def seen_of(page: Page, seen: Seen) -> dict[str, Any]:
    return {
        "headings": page.locator("h2").all_inner_texts(),
        "cells": page.locator("section").first.locator("tbody td").all_inner_texts(),
        "drawings": page.locator("svg[role=img]").evaluate_all("all => all.map(one => one.getAttribute('aria-label'))"),
        "state": page.locator("#state").inner_text(),
        "overflow": page.evaluate(_OVERFLOW),
        "requests": sorted(set(seen.requests)),
        "complaints": seen.complaints,
    }


def tell(page: Page, seen: Seen) -> None:
    sys.stdout.write(json.dumps(seen_of(page, seen)) + "\n")
    sys.stdout.flush()


def main() -> None:
    address, shot = sys.argv[1:3]
    with browser(_SIZES[0]) as context:
        page = context.pages[0] if context.pages else context.new_page()
        seen = Seen(page)
        # Events never end: there is no idle network to wait for.
        page.goto(address, wait_until="load")
        page.wait_for_selector("svg[role=img]")
        tell(page, seen)
        for words in sys.stdin:
            page.wait_for_selector(f"td >> text=/^{words.strip()}$/", timeout=30_000)
            page.set_viewport_size({"width": _SIZES[1][0], "height": _SIZES[1][1]})
            page.screenshot(path=shot, full_page=True)
            tell(page, seen)


if __name__ == "__main__":
    main()
