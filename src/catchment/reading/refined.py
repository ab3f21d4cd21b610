"""What catchment.yaml says of refined topics, against the tables that are published and the topics that are read.

Read from the nodes, as `pointers` does: a wrong key in one place hides nothing in another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from catchment import settings
from catchment.contract import Contract
from catchment.naming import did_you_mean
from catchment.reading.documents import Node, shorten
from catchment.reading.pointers import Reading, entries

PROGRESS = "catchment.progress"

# Kafka's rule, and Avro's.
_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_AVRO_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# Why rows of a mode cannot be messages that stand for good.
_UNFIT = {
    "history": "a version that comes back-dated changes others, which readers have already",
    "replace": "each arrival takes all rows of the one before it away",
    "delete_insert": "an arrival takes rows of its slice away",
}


def follow(reading: Reading) -> None:
    """Look at every table that is published; what is wrong goes to the reading's problems."""
    found = list(_published(reading))
    for one in found:
        for look in (_topics, _mode, _key, _deletes, _format):
            look(one)
    _once(found)
    _circles(reading, found)


@dataclass(frozen=True)
class _Published:
    """A silver table with `publish`: its node is a topic's name or a mapping."""

    reading: Reading
    table: str
    silver: Node
    node: Node

    @property
    def contract(self) -> Contract | None:
        return self.reading.contracts.get(self.table)

    @property
    def mode(self) -> str:
        return self.silver.string("mode") or "append"

    @property
    def topic(self) -> Node | None:
        return self.node.get("topic") if self.node.is_mapping else self.node

    @property
    def rejects(self) -> Node | None:
        return self.node.get("rejects") if self.node.is_mapping else None

    @property
    def topics(self) -> list[Node]:
        return [node for node in (self.topic, self.rejects) if node is not None and isinstance(node.value, str)]

    @property
    def keys(self) -> list[Node]:
        """The columns that are named as key."""
        key = self.node.get("key") if self.node.is_mapping else None
        found = [] if key is None else key.items() if key.is_list else [key]
        return [node for node in found if isinstance(node.value, str)]

    def error(self, at: Node | None, message: str, cure: str, key: str = "") -> None:
        path = f"silver.{self.table}.publish" + (f".{key}" if key and self.node.is_mapping else "")
        self.reading.findings.error(self.node if at is None else at, message, cure=cure, key=path)


def _published(reading: Reading) -> Iterator[_Published]:
    for table, silver in reading.section("silver").items():
        node = silver.get("publish") if silver.is_mapping else None
        if node is not None and (node.is_mapping or isinstance(node.value, str)):
            yield _Published(reading, table, silver, node)


def _topics(one: _Published) -> None:
    for key, node in (("topic", one.topic), ("rejects", one.rejects)):
        if node is None or not isinstance(node.value, str) or settings.has_references(node.value):
            continue
        if _NAME.fullmatch(node.value) is None or node.value in (".", ".."):
            cure = "write letters, digits, `.`, `_` and `-`, at most 249 of them"
            one.error(node, f"`{shorten(node.value)}` is no name of a topic", cure, key)
        elif node.value == PROGRESS:
            one.error(node, f"topic {PROGRESS} is Catchment's own", f"write topic: {one.table}.refined", key)


def _mode(one: _Published) -> None:
    if one.mode in _UNFIT:
        message = f"a table of mode {one.mode} cannot be published: {_UNFIT[one.mode]}"
        one.error(None, message, "publish a table of mode append or merge that is made from the same stream")
    elif one.mode == "merge" and {"deleted_when", "lateness"} <= set(one.silver.entries()):
        message = "a delete may be forgotten before readers of the topic hear of it, because deletes have a lateness"
        one.error(one.silver.get("lateness"), message, f"remove lateness from silver.{one.table}")


def _key(one: _Published) -> None:
    columns = one.reading.columns.get(one.table)
    seen: set[str] = set()
    for node in one.keys:
        if settings.has_references(node.value):
            one.error(node, "key is part of the project and cannot come from outside", "write the column's name", "key")
        elif columns is not None and node.value not in columns:
            cure = did_you_mean(node.value, columns) or f"columns are {shorten(', '.join(columns), 200)}"
            one.error(node, f"the contract has no column `{shorten(node.value)}`", cure, "key")
        elif node.value in seen:
            one.error(node, f"`{shorten(node.value)}` is listed twice", "remove one", "key")
        seen.add(node.value)
    key = one.node.get("key") if one.node.is_mapping else None
    if key is not None and key.is_list and not key.items():
        one.error(key, "key is empty", "name a column, or remove key", "key")


def _deletes(one: _Published) -> None:
    """A tombstone takes all that a key stands for."""
    if not one.node.is_mapping or one.node.string("deletes") != "tombstone":
        return
    node = one.node.get("deletes")
    if one.mode != "merge":
        message = f"a table of mode {one.mode} tells of no key that went"
        one.error(node, message, "remove deletes, or write mode: merge", "deletes")
    elif one.contract is not None and one.keys and {n.value for n in one.keys} != set(one.contract.key):
        message = f"a tombstone for {', '.join(str(n.value) for n in one.keys)} would take other rows with it"
        one.error(node, message, f"remove key: the contract's is {', '.join(one.contract.key)}", "deletes")


def _format(one: _Published) -> None:
    """Avro needs a registry on each target, and names that it takes."""
    if not one.node.is_mapping or one.node.string("format") != "avro":
        return
    node, targets = one.node.get("format"), one.reading.section("targets")
    for target, found in targets.items() if targets else [("local", None)]:
        if found is None or found.get("registry") is None:
            message = f"target `{target}` has no schema registry to say what messages of avro are"
            one.error(node, message, "write registry: {url: …} at the target, or format: json", "format")
    columns = one.contract.columns if one.contract is not None else ()
    wrong = [column.name for column in columns if _AVRO_NAME.fullmatch(column.name) is None]
    if wrong:
        message = f"Avro takes no column `{shorten(wrong[0])}`: letters, digits and underscores only"
        one.error(node, message, "rename it in the contract, or write format: json", "format")


def _once(found: list[_Published]) -> None:
    """One topic holds what one table publishes."""
    taken: dict[str, str] = {}
    for one in found:
        for key, node in (("topic", one.topic), ("rejects", one.rejects)):
            if node is None or not isinstance(node.value, str):
                continue
            if node.value in taken:
                message = f"topic {shorten(node.value)} has what silver.{taken[node.value]} publishes already"
                one.error(node, message, "take a topic for each", key)
            taken.setdefault(node.value, one.table)


def _circles(reading: Reading, found: list[_Published]) -> None:
    """A table that reads what it publishes, itself or through others, would never come to an end."""
    read = _read(reading)
    into = {
        one.table: {table for node in one.topics for table in read.get(node.value, ()) if isinstance(node.value, str)}
        for one in found
    }
    for one in found:
        reached, waiting = set[str](), [one.table]
        while waiting:
            for table in into.get(waiting.pop(), ()):
                if table not in reached:
                    reached.add(table)
                    waiting.append(table)
        if one.table in reached:
            way = "itself" if one.table in into[one.table] else f"through {', '.join(sorted(reached - {one.table}))}"
            message = f"silver.{one.table} reads what it publishes, {way}: it would never come to an end"
            one.error(one.topic, message, "publish into a topic that nothing of it reads", "topic")


def _read(reading: Reading) -> Mapping[str, set[str]]:
    """By topic the silver tables that are made from it, on any target."""
    topics: dict[str, set[str]] = {}
    for path, source in reading.sources():
        if source.string("type") == "topic":
            for stream, node in entries(source, "streams").items():
                topic = (node.string("topic") if node.is_mapping else None) or stream
                topics.setdefault(f"{path.rpartition('.')[2]}.{stream}", set()).add(topic)
    found: dict[str, set[str]] = {}
    for table, silver in reading.section("silver").items():
        listed = silver.get("from") if silver.is_mapping else None
        for item in [] if listed is None else listed.items() if listed.is_list else [listed]:
            for topic in topics.get(str(item.value), ()):
                found.setdefault(topic, set()).add(table)
    return found
