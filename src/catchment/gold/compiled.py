"""The dbt project as SQL: compiled by dbt itself over empty tables, so that no row is read and nothing is built.

    <dbt.state>/compiled/manifest.json      what dbt wrote, the last time
    <dbt.state>/compiled/of                 what it was compiled from: nothing has changed, dbt is not started
    <dbt.state>/compiled/{target,logs}/     dbt's own, the parse cache too
    <dbt.state>/compiled/build              where the empty tables lie, as long as dbt runs

Every model is compiled as for its first build: `is_incremental()` is false, and what Jinja asks the database for is
answered by empty tables.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catchment.gold import dbt as dbt_process
from catchment.gold.sources import sources
from catchment.recall import digest
from catchment.records import Scan

if TYPE_CHECKING:
    import pyarrow as pa

    from catchment.gold.dbt import Dbt
    from catchment.interfaces import Warehouse
    from catchment.naming import TableName


@dataclass(frozen=True)
class Node:
    """A model, seed or snapshot. `relation` is (database, schema, table) as it stands in compiled SQL.

    `file` is relative to the dbt project (to the package's folder where `package` is not the project's own), `folders`
    are those under the model path: ("marts", "finance"). `sql` is None where dbt compiles none: seeds, Python models.
    `refs` and `sources` are ids of what it reads directly; an ephemeral model among them is put into `sql` as a CTE
    called `__dbt__cte__<name>`. `columns` are those described in YAML, with their descriptions.
    """

    id: str
    name: str
    kind: str  # model, seed, snapshot
    package: str
    file: str
    folders: tuple[str, ...]
    raw: str
    sql: str | None
    materialized: str
    relation: tuple[str | None, str, str]
    refs: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    language: str = "sql"
    description: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SourceFreshness:
    """What dbt calls freshness: the newest `at` (SQL, None where it is not said) of the rows that fulfil `where` is at
    most so many seconds old, by the stricter of `warn_after` and `error_after`."""

    seconds: int
    at: str | None
    where: str | None = None


@dataclass(frozen=True)
class SourceTable:
    """A table that models read with `source(source, name)`; `location` is what dbt writes into SQL instead of the
    relation, where its rows lie in files (dbt-duckdb's `external_location`)."""

    id: str
    source: str
    name: str
    relation: tuple[str | None, str, str]
    file: str = ""
    location: str | None = None
    freshness: SourceFreshness | None = None


@dataclass(frozen=True)
class Exposure:
    """Who uses gold: a dashboard, a notebook, an application; `reads` are ids of models and sources."""

    id: str
    name: str
    kind: str
    reads: tuple[str, ...]
    file: str = ""
    label: str = ""
    owner: str = ""
    url: str = ""
    description: str = ""


@dataclass(frozen=True)
class Manifest:
    """A dbt project as dbt understood it. `dialect` is sqlglot's word for the SQL in it; all by id."""

    project: str
    dialect: str
    nodes: Mapping[str, Node]
    sources: Mapping[str, SourceTable]
    exposures: Mapping[str, Exposure]


# Tests and analyses are not asked about.
_SELECTED = "--select resource_type:model resource_type:snapshot"

_PERIODS = {"minute": 60, "hour": 3600, "day": 86400}

# Adapters whose SQL sqlglot knows under a name of its own; the others are called as the adapter is.
_DIALECTS = {"sqlserver": "tsql", "postgresql": "postgres"}


def compiled(dbt: Dbt, warehouse: Warehouse, tables: Mapping[TableName, pa.Schema]) -> Manifest:
    """The project's SQL over empty `tables`; dbt is started only where the project or the tables have changed.

    `warehouse` is a scratch one, in which a build is made and discarded. Takes three seconds where dbt is started, some
    milliseconds else; a second process waits for the first. Raises ConfigError where dbt cannot compile the project,
    MissingExtra where there is no dbt.
    """
    columns = [f"{name} {field.name} {field.type}" for name in sorted(tables) for field in tables[name]]
    said = [f"{name} {table}" for name, table in sorted(dbt.sources.items())]
    place = str(dbt.folder.absolute())
    of = digest(dbt_process.fingerprint(dbt.folder), dbt.command or "", place, *columns, "", *said)
    state = dbt.state / "compiled"
    manifest = state / "manifest.json"
    with _alone(state):
        if not (manifest.exists() and (state / "of").exists() and (state / "of").read_text() == of):
            (state / "of").unlink(missing_ok=True)
            _compile(dbt, warehouse, tables, state)
            (state / "target" / "manifest.json").replace(manifest)
            (state / "of").write_text(of)
        return read_manifest(manifest)


def read_manifest(path: Path) -> Manifest:
    """What dbt left: after a build or a compilation every model has its SQL in it."""
    return manifest_of(json.loads(path.read_bytes()))


def manifest_of(found: Mapping[str, Any]) -> Manifest:
    """The content of a manifest.json."""
    kinds = {"model", "seed", "snapshot"}
    nodes = {key: _node(key, node) for key, node in found["nodes"].items() if node["resource_type"] in kinds}
    adapter = found["metadata"].get("adapter_type") or "duckdb"
    return Manifest(
        project=found["metadata"].get("project_name") or "",
        dialect=_DIALECTS.get(adapter, adapter),
        nodes=nodes,
        sources={key: _source(key, source) for key, source in found["sources"].items()},
        exposures={key: _exposure(key, exposure) for key, exposure in found.get("exposures", {}).items()},
    )


def called(node: Mapping[str, Any]) -> str:
    """The name a model is referred to by; versions of one model have different aliases."""
    return str(node["name"] if node.get("version") is None else node["alias"])


def _node(key: str, node: Mapping[str, Any]) -> Node:
    reads = node.get("depends_on", {}).get("nodes", [])
    return Node(
        id=key,
        name=called(node),
        kind=node["resource_type"],
        package=node["package_name"],
        file=node["original_file_path"],
        folders=tuple(node["fqn"][1:-1]),
        raw=node.get("raw_code") or "",
        sql=(node.get("compiled_code") or None) if node.get("language") == "sql" else None,
        materialized=node["config"].get("materialized") or "",
        relation=_relation(node, "alias"),
        refs=tuple(one for one in reads if not one.startswith("source.")),
        sources=tuple(one for one in reads if one.startswith("source.")),
        language=node.get("language") or "sql",
        description=node.get("description") or "",
        columns={name: column.get("description") or "" for name, column in node.get("columns", {}).items()},
        tags=tuple(node.get("tags", ())),
        config=node["config"],
    )


def _source(key: str, source: Mapping[str, Any]) -> SourceTable:
    places = (source.get("config", {}), source.get("meta", {}), source.get("source_meta", {}))
    location = next((place["external_location"] for place in places if place.get("external_location")), None)
    if location is not None:
        with contextlib.suppress(KeyError, IndexError, ValueError):
            location = str(location).format(**source)
    return SourceTable(
        id=key,
        source=source["source_name"],
        name=source["name"],
        relation=_relation(source, "identifier"),
        file=source["original_file_path"],
        location=location,
        freshness=_freshness(source),
    )


def _freshness(source: Mapping[str, Any]) -> SourceFreshness | None:
    said = source.get("freshness") or {}
    spans = [said.get(key) or {} for key in ("warn_after", "error_after")]
    found = [span["count"] * _PERIODS[span["period"]] for span in spans if span.get("count") and span.get("period")]
    return SourceFreshness(min(found), source.get("loaded_at_field"), said.get("filter")) if found else None


def _relation(node: Mapping[str, Any], name: str) -> tuple[str | None, str, str]:
    return node.get("database"), node["schema"], node[name]


def _exposure(key: str, exposure: Mapping[str, Any]) -> Exposure:
    return Exposure(
        id=key,
        name=exposure["name"],
        kind=exposure["type"],
        reads=tuple(exposure.get("depends_on", {}).get("nodes", ())),
        file=exposure["original_file_path"],
        label=exposure.get("label") or "",
        owner=exposure.get("owner", {}).get("name") or exposure.get("owner", {}).get("email") or "",
        url=exposure.get("url") or "",
        description=exposure.get("description") or "",
    )


@contextlib.contextmanager
def _alone(state: Path) -> Iterator[None]:
    state.mkdir(parents=True, exist_ok=True)
    with (state / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _compile(dbt: Dbt, warehouse: Warehouse, tables: Mapping[TableName, pa.Schema], state: Path) -> None:
    build = warehouse.build()
    try:
        also = sources(dbt, [name.name for name in tables]).also
        for name, schema in tables.items():
            nothing = Scan(files=[], schema=schema)
            warehouse.load(build, name, nothing, schema.names, also=also.get(name.name, ()))
        link = state.absolute() / "build"  # one lasting name, or dbt parses everything anew
        link.unlink(missing_ok=True)
        link.symlink_to(build.path.parent.absolute(), target_is_directory=True)
        profile, target = dbt_process.profile_name(dbt.folder), dbt_process.TARGET
        output = {profile: {"target": target, "outputs": {target: dict(warehouse.profile(build, link))}}}
        (build.path.parent / "profiles.yml").write_text(json.dumps(output))  # JSON is YAML
        dbt_process.call(dbt, ["compile", *_SELECTED.split()], state=state.absolute(), profiles=link)
    finally:
        warehouse.discard(build)
