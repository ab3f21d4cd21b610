"""Where the names of a project point: contracts, files, gold; silver tables are in `tables`, targets in `targets`.

Read from the nodes, not from the models, so that a wrong key in one place does not hide a missing file in another.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from catchment import settings
from catchment.contract import Contract
from catchment.errors import Problem
from catchment.naming import SCHEMAS, did_you_mean, is_name, nearest
from catchment.reading.contracts import Contracts
from catchment.reading.documents import Findings, Node, Place, shorten

# DuckDB and dbt already use these names in the database that is called after the project.
_TAKEN = frozenset(
    {*SCHEMAS, "stg", "std", "cur", "main", "system", "temp", "memory", "catchment", "information_schema"}
)

# These are part of what the project is: another value from outside would be another project.
_NO_REFERENCES = frozenset(
    {
        *("name", "from", "contract", "refine", "latest_by", "dbt", "type", "mode", "as_of", "deleted_when", "slice"),
        *("event_time", "lateness", "wait", "stg", "std", "cur", "lint"),
    }
)

# What dbt writes or installs in its project.
_NOT_OURS = frozenset({"target", "logs", "dbt_packages", "dbt_modules"})

_ENDINGS = frozenset({"csv", "tsv", "psv", "txt", "jsonl", "ndjson", "json", "parquet", "pq"})
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

    def sources(self) -> Iterator[tuple[str, Node]]:
        """Every source that is declared, for every target and on one, with the path of its keys."""
        for source, node in self.section("sources").items():
            yield f"sources.{source}", node
        for target, found in self.section("targets").items():
            for source, node in entries(found, "sources").items():
                yield f"targets.{target}.sources.{source}", node

    def key_place(self, section: str, name: str) -> Place:
        return (self.root.get(section) or _NOTHING).key_place(name)


def follow(reading: Reading) -> None:
    """Look at names, references and files that are read; what is wrong goes to the problems."""
    _references(reading)
    _names(reading)
    _streams(reading)


def entries(node: Node, key: str) -> dict[str, Node]:
    """The mapping under a key; nothing where there is none."""
    return (node.get(key) or _NOTHING).entries()


def _references(reading: Reading) -> None:
    for path, node in reading.root.scalars():
        if not isinstance(node.value, str) or not settings.has_references(node.value):
            continue
        wrong = settings.fault(node.value)
        last = path.rpartition(".")[2]
        if wrong is not None:
            reading.findings.error(node, wrong[0], cure=wrong[1], key=path)
        elif last in _NO_REFERENCES or path.startswith("live."):
            message = f"{last} is part of the project and cannot come from outside"
            reading.findings.error(node, message, cure="write the value itself", key=path)


def _names(reading: Reading) -> None:
    name = reading.root.get("name")
    if name is not None and isinstance(name.value, str):
        _name(reading, name.value, name.place, "name")
        if name.value in _TAKEN:
            message = f"`{name.value}` is taken by a layer or by DuckDB itself"
            reading.findings.error(name, message, cure=f"write name: {name.value}_data", key="name")
    for section in ("sources", "silver", "targets", "live"):
        for found in reading.section(section):
            _name(reading, found, reading.key_place(section, found), f"{section}.{found}")
    for source, node in reading.sources():
        for stream in entries(node, "streams"):
            place = (node.get("streams") or _NOTHING).key_place(stream)
            _name(reading, stream, place, f"{source}.streams.{stream}")


def _name(reading: Reading, name: str, place: Place, key: str) -> None:
    if is_name(name) or settings.has_references(name):
        return
    proposal = re.sub(r"_+", "_", re.sub(r"[^a-z0-9]", "_", name.lower())).strip("_")
    proposal = next((found for found in (proposal, f"n_{proposal}") if is_name(found)), "my_name")
    message = f"`{shorten(name)}` is not a name: lower case, digits and single underscores, a letter first"
    reading.findings.error(place, message, cure=f"write {proposal}", key=shorten(key))


def _streams(reading: Reading) -> None:
    for source, node in reading.sources():
        if node.string("type") != "files":
            continue
        for stream, found in entries(node, "streams").items():
            key = f"{source}.streams.{stream}"
            _dialect(reading, found, key)
            _whole(reading, found, key)
            path = found.string("path") or ""
            if path.startswith("s3://"):
                path = path.removeprefix("s3://").partition("/")[2]  # a bucket's name may hold a point
            ending = re.fullmatch(r".*\.([A-Za-z0-9]+)", path.removesuffix(".gz").removesuffix(".zst"))
            if ending is None or "format" in found.entries() or ending.group(1).lower() in _ENDINGS:
                continue
            cure = "add format: csv, jsonl, json or parquet"
            reading.findings.error(
                found.get("path"), f"`{shorten(path)}` does not tell its format", cure=cure, key=f"{key}.path"
            )


def _whole(reading: Reading, stream: Node, key: str) -> None:
    full, columns = stream.get("full"), stream.get("columns")
    if full is not None and full.value is True and columns is not None and columns.value == "quarantine":
        message = "each file is the whole, so that rows that are held back would count as deleted"
        cure = "write columns: freeze, or evolve"
        reading.findings.error(columns, message, cure=cure, key=f"{key}.columns")


def _dialect(reading: Reading, stream: Node, key: str) -> None:
    for name in ("delimiter", "quote", "header"):
        if name in stream.entries() and stream.string("format") in ("jsonl", "json", "parquet"):
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


def follow_contracts(reading: Reading) -> None:
    """Read the contract of every silver table; what is wrong goes to the problems."""
    contracts = Contracts(reading.folder)
    for table, node in reading.section("silver").items():
        if not node.is_mapping or settings.has_references(node.string("contract") or ""):
            continue
        declared = node.get("contract")
        file = node.string("contract") or f"contracts/{table}.odcs.yaml"
        at = declared.place if declared is not None else reading.key_place("silver", table)
        content = _content(reading, file, at, table)
        if content is None:
            continue
        found = contracts.read(file, table, content)
        reading.contracts[table] = found.contract
        reading.contract_problems += found.problems
        if found.columns:
            reading.columns[table] = list(found.columns)
    contracts.save()


def _content(reading: Reading, file: str, at: Place, table: str) -> bytes | None:
    path = reading.folder / file
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        message = f"contract {shorten(file)} {'is not there' if missing else 'cannot be read'}"
        near = _nearest_contract(reading, path, table)
        cure = near or f"write it{_proposed(reading, table)}, or name another with contract:"
        reading.findings.error(at, message, cure=cure, key=f"silver.{table}")
        return None


def _nearest_contract(reading: Reading, path: Path, table: str) -> str | None:
    """What may be meant. The ending that all contracts have makes none of them alike, and one that another table has is
    hardly the one."""
    others = {other: node for other, node in reading.section("silver").items() if other != table and node.is_mapping}
    taken = {Path(node.string("contract") or f"{other}.odcs.yaml").name for other, node in others.items()}
    known = {name.partition(".")[0]: name for name in listing(path.parent, (".yaml", ".yml")) if name not in taken}
    near = nearest(path.name.partition(".")[0], list(known))
    return None if near is None else f"did you mean `{known[near]}`?"


def _proposed(reading: Reading, table: str) -> str:
    """The command that proposes a contract, where the table is made from one stream."""
    stream = reading.section("silver")[table].string("from") or ""
    source, _, name = stream.partition(".")
    of = reading.section("sources").get(source)
    known = of is not None and name in entries(of, "streams")
    return f" (catchment peek {stream} --contract proposes one)" if known else ""


def listing(folder: Path, endings: tuple[str, ...]) -> list[str]:
    """Names in a folder, for slips of the pen; none where it cannot be read."""
    try:
        return sorted(path.name for path in folder.iterdir() if path.name.endswith(endings))
    except (OSError, ValueError):
        return []


def is_there(test: Callable[[], bool]) -> bool:
    """A path that no file system takes is not there either."""
    try:
        return test()
    except (OSError, ValueError):
        return False


def follow_gold(reading: Reading) -> None:
    """Look at the dbt project and at what its sources and layers name; what is wrong goes to the problems."""
    gold = reading.root.get("gold") or _NOTHING
    _command(reading, gold.get("command"))
    _gold_sources(reading, gold)
    dbt = gold.string("dbt")
    if not dbt or settings.has_references(dbt):
        return
    folder = reading.folder / dbt
    if not is_there((folder / "dbt_project.yml").is_file):
        there = is_there(folder.is_dir)
        message = f"{shorten(dbt)} has no dbt_project.yml" if there else f"folder {shorten(dbt)} is not there"
        reading.findings.error(
            gold.get("dbt"), message, cure="name the folder that holds dbt_project.yml", key="gold.dbt"
        )
    elif "layers" in gold.entries():
        _layers(reading, gold, folder)


def _layers(reading: Reading, gold: Node, folder: Path) -> None:
    """Each names folders of its own that are there."""
    taken: dict[str, str] = {}
    for layer, node in entries(gold, "layers").items():
        key = f"gold.layers.{layer}"
        for named in node.items() or [node]:
            path = named.text.strip("/")
            if path in taken:
                cure = "name a folder for each layer, or one layer less"
                reading.findings.error(named, f"{shorten(path)} is {taken[path]} already", cure=cure, key=key)
            elif path and not _lies_below(folder, path):
                near = did_you_mean(path, [found.name for found in _folders(folder)])
                cure = near or "name a folder below models/, or remove the key"
                reading.findings.error(named, f"{folder.name}/ has no folder {shorten(path)}", cure=cure, key=key)
            taken[path] = layer


def _lies_below(folder: Path, path: str) -> bool:
    return any(f"/{found.relative_to(folder).as_posix()}".endswith(f"/{path}") for found in _folders(folder))


def _folders(folder: Path) -> list[Path]:
    """Folders of the user's own in a dbt project."""
    found: list[Path] = []
    for place, below, _ in os.walk(folder):
        below[:] = [name for name in below if not name.startswith(".") and name not in _NOT_OURS]
        found += [Path(place, name) for name in below]
    return found


def _gold_sources(reading: Reading, gold: Node) -> None:
    """Each is `source.table`, and leads to a silver table."""
    silver = [f"silver.{name}" for name in reading.section("silver")]
    for source, node in entries(gold, "sources").items():
        key = f"gold.sources.{source}"
        if not all(source.partition(".")):
            cure = "write it as dbt has it: `raw.orders` for source('raw', 'orders')"
            reading.findings.error(node, f"`{shorten(source)}` names no table of a source", cure=cure, key=key)
        elif f"silver.{node.text.removeprefix('silver.')}" not in silver:
            cure = did_you_mean(node.text, silver) or "name a table under `silver`"
            reading.findings.error(node, f"no silver table `{shorten(node.text)}`", cure=cure, key=key)


def _command(reading: Reading, command: Node | None) -> None:
    """A path must lead to a file; a bare name is looked up when it is run."""
    if command is None or "/" not in command.text or settings.has_references(command.text):
        return
    if not is_there((reading.folder / command.text).is_file):
        cure = "name the dbt executable, or remove the key to take the one beside Python"
        reading.findings.error(command, f"{shorten(command.text)} is not there", cure=cure, key="gold.command")
