"""A project over the random life of `workload.py`: five tables in mode merge, five in mode history, and their judges.

Merge has to equal the tables; history has to equal what triggers wrote down, version for version.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg

from catchment.opened import OpenProject
from catchment.project import load_project
from catchment.testing import crash
from tests.services.postgres_changes.workload import BESIDE, KEYS, Happened, Workload

# By table its columns as the contract has them, the key's first; what is added while the life goes on is not asked for.
COLUMNS: Mapping[str, Mapping[str, str]] = {
    "users": {"id": "integer", "email": "string", "balance": "decimal(12,2)", "since": "timestamp"},
    "orders": {"shop": "string", "nr": "integer", "state": "string", "amount": "decimal(30,4)", "paid": "boolean"},
    "items": {"id": "string", "tags": "array", "price": "number", "extra": "object", "note": "string"},
    "notes": {"code": "string", "n": "integer", "body": "string"},
    "events": {"id": "integer", "kind": "string", "flag": "boolean"},
}

# The clock of a server goes back now and then: a later commit is then put a microsecond after the one before.
_HAIR = timedelta(milliseconds=5)

Version = tuple[tuple[Any, ...], datetime, datetime | None]


def write_project(folder: Path, url: str) -> Path:
    """A project with `url.txt` beside it; it is read by name only."""
    (folder / "contracts").mkdir(parents=True)
    (folder / "url.txt").write_text(url)
    streams = "".join(f"      {name}: {{table: public.{name}}}\n" for name in KEYS)
    silver = ""
    for name in KEYS:
        for table, mode in ((name, "merge"), (f"{name}_versions", "history")):
            silver += f"  {table}: {{from: shop_db.{name}, mode: {mode}}}\n"
            (folder / "contracts" / f"{table}.odcs.yaml").write_text(_contract(table, name))
    source = f"  shop_db:\n    type: postgres_changes\n    url: ${{file:url.txt}}\n    streams:\n{streams}"
    (folder / "catchment.yaml").write_text(f"name: life\nsources:\n{source}silver:\n{silver}")
    return folder


def _contract(table: str, name: str) -> str:
    head = f"apiVersion: v3.1.0\nkind: DataContract\nid: {table}\nversion: 1.0.0\nstatus: active\n"
    columns = ""
    for column, kind in COLUMNS[name].items():
        logical = "number" if kind.startswith("decimal") else kind
        physical = f", physicalType: '{kind}'" if kind.startswith("decimal") else ""
        key = f", primaryKey: true, primaryKeyPosition: {KEYS[name].index(column) + 1}" if column in KEYS[name] else ""
        columns += f"      - {{name: {column}, logicalType: {logical}{physical}{key}}}\n"
    return f"{head}schema:\n  - name: {table}\n    properties:\n{columns}"


class Life:
    """A workload that goes on in a thread while runs come and go."""

    def __init__(self, workload: Workload, operations: int) -> None:
        self._failure: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, args=(workload, operations), daemon=True)

    def _run(self, workload: Workload, operations: int) -> None:
        try:
            workload.run(operations)
        except BaseException as error:
            self._failure.append(error)

    @property
    def goes_on(self) -> bool:
        return self._thread.is_alive()

    @contextmanager
    def going(self) -> Iterator[Life]:
        self._thread.start()
        yield self
        self._thread.join(600)
        assert not self._thread.is_alive()
        for failure in self._failure:
            raise failure


def run(folder: Path) -> None:
    """A run that nobody kills, and one that finds nothing."""
    ended = crash.run_until(folder)
    assert ended.outcome == "done", ended.causes
    ended = crash.run_until(folder)
    assert ended.outcome == "nothing_new", ended.causes


def differences(folder: Path, workload: Workload) -> list[str]:
    """Where silver is not what the database says, in words."""
    opened = OpenProject(load_project(folder))
    found = []
    history = workload.history()
    for name in KEYS:
        columns = list(COLUMNS[name])
        merged = opened.query(f"SELECT {', '.join(columns)} FROM silver.{name}").read_all().to_pylist()
        found += _unlike(name, _by_key(name, merged), _by_key(name, _table(workload.url, name)))
        kept = [column for column in columns if name not in BESIDE or column != "body"]
        versions = f"SELECT {', '.join(kept)}, _valid_from, _valid_to FROM silver.{name}_versions"
        told = _versions_told(name, kept, [one for one in history if one.table == name])
        found += _unlike_versions(name, _versions_found(name, opened.query(versions).read_all().to_pylist()), told)
    rejected = sorted((folder / "lake").glob("quarantine/*"))
    return [*found, *(f"rows of {place.name} were rejected" for place in rejected)]


def _table(url: str, name: str) -> list[dict[str, Any]]:
    with psycopg.connect(url) as opened:
        cursor = opened.execute(f"SELECT {', '.join(COLUMNS[name])} FROM {name}".encode())
        return [dict(zip(COLUMNS[name], row, strict=True)) for row in cursor.fetchall()]


def _by_key(name: str, rows: Sequence[Mapping[str, Any]]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    found: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for row in rows:
        values = tuple(_plain(COLUMNS[name][column], value) for column, value in row.items())
        key = values[: len(KEYS[name])]
        assert key not in found, f"{name} has {key} twice"
        found[key] = values
    return found


def _plain(kind: str, value: Any) -> Any:
    """A value as both sides have it."""
    if value is None:
        return None
    if kind in ("array", "object"):
        text = value if isinstance(value, str) else json.dumps(value)
        return json.dumps(json.loads(text, parse_int=str, parse_float=str), sort_keys=True)
    if kind.startswith("decimal"):
        return Decimal(str(value))
    if kind == "timestamp":
        return datetime.fromisoformat(value).astimezone(UTC) if isinstance(value, str) else value.astimezone(UTC)
    if kind in ("integer", "number"):
        return float(value)
    return value if isinstance(value, bool) else str(value)


def _unlike(name: str, found: Mapping[Any, Any], wanted: Mapping[Any, Any]) -> list[str]:
    unlike = [key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key)]
    words = [f"{name}: {key} is {found.get(key)}, in the table {wanted.get(key)}" for key in unlike]
    return sorted(words)[:3]


def _versions_found(name: str, rows: Sequence[Mapping[str, Any]]) -> dict[Any, list[Version]]:
    """By key; two versions that differ only in a column that is not asked for are one."""
    found: dict[Any, list[Version]] = {}
    for row in sorted(rows, key=lambda row: row["_valid_from"]):
        values = tuple(_plain(COLUMNS[name][c], value) for c, value in row.items() if not c.startswith("_"))
        versions = found.setdefault(values[: len(KEYS[name])], [])
        begins = row["_valid_from"]
        if versions and versions[-1][0] == values and versions[-1][2] == begins:
            begins = versions.pop()[1]
        versions.append((values, begins, row["_valid_to"]))
    return found


def _versions_told(name: str, columns: Sequence[str], history: Sequence[Happened]) -> dict[Any, list[Version]]:
    """Every version that a commit left, from when to when; what was undone in its own transaction never was."""
    states: dict[Any, list[tuple[datetime, tuple[Any, ...] | None]]] = {}

    def say(key: Any, at: datetime, values: tuple[Any, ...] | None) -> None:
        told = states.setdefault(key, [])
        if told and told[-1][0] == at:
            told.pop()
        told.append((at, values))

    for one in history:
        assert one.committed_at is not None
        at = one.committed_at
        if one.op == "truncate":
            for key in list(states):
                if states[key][-1][1] is not None:
                    say(key, at, None)
            continue
        before, after = (None if row is None else _row(name, columns, row) for row in (one.before, one.after))
        if before is not None:
            say(before[: len(KEYS[name])], at, None)
        if after is not None:
            say(after[: len(KEYS[name])], at, after)
    return {key: versions for key, told in states.items() if (versions := _intervals(told))}


def _row(name: str, columns: Sequence[str], row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(_plain(COLUMNS[name][column], row.get(column)) for column in columns)


def _intervals(told: Sequence[tuple[datetime, tuple[Any, ...] | None]]) -> list[Version]:
    found: list[Version] = []
    for at, values in told:
        open_one = found[-1] if found and found[-1][2] is None else None
        if open_one is not None and open_one[0] == values:
            continue
        if open_one is not None:
            found[-1] = (open_one[0], open_one[1], at)
        if values is not None:
            found.append((values, at, None))
    return found


def _unlike_versions(name: str, found: Mapping[Any, list[Version]], wanted: Mapping[Any, list[Version]]) -> list[str]:
    words = []
    for key in found.keys() | wanted.keys():
        ours, theirs = found.get(key, []), wanted.get(key, [])
        if len(ours) != len(theirs) or not all(map(_same, ours, theirs)):
            words.append(f"{name}: versions of {key} are {ours}, by the triggers {theirs}")
    return sorted(words)[:2]


def _same(one: Version, other: Version) -> bool:
    ends = one[2] is other[2] if one[2] is None or other[2] is None else abs(one[2] - other[2]) <= _HAIR
    return one[0] == other[0] and abs(one[1] - other[1]) <= _HAIR and ends
