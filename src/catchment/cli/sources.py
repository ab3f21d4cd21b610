"""`catchment sources`: the types of source that there are, what each can do, and what it needs."""

from __future__ import annotations

import textwrap
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from catchment.cli.invocation import examples, json_option
from catchment.cli.terminal import note, out, out_json
from catchment.errors import CatchmentError, ConfigError, MissingExtra
from catchment.naming import did_you_mean
from catchment.observe.words import aligned

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from catchment.reading.kinds.keys import Keys
    from catchment.records import Abilities

# What people want to know of a source, by what its class says it can.
_WORDS = {
    "takes_new": "brings what is new",
    "takes_whole": "brings all each time",
    "resumes": "goes on where it broke off",
    "keeps_types": "keeps types",
    "brings_documents": "documents",
}

_MUST = "must be given"


@click.command(epilog=examples("catchment sources", "catchment sources files"))
@click.argument("kind", metavar="[TYPE]", required=False)
@json_option
def sources(kind: str | None, as_json: bool) -> None:
    """Show the types of source, what each can do and whether what it needs is installed.

    With TYPE its keys in catchment.yaml, with an example. Needs no project.
    """
    from catchment import registry

    known = registry.names("sources")
    if kind is None:
        found = [as_value(name) for name in known]
        if as_json:
            out_json(found)
            return
        for line in lines(found):
            out(line)
        note("Its keys: catchment sources TYPE")
        return
    if kind not in known:
        message = f"no type of source `{kind}`"
        raise ConfigError(message, hint=did_you_mean(kind, known) or f"there are {', '.join(known)}")
    value = as_value(kind) | {"keys": _keys(kind), "example": _example(kind)}
    if as_json:
        out_json(value)
        return
    for line in one_lines(value):
        out(line)


def as_value(name: str) -> dict[str, Any]:
    """One entry of `sources --json`. `abilities` is null where the packages that it needs are not there to ask."""
    from catchment import registry

    abilities, missing = _asked(name)
    return {
        "type": name,
        "what": _what(name),
        "abilities": abilities,
        "finds": name in registry.names("finders"),
        "extra": registry.extra(name),
        "installed": missing is None,
        "missing": missing,
    }


def _asked(name: str) -> tuple[dict[str, bool] | None, str | None]:
    """What its class says it can do, or why that cannot be asked."""
    from catchment import registry

    try:
        said: Abilities = registry.implementation("sources", name).abilities
    except MissingExtra as error:
        return None, error.hint or error.message
    except (CatchmentError, ImportError, AttributeError) as error:
        return None, str(error)
    return {field.name: getattr(said, field.name) for field in fields(said) if field.name in _WORDS}, None


def _what(name: str) -> str:
    """What it reads; of a type of another package, which."""
    from catchment import registry
    from catchment.reading.kinds import KINDS

    place = registry.names("sources")[name]
    theirs = f"from another package ({place})"
    try:
        model = KINDS.get(name)
    except ConfigError as error:
        return f"{theirs}; {error.message}"
    if model is None:
        return f"{theirs}, which brings no keys for catchment.yaml"
    return _sentence(model) if registry.is_ours("sources", name) else f"{_sentence(model)}, {theirs}"


def _sentence(model: type[Keys]) -> str:
    return str(model.__doc__).strip().splitlines()[0].rstrip(".")


def lines(found: list[dict[str, Any]]) -> list[str]:
    """A line for each type, what it needs below it where that is not there."""
    head = ("type", "new", "whole", "resumes", "types", "documents", "--from", "what it reads")
    shown = ("takes_new", "takes_whole", "resumes", "keeps_types", "brings_documents")
    rows = [head]
    for one in found:
        can = one["abilities"] or {}
        marks = [_mark(can.get(ability)) for ability in shown]
        needs = "" if one["installed"] else f" · not installed: {one['missing']}"
        rows.append((one["type"], *marks, _mark(one["finds"]), f"{one['what']}{needs}"))
    return aligned(rows)


def _mark(can: bool | None) -> str:
    return "?" if can is None else "yes" if can else "-"


def one_lines(value: dict[str, Any]) -> list[str]:
    """One type as people read it: what it can do, its keys, an example."""
    can = [words for ability, words in _WORDS.items() if (value["abilities"] or {}).get(ability)]
    told = [f"{value['type']}: {value['what']}", *([f"  {', '.join(can)}"] if can else [])]
    if value["extra"] is not None:
        told.append(f"  needs catchment[{value['extra']}]{'' if value['installed'] else ', which is not installed'}")
    if value["finds"]:
        told.append("  catchment init --from URL drafts a project over all of it")
    for title, keys in value["keys"].items():
        told += ["", title, *(line for one in keys for line in _key_lines(one))]
    if value["example"]:
        told += ["", "sources:", *(f"  {line}" for line in value["example"].rstrip("\n").splitlines())]
    return told


def _key_lines(one: dict[str, Any]) -> list[str]:
    default = one["default"]
    beside = "" if not default else f"  (by default {default})" if default != _MUST else f"  ({_MUST})"
    return [f"  {one['key']}{beside}", *textwrap.wrap(one["what"], 96, initial_indent="    ", subsequent_indent="    ")]


def _keys(name: str) -> dict[str, list[dict[str, Any]]]:
    """Its keys and those of its streams; nothing for a source of another package that brings none."""
    from catchment.reading.kinds import KINDS, stream_keys

    model = KINDS.get(name)
    if model is None:
        return {}
    streams = stream_keys(model)
    return {"the source": _told(model, leave=("type", "streams")), "each of its streams": _told(streams)}


def _told(model: type[Keys], leave: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    return [
        {"key": field.alias or name, "default": _default(field), "what": field.description or ""}
        for name, field in model.model_fields.items()
        if name not in leave
    ]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return _MUST
    value = field.default
    return "" if value is None or value in ({}, []) else str(value).lower() if isinstance(value, bool) else str(value)


def _example(name: str) -> str:
    from catchment.reading.kinds import KINDS

    model = KINDS.get(name)
    return "" if model is None else model.example
