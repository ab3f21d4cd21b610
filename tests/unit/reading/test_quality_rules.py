"""Weights, scores and what is usual, as contracts ask for them."""

from __future__ import annotations

import pytest

from catchment.contract import Contract, Usual
from catchment.errors import Problem
from catchment.reading.odcs.document import load_contract

HEAD = """\
apiVersion: v3.2.0
kind: DataContract
id: t
name: t
version: 1.0.0
status: active
"""
COLUMNS = """\
schema:
  - name: t
    properties:
      - {{name: id, logicalType: string, primaryKey: true, required: true}}
      - {{name: amount, logicalType: number{amount}}}
      - {{name: paid, logicalType: boolean}}
      - {{name: at, logicalType: timestamp}}
    quality: [{rules}]
"""
FRESH = "slaProperties: [{property: freshness, value: 1, unit: h, element: t.at}]\n"


def custom(implementation: str, rest: str = "") -> str:
    return f"{{type: custom, engine: catchment, implementation: {implementation}{rest}}}"


def read(*rules: str, amount: str = "", fresh: bool = True) -> tuple[Contract | None, list[Problem]]:
    text = HEAD + COLUMNS.format(rules=", ".join(rules), amount=amount) + (FRESH if fresh else "")
    return load_contract("contracts/t.odcs.yaml", text, table="t")


def said(problem: Problem) -> str:
    return problem.message.removeprefix(f"{problem.key}: ")


def good(*rules: str, amount: str = "") -> Contract:
    contract, problems = read(*rules, amount=amount)
    assert problems == []
    assert contract is not None
    return contract


def weighed(value: str) -> str:
    return f", customProperties: [{{property: weight, value: {value}}}]"


def test_weights_of_columns_and_of_the_tables_own_rules() -> None:
    found = good(custom("{condition: amount > 0}", weighed("2.5")), custom("{condition: paid}"), amount=weighed("0"))
    assert [column.weight for column in found.columns] == [1.0, 0.0, 1.0, 1.0]
    assert [rule.weight for rule in found.row_rules] == [2.5, 1.0]


def test_a_rule_on_the_score_and_one_on_what_is_usual() -> None:
    found = good(
        custom("{score: 90}", ", severity: error"),
        custom("{usual: {}}", ", severity: warning"),
        custom(
            '{usual: {loads: 14, deviations: 2.5, of: [rows, rejected_share, score, freshness, "amount: nulls",'
            ' "amount: mean", "paid: true"]}}',
            ", name: calm",
        ),
    )
    score, usual, calm = found.set_rules
    assert (score.measure, score.minimum, score.severity, score.message) == (
        "score",
        90,
        "stop",
        "the contract asks for 90",
    )
    assert (usual.measure, usual.severity, usual.usual) == ("usual", "warn", Usual())
    assert calm.name == "calm"
    assert calm.usual == Usual(
        14,
        2.5,
        (
            *((name, None) for name in ("rows", "rejected_share", "score", "freshness")),
            *(("nulls", "amount"), ("mean", "amount"), ("true", "paid")),
        ),
    )


def test_without_quotes_a_columns_measure_is_meant_all_the_same() -> None:
    (rule,) = good(custom("{usual: {of: [{amount: nulls}]}}")).set_rules
    assert rule.usual == Usual(of=(("nulls", "amount"),))


@pytest.mark.parametrize(
    ("rule", "message", "cure"),
    [
        ("{scor: 90}", "engine catchment has no `scor`", "did you mean `score`?"),
        ("{score: 101}", "score must be a number from 0 to 100, not `101`", "write score: 90"),
        ("{score: true}", "score must be a number from 0 to 100, not `true`", "write score: 90"),
        ("{usual: 30}", "usual must be a mapping, not `30`", "write usual: {loads: 30, deviations: 3}"),
        ("{usual: {load: 30}}", "usual has no `load`", "did you mean `loads`?"),
        ("{usual: {loads: 6}}", "loads must be a whole number from 7 to 1000", "write loads: 30"),
        ("{usual: {deviations: 0}}", "deviations must be a number above 0", "write deviations: 3"),
        ("{usual: {of: []}}", "of must be a list of measures", 'write of: [rows, "amount: nulls"]'),
        ("{usual: {of: [row]}}", "no measure `row` of a table", "did you mean `rows`?"),
        ('{usual: {of: ["amout: nulls"]}}', "no column `amout`", "did you mean `amount`?"),
        (
            '{usual: {of: ["amount: true"]}}',
            "no measure `true` of `amount`, which is number",
            "there are amount: nulls, amount: mean",
        ),
        (
            '{usual: {of: ["id: nulls"]}}',
            "`id` is required: no row of the table lacks it",
            "ask for rejected_share instead",
        ),
        ('{usual: {of: ["id: length"]}}', "`id` is of the key, which names rows and has no length", "remove it"),
    ],
)
def test_a_mistake_is_told_with_its_cure(rule: str, message: str, cure: str) -> None:
    _, problems = read(custom(rule))
    assert [(said(problem), problem.cure) for problem in problems] == [(message, cure)]


def test_a_freshness_that_is_not_declared_cannot_be_usual() -> None:
    _, (problem,) = read(custom("{usual: {of: [freshness]}}"), fresh=False)
    assert said(problem) == "the contract declares no freshness"


@pytest.mark.parametrize("value", ["-1", "heavy", "true", ".inf", "1.0e+9", "1" + 400 * "0"])
def test_a_weight_is_a_number_from_zero(value: str) -> None:
    _, (problem,) = read(amount=weighed(value))
    assert said(problem).startswith("weight must be a number from 0 to 1,000,000, not")
    assert problem.severity == "error"


@pytest.mark.parametrize("rule", ["{score: 90}", "{usual: {of: [score]}}"])
def test_a_score_that_no_load_can_have_is_a_mistake(rule: str) -> None:
    column = f"      - {{name: id, logicalType: string{weighed('0')}}}\n"
    weightless = f"{HEAD}schema:\n  - name: t\n    properties:\n{column}    quality: [{custom(rule)}"
    _, (problem,) = load_contract("contracts/t.odcs.yaml", f"{weightless}]\n", table="t")
    assert said(problem) == "every weight is 0, so that no load ever has a score"
    rows = custom("{condition: \"id <> ''\"}", weighed("1"))
    assert load_contract("contracts/t.odcs.yaml", f"{weightless}, {rows}]\n", table="t")[1] == []


def test_a_weight_that_nothing_hangs_on_is_told() -> None:
    _, problems = read(custom("{rejectedShare: 0.5}", weighed("2")))
    assert [(problem.severity, problem.cure) for problem in problems] == [("warning", "only a condition has a weight")]
    _, problems = read(amount=f", quality: [{custom('{condition: amount > 1}', weighed('2'))}]")
    assert [problem.cure for problem in problems] == ["give the weight to the property"]


@pytest.mark.parametrize("rule", ["{score: 90}", "{usual: {}}"])
def test_rules_over_a_load_are_the_tables(rule: str) -> None:
    _, (problem,) = read(amount=f", quality: [{custom(rule)}]")
    assert problem.cure == "list it under the quality of the table"


def test_a_rule_cannot_be_called_as_our_own_reasons_are() -> None:
    found = good(
        custom("{condition: paid}", ", name: readable"), custom("{condition: amount > 1}", ", name: reference")
    )
    assert [rule.name for rule in found.row_rules] == ["readable 2", "reference 2"]
