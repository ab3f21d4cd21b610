"""What a generator wrote, exactly: tests hold the product to these figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class WrittenFile:
    """One file; `path` is relative to the folder that was generated into, rows are without a header."""

    table: str
    path: str
    rows: int


@dataclass(frozen=True)
class Manifest:
    """Every file and every piece of dirt.

    `pieces` has one row per dirty row: `table`, `kind`, `file` (as in `files`), `row` (from 1, without the header).
    Of a duplicate the second copy is the piece. `refused` are the kinds that the template's contracts do not let pass.
    """

    files: tuple[WrittenFile, ...]
    pieces: pa.Table
    refused: frozenset[str]

    @property
    def tables(self) -> tuple[str, ...]:
        """In the order they were written."""
        return tuple(dict.fromkeys(file.table for file in self.files))

    def rows(self, table: str | None = None) -> int:
        """Rows written, of one table or of all."""
        return sum(file.rows for file in self.files if table in (None, file.table))

    def dirt(self) -> dict[tuple[str, str], int]:
        """Pieces by (table, kind); kinds that did not occur are absent."""
        counted = self.pieces.group_by(["table", "kind"]).aggregate([([], "count_all")]).to_pylist()
        return {(row["table"], row["kind"]): row["count_all"] for row in counted}

    def count(self, kind: str, table: str | None = None) -> int:
        """Pieces of a kind, in one table or in all."""
        return sum(number for (at, what), number in self.dirt().items() if what == kind and table in (None, at))

    def rejects(self, table: str | None = None) -> int:
        """Rows that the contracts of the template refuse."""
        return sum(number for (at, what), number in self.dirt().items() if what in self.refused and table in (None, at))
