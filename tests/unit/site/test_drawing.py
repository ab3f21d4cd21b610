"""Drawings: everything flows to the right, nothing lies over another, and what is too much is told in groups."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catchment.answers import GoldStatus, QualityOfLoad
from catchment.site.addresses import Addresses
from catchment.site.charts import rows_chart, score_chart
from catchment.site.drawing import Around, draw_around, draw_project
from catchment.site.facts import ColumnFacts, SiteFacts, TableFacts
from catchment.site.layout import layout, ranks
from catchment.site.pages import pages

KEYS = [f"t{number}" for number in range(9)]
EDGES = st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(KEYS)), max_size=30)


def facts(*tables: TableFacts, edges: list[tuple[str, str]] | None = None) -> SiteFacts:
    return SiteFacts(
        project="many",
        target="local",
        made_at=datetime(2026, 1, 1, tzinfo=UTC),
        tables={table.name: table for table in tables},
        edges=edges or [],
        gold=GoldStatus(None, None),
        has_gold=False,
    )


def silver(*names: str) -> list[TableFacts]:
    return [TableFacts(f"silver.{name}", "silver", "silver", columns=[ColumnFacts("id")]) for name in names]


@given(EDGES, st.lists(st.integers(0, 3), min_size=9, max_size=9))
def test_a_table_stands_right_of_what_it_is_made_of_unless_they_go_round_in_a_circle(
    edges: list[tuple[str, str]], bands: list[int]
) -> None:
    upwards = [(one, other) for one, other in edges if one < other]  # no circle in these
    of = dict(zip(KEYS, sorted(bands), strict=True))
    rank = ranks(of, upwards)
    assert all(rank[one] < rank[other] for one, other in upwards)
    assert all(rank[one] <= rank[other] for one in KEYS for other in KEYS if of[one] < of[other])
    assert set(ranks(of, edges)) == set(KEYS)  # and with circles it ends


@given(EDGES)
def test_no_two_boxes_lie_over_one_another(edges: list[tuple[str, str]]) -> None:
    rank = ranks(dict.fromkeys(KEYS, 0), edges)
    placed = layout(rank, edges)
    assert sorted(key for column in placed.columns for key in column) == KEYS
    for column in placed.columns:
        tops = sorted(placed.top[key] for key in column)
        assert all(below - above >= 28 for above, below in pairwise(tops))
    assert all(0 <= top <= placed.height for top in placed.top.values())


def test_a_chain_is_drawn_as_a_straight_line() -> None:
    rank = ranks(dict.fromkeys("abc", 0), [("a", "b"), ("b", "c")])
    placed = layout(rank, [("a", "b"), ("b", "c")])
    assert len({placed.top[key] for key in "abc"}) == 1


def test_more_tables_than_anybody_can_read_are_drawn_as_groups() -> None:
    many = facts(*silver(*(f"t{number}" for number in range(300))))
    drawn = draw_project(many, lambda name: name)
    assert drawn.count("<rect") == 1
    assert "silver · 300" in drawn
    assert draw_project(many, lambda name: name, most=300).count("<rect") == 300


def test_around_a_table_only_so_much_is_drawn() -> None:
    readers = [f"r{number}" for number in range(30)]
    many = facts(*silver("hub", *readers), edges=[("silver.hub", f"silver.{reader}") for reader in readers])
    drawn = draw_around(many, Around.of(many.edges), "silver.hub", lambda name: f"{name}.html")
    assert drawn is not None
    assert drawn.count("<rect") == 12
    assert "and 20 more" in drawn
    assert draw_around(facts(*silver("alone")), Around.of([]), "silver.alone", lambda name: name) is None


def test_a_large_site_has_no_large_page_but_the_lists(tmp_path: object) -> None:
    many = facts(*silver(*(f"t{number}" for number in range(400))))
    sizes = {name: len(content) for name, content in pages(many)}
    assert max(size for name, size in sizes.items() if "/t" in name) < 8_000
    assert sizes["index.html"] < 12_000
    assert sizes["lineage.html"] < 8_000


def test_names_that_differ_little_have_files_of_their_own() -> None:
    names = ["a", "A", "a b", "a/b", "../a", "é", "x" * 300, "con.x"]
    found = facts(*silver(*names))
    columns = TableFacts("gold.c", "model", "cur", columns=[ColumnFacts(name) for name in names])
    addresses = Addresses.of(facts(*found.tables.values(), columns))
    files = [addresses.pages[name] for name in found.tables]
    assert len({file.lower() for file in files}) == len(names)
    assert all(re.fullmatch(r"silver/[\w-]{1,90}\.html", file, re.ASCII) for file in files)
    anchors = addresses.anchors["gold.c"]
    assert len(set(anchors.values())) == len(names)
    assert addresses.way("silver/a.html", "gold.c", "a") == "../gold/c.html#c-a"
    assert addresses.way("index.html", "gold.nothing") is None


def loads(*scores: float | None) -> list[QualityOfLoad]:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return [QualityOfLoad(place, at, score, 10, place) for place, score in enumerate(scores)]


@pytest.mark.parametrize("scores", [(), (90.0,), (None, None, 80.0)])
def test_one_score_is_no_line(scores: tuple[float | None, ...]) -> None:
    assert score_chart(loads(*scores)) is None


def test_figures_over_loads_are_drawn_from_two_loads_on() -> None:
    assert rows_chart(loads(None)) is None
    bars = rows_chart(loads(None, None)) or ""
    assert "load 1: 10 rows, 1 rejected" in bars
    line = score_chart(loads(100.0, None, 50.0)) or ""
    assert 'points="6.0,6.0 314.0,66.0"' in line  # from the top to the base
    assert "load 2: 50.0" in line
