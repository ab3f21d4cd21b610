"""A model as the layer rules see it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from catchment.gold.compiled import Manifest, Node

Layer = Literal["stg", "std", "cur"]
LAYERS: tuple[Layer, ...] = ("stg", "std", "cur")
Relation = tuple[str | None, str, str]


@dataclass(frozen=True)
class Read:
    """Something that a model reads with ref() or source()."""

    name: str
    kind: Literal["source", "model", "seed", "snapshot"]
    relation: Relation
    layer: Layer | None = None


@dataclass(frozen=True)
class Model:
    """`raw` is the file as the user wrote it, `sql` as dbt compiled it; None where there is none (Python).

    `file` is relative to the project's folder. `relation` is the model's own table, as an incremental model reads it.
    """

    name: str
    layer: Layer | None
    file: str
    raw: str
    sql: str | None
    dialect: str
    materialized: str
    reads: Sequence[Read] = ()
    relation: Relation = (None, "", "")
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """A rule that a model breaks; `line` is the user's, counted from 1."""

    rule: str
    model: str
    file: str
    line: int
    message: str
    cure: str
    severity: Literal["error", "warning"] = "error"


@dataclass(frozen=True)
class Layers:
    """Which folders are which layer: for each, paths under a model path such as `marts` or `finance/marts`."""

    folders: Mapping[Layer, Sequence[str]] = field(default_factory=lambda: {layer: (layer,) for layer in LAYERS})

    def of(self, folders: Sequence[str]) -> Layer | None:
        """The layer of a model in these folders: of several that fit the one that lies deepest, then the longest."""
        fitting: list[tuple[int, int, Layer]] = []
        for layer, paths in self.folders.items():
            for parts in (tuple(part for part in path.split("/") if part) for path in paths):
                ends = [
                    at + len(parts)
                    for at in range(len(folders) - len(parts) + 1)
                    if parts and tuple(folders[at : at + len(parts)]) == parts
                ]
                fitting += [(end, len(parts), layer) for end in ends]
        return max(fitting, key=lambda found: found[:2])[2] if fitting else None


def models_of(manifest: Manifest, layers: Layers, folder: str = "") -> list[Model]:
    """The models of the project itself, not of packages; `folder` is where the dbt project lies in the project."""
    own = (node for node in manifest.nodes.values() if node.kind == "model" and node.package == manifest.project)
    return [_model(node, manifest, layers, folder) for node in own]


def _model(node: Node, manifest: Manifest, layers: Layers, folder: str) -> Model:
    return Model(
        name=node.name,
        layer=layers.of(node.folders),
        file=posixpath.normpath(posixpath.join(folder, node.file)),
        raw=node.raw,
        sql=node.sql,
        dialect=manifest.dialect,
        materialized=node.materialized,
        reads=(*_refs(node.refs, manifest, layers), *_sources(node.sources, manifest)),
        relation=node.relation,
        config=node.config,
    )


def _refs(refs: Iterable[str], manifest: Manifest, layers: Layers) -> list[Read]:
    nodes = [manifest.nodes[one] for one in refs if one in manifest.nodes]
    kinds: dict[str, Literal["model", "seed", "snapshot"]] = {"seed": "seed", "snapshot": "snapshot"}
    return [
        Read(
            node.name,
            kinds.get(node.kind, "model"),
            node.relation,
            layers.of(node.folders) if node.kind == "model" and node.package == manifest.project else None,
        )
        for node in nodes
    ]


def _sources(sources: Iterable[str], manifest: Manifest) -> list[Read]:
    tables = [manifest.sources[one] for one in sources if one in manifest.sources]
    return [Read(f"{table.source}.{table.name}", "source", table.relation) for table in tables]
