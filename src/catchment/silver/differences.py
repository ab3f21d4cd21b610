"""How two definitions of a silver table differ, and what each edit asks for.

The words are those of `plan` and of the error of a run; docs/guides/changes.md lists every edit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from catchment import naming
from catchment.errors import DefinitionChanged

Way = Literal["goes_on", "forward", "rebuild"]
_WAYS: tuple[Way, ...] = ("goes_on", "forward", "rebuild")


@dataclass(frozen=True)
class Difference:
    """One edit between two definitions; `way` is the least that it asks for.

    `goes_on`: nothing, rows that are there stay as they are. `forward`: they stay too, brought into the new columns
    where these changed (`carried`), but a fresh project would have others, so somebody has to say so. `rebuild`: only
    bronze can tell what the rows are now.
    """

    words: str
    effect: str
    way: Way


_NEEDS = "needs --rebuild: "
_SAME = "other rows are one and the same"
_UNKNOWN = "this version does not know what it means"
_STRICTER = "changes which rows are good: with --forward older ones stay in"
_LOOSER = "changes which rows are good: with --forward older ones stay in quarantine"
_JUDGED = "changes which rows are good: with --forward older ones stay as judged"
_VALUES = "changes values: with --forward older rows stay as they are"
_NULL = "goes on: null in older rows"

# What only bronze can tell after an edit of these keys, and why.
_REBUILT = {
    "mode": "the old mode kept other rows",
    "latest_by": "another row of a key may be the latest",
    "slice": "other rows belong together",
    "event_time": "other rows lie within the lateness",
    "deleted_when": "other rows delete their key",
    "full": "a key that did not arrive means something else",
    "changes": "a log tells the order and what goes by itself",
}
_TOLD = frozenset({*_REBUILT, "contract", "from", "lateness_s", "refine", "with", "as_of"})


def differences(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[Difference]:
    """How a definition differs from the one that a table's rows were made with, for two that are not the same."""
    if before is None:
        words = "~ made with a definition that is no longer known"
        return [Difference(words, f"{_NEEDS}nobody can say what changed", "rebuild")]
    names = renamed(before, after)
    old = _under_new_names(before, names)
    found = [
        *_of_the_table(old, after),
        *(
            Difference(f"~ column {a} renamed {b}", "with --forward renamed in older rows", "forward")
            for a, b in names.items()
        ),
        *_of_columns(old, after),
        *_of_rules(old, after),
        *_of_references(old, after),
    ]
    return found or [Difference("~ written in another way", "goes on: it means the same", "goes_on")]


def least(found: Sequence[Difference]) -> Way:
    """The strongest of what the differences ask for."""
    return max((difference.way for difference in found), key=_WAYS.index, default="goes_on")


def choices(name: str, found: Sequence[Difference]) -> tuple[str, ...]:
    """The orders under which `silver.<name>` may go on after these differences; none where it goes on by itself."""
    way = least(found)
    orders = () if way == "goes_on" else (f"--rebuild silver.{name}", f"--forward silver.{name}")
    return orders[:1] if way == "rebuild" else orders


def refusal(name: str, found: Sequence[Difference]) -> DefinitionChanged:
    """The error of a run that was given no choice."""
    width = max(len(difference.words) for difference in found)
    lines = [f"  {difference.words.ljust(width)}   {difference.effect}" for difference in found]
    message = "\n".join([f"silver.{name}: its definition is not the one its rows were made with", *lines])
    hint = "choose: " + "  or  ".join(f"catchment run {choice}" for choice in choices(name, found))
    return DefinitionChanged(message, hint=hint)


def renamed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    """Columns under another name that are otherwise as they were, by their old name."""
    old, new = before["contract"]["columns"], after["contract"]["columns"]
    come = [name for name in new if name not in old and not new[name].get("derived")]
    found: dict[str, str] = {}
    for name in old:
        same = [
            other for other in come if other not in found.values() and _as_source(old[name]) == _as_source(new[other])
        ]
        if name not in new and same:
            found[name] = same[0]
    return found


def _as_source(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Headers are found whatever their case and signs."""
    source = attributes["source"]
    return {**attributes, "source": source if source.startswith("$") else naming.column(source).lower()}


def _under_new_names(definition: Mapping[str, Any], names: Mapping[str, str]) -> Mapping[str, Any]:
    """The definition as if its columns had always had their new names; conditions in one spelling."""

    def new(name: str) -> str:
        return names.get(name, name)

    contract = definition["contract"]
    told = dict(definition)
    for key in ("latest_by", "event_time"):
        if told.get(key) is not None:
            told[key] = new(told[key])
    if told.get("slice") is not None:
        told["slice"] = [new(name) for name in told["slice"]]
    if told.get("as_of") is not None:
        told["as_of"] = {table: new(name) for table, name in told["as_of"].items()}
    if told.get("deleted_when") is not None:
        told["deleted_when"] = _spelled(told["deleted_when"], names)
    references = [[[new(c) for c in columns], table, to] for columns, table, to in contract.get("references", ())]
    told["contract"] = {
        **contract,
        "columns": {new(name): attributes for name, attributes in contract["columns"].items()},
        "key": [new(name) for name in contract["key"]],
        "row_rules": [_spelled(rule, names) for rule in contract["row_rules"]],
        "references": references,
    }
    return told


def _spelled(condition: str, names: Mapping[str, str]) -> str:
    """A condition as one spelling of what it means, over columns under their new names."""
    import sqlglot
    from sqlglot import exp

    try:
        tree = sqlglot.parse_one(condition, read="duckdb")
    except (sqlglot.errors.SqlglotError, RecursionError):
        return condition
    lowered = {old.lower(): new for old, new in names.items()}
    for column in tree.find_all(exp.Column):
        if column.name.lower() in lowered:
            column.set("this", exp.to_identifier(lowered[column.name.lower()]))
    return tree.sql(dialect="duckdb", comments=False)


def _of_the_table(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """What catchment.yaml says of a table, and its key."""
    appends = old.get("mode") == new["mode"] == "append"
    found = []
    for key, why in _REBUILT.items():
        was, now = old.get(key), new.get(key)
        if key == "deleted_when":
            now = None if now is None else _spelled(now, {})
        if was != now:
            words = f"~ {key}: {_plain(was)} -> {_plain(now)}"
            found.append(_unheeded(words) if key == "latest_by" and appends else _rebuilt(words, why))
    found += [*_of_the_key(old, new, heeded=not appends), *_of_streams(old, new)]
    if old.get("lateness_s") != new.get("lateness_s"):
        words = f"~ lateness: {_seconds(old.get('lateness_s'))} -> {_seconds(new.get('lateness_s'))}"
        effect = "goes on: deletes are remembered so long from now on"
        told = Difference(words, effect, "goes_on")
        found.append(Difference(words, _JUDGED, "forward") if new["mode"] == "window" else told)
    return [*found, *_of_the_function(old, new), *_without_words(old, new, _TOLD, "")]


def _without_words(
    old: Mapping[str, Any], new: Mapping[str, Any], told: frozenset[str], owner: str
) -> list[Difference]:
    """What another version of ours said of a definition, and this one has no words for: nobody may go on over it."""
    keys = sorted((old.keys() | new.keys()) - told)
    return [_rebuilt(f"~ {owner}{key} changed", _UNKNOWN) for key in keys if old.get(key) != new.get(key)]


def _of_the_key(old: Mapping[str, Any], new: Mapping[str, Any], *, heeded: bool) -> list[Difference]:
    was, key = old["contract"]["key"], new["contract"]["key"]
    words = f"~ key: {_plain(was)} -> {_plain(key)}"
    if was == key:
        return []
    if sorted(was) == sorted(key):
        return [Difference(words, "goes on: it is of the same columns", "goes_on")]
    return [_rebuilt(words, _SAME) if heeded else _unheeded(words)]


def _rebuilt(words: str, why: str) -> Difference:
    return Difference(words, f"{_NEEDS}{why}", "rebuild")


def _unheeded(words: str) -> Difference:
    return Difference(words, "goes on: mode append keeps every row", "goes_on")


def _of_streams(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    found = [_rebuilt(f"- from {name}", "its rows leave the table") for name in old["from"] if name not in new["from"]]
    # Load numbers of two streams cannot be compared: what tells their rows apart has to stand in the rows.
    comparable = new["mode"] in ("append", "window") or new.get("latest_by") is not None
    for name in new["from"]:
        if name not in old["from"]:
            words = f"+ from {name}"
            going = Difference(words, "goes on: its rows come in with the next refine", "goes_on")
            found.append(going if comparable else _rebuilt(words, "without latest_by its rows have no order"))
    return found


def _of_the_function(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    words = []
    if old.get("refine") != new["refine"]:
        sign, what = ("+", "added") if old.get("refine") is None else ("~", "changed")
        words.append(f"{sign} refine function {what}" if new["refine"] is not None else "- refine function removed")
    words += [f"- with {name}" for name in old.get("with") or () if name not in new["with"]]
    words += [f"+ with {name}" for name in new["with"] if name not in (old.get("with") or ())]
    was, now = old.get("as_of") or {}, new.get("as_of") or {}
    both = [name for name in new["with"] if name in (old.get("with") or ()) and was.get(name) != now.get(name)]
    words += [f"~ with {name}: {_as_of(was.get(name))} -> {_as_of(now.get(name))}" for name in both]
    return [Difference(said, _VALUES, "forward") for said in words]


def _as_of(column: str | None) -> str:
    return "current" if column is None else f"as of {column}"


def _of_columns(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    was, now = old["contract"]["columns"], new["contract"]["columns"]
    found = [_added(name, now[name]) for name in now if name not in was]
    for name in was:
        if name not in now:
            words = f"- column {name} ({_type(was[name])})"
            found.append(Difference(words, "with --forward dropped from older rows", "forward"))
    found += _without_words(old["contract"], new["contract"], _TOLD_OF_CONTRACTS, "")
    steady = _steady(new)
    for name in now:
        if name in was and was[name] != now[name]:
            found += _of_one(name, was[name], now[name], steady=name in steady)
    return found


def _added(name: str, column: Mapping[str, Any]) -> Difference:
    words = f"+ column {name} ({_type(column)})"
    if column.get("derived"):
        return Difference(words, "made by refine: with --forward null in older rows", "forward")
    if column.get("required"):
        return Difference(words, "required: with --forward null in older rows all the same", "forward")
    return Difference(words, _NULL, "goes_on")


def _steady(definition: Mapping[str, Any]) -> set[str]:
    """Columns that tell rows apart or put them in order: other values in them would be other rows."""
    if definition["mode"] == "append":
        return set()
    named = [*definition["contract"]["key"], *definition.get("slice", ())]
    return {*named, *(definition[key] for key in ("latest_by", "event_time") if definition.get(key) is not None)}


def _of_one(name: str, was: Mapping[str, Any], now: Mapping[str, Any], *, steady: bool) -> list[Difference]:
    """The edits of one column that kept its name."""
    found = []
    told = [key for key in _CALLED if _as_source(was).get(key) != _as_source(now).get(key)]
    if _type(was) != _type(now):
        told = [key for key in told if key not in ("formats", "timezone")]  # how the new type is read
        words = f"~ {name}: {_type(was)} -> {_type(now)}"
        fits = "" if _widens(was, now) else ", if all fit"
        cast = Difference(words, f"with --forward older values are cast{fits}", "forward")
        found.append(_rebuilt(words, _SAME) if steady else cast)
    for attribute in told:
        words = f"~ {name}: {_edit(attribute, was.get(attribute), now.get(attribute))}"
        effect = _effect(attribute, was.get(attribute), now.get(attribute))
        if effect == _VALUES and steady:
            found.append(_rebuilt(words, _SAME))
        else:
            found.append(Difference(words, effect, "forward"))
    return [*found, *_without_words(was, now, _TOLD_OF_COLUMNS, f"{name}: ")]


def _type(column: Mapping[str, Any]) -> str:
    kind = column.get("type")
    return f"decimal({column.get('precision')},{column.get('scale', 0)})" if kind == "decimal" else str(kind)


def _widens(was: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether every value of the old type has one of the new."""
    pair = was["type"], now["type"]
    if pair == ("decimal", "decimal"):
        old, new = _digits(was), _digits(now)
        return new[0] >= old[0] and new[1] >= old[1]
    if pair == ("integer", "decimal"):
        return _digits(now)[0] >= 19
    return now["type"] == "string" or pair in (("integer", "number"), ("decimal", "number"), ("date", "timestamp"))


def _digits(decimal: Mapping[str, Any]) -> tuple[int, int]:
    """(before, after) the point."""
    scale = decimal.get("scale") or 0
    return (decimal.get("precision") or 18) - scale, scale


# Attributes by what the contract calls them, in the order in which they are told.
_CALLED = {
    "source": "source", "derived": "transformLogic", "required": "required", "formats": "formats",
    "timezone": "defaultTimezone", "null_markers": "nullMarkers", "enum": "enum", "pattern": "pattern",
    "min_length": "minLength", "max_length": "maxLength", "minimum": "minimum", "maximum": "maximum",
    "exclusive_minimum": "exclusiveMinimum", "exclusive_maximum": "exclusiveMaximum", "multiple_of": "multipleOf",
}  # fmt: skip
_TOLD_OF_CONTRACTS = frozenset({"columns", "key", "row_rules", "references"})
_TOLD_OF_COLUMNS = frozenset({*_CALLED, "type", "precision", "scale"})
_LEAST = ("min_length", "minimum", "exclusive_minimum")
_MOST = ("max_length", "maximum", "exclusive_maximum")
_LISTS = ("enum", "formats", "null_markers")


def _edit(attribute: str, was: Any, now: Any) -> str:
    """One attribute's edit in words."""
    called = _CALLED[attribute]
    if was is None or now is None:
        shown = "" if attribute in ("pattern", "derived", "required") else f" {_plain(was if now is None else now)}"
        return f"{called}{shown} {'removed' if now is None else 'added'}"
    if attribute in _LISTS:
        edits = [f"+ {item}" for item in now if item not in was] + [f"- {item}" for item in was if item not in now]
        return f"{called} {', '.join(edits) or 'in another order'}"
    return f"{called} {_plain(was)} -> {_plain(now)}"


def _effect(attribute: str, was: Any, now: Any) -> str:
    if attribute in ("source", "derived", "timezone", "null_markers"):
        return _VALUES
    if attribute == "formats":
        return _LOOSER if was is not None and now is not None and now[: len(was)] == was else _VALUES
    if was is None or now is None:
        return _STRICTER if was is None else _LOOSER
    if attribute == "enum":
        if set(was) <= set(now):
            return _LOOSER
        return _STRICTER if set(now) <= set(was) else _JUDGED
    if attribute in (*_LEAST, *_MOST) and isinstance(was, str) == isinstance(now, str):
        return _STRICTER if (now > was) == (attribute in _LEAST) else _LOOSER
    return _JUDGED


def _of_rules(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    was = old["contract"]["row_rules"]
    now = {_spelled(rule, {}): rule for rule in new["contract"]["row_rules"]}
    found = [Difference(f"- rule {rule}", _LOOSER, "forward") for rule in was if rule not in now]
    fresh = _fresh(old, new)
    for spelled, rule in now.items():
        if spelled not in was:
            met = _is_null_over(spelled, fresh)
            words = f"+ rule {rule}"
            found.append(Difference(words, _NULL, "goes_on") if met else Difference(words, _STRICTER, "forward"))
    return found


def _fresh(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    """New columns that may be null."""
    columns = new["contract"]["columns"]
    return {name for name in columns if name not in old["contract"]["columns"] and not columns[name].get("required")}


def _is_null_over(condition: str, nulls: set[str]) -> bool:
    """Whether a condition is null, and so met, where these columns are; said only of plain comparisons."""
    import sqlglot
    from sqlglot import exp

    plain = (
        exp.Predicate,
        exp.Connector,
        exp.Binary,
        exp.Not,
        exp.Neg,
        exp.Paren,
        exp.Literal,
        exp.Column,
        exp.Identifier,
    )
    tree = sqlglot.parse_one(condition, read="duckdb")
    if any(
        not isinstance(node, plain) or isinstance(node, exp.Is | exp.NullSafeEQ | exp.NullSafeNEQ)
        for node in tree.walk()
    ):
        return False
    named = {str(column.name).lower() for column in tree.find_all(exp.Column)}
    return bool(named) and named <= {name.lower() for name in nulls}


def _of_references(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    was, now = old["contract"].get("references", []), new["contract"].get("references", [])
    found = [Difference(f"- reference {_arrow(told)}", _LOOSER, "forward") for told in was if told not in now]
    fresh = _fresh(old, new)
    for told in now:
        if told not in was:
            words = f"+ reference {_arrow(told)}"
            null = bool(fresh & set(told[0]))
            found.append(Difference(words, _NULL, "goes_on") if null else Difference(words, _STRICTER, "forward"))
    return found


def _arrow(reference: Sequence[Any]) -> str:
    columns, table, to = reference
    return f"{', '.join(columns)} -> {', '.join(f'{table}.{name}' for name in to)}"


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_plain, value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else str(value)


def _seconds(value: int | None) -> str:
    return "for ever" if value is None else f"{value:,} s"
