"""Whether catchment.yaml fits its models: unknown and missing keys, wrong types. Pydantic judges; words are ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from catchment.naming import did_you_mean
from catchment.reading.declaration import (
    KINDS,
    AsOf,
    DeltaSource,
    DeltaStream,
    FilesSource,
    FileStream,
    Gold,
    GoldLayers,
    ProjectFile,
    SilverTable,
    Target,
)
from catchment.reading.documents import Findings, Node, shorten

# Planned and named in the design, so that whoever writes them learns that they do nothing, not that they misspelt them.
_NOT_BUILT: dict[type[BaseModel], frozenset[str]] = {
    ProjectFile: frozenset({"live", "schedule", "alerts", "brokers"}),
    FilesSource: frozenset({"url"}),
    FileStream: frozenset({"external", "retention"}),
    DeltaSource: frozenset(),
    DeltaStream: frozenset(),
    AsOf: frozenset(),
    SilverTable: frozenset({"publish", "keys", "window"}),
    Gold: frozenset(),
    GoldLayers: frozenset({"raw"}),
    Target: frozenset({"engine", "broker", "warehouse", "live", "format", "catalog"}),
}
_NOT_BUILT_KINDS = frozenset(
    {"postgres", "database", "mongodb", "redis", "rest", "graphql", "webhooks", "topic", "dlt", "singer"}
)

_NOTHING = Node({}, (1, 1), keys={})


def fit(root: Node, findings: Findings) -> ProjectFile | None:
    """The document in its models, or None after problems; what it points at is not looked at."""
    strange = _strange_sources(root, findings)
    try:
        return ProjectFile.model_validate(root.plain(), by_alias=True, by_name=False)
    except ValidationError as error:
        for item in error.errors(include_url=False, include_input=False, include_context=True):
            path = _branched(root, _held_against(item["loc"]))
            if path and not (path[0] == "sources" and len(path) > 1 and path[1] in strange):
                _say(root, findings, path, str(item["type"]), item.get("ctx", {}))
    except RecursionError:
        findings.error(root, "it is nested too deeply", cure="flatten it")
    return None


def _strange_sources(root: Node, findings: Findings) -> set[str]:
    """Sources of no kind that there is; what else stands in them cannot be judged."""
    strange = set()
    for name, node in (root.get("sources") or _NOTHING).entries().items():
        kind = node.get("type")
        if not node.is_mapping or (kind is not None and kind.value in KINDS):
            continue
        strange.add(name)
        key = f"sources.{name}"
        if kind is None:
            findings.error(node, "type is missing", cure="write type: files", key=key)
        elif kind.text in _NOT_BUILT_KINDS:
            cure = f"there are {', '.join(KINDS)}"
            findings.error(kind, f"sources of type `{kind.value}` are not built yet", cure=cure, key=key)
        else:
            cure = did_you_mean(kind.text, KINDS) or f"there are {', '.join(KINDS)}"
            findings.error(kind, f"no type of source {kind.kind()}", cure=cure, key=key)
    return strange


def _held_against(place: tuple[int | str, ...]) -> list[str]:
    """Where pydantic found a mistake; in a source without the kind whose model found it."""
    path = [str(part) for part in place]
    return [*path[:2], *path[3:]] if path[0] == "sources" and len(path) > 2 else path


# Where several shapes are allowed pydantic tells what is wrong with each, under a name of its own for the shape.
_UNIONS = {"from": 3, "with": 4}


def _branched(root: Node, path: list[str]) -> list[str]:
    """The path without the shape's name; empty for a shape that is not meant there."""
    at = _UNIONS.get(path[2], 0) if path[0] == "silver" and len(path) > 2 else 0
    at = 3 if path[:2] == ["gold", "layers"] else at
    if not at or len(path) <= at:
        return path
    node = _at(root, path[:at])
    meant = ("AsOf" if node.is_mapping else "literal") if path[2] == "with" else ("list" if node.is_list else "str")
    return [*path[:at], *path[at + 1 :]] if path[at].startswith(meant) else []


def _say(root: Node, findings: Findings, path: list[str], kind: str, context: Mapping[str, Any]) -> None:
    *above, last = path
    owner = _at(root, above)
    node = owner.get(last) if owner.is_mapping else None
    key = ".".join(path)
    if kind == "extra_forbidden":
        _unknown_key(root, findings, above, last)
    elif kind == "missing":
        at = _at(root, above[:-1]).key_place(above[-1]) if above else owner.place
        cure = f"write {last}: {_EXAMPLES.get(last, '…')}"
        findings.error(at, f"{last} is missing", cure=cure, key=".".join(above) or None)
    else:
        node = node or _at(root, path)
        message, cure = _mismatch(kind, last, node, context)
        findings.error(node if node is not root else None, message, cure=cure, key=key)


_EXAMPLES = {
    "name": "my_project",
    "type": "files",
    "path": '"data/*.csv"',
    "from": "source.stream",
    "dbt": "gold/",
    "as_of": "<a timestamp column>",
    "slice": "[<a column>]",
    **dict.fromkeys(("stg", "std", "cur"), "<a folder>"),
}
_WANTED = {
    "string_type": ("text", 'put the value into quotes: "…"'),
    "bool_type": ("true or false", "write true or false without quotes"),
    "int_type": ("a whole number", "write a number without quotes"),
    "dict_type": ("a mapping", "write name: value lines under it, or remove it"),
    "model_type": ("a mapping", "write name: value lines under it"),
    "model_attributes_type": ("a mapping", "write name: value lines under it"),
    "list_type": ("a list", "write [first, second]"),
    "greater_than_equal": ("at least 1", "write 1 or more, or remove it"),
}


_LISTS = {
    "from": ("stream", "write from: source.stream, or a list of them"),
    **{layer: ("folder", f"write {layer}: <a folder>, or a list of them") for layer in ("stg", "std", "cur")},
}


def _mismatch(kind: str, last: str, node: Node, context: Mapping[str, Any]) -> tuple[str, str]:
    if last in _LISTS and kind == "string_type":
        what, cure = _LISTS[last]
        return f"must be a {what} or a list of {what}s, not {node.kind()}", cure
    if kind == "literal_error" and context.get("expected") == "'current'":
        near = did_you_mean(node.text, ["current"])
        return f"{node.kind()} is no time of a look-up", near or "write current, or {as_of: <a timestamp column>}"
    if kind in _WANTED:
        wanted, cure = _WANTED[kind]
        return f"must be {wanted}, not {node.kind()}", cure
    if kind in ("literal_error", "enum"):
        choices = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        near = did_you_mean(node.text, choices) if node.text else None
        return f"{node.kind()} is not one of {', '.join(choices)}", near or f"write {' or '.join(choices)}"
    if kind == "string_pattern_mismatch":
        return f"{node.kind()} is not a size", "write one such as 2GB or 512MB"
    if kind in ("string_too_long", "string_too_short") and last in ("delimiter", "quote"):
        return f"must be one character, not {node.kind()}", 'write "," or ";", for example'
    if kind in ("string_too_short", "too_short"):
        return "is empty", f"write {last}: {_EXAMPLES.get(last, '…')}, or remove the key"
    return f"{node.kind()} cannot be used here", "see docs/reference/catchment-yaml.md"


def _unknown_key(root: Node, findings: Findings, above: list[str], name: str) -> None:
    owner = _at(root, above)
    model = _model_at(above, root)
    place, key = owner.key_place(name), ".".join(above) or None
    if model is not None and name in _NOT_BUILT[model]:
        findings.error(place, f"`{name}` is not built yet and would do nothing", cure="remove it", key=key)
        return
    known = [found.alias or attribute for attribute, found in model.model_fields.items()] if model is not None else []
    cure = did_you_mean(name, known) or f"known here: {', '.join(known)}"
    findings.error(place, f"unknown key `{shorten(name)}`", cure=cure, key=key)


def _model_at(path: list[str], root: Node) -> type[BaseModel] | None:
    """Whose keys stand at a path."""
    whole = path[:1] == ["sources"] and _at(root, path[:2]).string("type") == "delta"
    shapes: dict[tuple[str, int], type[BaseModel]] = {
        ("", 0): ProjectFile,
        ("sources", 2): DeltaSource if whole else FilesSource,
        ("sources", 4): DeltaStream if whole else FileStream,
        ("silver", 2): SilverTable,
        ("silver", 4): AsOf,
        ("gold", 1): Gold,
        ("gold", 2): GoldLayers,
        ("targets", 2): Target,
    }
    return shapes.get((path[0] if path else "", len(path)))


def _at(node: Node, path: list[str]) -> Node:
    """The node at a path, or the last one on the way to it; list positions count."""
    here = node
    for part in path:
        items = here.items()
        found = items[int(part)] if items and part.isdigit() and int(part) < len(items) else here.get(part)
        if found is None:
            break
        here = found
    return here
