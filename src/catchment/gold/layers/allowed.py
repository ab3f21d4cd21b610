"""`-- catchment: allow RULE because REASON`: the only way round a rule. It holds for its file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from catchment.gold.layers.models import Finding, Model
from catchment.gold.layers.rules import RULES
from catchment.naming import did_you_mean

_COMMENT = re.compile(r"(?:--|#|/\*|\{#)[ \t]*catchment[ \t]*:[ \t]*(.*?)[ \t]*(?:\*/|#\}|$)", re.IGNORECASE)
_ALLOW = re.compile(r"allow\s+(\S+)\s+because\s+(\S.*)", re.IGNORECASE)


@dataclass(frozen=True)
class Allow:
    rule: str
    line: int
    reason: str


def allows(model: Model) -> tuple[list[Allow], list[Finding]]:
    """What a file allows, and what is wrong with how it says so."""
    found: list[Allow] = []
    problems: list[Finding] = []
    for number, line in enumerate(model.raw.splitlines(), 1):
        for said in _COMMENT.findall(line):
            match = _ALLOW.fullmatch(said)
            if match is None:
                problems.append(_problem(model, number, "allow-form", f"`{said}` names no rule with a reason"))
                continue
            rule, reason = match.group(1).lower(), match.group(2)
            if rule not in RULES or rule.startswith("allow-"):
                problems.append(_problem(model, number, "allow-known", f"there is no rule `{rule}` to allow", rule))
            else:
                found.append(Allow(rule, number, reason))
    return found, problems


def apply(model: Model, findings: Sequence[Finding]) -> list[Finding]:
    """What is left of a model's findings, with what is wrong with its allows."""
    there, problems = allows(model)
    rules = {finding.rule for finding in findings}
    seen: set[str] = set()
    for allow in there:
        if allow.rule not in rules or allow.rule in seen:
            message = f"`{allow.rule}` is {'allowed twice' if allow.rule in seen else 'not broken here'}"
            problems.append(_problem(model, allow.line, "allow-used", message))
        seen.add(allow.rule)
    return [*(finding for finding in findings if finding.rule not in seen), *problems]


def _problem(model: Model, line: int, rule: str, message: str, name: str = "") -> Finding:
    known = [known for known in RULES if not known.startswith("allow-")]
    cure = (did_you_mean(name, known) if name else None) or RULES[rule].cure
    return Finding(rule, model.name, model.file, line, message, cure)
