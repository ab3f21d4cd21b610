"""Name -> implementation, loaded on use; open to packages of others through entry points.

A plug-in names itself in its own pyproject: `[project.entry-points."catchment.sources"] mine = "my_package:MySource"`.
"""

from __future__ import annotations

import importlib
from typing import Any, Literal

from catchment.errors import ConfigError, MissingExtra
from catchment.naming import did_you_mean

Role = Literal["sources", "marks", "lakes", "engines", "warehouses"]

_OURS: dict[tuple[Role, str], str] = {
    ("sources", "files"): "catchment.sources.files:FilesSource",
    ("marks", "files"): "catchment.sources.listing:mark",
    ("sources", "delta"): "catchment.sources.delta:DeltaSource",
    ("marks", "delta"): "catchment.sources.listing:log_mark",
    ("lakes", "delta"): "catchment.lake.delta:DeltaLake",
    ("engines", "duckdb"): "catchment.engines.duckdb:DuckDBEngine",
    ("warehouses", "duckdb"): "catchment.warehouses.duckdb:DuckDBWarehouse",
}


def implementation(role: Role, name: str) -> Any:
    """The class that plays `role` under `name`. Raises ConfigError for an unknown name, MissingExtra for no package."""
    place = _OURS.get((role, name)) or _theirs(role).get(name)
    if place is None:
        known = [ours for kind, ours in _OURS if kind == role] + list(_theirs(role))
        message = f"there is nothing called `{name}` among {role}"
        raise ConfigError(message, hint=did_you_mean(name, known) or f"there are {', '.join(known)}")
    module, _, attribute = place.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        message = f"cannot use {name} from {role}: package `{error.name}` is not installed"
        raise MissingExtra(message, hint=f"pip install 'catchment[{name}]'") from error


def if_any(role: Role, name: str) -> Any | None:
    """What plays `role` under `name`, or None: for roles that not everything has to play."""
    return implementation(role, name) if (role, name) in _OURS else None


def _theirs(role: Role) -> dict[str, str]:
    from importlib.metadata import entry_points

    return {entry.name: entry.value for entry in entry_points(group=f"catchment.{role}")}
