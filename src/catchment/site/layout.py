"""Where boxes of a drawing stand: in columns from left to right, with few crossings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

Edge = tuple[str, str]

_SWEEPS = 6
_HEIGHT, _GAP, _WAY = 28.0, 12.0, 10.0  # of a box, between two, of an edge that passes a column


@dataclass(frozen=True)
class Layout:
    """`columns` are keys from top to bottom; `top` is where each begins, in pixels; `ways` are the places that an edge
    goes through in the columns between its ends."""

    columns: Sequence[Sequence[str]]
    top: Mapping[str, float]
    ways: Mapping[Edge, Sequence[str]]
    height: float


def ranks(bands: Mapping[str, int], edges: Iterable[Edge]) -> dict[str, int]:
    """A column for each key: after everything that it reads, and not before the band that it is in begins.

    Of a circle one edge goes backwards.
    """
    before = _without_circles(bands, edges)
    depth: dict[str, int] = {}
    order = list(TopologicalSorter(before).static_order())
    for key in order:
        depth[key] = 1 + max((depth[one] for one in before[key] if bands[one] == bands[key]), default=0)
    begins: dict[int, int] = {}
    column = 0
    for band in sorted(set(bands.values())):
        begins[band] = column
        column += max(depth[key] for key, own in bands.items() if own == band)
    found: dict[str, int] = {}
    for key in order:
        found[key] = max([begins[bands[key]], *(found[one] + 1 for one in before[key])])
    return found


def _without_circles(keys: Iterable[str], edges: Iterable[Edge]) -> dict[str, list[str]]:
    before: dict[str, list[str]] = {key: [] for key in sorted(keys)}
    for one, other in sorted(set(edges)):
        if one != other:
            before[other].append(one)
    while True:
        try:
            TopologicalSorter(before).prepare()
        except CycleError as error:
            circle: list[str] = error.args[1]  # each reads the one before it
            before[circle[1]].remove(circle[0])
        else:
            return before


def layout(rank: Mapping[str, int], edges: Iterable[Edge]) -> Layout:
    """Columns in an order with few crossings; edges that lead backwards or stay in a column take no part in it."""
    columns: list[list[str]] = [[] for _ in range(max(rank.values(), default=-1) + 1)]
    for key in sorted(rank):
        columns[rank[key]].append(key)
    ways: dict[Edge, list[str]] = {}
    near: dict[str, tuple[list[str], list[str]]] = {key: ([], []) for key in rank}
    for one, other in sorted(set(edges)):
        if rank[one] >= rank[other]:
            continue
        ways[one, other] = []
        last = one
        for column in range(rank[one] + 1, rank[other]):
            way = f"{one}\0{other}\0{column}"
            near[way] = ([], [])
            columns[column].append(way)
            ways[one, other].append(way)
            last = _joined(near, last, way)
        _joined(near, last, other)
    for sweep in range(_SWEEPS):
        _swept(columns, near, backwards=sweep % 2 == 1)
    top = _placed(columns, near)
    height = max((top[key] + _size(key) for key in top), default=0.0)
    return Layout([[key for key in column if "\0" not in key] for column in columns], top, ways, height)


def _joined(near: dict[str, tuple[list[str], list[str]]], one: str, other: str) -> str:
    near[one][1].append(other)
    near[other][0].append(one)
    return other


def _swept(columns: list[list[str]], near: Mapping[str, tuple[list[str], list[str]]], *, backwards: bool) -> None:
    """Each column in the order of what its boxes are joined to in the column before."""
    order = range(len(columns) - 2, -1, -1) if backwards else range(1, len(columns))
    for at in order:
        beside = columns[at + 1] if backwards else columns[at - 1]
        place = {key: index for index, key in enumerate(beside)}
        middle = {}
        for now, key in enumerate(columns[at]):
            met = [place[one] for one in near[key][1 if backwards else 0] if one in place]
            middle[key] = (sum(met) / len(met) if met else float(now), now)
        columns[at].sort(key=middle.__getitem__)


def _placed(columns: Sequence[Sequence[str]], near: Mapping[str, tuple[list[str], list[str]]]) -> dict[str, float]:
    """Each box beside what it is joined to, as far as those above and below leave it room."""
    top: dict[str, float] = {}
    for column in columns:
        at = 0.0
        for key in column:
            top[key] = at
            at += _size(key) + _GAP
    for backwards in (False, True, False):
        for column in reversed(columns) if backwards else columns:
            wanted = {}
            for key in column:
                met = [top[one] + _size(one) / 2 for one in near[key][1 if backwards else 0]]
                wanted[key] = sum(met) / len(met) - _size(key) / 2 if met else top[key]
            top.update(_settled(column, wanted))
    least = min(top.values(), default=0.0)
    return {key: place - least for key, place in top.items()}


def _settled(column: Sequence[str], wanted: Mapping[str, float]) -> dict[str, float]:
    """No two over one another, in their order, on the whole where they want to be."""
    found: dict[str, float] = {}
    free = float("-inf")
    for key in column:
        found[key] = max(wanted[key], free)
        free = found[key] + _size(key) + _GAP
    off = sum(found[key] - wanted[key] for key in column) / max(len(column), 1)
    return {key: place - off for key, place in found.items()}


def _size(key: str) -> float:
    return _WAY if "\0" in key else _HEIGHT
