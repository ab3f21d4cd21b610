"""The contracts of a project, each read once for as long as its file stays as it is.

Reading one takes a third of a millisecond, of a thousand a third of a second: what was read without an error is
recalled by its content.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from catchment.contract import Column, Contract, Freshness, Reference, RowRule, SetRule, Usual
from catchment.errors import Problem
from catchment.reading.documents import Findings, Node, decode, parse
from catchment.recall import Recall, digest

Value = TypeVar("Value")

FILE = Path(".catchment") / "plan" / "contracts.json"
_NOTHING = Node({}, (1, 1), keys={})


@dataclass(frozen=True)
class Reading:
    """What a file says of one table. `columns` also tells those of a contract that has mistakes, which is None."""

    contract: Contract | None
    columns: tuple[str, ...]
    problems: tuple[Problem, ...]


class Contracts:
    """The contracts below a project's folder; `save` remembers those that were read."""

    def __init__(self, folder: Path) -> None:
        self._recall = Recall(folder / FILE)
        self._tables: list[str] = []

    def read(self, file: str, table: str, content: bytes) -> Reading:
        """The contract of `table` out of a file of this content; `file` is told in problems."""
        self._tables.append(table)
        key = digest(file, content)
        recalled = self._recall.get(table, key)
        if recalled is not None:
            return _decoded(recalled)
        found = _read(file, table, content)
        if found.contract is not None:
            told = json.dumps(_encoded(found))
            # A contract of which something would be lost on the way is read each time.
            if _decoded(json.loads(told)) == found:
                self._recall.put(table, key, json.loads(told))
        return found

    def save(self) -> None:
        self._recall.save(self._tables)


def _read(file: str, table: str, content: bytes) -> Reading:
    from catchment.reading.odcs.document import read_node

    findings = Findings(file)
    text = decode(content, findings)
    root = parse(text, findings) if text is not None else None
    unread = root is None and findings.failed
    contract = None if unread else read_node(root, table, findings)
    return Reading(contract, tuple(_column_names(root, table)), tuple(findings.problems))


def _column_names(root: Node | None, table: str) -> list[str]:
    """The columns of a contract that may have mistakes elsewhere."""
    objects = (root.get("schema") or _NOTHING).items() if root is not None else []
    chosen = [node for node in objects if table in (node.string("name"), node.string("physicalName"))] or objects
    properties = (chosen[0].get("properties") or _NOTHING).items() if chosen else []
    return [name for node in properties if (name := node.string("name"))]


def _set_rule(**told: Any) -> SetRule:
    if "usual" in told:
        usual = told["usual"]
        of = tuple((measure, column) for measure, column in usual.get("of", ()))
        told["usual"] = Usual(**{**usual, "of": of})
    return SetRule(**told)


# Lists of values in a contract, and what they are made of; any other list is one of words and numbers.
_PARTS: Mapping[str, Callable[..., Any]] = {
    "columns": Column,
    "row_rules": RowRule,
    "set_rules": _set_rule,
    "references": Reference,
}


def _encoded(found: Reading) -> dict[str, Any]:
    assert found.contract is not None
    told = _said(found.contract)
    for part in _PARTS.keys() & told.keys():
        told[part] = [_said(value) for value in told[part]]
    for rule in told.get("set_rules", ()):
        if "usual" in rule:
            rule["usual"] = _said(rule["usual"])
    if found.contract.freshness is not None:
        told["freshness"] = _said(found.contract.freshness)
    problems = [_said(problem) for problem in found.problems]
    return {"contract": told, "columns": found.columns, "problems": problems}


def _decoded(told: Mapping[str, Any]) -> Reading:
    contract = dict(told["contract"])
    for part, kind in _PARTS.items():
        if part in contract:
            contract[part] = tuple(_made(kind, value) for value in contract[part])
    if "freshness" in contract:
        contract["freshness"] = Freshness(**contract["freshness"])
    problems = tuple(Problem(**problem) for problem in told["problems"])
    return Reading(Contract(**contract), tuple(told["columns"]), problems)


def _said(value: Any) -> dict[str, Any]:
    """What is not at its default."""
    told = {field.name: getattr(value, field.name) for field in fields(value)}
    return {
        field.name: told[field.name]
        for field in fields(value)
        if field.default is MISSING or told[field.name] != field.default
    }


def _made(kind: Callable[..., Value], told: Mapping[str, Any]) -> Value:
    return kind(**{name: tuple(value) if type(value) is list else value for name, value in told.items()})
