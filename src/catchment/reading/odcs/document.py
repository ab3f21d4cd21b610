"""One ODCS document into one Contract: the schema object of a table, its columns, rules, references and freshness."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from catchment.contract import Contract, Freshness, Reference
from catchment.naming import did_you_mean
from catchment.reading.documents import Findings, Node, parse
from catchment.reading.odcs import keys
from catchment.reading.odcs.columns import read_columns
from catchment.reading.odcs.custom import finish_usual
from catchment.reading.odcs.quality import finish, read_quality
from catchment.reading.odcs.relationships import read_references
from catchment.reading.odcs.rule import Rules

if TYPE_CHECKING:
    from catchment.errors import Problem

VERSIONS = ("v3.0.0", "v3.0.1", "v3.0.2", "v3.1.0", "v3.2.0")
_VERSION = re.compile(r"v3\.[012]\.[0-9]+")

# Who may read, and where rows lie elsewhere: people may count on these, so that silence would mislead.
_NOT_ACTED_ON = ("roles", "servers")
_SECONDS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
    **dict.fromkeys(("w", "week", "weeks"), 7 * 86400),
}
_FRESHNESS = ("freshness", "latency")


def load_contract(path: str, text: str, *, table: str) -> tuple[Contract | None, list[Problem]]:
    """The contract of silver table `table` out of an ODCS document, and everything that is wrong with it.

    `path` is relative to the project, for messages. The contract is None where a problem is an error; problems of
    severity "warning" tell what the standard says and Catchment does not act on.
    """
    findings = Findings(path)
    root = parse(text, findings)
    contract = None if root is None and findings.failed else _contract(root, table, findings)
    return (None if findings.failed else contract), findings.problems


def read_node(root: Node | None, table: str, findings: Findings) -> Contract | None:
    """The contract of a document that is parsed already; None after an error."""
    contract = _contract(root, table, findings)
    return None if findings.failed else contract


def _contract(root: Node | None, table: str, findings: Findings) -> Contract | None:
    if root is None or not root.is_mapping:
        what = "the file is empty" if root is None or root.value is None else "a contract must be a mapping"
        findings.error(root, what, cure="begin with apiVersion: v3.2.0 and kind: DataContract")
        return None
    version = _head(root, findings)
    schema = _schema(root, table, findings)
    if schema is None:
        return None
    keys.check_keys(schema, keys.SCHEMA, findings, table)
    drafts = read_columns(schema, table, version, findings)
    rules = Rules(table, drafts, findings)
    for draft in drafts:
        read_quality(draft.node, draft, rules)
    read_quality(schema, None, rules)
    finish(rules)
    references = read_references(schema, drafts, table, findings)
    freshness = _freshness(root, schema, rules)
    finish_usual(rules, is_fresh=freshness is not None)
    if findings.failed:
        return None
    return Contract(
        id=_text(root, "id"),
        version=_text(root, "version"),
        table=table,
        columns=tuple(draft.column() for draft in drafts),
        row_rules=tuple(rules.row_rules),
        set_rules=tuple(rules.set_rules),
        references=tuple(reference for reference, _ in references),
        freshness=freshness,
        description=schema.string("description"),
        file=findings.file,
    )


def located_references(root: Node, contract: Contract) -> list[tuple[Reference, Node]]:
    """The references of a contract that was read from `root`, each with where it stands."""
    unheard = Findings(contract.file)
    schema = _schema(root, contract.table, unheard)
    if schema is None or not contract.references:
        return []
    drafts = read_columns(schema, contract.table, _text(root, "apiVersion"), unheard)
    return read_references(schema, drafts, contract.table, unheard)


def _text(root: Node, key: str) -> str:
    node = root.get(key)
    return node.text if node is not None else ""


def _head(root: Node, findings: Findings) -> str:
    keys.check_keys(root, keys.CONTRACT, findings)
    examples = {"apiVersion": "v3.2.0", "kind": "DataContract", "id": "a name of your own", "version": "1.0.0"}
    for key, example in examples.items():
        node = root.get(key)
        if node is None or node.is_mapping or node.is_list or not node.text.strip():
            message = f"{key} is missing" if node is None else f"{key} must be text, not {node.kind()}"
            findings.error(node or root, message, cure=f"write {key}: {example}")
    version, kind = _text(root, "apiVersion"), root.get("kind")
    if version and not _VERSION.fullmatch(version):
        cure = did_you_mean(version, VERSIONS) or "write apiVersion: v3.2.0"
        findings.error(root.get("apiVersion"), f"apiVersion `{version}` is not one of 3.0, 3.1 and 3.2", cure=cure)
    if kind is not None and kind.text and kind.text != "DataContract":
        findings.error(kind, f"kind {kind.kind()} is not DataContract", cure="write kind: DataContract")
    for key in _NOT_ACTED_ON:
        if key in root.entries():
            findings.warning(root.key_place(key), f"{key} is read but not acted on yet")
    return version


def _schema(root: Node, table: str, findings: Findings) -> Node | None:
    """The object named as the table, else the only one."""
    listed = root.get("schema")
    objects = [node for node in listed.items() if node.is_mapping] if listed is not None else []
    if not objects:
        cure = f"write schema: and under it - name: {table} with properties"
        findings.error(root.key_place("schema"), "schema is missing: it lists the columns", cure=cure)
        return None
    for node in objects:
        if node.string("name") is None:
            findings.error(node.get("name") or node, "a schema object needs a name", cure=f"write - name: {table}")
    named = [node for node in objects if table in (node.string("name"), node.string("physicalName"))]
    if len(named) > 1:
        findings.error(named[1], f"two schema objects are named `{table}`", cure="keep one")
    if not named and len(objects) > 1:
        names = [node.string("name") or "?" for node in objects]
        cure = did_you_mean(table, names) or f"name one of them `{table}`; there are {', '.join(names)}"
        findings.error(root.key_place("schema"), f"no schema object is named `{table}`", cure=cure)
        return None
    return named[0] if named else objects[0]


def _freshness(root: Node, schema: Node, rules: Rules) -> Freshness | None:
    listed = root.get("slaProperties")
    if listed is None:
        return None
    found: list[Freshness] = []
    for node in listed.items():
        key = f"slaProperties.{node.string('property') or '?'}"
        keys.check_keys(node, keys.SLA, rules.findings, key)
        name = (node.string("property") or "").lower()
        if name not in _FRESHNESS:
            cure = did_you_mean(name, _FRESHNESS) if name else "write property: freshness"
            rules.findings.warning(
                node, f"{name or 'a service level'} is read but not acted on yet", cure=cure, key="slaProperties"
            )
            continue
        freshness = _one_freshness(root, node, schema, rules, key)
        if freshness is not None:
            found.append(freshness)
    return min(found, key=lambda freshness: freshness.seconds, default=None)


def _one_freshness(root: Node, node: Node, schema: Node, rules: Rules, key: str) -> Freshness | None:
    element = node.get("element") or root.get("slaDefaultElement")
    if element is None or not isinstance(element.value, str):
        cure = f"write element: {rules.table}.<a timestamp column>"
        rules.findings.error(element or node, "it does not say of which column", cure=cure, key=key)
        return None
    owner, _, column = element.value.rpartition(".")
    if owner and owner not in (rules.table, schema.string("name"), schema.string("physicalName")):
        return None  # of another table in the same document
    draft = next((draft for draft in rules.drafts if draft.name == column), None)
    if draft is None:
        cure = did_you_mean(column, rules.names) or "name a column of this contract"
        rules.findings.error(element, f"no column `{column}`", cure=cure, key=key)
    elif draft.type not in ("timestamp", "date"):
        rules.findings.error(
            element, f"`{column}` is {draft.type}, which has no age", cure="name a timestamp or a date", key=key
        )
    seconds = _seconds(node, rules.findings, key)
    return Freshness(column, seconds) if draft is not None and seconds is not None else None


def _seconds(node: Node, findings: Findings, key: str) -> int | None:
    value, unit = node.get("value"), node.get("unit")
    amount = value.value if value is not None else None
    if isinstance(amount, bool) or not isinstance(amount, int | float) or amount <= 0:
        findings.error(value or node, "value must be a number above 0", cure="write value: 60 and unit: m", key=key)
        return None
    size = _SECONDS.get(unit.text.lower()) if unit is not None else None
    if size is None:
        message = "unit is missing" if unit is None else f"no unit {unit.kind()}"
        findings.error(unit or node, message, cure="write d, h, m or s (days, hours, minutes, seconds)", key=key)
        return None
    return round(amount * size)
