"""What catchment.yaml may say: its keys, types and defaults.

The models below and those of `kinds`, one file for each type of source, are the only place where these stand: they
validate, and the JSON Schema and the reference page are made from them.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Union

from pydantic import Field, SerializeAsAny, create_model

from catchment.reading.kinds import KINDS
from catchment.reading.kinds.keys import Keys, SourceKeys

FILE = "catchment.yaml"
MEMORY = r"^\s*[0-9]+(\.[0-9]+)?\s*([KMGT]i?B)\s*$"


class AsOf(Keys):
    """A look-up in a table of mode history: the row that was valid at a time of the first frame."""

    as_of: Annotated[str, Field(min_length=1, description="The timestamp column of the first frame.")]


class SilverTable(Keys):
    """A typed, checked table: what its contract says, made from one stream or several."""

    planned: ClassVar[frozenset[str]] = frozenset({"publish", "keys", "window"})

    from_: Annotated[
        str | list[str],
        Field(alias="from", description="Where its rows come from: `source.stream`, or a list of streams."),
    ]
    contract: Annotated[
        str | None, Field(description="Its ODCS document; by default `contracts/<table>.odcs.yaml`.")
    ] = None
    mode: Annotated[
        Literal["append", "merge", "history", "replace", "delete_insert", "window"],
        Field(
            description="`append` keeps every good row, `merge` the latest of each key, `history` every version of a"
            " key with its interval, `replace` the newest whole arrival, `delete_insert` the newest arrival of each"
            " slice, `window` the first row of a key within `lateness`."
        ),
    ] = "append"
    latest_by: Annotated[
        str | None,
        Field(
            description="The column that tells which row of a key is the latest (`merge`), or since when a version is"
            " valid (`history`); then landing order."
        ),
    ] = None
    deleted_when: Annotated[
        str | None,
        Field(description="`merge`, `history`: an SQL condition on a row that says its key was deleted."),
    ] = None
    slice: Annotated[
        list[str] | None,
        Field(min_length=1, description="`delete_insert`: the columns of which an arrival brings all rows anew."),
    ] = None
    event_time: Annotated[str | None, Field(description="`window`: the timestamp column that says when.")] = None
    lateness: Annotated[
        str | None,
        Field(
            description="`window`: rows of a key at most so far apart are one, such as `2 days`. `merge`: how long a"
            " deleted key is remembered; by default for ever."
        ),
    ] = None
    wait: Annotated[str, Field(description="How long a row waits for the row it refers to before it is rejected.")] = (
        "24 hours"
    )
    refine: Annotated[
        str | None, Field(description="A Python file with `refine(frame, …)`, for what a contract cannot say.")
    ] = None
    with_: Annotated[
        dict[str, Literal["current"] | AsOf],
        Field(
            alias="with",
            description="Silver tables that the refine function looks things up in: `current`, or `{as_of: column}` of"
            " a table of mode history.",
        ),
    ] = {}

    @property
    def streams(self) -> tuple[str, ...]:
        """`from` as a list."""
        return (self.from_,) if isinstance(self.from_, str) else tuple(self.from_)


class GoldLayers(Keys):
    """Which folders of the dbt project are which layer; a model's layer says what it may do."""

    planned: ClassVar[frozenset[str]] = frozenset({"raw"})

    stg: Annotated[
        str | list[str],
        Field(description="Folders below a model path whose models read sources, rename, cast and handle nulls."),
    ] = "stg"
    std: Annotated[str | list[str], Field(description="Folders whose models join and derive.")] = "std"
    cur: Annotated[str | list[str], Field(description="Folders whose models aggregate, and are what others read.")] = (
        "cur"
    )

    @property
    def folders(self) -> dict[Literal["stg", "std", "cur"], tuple[str, ...]]:
        """Each as a list."""
        named = {"stg": self.stg, "std": self.std, "cur": self.cur}
        lists = {layer: (paths,) if isinstance(paths, str) else tuple(paths) for layer, paths in named.items()}
        return {"stg": lists["stg"], "std": lists["std"], "cur": lists["cur"]}


class Gold(Keys):
    """A dbt project over silver."""

    dbt: Annotated[str, Field(min_length=1, description="The folder with `dbt_project.yml`.")]
    command: Annotated[
        str | None,
        Field(description="The dbt executable; by default the one beside the running Python, else the one on PATH."),
    ] = None
    sources: Annotated[
        dict[str, str],
        Field(
            description="Silver tables by the dbt source that means them (`raw.orders: silver.orders`), where the name"
            " alone does not say it."
        ),
    ] = {}
    layers: Annotated[
        GoldLayers | None,
        Field(description="Which folders of the dbt project are which layer; by default `stg`, `std` and `cur`."),
    ] = None
    lint: Annotated[
        Literal["error", "warn"],
        Field(description="What a model that breaks a rule of its layer does: `error` stops, `warn` tells."),
    ] = "error"


class Target(Keys):
    """A place to run."""

    planned: ClassVar[frozenset[str]] = frozenset({"engine", "warehouse", "live", "format", "catalog"})

    default: Annotated[bool, Field(description="Used where no target is named; at most one.")] = False
    lake: Annotated[str, Field(min_length=1, description="Where tables rest: a folder.")] = "lake"
    broker: Annotated[
        Literal["embedded"], Field(description="Who keeps topics: `embedded`, in files on this machine, no server.")
    ] = "embedded"
    topics: Annotated[
        str, Field(min_length=1, description="`embedded`: the folder where topics are kept, on a disk of this machine.")
    ] = "topics"
    memory: Annotated[
        str, Field(pattern=rf"{MEMORY}|\$\{{", description="How much the engine may take, such as `2GB` or `512MiB`.")
    ] = "2GB"
    threads: Annotated[int | None, Field(ge=1, description="By default as many as the machine has.")] = None
    spill: Annotated[
        str | None, Field(min_length=1, description="A folder for what does not fit; by default beside the lake.")
    ] = None


class ProjectFile(Keys):
    """Everything that catchment.yaml may say."""

    planned: ClassVar[frozenset[str]] = frozenset({"live", "schedule", "alerts", "brokers"})

    name: Annotated[str, Field(description="Lower case, digits and underscores; gold's file is named after it.")]
    sources: Annotated[dict[str, SerializeAsAny[SourceKeys]], Field(description="Where rows come from, by name.")] = {}
    silver: Annotated[dict[str, SilverTable], Field(description="Silver tables, by name.")] = {}
    gold: Annotated[Gold | None, Field(description="Gold, where there is any.")] = None
    targets: Annotated[
        dict[str, Target], Field(min_length=1, description="Places to run, by name; by default one, `local`.")
    ] = {"local": Target(default=True)}


def with_every_source() -> type[ProjectFile]:
    """The same with the keys of every type of source in it, for the JSON Schema; `shape` looks at each by its type."""
    source: Any = Annotated[Union[tuple(KINDS.values())], Field(discriminator="type")]  # noqa: UP007
    sources: Any = (dict[str, source], ProjectFile.model_fields["sources"])
    whole: type[ProjectFile] = create_model(
        "ProjectFile", __base__=ProjectFile, __doc__=ProjectFile.__doc__, sources=sources
    )
    return whole
