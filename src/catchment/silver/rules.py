"""A contract's rules as expressions: what a row must meet, and what a whole load should.

A row rule is a condition for being *wrong*, so that NULL, which is neither, counts as right but for `required`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from catchment.contract import Column, Contract, SetRule
from catchment.naming import literal, quoted
from catchment.reading.odcs.patterns import FORMAT_WORDS
from catchment.records import Verdict
from catchment.silver.conform import sql_type, timestamp_from

# What a double may lack of the tenth that is meant: ten times 99.8 could be 997.9999999999999.
_A_HAIR = 1e-9


@dataclass(frozen=True)
class Fault:
    """One thing that can be wrong with a row; `wrong` is SQL over the contract's columns."""

    column: str | None
    rule: str
    wrong: str
    message: str


def faults(contract: Contract, required: Sequence[str] = ()) -> list[Fault]:
    """Every row rule in the order of the contract; `required` are columns that must be there whatever it says."""
    found: list[Fault] = []
    for column in contract.columns:
        found += _column_faults(column, required=column.required or column.name in required)
    for rule in contract.row_rules:
        found.append(Fault(rule.column, rule.name, _unmet(rule.condition), rule.message))
    return found


def _unmet(condition: str) -> str:
    """A row for which the condition cannot be computed, by a cast that fails for example, does not meet it; the line
    end closes a comment."""
    return f"COALESCE(TRY(CASE WHEN NOT ({condition}\n) THEN 1 ELSE 0 END), 1) = 1"


def _column_faults(column: Column, *, required: bool) -> Iterable[Fault]:
    name = quoted(column.name)
    if required:
        yield Fault(column.name, "required", f"{name} IS NULL", "required")
    if column.enum:
        listed = ", ".join(_literal(column, value) for value in column.enum)
        words = ", ".join(str(value) for value in column.enum)
        yield Fault(column.name, "enum", f"{name} NOT IN ({listed})", f"is not one of {words}")
    if column.pattern is not None:
        wrong = f"NOT regexp_matches({name}, {literal(column.pattern)})"
        words = FORMAT_WORDS.get(column.pattern, f"does not match {column.pattern}")
        yield Fault(column.name, "pattern", wrong, words)
    for rule, bound, wrong, words in (
        ("minLength", column.min_length, "length({0}) < {1}", "is shorter than {1} characters"),
        ("maxLength", column.max_length, "length({0}) > {1}", "is longer than {1} characters"),
    ):
        if bound is not None:
            yield Fault(column.name, rule, wrong.format(name, bound), words.format(name, bound))
    yield from _range_faults(column, name)


def _range_faults(column: Column, name: str) -> Iterable[Fault]:
    for rule, bound, operator, words in (
        ("minimum", column.minimum, "<", "is less than"),
        ("maximum", column.maximum, ">", "is more than"),
        ("exclusiveMinimum", column.exclusive_minimum, "<=", "is not more than"),
        ("exclusiveMaximum", column.exclusive_maximum, ">=", "is not less than"),
    ):
        if bound is not None:
            yield Fault(column.name, rule, f"{name} {operator} {_literal(column, bound)}", f"{words} {bound}")
    if column.multiple_of is not None:
        exact = f"TRY_CAST({name} AS DECIMAL(38, 9))"
        wrong = f"{exact} % CAST({column.multiple_of} AS DECIMAL(38, 9)) <> 0"
        too_large = f"({exact} IS NULL AND {name} IS NOT NULL)"
        yield Fault(column.name, "multipleOf", f"{too_large} OR {wrong}", f"is not a multiple of {column.multiple_of}")


def _literal(column: Column, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float) and column.type in ("integer", "number", "decimal"):
        return str(value)
    if column.type == "timestamp":
        # A bound without an offset is meant in the zone in which the column's values are read.
        return f"({timestamp_from(column, literal(str(value)))})"
    return f"CAST({literal(str(value))} AS {sql_type(column)})"


def figures(rules: Sequence[SetRule]) -> dict[str, str]:
    """Aggregates over one load's good rows that the set rules need, by rule name."""
    wanted = {}
    for rule in rules:
        columns = ", ".join(quoted(column) for column in rule.columns)
        if rule.measure == "duplicates":
            present = " AND ".join(f"{quoted(column)} IS NOT NULL" for column in rule.columns)
            wanted[rule.name] = (
                f"count(*) FILTER (WHERE {present}) - count(DISTINCT ({columns},)) FILTER (WHERE {present})"
            )
        elif rule.measure == "nulls":
            missing = " OR ".join(f"{quoted(column)} IS NULL" for column in rule.columns)
            wanted[rule.name] = f"count(*) FILTER (WHERE {missing})"
    return wanted


def verdicts(
    rules: Sequence[SetRule],
    measured: Mapping[str, int],
    *,
    read: int,
    rejected: int,
    good: int,
    score: float | None = None,
    unusual: Mapping[str, Sequence[str]] | None = None,
) -> list[Verdict]:
    """What each set rule says of a load; bounds of unit percent are shares of the rows they look at, times 100.

    `score` is None where no row was judged. `unusual` says in words, by rule, what is not as in the loads before.
    """
    said = []
    for rule in rules:
        if rule.measure == "usual":
            words = (unusual or {}).get(rule.name, ())
            shown = "; ".join([*words, *([rule.message] if rule.message else [])])
            said.append(Verdict(rule.name, not words, shown, severity=rule.severity))
            continue
        joint = ";"
        if rule.measure == "rejected_share":
            figure = rejected / read if read else 0.0
            shown, joint = f"{_percent(figure, rule.maximum)} of {read:,} new rows were rejected", ","
        elif rule.measure == "score":
            figure = 100.0 if score is None else score
            shown, joint = f"score {tenths(figure)} of {read:,} new rows", ","
        elif rule.measure == "rows":
            figure = float(good)
            shown = f"{good:,} rows"
        else:
            count = measured[rule.name]
            figure = 100.0 * count / good if rule.unit == "percent" and good else float(count)
            shown = f"{count:,} {rule.measure} in {', '.join(rule.columns)}"
        passed = (rule.minimum is None or figure >= rule.minimum) and (rule.maximum is None or figure <= rule.maximum)
        said.append(Verdict(rule.name, passed, f"{shown}{joint} {rule.message}", severity=rule.severity))
    return said


def tenths(score: float) -> str:
    """`89.9`, cut and never rounded up to what it does not reach."""
    return f"{math.floor(10 * score + _A_HAIR) / 10:.1f}"


def _percent(share: float, most: float | None) -> str:
    """`31 %`, `0.042 %`; never rounded to all or nothing, nor to the `most` that it is above."""
    percent = 100 * share
    shown = f"{percent:.3g}"
    if most is not None and share > most and float(shown) <= 100 * most:
        shown = f"{percent:.9g}"
    return f"{shown if shown != '100' or percent == 100 else '99.9'} %"
