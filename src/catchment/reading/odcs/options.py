"""What `logicalTypeOptions` say of a column: bounds, lengths, patterns, formats, zones, and what cannot be met."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time
from functools import lru_cache
from typing import Any

from catchment.contract import Column, strptime_format
from catchment.naming import did_you_mean
from catchment.reading.documents import Findings, Node, shorten
from catchment.reading.odcs import keys, patterns

DATED = frozenset({"date", "timestamp", "time"})
NUMERIC = frozenset({"integer", "number", "decimal"})

_INTEGER_RANGES: dict[str, tuple[int | None, int | None]] = {
    **{f"i{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32)},
    **{f"u{bits}": (0, 2**bits - 1) for bits in (8, 16, 32)},
    "i64": (None, None),
    "u64": (0, None),
}


@dataclass
class Draft:
    """A column while its property is read; quality rules may still tighten it."""

    node: Node
    key: str  # table.column, for messages
    name: str
    type: str
    values: dict[str, Any] = field(default_factory=dict)

    def column(self) -> Column:
        return Column(name=self.name, type=self.type, **self.values)  # type: ignore[arg-type]


def read_options(draft: Draft, findings: Findings) -> None:
    options = draft.node.get("logicalTypeOptions")
    if options is None:
        return
    if not options.is_mapping:
        findings.error(
            options, "logicalTypeOptions must be a mapping", cure="write options such as maxLength: 20", key=draft.key
        )
        return
    key = f"{draft.key}.logicalTypeOptions"
    declared = "number" if draft.type == "decimal" else draft.type
    known = keys.OPTIONS[declared]
    for name, node in options.entries().items():
        if name not in known:
            cure = did_you_mean(name, known) or _option_cure(name, declared, known)
            findings.error(options.key_place(name), f"{declared} has no option `{name}`", cure=cure, key=key)
        else:
            _OPTION_READERS.get(name, _unused)(draft, name, node, findings)
    _contradictions(draft, options, findings)


def _option_cure(name: str, declared: str, known: frozenset[str]) -> str:
    if name == "enum":
        return "enum stands beside logicalTypeOptions, not in it"
    return f"it has {', '.join(sorted(known))}" if known else f"remove it: {declared} has none"


def _unused(draft: Draft, name: str, node: Node, findings: Findings) -> None:
    findings.warning(node, f"{name} is read but not acted on yet", key=f"{draft.key}.logicalTypeOptions")


def _length(draft: Draft, name: str, node: Node, findings: Findings) -> None:
    if isinstance(node.value, bool) or not isinstance(node.value, int) or node.value < 0:
        findings.error(
            node, f"{name} must be a whole number from 0, not {node.kind()}", cure=f"write {name}: 20", key=draft.key
        )
        return
    draft.values["min_length" if name == "minLength" else "max_length"] = node.value


def _pattern(draft: Draft, name: str, node: Node, findings: Findings) -> None:
    if not isinstance(node.value, str):
        findings.error(node, f"{name} must be text, not {node.kind()}", cure="put it into single quotes", key=draft.key)
        return
    wrong = pattern_fault(node.value)
    if wrong is not None:
        findings.error(node, wrong[0], cure=wrong[1], key=draft.key)
        return
    draft.values["pattern"] = node.value


pattern_fault = lru_cache(maxsize=1024)(patterns.fault)


def _format(draft: Draft, name: str, node: Node, findings: Findings) -> None:
    if not isinstance(node.value, str):
        findings.error(node, f"{name} must be text, not {node.kind()}", cure="put it into quotes", key=draft.key)
    elif draft.type in DATED:
        if is_date_format(draft, node, findings):
            draft.values["formats"] = (node.value, *draft.values.get("formats", ()))
    elif draft.type == "string":
        _string_format(draft, node, findings)
    elif draft.type == "integer":
        _integer_format(draft, node, findings)
    elif node.value not in ("f32", "f64"):
        findings.error(
            node, f"number has no format `{shorten(node.value)}`", cure="write f64, or leave it out", key=draft.key
        )


def _string_format(draft: Draft, node: Node, findings: Findings) -> None:
    if node.value in patterns.FORMATS:
        # A pattern of the contract's own comes first; a column has room for one, the other becomes a rule.
        draft.values["string_format"] = node.value
        return
    known = (*patterns.FORMATS, *patterns.FORMATS_UNCHECKED)
    cure = did_you_mean(node.value, known) or f"write pattern for your own; checked are {', '.join(patterns.FORMATS)}"
    findings.warning(
        node, f"format `{shorten(node.value)}` of a string is read but not acted on yet", cure=cure, key=draft.key
    )


def _integer_format(draft: Draft, node: Node, findings: Findings) -> None:
    if node.value in ("i128", "u128"):
        findings.warning(
            node,
            f"format {node.value} is kept in 64 bits",
            cure="write number with physicalType: decimal(38,0)",
            key=draft.key,
        )
    elif node.value not in _INTEGER_RANGES:
        cure = did_you_mean(node.value, _INTEGER_RANGES) or "write i64, or leave it out"
        findings.error(node, f"integer has no format `{shorten(node.value)}`", cure=cure, key=draft.key)
    else:
        draft.values["integer_format"] = node.value


def _bound(draft: Draft, name: str, node: Node, findings: Findings) -> None:
    attribute = {
        "minimum": "minimum", "maximum": "maximum", "exclusiveMinimum": "exclusive_minimum",
        "exclusiveMaximum": "exclusive_maximum", "multipleOf": "multiple_of",
    }[name]  # fmt: skip
    if draft.type in NUMERIC:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            findings.error(node, f"{name} must be a number, not {node.kind()}", cure=f"write {name}: 1", key=draft.key)
        elif name == "multipleOf" and node.value <= 0:
            findings.error(node, "multipleOf must be above 0", cure="write multipleOf: 5", key=draft.key)
        else:
            draft.values[attribute] = node.value
    elif not isinstance(node.value, str) or instant(draft.type, node.value) is None:
        example = {"date": '"2020-01-31"', "timestamp": '"2020-01-31T08:15:00Z"'}.get(draft.type, '"08:15:00"')
        findings.error(
            node,
            f"{name} must be a {draft.type} in ISO 8601, not {node.kind()}",
            cure=f"write {name}: {example}",
            key=draft.key,
        )
    else:
        draft.values[attribute] = node.value


def instant(kind: str, text: str) -> date | time | datetime | None:
    """An ISO 8601 date, timestamp or time, naive ones as they are; None where it is none."""
    readers: dict[str, Callable[[str], date | time | datetime]] = {
        "date": date.fromisoformat,
        "time": time.fromisoformat,
    }
    try:
        return readers.get(kind, datetime.fromisoformat)(text)
    except ValueError:
        return None


def _timezone(draft: Draft, name: str, node: Node, findings: Findings) -> None:
    if name == "timezone":
        if not isinstance(node.value, bool):
            cure = "write timezone: true, and the zone's name under defaultTimezone"
            findings.error(node, f"timezone must be true or false, not {node.kind()}", cure=cure, key=draft.key)
        return
    if not isinstance(node.value, str) or not is_timezone(node.value):
        from zoneinfo import available_timezones

        cure = did_you_mean(node.text, sorted(available_timezones())) or "write one such as Europe/Berlin"
        findings.error(node, f"no time zone {node.kind()}", cure=cure, key=draft.key)
        return
    draft.values["timezone"] = "UTC" if node.value == "Etc/UTC" else node.value


@lru_cache(maxsize=256)
def is_timezone(name: str) -> bool:
    from zoneinfo import ZoneInfo

    try:
        return bool(ZoneInfo(name))
    except (KeyError, ValueError, OSError):
        return False


_OPTION_READERS: dict[str, Callable[[Draft, str, Node, Findings], None]] = {
    "minLength": _length,
    "maxLength": _length,
    "pattern": _pattern,
    "format": _format,
    "timezone": _timezone,
    "defaultTimezone": _timezone,
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), _bound),
}


def _contradictions(draft: Draft, options: Node, findings: Findings) -> None:
    values = draft.values
    integer_format = values.pop("integer_format", None)
    if integer_format is not None:
        low, high = _INTEGER_RANGES[integer_format]
        if low is not None:
            values["minimum"] = max(low, values.get("minimum", low))
        if high is not None:
            values["maximum"] = min(high, values.get("maximum", high))
    shortest, longest = values.get("min_length"), values.get("max_length")
    if shortest is not None and longest is not None and shortest > longest:
        findings.error(
            options,
            f"minLength {shortest} is above maxLength {longest}: no value can pass",
            cure="exchange them",
            key=draft.key,
        )
    for low_name in ("minimum", "exclusive_minimum"):
        for high_name in ("maximum", "exclusive_maximum"):
            low, high = values.get(low_name), values.get(high_name)
            if (
                low is not None
                and high is not None
                and _is_empty(draft.type, low, high, "exclusive" in low_name + high_name)
            ):
                findings.error(
                    options,
                    f"no value is above {low} and below {high}",
                    cure="correct minimum or maximum",
                    key=draft.key,
                )


def _is_empty(kind: str, low: Any, high: Any, exclusive: bool) -> bool:
    if kind in DATED:
        low, high = instant(kind, low), instant(kind, high)
        if getattr(low, "tzinfo", None) is None or getattr(high, "tzinfo", None) is None:
            low, high = (x.replace(tzinfo=None) if isinstance(x, datetime | time) else x for x in (low, high))
    return bool(low >= high if exclusive else low > high)


def is_date_format(draft: Draft, node: Node, findings: Findings) -> bool:
    wrong = date_format_fault(node.text, draft.type)
    if wrong is not None:
        findings.error(
            node,
            f"format `{shorten(node.text)}`: {wrong}",
            cure="write a pattern such as dd/MM/yyyy HH:mm",
            key=draft.key,
        )
    return wrong is None


@lru_cache(maxsize=1024)
def date_format_fault(jdk: str, kind: str) -> str | None:
    """Why a pattern cannot read values of this type, or None."""
    try:
        codes = set(re.findall(r"%-?([A-Za-z])", strptime_format(jdk).replace("%%", "")))
    except ValueError as error:
        return str(error)
    if kind != "time" and not codes & {"Y", "y"}:
        return f"a {kind} needs a year (yyyy)"
    if kind == "time" and not codes & {"H", "I"}:
        return "a time needs hours (HH)"
    return None
