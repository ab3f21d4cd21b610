"""catchment.yaml -> a frozen, validated Project, or every mistake in it at once.

The models below are the only place where keys, types and defaults stand: they validate, and the JSON Schema and the
reference page are made from them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from catchment.contract import Contract
from catchment.errors import ConfigError, Problem, ProjectProblems
from catchment.naming import bronze_table, did_you_mean
from catchment.records import Feed

FILE = "catchment.yaml"
MEMORY = r"^\s*[0-9]+(\.[0-9]+)?\s*([KMGT]i?B)\s*$"


class _Keys(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_by_name=True)


class FileStream(_Keys):
    """One kind of file, landing in one bronze table."""

    path: Annotated[str, Field(min_length=1, description="A glob or a folder, relative to the project or absolute.")]
    format: Annotated[
        Literal["csv", "jsonl", "parquet"] | None,
        Field(description="By default what the file's ending says, `.gz` left aside."),
    ] = None
    encoding: Annotated[
        Literal["utf-8", "utf-8-sig", "latin-1"] | None,
        Field(description="By default what the first file shows; pinned once it is found."),
    ] = None
    delimiter: Annotated[
        str | None, Field(min_length=1, max_length=1, description="By default what the first file shows.")
    ] = None
    quote: Annotated[
        str | None, Field(min_length=1, max_length=1, description="By default what the first file shows.")
    ] = None
    header: Annotated[
        list[str] | None, Field(min_length=1, description="Column names, for files that have no header line.")
    ] = None
    columns: Annotated[
        Literal["evolve", "freeze"],
        Field(description="A new column in a later file: `evolve` adds it, `freeze` stops with the difference."),
    ] = "evolve"
    changed: Annotated[
        Literal["fail", "ignore"],
        Field(description="A file that changed after it landed: `fail` stops, `ignore` goes on and tells."),
    ] = "fail"


class FilesSource(_Keys):
    """Files in folders: CSV, JSON Lines or Parquet, plain or gzipped."""

    type: Literal["files"]
    streams: Annotated[dict[str, FileStream], Field(min_length=1, description="What it gives, by name.")]


# With a second kind this becomes `Annotated[FilesSource | …, Field(discriminator="type")]`; an unknown type is told by
# `mistakes` before the models see it.
Source = FilesSource
KINDS = ("files",)


class SilverTable(_Keys):
    """A typed, checked table: what its contract says, made from one stream."""

    from_: Annotated[str, Field(alias="from", description="Where its rows come from: `source.stream`.")]
    contract: Annotated[
        str | None, Field(description="Its ODCS document; by default `contracts/<table>.odcs.yaml`.")
    ] = None
    mode: Annotated[
        Literal["append", "merge"],
        Field(description="`append` keeps every good row, `merge` the latest of each key."),
    ] = "append"
    latest_by: Annotated[
        str | None, Field(description="The column that tells which row of a key is the latest; then landing order.")
    ] = None
    refine: Annotated[
        str | None, Field(description="A Python file with `refine(frame, …)`, for what a contract cannot say.")
    ] = None
    with_: Annotated[
        dict[str, Literal["current"]],
        Field(alias="with", description="Silver tables that the refine function looks things up in, as they are now."),
    ] = {}


class Gold(_Keys):
    """A dbt project over silver."""

    dbt: Annotated[str, Field(min_length=1, description="The folder with `dbt_project.yml`.")]
    command: Annotated[
        str | None,
        Field(description="The dbt executable; by default the one beside the running Python, else the one on PATH."),
    ] = None


class Target(_Keys):
    """A place to run."""

    default: Annotated[bool, Field(description="Used where no target is named; at most one.")] = False
    lake: Annotated[str, Field(min_length=1, description="Where tables rest: a folder.")] = "lake"
    memory: Annotated[
        str, Field(pattern=rf"{MEMORY}|\$\{{", description="How much the engine may take, such as `2GB` or `512MiB`.")
    ] = "2GB"
    threads: Annotated[int | None, Field(ge=1, description="By default as many as the machine has.")] = None
    spill: Annotated[
        str | None, Field(min_length=1, description="A folder for what does not fit; by default beside the lake.")
    ] = None


class ProjectFile(_Keys):
    """Everything that catchment.yaml may say."""

    name: Annotated[str, Field(description="Lower case, digits and underscores; gold's file is named after it.")]
    sources: Annotated[dict[str, Source], Field(description="Where rows come from, by name.")] = {}
    silver: Annotated[dict[str, SilverTable], Field(description="Silver tables, by name.")] = {}
    gold: Annotated[Gold | None, Field(description="Gold, where there is any.")] = None
    targets: Annotated[
        dict[str, Target], Field(min_length=1, description="Places to run, by name; by default one, `local`.")
    ] = {"local": Target(default=True)}


@dataclass(frozen=True)
class Project:
    """A project without a mistake. Values from outside stay references in it: see `catchment.settings`."""

    name: str
    folder: Path
    sources: Mapping[str, FilesSource]
    silver: Mapping[str, SilverTable]
    gold: Gold | None
    targets: Mapping[str, Target]
    contracts: Mapping[str, Contract]  # by silver table
    warnings: tuple[Problem, ...] = ()

    def target(self, name: str | None) -> tuple[str, Target]:
        """The target of that name, or the default one; raises ConfigError where there is none."""
        if name is None:
            chosen = [known for known, target in self.targets.items() if target.default]
            return next((known, self.targets[known]) for known in chosen or self.targets)
        if name not in self.targets:
            cure = did_you_mean(name, self.targets) or f"there are {', '.join(self.targets)}"
            message = f"no target `{name}`"
            raise ConfigError(message, hint=cure)
        return name, self.targets[name]

    def feeds(self) -> tuple[Feed, ...]:
        """Every stream in the order of the file."""
        names = [f"{source}.{stream}" for source, found in self.sources.items() for stream in found.streams]
        return tuple(Feed(name, bronze_table(name)) for name in names)


def load_project(folder: Path) -> Project:
    """The project in `folder`.

    Raises ProjectProblems with every error of catchment.yaml and of the contracts it names, and ConfigError where there
    is no project. What deserves a warning is in `Project.warnings`.
    """
    project, problems = read_project(folder)
    errors = [problem for problem in problems if problem.severity == "error"]
    if project is None or errors:
        raise ProjectProblems(errors)
    return project


def read_project(folder: Path) -> tuple[Project | None, list[Problem]]:
    """The project, or None after an error; and every problem, warnings too, by file and line."""
    from catchment.mistakes import read

    document, contracts, problems = read(folder)
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
    schema = ProjectFile.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_untitled(schema), "title": FILE}


def _untitled(schema: Any) -> Any:
    """Titles that pydantic makes of names say nothing; a property named `title` would be a mapping and stays."""
    if isinstance(schema, dict):
        return {k: _untitled(v) for k, v in schema.items() if k != "title" or not isinstance(v, str)}
    return [_untitled(item) for item in schema] if isinstance(schema, list) else schema
