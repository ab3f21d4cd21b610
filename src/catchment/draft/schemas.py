"""What a schema of Avro says of the columns that its messages become: sure where a sample of them only seems so.

Text is left to the sample: a schema does not tell that a string holds dates.
https://avro.apache.org/docs/1.12.0/specification/
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from catchment.draft.types import ColumnGuess, lacks
from catchment.records import MessageSchema
from catchment.settings import resolve

if TYPE_CHECKING:
    from catchment.connected import Connected

_PLAIN = {
    "int": "integer",
    "long": "integer",
    "float": "number",
    "double": "number",
    "boolean": "boolean",
    "array": "array",
    "map": "object",
}

# As messages are read (`sources.topic.avro`): logical types that are not here are what they are written as.
_LOGICAL = {
    ("int", "date"): "date",
    ("int", "time-millis"): "time",
    ("long", "time-micros"): "time",
    **{("long", f"timestamp-{unit}"): "timestamp" for unit in ("millis", "micros", "nanos")},
    **{("long", f"local-timestamp-{unit}"): "timestamp" for unit in ("millis", "micros", "nanos")},
}
_MOST_DIGITS = 38


@dataclass(frozen=True)
class Declared:
    """The type of a column in the words of a contract; `words` are the schema's own."""

    type: str
    words: str
    physical: str | None = None


def written_with(connected: Connected, stream: str) -> MessageSchema | None:
    """The schema of Avro in the stream's file, else the newest with which messages were written that were read just
    now over `connected`; None where there is none."""
    source, _, name = stream.partition(".")
    keys = connected.project.sources[source].streams[name]
    if getattr(keys, "format", None) != "avro":
        return None
    file: str | None = getattr(keys, "schema_", None)
    if file is not None:
        folder = connected.project.folder
        path = folder / resolve(file, folder, place=f"sources.{source}.streams.{name}.schema")
        return MessageSchema("avro", path.read_text(encoding="utf-8"))
    known = {} if connected.registry is None else connected.registry.known
    newest = max((number for number, schema in known.items() if schema.kind == "avro"), default=None)
    return None if newest is None else known[newest]


def declared_by(schema: MessageSchema) -> Mapping[str, Declared]:
    """The columns of whose type it is sure, by their path in the document."""
    named: dict[str, tuple[Any, str]] = {}
    texts = [*(text for _, text in schema.beside), schema.text]
    parsed = [json.loads(text) for text in texts]
    for one in parsed:
        _gather(one, "", named)
    return dict(_columns(parsed[-1], "$", "", named, ()))


def decided(column: ColumnGuess, declared: Mapping[str, Declared], rows: int) -> ColumnGuess:
    """The column as its schema declares it, where it does."""
    said = declared.get(column.source)
    if said is None:
        return column
    lacking = lacks(column.lacking, rows) if column.lacking else "no row lacks it"
    evidence = f"{said.words} in the schema of its messages; {lacking}"
    return replace(
        column, type=said.type, physical=said.physical, formats=(), null_markers=(), evidence=evidence, remark=None
    )


def _gather(schema: Any, space: str, named: dict[str, tuple[Any, str]]) -> None:
    """Types with names, and the namespace in which each is read."""
    if isinstance(schema, list):
        for one in schema:
            _gather(one, space, named)
    elif isinstance(schema, dict):
        if "name" in schema and isinstance(schema.get("type"), str):
            full = _full(str(schema["name"]), str(schema.get("namespace", space)))
            space = full.rpartition(".")[0]
            named[full] = (schema, space)
        for key in ("type", "items", "values"):
            _gather(schema.get(key), space, named)
        for field in schema.get("fields", ()):
            _gather(field.get("type"), space, named)


def _full(name: str, space: str) -> str:
    return name if "." in name or not space else f"{space}.{name}"


def _columns(
    schema: Any, path: str, space: str, named: Mapping[str, tuple[Any, str]], inside: Sequence[str]
) -> Iterator[tuple[str, Declared]]:
    """Down through records; a record that contains itself ends where it comes again."""
    if isinstance(schema, list):
        some = [one for one in schema if one != "null"]
        if len(some) == 1:  # of a union of several only the message says which it is
            yield from _columns(some[0], path, space, named, inside)
        return
    if isinstance(schema, str):
        known = named.get(_full(schema, space)) or named.get(schema)
        schema, space = known or ({"type": schema}, space)
    kind = schema.get("type")
    if not isinstance(kind, str):
        yield from _columns(kind, path, space, named, inside)
    elif kind in ("record", "error"):
        full = _full(str(schema["name"]), str(schema.get("namespace", space)))
        for field in () if full in inside else schema["fields"]:
            below = full.rpartition(".")[0]
            yield from _columns(field["type"], f"{path}.{field['name']}", below, named, (*inside, full))
    else:
        found = _declared(schema, kind)
        if found is not None:
            yield path, found


def _declared(schema: Mapping[str, Any], kind: str) -> Declared | None:
    logical = str(schema.get("logicalType", ""))
    if kind in ("bytes", "fixed"):
        precision, scale = schema.get("precision"), schema.get("scale", 0)
        if logical != "decimal" or not isinstance(precision, int) or not 0 <= scale <= precision <= _MOST_DIGITS:
            return None
        return Declared("number", f"decimal({precision},{scale})", f"decimal({precision},{scale})")
    if (kind, logical) in _LOGICAL:
        return Declared(_LOGICAL[kind, logical], logical)
    return Declared(_PLAIN[kind], kind) if kind in _PLAIN else None
