"""All rules over all models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING

from catchment.gold.layers import allowed
from catchment.gold.layers.models import Finding, Model
from catchment.gold.layers.rules import RULES
from catchment.recall import digest

if TYPE_CHECKING:
    from catchment.gold.layers.held import Broken
    from catchment.recall import Recall

_SHOWN = 5


def lint(models: Iterable[Model], recall: Recall | None = None) -> list[Finding]:
    """Every rule that a model breaks, once, at the first line; by file and line.

    A project none of whose models lies in a layer is held to none of them. SQL that cannot be read is a
    warning: dbt and the warehouse understand more than we do. What was found of a model that has not changed since
    is recalled: reading its SQL takes 20 ms.
    """
    there = list(models)
    if all(model.layer is None for model in there):
        return []
    found = [finding for model in there for finding in _recalled(model, recall)]
    return sorted(found, key=lambda finding: (finding.file, finding.line, finding.rule))


def _recalled(model: Model, recall: Recall | None) -> list[Finding]:
    if recall is None:
        return _model(model)
    key = digest(repr(model), version("sqlglot"))
    known = recall.get(model.name, key)
    if known is not None:
        return [Finding(**finding) for finding in known]
    found = _model(model)
    recall.put(model.name, key, [asdict(finding) for finding in found])
    return found


def _model(model: Model) -> list[Finding]:
    from catchment.gold.layers.held import Broken, broken

    by_rule: dict[str, list[Broken]] = {}
    places = broken(model)
    if model.layer is None:
        places.append(Broken("any-in-layer", 1, "lies in no layer"))
    for one in sorted(places, key=lambda one: one.line):
        by_rule.setdefault(one.rule, []).append(one)
    return allowed.apply(model, [_finding(model, ones) for ones in by_rule.values()])


def _finding(model: Model, places: Sequence[Broken]) -> Finding:
    first, rule = places[0], RULES[places[0].rule]
    lines = sorted({place.line for place in places} - {first.line})
    also = f", and on line {', '.join(map(str, lines[:_SHOWN]))}{' and more' if len(lines) > _SHOWN else ''}"
    return Finding(
        rule=rule.name,
        model=model.name,
        file=model.file,
        line=first.line,
        message=f"{rule.name}: {model.name} {first.words}{also if lines else ''}",
        cure=rule.cure,
        severity="warning" if rule.name == "any-readable" else "error",
    )
