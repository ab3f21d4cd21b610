"""Which file a page is, and which anchor a column has: safe on every disk and in every address, whatever the name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from posixpath import dirname, relpath

from catchment.site.facts import SiteFacts

_FOLDERS = {"origin": "sources", "bronze": "bronze", "silver": "silver", "source": "others", "exposure": "exposures"}
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST = 80


@dataclass(frozen=True)
class Addresses:
    """`pages` are files by table, `lists` files (with an anchor) by group, relative to the site's folder; `anchors` are
    those of columns, by table."""

    pages: Mapping[str, str]
    lists: Mapping[str, str]
    anchors: Mapping[str, Mapping[str, str]]

    @classmethod
    def of(cls, facts: SiteFacts) -> Addresses:
        by_folder: dict[str, list[str]] = {}
        for table in facts.tables.values():
            by_folder.setdefault(folder_of(table.group), []).append(table.name)
        pages = {}
        for folder, names in by_folder.items():
            bare = [name.partition(".")[2] or name for name in names] if folder != "others" else names
            pages.update({n: f"{folder}/{file}.html" for n, file in zip(names, _unique(bare), strict=True)})
        anchors = {}
        for table in facts.tables.values():
            columns = [column.name for column in table.columns]
            anchors[table.name] = {n: f"c-{part}" for n, part in zip(columns, _unique(columns), strict=True)}
        lists = {group.key: f"{folder_of(group.key)}.html#{group.key}" for group in facts.groups}
        return cls(pages, lists, anchors)

    def way(self, page: str, table: str, column: str | None = None) -> str | None:
        """From a page to a table, or to one of its columns where it has such; None where the table has no page."""
        file = self.pages.get(table)
        if file is None:
            return None
        anchor = None if column is None else self.anchors[table].get(column)
        return relative(page, file) + ("" if anchor is None else f"#{anchor}")


def folder_of(group: str) -> str:
    """Where the pages of a group lie; the list of them is the page of that name."""
    return _FOLDERS.get(group, "gold")


def relative(page: str, file: str) -> str:
    """The way from one page to another."""
    return relpath(file, dirname(page) or ".")


def _unique(names: Sequence[str]) -> list[str]:
    """Names as parts of paths: letters and digits, not too long, and different also where case does not count."""
    taken: set[str] = set()
    found = []
    for name in names:
        part = _UNSAFE.sub("-", name)[:_LONGEST]
        if part != name or part.lower() in taken:
            part = f"{part}-{sha256(name.encode()).hexdigest()[:8]}"
        taken.add(part.lower())
        found.append(part)
    return found
