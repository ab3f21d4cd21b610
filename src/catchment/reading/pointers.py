"""Where the names of a project point: streams, contracts, columns, files, look-ups, targets.

Read from the nodes, not from the models, so that a wrong key in one place does not hide a missing file in another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from catchment import settings
from catchment.contract import Contract
from catchment.errors import Problem
from catchment.naming import LAYERS, did_you_mean, is_name
from catchment.reading.documents import Findings, Node, Place, decode, parse, shorten
from catchment.reading.odcs.document import read_node

# DuckDB and dbt already use these names in the database that is called after the project.
_TAKEN = frozenset(
    {*LAYERS, "stg", "std", "cur", "main", "system", "temp", "memory", "catchment", "information_schema"}
)

# These are part of what the project is: another value from outside would be another project.
_NO_REFERENCES = frozenset({"name", "from", "contract", "refine", "latest_by", "dbt", "type", "mode"})

_ENDINGS = frozenset({"csv", "tsv", "txt", "jsonl", "ndjson", "json", "parquet", "pq"})
_NOTHING = Node({}, (1, 1), keys={})


@dataclass
class Reading:
    """A project while it is read. `columns` also tells those of a contract that has mistakes."""

    folder: Path
    root: Node
    findings: Findings
    contracts: dict[str, Contract | None] = field(default_factory=dict)
    columns: dict[str, list[str]] = field(default_factory=dict)
    contract_problems: list[Problem] = field(default_factory=list)

    def section(self, name: str) -> dict[str, Node]:
        """The entries of a top-level key."""
        return (self.root.get(name) or _NOTHING).entries()

    def key_place(self, section: str, name: str) -> Place:
        return (self.root.get(section) or _NOTHING).key_place(name)


def follow(reading: Reading) -> None:
    """Look at everything that a name points at; what is wrong goes to the reading's problems."""
    _references(reading)
    _names(reading)
    _streams(reading)
    _load_contracts(reading)
    streams = [
        f"{source}.{stream}" for source, found in reading.section("sources").items() for stream in _of(found, "streams")
    ]
    for table, node in reading.section("silver").items():
        key = f"silver.{table}"
        _from(reading, node, key, streams)
        _mode(reading, table, node, key)
        _latest_by(reading, table, node, key)
        _refine(reading, table, node, key)
        _lookups(reading, table, node, key)
    _cycles(reading)
    _gold(reading)
    _targets(reading)


def _of(node: Node, key: str) -> dict[str, Node]:
    return (node.get(key) or _NOTHING).entries()


def _references(reading: Reading) -> None:
    for path, node in reading.root.scalars():
        if not isinstance(node.value, str) or not settings.has_references(node.value):
            continue
        wrong = settings.fault(node.value)
        last = path.rpartition(".")[2]
        if wrong is not None:
            reading.findings.error(node, wrong[0], cure=wrong[1], key=path)
        elif last in _NO_REFERENCES:
            message = f"{last} is part of the project and cannot come from outside"
            reading.findings.error(node, message, cure="write the value itself", key=path)


def _names(reading: Reading) -> None:
    name = reading.root.get("name")
    if name is not None and isinstance(name.value, str):
        _name(reading, name.value, name.place, "name")
        if name.value in _TAKEN:
            message = f"`{name.value}` is taken by a layer or by DuckDB itself"
            reading.findings.error(name, message, cure=f"write name: {name.value}_data", key="name")
    for section in ("sources", "silver", "targets"):
        for found in reading.section(section):
            _name(reading, found, reading.key_place(section, found), f"{section}.{found}")
    for source, node in reading.section("sources").items():
        for stream in _of(node, "streams"):
            place = (node.get("streams") or _NOTHING).key_place(stream)
            _name(reading, stream, place, f"sources.{source}.streams.{stream}")


def _name(reading: Reading, name: str, place: Place, key: str) -> None:
    if is_name(name) or settings.has_references(name):
        return
    proposal = re.sub(r"_+", "_", re.sub(r"[^a-z0-9]", "_", name.lower())).strip("_")
    proposal = next((found for found in (proposal, f"n_{proposal}") if is_name(found)), "my_name")
    message = f"`{shorten(name)}` is not a name: lower case, digits and single underscores, a letter first"
    reading.findings.error(place, message, cure=f"write {proposal}", key=shorten(key))


def _streams(reading: Reading) -> None:
    for source, node in reading.section("sources").items():
        for stream, found in _of(node, "streams").items():
            key = f"sources.{source}.streams.{stream}"
            _dialect(reading, found, key)
            path = found.string("path") or ""
            ending = re.fullmatch(r".*\.([A-Za-z0-9]+)", path.removesuffix(".gz"))
            if ending is None or "format" in found.entries() or ending.group(1).lower() in _ENDINGS:
                continue
            cure = "add format: csv, jsonl or parquet"
            reading.findings.error(
                found.get("path"), f"`{shorten(path)}` does not tell its format", cure=cure, key=f"{key}.path"
            )


def _dialect(reading: Reading, stream: Node, key: str) -> None:
    for name in ("delimiter", "quote", "header"):
        if name in stream.entries() and stream.string("format") in ("jsonl", "parquet"):
            message = f"{name} is for csv, and the format is {stream.string('format')}"
            reading.findings.error(stream.key_place(name), message, cure="remove it", key=key)
    delimiter, quote = stream.get("delimiter"), stream.get("quote")
    if delimiter is not None and quote is not None and delimiter.text == quote.text != "":
        reading.findings.error(quote, "delimiter and quote are the same character", cure="correct one of them", key=key)
    seen: set[str] = set()
    for item in (stream.get("header") or _NOTHING).items():
        if item.text.lower() in seen:
            reading.findings.error(item, f"{item.kind()} is listed twice", cure="rename one", key=f"{key}.header")
        seen.add(item.text.lower())


def _load_contracts(reading: Reading) -> None:
    for table, node in reading.section("silver").items():
        if not node.is_mapping or settings.has_references(node.string("contract") or ""):
            continue
        declared = node.get("contract")
        file = node.string("contract") or f"contracts/{table}.odcs.yaml"
        at = declared.place if declared is not None else reading.key_place("silver", table)
        content = _content(reading, file, at, f"silver.{table}")
        if content is None:
            continue
        findings = Findings(file)
        text = decode(content, findings)
        root = parse(text, findings) if text is not None else None
        if not (root is None and findings.failed):
            reading.contracts[table] = read_node(root, table, findings)
        reading.contract_problems += findings.problems
        names = _column_names(root, table)
        if names:
            reading.columns[table] = names


def _column_names(root: Node | None, table: str) -> list[str]:
    """The columns of a contract that may have mistakes elsewhere."""
    objects = (root.get("schema") or _NOTHING).items() if root is not None else []
    chosen = [node for node in objects if table in (node.string("name"), node.string("physicalName"))] or objects
    properties = (chosen[0].get("properties") or _NOTHING).items() if chosen else []
    return [name for node in properties if (name := node.string("name"))]


def _content(reading: Reading, file: str, at: Place, key: str) -> bytes | None:
    path = reading.folder / file
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        message = f"contract {shorten(file)} {'is not there' if missing else 'cannot be read'}"
        near = did_you_mean(path.name, _listing(path.parent, (".yaml", ".yml")))
        cure = near or "write it, or name another with contract:"
        reading.findings.error(at, message, cure=cure, key=key)
        return None


def _listing(folder: Path, endings: tuple[str, ...]) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir() if path.name.endswith(endings))
    except (OSError, ValueError):
        return []


def _is_there(test: Callable[[], bool]) -> bool:
    """A path that no file system takes is not there either."""
    try:
        return test()
    except (OSError, ValueError):
        return False


def _from(reading: Reading, node: Node, key: str, streams: list[str]) -> None:
    name = node.string("from")
    if name is None or name in streams or settings.has_references(name):
        return
    source = reading.section("sources").get(name.partition(".")[0])
    if source is not None and not _of(source, "streams"):
        return  # what is wrong with its source is told already
    cure = did_you_mean(name, streams)
    cure = cure or (f"streams are {shorten(', '.join(streams), 200)}" if streams else "add it under sources")
    reading.findings.error(node.get("from"), f"no stream `{shorten(name)}`", cure=cure, key=f"{key}.from")


def _keyless(reading: Reading, table: str) -> Contract | None:
    """The contract, where it is known to have no key."""
    contract = reading.contracts.get(table)
    return contract if contract is not None and not contract.key else None


def _mode(reading: Reading, table: str, node: Node, key: str) -> None:
    mode, contract = node.get("mode"), _keyless(reading, table)
    if mode is not None and mode.value == "merge" and contract is not None:
        cure = f"add primaryKey: true to a column in {contract.file}"
        reading.findings.error(mode, "mode merge needs a key, and the contract has none", cure=cure, key=key)


def _latest_by(reading: Reading, table: str, node: Node, key: str) -> None:
    latest_by = node.get("latest_by")
    if latest_by is None or not isinstance(latest_by.value, str) or settings.has_references(latest_by.value):
        return
    columns = reading.columns.get(table)
    if columns is not None and latest_by.value not in columns:
        cure = did_you_mean(latest_by.value, columns) or f"columns are {shorten(', '.join(columns), 200)}"
        message = f"the contract has no column `{shorten(latest_by.value)}`"
        reading.findings.error(latest_by, message, cure=cure, key=f"{key}.latest_by")
    elif node.string("mode") in (None, "append"):
        cure = "write mode: merge, or remove it"
        reading.findings.warning(latest_by, "latest_by says nothing in mode append", cure=cure, key=key)


def _refine(reading: Reading, table: str, node: Node, key: str) -> None:
    refine = node.get("refine")
    if refine is None or refine.value is None:
        _underived(reading, table, key)
        return
    if not isinstance(refine.value, str) or settings.has_references(refine.value):
        return
    path = reading.folder / refine.value
    if not refine.value.endswith(".py"):
        message = f"`{shorten(refine.value)}` is not a Python file"
        reading.findings.error(refine, message, cure=f"write refine: silver/{table}.py", key=f"{key}.refine")
    elif not _is_there(path.is_file):
        cure = did_you_mean(path.name, _listing(path.parent, (".py",))) or "write it, or remove refine"
        reading.findings.error(refine, f"{shorten(refine.value)} is not there", cure=cure, key=f"{key}.refine")


def _underived(reading: Reading, table: str, key: str) -> None:
    contract = reading.contracts.get(table)
    derived = [column.name for column in contract.columns if column.derived] if contract is not None else []
    if derived:
        message = f"columns with transformLogic ({', '.join(derived)}) need a refine function that makes them"
        cure = f"add refine: silver/{table}.py"
        reading.findings.error(reading.key_place("silver", table), message, cure=cure, key=key)


def _lookups(reading: Reading, table: str, node: Node, key: str) -> None:
    section = node.get("with") or _NOTHING
    others = [other for other in reading.section("silver") if other != table]
    for name in section.entries():
        place, keyless = section.key_place(name), _keyless(reading, name)
        if name == table:
            reading.findings.error(
                place, "a table cannot look things up in itself", cure="remove it", key=f"{key}.with"
            )
        elif name not in others:
            cure = did_you_mean(name, others) or "name another silver table"
            reading.findings.error(place, f"no silver table `{shorten(name)}`", cure=cure, key=f"{key}.with")
        elif keyless is not None:
            cure = f"add primaryKey: true to a column in {keyless.file}"
            reading.findings.error(place, f"look-up `{name}` has no key to be found by", cure=cure, key=f"{key}.with")
    if section.entries() and "refine" not in node.entries():
        message = "look-ups are for a refine function, and there is none"
        cure = f"add refine: silver/{table}.py, or remove with"
        reading.findings.error(node.key_place("with"), message, cure=cure, key=key)


def _cycles(reading: Reading) -> None:
    """One problem for each circle of look-ups, at its first table in the file."""
    graph = {table: list(_of(node, "with")) for table, node in reading.section("silver").items()}
    told: set[str] = set()
    for start in graph:
        circle = _circle(graph, start)
        if circle is None or told & set(circle):
            continue
        told |= set(circle)
        section = reading.section("silver")[start].get("with") or _NOTHING
        message = f"look-ups go round in a circle: {' -> '.join(circle)}"
        reading.findings.error(
            section.key_place(circle[1]), message, cure="remove one of them", key=f"silver.{start}.with"
        )


def _circle(graph: Mapping[str, list[str]], start: str) -> list[str] | None:
    """The shortest way from `start` back to it through other tables."""
    ways = [[start, name] for name in graph[start] if name in graph and name != start]
    seen = {start, *graph[start]}
    while ways:
        way = ways.pop(0)
        for name in graph[way[-1]]:
            if name == start:
                return [*way, start]
            if name in graph and name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return None


def _gold(reading: Reading) -> None:
    gold = reading.root.get("gold") or _NOTHING
    _command(reading, gold.get("command"))
    dbt = gold.string("dbt")
    if not dbt or settings.has_references(dbt):
        return
    folder = reading.folder / dbt
    if not _is_there((folder / "dbt_project.yml").is_file):
        there = _is_there(folder.is_dir)
        message = f"{shorten(dbt)} has no dbt_project.yml" if there else f"folder {shorten(dbt)} is not there"
        reading.findings.error(
            gold.get("dbt"), message, cure="name the folder that holds dbt_project.yml", key="gold.dbt"
        )


def _command(reading: Reading, command: Node | None) -> None:
    """A path must lead to a file; a bare name is looked up when it is run."""
    if command is None or "/" not in command.text or settings.has_references(command.text):
        return
    if not _is_there((reading.folder / command.text).is_file):
        cure = "name the dbt executable, or remove the key to take the one beside Python"
        reading.findings.error(command, f"{shorten(command.text)} is not there", cure=cure, key="gold.command")


def _targets(reading: Reading) -> None:
    targets = reading.section("targets")
    default = [
        name for name, node in targets.items() if (found := node.get("default")) is not None and found.value is True
    ]
    for name in default[1:]:
        message = f"`{default[0]}` is the default target already"
        reading.findings.error(
            targets[name].get("default"), message, cure="keep one default", key=f"targets.{name}.default"
        )
    if len(targets) > 1 and not default:
        place = reading.root.key_place("targets")
        message = "none of several targets is the default"
        reading.findings.error(place, message, cure="add default: true to one of them", key="targets")
