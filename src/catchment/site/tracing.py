"""A lineage as pages need it: both ways, and with the table that a stream lands in for the stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from catchment.answers import Lineage, Traced, TracedTable
from catchment.lineage import ROWS
from catchment.records import Feed
from catchment.site.facts import ColumnFacts, Place


@dataclass(frozen=True)
class Tracing:
    """`into` is what is made of each place; `pages` the bronze table of each stream, which has the stream's fields."""

    lineage: Lineage
    into: Mapping[Place, Sequence[Place]]
    pages: Mapping[str, str]

    @classmethod
    def of(cls, lineage: Lineage, feeds: Sequence[Feed]) -> Tracing:
        pages = {feed.name: str(feed.table) for feed in feeds}
        into: dict[Place, list[Place]] = {}
        for table in lineage.tables.values():
            for column in table.columns:
                for place in column.of:
                    if place != (table.name, column.name):
                        into.setdefault(place, []).append((table.name, column.name))
        return cls(lineage, into, pages)

    def known(self, table: str) -> TracedTable | None:
        """What is known of a table, None where nothing is."""
        return self.lineage.tables.get(table)

    def traced(self, table: str, columns: Sequence[ColumnFacts]) -> tuple[ColumnFacts, ...]:
        """The columns with what they are made of and what is made of them; those that only the lineage knows of come
        last. `table` is the lineage's name of it."""
        known = self.known(table)
        made = {} if known is None else {column.name: column for column in known.columns if column.name != ROWS}
        told = {column.name for column in columns}
        found = [*columns, *(ColumnFacts(name) for name in made if name not in told)]
        return tuple(self._traced(table, column, made.get(column.name)) for column in found)

    def _traced(self, table: str, column: ColumnFacts, how: Traced | None) -> ColumnFacts:
        into = self.places(self.into.get((table, column.name), ()))
        if how is None:
            return replace(column, into=into)
        return replace(column, of=self.places(how.of), made_by=how.words, into=into)

    def places(self, places: Sequence[Place]) -> tuple[Place, ...]:
        """Places by the names of pages, each once."""
        return tuple(dict.fromkeys((self.pages.get(table, table), column) for table, column in places))

    def reads(self, table: str) -> list[str]:
        """The tables that one is made of, by the names of pages."""
        known = self.known(table)
        if known is None:
            return []
        places = [*(place for column in known.columns for place in column.of), *known.rows]
        found = dict.fromkeys(self.pages.get(read, read) for read, _ in places)
        return [name for name in found if name != table]
