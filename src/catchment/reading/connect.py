"""What catchment.yaml says of Kafka Connect: no topic may land two ways.

Read from the nodes, as `pointers` does: a wrong key in one place hides nothing in another.
"""

from __future__ import annotations

from catchment.reading.documents import Node, Place
from catchment.reading.pointers import Reading, entries

# Connectors that take messages out of topics, so that they land from where they were put.
_SINKS = frozenset({"s3", "iceberg", "snowflake"})

_READERS = frozenset({"topic", "webhooks", "iceberg"})


def follow(reading: Reading) -> None:
    """Look at every stream of topics; what is wrong goes to the reading's problems."""
    sources = reading.section("sources")
    _apart(reading, {f"sources.{name}": node for name, node in sources.items()})
    for target, found in reading.section("targets").items():
        own = entries(found, "sources")
        if own:
            there = {f"targets.{target}.sources.{name}": node for name, node in own.items()}
            others = {f"sources.{name}": node for name, node in sources.items() if name not in own}
            _apart(reading, {**others, **there})


def _apart(reading: Reading, sources: dict[str, Node]) -> None:
    """Each topic lands directly or by one connector: of two ways the one that says `via` is told."""
    direct: dict[str, str] = {}
    sinks: list[tuple[str, str, Place]] = []
    for source, node in sources.items():
        kind, connector = node.string("type"), node.get("connector")
        if kind not in _READERS:
            continue
        for stream, found in entries(node, "streams").items():
            key, topic, via = f"{source}.streams.{stream}", found.string("topic") or stream, found.get("via")
            if via is not None and connector is not None and connector.string("type") in _SINKS:
                sinks.append((topic, key, via.place))
            elif kind != "iceberg":
                direct.setdefault(topic, key)
    taken: dict[str, str] = {}
    for topic, key, place in sinks:
        if topic in direct:
            message = (
                f"topic {topic} is read directly as well, by {_name(direct[topic])}: each message would land twice"
            )
            cure = "remove one of the two streams, or via: connect here"
            reading.findings.error(place, message, cure=cure, key=f"{key}.via")
        elif topic in taken:
            message = f"topic {topic} comes by another connector as well, of {_name(taken[topic])}: each message would"
            message += " land twice"
            reading.findings.error(place, message, cure="remove one of the two streams", key=f"{key}.via")
        taken.setdefault(topic, key)


def _name(key: str) -> str:
    """`clicks.user_events` for `sources.clicks.streams.user_events`."""
    *_, source, _, stream = key.split(".")
    return f"{source}.{stream}"
