"""Makes the reference pages that the code knows by itself: `make docs`, or `python docs/reference/generate.py`.

Tests hold the files against these functions.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from catchment.cli.reference import reference
from catchment.project import json_schema
from catchment.reading.declaration import (
    ClickHouseStore,
    Connect,
    Gold,
    GoldLayers,
    Metric,
    ProjectFile,
    Publish,
    SilverTable,
    Stream,
    Target,
)
from catchment.reading.kinds import KINDS, stream_keys

HERE = Path(__file__).parent
BEGIN, END = "<!-- keys: made by generate.py -->", "<!-- end of keys -->"

LEVELS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("Top level", ProjectFile),
    *(
        level
        for kind, keys in KINDS.items()
        for level in (
            (f"`sources.<source>` of type `{kind}`", keys),
            (f"`sources.<source>.streams.<stream>` of type `{kind}`", stream_keys(keys)),
        )
    ),
    ("`silver.<table>`", SilverTable),
    ("`silver.<table>.publish`", Publish),
    ("`live.<metric>`", Metric),
    ("`gold`", Gold),
    ("`gold.layers`", GoldLayers),
    ("`stream`", Stream),
    ("`targets.<target>`", Target),
    ("`targets.<target>.live`", ClickHouseStore),
    ("`targets.<target>.connect`", Connect),
)


def schema_text() -> str:
    """JSON Schema of catchment.yaml as it lies in the docs."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def keys_markdown() -> str:
    """A table of keys for each level."""
    return "\n".join(_level(title, model) for title, model in LEVELS)


def _level(title: str, model: type[BaseModel]) -> str:
    head = ["| key | value | default | what it does |", "| --- | --- | --- | --- |"]
    return "\n".join([f"### {title}", "", str(model.__doc__), "", *head, *_rows(model), ""])


def _rows(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        key, default = field.alias or name, _default(field)
        yield f"| `{key}` | {_kind(field.annotation)} | {default} | {field.description or 'Which kind of source.'} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    value = field.default
    if value is None or value == {} or isinstance(value, dict):
        return ""
    return f"`{json.dumps(value)}`" if not isinstance(value, str) else f"`{value}`"


def _kind(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in arguments)
    if origin in (types.UnionType, typing.Union):
        return _kind(next(part for part in arguments if part is not type(None)))
    if origin is typing.Annotated:
        return _kind(arguments[0])
    if origin is list:
        return "list of texts"
    if origin is dict:
        return f"names to {_kind(arguments[1])}"
    words = {str: "text", int: "whole number", bool: "true or false"}
    return words.get(annotation, "mapping, see below")


def main() -> None:
    (HERE / "commands.md").write_text(reference(), encoding="utf-8")
    (HERE / "catchment.schema.json").write_text(schema_text(), encoding="utf-8")
    page = HERE / "catchment-yaml.md"
    text = page.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n\n{keys_markdown()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
