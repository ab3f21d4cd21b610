"""Which live figures a store can take from a refined topic by itself: `through: topic` of a target's live store."""

from __future__ import annotations

from catchment.contract import Contract
from catchment.plain import Type

CURE = "write through: insert at live of the target"

# How the values of a contract's types stand in a message; an object or an array is no one value.
_PLAIN = frozenset({"string", "integer", "number", "decimal", "boolean", "date", "timestamp"})


def unfit(mode: str, *, published: bool, form: str = "json", deletes: str = "row") -> str | None:
    """Why a store cannot follow a silver table's refined topic, None where it can."""
    if not published:
        return "it is not published"
    if form != "json":
        return f"it is published as {form}, and the store reads json"
    if deletes != "row":
        return "a tombstone does not tell which row went"
    if mode not in ("append", "merge"):
        return f"messages of a table of mode {mode} do not tell all that changes"
    return None


def plain_columns(contract: Contract) -> dict[str, Type]:
    """The columns whose values stand in messages as they are, with their types."""
    found = {}
    for column in contract.columns:
        if column.type == "decimal":
            found[column.name] = Type("decimal", column.precision or 18, column.scale or 0)
        elif column.type in _PLAIN:
            found[column.name] = Type(column.type)  # type: ignore[arg-type]
        elif column.type == "time":
            found[column.name] = Type("string")
    return found
