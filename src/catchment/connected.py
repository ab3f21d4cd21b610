"""A project on a target, connected: which implementation plays each role, opened when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catchment import naming, registry
from catchment.errors import ConfigError
from catchment.metric import Owner
from catchment.project import Project, memory_bytes
from catchment.reading.declaration import Target
from catchment.reading.durations import seconds
from catchment.reading.kinds.keys import Keys
from catchment.recall import digest
from catchment.settings import has_references, resolve
from catchment.silver.definition import LookedUp, Table

if TYPE_CHECKING:
    from catchment.gold.compiled import Manifest
    from catchment.gold.dbt import Dbt
    from catchment.gold.layers.project import LayerRules
    from catchment.gold.pinned import Pinned
    from catchment.interfaces import Broker, Engine, Lake, LiveStore, Source, Warehouse
    from catchment.lake.delta import DeltaLake
    from catchment.metric import Live
    from catchment.records import Feed
    from catchment.topics.registry import SchemaRegistry

# Run history, caches and locks: nothing here decides what is in a table.
STATE = ".catchment"

# What a source's keys tell us, and not the source.
_OURS = ("type", "streams", "every")

# In the lake's folder, so that they move with it; no layer is called so.
ENVIRONMENTS = "_environments"


def _silent(_: str) -> None:
    """Nobody listens to the named points."""


@dataclass(frozen=True)
class Connected:
    """`project` is as it is on the target; `reached` hears the named points of commits and publications."""

    project: Project
    target_name: str
    target: Target
    reached: Callable[[str], None] = _silent

    @classmethod
    def of(cls, project: Project, target: str | None = None, reached: Callable[[str], None] = _silent) -> Connected:
        """Raises ConfigError for a target that is not there."""
        name, found = project.target(target)
        return cls(project.on(name), name, found, reached)

    def _value(self, text: str, key: str) -> str:
        return self._outside(text, f"targets.{self.target_name}.{key}")

    def _outside(self, text: str, place: str, *, address: bool = False) -> str:
        """The text with its references resolved; raises ConfigError where nothing is left, for a path that is none."""
        value = resolve(text, self.project.folder, place=place, address=address)
        if not value.strip():
            message = f"{place}: {text} is empty"
            raise ConfigError(message, hint="give it a value")
        return value

    @property
    def state(self) -> Path:
        return self.project.folder / STATE

    @cached_property
    def memory(self) -> int:
        """What the engines of this target may take together, in bytes."""
        return memory_bytes(self._value(self.target.memory, "memory"))

    @property
    def environment(self) -> str | None:
        """The environment in the target, None outside of any."""
        return self.target_name.partition("@")[2] or None

    @cached_property
    def lake(self) -> Lake:
        """Where steps write; an environment has its own silver over the target's bronze."""
        if self.environment is None:
            return self._lake(None)
        from catchment.lake.layered import LayeredLake

        return LayeredLake(self._lake(self.environment), self._lake(None), self.environment)

    @property
    def reads(self) -> Lake:
        """Where tables are looked things up in, and gold and people read: also what an environment has not made."""
        from catchment.lake.layered import LayeredLake

        return self.lake.falling_back() if isinstance(self.lake, LayeredLake) else self.lake

    def environments(self) -> list[Connected]:
        """Every environment in the target that has made a table."""
        base = self.target_name.partition("@")[0]
        made = sorted((self._lake_folder() / ENVIRONMENTS).glob("*/silver"))
        return [Connected.of(self.project, f"{base}@{folder.parent.name}", self.reached) for folder in made]

    def _lake_folder(self) -> Path:
        folder = self._value(self.target.lake, "lake")
        if "://" in folder:
            message = f"target `{self.target_name}`: lake {folder} is not a folder"
            raise ConfigError(message, hint="object stores are not supported yet: name a folder on this machine")
        return self.project.folder / folder

    def _lake(self, environment: str | None) -> DeltaLake:
        root = self._lake_folder()
        if environment is not None:
            root = root / ENVIRONMENTS / environment
        lake: DeltaLake = registry.implementation("lakes", "delta")(root, reached=self.reached)
        return lake

    def engine(self, share: int = 1) -> Engine[Any]:
        """An engine with its part of the target's memory; the caller closes it."""
        spill = self.state / "spill" if self.target.spill is None else Path(self._value(self.target.spill, "spill"))
        engine: Engine[Any] = registry.implementation("engines", "duckdb")(
            memory_bytes=self.memory // share, threads=self.target.threads, spill=self.project.folder / spill
        )
        return engine

    def source(self, name: str, only: str | None = None) -> Source:
        """A source with its streams, or with the one that is asked for and those it needs; references are resolved."""
        settings = self.project.sources[name]
        kind = registry.implementation("sources", settings.type)
        wanted = list(settings.streams) if only is None else [only]
        for stream in wanted:
            wanted += [beside for beside in settings.streams[stream].beside if beside not in wanted]
        chosen = {stream: settings.streams[stream] for stream in wanted}
        spared = settings.spared(wanted).union(_OURS)
        told = {key: getattr(settings, key) for key in type(settings).model_fields if key not in spared}
        source: Source = kind(
            name=name,
            streams=self._resolved(chosen, f"sources.{name}.streams"),
            folder=self.project.folder,
            **self._resolved(told, f"sources.{name}"),
            **({"broker": self.broker} if settings.reads_topics else {}),
            **({"registry": self.registry} if settings.reads_schemas else {}),
        )
        return source

    def feeding(self, feed: Feed) -> Source:
        """The source that brings a feed, with no more streams than that takes."""
        name, _, stream = feed.stream.partition(".")
        return self.source(name, stream or None)

    def _resolved(self, value: Any, place: str) -> Any:
        """A value of catchment.yaml with every reference in it resolved; what is frozen is copied."""
        if isinstance(value, str):
            return self._outside(value, place) if has_references(value) else value
        if isinstance(value, Mapping):
            return {key: self._resolved(item, f"{place}.{key}") for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._resolved(item, place) for item in value]
        if isinstance(value, Keys):
            told = {key: getattr(value, key) for key in type(value).model_fields if key not in value.late}
            shown = {
                key: self._outside(told.pop(key), f"{place}.{key}", address=True)
                for key in value.addresses
                if isinstance(told.get(key), str) and has_references(told[key])
            }
            return value.model_copy(update={**self._resolved(told, place), **shown})
        return value

    def mark(self, feed: str) -> str | None:
        """Changes with the stream `source.stream`: with what lies outside, and with what the project says of it.

        Nothing is read for it. None for a kind of source, or a place, that cannot tell.
        """
        source, _, stream = feed.partition(".")
        looked: Callable[[str, Path], str | None] | None = registry.if_any("marks", self.project.sources[source].type)
        if looked is None:
            return None
        settings = self.project.sources[source].streams[stream]
        path = self._outside(getattr(settings, "path", ""), f"sources.{source}.streams.{stream}.path")
        found = looked(path, self.project.folder)
        return None if found is None else digest(path, settings.model_dump_json(), found)

    @property
    def keeps_topics(self) -> bool:
        """Whether the messages of this target's topics are forgotten by us, and by no server."""
        return isinstance(self.target.broker, str)

    @cached_property
    def broker(self) -> Broker:
        """Who keeps this target's topics."""
        declared = self.target.broker
        if not isinstance(declared, str):
            told = self._resolved(declared, f"targets.{self.target_name}.broker")
            kafka: Broker = registry.implementation("brokers", told.type)(told.servers, told.settings)
            return kafka
        folder = self.project.folder / self._value(self.target.topics, "topics")
        embedded: Broker = registry.implementation("brokers", declared)(folder)
        return embedded

    @cached_property
    def registry(self) -> SchemaRegistry | None:
        """Who knows the schemas of this target's messages, where it names one."""
        declared = self.target.registry
        if declared is None:
            return None
        told = self._resolved(declared, f"targets.{self.target_name}.registry")
        found: SchemaRegistry = registry.implementation("registries", "registry")(
            told.url, told.username, told.password, told.token
        )
        return found

    def silver(self, name: str) -> Table:
        """A silver table as the project declares it."""
        declared = self.project.silver[name]
        contracts = self.project.contracts
        function = None
        if declared.refine is not None:
            from catchment.silver.refine import RefineFunction

            function = RefineFunction(file=declared.refine, path=self.project.folder / declared.refine)
        return Table(
            name=name,
            streams=declared.streams,
            contract=contracts[name],
            mode=declared.mode,
            latest_by=declared.latest_by,
            deleted_when=declared.deleted_when,
            slice=tuple(declared.slice or ()),
            event_time=declared.event_time,
            lateness_s=None if declared.lateness is None else seconds(declared.lateness),
            full=all(self.project.is_full(stream) for stream in declared.streams),
            logs=frozenset(found for found in declared.streams if self.project.sources[found.partition(".")[0]].is_log),
            changes=any(map(self.project.brings_changes, declared.streams)),
            shards={stream: len(self.project.feeds_of(stream)) for stream in declared.streams},
            wait_s=seconds(declared.wait) or 0,
            function=function,
            lookups={
                lookup: LookedUp(
                    contract=contracts[lookup],
                    as_of=None if how == "current" else how.as_of,
                    versions=self.project.silver[lookup].mode == "history",
                )
                for lookup, how in declared.with_.items()
            },
        )

    @cached_property
    def warehouse(self) -> Warehouse:
        warehouse: Warehouse = registry.implementation("warehouses", "duckdb")(
            self.project.folder / "warehouse" / self.target_name,
            self.project.name,
            memory_limit=f"{self.memory}B",
            threads=self.target.threads,
            reached=self.reached,
        )
        return warehouse

    @cached_property
    def live(self) -> Live:
        """The live figures of the project, and what of silver they need."""
        from catchment.live.metrics import live_of

        declared = self.project.live
        return live_of(declared, {keys.from_: self.silver(keys.from_) for keys in declared.values()})

    @property
    def live_type(self) -> str:
        """The type of the store in which the target keeps live figures."""
        declared = self.target.live
        if declared is None:
            return "duckdb"
        return declared if isinstance(declared, str) else declared.type

    @cached_property
    def live_store(self) -> LiveStore:
        """Where the target keeps live figures; an environment has its own."""
        declared = self.target.live
        place, environment = f"targets.{self.target_name}.live", self.environment
        owner = Owner(self.project.name, self.target_name)
        if declared is None or isinstance(declared, str):
            folder = self.project.folder / "warehouse" / self.target_name / "live"
            limits = {"memory_limit": f"{self.memory}B", "threads": self.target.threads}
            local: LiveStore = registry.implementation("stores", self.live_type)(
                folder, owner=owner, reached=self.reached, **limits
            )
            return local
        told = self._resolved(declared, place)
        suffix = "" if environment is None else f"_{environment}"
        store: LiveStore = registry.implementation("stores", told.type)(
            told.url, suffix=suffix, owner=owner, reached=self.reached
        )
        return store

    @property
    def dbt(self) -> Dbt:
        from catchment.gold.dbt import Dbt

        gold = self.project.gold
        assert gold is not None
        command = None if gold.command is None else self._outside(gold.command, "gold.command")
        state = self.state / "dbt" / self.target_name
        return Dbt(self.project.folder / gold.dbt, state, command=command, sources=gold.sources)

    @property
    def layer_rules(self) -> LayerRules | None:
        """What gold's models are held to; None where there is no gold."""
        from catchment.gold.layers.models import Layers
        from catchment.gold.layers.project import LayerRules
        from catchment.reading.declaration import GoldLayers

        gold = self.project.gold
        if gold is None:
            return None
        return LayerRules(gold.dbt, Layers((gold.layers or GoldLayers()).folders), gold.lint)

    def compiled(self) -> Manifest:
        """Gold's models as SQL, over tables as the contracts promise them; see `gold.compiled`. There must be gold."""
        from catchment.gold.compiled import compiled
        from catchment.silver.rows import silver_schema

        tables = {naming.silver_table(name): silver_schema(self.silver(name)) for name in self.project.silver}
        scratch = registry.implementation("warehouses", "duckdb")
        return compiled(self.dbt, scratch(self.dbt.state / "compiled" / "scratch", self.project.name), tables)

    def gold_reads(self) -> frozenset[str] | None:
        """Silver tables that gold's models read; None where there is no gold."""
        if self.project.gold is None:
            return None
        from catchment.gold.sources import sources

        return sources(self.dbt, self.project.silver).tables

    def pinned(self) -> dict[naming.TableName, Pinned]:
        """The tables that gold reads, each at its newest version: facts first, look-ups last, so that a fact never
        names a row of a look-up that gold has not. One whose streams have brought nothing is there without rows."""
        from catchment.gold.pinned import Pinned

        reads = self.gold_reads() or frozenset()
        looked_up = {name for table in self.project.silver.values() for name in table.with_}
        ordered = sorted((name for name in self.project.silver if name in reads), key=lambda name: name in looked_up)
        found = {}
        for name in ordered:
            table = self.reads.open(naming.silver_table(name))
            if table is not None:
                scan = table.scan()
                columns, contract = tuple(scan.schema.names), self.project.contracts.get(name)
                found[naming.silver_table(name)] = Pinned(scan, table.pin, columns, contract)
            elif not self._has_landed(name):
                found[naming.silver_table(name)] = self._not_made(name)
        return found

    def _has_landed(self, silver: str) -> bool:
        """Whether bronze has a row that the silver table, which is not there, would be made of."""
        streams = self.project.silver[silver].streams
        bronze = {feed.table for stream in streams for feed in self.project.feeds_of(stream)}
        tables = [self.reads.open(name) for name in bronze]
        return any(table is not None and table.scan().rows for table in tables)

    def _not_made(self, silver: str) -> Pinned:
        from catchment.gold.pinned import Pinned
        from catchment.records import Pin, Scan
        from catchment.silver.rows import silver_schema

        table = self.silver(silver)
        schema = silver_schema(table)
        nothing = Scan(files=[], schema=schema)
        return Pinned(nothing, Pin(version=0, generation=0), tuple(schema.names), table.contract, is_made=False)
