"""Properties of the standard as columns: types, bounds, formats, keys."""

from __future__ import annotations

import re
from collections.abc import Sequence

from catchment.naming import column as legal_name
from catchment.naming import nearest
from catchment.reading.documents import Findings, Node, shorten
from catchment.reading.odcs import keys
from catchment.reading.odcs.options import DATED, Draft, instant, is_date_format, read_options

TYPES = ("string", "integer", "number", "boolean", "date", "timestamp", "time", "object", "array")
_NOT_BUILT_TYPES = frozenset({"map", "vector"})

_DECIMAL = re.compile(r"(?:decimal|numeric)\s*\(\s*([0-9]{1,9})\s*(?:,\s*([0-9]{1,9})\s*)?\)", re.IGNORECASE)
_BARE_DECIMAL = re.compile(r"(?:decimal|numeric|money)", re.IGNORECASE)
_PATH = re.compile(r"""\$(\.[A-Za-z_][\w-]*|\."[^"]+"|\[[0-9]+\]|\['[^']+'\])*""")

# What the standard lets a property say and nothing here acts on; plain words about a column are not listed.
_NOT_ACTED_ON = (
    "encryptedName", "partitioned", "partitionKeyPosition", "properties", "items",
)  # fmt: skip
_CUSTOM = ("formats", "nullMarkers", "weight")
_ILLEGAL = re.compile(r"[ ,;{}()\n\t=\"`\x00-\x1f]+")
_MOST_WEIGHT = 1_000_000


def read_columns(schema: Node, table: str, version: str, findings: Findings) -> list[Draft]:
    """Every property that can be a column; mistakes in one leave the others readable."""
    properties = schema.get("properties")
    if properties is None or not properties.items():
        at = schema.key_place("properties")
        findings.error(
            at, "properties are missing: a table needs columns", cure="list them under properties", key=table
        )
        return []
    drafts: list[Draft] = []
    names: dict[str, Node] = {}
    for node in properties.items():
        draft = _read(node, table, version, findings)
        if draft is None:
            continue
        first = names.setdefault(draft.name.lower(), node)
        if first is not node:
            message = f"column `{draft.name}` is already in line {first.line}; case does not tell them apart"
            findings.error(node.get("name") or node, message, cure="rename or remove one", key=draft.key)
            continue
        drafts.append(draft)
    _inherit_null_markers(schema, drafts, findings)
    _number_the_key(drafts, findings)
    return drafts


def _read(node: Node, table: str, version: str, findings: Findings) -> Draft | None:
    if not node.is_mapping:
        findings.error(
            node, "a property must be a mapping with a name and a logicalType", cure="write - name: …", key=table
        )
        return None
    name = _name(node, table, findings)
    key = f"{table}.{name or '?'}"
    keys.check_keys(node, keys.PROPERTY, findings, key)
    kind = _type(node, version, key, findings)
    if name is None or kind is None:
        return None
    draft = Draft(node, key, name, kind)
    for step in (_source, _derived, _decimal, _flags, read_options, _enum, _custom, _texts):
        step(draft, findings)
    for unused in _NOT_ACTED_ON:
        if unused in node.entries():
            findings.warning(node.key_place(unused), f"{unused} is read but not acted on yet", key=key)
    return draft


def _name(node: Node, table: str, findings: Findings) -> str | None:
    found = node.get("name")
    if found is None or not isinstance(found.value, str) or not found.value.strip():
        findings.error(found or node, "a property needs a name in text", cure="write - name: order_id", key=table)
        return None
    name = found.value
    if name.startswith("_"):
        message = f"`{name}` begins with an underscore, as only Catchment's own columns do"
        bare = name.lstrip("_") or "column"
        cure = f"name it `{bare}` and keep the source's name under transformSourceObjects: [{name}]"
        findings.error(found, message, cure=cure, key=f"{table}.{name}")
        return None
    if _ILLEGAL.search(name):
        cure = (
            f"name it `{legal_name(_ILLEGAL.sub('_', name))}` and keep the source's name under transformSourceObjects"
        )
        findings.error(
            found,
            f"`{shorten(name)}` holds a sign that no table format takes",
            cure=cure,
            key=f"{table}.{shorten(name)}",
        )
        return None
    return name


def _type(node: Node, version: str, key: str, findings: Findings) -> str | None:
    found = node.get("logicalType")
    if found is None:
        findings.error(node, "logicalType is missing", cure="write logicalType: string, or another type", key=key)
        return None
    kind = found.value
    physical = node.string("physicalType") or ""
    if kind == "date" and version.startswith("v3.0") and re.match(r"timestamp|datetime", physical, re.IGNORECASE):
        return "timestamp"  # 3.0 had no timestamp of its own
    if kind in TYPES:
        return str(kind)
    if found.text in _NOT_BUILT_TYPES:
        message = f"logicalType `{kind}` is not built yet"
        findings.error(found, message, cure="write object or array: it is kept as JSON text", key=key)
    else:
        message = f"logicalType {found.kind()} is not one of {', '.join(TYPES)}"
        findings.error(found, message, cure=_type_cure(found.text, physical), key=key)
    return None


_COMMON_TYPES = {
    "text": "string", "varchar": "string", "char": "string", "uuid": "string", "int": "integer", "bigint": "integer",
    "long": "integer", "float": "number", "double": "number", "decimal": "number", "numeric": "number",
    "bool": "boolean", "datetime": "timestamp", "timestamptz": "timestamp", "json": "object", "struct": "object",
    "list": "array",
}  # fmt: skip


def _type_cure(text: str, physical: str) -> str | None:
    meant = _COMMON_TYPES.get(text.lower()) or nearest(text, TYPES)
    cure = f"did you mean `{meant}`?" if meant else None
    if meant == "number" and text.lower() in ("decimal", "numeric") and not physical:
        return "write logicalType: number with physicalType: decimal(18,2)"
    return cure


def _source(draft: Draft, findings: Findings) -> None:
    node = draft.node.get("transformSourceObjects")
    draft.values["source"] = draft.name
    if node is None:
        return
    items = node.items()
    if not items or not isinstance(items[0].value, str) or not items[0].value:
        cure = "write [column] or [$.customer.id]"
        findings.error(node, "transformSourceObjects must list the source's column or path", cure=cure, key=draft.key)
        return
    if len(items) > 1:
        findings.warning(
            items[1],
            "only the first of transformSourceObjects is read",
            cure="combine columns in a refine function",
            key=draft.key,
        )
    source = items[0].value
    source = source[1:-1] if source.startswith("[$") and source.endswith("]") else source
    if source.startswith("$") and not _PATH.fullmatch(source):
        findings.error(
            items[0],
            f"`{shorten(source)}` is not a path",
            cure="write one such as $.customer.id or $.lines[0].sku",
            key=draft.key,
        )
        return
    draft.values["source"] = source


def _derived(draft: Draft, findings: Findings) -> None:
    """`transformLogic` is said, not run: the refine function does what it tells."""
    node = draft.node.get("transformLogic")
    if node is not None and not isinstance(node.value, str):
        cure = "say in words or SQL what the refine function does"
        findings.error(node, f"transformLogic must be text, not {node.kind()}", cure=cure, key=draft.key)
    elif node is not None and node.value:
        draft.values["derived"] = True


def _decimal(draft: Draft, findings: Findings) -> None:
    node = draft.node.get("physicalType")
    if node is None or draft.type != "number" or not isinstance(node.value, str):
        return
    match = _DECIMAL.fullmatch(node.value.strip())
    if match is None:
        if _BARE_DECIMAL.match(node.value.strip()):
            cure = "write precision and scale, such as decimal(18,2)"
            findings.warning(
                node, f"`{shorten(node.value)}` is kept as a double, which rounds", cure=cure, key=draft.key
            )
        return
    precision, scale = int(match.group(1)), int(match.group(2) or 0)
    if not 1 <= precision <= 38 or scale > precision:
        cure = "precision is 1 to 38 digits, scale at most as many"
        findings.error(node, f"`{node.value}` is no decimal that can be kept", cure=cure, key=draft.key)
        return
    draft.type = "decimal"
    draft.values.update(precision=precision, scale=scale)


def _flags(draft: Draft, findings: Findings) -> None:
    for flag in ("required", "unique", "primaryKey"):
        node = draft.node.get(flag)
        if node is not None and not isinstance(node.value, bool):
            findings.error(
                node, f"{flag} must be true or false, not {node.kind()}", cure=f"write {flag}: true", key=draft.key
            )
        elif node is not None and node.value:
            draft.values["key_position" if flag == "primaryKey" else flag] = True
    node = draft.node.get("primaryKeyPosition")
    position = node.value if node is not None else -1
    if node is None or position == -1:
        return
    if isinstance(position, bool) or not isinstance(position, int) or position < 1:
        findings.error(
            node, f"primaryKeyPosition must be 1, 2, …, not {node.kind()}", cure="count from 1", key=draft.key
        )
    elif "key_position" not in draft.values:
        findings.error(
            node, "primaryKeyPosition without primaryKey", cure="add primaryKey: true, or remove it", key=draft.key
        )
    else:
        draft.values["key_position"] = position


def _number_the_key(drafts: Sequence[Draft], findings: Findings) -> None:
    """Positions as declared, or in order where none is; columns of a key are required."""
    keyed = [draft for draft in drafts if "key_position" in draft.values]
    some_numbered = any(draft.values["key_position"] is not True for draft in keyed)
    placed: dict[int, Draft] = {}
    for order, draft in enumerate(keyed, start=1):
        draft.values["required"] = True
        if draft.type in ("object", "array"):
            findings.error(
                draft.node, f"a key column cannot be {draft.type}", cure="take a column with one value", key=draft.key
            )
        if draft.values["key_position"] is True:
            if some_numbered:
                message = "primaryKeyPosition is missing, and other key columns have one"
                findings.error(draft.node, message, cure="number all of them from 1", key=draft.key)
            draft.values["key_position"] = order
            continue
        position = draft.values["key_position"]
        first = placed.setdefault(position, draft)
        if first is not draft:
            message = f"primaryKeyPosition {position} is already that of `{first.name}`"
            findings.error(draft.node, message, cure="number key columns 1, 2, …", key=draft.key)


def _enum(draft: Draft, findings: Findings) -> None:
    node = draft.node.get("enum")
    if node is None:
        return
    if not node.items():
        findings.error(
            node, "enum is empty: no value could pass", cure="list its values, each as - value: …", key=draft.key
        )
        return
    values = []
    for item in node.items():
        found = item.get("value")
        if found is None:
            findings.error(
                item, "an enum's entry needs a value", cure=f"write - value: {item.text or '…'}", key=draft.key
            )
            continue
        keys.check_keys(item, keys.ENUM, findings, f"{draft.key}.enum")
        value = enum_value(draft, found, findings)
        if value is not None:
            values.append(value)
    draft.values["enum"] = tuple(values)


def enum_value(draft: Draft, node: Node, findings: Findings) -> str | int | float | bool | None:
    """A value of the column's own type; text stays as it was written, so that `01067` is no number."""
    scalar = not node.is_mapping and not node.is_list
    if draft.type == "string" and scalar:
        return node.text
    if draft.type in DATED and isinstance(node.value, str) and instant(draft.type, node.value) is not None:
        return node.value
    number = isinstance(node.value, int | float) and not isinstance(node.value, bool)
    if (draft.type == "boolean" and isinstance(node.value, bool)) or (draft.type in ("number", "decimal") and number):
        return node.value  # type: ignore[no-any-return]
    if draft.type == "integer" and number and float(node.value).is_integer():
        return int(node.value)
    findings.error(
        node,
        f"enum value {node.kind()} is not of type {draft.type}",
        cure="correct it, or the logicalType",
        key=draft.key,
    )
    return None


def custom_properties(node: Node, key: str, findings: Findings) -> dict[str, Node]:
    """Our own custom properties by name; everybody else's are left alone, but a slip of the pen is told."""
    listed = node.get("customProperties")
    found: dict[str, Node] = {}
    if listed is None:
        return found
    if not listed.is_list:
        findings.error(
            listed, "customProperties must be a list", cure="write - property: formats and value: […]", key=key
        )
    for item in listed.items():
        keys.check_keys(item, keys.CUSTOM_PROPERTY, findings, f"{key}.customProperties")
        name, value = item.string("property"), item.get("value")
        if name in _CUSTOM and value is not None:
            found[name] = value
        elif name is not None and (meant := nearest(name, _CUSTOM)) is not None and name not in _CUSTOM:
            findings.warning(item, f"custom property `{name}` is not ours", cure=f"did you mean `{meant}`?", key=key)
    return found


def _custom(draft: Draft, findings: Findings) -> None:
    found = custom_properties(draft.node, draft.key, findings)
    formats = found.get("formats")
    if formats is not None and draft.type not in DATED:
        findings.error(
            formats,
            f"formats are for date, timestamp and time, and this is {draft.type}",
            cure="remove them, or correct the logicalType",
            key=draft.key,
        )
    elif formats is not None:
        good = [
            item.value
            for item in _texts_of(formats, "formats", draft.key, findings)
            if is_date_format(draft, item, findings)
        ]
        draft.values["formats"] = tuple(dict.fromkeys((*draft.values.get("formats", ()), *good)))
    if "nullMarkers" in found:
        draft.values["null_markers"] = tuple(
            item.text for item in _texts_of(found["nullMarkers"], "nullMarkers", draft.key, findings)
        )
    weighs = weight(found, draft.key, findings)
    if weighs is not None:
        draft.values["weight"] = weighs


def weight(found: dict[str, Node], key: str, findings: Findings) -> float | None:
    """What of a load's score hangs on a column or a rule; None where it is not said."""
    node = found.get("weight")
    if node is None:
        return None
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST_WEIGHT:
        message = f"weight must be a number from 0 to {_MOST_WEIGHT:,}, not {node.kind()}"
        findings.error(node, message, cure="write value: 3, or 0 to leave it out of the score", key=key)
        return None
    return float(value)


def _inherit_null_markers(schema: Node, drafts: Sequence[Draft], findings: Findings) -> None:
    """Null markers of the whole table are those of every column without its own."""
    found = custom_properties(schema, "", findings).get("nullMarkers")
    if found is not None:
        markers = tuple(item.text for item in _texts_of(found, "nullMarkers", "", findings))
        for draft in drafts:
            draft.values.setdefault("null_markers", markers)


def _texts_of(node: Node, name: str, key: str, findings: Findings) -> list[Node]:
    items = node.items() if node.is_list else [node]
    good = [item for item in items if not item.is_mapping and not item.is_list]
    if len(good) != len(items) or not good:
        findings.error(node, f"{name} must be a list of texts", cure=f'write {name} as ["…", "…"]', key=key or None)
    return good


def _texts(draft: Draft, findings: Findings) -> None:
    for name in ("description", "classification"):
        node = draft.node.get(name)
        if node is not None and isinstance(node.value, str):
            draft.values[name] = node.value
        elif node is not None:
            findings.error(node, f"{name} must be text, not {node.kind()}", cure="put it into quotes", key=draft.key)
