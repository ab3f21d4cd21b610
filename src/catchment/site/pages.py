"""Facts into files: pages of HTML, the style, the script and the index that it searches."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from catchment.observe.words import instant, plural, seconds, share
from catchment.site.addresses import Addresses, folder_of, relative
from catchment.site.attention import attention, attention_of, freshness
from catchment.site.charts import rows_chart, score_chart
from catchment.site.drawing import MOST, Around, draw_around, draw_project
from catchment.site.facts import GROUPS, Code, SiteFacts, TableFacts
from catchment.site.highlight import highlighted

if TYPE_CHECKING:
    from jinja2 import Environment

_PLACE = Path(__file__).parent
_ASSETS = ("site.css", "site.js", "icon.svg")

# A list of more tables at the side of each page is no help, and a thousand of them are a megabyte a page.
_MOST_BESIDE = 80
_MOST_ON_OVERVIEW = 60

_LISTS = {
    "sources": "Where rows come from, as catchment.yaml has it.",
    "bronze": "What arrived, as it arrived; one table per stream.",
    "silver": "Typed, checked tables that satisfy their contracts.",
    "others": "Tables that gold reads and that Catchment does not make.",
    "gold": "What dbt makes of silver.",
    "exposures": "Who uses gold.",
}


@dataclass(frozen=True)
class Listed:
    """A page that lists tables of one or more groups."""

    name: str
    words: str
    groups: Sequence[str]
    count: int

    @property
    def file(self) -> str:
        return f"{self.name}.html"


def pages(facts: SiteFacts) -> Iterator[tuple[str, bytes]]:
    """Every file of the site by its path in the site's folder. The same facts give the same bytes; `made_at` stands in
    index.html only."""
    for name in _ASSETS:
        yield f"assets/{name}", (_PLACE / "assets" / name).read_bytes()
    book = _Book(facts)
    yield "assets/index.js", _search_index(facts, book.addresses)
    yield "index.html", book.page("index.html", "overview.html", **_overview(facts, book))
    yield "lineage.html", book.page("lineage.html", "lineage.html", **_lineage(facts, book))
    for listed in book.lists:
        groups = [group for group in facts.groups if group.key in listed.groups]
        yield listed.file, book.page(listed.file, "list.html", listed=listed, groups=groups)
    around = Around.of(facts.edges)
    for table in facts.tables.values():
        file = book.addresses.pages[table.name]
        yield file, book.page(file, "table.html", table, **_table(facts, around, book, table))


class _Book:
    """Everything that all pages share."""

    def __init__(self, facts: SiteFacts) -> None:
        self.facts = facts
        self.addresses = Addresses.of(facts)
        self.lists = _lists(facts)
        self._environment = _environment()

    def page(self, file: str, template: str, table: TableFacts | None = None, **told: Any) -> bytes:
        """A page that lies at `file`, of a table where there is one."""
        listed = next((one for one in self.lists if file == one.file or file.startswith(f"{one.name}/")), None)
        text = self._environment.get_template(template).render(
            facts=self.facts,
            file=file,
            lists=self.lists,
            here=listed,
            at=partial(relative, file),
            way=partial(self.addresses.way, file),
            anchors=self.addresses.anchors,
            current="" if table is None else table.name,
            table=table,
            beside=self.facts.groups if len(self.facts.tables) <= _MOST_BESIDE else [],
            **told,
        )
        return text.encode()

    def href(self, file: str, name: str) -> str:
        """The way from a page to a table; to the list of a group for `#silver`."""
        if name.startswith("#"):
            return relative(file, self.addresses.lists[name[1:]])
        return self.addresses.way(file, name) or ""


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from catchment.silver.usual import between, shown

    made = Environment(
        loader=FileSystemLoader(_PLACE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        instant=instant, plural=plural, seconds=seconds, share=share, number=_number, breakable=_breakable
    )
    made.globals.update(freshness=freshness, shown=shown, between=between)
    return made


def _number(number: int) -> str:
    return f"{number:,}"


def _breakable(name: str) -> Markup:
    """A name that may go on in the next line after a dot or two underscores."""
    return Markup(re.sub(r"(\.|__)(?=.)", r"\1<wbr>", str(escape(name))))


def _lists(facts: SiteFacts) -> list[Listed]:
    found = []
    for name, words in _LISTS.items():
        groups = [group.key for group in facts.groups if folder_of(group.key) == name]
        if groups:
            found.append(Listed(name, words, groups, sum(len(facts.of_group(group)) for group in groups)))
    return found


def _overview(facts: SiteFacts, book: _Book) -> dict[str, Any]:
    wanting = attention(facts)
    named = {one.table for one in wanting if one.level != "note"}
    tables = facts.tables.values()
    standing = [table for table in tables if table.kind not in ("origin", "source", "exposure")]
    is_large = len(standing) > _MOST_ON_OVERVIEW
    return {
        "attention": wanting,
        "drawing": draw_project(facts, partial(book.href, "index.html"), _MOST_ON_OVERVIEW),
        "standing": [table for table in standing if table.name in named] if is_large else standing,
        "is_large": is_large,
        "counts": {kind: sum(table.kind == kind for table in tables) for kind in GROUPS},
        "rows": {kind: sum(t.rows or 0 for t in tables if t.kind == kind) for kind in ("bronze", "silver")},
        "rejected": sum(t.status.rejected or 0 for t in tables if t.status is not None),
        "passed": sum(test.outcome == "pass" for test in facts.tests),
        "tests": len(facts.tests),
    }


def _lineage(facts: SiteFacts, book: _Book) -> dict[str, Any]:
    return {"drawing": draw_project(facts, partial(book.href, "lineage.html")), "is_whole": len(facts.tables) <= MOST}


def _table(facts: SiteFacts, around: Around, book: _Book, table: TableFacts) -> dict[str, Any]:
    file = book.addresses.pages[table.name]
    return {
        "attention": list(attention_of(table)),
        "drawing": draw_around(facts, around, table.name, partial(book.href, file)),
        "reads": around.before.get(table.name, ()),
        "read_by": around.after.get(table.name, ()),
        "codes": [(code, _code(code, book, file)) for code in table.code],
        "score": score_chart(table.loads),
        "volume": rows_chart(table.loads),
    }


def _code(code: Code, book: _Book, file: str) -> Markup:
    return highlighted(code.text, code.language, lambda model: book.addresses.way(file, f"gold.{model}"))


def _search_index(facts: SiteFacts, addresses: Addresses) -> bytes:
    """One line a table: name, group, page, description, columns with their anchors. A script and no JSON, which a page
    opened from a disk could not read."""
    lines = []
    for table in facts.tables.values():
        columns = [[column.name, addresses.anchors[table.name][column.name]] for column in table.columns]
        words = " ".join(table.description.split())[:120]
        told = [table.label or table.name, table.group, addresses.pages[table.name], words, columns]
        lines.append(json.dumps(told, separators=(",", ":")))
    inside = ",\n".join(lines)
    return f"window.catchmentIndex = [\n{inside}\n];\n".encode()
