"""Everything that can be known without reading a row: `catchment check`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from catchment.errors import ConfigError, MissingExtra, Problem
from catchment.naming import did_you_mean
from catchment.project import Project, read_project
from catchment.reading.declaration import FILE
from catchment.reading.documents import Findings, Node, decode, parse, shorten
from catchment.reading.mistakes import sort

Checker = Callable[[Project], Sequence[Problem]]

CACHE = Path(".catchment") / "contracts-checked.json"

# Raise it when the words or the selection of problems below change.
_CACHE_VERSION = 1


def check_project(folder: Path, checkers: Sequence[Checker] = ()) -> list[Problem]:
    """Every problem of a project, errors and warnings, by file and line; empty where all is well.

    Contracts are held against the standard's own JSON Schema, and what passed is remembered by content in the
    project's `.catchment` folder. `checkers` look at a project without errors only: they may rely on it. Raises
    ConfigError where there is no project.
    """
    project, problems = read_project(folder)
    problems = [*problems, *_against_the_standard(folder, problems)]
    if project is not None and not any(problem.severity == "error" for problem in problems):
        for checker in checkers:
            problems += checker(project)
    return sort(problems)


def layer_rules(project: Project) -> list[Problem]:
    """Where gold's models break the rules of their layers. Starts dbt where the dbt project has changed since it was
    compiled last; without a dbt that is a warning."""
    from catchment.connected import Connected

    connected = Connected.of(project)
    rules = connected.layer_rules
    if rules is None or not _has_models(connected.dbt.folder):
        return []
    try:
        return rules.problems(connected.compiled())
    except MissingExtra as error:
        message = f"the layer rules were not held: {error.message}"
        return [Problem(FILE, message, key="gold", cure=error.hint, severity="warning")]
    except ConfigError as error:
        place, _, words = error.message.partition("  ")
        file, _, line = place.partition(":")
        if not words:
            return [Problem(FILE, error.message, key="gold.dbt", cure=error.hint)]
        return [Problem(file, words, line=int(line) if line.isdigit() else None, cure=error.hint)]


def gold_sources(project: Project) -> list[Problem]:
    """What gold reads and catchment.yaml does not have, told where it is read; a run would find it in gold only."""
    from catchment.connected import Connected
    from catchment.gold.sources import SILVER, sources

    if project.gold is None:
        return []
    found = sources(Connected.of(project).dbt, project.silver)
    absent = {f"{SILVER}.{name}": name for name in found.tables - set(project.silver)}
    problems = []
    for source, (file, line) in found.places.items():
        if source not in absent and source not in found.unknown:
            continue
        if source in absent:
            message = f"reads {source}, and catchment.yaml has no such table under silver"
            near = did_you_mean(absent[source], project.silver)
            cure = "write it there, or remove what reads it" + ("" if near is None else f"; {near}")
        else:
            message = f"reads source {source}, and no silver table in catchment.yaml is called so"
            cure = f"say which it is in catchment.yaml: `gold: {{sources: {{{source}: silver.…}}}}`"
        place = (Path(project.gold.dbt) / file).as_posix()
        problems.append(Problem(place, message, line=line, key="gold", cure=cure))
    return problems


def metrics(project: Project) -> list[Problem]:
    """Where an expression of a live figure does not fit the types of its columns: an error, and a warning where only
    some texts do not. Reads no row."""
    if not project.live:
        return []
    from catchment.connected import Connected
    from catchment.figures.applied import misfits

    findings, root = Findings(FILE), _root(project.folder)
    for one in misfits(Connected.of(project)):
        node = root
        for key in ("live", one.metric, *one.key.split(".")):
            node = None if node is None else node.get(key)
        tell = findings.error if one.always else findings.warning
        tell(node, one.message, cure=one.cure, key=f"live.{one.metric}.{one.key}")
    return findings.problems


def live_stores(project: Project) -> list[Problem]:
    """Where two targets keep live figures in one store, which would be those of one of them."""
    if not project.live:
        return []
    from catchment.figures.places import shared

    findings, root = Findings(FILE), _root(project.folder)
    for target, other in shared(project):
        node = root
        for key in ("targets", target, "live", "url"):
            node = None if node is None else node.get(key)
        message = f"target `{other}` keeps its live figures in the same database"
        cure = "name another database for one of them: each target has a store of its own"
        findings.error(node, message, cure=cure, key=f"targets.{target}.live.url")
    return findings.problems


def _has_models(folder: Path) -> bool:
    """Whether there is anything to compile; not every project in the making has models."""
    from catchment.gold.dbt import project_file

    places = project_file(folder).get("model-paths") or ["models"]
    return any(path.suffix in {".sql", ".py"} for place in places for path in (folder / str(place)).rglob("*"))


def _against_the_standard(folder: Path, known: Iterable[Problem]) -> list[Problem]:
    told = {(problem.file, problem.line) for problem in known if problem.severity == "error"}
    schema = _schema()
    version = f"{_CACHE_VERSION}:{_digest(schema.encode())}"
    remembered = _remembered(folder, version)
    validator: Any = None
    found: list[Problem] = []
    clean: list[str] = []
    for file in _contract_files(folder):
        content = (folder / file).read_bytes()
        digest = _digest(content)
        if digest in remembered:
            clean.append(digest)
            continue
        validator = validator or _validator(schema)
        problems = _problems(file, content, validator)
        if problems:
            found += [problem for problem in problems if (problem.file, problem.line) not in told]
        else:
            clean.append(digest)
    if set(clean) != remembered:
        _remember(folder, version, clean)
    return found


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _contract_files(folder: Path) -> list[str]:
    """The contracts that silver tables name, whatever else is wrong with the project."""
    root = _root(folder)
    silver = root.get("silver") if root is not None else None
    files = {
        node.string("contract") or f"contracts/{table}.odcs.yaml": None
        for table, node in (silver.entries() if silver is not None else {}).items()
    }
    return [file for file in files if _is_file(folder / file)]


def _root(folder: Path) -> Node | None:
    findings = Findings(FILE)
    text = decode((folder / FILE).read_bytes(), findings)
    return parse(text, findings) if text is not None else None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file() and os.access(path, os.R_OK)
    except (OSError, ValueError):
        return False


def _schema() -> str:
    return (resources.files("open_data_contract_standard") / "schema.json").read_text(encoding="utf-8")


def _validator(schema: str) -> Any:
    from jsonschema.validators import validator_for

    parsed = json.loads(schema)
    return validator_for(parsed)(parsed)


def _problems(file: str, content: bytes, validator: Any) -> list[Problem]:
    findings = Findings(file)
    text = decode(content, findings)
    root = parse(text, findings) if text is not None else None
    if root is None or findings.failed:
        return findings.problems
    for error in sorted(validator.iter_errors(root.plain()), key=lambda error: list(map(str, error.absolute_path))):
        for part in _deepest(error):
            _say(part, root, findings)
    return list(dict.fromkeys(findings.problems))


def _deepest(error: Any) -> list[Any]:
    """The errors that a person can act on: inside `anyOf` and `oneOf` those of the branch that fits best."""
    if error.validator not in ("anyOf", "oneOf", "allOf", "if") or not error.context:
        return [error]
    branches: dict[Any, list[Any]] = {}
    for inner in error.context:
        branches.setdefault(inner.schema_path[0], []).append(inner)
    best = min(branches.values(), key=len)
    if len(branches) > 2:
        return [error]
    return [deep for inner in best for deep in _deepest(inner)]


def _say(error: Any, root: Node, findings: Findings) -> None:
    path = [str(part) for part in error.absolute_path]
    node = root
    for part in error.absolute_path:
        node = (node.items()[part] if isinstance(part, int) else node.get(str(part))) or node
    key = _readable(path, root)
    if error.validator in ("additionalProperties", "unevaluatedProperties"):
        known = error.schema.get("properties", {})
        for name in _unexpected(error, node):
            cure = did_you_mean(name, known) or "what the standard does not name goes under customProperties"
            findings.error(node.key_place(name), f"the standard has no key `{shorten(name)}` here", cure=cure, key=key)
        return
    message, cure = _words(error, node)
    findings.error(node, message, cure=cure, key=key)


def _readable(path: Sequence[str], root: Node) -> str | None:
    """`schema.sales.properties.id` for `schema.0.properties.3`: names instead of positions."""
    words, node = [], root
    for part in path:
        items = node.items()
        node = (items[int(part)] if items else node.get(part)) or node
        words.append((node.string("name") or node.string("property") or part) if items else part)
    return ".".join(words) or None


def _unexpected(error: Any, node: Node) -> list[str]:
    known = set(error.schema.get("properties", {}))
    named = [name for name in node.entries() if f"'{name}'" in error.message]
    return named or [name for name in node.entries() if name not in known]


_TYPES = {
    "string": ("text", 'put it into quotes: "…"'),
    "boolean": ("true or false", "write true or false without quotes"),
    "integer": ("a whole number", "write it without quotes and point"),
    "number": ("a number", "write it without quotes"),
    "array": ("a list", "write it as - entries, one to a line"),
    "object": ("a mapping", "write name: value lines under it"),
}


_LIMITS = {
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minItems", "minLength"), "below"),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxItems", "maxLength"), "above"),
}


def _words(error: Any, node: Node) -> tuple[str, str]:
    rule, value = error.validator, error.validator_value
    if rule == "type" and isinstance(value, str):
        wanted, cure = _TYPES.get(value, (value, "correct it"))
        return f"must be {wanted}, not {node.kind()}", cure
    if rule == "required":
        missing = [name for name in value if name not in node.entries()]
        return f"{', '.join(missing)} is missing", f"write {missing[0] if missing else '…'}: …"
    if rule in ("enum", "const"):
        choices = [str(choice) for choice in (value if rule == "enum" else [value])]
        return f"{node.kind()} is not one of {', '.join(choices)}", did_you_mean(
            node.text, choices
        ) or "write one of them"
    if rule == "pattern":
        return f"{node.kind()} has not the form that the standard wants ({value})", "write it so"
    if rule in _LIMITS:
        return f"{node.kind()} is {_LIMITS[rule]} what the standard allows ({value})", "correct it"
    if rule == "uniqueItems":
        return "two entries are the same", "remove one"
    return f"{node.kind()} is not what the standard wants here", "see the standard: Open Data Contract Standard 3.2"


def _remembered(folder: Path, version: str) -> set[str]:
    """What passed before; a cache that cannot be read is no cache."""
    try:
        cached = json.loads((folder / CACHE).read_text(encoding="utf-8"))
        return set(cached["passed"]) if cached["version"] == version else set()
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _remember(folder: Path, version: str, passed: Sequence[str]) -> None:
    path = folder / CACHE
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    # A project that cannot be written to can still be checked.
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps({"version": version, "passed": sorted(set(passed))}), encoding="utf-8")
        beside.replace(path)


# Those that need nothing but the project; `inspect.rehearsals` comes before them.
CHECKERS: Sequence[Checker] = (metrics, live_stores, gold_sources, layer_rules)
