"""What catchment.yaml says of targets: which is the default, and which sources are other ones there.

Read from the nodes, as `pointers` does: a wrong key in one place hides nothing in another.
"""

from __future__ import annotations

from catchment.naming import did_you_mean
from catchment.reading import tables
from catchment.reading.documents import Node, shorten
from catchment.reading.pointers import Reading, entries

_NOTHING = Node({}, (1, 1), keys={})


def follow(reading: Reading) -> None:
    """Look at every target; what is wrong goes to the reading's problems."""
    _default(reading)
    for name, node in reading.section("targets").items():
        _sources(reading, name, node)
    _lakes(reading)


def follow_tables(reading: Reading) -> None:
    """Look at the silver tables of every target that has sources of its own; contracts have been read."""
    for name, node in reading.section("targets").items():
        known = _known(reading, node)
        if known:
            tables.follow_on(reading, name, known)


def _default(reading: Reading) -> None:
    targets = reading.section("targets")
    default = [
        name for name, node in targets.items() if (found := node.get("default")) is not None and found.value is True
    ]
    for name in default[1:]:
        message = f"`{default[0]}` is the default target already"
        reading.findings.error(
            targets[name].get("default"), message, cure="keep one default", key=f"targets.{name}.default"
        )
    if len(targets) > 1 and not default:
        place = reading.root.key_place("targets")
        message = "none of several targets is the default"
        reading.findings.error(place, message, cure="add default: true to one of them", key="targets")


def _known(reading: Reading, node: Node) -> dict[str, Node]:
    """The sources of a target that the project has."""
    stated = reading.section("sources")
    return {source: found for source, found in entries(node, "sources").items() if source in stated}


def _sources(reading: Reading, target: str, node: Node) -> None:
    """Each source of a target must be one of the project's, and give what silver tables read of it."""
    section, stated = node.get("sources") or _NOTHING, reading.section("sources")
    for source in section.entries():
        if source not in stated:
            message = f"no source `{shorten(source)}` that could be another one here"
            cure = did_you_mean(source, stated) or "add it under sources, for every target"
            reading.findings.error(section.key_place(source), message, cure=cure, key=f"targets.{target}.sources")
    for source, found in _known(reading, node).items():
        streams = entries(found, "streams")
        for stream, reader in _read(reading, source).items():
            if stream in streams or not streams:
                continue
            message = f"silver.{reader} reads stream `{source}.{stream}`, which is not declared here"
            near = did_you_mean(stream, [name for name in streams if name not in entries(stated[source], "streams")])
            key, cure = f"targets.{target}.sources.{source}", near or f"add {stream} to its streams"
            reading.findings.error(section.key_place(source), message, cure=cure, key=key)


def _read(reading: Reading, source: str) -> dict[str, str]:
    """The streams of a source that silver tables read, as far as it has them, each with the first table."""
    declared, found = entries(reading.section("sources")[source], "streams"), dict[str, str]()
    for table, node in reading.section("silver").items():
        named = node.get("from") or _NOTHING
        for item in named.items() or [named]:
            of, _, stream = item.text.partition(".")
            if of == source and stream in declared:
                found.setdefault(stream, table)
    return found


def _lakes(reading: Reading) -> None:
    """Targets whose sources are not the same ones cannot share a lake: each stream has one bronze table in it."""
    targets = reading.section("targets")
    for name, node in targets.items():
        own = entries(node, "sources")
        for other, before in targets.items():
            if other == name or not own or _lake(before) != _lake(node):
                continue
            if (before.get("sources") or _NOTHING).plain() == (node.get("sources") or _NOTHING).plain():
                continue
            message = f"target `{other}` has the same lake, `{shorten(_lake(node))}`, and not the same sources"
            at = node.get("lake") or node.key_place("sources")
            reading.findings.error(at, message, cure=f"write lake: lake-{name}", key=f"targets.{name}.lake")
            break


def _lake(node: Node) -> str:
    return (node.string("lake") or "lake").rstrip("/")
