"""Every mistake of a project in one pass: its keys and types, what its names point at, its tables and contracts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from catchment.contract import Contract
from catchment.errors import ConfigError, Problem
from catchment.reading import connect, live, paces, pointers, refined, shape, tables, targets, topics
from catchment.reading.declaration import FILE, ProjectFile
from catchment.reading.documents import Findings, Node, decode, parse

# What is said of the world around a project, and what of its tables.
_OUTSIDE = (pointers.follow, targets.follow, topics.follow, connect.follow, paces.follow)
_TABLES = (
    pointers.follow_contracts,
    pointers.follow_gold,
    tables.follow,
    targets.follow_tables,
    refined.follow,
    live.follow,
)


def read(folder: Path, *, tables_too: bool = True) -> tuple[ProjectFile | None, dict[str, Contract], list[Problem]]:
    """What catchment.yaml and its contracts say; the document is None where it does not fit the models.

    Without `tables_too` nothing is looked at that silver, gold and live point at, contracts among it.
    """
    findings = Findings(FILE)
    root = _root(folder, findings)
    if root is None:
        return None, {}, findings.problems
    document = shape.fit(root, findings)
    reading = pointers.Reading(folder, root, findings)
    for look in (*_OUTSIDE, *(_TABLES if tables_too else ())):
        look(reading)
    contracts = {table: found for table, found in reading.contracts.items() if found is not None}
    return document, contracts, sort([*findings.problems, *reading.contract_problems])


def sort(problems: Iterable[Problem]) -> list[Problem]:
    """catchment.yaml first, then by file and line; what was said twice is said once."""
    return sorted(dict.fromkeys(problems), key=lambda p: (p.file != FILE, p.file, p.line or 0, p.column or 0))


def _root(folder: Path, findings: Findings) -> Node | None:
    path = folder / FILE
    try:
        content = path.read_bytes()
    except OSError as error:
        what = "is not there" if isinstance(error, FileNotFoundError | NotADirectoryError) else "cannot be read"
        message = f"{path} {what}"
        raise ConfigError(message, hint="go to a project's folder, or make one: catchment init shop") from None
    text = decode(content, findings)
    root = parse(text, findings) if text is not None else None
    if root is not None and root.is_mapping:
        return root
    if not findings.failed:
        what = "the file is empty" if root is None or root.value is None else "the file must be a mapping of keys"
        findings.error(root, what, cure="begin with name: my_project")
    return None
