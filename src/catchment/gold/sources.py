"""Which silver tables a dbt project reads, found in its files without starting dbt."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from catchment.gold.dbt import Dbt, files, project_file, text_of

SILVER = "silver"

_SOURCE = re.compile(r"""\bsource\s*\(\s*['"]([^'"]+)['"]\s*,\s*['"]([^'"]+)['"]\s*\)""")
_JINJA = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)
_CALLED = re.compile(r"""(var|env_var)\s*\(\s*['"]([^'"]+)['"]\s*(?:,\s*['"]([^'"]*)['"]\s*)?\)""")


@dataclass(frozen=True)
class Sources:
    """What `source(…)` leads to.

    `tables` are the silver tables that are read. `also` says which other names (`schema.name`) dbt asks one of them by.
    `unknown` are sources (`raw.orders`) that are no silver table, with the file that reads them. `places` says of every
    source (`silver.orders`) in which file and line it is read first.
    """

    tables: frozenset[str]
    also: Mapping[str, frozenset[str]] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, tuple[str, int]] = field(default_factory=dict, compare=False)


def sources(dbt: Dbt, silver: Collection[str]) -> Sources:
    """The silver tables behind the sources of a project; `silver` are those that there are.

    `source('silver', 'x')` is silver.x. Any other source is what `gold.sources` says, else the silver table called as
    its table, its identifier, or source and table joined by an underscore. A source that says where its rows lie
    (dbt-duckdb's `external_location`) is dbt's own affair. A name that Jinja puts together is not seen.
    """
    used = _used(dbt.folder)
    places = {f"{source}.{table}": place for (source, table), place in used.items()}
    tables = {table for source, table in used if source == SILVER}
    foreign = {key: file for key, (file, _) in used.items() if key[0] != SILVER}
    if not foreign:
        return Sources(frozenset(tables), places=places)
    declared = _declared(dbt.folder)
    also: dict[str, frozenset[str]] = {}
    unknown: dict[str, str] = {}
    for (source, table), file in sorted(foreign.items()):
        about = declared.get((source, table)) or _Declared(source, table)
        found = silver_behind(dbt, source, table, about.identifier, silver)
        if found is not None:
            tables.add(found)
            also[found] = also.get(found, frozenset()) | {f"{about.schema}.{about.identifier}"}
        elif not about.is_elsewhere:
            unknown[f"{source}.{table}"] = file
    return Sources(frozenset(tables), also, unknown, places)


def silver_behind(dbt: Dbt, source: str, table: str, identifier: str | None, silver: Collection[str]) -> str | None:
    """Which of the silver tables a source of the project is; None: none of them."""
    if source == SILVER:
        return table
    said = dbt.sources.get(f"{source}.{table}", "").removeprefix(f"{SILVER}.")
    candidates = [said] if said else [table, identifier or table, f"{source}_{table}"]
    return next((name for name in candidates if name in silver), None)


@dataclass(frozen=True)
class _Declared:
    schema: str
    identifier: str
    is_elsewhere: bool = False


def _used(folder: Path) -> dict[tuple[str, str], tuple[str, int]]:
    """Every source that is read, with a file that reads it and the line."""
    used: dict[tuple[str, str], tuple[str, int]] = {}
    for path in files(folder):
        if path.suffix in {".sql", ".py", ".yml", ".yaml"}:
            text = path.read_text(encoding="utf-8", errors="replace")
            if "source" in text:
                read = text_of(path)
                for found in _SOURCE.finditer(read):
                    place = path.relative_to(folder).as_posix(), read.count("\n", 0, found.start()) + 1
                    used.setdefault((found[1], found[2]), place)
    return used


def _declared(folder: Path) -> dict[tuple[str, str], _Declared]:
    """What the project's YAML says of its sources; what cannot be read is dbt's to tell."""
    import yaml

    variables = project_file(folder).get("vars") or {}
    found: dict[tuple[str, str], _Declared] = {}
    for path in files(folder):
        if path.suffix not in {".yml", ".yaml"} or "sources:" not in (text := text_of(path)):
            continue
        try:
            content = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except yaml.YAMLError:
            continue
        for source in _mappings(content, "sources"):
            schema = _rendered(source.get("schema") or source.get("name"), variables)
            for table in _mappings(source, "tables"):
                name = str(table.get("name"))
                identifier = _rendered(table.get("identifier") or name, variables)
                elsewhere = _is_elsewhere(source) or _is_elsewhere(table)
                found[str(source.get("name")), name] = _Declared(schema, identifier, elsewhere)
    return found


def _mappings(content: object, key: str) -> Iterator[Mapping[str, Any]]:
    items = content.get(key) if isinstance(content, dict) else None
    yield from (item for item in items or () if isinstance(item, dict))


def _is_elsewhere(item: Mapping[str, Any]) -> bool:
    config = item.get("config") or {}
    places = (item.get("meta"), config.get("meta"), config, item)
    return any(isinstance(place, dict) and "external_location" in place for place in places)


def _rendered(value: object, variables: Mapping[str, Any]) -> str:
    """The little Jinja that people write into a source's schema; anything else stays as it is, and dbt's message says
    which schema there is not."""

    def said(match: re.Match[str]) -> str:
        words = match.group(1)
        called = _CALLED.fullmatch(words)
        if called is None:
            return {"target.schema": "main", "target.name": "catchment"}.get(words, match.group(0))
        kind, name, default = called.groups()
        known = variables.get(name) if kind == "var" else os.environ.get(name)
        return str(known if known is not None else default if default is not None else match.group(0))

    return _JINJA.sub(said, str(value))
