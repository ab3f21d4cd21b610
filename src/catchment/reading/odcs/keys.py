"""The keys of the standard, level by level.

Written down, because importing the standard's pydantic model or reading its JSON Schema costs every command more than
reading a hundred contracts; a test holds them against both.
"""

from __future__ import annotations

from catchment.naming import did_you_mean
from catchment.reading.documents import Findings, Node


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


CONTRACT = _words(
    "version kind apiVersion id name tenant tags status servers dataProduct description domain context schema support"
    " price team roles slaDefaultElement slaProperties authoritativeDefinitions"
    " customProperties contractCreatedTs"
)
_ELEMENT = (
    "id name physicalType description businessName deprecated synonyms authoritativeDefinitions tags customProperties"
)
SCHEMA = _words(
    f"{_ELEMENT} logicalType physicalName dataGranularityDescription properties relationships quality context"
)
PROPERTY = _words(
    f"{_ELEMENT} primaryKey primaryKeyPosition logicalType logicalTypeOptions physicalName required unique semanticType"
    " partitioned partitionKeyPosition classification encryptedName transformSourceObjects transformLogic"
    " transformDescription examples enum criticalDataElement relationships quality properties items map"
)
QUALITY = _words(
    "id authoritativeDefinitions businessImpact customProperties description dimension method name schedule scheduler"
    " severity tags type unit metric rule arguments mustBe mustNotBe mustBeGreaterThan mustBeGreaterOrEqualTo"
    " mustBeLessThan mustBeLessOrEqualTo mustBeBetween mustNotBeBetween query engine implementation"
)
SLA = _words(
    "id property value valueExt unit element driver description scheduler schedule customProperties"
    " authoritativeDefinitions"
)
RELATIONSHIP = _words("id type from to customProperties")
ENUM = _words("id value label description tags customProperties authoritativeDefinitions")
CUSTOM_PROPERTY = _words("id property value description vendor")

_NUMBERS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "format"})
_INSTANTS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "format"})
OPTIONS: dict[str, frozenset[str]] = {
    "string": frozenset({"minLength", "maxLength", "pattern", "format"}),
    "date": _INSTANTS,
    "timestamp": _INSTANTS | {"timezone", "defaultTimezone"},
    "time": _INSTANTS | {"timezone", "defaultTimezone"},
    "integer": _NUMBERS,
    "number": _NUMBERS,
    "boolean": frozenset(),
    "object": frozenset({"minProperties", "maxProperties", "required"}),
    "array": frozenset({"minItems", "maxItems", "uniqueItems"}),
}


def check_keys(node: Node, known: frozenset[str], findings: Findings, key: str = "") -> None:
    """A key that the standard does not have at this level is a mistake: nothing would ever read it."""
    for name in node.entries():
        if name not in known:
            cure = did_you_mean(name, known) or "what the standard does not name goes under customProperties"
            findings.error(node.key_place(name), f"unknown key `{name}`", cure=cure, key=key or None)
