"""What is drafted, wherever its rows come from: a source, and for each of its streams a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from catchment.draft.keys import KeyGuess
from catchment.draft.types import ColumnGuess


@dataclass(frozen=True)
class Relation:
    """Columns that name a row of another drafted table, by that table's columns."""

    columns: tuple[str, ...]
    table: str
    to: tuple[str, ...]


@dataclass(frozen=True)
class DraftedTable:
    """A stream, its contract and its silver table to be.

    `stream` are its lines below `streams` in catchment.yaml, `head` the first comment of its contract. Without columns
    nothing is known of its rows, and it lands in bronze only. `beside` is why its silver table is as it is.
    """

    name: str
    stream: tuple[str, ...]
    head: tuple[str, ...]
    columns: tuple[ColumnGuess, ...]
    key: KeyGuess
    mode: str
    beside: str
    references: tuple[Relation, ...] = ()
    is_whole: bool = False  # each read brings all there is

    @property
    def latest_by(self) -> str | None:
        return self.key.latest_by


@dataclass(frozen=True)
class DraftedSource:
    """`keys` are its lines in catchment.yaml; `head`, `above` and `modes` are comments, on the file, on the sources and
    on the silver tables."""

    name: str
    keys: tuple[str, ...]
    head: str
    above: tuple[str, ...]
    modes: tuple[str, ...]
    tables: Sequence[DraftedTable]
