"""Where the served gold stands: its models with rows, layer, and whether what they are made of is still fresh."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any

from catchment.answers import ModelStatus
from catchment.gold.sources import SILVER, silver_behind

if TYPE_CHECKING:
    from catchment.gold.artifacts import Artifacts
    from catchment.gold.compiled import Manifest
    from catchment.gold.dbt import Dbt
    from catchment.gold.layers.models import Layers


def freshness(served: Mapping[str, Any], now: datetime) -> dict[str, bool]:
    """Of each silver table that promised how old its rows get, as the served gold holds it: does it hold `now`?"""
    found: dict[str, bool] = {}
    for one in served.get("freshness", ()):
        newest = None if one["newest"] is None else datetime.fromisoformat(one["newest"])
        held = newest is not None and (now - newest).total_seconds() <= one["within_s"]
        found[one["table"]] = found.get(one["table"], True) and held
    return found


def models(found: Artifacts, dbt: Dbt, layers: Layers, served: Mapping[str, Any], now: datetime) -> list[ModelStatus]:
    """Every model, seed and snapshot that the served gold holds, by name."""
    fresh = freshness(served, now)
    reads = _silver(found.manifest, dbt, served)
    told = []
    for key, node in found.manifest.nodes.items():
        if node.name not in served["models"]:
            continue  # ephemeral: nobody can look at it
        made = found.made.get(node.name)
        own = node.kind == "model" and node.package == found.manifest.project
        promised = [fresh[table] for table in reads[key] if table in fresh]
        told.append(
            ModelStatus(
                table=f"gold.{node.name}",
                layer=layers.of(node.folders) if own else None,
                materialized=node.materialized,
                rows=None if made is None else made.rows,
                seconds=None if made is None else round(made.seconds, 3),
                is_fresh=all(promised) if promised else None,
            )
        )
    return sorted(told, key=lambda one: one.table)


def _silver(manifest: Manifest, dbt: Dbt, served: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """The silver tables that each model is made of, directly or through others, by dbt's id."""
    names = [name.partition(".")[2] for name in served.get("pins", {})]
    found: dict[str, frozenset[str]] = {}
    for key, source in manifest.sources.items():
        name = silver_behind(dbt, source.source, source.name, source.relation[2], names)
        found[key] = frozenset() if name is None else frozenset({f"{SILVER}.{name}"})
    graph = {key: (*node.refs, *node.sources) for key, node in manifest.nodes.items()}
    for key in TopologicalSorter(graph).static_order():
        found.setdefault(key, frozenset().union(*(found.get(one, frozenset()) for one in graph.get(key, ()))))
    return found
