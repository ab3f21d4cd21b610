"""Contracts are read once for as long as they stay as they are, and what is recalled is what would be read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import fields
from importlib import resources
from pathlib import Path

import pytest

from catchment.contract import Column, Contract, Freshness, Reference, RowRule, SetRule, Usual
from catchment.errors import Problem, ProjectProblems
from catchment.project import Project, load_project
from catchment.reading import contracts
from catchment.reading.contracts import Contracts, Reading, _decoded, _encoded

RICH = """\
apiVersion: v3.2.0
kind: DataContract
id: rich
name: rich
version: 1.0.0
status: active
tags: [one]
team: {name: x}
servers: [{server: here, type: local, path: data, format: csv}]
slaProperties: [{property: freshness, value: 26, unit: h, element: rich.at}]
schema:
  - name: rich
    logicalType: object
    description: "Zürich \\U0001F30A, a \\"quoted\\" word"
    quality:
      - {type: library, metric: rowCount, mustBeGreaterThan: 0}
      - {type: sql, name: later, query: "at > '2020-01-01'"}
    properties:
      - {name: id, logicalType: integer, primaryKey: true, primaryKeyPosition: 2, required: true}
      - {name: part, logicalType: string, primaryKey: true, primaryKeyPosition: 1, required: true}
      - {name: price, logicalType: number, physicalType: "decimal(9,2)", logicalTypeOptions: {minimum: 0, maximum: 9.5}}
      - {name: weight, logicalType: number, logicalTypeOptions: {multipleOf: 0.5, exclusiveMaximum: 1e3}}
      - {name: kind, logicalType: string, enum: [{value: "1"}, {value: a}], classification: restricted}
      - {name: on, logicalType: boolean}
      - name: at
        logicalType: timestamp
        logicalTypeOptions: {format: yyyy-MM-dd HH:mm:ss, defaultTimezone: Europe/Zurich}
        customProperties:
          - {property: formats, value: [yyyy-MM-dd HH:mm:ss, dd.MM.yyyy HH:mm]}
          - {property: nullMarkers, value: ["-", "n/a"]}
"""

SHOP = resources.files("catchment") / "templates" / "shop" / "contracts"


@pytest.fixture
def documents() -> dict[str, bytes]:
    found = {str(path.name).partition(".")[0]: path.read_bytes() for path in SHOP.iterdir()}
    return {**found, "rich": RICH.encode()}


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Tables whose contracts were read, and not recalled."""
    calls: list[str] = []
    read = contracts._read

    def heard(file: str, table: str, content: bytes) -> Reading:
        calls.append(table)
        return read(file, table, content)

    monkeypatch.setattr(contracts, "_read", heard)
    return calls


def remembering(folder: Path) -> Contracts:
    (folder / ".catchment").mkdir(exist_ok=True)
    return Contracts(folder)


def test_what_is_recalled_is_what_was_read(tmp_path: Path, documents: dict[str, bytes], parsed: list[str]) -> None:
    first = remembering(tmp_path)
    read = {table: first.read(f"c/{table}.yaml", table, content) for table, content in documents.items()}
    first.save()
    assert sorted(parsed) == sorted(documents)
    parsed.clear()
    second = remembering(tmp_path)
    recalled = {table: second.read(f"c/{table}.yaml", table, content) for table, content in documents.items()}
    assert parsed == []
    assert recalled == read
    # `==` takes 1 for True and 1.0, and a definition does not.
    assert repr(recalled) == repr(read)
    rich = recalled["rich"]
    assert rich.contract is not None
    assert (rich.contract.key, len(rich.columns)) == (("part", "id"), 7)
    assert rich.contract.freshness is not None
    assert {problem.severity for problem in rich.problems} == {"warning"}


def test_every_part_of_a_contract_survives() -> None:
    """A field of a new kind would be read each time, in silence: it belongs in here."""
    column = Column(
        "id", "decimal", "$.id", 9, 2, True, True, 1, ("yyyy",), ("-",), "CET", (1, 1.5, True, "a"), "^a", 1, 2, 0, 9.5
    )
    whole = Contract(
        id="i",
        version="v",
        table="t",
        columns=(
            column,
            Column("other", "string", "other", derived=True, weight=0.0, description="d", classification="c"),
        ),
        row_rules=(RowRule("r", "id > 1", "m", "id", 2.0),),
        set_rules=(
            SetRule("s", "nulls", "m", ("id",), 0.5, 1.0, "percent", "stop"),
            SetRule("u", "usual", "", usual=Usual(7, 2.5, (("rows", None), ("nulls", "id")))),
            SetRule("v", "usual", "", usual=Usual()),
        ),
        references=(Reference(("id",), "users", ("user_id",)),),
        freshness=Freshness("id", 5),
        description="d",
        file="f",
    )
    assert [field.name for field in fields(whole) if getattr(whole, field.name) == field.default] == []
    reading = Reading(whole, ("id",), (Problem("f", "m", 1, 2, "k", "c", "warning"),))
    assert repr(_decoded(json.loads(json.dumps(_encoded(reading))))) == repr(reading)


def test_another_content_file_or_table_is_read(tmp_path: Path, parsed: list[str]) -> None:
    first = remembering(tmp_path)
    first.read("c/rich.yaml", "rich", RICH.encode())
    first.save()
    parsed.clear()
    content = RICH.replace("version: 1.0.0", "version: 1.0.1").encode()
    found = remembering(tmp_path).read("c/rich.yaml", "rich", content)
    assert found.contract is not None
    assert found.contract.version == "1.0.1"
    moved = remembering(tmp_path).read("d/rich.yaml", "rich", RICH.encode())
    assert {problem.file for problem in moved.problems} == {"d/rich.yaml"}
    remembering(tmp_path).read("c/rich.yaml", "other", RICH.encode())
    assert parsed == ["rich", "rich", "other"]


def test_a_contract_with_mistakes_is_read_each_time(tmp_path: Path, parsed: list[str]) -> None:
    broken = RICH.replace("logicalType: boolean", "logicalType: bool").encode()
    for _ in range(2):
        reading = remembering(tmp_path)
        found = reading.read("c/rich.yaml", "rich", broken)
        reading.save()
        assert found.contract is None
        assert "on" in found.columns
    assert parsed == ["rich", "rich"]


def _project(folder: Path) -> Project:
    (folder / "contracts").mkdir(parents=True, exist_ok=True)
    (folder / ".catchment").mkdir(exist_ok=True)
    (folder / "catchment.yaml").write_text(
        "name: one\nsources: {s: {type: files, streams: {rich: {path: '*.csv'}}}}\nsilver: {rich: {from: s.rich}}\n",
        encoding="utf-8",
    )
    (folder / "contracts" / "rich.odcs.yaml").write_text(RICH, encoding="utf-8")
    return load_project(folder)


def test_a_project_recalled_is_the_project_read_with_its_warnings(tmp_path: Path, parsed: list[str]) -> None:
    first = _project(tmp_path)
    assert {problem.file for problem in first.warnings} == {"contracts/rich.odcs.yaml"}
    assert load_project(tmp_path) == first
    assert parsed == ["rich"]


def test_an_edit_within_the_same_second_and_size_is_seen(tmp_path: Path) -> None:
    _project(tmp_path)
    path = tmp_path / "contracts" / "rich.odcs.yaml"
    before = path.stat()
    path.write_text(RICH.replace("minimum: 0,", "minimum: 1,"), encoding="utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    column = next(column for column in load_project(tmp_path).contracts["rich"].columns if column.name == "price")
    assert column.minimum == 1


def test_a_mistake_in_a_recalled_contract_is_told(tmp_path: Path) -> None:
    _project(tmp_path)
    path = tmp_path / "contracts" / "rich.odcs.yaml"
    path.write_text(RICH.replace("logicalType: boolean", "logicalType: bool"), encoding="utf-8")
    with pytest.raises(ProjectProblems, match="bool"):
        load_project(tmp_path)
    path.write_text(RICH, encoding="utf-8")
    assert load_project(tmp_path).contracts["rich"].version == "1.0.0"
