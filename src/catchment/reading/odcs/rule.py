"""The rules of a contract while they are read, and one entry of a list of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from catchment.contract import RowRule, SetRule
from catchment.reading.documents import Findings, Node
from catchment.reading.odcs.options import Draft


@dataclass(frozen=True)
class Asked:
    """One entry under `of`: what is compared of a load, and where the contract says so."""

    node: Node
    measure: str
    column: str | None


@dataclass
class Rules:
    """The rules of one contract while they are read."""

    table: str
    drafts: Sequence[Draft]
    findings: Findings
    row_rules: list[RowRule] = field(default_factory=list)
    set_rules: list[SetRule] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)  # what loads are to be usual in
    # Reasons of ours that belong to no column; a rule of such a name gets a number.
    _names: set[str] = field(default_factory=lambda: {"readable", "reference"})

    @property
    def names(self) -> list[str]:
        return [draft.name for draft in self.drafts]

    def unique_name(self, wanted: str) -> str:
        """Reports tell rules apart by name: the second of a name gets a number."""
        name, count = wanted, 2
        while name in self._names:
            name, count = f"{wanted} {count}", count + 1
        self._names.add(name)
        return name

    def add_row(self, name: str, condition: str, message: str, column: str | None, weight: float = 1.0) -> None:
        self.row_rules.append(RowRule(self.unique_name(name), condition, message, column, weight))


@dataclass(frozen=True)
class Rule:
    """One entry of a quality list."""

    node: Node
    draft: Draft | None
    rules: Rules
    key: str

    def error(self, at: Node | None, message: str, cure: str | None = None) -> None:
        self.rules.findings.error(at or self.node, message, cure=cure, key=self.key)

    def not_acted_on(self, what: str, at: Node | None = None, cure: str | None = None) -> None:
        self.rules.findings.warning(at or self.node, f"{what} is read but not acted on yet", cure=cure, key=self.key)

    @property
    def severity(self) -> Literal["warn", "stop"]:
        """Of a rule over a load; `error` stops it before the commit."""
        return "stop" if self.node.string("severity") == "error" else "warn"

    def name(self, otherwise: str) -> str:
        return self.node.string("name") or otherwise

    def message(self, otherwise: str) -> str:
        return self.node.string("description") or self.node.string("name") or otherwise
