"""What dbt leaves of a build: the project as it understood it, what it made, how the tests went. Read once, and kept.

<dbt.state>/manifests/<mark>/manifest.json       of one build, which names its `manifest` in what it was made of
<dbt.state>/manifests/<mark>/run_results.json
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from catchment.gold.compiled import Manifest, called, manifest_of
from catchment.gold.dbt import Dbt
from catchment.gold.freshness import RULE
from catchment.gold.sources import SILVER, silver_behind

MATERIALIZED = ("table", "view", "ephemeral", "incremental", "seed", "snapshot")

# Of the builds that are kept, and of some that never were published.
_KEPT = 8
_MADE = ("model", "seed", "snapshot")
_TESTS = ("test", "unit_test")

_TestOutcome = Literal["pass", "warn", "fail", "error", "skipped"]
_MadeOutcome = Literal["done", "error", "skipped"]


@dataclass(frozen=True)
class Tested:
    """One test of a build. `table` is what it is about (`gold.daily_sales`, `silver.sales`); `rows` are those that were
    found, where it looked for any; `file` says where it is declared, `seconds` how long it took."""

    name: str
    table: str
    column: str | None
    kind: Literal["test", "unit_test"]
    outcome: _TestOutcome
    rows: int | None
    seconds: float
    file: str
    description: str


@dataclass(frozen=True)
class Made:
    """One model, seed or snapshot of a build; `rows` is None for what is no table."""

    name: str
    outcome: _MadeOutcome
    seconds: float
    rows: int | None


@dataclass(frozen=True)
class Artifacts:
    """A build as dbt told it; `made` by the name that models are referred to."""

    manifest: Manifest
    tests: Sequence[Tested]
    made: Mapping[str, Made]


@dataclass(frozen=True)
class Failure:
    """A model, seed or test that is not green. `rows` failed where it is a test; `sql` is the query that found them."""

    kind: Literal["test", "model"]
    name: str
    table: str
    severity: Literal["warn", "stop"]
    message: str
    file: str
    rows: int | None = None
    sql: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """What dbt did. `relations`: each model and seed that is a table or view, as `schema.name`.

    `history` are those whose rows live on in the next build, with a checksum of how they are defined; `exposures` are
    who uses gold.
    """

    manifest: Manifest
    relations: Mapping[str, str]
    models: int
    tests: int
    history: Mapping[str, str] = field(default_factory=dict)
    exposures: Sequence[str] = ()
    failures: Sequence[Failure] = ()
    warnings: Sequence[Failure] = ()
    not_yet: Sequence[str] = ()


def read_outcome(dbt: Dbt, place: Path, silver: Collection[str]) -> Outcome:
    """What a `dbt build` told in the artifacts in `place`; `silver` are the names of the tables that it could read."""
    left = _Left.read(place, dbt, silver)
    made = {key: node for key, node in left.nodes.items() if node["resource_type"] in _MADE}
    how = {key: node["config"].get("materialized", "") for key, node in made.items()}
    lasting = [node for key, node in made.items() if how[key] in {"incremental", "snapshot"}]
    bad = [left.failure(r) for r in left.results if r["status"] in {"error", "fail", "warn", "runtime error"}]
    tests = [result for result in left.results if _kind(result) in _TESTS]
    return Outcome(
        manifest=manifest_of(left.manifest),
        relations={called(n): f"{n['schema']}.{n['alias']}" for key, n in made.items() if how[key] != "ephemeral"},
        models=sum(node["resource_type"] == "model" for node in made.values()),
        tests=sum(result["status"] != "skipped" for result in tests),
        history={f"{n['schema']}.{n['alias']}": str(n["checksum"]["checksum"]) for n in lasting},
        exposures=sorted(exposure["name"] for exposure in left.manifest.get("exposures", {}).values()),
        failures=[failure for failure in bad if failure.severity == "stop"],
        warnings=[failure for failure in bad if failure.severity == "warn"],
        not_yet=[
            f"{left.file(node)}: {node['name']} is {how[key]}"
            for key, node in made.items()
            if how[key] not in MATERIALIZED
        ],
    )


def keep(dbt: Dbt, place: Path, mark: str) -> None:
    """Keep the artifacts in `place`, which goes, under the name `mark`; the oldest go."""
    _folder(dbt).mkdir(parents=True, exist_ok=True)
    shutil.move(place, _folder(dbt) / mark)
    for old in sorted(_folder(dbt).iterdir(), key=lambda path: path.stat().st_mtime)[:-_KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def kept(dbt: Dbt, served: Mapping[str, Any]) -> Path | None:
    """The folder with what dbt left of the build that is served; None where it is not known any more."""
    folder = _folder(dbt) / str(served.get("manifest"))
    return folder if (folder / "manifest.json").exists() else None


def artifacts(dbt: Dbt, served: Mapping[str, Any]) -> Artifacts | None:
    """What dbt told of the build that is served (`Warehouse.served()`); None where it is not known any more."""
    folder = kept(dbt, served)
    if folder is None or not (folder / "run_results.json").exists():
        return None
    left = _Left.read(folder, dbt, [name.partition(".")[2] for name in served.get("pins", {})])
    manifest = manifest_of(left.manifest)
    rows = served.get("rows", {})
    tests = [left.tested(result) for result in left.results if _kind(result) in _TESTS]
    made = {}
    for result in left.results:
        node = manifest.nodes.get(result["unique_id"])
        if node is not None:
            _, schema, table = node.relation
            seconds = float(result["execution_time"])
            made[node.name] = Made(node.name, _made(result["status"]), seconds, rows.get(f"{schema}.{table}"))
    tests += [_freshness(found) for found in served.get("freshness", ())]
    return Artifacts(manifest, sorted(tests, key=lambda one: (one.table, one.column or "", one.name)), made)


@dataclass(frozen=True)
class _Left:
    """dbt's two files, parsed; `nodes` are all that a result can be about, by dbt's id."""

    folder: str
    root: Path
    manifest: Mapping[str, Any]
    results: Sequence[Mapping[str, Any]]
    nodes: Mapping[str, Any]
    sources: Mapping[str, str]

    @classmethod
    def read(cls, place: Path, dbt: Dbt, silver: Collection[str]) -> _Left:
        manifest = json.loads((place / "manifest.json").read_bytes())
        results = json.loads((place / "run_results.json").read_bytes())["results"]
        nodes = {**manifest["nodes"], **manifest["sources"], **manifest.get("unit_tests", {})}
        return cls(dbt.folder.name, dbt.folder, manifest, results, nodes, dict(_sources(manifest, dbt, silver)))

    def tested(self, result: Mapping[str, Any]) -> Tested:
        node = self.nodes.get(result["unique_id"], {})
        return Tested(
            name=str(node.get("name", result["unique_id"])),
            table=self.about(node),
            column=node.get("column_name"),
            kind="unit_test" if _kind(result) == "unit_test" else "test",
            outcome=_tested(result["status"]),
            rows=result.get("failures"),
            seconds=float(result["execution_time"]),
            file=self.file(node),
            description=node.get("description") or "",
        )

    def failure(self, result: Mapping[str, Any]) -> Failure:
        key = result["unique_id"]
        node = self.nodes.get(key, {})
        is_test = _kind(result) in _TESTS
        compiled = node.get("compiled_path")
        return Failure(
            kind="test" if is_test else "model",
            name=node.get("name", key),
            table=self.about(node) if is_test else f"gold.{node.get('name', key)}",
            severity="warn" if result["status"] == "warn" else "stop",
            message=str(result.get("message") or result["status"]).strip(),
            file=self.file(node),
            rows=result.get("failures") if result["status"] in {"fail", "warn"} else None,
            sql=None if compiled is None else self.root / compiled,
        )

    def about(self, node: Mapping[str, Any]) -> str:
        """The table that a test is about: the one it hangs on, else the first it reads."""
        reads = node.get("depends_on", {}).get("nodes", [])
        key = node.get("attached_node") or next(iter(reads), "")
        if key in self.sources:
            return self.sources[key]
        about = self.nodes.get(key)
        return f"gold.{node.get('model') or '' if about is None else called(about)}"

    def file(self, node: Mapping[str, Any]) -> str:
        return f"{self.folder}/{node.get('original_file_path', '')}"


def _sources(manifest: Mapping[str, Any], dbt: Dbt, silver: Collection[str]) -> Iterator[tuple[str, str]]:
    """Our name of each source by dbt's id: the silver table, or as dbt calls it where it is none of ours."""
    for key, source in manifest["sources"].items():
        found = silver_behind(dbt, source["source_name"], source["name"], source.get("identifier"), silver)
        yield key, f"{source['source_name']}.{source['name']}" if found is None else f"{SILVER}.{found}"


def _freshness(found: Mapping[str, Any]) -> Tested:
    """A promise of freshness, looked at when gold was built, as if dbt had tested it."""
    of = found["newest"] or "none"
    allowed = f"The newest row may be {found['within_s'] / 3600:,.4g} h old when gold is built; it was of {of}."
    was: _TestOutcome = "warn" if found["is_late"] else "pass"
    return Tested(RULE, found["table"], found["column"], "test", was, None, 0.0, found["file"], allowed)


def _kind(result: Mapping[str, Any]) -> str:
    return str(result["unique_id"]).partition(".")[0]


def _tested(status: str) -> _TestOutcome:
    known: Mapping[str, _TestOutcome] = {"pass": "pass", "warn": "warn", "fail": "fail", "skipped": "skipped"}
    return known.get(status, "error")


def _made(status: str) -> _MadeOutcome:
    known: Mapping[str, _MadeOutcome] = {"success": "done", "skipped": "skipped"}
    return known.get(status, "error")


def _folder(dbt: Dbt) -> Path:
    return dbt.state / "manifests"
