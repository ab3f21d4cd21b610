"""`catchment check`: the project, the standard's own schema, and whoever looks further."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from catchment import check
from catchment.check import CACHE, check_project
from catchment.errors import ConfigError, Problem
from catchment.project import Project

PROJECT = """\
name: shop
sources:
  drops:
    type: files
    streams: {orders: {path: data}}
silver:
  orders: {from: drops.orders}
"""
CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: orders
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
      - name: id
        logicalType: integer
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "catchment.yaml").write_text(PROJECT)
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts/orders.odcs.yaml").write_text(CONTRACT)
    return tmp_path


def contract(folder: Path, text: str) -> Path:
    (folder / "contracts/orders.odcs.yaml").write_text(text)
    return folder


def test_a_good_project_has_no_problem(folder: Path) -> None:
    assert check_project(folder) == []


def test_without_a_project_there_is_nothing_to_check(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not there"):
        check_project(tmp_path)


@pytest.mark.parametrize(
    ("text", "message", "cure"),
    [
        (CONTRACT + "        description: [a] #!\n", "must be text, not a list", "quotes"),
        (CONTRACT + "        examples: x #!\n", "must be a list, not `x`", "- entries"),
        (
            CONTRACT + "        semanticType: colum #!\n",
            "`colum` is not one of column, measure",
            "did you mean `column`?",
        ),
        (CONTRACT + "        criticalDataElement: maybe #!\n", "must be true or false", "without quotes"),
        (CONTRACT + "        partitioned: false\n        tags: {a: 1} #!\n", "must be a list", "- entries"),
        (CONTRACT + "support:\n  - url: x #!\n", "channel is missing", "write channel"),
        (CONTRACT + "tenant: [x] #!\n", "must be text, not a list", "quotes"),
        (CONTRACT + "price: {priceAmunt: 1} #!\n", "no key `priceAmunt`", "did you mean `priceAmount`?"),
        (CONTRACT.replace("id: orders\n", "id: orders\ndomain: 5 #!\n"), "must be text, not `5`", "quotes"),
        (
            CONTRACT + "        quality:\n          - {metric: rowCount, mustBe: 1, dimension: size} #!\n",
            "`size` is not one of",
            "write one",
        ),
    ],
)
def test_what_the_standard_refuses_has_its_line_and_its_cure(text: str, message: str, cure: str, folder: Path) -> None:
    line = next(number for number, row in enumerate(text.split("\n"), start=1) if "#!" in row)
    problems = check_project(contract(folder, text))
    fitting = [problem for problem in problems if message in problem.message]
    assert fitting, [str(problem) for problem in problems]
    assert fitting[0].line == line
    assert fitting[0].file == "contracts/orders.odcs.yaml"
    assert fitting[0].severity == "error"
    assert cure in (fitting[0].cure or "")


def test_a_mistake_is_told_once_by_the_reader_and_not_again_by_the_schema(folder: Path) -> None:
    (problem,) = check_project(contract(folder, CONTRACT.replace("integer", "intger")))
    assert "did you mean `integer`?" in str(problem)


def test_project_and_contracts_are_told_together_warnings_too(folder: Path) -> None:
    (folder / "catchment.yaml").write_text(PROJECT + "schedle: 1\n")
    problems = check_project(contract(folder, CONTRACT + "        encryptedName: x\nprice: 5\n"))
    assert [(problem.file, problem.line, problem.severity) for problem in problems] == [
        ("catchment.yaml", 8, "error"),
        ("contracts/orders.odcs.yaml", 11, "warning"),
        ("contracts/orders.odcs.yaml", 12, "error"),
    ]


def test_what_passed_is_remembered_by_its_content(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_project(folder) == []
    assert (folder / CACHE).is_file()

    def refuse(schema: str) -> None:
        raise AssertionError(schema[:1])

    monkeypatch.setattr(check, "_validator", refuse)
    assert check_project(folder) == []
    contract(folder, CONTRACT + "        description: new words\n")
    with pytest.raises(AssertionError):
        check_project(folder)


def test_what_did_not_pass_is_looked_at_again(folder: Path) -> None:
    contract(folder, CONTRACT + "price: 5\n")
    first = check_project(folder)
    assert first
    assert check_project(folder) == first


@pytest.mark.parametrize("cached", ["", "[]", "{}", '{"version": "x", "passed": 5}', "\x00"])
def test_a_broken_cache_is_no_cache(cached: str, folder: Path) -> None:
    check_project(folder)
    (folder / CACHE).write_text(cached)
    assert check_project(folder) == []


def test_a_project_that_cannot_be_written_to_can_be_checked(folder: Path) -> None:
    (folder / ".catchment").write_text("a file where the folder should be")
    assert check_project(folder) == []


def test_a_file_that_is_no_text_is_told_once(folder: Path) -> None:
    (folder / "contracts/orders.odcs.yaml").write_bytes(b"apiVersion: \xff\n")
    (problem,) = check_project(folder)
    assert "is not UTF-8" in problem.message


def test_further_checkers_see_a_project_without_errors(folder: Path) -> None:
    seen: list[Project] = []

    def checker(project: Project) -> list[Problem]:
        seen.append(project)
        return [Problem("silver/orders.py", "refine groups rows", line=9)]

    assert [str(problem) for problem in check_project(folder, [checker])] == ["silver/orders.py:9  refine groups rows"]
    assert seen[0].name == "shop"


def test_further_checkers_do_not_see_a_broken_one(folder: Path) -> None:
    contract(folder, CONTRACT + "price: 5\n")

    def checker(project: Project) -> list[Problem]:
        raise AssertionError(project)

    assert check_project(folder, [checker])


def test_many_contracts_cost_little_the_second_time(tmp_path: Path) -> None:
    tables = [f"t{n}" for n in range(60)]
    (tmp_path / "contracts").mkdir()
    for table in tables:
        (tmp_path / f"contracts/{table}.odcs.yaml").write_text(CONTRACT.replace("orders", table))
    silver = "".join(f"  {table}: {{from: drops.orders}}\n" for table in tables)
    (tmp_path / "catchment.yaml").write_text(PROJECT.split("silver:", maxsplit=1)[0] + "silver:\n" + silver)
    started = time.perf_counter()
    assert check_project(tmp_path) == []
    first = time.perf_counter() - started
    started = time.perf_counter()
    assert check_project(tmp_path) == []
    assert time.perf_counter() - started < max(first / 2, 0.2)
