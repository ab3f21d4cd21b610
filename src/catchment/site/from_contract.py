"""What a contract promises, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catchment import naming
from catchment.site.facts import ColumnFacts, Detail, Place, Rule

if TYPE_CHECKING:
    from catchment.contract import Column, Contract, SetRule

_MEASURES = {
    "rows": "rows in a load",
    "rejected_share": "share of rejected rows",
    "duplicates": "rows of a load that are there twice by",
    "nulls": "rows of a load without",
    "score": "score of a load (0 to 100)",
}
_BOUNDS = (
    ("minimum", "at least"),
    ("exclusive_minimum", "more than"),
    ("maximum", "at most"),
    ("exclusive_maximum", "less than"),
    ("min_length", "characters, at least"),
    ("max_length", "characters, at most"),
    ("multiple_of", "a multiple of"),
    ("pattern", "matches"),
)


def contract_columns(contract: Contract) -> list[ColumnFacts]:
    """The columns in the contract's order."""
    references: dict[str, list[Place]] = {}
    for reference in contract.references:
        table = str(naming.silver_table(reference.table))
        for name, to in zip(reference.columns, reference.to, strict=True):
            references.setdefault(name, []).append((table, to))
    return [
        ColumnFacts(
            name=column.name,
            type=_type(column),
            description=column.description or "",
            is_key=column.key_position is not None,
            is_required=column.required or column.key_position is not None,
            classification=column.classification,
            limits=tuple(_limits(column)),
            refers_to=tuple(references.get(column.name, ())),
        )
        for column in contract.columns
    ]


def _type(column: Column) -> str:
    return f"decimal({column.precision},{column.scale})" if column.type == "decimal" else column.type


def _limits(column: Column) -> Iterator[str]:
    if column.unique:
        yield "unique"
    if column.enum:
        yield f"one of {', '.join(str(value) for value in column.enum)}"
    for attribute, words in _BOUNDS:
        value = getattr(column, attribute)
        if value is not None:
            yield f"{words} {value}"
    if column.formats:
        yield f"written as {' or '.join(column.formats)}"
    if column.null_markers:
        yield f"empty where it says {', '.join(column.null_markers)}"
    if column.type in ("timestamp", "time") and column.timezone != "UTC":
        yield f"read in {column.timezone}"


def contract_rules(contract: Contract) -> list[Rule]:
    """The promises beyond single columns, those of each row first."""
    rules = [
        Rule(rule.name, rule.message, "each row" if rule.column is None else f"each row: {rule.column}", rule.condition)
        for rule in contract.row_rules
    ]
    return rules + [
        Rule(rule.name, _bounds(rule), f"each load, else {_EFFECT[rule.severity]}") for rule in contract.set_rules
    ]


_EFFECT = {"warn": "a warning", "stop": "a stop"}


def _bounds(rule: SetRule) -> str:
    if rule.usual is not None:
        return f"a load is like the {rule.usual.loads} before it"
    what = " ".join([_MEASURES[rule.measure], ", ".join(rule.columns)]).strip()
    is_share = rule.measure == "rejected_share"
    least, most = (_bound(value, is_share=is_share) for value in (rule.minimum, rule.maximum))
    unit = " %" if rule.unit == "percent" and not is_share else ""
    if least is not None and most is not None:
        return f"{what}: {least} to {most}{unit}"
    return f"{what}: at most {most}{unit}" if most is not None else f"{what}: at least {least}{unit}"


def _bound(value: float | None, *, is_share: bool) -> str | None:
    if value is None:
        return None
    return f"{value * 100:g} %" if is_share else f"{value:g}"


def contract_details(contract: Contract, folder: Path) -> list[Detail]:
    """What people want to know of a contract: whose it is and what it is for, from the document itself."""
    document = _document(folder / contract.file)
    found = [Detail("contract", f"{contract.id} {contract.version}"), *_people(document)]
    for key in ("status", "domain", "dataProduct"):
        if isinstance(document.get(key), str):
            found.append(Detail({"dataProduct": "data product"}.get(key, key), str(document[key])))
    words = document.get("description")
    if isinstance(words, Mapping):
        for key in ("purpose", "usage", "limitations"):
            if isinstance(words.get(key), str) and words[key] != contract.description:
                found.append(Detail(key, words[key].strip()))
    elif isinstance(words, str) and words != contract.description:
        found.append(Detail("purpose", words.strip()))
    tags = document.get("tags")
    if isinstance(tags, list) and tags:
        found.append(Detail("tags", ", ".join(str(tag) for tag in tags)))
    return found


def _document(path: Path) -> Mapping[str, Any]:
    """The document as it is written; it was read before, so whatever does not do is left out."""
    import yaml

    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return found if isinstance(found, Mapping) else {}


def _people(document: Mapping[str, Any]) -> Iterator[Detail]:
    """Owners and team: a list of members before version 3.1 of the standard, a value with members since."""
    team = document.get("team")
    members: Sequence[Any] = ()
    if isinstance(team, Mapping):
        if isinstance(team.get("name"), str):
            yield Detail("team", team["name"])
        listed = team.get("members")
        members = listed if isinstance(listed, list) else ()
    elif isinstance(team, list):
        members = team
    named = [_member(member) for member in members if isinstance(member, Mapping) and not member.get("dateOut")]
    owners = [name for name, role in named if name and "owner" in role.lower()]
    others = [f"{name} ({role})" if role else name for name, role in named if name and "owner" not in role.lower()]
    if owners:
        yield Detail("owner", ", ".join(owners))
    if others:
        yield Detail("people", ", ".join(others))


def _member(member: Mapping[str, Any]) -> tuple[str, str]:
    return str(member.get("name") or member.get("username") or ""), str(member.get("role") or "")
