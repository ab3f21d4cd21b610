"""What is different in the dbt project from the one that the served gold was built of: dbt's own `state:modified`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catchment.errors import ConfigError
from catchment.gold import dbt as dbt_process
from catchment.gold.artifacts import kept
from catchment.gold.dbt import Dbt


@dataclass(frozen=True)
class Modified:
    """A model, seed, snapshot or test that is new or was edited, by itself or by a macro that it calls."""

    kind: str
    name: str
    file: str


def modified(dbt: Dbt, served: Mapping[str, Any]) -> list[Modified]:
    """What differs from the project that `served` was built of, by name; takes dbt's three seconds.

    Raises ConfigError where that is not known any more, or where dbt cannot read the project.
    """
    known = kept(dbt, served)
    if known is None:
        message = f"what build {served['build']} of gold was built from is not known here any more"
        raise ConfigError(message, hint="catchment run remembers it with the next build")
    words = ["ls", "--select", "state:modified", "--state", str(known.absolute()), "--output", "json", "--output-keys"]
    with tempfile.TemporaryDirectory() as place:
        state = Path(place)
        # A database of the same name: another would make every source another.
        nowhere = {"type": "duckdb", "path": str(state / f"{_database(known)}.duckdb"), "schema": "main"}
        outputs = {"target": dbt_process.TARGET, "outputs": {dbt_process.TARGET: nowhere}}
        profile = {dbt_process.profile_name(dbt.folder): outputs}
        (state / "profiles.yml").write_text(json.dumps(profile))  # JSON is YAML
        lines = dbt_process.call(dbt, [*words, "resource_type name original_file_path"], state=state, profiles=state)
    return sorted(_named(lines), key=lambda one: (one.kind, one.name))


def _database(known: Path) -> str:
    manifest = json.loads((known / "manifest.json").read_bytes())
    found = (node.get("database") for part in ("nodes", "sources") for node in manifest[part].values())
    return next((name for name in found if name), "memory")


def _named(lines: Sequence[str]) -> Iterator[Modified]:
    for line in lines:
        words = json.loads(line)["data"].get("msg", "") if line.startswith("{") else ""
        if words.startswith('{"resource_type"'):
            node = json.loads(words)
            yield Modified(node["resource_type"], node["name"], node["original_file_path"])
