"""Quality rules of the standard: into a column's own attributes, a rule on rows, or a rule over a load."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

from catchment.contract import SetRule
from catchment.naming import did_you_mean, literal, quoted
from catchment.reading.documents import Node, shorten
from catchment.reading.odcs import keys
from catchment.reading.odcs.columns import enum_value
from catchment.reading.odcs.custom import read_custom
from catchment.reading.odcs.options import Draft, pattern_fault
from catchment.reading.odcs.rule import Rule, Rules

METRICS = ("nullValues", "missingValues", "invalidValues", "duplicateValues", "rowCount")
SEVERITIES = ("info", "warning", "error")
_ON_COLUMN = "this metric looks at one column"

Bounds = tuple[float | None, float | None]


def read_quality(owner: Node, draft: Draft | None, rules: Rules) -> None:
    """The rules listed at a property (`draft`) or at the table (None)."""
    listed = owner.get("quality")
    if listed is None:
        return
    key = f"{draft.key if draft else rules.table}.quality"
    if not listed.is_list:
        rules.findings.error(listed, "quality must be a list of rules", cure="write - metric: nullValues", key=key)
    for node in listed.items():
        if not node.is_mapping:
            rules.findings.error(
                node, "a quality rule must be a mapping", cure="write - metric: nullValues and mustBe: 0", key=key
            )
            continue
        keys.check_keys(node, keys.QUALITY, rules.findings, key)
        _read_rule(Rule(node, draft, rules, key))


def _read_rule(rule: Rule) -> None:
    kind = rule.node.string("type") or (
        "library" if "metric" in rule.node.entries() or "rule" in rule.node.entries() else ""
    )
    if not kind and "type" not in rule.node.entries():
        kind = "custom" if "implementation" in rule.node.entries() else "library"
    if kind == "text":
        return
    if kind == "library":
        _library(rule)
    elif kind == "custom":
        read_custom(rule)
    elif kind == "sql":
        rule.not_acted_on("an SQL query", cure="a condition on rows is: type: custom, engine: catchment")
    else:
        cure = did_you_mean(kind, ("text", "library", "sql", "custom")) or "write library, custom, sql or text"
        rule.error(rule.node.get("type"), f"no type of rule `{shorten(kind)}`", cure)
    severity = rule.node.get("severity")
    if severity is not None and severity.value not in SEVERITIES:
        cure = did_you_mean(severity.text, SEVERITIES) or f"there are {', '.join(SEVERITIES)}"
        rule.not_acted_on(f"severity {severity.kind()}", severity, cure=cure)
    for unused in ("schedule", "scheduler"):
        if unused in rule.node.entries():
            rule.not_acted_on(unused, rule.node.get(unused))


def _library(rule: Rule) -> None:
    node = rule.node.get("metric") or rule.node.get("rule")
    if node is None:
        rule.error(None, "a rule needs a metric", f"write metric: {METRICS[0]}, or one of {', '.join(METRICS[1:])}")
        return
    reader = _READERS.get(node.text)
    if reader is None:
        cure = did_you_mean(node.text, METRICS) or f"there are {', '.join(METRICS)}"
        rule.error(node, f"no metric {node.kind()}", cure)
        return
    bounds = _bounds(rule)
    if bounds is not None:
        reader(rule, bounds)


def _bounds(rule: Rule) -> Bounds | None:
    """Least and most, both inside; None after a problem, or where the comparison is not acted on."""
    told = [(name, rule.node.get(name)) for name in _OPERATORS if name in rule.node.entries()]
    if not told:
        unused = [name for name in ("mustNotBe", "mustNotBeBetween") if name in rule.node.entries()]
        if unused:
            rule.not_acted_on(unused[0], rule.node.get(unused[0]))
        else:
            rule.error(None, "the metric has nothing to compare with", "write mustBe: 0, or another of mustBe…")
        return None
    if len(told) > 1:
        rule.error(
            told[1][1], f"{told[0][0]} and {told[1][0]} in one rule", "keep one, or write mustBeBetween: [least, most]"
        )
        return None
    name, node = told[0]
    assert node is not None
    numbers = node.items() if name == "mustBeBetween" else [node]
    values = [item.value for item in numbers]
    wanted = 2 if name == "mustBeBetween" else 1
    if len(values) != wanted or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        example = "[1, 100]" if wanted == 2 else "0"
        rule.error(node, f"{name} must be {'two numbers' if wanted == 2 else 'a number'}", f"write {name}: {example}")
        return None
    bounds = _OPERATORS[name](*values)
    if bounds[0] is not None and bounds[1] is not None and bounds[0] > bounds[1]:
        rule.error(node, f"{name} names the larger number first", "exchange them")
        return None
    return bounds


def _above(value: float) -> float:
    return value + 1 if float(value).is_integer() else math.ceil(value)


def _below(value: float) -> float:
    return value - 1 if float(value).is_integer() else math.floor(value)


_OPERATORS: dict[str, Callable[..., Bounds]] = {
    "mustBe": lambda value: (value, value),
    "mustBeGreaterThan": lambda value: (value, None),
    "mustBeGreaterOrEqualTo": lambda value: (value, None),
    "mustBeLessThan": lambda value: (None, value),
    "mustBeLessOrEqualTo": lambda value: (None, value),
    "mustBeBetween": lambda least, most: (least, most),
}


def _unit(rule: Rule) -> Literal["rows", "percent"] | None:
    node = rule.node.get("unit")
    if node is None or node.value == "rows":
        return "rows"
    if node.value in ("percent", "%"):
        return "percent"
    rule.not_acted_on(f"unit {node.kind()}", node, cure="write rows or percent")
    return None


def _exact(rule: Rule, bounds: Bounds, unit: str) -> Bounds:
    """Bounds belong to the range: `greater than 5 rows` is at least 6, and of a share the next number up."""
    least, most = bounds
    if "mustBeGreaterThan" in rule.node.entries() and least is not None:
        least = _above(least) if unit == "rows" else math.nextafter(least, math.inf)
    if "mustBeLessThan" in rule.node.entries() and most is not None:
        most = _below(most) if unit == "rows" else math.nextafter(most, -math.inf)
    return least, most


def _add_set(
    rule: Rule, bounds: Bounds, measure: Literal["rows", "duplicates", "nulls"], columns: tuple[str, ...]
) -> None:
    unit = _unit(rule)
    if unit is None:
        return
    least, most = _exact(rule, bounds, unit)
    subject = ", ".join(columns) or "rows"
    words = {"rows": "rows in a load", "duplicates": f"duplicates of {subject}", "nulls": f"nulls in {subject}"}[
        measure
    ]
    message = rule.message(f"{words}: {_range(least, most)}{' percent' if unit == 'percent' else ''}")
    name = rule.rules.unique_name(rule.name(f"{measure} of {subject}" if columns else measure))
    rule.rules.set_rules.append(SetRule(name, measure, message, columns, least, most, unit, rule.severity))


def _range(least: float | None, most: float | None) -> str:
    if least == most:
        return f"{least:g} expected"
    parts = [f"at least {least:g}" if least is not None else "", f"at most {most:g}" if most is not None else ""]
    return " and ".join(part for part in parts if part)


def _none_allowed(rule: Rule, bounds: Bounds) -> bool:
    _, most = _exact(rule, bounds, "rows")
    return most is not None and most <= 0


def _needs_column(rule: Rule) -> Draft | None:
    if rule.draft is None:
        rule.error(rule.node.get("metric"), _ON_COLUMN, "list it under the quality of a property")
    return rule.draft


def _nulls(rule: Rule, bounds: Bounds) -> None:
    draft = _needs_column(rule)
    if draft is None:
        return
    if _none_allowed(rule, bounds):
        draft.values["required"] = True
    else:
        _add_set(rule, bounds, "nulls", (draft.name,))


def _arguments(rule: Rule, known: tuple[str, ...]) -> dict[str, Node]:
    node = rule.node.get("arguments")
    if node is None:
        return {}
    for name in node.entries():
        if name not in known:
            cure = did_you_mean(name, known) or (f"it takes {', '.join(known)}" if known else "remove it")
            rule.error(node.get(name), f"the metric has no argument `{name}`", cure)
    return {name: value for name, value in node.entries().items() if name in known}


def _missing(rule: Rule, bounds: Bounds) -> None:
    draft = _needs_column(rule)
    if draft is None:
        return
    listed = _arguments(rule, ("missingValues",)).get("missingValues")
    words = [node.text for node in listed.items() if node.value is not None] if listed is not None else []
    if words and not _none_allowed(rule, bounds):
        rule.not_acted_on(
            "a number of missingValues", cure="nullMarkers make nulls of such words, and nullValues counts them"
        )
        return
    _nulls(rule, bounds)
    if words:
        name = rule.name(f"{draft.name}: not missing")
        rule.rules.add_row(name, _not_in(draft.name, words), rule.message(f"{draft.name} is missing"), draft.name)


def _invalid(rule: Rule, bounds: Bounds) -> None:
    draft = _needs_column(rule)
    if draft is None:
        return
    arguments = _arguments(rule, ("validValues", "pattern"))
    if not _none_allowed(rule, bounds):
        rule.not_acted_on("a number of invalid values that may pass", cure="with mustBe: 0 each row is checked")
        return
    if not arguments and not _is_restricted(draft):
        rule.error(None, "nothing says which values are valid", "write arguments: {validValues: […]} or {pattern: …}")
    if "validValues" in arguments:
        _valid_values(rule, draft, arguments["validValues"])
    if "pattern" in arguments:
        _valid_pattern(rule, draft, arguments["pattern"])


def _is_restricted(draft: Draft) -> bool:
    loose = {"source", "required", "unique", "key_position", "description", "classification", "null_markers", "weight"}
    return draft.type != "string" or bool(draft.values.keys() - loose)


def _valid_values(rule: Rule, draft: Draft, node: Node) -> None:
    values = [enum_value(draft, item, rule.rules.findings) for item in node.items()]
    if not values:
        rule.error(node, "validValues is empty: no value could pass", "list the values")
    good = tuple(value for value in values if value is not None)
    if not draft.values.get("enum"):
        draft.values["enum"] = good
    else:
        both = tuple(value for value in draft.values["enum"] if value in good)
        if not both:
            rule.error(node, "validValues and enum have no value in common", "keep one of them")
        draft.values["enum"] = both


def _valid_pattern(rule: Rule, draft: Draft, node: Node) -> None:
    wrong = pattern_fault(node.text)
    if wrong is not None:
        rule.error(node, *wrong)
    elif draft.type != "string":
        rule.error(
            node, f"a pattern is for text, and `{draft.name}` is {draft.type}", "remove it, or correct the logicalType"
        )
    elif "pattern" not in draft.values:
        draft.values["pattern"] = node.text
    else:
        rule.rules.add_row(
            rule.name(f"{draft.name}: pattern"),
            matches(draft.name, node.text),
            rule.message(f"{draft.name} does not match {node.text}"),
            draft.name,
        )


def _duplicates(rule: Rule, bounds: Bounds) -> None:
    listed = _arguments(rule, ("properties",)).get("properties")
    if listed is not None:
        columns = tuple(item.text for item in listed.items())
        for item in listed.items():
            if item.text not in rule.rules.names:
                rule.error(
                    item,
                    f"no column {item.kind()}",
                    did_you_mean(item.text, rule.rules.names) or "name columns of this contract",
                )
                return
    elif rule.draft is not None:
        columns = (rule.draft.name,)
    else:
        columns = ()
    if not columns:
        rule.error(None, "duplicateValues of a table needs columns", "write arguments: {properties: [a, b]}")
    elif rule.draft is not None and columns == (rule.draft.name,) and _is_plain_unique(rule, bounds):
        rule.draft.values["unique"] = True
    else:
        _add_set(rule, bounds, "duplicates", columns)


def _is_plain_unique(rule: Rule, bounds: Bounds) -> bool:
    """Whether the rule says no more than `unique: true`, which warns."""
    return _none_allowed(rule, bounds) and rule.severity == "warn"


def _rows(rule: Rule, bounds: Bounds) -> None:
    if rule.node.string("unit") in ("percent", "%"):
        rule.error(rule.node.get("unit"), "rowCount counts rows", "remove the unit")
        return
    _add_set(rule, bounds, "rows", ())


_READERS: dict[str, Callable[[Rule, Bounds], None]] = {
    "nullValues": _nulls,
    "missingValues": _missing,
    "invalidValues": _invalid,
    "duplicateValues": _duplicates,
    "rowCount": _rows,
}


def finish(rules: Rules) -> None:
    """What only the whole contract can tell: a string's format beside a pattern of its own, and who is unique."""
    from catchment.reading.odcs.patterns import FORMATS

    for draft in rules.drafts:
        name = draft.values.pop("string_format", None)
        if name is not None and "pattern" not in draft.values:
            draft.values["pattern"] = FORMATS[name]
        elif name is not None:
            condition = matches(draft.name, FORMATS[name])
            rules.add_row(f"{draft.name}: {name}", condition, f"is not of format {name}", draft.name)
        if draft.values.get("unique"):
            name = rules.unique_name(f"{draft.name}: unique")
            message = f"{draft.name} should be unique in a load"
            rules.set_rules.append(SetRule(name, "duplicates", message, (draft.name,), maximum=0))


def matches(column: str, pattern: str) -> str:
    """A condition: the pattern is found in the column."""
    return f"regexp_matches({quoted(column)}, {literal(pattern)})"


def _not_in(column: str, words: Sequence[str]) -> str:
    return f"CAST({quoted(column)} AS VARCHAR) NOT IN ({', '.join(map(literal, words))})"
