"""Rules of engine catchment: a condition on rows, the share of rejects, a load's score, and whether a load is usual."""

from __future__ import annotations

from typing import Any

from catchment.contract import LEAST_LOADS, TABLE_MEASURES, SetRule, Usual, column_measures
from catchment.naming import did_you_mean
from catchment.reading.documents import Node, shorten
from catchment.reading.odcs import conditions
from catchment.reading.odcs.columns import custom_properties, weight
from catchment.reading.odcs.rule import Asked, Rule, Rules

_MOST_LOADS = 1000
_USUAL_KEYS = ("loads", "deviations", "of")
_EXAMPLE = "write implementation: {condition: total >= 0}, {rejectedShare: 0.05}, {score: 90} or {usual: {loads: 30}}"


def read_custom(rule: Rule) -> None:
    engine = rule.node.string("engine")
    if engine != "catchment":
        cure = did_you_mean(engine or "", ("catchment",))
        rule.not_acted_on(f"a rule for engine `{engine}`" if engine else "a custom rule without engine", cure=cure)
        return
    node = rule.node.get("implementation")
    if node is None or not node.is_mapping or not node.entries():
        rule.error(node, "implementation must be a mapping", _EXAMPLE)
        return
    for name in node.entries():
        if name not in _READERS:
            cure = did_you_mean(name, _READERS) or f"there are {', '.join(_READERS)}"
            rule.error(node.get(name), f"engine catchment has no `{name}`", cure)
    weighs = _weight(rule, node)
    for name, reader in _READERS.items():
        value = node.get(name)
        if value is not None:
            reader(rule, value, weighs)


def _weight(rule: Rule, node: Node) -> float:
    """A rule on rows of the table weighs by itself, one at a column with its column."""
    found = custom_properties(rule.node, rule.key, rule.rules.findings)
    weighs = weight(found, rule.key, rule.rules.findings)
    if weighs is None:
        return 1.0
    if rule.draft is not None or node.get("condition") is None:
        cure = "give the weight to the property" if rule.draft is not None else "only a condition has a weight"
        rule.not_acted_on("the weight of this rule", found["weight"], cure=cure)
    return weighs


def _condition(rule: Rule, node: Node, weighs: float) -> None:
    if not isinstance(node.value, str):
        rule.error(node, f"condition must be SQL in text, not {node.kind()}", "write condition: total >= 0")
        return
    wrong = conditions.fault(node.value, rule.rules.names)
    if wrong is not None:
        rule.error(node, *wrong)
        return
    severity = rule.node.string("severity")
    if severity in ("info", "warning"):
        rule.not_acted_on(
            f"severity {severity} of a condition", rule.node.get("severity"), cure="rows that break it are rejected"
        )
    condition = " ".join(node.value.split()) if "'" not in node.value and "--" not in node.value else node.value.strip()
    rule.rules.add_row(
        rule.name(shorten(condition)),
        condition,
        rule.message(f"not met: {shorten(condition, 120)}"),
        rule.draft.name if rule.draft else None,
        weighs if rule.draft is None else 1.0,
    )


def _rejected_share(rule: Rule, node: Node, _: float) -> None:
    value: Any = node.value
    if not _is_number(value) or not 0 <= value <= 1:
        rule.error(
            node, f"rejectedShare must be a share from 0 to 1, not {node.kind()}", "write rejectedShare: 0.05 for 5 %"
        )
        return
    _add(rule, "rejected share", f"the contract allows {value * 100:g} %", measure="rejected_share", maximum=value)


def _score(rule: Rule, node: Node, _: float) -> None:
    value: Any = node.value
    if not _is_number(value) or not 0 <= value <= 100:
        rule.error(node, f"score must be a number from 0 to 100, not {node.kind()}", "write score: 90")
    elif _is_of_table(rule, node, "a score"):
        rule.rules.asked.append(Asked(node, "score", None))
        _add(rule, "score", f"the contract asks for {value:g}", measure="score", minimum=value)


def _usual(rule: Rule, node: Node, _: float) -> None:
    if not node.is_mapping:
        rule.error(node, f"usual must be a mapping, not {node.kind()}", "write usual: {loads: 30, deviations: 3}")
        return
    for name in node.entries():
        if name not in _USUAL_KEYS:
            cure = did_you_mean(name, _USUAL_KEYS) or f"there are {', '.join(_USUAL_KEYS)}"
            rule.error(node.get(name), f"usual has no `{name}`", cure)
    loads, deviations, of = _loads(rule, node), _deviations(rule, node), _asked(rule, node)
    if _is_of_table(rule, node, "what is usual") and None not in (loads, deviations, of):
        assert loads is not None
        assert deviations is not None
        assert of is not None
        rule.rules.asked += of
        usual = Usual(loads, deviations, tuple((one.measure, one.column) for one in of))
        _add(rule, "usual", "", measure="usual", usual=usual)


def _loads(rule: Rule, node: Node) -> int | None:
    found = node.get("loads")
    value = Usual.loads if found is None else found.value
    if isinstance(value, bool) or not isinstance(value, int) or not LEAST_LOADS <= value <= _MOST_LOADS:
        message = f"loads must be a whole number from {LEAST_LOADS} to {_MOST_LOADS}"
        rule.error(found, message, f"write loads: {Usual.loads}")
        return None
    return value


def _deviations(rule: Rule, node: Node) -> float | None:
    found = node.get("deviations")
    value: Any = Usual.deviations if found is None else found.value
    if not _is_number(value) or not 0 < value <= 100:
        rule.error(found, "deviations must be a number above 0", f"write deviations: {Usual.deviations:g}")
        return None
    return float(value)


def _asked(rule: Rule, node: Node) -> list[Asked] | None:
    listed = node.get("of")
    if listed is None:
        return []
    if not listed.is_list or not listed.items():
        rule.error(listed, "of must be a list of measures", f'write of: [{TABLE_MEASURES[0]}, "amount: nulls"]')
        return None
    found = [_one_asked(rule, item) for item in listed.items()]
    return None if None in found else [one for one in found if one is not None]


def _one_asked(rule: Rule, node: Node) -> Asked | None:
    # Without its quotes YAML reads `amount: nulls` in a list as a mapping.
    entries = node.entries() if node.is_mapping else {}
    text = ": ".join([*entries, *(value.text for value in entries.values())]) if len(entries) == 1 else node.text
    column, colon, measure = (part.strip() for part in text.rpartition(":"))
    if not colon:
        if measure in TABLE_MEASURES:
            return Asked(node, measure, None)
        cure = did_you_mean(measure, TABLE_MEASURES) or f"there are {', '.join(TABLE_MEASURES)}, and <column>: nulls"
        rule.error(node, f"no measure `{shorten(measure)}` of a table", cure)
        return None
    draft = next((draft for draft in rule.rules.drafts if draft.name == column), None)
    if draft is None:
        cure = did_you_mean(column, rule.rules.names) or "name a column of this contract"
        rule.error(node, f"no column `{shorten(column)}`", cure)
        return None
    known = column_measures(draft.type)
    if measure not in known:
        cure = did_you_mean(measure, known) or f"there are {', '.join(f'{column}: {name}' for name in known)}"
        rule.error(node, f"no measure `{shorten(measure)}` of `{column}`, which is {draft.type}", cure)
        return None
    return Asked(node, measure, column)


def finish_usual(rules: Rules, *, is_fresh: bool) -> None:
    """What only the whole contract can tell: that something is never measured. `is_fresh`: it declares a freshness."""
    drafts = {draft.name: draft for draft in rules.drafts}
    for one in rules.asked:
        values = {} if one.column is None else drafts[one.column].values
        said = None
        if one.measure == "score" and not _weighs(rules):
            said = ("every weight is 0, so that no load ever has a score", "let a column weigh something, or remove it")
        elif one.measure == "freshness" and not is_fresh:
            said = ("the contract declares no freshness", "declare one under slaProperties, or remove it")
        elif one.measure == "nulls" and values.get("required"):
            said = (f"`{one.column}` is required: no row of the table lacks it", "ask for rejected_share instead")
        elif one.measure in ("mean", "length") and "key_position" in values:
            said = (f"`{one.column}` is of the key, which names rows and has no {one.measure}", "remove it")
        if said is not None:
            rules.findings.error(one.node, said[0], cure=said[1], key=f"{rules.table}.quality")


def _weighs(rules: Rules) -> bool:
    """Whether anything counts in the score."""
    columns = any(draft.values.get("weight", 1.0) for draft in rules.drafts)
    return columns or any(rule.weight for rule in rules.row_rules if rule.column is None)


def _is_of_table(rule: Rule, node: Node, what: str) -> bool:
    if rule.draft is not None:
        rule.error(node, f"{what} is the table's", "list it under the quality of the table")
    return rule.draft is None


def _add(rule: Rule, name: str, message: str, **values: Any) -> None:
    unique = rule.rules.unique_name(rule.name(name))
    rule.rules.set_rules.append(SetRule(unique, message=rule.message(message), severity=rule.severity, **values))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_READERS = {"condition": _condition, "rejectedShare": _rejected_share, "score": _score, "usual": _usual}
