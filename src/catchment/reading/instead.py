"""What to write instead of what does not fit a model: examples made of the model itself."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from catchment.naming import nearest
from catchment.reading.documents import Node
from catchment.reading.kinds.keys import Keys

EXAMPLES: Mapping[str, str] = {
    "name": "my_project",
    "type": "files",
    "path": '"data/*.csv"',
    "from": "source.stream",
    "dbt": "gold/",
    "topic": "my_topic",
    "servers": "broker-1:9092",
    "measures": "{n: count(*)}",
    "as_of": "<a timestamp column>",
    "slice": "[<a column>]",
    **dict.fromkeys(("stg", "std", "cur"), "<a folder>"),
}


def shapes_of(annotation: Any) -> list[Any]:
    """What a value may be; None is no shape of its own to pydantic."""
    annotation = bare(annotation)
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return [shape for one in typing.get_args(annotation) if one is not type(None) for shape in shapes_of(one)]
    return [annotation]


def bare(annotation: Any) -> Any:
    """Without what stands beside it in `Annotated`."""
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    return annotation


def is_keys(shape: Any) -> bool:
    """Whether it is a model of keys."""
    return isinstance(shape, type) and issubclass(shape, Keys)


def tags(shape: Any) -> tuple[str, ...]:
    """The values of `type` by which a mapping is told from others."""
    return said_by(shape.model_fields["type"].annotation) if is_keys(shape) and "type" in shape.model_fields else ()


def said_by(annotation: Any) -> tuple[str, ...]:
    """The values that are allowed, where there are so many and no more."""
    bared = bare(annotation)
    found = typing.get_args(bared) if typing.get_origin(bared) is typing.Literal else ()
    return tuple(str(one) for one in found)


def example(model: type[Keys] | None, key: str) -> str:
    """A value of a key."""
    fields = (
        {} if model is None else {found.alias or name: found.annotation for name, found in model.model_fields.items()}
    )
    choices = said_by(fields.get(key))
    return choices[0] if choices else EXAMPLES.get(key, "…")


def mapping(model: type[Keys]) -> str:
    """The keys that must be given, `{type: kafka, servers: broker-1:9092}`; empty where there are none."""
    wanted = [found.alias or name for name, found in model.model_fields.items() if found.is_required()]
    told = ", ".join(f"{key}: {example(model, key)}" for key in wanted)
    return f"{{{told}}}" if told else ""


def named_or_mapped(kind: str, key: str, node: Node, shapes: Sequence[Any]) -> tuple[str, str] | None:
    """What is wrong, and what to write instead, where a mapping is wanted, alone or beside text or a few words; None
    where the mistake, of pydantic's `kind`, is another one."""
    mapped = next((told for shape in shapes if is_keys(shape) and (told := mapping(shape))), None)
    if mapped is None:
        return None
    if kind in ("model_type", "model_attributes_type"):
        return f"must be a mapping, not {node.kind()}", f"write {key}: {mapped}"
    if kind == "string_type":
        return f"must be text or a mapping, not {node.kind()}", f"write {key}: {mapped}"
    return _one_of(key, node, shapes) if kind == "literal_error" else None


def _one_of(key: str, node: Node, shapes: Sequence[Any]) -> tuple[str, str] | None:
    """One of a few words, or a mapping with a `type`."""
    mapped = {tag: mapping(shape) for shape in shapes for tag in tags(shape)}
    words = [word for shape in shapes for word in said_by(shape)]
    if not mapped or not words:
        return None
    if node.text in mapped:
        return f"{node.kind()} alone does not tell where it is", f"write {key}: {mapped[node.text]}"
    near = nearest(node.text, [*words, *mapped]) if node.text else None
    if near is None:
        cure = f"write {' or '.join(f'{key}: {told}' for told in (*words, *mapped.values()))}"
    else:
        cure = f"did you mean {key}: {mapped[near]}?" if near in mapped else f"did you mean `{near}`?"
    return f"{node.kind()} is not one of {', '.join((*words, *mapped))}", cure
