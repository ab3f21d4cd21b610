"""Expressions of metrics that do not fit their columns are found by `check`, at their place, without a row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from catchment.check import check_project, metrics
from catchment.errors import Problem

YAML = """
name: small
sources: {src: {type: files, streams: {rows: {path: "rows/*.csv"}}}}
silver:
  clicks: {from: src.rows, contract: clicks.yaml}
live:
  good: {from: clicks, measures: {n: count(*)}}
  bad:
"""
CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: clicks
version: 1.0.0
status: active
schema:
  - name: clicks
    properties:
      - {name: id, logicalType: integer}
      - {name: page, logicalType: string}
      - {name: amount, logicalType: number}
      - {name: at, logicalType: timestamp}
      - {name: day, logicalType: date}
      - {name: flag, logicalType: boolean}
      - {name: told, logicalType: object}
      - {name: hour, logicalType: time}
      - {name: price, logicalType: number, physicalType: "decimal(4,4)"}
"""


def checked(folder: Path, where: str | None, measure: str = "count(*)") -> list[Problem]:
    """The problems of a metric `bad`, whose keys stand in lines 8 to 11."""
    keys = ["    from: clicks", "    measures:", f"      n: {json.dumps(measure)}"]
    keys += [f"    where: {json.dumps(where)}"] if where is not None else []
    (folder / "catchment.yaml").write_text("\n".join([YAML.strip("\n"), *keys, ""]), encoding="utf-8")
    (folder / "clicks.yaml").write_text(CONTRACT, encoding="utf-8")
    return check_project(folder, [metrics])


@pytest.mark.parametrize(
    ("where", "words", "types"),
    [
        ("id = 'PT'", "Could not convert string 'PT'", "id is integer"),
        ("flag and id in ('PT', '7')", "Could not convert string 'PT'", "id is integer, flag is boolean"),
        ("amount", "`amount` is number and no condition", "amount = …"),
        ("page", "`page` is string and no condition", "page = …"),
        ("amount > 'abc'", "Could not convert string 'abc'", "amount is number"),
        ("at > 'yesterday'", "yesterday", "at is timestamp"),
        ("page + 1 = 2", "+(VARCHAR, INTEGER_LITERAL)", "page is string"),
        ("page = 1", "a text is cast", "page is string"),
        ("id = page", "a text is cast", "id is integer, page is string"),
        ("cast(at as bigint) = 1", "Unimplemented type for cast", "at is timestamp"),
        ("nosuch(id)", "nosuch does not exist", "id is integer"),
        ("1 = 'x'", "Could not convert string 'x'", "correct it"),
    ],
)
def test_a_condition_of_other_types_is_found(tmp_path: Path, where: str, words: str, types: str) -> None:
    (found,) = checked(tmp_path, where)
    assert (found.file, found.line, found.column, found.severity) == ("catchment.yaml", 11, 12, "error")
    assert found.key == "live.bad.where"
    assert words in found.message
    assert types in str(found.cure)


@pytest.mark.parametrize(
    "measure",
    [
        "sum(amount + page)",
        "sum(upper(page))",
        "quantile(upper(page), 0.5)",
        "count(id = 'PT')",
        "top(id = 'PT', 3)",
        "share(amount)",
        "share(flag, id = 'PT')",
        "avg(cast(at as bigint))",
    ],
)
def test_a_measure_of_other_types_is_found(tmp_path: Path, measure: str) -> None:
    (found,) = checked(tmp_path, None, measure)
    assert (found.line, found.column, found.severity) == (10, 10, "error")
    assert found.key == "live.bad.measures.n"


@pytest.mark.parametrize(
    ("where", "measure"),
    [
        (None, "sum(cast(page as integer))"),
        ("page->>'$.a' = 'x'", "count(*)"),
        ("cast(page as date) = day", "count(*)"),
    ],
)
def test_a_cast_that_only_some_texts_pass_is_a_warning(tmp_path: Path, where: str | None, measure: str) -> None:
    (found,) = checked(tmp_path, where, measure)
    assert found.severity == "warning"
    assert "stops every figure over silver.clicks" in found.message
    assert "try_cast" in str(found.cure)


@pytest.mark.parametrize(
    ("where", "measure"),
    [
        ("try(page->>'$.a') = 'x'", "sum(try_cast(page as integer))"),
        ("flag and id = '7' and at >= '2026-01-01' and day < date '2026-02-01'", "share(flag, amount > 1)"),
        ("lower(page) like 'a%' and page in ('a', 'b')", "count(distinct page || id)"),
        ("flag", "sum(case when flag then 1 else 0 end)"),
        ("1 / id > 0", "max(date_diff('day', day, cast(at as date)))"),
        (None, "quantile(amount * 2, 0.95)"),
        (None, "min(at)"),
        ("told->>'$.a' = 'x' and cast(hour as time) > time '11:00:00' and price < 1", "sum(price)"),
        (None, "sum(ln(coalesce(amount, 0)))"),
        (None, "avg(sqrt(amount - 5))"),
        ("cast(cast(id * 1000 as smallint) as boolean)", "count(*)"),
        (None, "top(page, 3)"),
    ],
)
def test_what_fits_is_nothing(tmp_path: Path, where: str | None, measure: str) -> None:
    assert checked(tmp_path, where, measure) == []
