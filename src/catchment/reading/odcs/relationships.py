"""Relationships of the standard as references: columns of this table that name a row of another silver table."""

from __future__ import annotations

import re
from collections.abc import Sequence

from catchment.contract import Reference
from catchment.naming import did_you_mean
from catchment.reading.documents import Findings, Node, shorten
from catchment.reading.odcs import keys
from catchment.reading.odcs.options import Draft

_SHORT = re.compile(r"[A-Za-z_][\w-]*\.[A-Za-z_][\w-]*")
_QUALIFIED = re.compile(r"(.+\.ya?ml#)?/?\w+/[\w-]+(/\w+/[\w-]+)*")
_TO = "write to: users.user_id, the silver table and its column"


def read_references(
    schema: Node, drafts: Sequence[Draft], table: str, findings: Findings
) -> list[tuple[Reference, Node]]:
    """The references of a schema object, each with where it stands: those of its properties first, then its own.

    That the other table and its columns are there is looked at where all tables are known (`reading.tables`).
    """
    names = [draft.name for draft in drafts]
    called = {table, schema.string("name"), schema.string("physicalName")}
    found: list[tuple[Reference, Node]] = []
    for draft in drafts:
        for node in _listed(draft.node, findings, draft.key):
            reading = _Relationship(node, findings, draft.key, names, called)
            if reading.fits() and (reference := reading.at_property(draft.name)) is not None:
                found.append((reference, node))
    for node in _listed(schema, findings, table):
        reading = _Relationship(node, findings, table, names, called)
        if reading.fits() and (reference := reading.at_table()) is not None:
            found.append((reference, node))
    return list({(one.columns, one.table, one.to): (one, node) for one, node in reversed(found)}.values())[::-1]


def _listed(owner: Node, findings: Findings, key: str) -> list[Node]:
    listed = owner.get("relationships")
    if listed is not None and not listed.is_list:
        findings.error(listed, "relationships must be a list", cure="write - to: users.user_id", key=key)
    return listed.items() if listed is not None else []


class _Relationship:
    """One entry of a list of relationships."""

    def __init__(self, node: Node, findings: Findings, key: str, names: Sequence[str], called: set[str | None]) -> None:
        self._node = node
        self._findings = findings
        self._key = f"{key}.relationships"
        self._names = names
        self._called = called

    def _error(self, at: Node | None, message: str, cure: str) -> None:
        self._findings.error(at or self._node, message, cure=cure, key=self._key)

    def fits(self) -> bool:
        """Whether it is a foreign key at all."""
        if not self._node.is_mapping:
            self._error(None, "a relationship must be a mapping", _TO)
            return False
        keys.check_keys(self._node, keys.RELATIONSHIP, self._findings, self._key)
        kind = self._node.get("type")
        if kind is not None and kind.value != "foreignKey":
            self._error(kind, f"no type of relationship {kind.kind()}", "write type: foreignKey")
            return False
        if "to" not in self._node.entries():
            self._error(None, "to is missing", _TO)
            return False
        return True

    def at_property(self, column: str) -> Reference | None:
        given = self._node.get("from")
        if given is not None:
            self._error(given, "from is the property itself", "remove it, or list the relationship under the table")
            return None
        to = self._sides("to")
        if to is None:
            return None
        if len(to) != 1:
            self._error(self._node.get("to"), "one property names one column", "list it under the table, with from")
            return None
        return Reference((column,), to[0][0], (to[0][1],))

    def at_table(self) -> Reference | None:
        if "from" not in self._node.entries():
            example = f"{self._key.partition('.')[0]}.{self._names[0] if self._names else 'column'}"
            self._error(None, "from is missing", f"write from: {example}")
            return None
        own, to = self._sides("from"), self._sides("to")
        if own is None or to is None:
            return None
        if len(own) != len(to):
            self._error(
                self._node.get("to"), f"from names {len(own)} columns, to {len(to)}", "name as many on both sides"
            )
            return None
        tables = {table for table, _ in to}
        if len(tables) > 1:
            self._error(self._node.get("to"), "to names several tables", "name columns of one table")
            return None
        return Reference(tuple(name for _, name in own), tables.pop(), tuple(name for _, name in to))

    def _sides(self, side: str) -> list[tuple[str, str]] | None:
        """(table, column) of each name under `from` or `to`; None after a problem."""
        node = self._node.get(side)
        assert node is not None
        items = node.items() if node.is_list else [node]
        if not items:
            self._error(node, f"{side} is empty", _TO)
            return None
        found = [self._side(side, item) for item in items]
        good = [one for one in found if one is not None]
        return good if len(good) == len(found) else None

    def _side(self, side: str, node: Node) -> tuple[str, str] | None:
        text = node.value if isinstance(node.value, str) else ""
        if _SHORT.fullmatch(text) is None:
            if _QUALIFIED.fullmatch(text):
                words = f"`{shorten(text)}` names a property by ids, which is read but not acted on yet"
                self._findings.warning(node, words, cure=_TO, key=self._key)
            else:
                self._error(node, f"{node.kind()} is not table.column", _TO)
            return None
        table, _, column = text.partition(".")
        if side == "from" and (table not in self._called or column not in self._names):
            cure = did_you_mean(column, self._names) or "name columns of this contract"
            self._error(node, f"no column `{shorten(text)}` here", cure)
            return None
        return table, column
