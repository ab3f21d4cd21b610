"""Gold: models, seeds, snapshots and exposures as dbt understands them, with what came of the served build."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from catchment.errors import CatchmentError
from catchment.settings import SHORTEST_SECRET
from catchment.site.absences import Absences
from catchment.site.facts import Code, ColumnFacts, Detail, Kind, TableFacts
from catchment.site.tracing import Tracing

if TYPE_CHECKING:
    from catchment.connected import Connected
    from catchment.gold.artifacts import Made, Tested
    from catchment.gold.compiled import Exposure, Manifest, Node
    from catchment.gold.layers.models import Layers

_KINDS: Mapping[str, Kind] = {"model": "model", "seed": "seed", "snapshot": "snapshot"}
_ENVIRONMENT = re.compile(r"""env_var\(\s*['"](\w+)['"]""")


@dataclass(frozen=True)
class Built:
    """What dbt knows of the project, and what the served build gave. `types` are columns by table, as they are there;
    `hidden` what of the environment dbt wrote into compiled SQL, with the reference that stands for it."""

    manifest: Manifest | None = None
    tests: Mapping[str, Sequence[Tested]] = field(default_factory=dict)
    made: Mapping[str, Made] = field(default_factory=dict)
    types: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    layers: Layers | None = None
    folder: str = ""
    hidden: Mapping[str, str] = field(default_factory=dict)

    def hung(self, table: str, columns: Sequence[ColumnFacts]) -> tuple[Sequence[Tested], tuple[ColumnFacts, ...]]:
        """The tests of a table as a whole, and the columns with those of their own."""
        known = {column.name.lower(): column.name for column in columns}
        mine: dict[str | None, list[Tested]] = {}
        for test in self.tests.get(table, ()):
            mine.setdefault(known.get((test.column or "").lower()), []).append(test)
        return mine.get(None, []), tuple(replace(one, tests=tuple(mine.get(one.name, ()))) for one in columns)

    def shown(self, text: str) -> str:
        """A text without what the environment gave."""
        for value, reference in self.hidden.items():
            text = text.replace(value, reference)
        return text


def built_gold(connected: Connected, absences: Absences) -> Built:
    """Reads what is served; dbt compiles the project where it has changed."""
    if connected.project.gold is None:
        return Built()
    from catchment.gold.artifacts import artifacts

    damaged = "the served gold cannot be read"
    served = absences.attempt(damaged, connected.warehouse.served, None)
    left = None if served is None else artifacts(connected.dbt, served)
    if served is None and not any(told.startswith(damaged) for told in absences.found):
        absences.tell("gold was never built: its tests have no results and its tables no rows")
    if served is not None and left is None:
        absences.tell(f"what dbt told of build {served['build']} is not known any more: tests have no results")
    manifest = _compiled(connected, absences, None if left is None else left.manifest)
    tests: dict[str, list[Tested]] = {}
    for test in () if left is None else left.tests:
        tests.setdefault(test.table, []).append(test)
    types: dict[str, list[tuple[str, str]]] = {}
    if served is not None:
        types = absences.attempt("types in gold are not known", partial(_types, connected, served), types)
    rules = connected.layer_rules
    return Built(
        manifest=manifest,
        tests=tests,
        made={} if left is None else left.made,
        types=types,
        layers=None if rules is None else rules.layers,
        folder=connected.dbt.folder.name,
        hidden=_from_environment(connected.dbt.folder),
    )


def _compiled(connected: Connected, absences: Absences, otherwise: Manifest | None) -> Manifest | None:
    """The project as it is; as it was at the served build where dbt cannot compile it."""
    try:
        return connected.compiled()
    except CatchmentError as error:
        of = "are not known" if otherwise is None else "are those of the served build"
        absences.tell(f"models {of}: {absences.words(error.message)}")
        return otherwise


def _types(connected: Connected, served: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    columns = (
        "select schema_name || '.' || table_name as relation, column_name, data_type from duckdb_columns()"
        " where not internal and database_name not in ('memory', 'temp', 'system')"
        " order by relation, column_index"
    )
    models = {relation: f"gold.{name}" for name, relation in served.get("models", {}).items()}
    found: dict[str, list[tuple[str, str]]] = {}
    for row in connected.warehouse.query(columns, {}).read_all().to_pylist():
        if row["relation"] in models:
            found.setdefault(models[row["relation"]], []).append((row["column_name"], row["data_type"].lower()))
    return found


def _from_environment(folder: Path) -> dict[str, str]:
    """What `env_var` in the project's files gives here: compiled SQL has the value in it, a site must not."""
    from catchment.gold.dbt import files

    found = {}
    for path in files(folder) if folder.is_dir() else ():
        if path.suffix in (".sql", ".yml", ".yaml"):
            for name in _ENVIRONMENT.findall(path.read_text(encoding="utf-8", errors="replace")):
                value = os.environ.get(name, "")
                if len(value) >= SHORTEST_SECRET:
                    found[value] = f"${{env:{name}}}"
    return dict(sorted(found.items(), key=lambda one: (-len(one[0]), one)))


def gold_facts(connected: Connected, tracing: Tracing, built: Built) -> Iterator[TableFacts]:
    """A page for each node of the dbt project, each source of others and each exposure."""
    manifest = built.manifest
    if manifest is None:
        return
    for table in tracing.lineage.tables.values():
        if table.kind == "source":
            columns = tracing.traced(table.name, ())
            yield TableFacts(table.name, "source", "source", file=table.file, columns=columns)
    nodes = sorted(manifest.nodes.values(), key=lambda node: (node.name, node.id))
    yield from (_node(node, tracing, built, manifest) for node in nodes)
    yield from (_exposure(one, built) for one in sorted(manifest.exposures.values(), key=lambda one: one.name))


def _node(node: Node, tracing: Tracing, built: Built, manifest: Manifest) -> TableFacts:
    name = f"gold.{node.name}"
    known, made = tracing.known(name), built.made.get(node.name)
    tests, columns = built.hung(name, _columns(node, tracing, built))
    kind = _KINDS[node.kind]
    layer = None if built.layers is None or node.package != manifest.project else built.layers.of(node.folders)
    return TableFacts(
        name=name,
        kind=kind,
        group=layer or "model" if kind == "model" else kind,
        description=node.description,
        file=f"{built.folder}/{node.file}" if node.package == manifest.project else f"{node.package}: {node.file}",
        details=list(_details(node, made, manifest)),
        columns=columns,
        rows_of=() if known is None else tracing.places(known.rows),
        unsure=None if known is None else known.unsure,
        tests=tests,
        code=list(_code(node, built)),
        rows=None if made is None else made.rows,
    )


def _columns(node: Node, tracing: Tracing, built: Built) -> list[ColumnFacts]:
    """Those of the SQL, those that are there, those that YAML describes; each once, whatever its case."""
    name = f"gold.{node.name}"
    types = {column.lower(): kind for column, kind in built.types.get(name, ())}
    words = {column.lower(): text for column, text in node.columns.items()}
    traced = {column.name.lower(): column for column in tracing.traced(name, ())}
    others = [column for column, _ in built.types.get(name, ())] + list(node.columns)
    for column in others:
        traced.setdefault(column.lower(), ColumnFacts(column))
    return [
        replace(one, type=types.get(key, ""), description=words.get(key, ""), made_by=built.shown(one.made_by))
        for key, one in traced.items()
    ]


def _details(node: Node, made: Made | None, manifest: Manifest) -> Iterator[Detail]:
    if node.materialized and node.kind == "model":
        yield Detail("materialized", node.materialized)
    key = node.config.get("unique_key")
    if key:
        yield Detail("unique key", key if isinstance(key, str) else ", ".join(str(one) for one in key))
    if node.kind == "snapshot":
        yield Detail("strategy", str(node.config.get("strategy") or ""))
    _, schema, table = node.relation
    if node.materialized != "ephemeral":
        yield Detail("relation", f"{schema}.{table}", is_code=True)
    if node.package != manifest.project:
        yield Detail("package", node.package)
    if node.tags:
        yield Detail("tags", ", ".join(node.tags))
    if made is not None and made.outcome != "done":
        yield Detail("last build", made.outcome)


def _code(node: Node, built: Built) -> Iterator[Code]:
    if node.raw and node.kind != "seed":
        language: Literal["sql", "python"] = "python" if node.language == "python" else "sql"
        yield Code("As it is written", language, node.raw.strip("\n"), node.file)
    if node.sql is not None and node.sql.strip() != node.raw.strip():
        yield Code("As it is compiled", "sql", built.shown(node.sql.strip()))


def _exposure(exposure: Exposure, built: Built) -> TableFacts:
    name = f"exposure.{exposure.name}"
    details = [Detail("type", exposure.kind)]
    if exposure.owner:
        details.append(Detail("owner", exposure.owner))
    if exposure.url:
        # Anything else could be a script.
        is_web = re.match(r"https?://", exposure.url, re.IGNORECASE) is not None
        details.append(Detail("where", exposure.url, url=exposure.url if is_web else None))
    return TableFacts(
        name=name,
        kind="exposure",
        group="exposure",
        label=exposure.label,
        description=exposure.description,
        file=f"{built.folder}/{exposure.file}",
        details=details,
    )
