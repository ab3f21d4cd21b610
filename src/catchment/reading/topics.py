"""What catchment.yaml says of topics: their names, and where the schemas of their messages come from.

Read from the nodes, as `pointers` does: a wrong key in one place hides nothing in another.
"""

from __future__ import annotations

import re
from pathlib import Path

from catchment import settings
from catchment.naming import did_you_mean
from catchment.reading.declaration import Topic
from catchment.reading.documents import Node, shorten
from catchment.reading.pointers import Reading, entries, is_there, listing

# Kafka's rule.
_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_ENDINGS = {"avro": (".avsc", ".json"), "protobuf": (".proto",)}


def follow(reading: Reading) -> None:
    """Look at every topic and at every stream whose messages need a schema; what is wrong goes to the problems."""
    for name in reading.section("topics"):
        if _NAME.fullmatch(name) is None or name in (".", ".."):
            message = f"`{shorten(name)}` is no name of a topic"
            cure = "write letters, digits, `.`, `_` and `-`, at most 249 of them"
            reading.findings.error(reading.key_place("topics", name), message, cure=cure, key="topics")
    for source, node in reading.sources():
        if node.string("type") == "topic":
            for stream, found in entries(node, "streams").items():
                _schema(reading, source, f"{source}.streams.{stream}", found)
                _shards(reading, f"{source}.streams.{stream}", found.string("topic") or stream, found.get("shards"))


def _schema(reading: Reading, source: str, key: str, stream: Node) -> None:
    kind = stream.string("format")
    if kind not in _ENDINGS:
        return
    file = stream.get("schema")
    if file is None:
        _registry(reading, source, key, stream, kind)
    elif file.text and not settings.has_references(file.text):
        path = reading.folder / file.text
        if not is_there(path.is_file):
            cure = did_you_mean(path.name, listing(Path(path.parent), _ENDINGS[kind])) or "name a file of the project"
            reading.findings.error(file, f"schema {shorten(file.text)} is not there", cure=cure, key=f"{key}.schema")


def _shards(reading: Reading, key: str, topic: str, shards: Node | None) -> None:
    """A shard whose number no partition reaches lands nothing. Later there can be more partitions, never fewer shards:
    whichever shard lands first notes how many there are."""
    declared = reading.section("topics").get(topic)
    if shards is None or declared is None:
        return
    said = declared.get("partitions")
    partitions = Topic.model_fields["partitions"].default if said is None else said.value
    if type(shards.value) is int and type(partitions) is int and 0 < partitions < shards.value:
        message = (
            f"{shards.value} shards of a topic that is declared with {partitions}"
            f" partition{'' if partitions == 1 else 's'}: those from number {partitions} on land nothing"
        )
        fewer = f"shards: {partitions} before any of it has landed"
        cure = f"write partitions: {shards.value} at topics.{topic}, or {fewer}"
        reading.findings.warning(shards, message, cure=cure, key=f"{key}.shards")


def _registry(reading: Reading, source: str, key: str, stream: Node, kind: str) -> None:
    """Each target on which the stream is read needs one."""
    targets = reading.section("targets")
    of_one = source.split(".")[1] if source.startswith("targets.") else None
    name = source.rpartition(".")[2]
    for target, node in targets.items() if targets else [("local", None)]:
        is_read = of_one == target if of_one is not None else node is None or name not in entries(node, "sources")
        if is_read and (node is None or node.get("registry") is None):
            message = f"nothing on target `{target}` says with which schema messages of {kind} were written"
            cure = f"write registry: {{url: …}} at the target, or schema: with a file of {kind} at the stream"
            reading.findings.error(stream.get("format"), message, cure=cure, key=f"{key}.format")
