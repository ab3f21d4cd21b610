"""A project that follows the five collections of the workload, and whether its tables hold what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pymongo.database import Database
from tests.services.mongodb_changes.workload import COLLECTIONS, replayed, standing

from catchment.opened import OpenProject
from catchment.project import load_project

_SOURCE = """\
name: shop
sources:
  catalogue:
    type: mongodb_changes
    url: {url}
    streams:
"""
_CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: {name}
version: 1.0.0
status: active
schema:
  - name: {name}
    properties:
      - {{name: id, logicalType: string, required: true, primaryKey: true, primaryKeyPosition: 1,
          transformSourceObjects: ['[$._id{below}]']}}
      - {{name: version, logicalType: integer, transformSourceObjects: ['[$.version."$numberInt"]']}}
"""
# Where the workload's keys stand in their documents: numbers, texts, ObjectIds.
_BELOW = ('."$numberInt"', "", '."$oid"')


def write_shop(folder: Path, url: str, collections: Sequence[str] = COLLECTIONS) -> Path:
    """Follows all of them; `merge` and `history` tables of those that are named."""
    (folder / "contracts").mkdir(parents=True)
    lines = [f"      {name}: {{collection: {name}}}" for name in COLLECTIONS]
    lines.append("silver:")
    for name in collections:
        for table, mode in ((name, "merge"), (f"{name}_history", "history")):
            lines.append(f"  {table}: {{from: catalogue.{name}, mode: {mode}}}")
            contract = _CONTRACT.format(name=table, below=_BELOW[COLLECTIONS.index(name) % 3])
            (folder / f"contracts/{table}.odcs.yaml").write_text(contract)
    (folder / "catchment.yaml").write_text(_SOURCE.format(url=url) + "\n".join(lines) + "\n")
    return folder


def assert_holds(folder: Path, database: Database[dict[str, Any]], collections: Sequence[str] = COLLECTIONS) -> None:
    """Bronze, replayed, and silver are what the collections are; changes lie in one order of time."""
    rows = bronze(folder)
    assert replayed(rows) == standing(database)
    times = [row["committed_at"] for row in rows]
    assert times == sorted(times)
    for name in collections:
        there = sorted((str(one["_id"]), one["version"]) for one in database[name].find())
        assert _rows(folder, f"SELECT id, version FROM silver.{name} ORDER BY id") == there
        now = f"SELECT id, version FROM silver.{name}_history WHERE _valid_to IS NULL AND _hidden IS NULL ORDER BY id"
        assert _rows(folder, now) == there


def bronze(folder: Path) -> Sequence[dict[str, Any]]:
    query = "SELECT stream, op, committed_at, document FROM bronze.catalogue__changes ORDER BY _load, _row"
    found: Sequence[dict[str, Any]] = OpenProject(load_project(folder)).query(query).read_all().to_pylist()
    return found


def _rows(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in OpenProject(load_project(folder)).query(sql).read_all().to_pylist()]
