"""A project: catchment.yaml and its contracts as one frozen value, or every mistake in them at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from catchment.contract import Contract
from catchment.errors import ConfigError, Problem, ProjectProblems
from catchment.naming import bronze_table, changes_table, did_you_mean, is_name, shard
from catchment.reading.declaration import (
    FILE,
    MEMORY,
    Gold,
    Metric,
    SilverTable,
    Stream,
    Target,
    Topic,
    with_every_source,
)
from catchment.reading.kinds.keys import SourceKeys
from catchment.reading.mistakes import read
from catchment.records import Feed


@dataclass(frozen=True)
class Project:
    """A project without a mistake. Values from outside stay references in it: see `catchment.settings`."""

    name: str
    folder: Path
    sources: Mapping[str, SourceKeys]
    silver: Mapping[str, SilverTable]
    gold: Gold | None
    targets: Mapping[str, Target]
    contracts: Mapping[str, Contract]  # by silver table
    warnings: tuple[Problem, ...] = ()
    place: str | None = None  # the target whose `sources` these are, where they were asked for as they are on one
    stated: Mapping[str, SourceKeys] | None = None  # then, the sources as they stand in the file for every target
    stream: Stream = field(default_factory=Stream)
    topics: Mapping[str, Topic] = field(default_factory=dict)
    live: Mapping[str, Metric] = field(default_factory=dict)

    def target(self, name: str | None) -> tuple[str, Target]:
        """The target of that name, or the default one; `local@alice` is environment `alice` in target `local`.

        What comes back names the place in full. Raises ConfigError where there is no such target.
        """
        if name is not None and "@" in name:
            wanted, _, environment = name.partition("@")
            found, target = self.target(wanted or None)
            if not is_name(environment):
                message = f"`{environment}` is no name of an environment"
                raise ConfigError(message, hint="lower case, digits and single underscores, a letter first")
            return f"{found}@{environment}", target
        if name is None:
            chosen = [known for known, target in self.targets.items() if target.default]
            return next((known, self.targets[known]) for known in chosen or self.targets)
        if name not in self.targets:
            cure = did_you_mean(name, self.targets) or f"there are {', '.join(self.targets)}"
            message = f"no target `{name}`"
            raise ConfigError(message, hint=cure)
        return name, self.targets[name]

    def on(self, target: str | None) -> Project:
        """The project as it is on a target: its sources are those that the target declares, where it does.

        Every part that knows its target asks for it, `Connected.of` too; of the same target it is the same value.
        Raises ConfigError where there is no such target.
        """
        name, found = self.target(target)
        place = name.partition("@")[0]
        if place == self.place or not any(one.sources for one in self.targets.values()):
            return self
        stated = self.sources if self.stated is None else self.stated
        return replace(self, sources={**stated, **found.sources}, place=place, stated=stated)

    def looks_at(self, table: str) -> tuple[str, ...]:
        """The other silver tables that a silver table looks things up in, or whose rows its own refer to."""
        contract = self.contracts.get(table)
        referred = (reference.table for reference in contract.references) if contract is not None else ()
        return tuple(dict.fromkeys(name for name in (*self.silver[table].with_, *referred) if name != table))

    def is_full(self, stream: str) -> bool:
        """Whether each arrival of the stream (`source.stream`) holds the whole of it."""
        source, _, name = stream.partition(".")
        return self.sources[source].streams[name].is_whole

    def brings_documents(self, stream: str) -> bool:
        """Whether the stream's rows are documents, as far as the project tells."""
        source, _, name = stream.partition(".")
        return self.sources[source].streams[name].brings_documents

    def brings_changes(self, stream: str) -> bool:
        """Whether the stream's rows say what happened to rows outside."""
        source, _, name = stream.partition(".")
        return self.sources[source].streams[name].brings_changes

    def streams(self) -> tuple[str, ...]:
        """Every stream as `source.stream`, in the order of the file."""
        return tuple(f"{source}.{stream}" for source, found in self.sources.items() for stream in found.streams)

    def feeds(self) -> tuple[Feed, ...]:
        """What lands, in the order of the file: every stream or its shards, and every log of several."""
        return tuple(dict.fromkeys(feed for stream in self.streams() for feed in self.feeds_of(stream)))

    def feeds_of(self, stream: str) -> tuple[Feed, ...]:
        """What lands the stream `source.stream`: mostly one feed, several where it has shards."""
        source, _, name = stream.partition(".")
        found = self.sources[source]
        if found.is_log:
            return (Feed(source, changes_table(source)),)
        count = found.streams[name].split
        names = [shard(stream, number) for number in range(count)]
        return tuple(Feed(feed, bronze_table(feed), number, count) for number, feed in enumerate(names))

    def feed(self, name: str) -> Feed:
        """The feed of that name, `source.stream` or `source.stream/1`; the log `source` where that is one."""
        stream, _, number = name.partition("/")
        if not stream.partition(".")[2]:
            return Feed(stream, changes_table(stream))
        return self.feeds_of(stream)[int(number or 0)]


def load_project(folder: Path, *, tables_too: bool = True) -> Project:
    """The project in `folder`.

    Without `tables_too` it serves those only who ask for sources, topics and targets: nothing is looked at that silver,
    gold and live point at, and it has no contracts, which may not be written yet.

    Raises ProjectProblems with every error of catchment.yaml and of the contracts it names, and ConfigError where there
    is no project. What deserves a warning is in `Project.warnings`.
    """
    project, problems = read_project(folder, tables_too=tables_too)
    errors = [problem for problem in problems if problem.severity == "error"]
    if project is None or errors:
        raise ProjectProblems(errors)
    return project


def read_project(folder: Path, *, tables_too: bool = True) -> tuple[Project | None, list[Problem]]:
    """The project, or None after an error; and every problem, warnings too, by file and line."""
    document, contracts, problems = read(folder, tables_too=tables_too)
    if document is None or any(problem.severity == "error" for problem in problems):
        return None, problems
    project = Project(
        name=document.name,
        folder=folder,
        sources=document.sources,
        silver=document.silver,
        gold=document.gold,
        targets=document.targets,
        contracts=contracts,
        warnings=tuple(problems),
        stream=document.stream or Stream(),
        live=document.live,
        topics=document.topics,
    )
    return project, problems


def find_project(start: Path) -> Path:
    """The nearest folder with a catchment.yaml, from `start` upwards; raises ConfigError where there is none."""
    for folder in (start.absolute(), *start.absolute().parents):
        if (folder / FILE).is_file():
            return folder
    message = f"no {FILE} in {start} or above it"
    raise ConfigError(
        message, hint="go to a project's folder, name it with --project, or make one: catchment init shop"
    )


def memory_bytes(text: str) -> int:
    """A resolved memory size in bytes; raises ConfigError. KB to TB count by 1000, KiB to TiB by 1024, as in DuckDB."""
    if re.fullmatch(MEMORY, text) is None:
        message = f"memory `{text}` is not a size"
        raise ConfigError(message, hint="write one such as 2GB or 512MB")
    number, prefix, binary = re.fullmatch(r"\s*([0-9.]+)\s*([KMGT])(i?)B\s*", text).groups()  # type: ignore[union-attr]
    return int(float(number) * (1024 if binary else 1000) ** ("KMGT".index(prefix) + 1))


def json_schema() -> dict[str, Any]:
    """JSON Schema of catchment.yaml, for editors; made from the models that validate."""
    schema = with_every_source().model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_untitled(schema), "title": FILE}


def _untitled(schema: Any) -> Any:
    """Titles that pydantic makes of names say nothing; a property named `title` would be a mapping and stays."""
    if isinstance(schema, dict):
        return {k: _untitled(v) for k, v in schema.items() if k != "title" or not isinstance(v, str)}
    return [_untitled(item) for item in schema] if isinstance(schema, list) else schema
