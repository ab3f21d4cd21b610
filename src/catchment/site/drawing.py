"""Lineage as SVG that needs no script: boxes are links, colours come from the page's style."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from catchment.site.facts import GROUPS, SiteFacts
from catchment.site.layout import Edge, Layout, layout, ranks

# More boxes than this are a wall: then groups are drawn.
MOST = 120
_MOST_BESIDE = 10
_STEPS = 2

# Up to this width a drawing is made smaller to fit a wide page; a wider one could not be read then.
_FITS = 1560

_LETTER, _PADDING = 7.3, 30.0
_WIDEST, _NARROWEST = 230.0, 84.0
_BETWEEN, _HEADING, _HEIGHT, _MARGIN = 36.0, 26.0, 28.0, 4.0


@dataclass(frozen=True)
class Box:
    """`look` is a class of the style; `words` are what people read on it, `title` all of it."""

    words: str
    look: str
    href: str | None = None
    title: str = ""
    is_focus: bool = False


def draw_project(facts: SiteFacts, href: Callable[[str], str], most: int = MOST) -> Markup:
    """Every table, or every group of tables where there are more than `most`; `href` gives a table's page."""
    if len(facts.tables) > most:
        return _draw_groups(facts, href)
    bands = {name: GROUPS[table.group].band for name, table in facts.tables.items()}
    rank = ranks(bands, facts.edges)
    boxes = {name: _box(facts, name, href) for name in facts.tables}
    return _svg(boxes, layout(rank, facts.edges), facts.edges, _headings(facts, rank), "How tables are made of tables")


def _draw_groups(facts: SiteFacts, href: Callable[[str], str]) -> Markup:
    edges = {(facts.tables[one].group, facts.tables[other].group) for one, other in facts.edges}
    edges = {(one, other) for one, other in edges if one != other}
    boxes = {}
    for group in facts.groups:
        count = len(facts.of_group(group.key))
        boxes[group.key] = Box(f"{group.title} · {count:,}", group.key, href(f"#{group.key}"))
    rank = ranks({group.key: group.band for group in facts.groups}, edges)
    return _svg(boxes, layout(rank, edges), edges, {}, "How groups of tables are made of others")


def draw_around(facts: SiteFacts, around: Around, name: str, href: Callable[[str], str]) -> Markup | None:
    """A table with what it is made of and what is made of it, two steps each way; None where it stands alone."""
    rank, boxes = {name: 0}, {name: _box(facts, name, href, is_focus=True)}
    edges: set[Edge] = set()
    for following, sign in ((around.before, -1), (around.after, 1)):
        last = [name]
        for step in range(1, _STEPS + 1):
            met = [one for one in dict.fromkeys(o for key in last for o in following.get(key, ())) if one not in rank]
            shown = met[:_MOST_BESIDE]
            for one in shown:
                rank[one], boxes[one] = sign * step, _box(facts, one, href)
            if len(met) > len(shown):
                key = f"+{sign * step}"
                rank[key], boxes[key] = sign * step, Box(f"and {len(met) - len(shown):,} more", "more")
                edges.add((key, last[0]) if sign < 0 else (last[0], key))
            last = shown
    if len(rank) == 1:
        return None
    least = min(rank.values())
    placed = {key: value - least for key, value in rank.items()}
    edges |= {(one, other) for one in rank for other in around.after.get(one, ()) if other in rank}
    forward = {(one, other) for one, other in edges if placed[one] < placed[other]}
    return _svg(boxes, layout(placed, forward), forward, {}, f"What {name} is made of, and what is made of it")


@dataclass(frozen=True)
class Around:
    """Edges by both of their ends."""

    before: Mapping[str, Sequence[str]]
    after: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, edges: Iterable[Edge]) -> Around:
        before: dict[str, list[str]] = {}
        after: dict[str, list[str]] = {}
        for one, other in edges:
            before.setdefault(other, []).append(one)
            after.setdefault(one, []).append(other)
        return cls(before, after)


def _box(facts: SiteFacts, name: str, href: Callable[[str], str], *, is_focus: bool = False) -> Box:
    table = facts.tables[name]
    return Box(table.title, table.group, href(name), name, is_focus)


def _headings(facts: SiteFacts, rank: Mapping[str, int]) -> dict[int, str]:
    """What stands in each column in which something begins."""
    there: dict[int, set[str]] = {}
    for name, table in facts.tables.items():
        there.setdefault(rank[name], set()).add(table.group)
    found, begun = {}, set[str]()
    for at, groups in sorted(there.items()):
        if groups - begun:
            found[at] = ", ".join(group.title for group in facts.groups if group.key in groups)
        begun |= groups
    return found


def _svg(
    boxes: Mapping[str, Box], placed: Layout, edges: Iterable[Edge], headings: Mapping[int, str], label: str
) -> Markup:
    down = _HEADING if headings else _MARGIN
    widths = [_width(column, boxes, headings.get(at, "")) for at, column in enumerate(placed.columns)]
    left = [_MARGIN + sum(widths[:at]) + _BETWEEN * at for at in range(len(widths))]
    column_of = {key: at for at, column in enumerate(placed.columns) for key in column}
    spots = {key: (left[at], placed.top[key] + down, widths[at]) for key, at in column_of.items()}
    width = int(sum(widths) + _BETWEEN * max(len(widths) - 1, 0) + 2 * _MARGIN)
    height = int(placed.height + down + _MARGIN)
    parts = [
        Markup(
            '<svg class="flow{3}" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" aria-label="{2}">'
        ).format(width, height, label, " fits" if width <= _FITS else "")
    ]
    for at, words in sorted(headings.items()):
        parts.append(Markup('<text class="heading" x="{}" y="14">{}</text>').format(_px(left[at] + 2), words))
    for edge in sorted(edges):
        parts.append(_path(edge, spots, placed, left, widths, down))
    parts += [_drawn(boxes[key], *spots[key]) for column in placed.columns for key in column]
    return Markup("\n").join([*parts, Markup("</svg>")])


def _width(column: Sequence[str], boxes: Mapping[str, Box], heading: str) -> float:
    longest = max((len(boxes[key].words) for key in column), default=0)
    return max(min(max(longest * _LETTER + _PADDING, _NARROWEST), _WIDEST), len(heading) * 6.4)


def _drawn(box: Box, x: float, y: float, width: float) -> Markup:
    room = int((width - _PADDING) / _LETTER + 0.01)
    words = box.words if len(box.words) <= room else f"{box.words[: room - 1]}…"
    look = f"box {box.look}{' focus' if box.is_focus else ''}"
    inner = Markup(
        '<g class="{0}"><title>{1}</title><rect x="{2}" y="{3}" width="{4}" height="{5}" rx="6"/>'
        '<circle cx="{6}" cy="{7}" r="3.5"/><text x="{8}" y="{9}">{10}</text></g>'
    ).format(
        *(look, box.title or box.words, _px(x), _px(y), _px(width), _px(_HEIGHT)),
        *(_px(x + 11), _px(y + _HEIGHT / 2), _px(x + 20), _px(y + _HEIGHT / 2 + 4), words),
    )
    return inner if box.href is None else Markup('<a href="{}">{}</a>').format(box.href, inner)


def _path(
    edge: Edge,
    spots: Mapping[str, tuple[float, float, float]],
    placed: Layout,
    left: Sequence[float],
    widths: Sequence[float],
    down: float,
) -> Markup:
    """From the right of one box to the left of the other, straight through the columns between."""
    (x, y, width), (to_x, to_y, _) = spots[edge[0]], spots[edge[1]]
    points = [(x + width, y + _HEIGHT / 2)]
    for way in placed.ways.get(edge, ()):
        at, middle = int(way.rpartition("\0")[2]), placed.top[way] + 5 + down
        points += [(left[at], middle), (left[at] + widths[at], middle)]
    points.append((to_x, to_y + _HEIGHT / 2))
    words = [f"M{_px(points[0][0])} {_px(points[0][1])}"]
    for (from_x, from_y), (end_x, end_y) in pairwise(points):
        bend = (end_x - from_x) / 2
        words.append(f"C{_px(from_x + bend)} {_px(from_y)} {_px(end_x - bend)} {_px(end_y)} {_px(end_x)} {_px(end_y)}")
    return Markup('<path d="{}"/>').format("".join(words))


def _px(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
