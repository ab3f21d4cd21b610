"""What catchment.yaml may say: its keys, types and defaults.

The models below are the only place where these stand: they validate, and the JSON Schema and the reference page are
made from them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

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
