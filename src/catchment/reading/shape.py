"""Whether catchment.yaml fits its models: unknown and missing keys, wrong types. Pydantic judges; words are ours."""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from catchment.naming import did_you_mean, nearest
from catchment.reading.declaration import ProjectFile
from catchment.reading.documents import Findings, Node, shorten
from catchment.reading.instead import EXAMPLES, bare, example, is_keys, named_or_mapped, shapes_of, tags
from catchment.reading.kinds import KINDS
from catchment.reading.kinds.keys import Keys, SourceKeys

_NOTHING = Node({}, (1, 1), keys={})


def fit(root: Node, findings: Findings) -> ProjectFile | None:
    """The document in its models, or None after problems; what it points at is not looked at."""
    try:
        whole, failed = root.plain(), False
        for place, declared in _declared(root):
            known = _sources(root, place, declared, findings)
            whole = _put(whole, place, {name: found for name, found in known.items() if found is not None})
            failed = failed or None in known.values()
        found = ProjectFile.model_validate(whole, by_alias=True, by_name=False)
    except ValidationError as error:
        _tell(root, findings, (), error)
    except RecursionError:
        findings.error(root, "it is nested too deeply", cure="flatten it")
    else:
        return None if failed else found
    return None


def _declared(root: Node) -> list[tuple[tuple[str, ...], Node]]:
    """Where sources stand: those of every target, then those of one."""
    targets = (root.get("targets") or _NOTHING).entries()
    found: list[tuple[tuple[str, ...], Node | None]] = [(("sources",), root.get("sources"))]
    found += [(("targets", name, "sources"), target.get("sources")) for name, target in targets.items()]
    return [(place, node) for place, node in found if node is not None and node.is_mapping]


def _put(whole: Mapping[str, Any], place: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The same with another value at a path that is there."""
    first, *below = place
    return {**whole, first: _put(whole[first], tuple(below), value) if below else value}


def _sources(root: Node, place: tuple[str, ...], declared: Node, findings: Findings) -> dict[str, SourceKeys | None]:
    """Each source in the model of its type; None after problems."""
    found: dict[str, SourceKeys | None] = {}
    for name, node in declared.entries().items():
        kind = node.get("type")
        key, found[name] = ".".join((*place, name)), None
        if not node.is_mapping:
            findings.error(node, f"must be a mapping, not {node.kind()}", cure=_WANTED["model_type"][1], key=key)
        elif kind is None:
            _typeless(node, key, findings)
        elif isinstance(kind.value, str) and kind.value in KINDS:
            try:
                fitting = KINDS[kind.text].model_validate(node.plain(), by_alias=True, by_name=False)
            except ValidationError as error:
                _tell(root, findings, (*place, name), error)
            else:
                found[name] = fitting
                _warn(node, fitting, key, findings)
        else:
            _strange(kind, key, findings)
    return found


def _typeless(node: Node, key: str, findings: Findings) -> None:
    for name in node.entries():
        if nearest(name, ["type"]) is not None:
            findings.error(node.key_place(name), f"unknown key `{shorten(name)}`", cure="did you mean `type`?", key=key)
            return
    findings.error(node, "type is missing", cure=f"write type: {EXAMPLES['type']}", key=key)


def _warn(node: Node, source: SourceKeys, key: str, findings: Findings) -> None:
    for name, stream in source.streams.items():
        for about, message, cure in stream.warnings():
            at = _at(node, ["streams", name, about])
            findings.warning(at, message, cure=cure, key=f"{key}.streams.{name}.{about}")


def _strange(kind: Node, key: str, findings: Findings) -> None:
    """No type of source that there is; what else stands in it cannot be judged."""
    cure = did_you_mean(kind.text, KINDS) or f"there are {', '.join(KINDS)}"
    findings.error(kind, f"no type of source {kind.kind()}", cure=cure, key=key)


def _tell(root: Node, findings: Findings, above: tuple[str, ...], error: ValidationError) -> None:
    found = [
        (path, str(item["type"]), item.get("ctx", {}))
        for item in error.errors(include_url=False, include_input=False, include_context=True)
        if (path := _meant(root, (*above, *item["loc"])))
    ]
    unknown = [path for path, kind, _ in found if kind == "extra_forbidden"]
    for path, kind, context in found:
        if kind != "missing" or not _is_misspelt(path, unknown, root):
            _say(root, findings, path, kind, context)


def _is_misspelt(path: list[str], unknown: list[list[str]], root: Node) -> bool:
    """Whether a key is missing because it stands there otherwise, which is told of the one that does."""
    *above, last = path
    known = _known(above, root)
    return any(nearest(name, known) == last for *place, name in unknown if place == above)


def _meant(root: Node, place: tuple[int | str, ...]) -> list[str]:
    """Where pydantic found a mistake, as a path of keys; empty where it tried a shape that is not meant.

    Where several shapes are allowed it puts a name of its own for the shape into the path: the `type` of a mapping, its
    class, `str` or `list[str]`.
    """
    path: list[str] = []
    parts = [str(part) for part in place]
    annotation: Any = ProjectFile
    node = root
    while parts:
        shapes = shapes_of(annotation)
        if len(shapes) > 1:
            if not _fits(parts[0], shapes, node):
                return []
            annotation = _chosen(shapes, node, parts.pop(0))
            continue
        part = parts.pop(0)
        path.append(part)
        node = _at(node, [part])
        annotation = _typed(_below(annotation, part), node)
    return path


def _typed(annotation: Any, node: Node) -> Any:
    """The keys of a source are those of its type."""
    return KINDS.get(node.string("type") or "", annotation) if bare(annotation) is SourceKeys else annotation


def _fits(part: str, shapes: list[Any], node: Node) -> bool:
    """Whether a shape that pydantic names is the one that whoever wrote this had in mind."""
    if any(part in tags(shape) for shape in shapes):
        return True
    classes = {shape.__name__ for shape in shapes if is_keys(shape)}
    kinds = {typing.get_origin(shape) for shape in shapes}
    if node.is_mapping and (classes or dict in kinds):
        return part in classes or part.startswith("dict")
    if node.is_list and list in kinds:
        return part.startswith("list")
    scalars = [name for name in map(_scalar, shapes) if name is not None]
    return part.startswith(tuple(scalars[:1])) if scalars else True


def _scalar(shape: Any) -> str | None:
    """How pydantic calls a shape that is no mapping and no list, by its beginning."""
    if typing.get_origin(shape) is typing.Literal:
        return "literal"
    return shape.__name__ if isinstance(shape, type) and not is_keys(shape) and shape not in (list, dict) else None


def _chosen(shapes: list[Any], node: Node, part: str) -> Any:
    tagged = [shape for shape in shapes if part in tags(shape)]
    named = [shape for shape in shapes if is_keys(shape) and shape.__name__ == part]
    listed = [shape for shape in shapes if typing.get_origin(shape) is (dict if node.is_mapping else list)]
    return next(iter([*tagged, *named, *listed, *shapes]))


def _below(annotation: Any, part: str) -> Any:
    """What may stand under a key, or at a place of a list."""
    shape = next(iter(shapes_of(annotation)))
    if is_keys(shape):
        fields = {found.alias or name: found.annotation for name, found in shape.model_fields.items()}
        return fields.get(part)
    arguments = typing.get_args(shape)
    return arguments[-1] if arguments and typing.get_origin(shape) in (dict, list) else None


def _model_at(path: list[str], root: Node) -> type[Keys] | None:
    """Whose keys stand at a path."""
    annotation = _one(_allowed(path, root), _at(root, path))
    return annotation if is_keys(annotation) else None


def _allowed(path: list[str], root: Node) -> Any:
    """What may stand at a path."""
    annotation: Any = ProjectFile
    node = root
    for part in path:
        below, node = _below(_one(annotation, node), part), _at(node, [part])
        annotation = _typed(below, node)
    return annotation


def _one(annotation: Any, node: Node) -> Any:
    """The shape that a value has of those that it may have."""
    shapes = shapes_of(annotation)
    if len(shapes) == 1:
        return shapes[0]
    tagged = [shape for shape in shapes if node.is_mapping and node.string("type") in tags(shape)]
    mapped = [shape for shape in shapes if is_keys(shape)] if node.is_mapping else []
    listed = [shape for shape in shapes if typing.get_origin(shape) is (dict if node.is_mapping else list)]
    return next(iter([*tagged, *mapped, *listed, *shapes]))


def _say(root: Node, findings: Findings, path: list[str], kind: str, context: Mapping[str, Any]) -> None:
    *above, last = path
    owner = _at(root, above)
    node = owner.get(last) if owner.is_mapping else None
    key = ".".join(path)
    if kind == "extra_forbidden":
        _unknown_key(root, findings, above, last)
    elif kind == "value_error":
        message, *cure = context["error"].args
        findings.error(_at(root, path), message, cure=next(iter(cure), None), key=key or None)
    elif kind == "missing":
        at = _at(root, above[:-1]).key_place(above[-1]) if above else owner.place
        cure = f"write {last}: {example(_model_at(above, root), last)}"
        findings.error(at, f"{last} is missing", cure=cure, key=".".join(above) or None)
    elif kind.startswith("union_tag"):
        _say_kind(node or _at(root, path), findings, key, context)
    else:
        node = node or _at(root, path)
        told = named_or_mapped(kind, last, node, shapes_of(_allowed(path, root)))
        message, cure = _mismatch(kind, last, node, context) if told is None else told
        findings.error(node if node is not root else None, message, cure=cure, key=key)


def _say_kind(node: Node, findings: Findings, key: str, context: Mapping[str, Any]) -> None:
    """A mapping whose `type` is missing, or none that there is."""
    kind = node.get("type")
    if kind is None:
        findings.error(node, "type is missing", cure="see docs/reference/catchment-yaml.md", key=key)
        return
    choices = re.findall(r"'([^']*)'", str(context.get("expected_tags", "")))
    cure = did_you_mean(kind.text, choices) or f"write {' or '.join(choices)}"
    findings.error(kind, f"{kind.kind()} is not one of {', '.join(choices)}", cure=cure, key=f"{key}.type")


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
        return "is empty", f"write {last}: {EXAMPLES.get(last, '…')}, or remove the key"
    return f"{node.kind()} cannot be used here", "see docs/reference/catchment-yaml.md"


def _unknown_key(root: Node, findings: Findings, above: list[str], name: str) -> None:
    owner = _at(root, above)
    model = _model_at(above, root)
    place, key = owner.key_place(name), ".".join(above) or None
    if model is not None and name in model.planned:
        findings.error(place, f"`{name}` is not built yet and would do nothing", cure="remove it", key=key)
        return
    known = _known(above, root)
    cure = did_you_mean(name, known) or f"known here: {', '.join(known)}"
    findings.error(place, f"unknown key `{shorten(name)}`", cure=cure, key=key)


def _known(path: list[str], root: Node) -> list[str]:
    """The keys that may stand at a path."""
    model = _model_at(path, root)
    return [] if model is None else [found.alias or name for name, found in model.model_fields.items()]


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
