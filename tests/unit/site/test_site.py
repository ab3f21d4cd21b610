"""The site of a project in which every text is hostile: whole, closed to the outside, and true."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from posixpath import dirname, normpath
from typing import Any

from catchment.project import load_project
from catchment.site.gathering import gather
from catchment.site.pages import pages

from .orchard import SECRET, Built

POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'"
OUTSIDE = {"https://reports.example/fruit?a=1&b=2"}  # an exposure says so


def index(built: Built) -> list[list[Any]]:
    text = (built.site.folder / "assets" / "index.js").read_text("utf-8")
    found: list[list[Any]] = json.loads(text.removeprefix("window.catchmentIndex = ").removesuffix(";\n"))
    return found


def test_every_link_leads_to_a_page_and_an_anchor_that_are_there(orchard: Built) -> None:
    read = orchard.pages
    assert len(read) == orchard.site.pages
    for name, page in read.items():
        for link in set(page.links) - OUTSIDE:
            file, _, anchor = link.partition("#")
            target = normpath(f"{dirname(name)}/{file}".lstrip("/")) if file else name
            assert (orchard.site.folder / target).is_file(), (name, link)
            if anchor:
                assert anchor in read[target].ids, (name, link)


def test_what_the_search_finds_is_there_and_everything_can_be_found(orchard: Built) -> None:
    read = orchard.pages
    found = {}
    for name, _, file, _, columns in index(orchard):
        assert all(anchor in read[file].ids for _, anchor in columns)
        found[name] = [column for column, _ in columns]
    assert "gold.yields" in found
    assert "drops" in found
    assert found["gold.yields"] == ["kind", "mark", "kilos"]
    assert "a_note" in found["bronze.drops__picks"]


def test_nothing_is_asked_for_outside(orchard: Built) -> None:
    for name, page in orchard.pages.items():
        assert [link for link in page.links if "//" in link and link not in OUTSIDE] == [], name
        assert [tag for tag, _ in page.tags if tag in ("img", "iframe", "object", "embed", "form", "base")] == [], name
        policies = [told["content"] for tag, told in page.tags if told.get("http-equiv") == "Content-Security-Policy"]
        assert policies == [POLICY], name
    for path in (orchard.site.folder / "assets").iterdir():
        text = path.read_text("utf-8")
        assert re.search(r"fetch\(|XMLHttpRequest|@import|url\(|eval\(|innerHTML", text) is None, path.name
        assert "://" not in re.sub(r'xmlns="[^"]+"', "", text), path.name


def test_every_page_is_well_formed(orchard: Built) -> None:
    for name, page in orchard.pages.items():
        assert page.wrong == [], name
        assert len(page.ids) == len(set(page.ids)), name
        assert [tag for tag, _ in page.tags].count("h1") == 1, name
        assert page.text.startswith("<!doctype html>")


def test_what_people_write_is_text_and_nothing_else(orchard: Built) -> None:
    met = 0
    for name, page in orchard.pages.items():
        scripts = [attributes for tag, attributes in page.tags if tag == "script"]
        assert [list(attributes) for attributes in scripts] == [["src"]], name
        assert [key for _, attributes in page.tags for key in attributes if key.startswith(("on", "style"))] == [], name
        assert [link for link in page.links if link.lower().startswith("javascript:")] == [], name
        met += page.text.count("&lt;script&gt;")
    assert met > 10
    assert "{{ 7 * 7 }}" in orchard.words("silver/picks.html")
    assert "javascript:alert(1)" in orchard.words("exposures/board.html")  # told, and no link


def test_no_value_from_outside_is_in_the_site(orchard: Built) -> None:
    for path in orchard.site.folder.rglob("*"):
        if path.is_file():
            text = path.read_text("utf-8")
            assert SECRET not in text, path.name
            assert str(orchard.folder) not in text, path.name
    assert "${env:ORCHARD_SECRET}" in orchard.words("gold/yields.html")
    assert "${env:ORCHARD_TREES}/*.jsonl" in orchard.words("sources/drops.html")


def test_the_same_facts_give_the_same_bytes_and_the_time_of_making_stands_in_one_place(orchard: Built) -> None:
    project = load_project(orchard.folder)
    one, other = (dict(pages(gather(project, None, now=datetime(2026, 6, 1, hour, tzinfo=UTC)))) for hour in (8, 9))
    assert [name for name in one if one[name] != other[name]] == ["index.html"]
    assert one["index.html"].replace(b"08:00", b"09:00") == other["index.html"]


def test_a_column_says_what_it_is_made_of_and_what_is_made_of_it(orchard: Built) -> None:
    page = orchard.pages["silver/picks.html"]
    assert "../bronze/drops__picks.html#c-kilos" in page.links
    assert "../gold/stg_picks.html#c-kilos" in page.links
    assert "trees.html#c-kind" in page.links  # by the refine function
    assert "stg_picks.html#c-kilos" in orchard.pages["gold/yields.html"].links
    assert "../silver/picks.html#c-kilos" in orchard.pages["bronze/drops__picks.html"].links
    assert "SUM(p.kilos)" in orchard.words("gold/yields.html").replace("sum", "SUM")


def test_a_silver_page_tells_its_contract_and_where_it_stands(orchard: Built) -> None:
    words = orchard.words("silver/picks.html")
    for told in (
        *("orchard-picks 2.1.0", "pickers", "Ada <b>Bold</b>", "max (engineer)", "decimal(8,2)", "restricted"),
        *("not_too_heavy", "kilos < 1000", "share of rejected rows: at most 90 %", "at least 0", "refers to"),
        *("picked_at at most 1 day", "merge", "kilos: is less than 0", "its newest row is older than 1 day"),
        *("score of the last 2 loads", "silver/picks.py", "def refine"),
    ):
        assert told in words, told
    assert "eva" not in words  # who left
    assert '<svg class="chart score"' in orchard.pages["silver/picks.html"].text


def test_a_gold_page_has_tests_with_their_results_and_both_texts_of_its_sql(orchard: Built) -> None:
    words = orchard.words("gold/yields.html")
    assert "passed kinds_are_unique" in words
    assert "warned kilos_are_one" in words
    assert "2 of 3 passed" in words
    page = orchard.pages["gold/yields.html"]
    code = page.text[page.text.index("As it is written") :]
    assert '<a href="stg_picks.html">stg_picks</a>' in code
    assert '<span class="name">&#34;orchard&#34;</span>.<span class="name">&#34;stg&#34;</span>' in code
    assert "../exposures/board.html" in page.links


def test_the_first_page_says_what_wants_attention(orchard: Built) -> None:
    words = orchard.words("index.html")
    assert "gold.yields kilos_are_one warned: 1 row" in words
    assert "silver.picks its newest row is older than 1 day" in words
    assert "build 1" in words
    assert "1 source, 2 streams to bronze, 2 silver tables, 2 gold models, 2 exposures" in words


def test_drawings_lead_to_tables_without_a_script(orchard: Built) -> None:
    page = orchard.pages["lineage.html"]
    drawing = page.text[page.text.index("<svg class=") :]
    for link in ("sources/drops.html", "silver/picks.html", "gold/yields.html", "exposures/board.html"):
        assert f'<a href="{link}"><g class="box' in drawing


def test_a_page_is_small(orchard: Built) -> None:
    sizes = {path.name: path.stat().st_size for path in orchard.site.folder.rglob("*") if path.is_file()}
    assert max(sizes.values()) < 60_000, sizes
    assert orchard.site.bytes == sum(size for name, size in sizes.items() if name != ".catchment-site")
