"""What could not be told, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from catchment.errors import CatchmentError
from catchment.settings import redact

T = TypeVar("T")

_LINES = 3


@dataclass
class Absences:
    """Keeps why facts are absent, in words that may be published: without the `folder` that the project lies in.

    `broken` and `not_yet` are those of single tables: what failed, and what nobody has made so far.
    """

    folder: str
    found: list[str] = field(default_factory=list)
    broken: dict[str, list[str]] = field(default_factory=dict)
    not_yet: dict[str, list[str]] = field(default_factory=dict)

    def attempt(self, what: str, work: Callable[[], T], otherwise: T, *, table: str | None = None) -> T:
        """What `work` gives; where it fails, `otherwise`, and why is kept."""
        try:
            return work()
        except CatchmentError as error:
            words = self.words(error.message)
            told = words if words.startswith(what) else f"{what}: {words}"
            self.tell(told)
            if table is not None:
                self.broken.setdefault(table, []).append(told)
            return otherwise

    def damaged(self, table: str, problem: str) -> None:
        """Keep that something of a table cannot be told."""
        words = self.words(problem)
        self.tell(words)
        self.broken.setdefault(table, []).append(words)

    def tell(self, words: str) -> None:
        """Keep that something is absent."""
        if words not in self.found:
            self.found.append(words)

    def missing(self, table: str, words: str) -> None:
        """Keep that a table is not there, unless it was found to be broken."""
        if table not in self.broken:
            self.tell(f"{table} {words}")
            self.not_yet.setdefault(table, []).append(f"{table} {words}")

    def words(self, message: str) -> str:
        """The first lines of a message, for dbt's are long."""
        lines = redact(message).replace(self.folder, ".").splitlines()
        return " ".join(line.strip() for line in lines[:_LINES])
