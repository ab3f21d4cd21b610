"""What catchment.yaml says of silver tables, against their streams, their contracts and each other.

Read from the nodes, as `pointers` does: a wrong key in one place hides nothing in another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from pydantic import ValidationError

from catchment import settings
from catchment.contract import Column, Contract, Reference
from catchment.naming import did_you_mean
from catchment.reading.documents import Findings, Node, Place, shorten
from catchment.reading.durations import seconds
from catchment.reading.kinds import KINDS, stream_keys
from catchment.reading.pointers import Reading, entries, is_there, listing

_NOTHING = Node({}, (1, 1), keys={})
_NUMBERS = frozenset({"integer", "number", "decimal"})

# What a mode needs, and what says nothing in the others.
_KEYED = ("merge", "history", "window")
_HEEDED = {
    "latest_by": ("merge", "history"),
    "slice": ("delete_insert",),
    "event_time": ("window",),
    "lateness": ("merge", "window"),
}
_WHOLE = ("merge", "history", "replace", "delete_insert")


def follow(reading: Reading) -> None:
    """Look at every silver table; what is wrong goes to the reading's problems."""
    streams = _streams(reading.section("sources"))
    for name, node in reading.section("silver").items():
        if not node.is_mapping:
            continue
        table = _Table(reading, name, node, streams)
        for look in _LOOKS:
            look(table)
        _references(table)
    _cycles(reading)


def follow_on(reading: Reading, target: str, sources: Mapping[str, Node]) -> None:
    """Look at what modes need of the streams of `sources`, which a target declares otherwise.

    What is wrong goes to the reading's problems, at the target's stream, unless it is wrong on every target.
    """
    own = _streams(sources)
    known = {**_streams(reading.section("sources")), **own}
    for name, node in reading.section("silver").items():
        table = _TableOnTarget(reading, name, node, known, target, own)
        if node.is_mapping and any(stream.value in own for stream in table.streams):
            for look in (_mode, _needs, _whole, _changes):
                look(table)


def _streams(sources: Mapping[str, Node]) -> dict[str, _Stream]:
    return {
        f"{source}.{stream}": _stream(found, node)
        for source, found in sources.items()
        for stream, node in entries(found, "streams").items()
    }


def _stream(source: Node, stream: Node) -> _Stream:
    """As its model tells; as its key `full` does where it has mistakes."""
    keys = KINDS.get(source.string("type") or "")
    model = None if keys is None else stream_keys(keys)
    takes = frozenset() if model is None else frozenset(model.model_fields)
    try:
        found = None if model is None else model.model_validate(stream.plain())
    except ValidationError:
        return _Stream(stream, _is(stream, "full", True), changes=False, takes=takes)
    return _Stream(
        stream, found is not None and found.is_whole, found is not None and found.brings_changes, takes=takes
    )


def _is(node: Node, key: str, value: object) -> bool:
    found = node.get(key)
    return found is not None and found.value == value


@dataclass(frozen=True)
class _Stream:
    """A stream as its source declares it; `takes` are the keys that streams of its type may have."""

    node: Node
    full: bool
    changes: bool
    takes: frozenset[str] = frozenset()

    def made_whole(self, name: str) -> str | None:
        """How it would arrive whole each time, None where no key makes it so."""
        if "full" in self.takes:
            return f"add full: true to {name}"
        return f"remove cursor from {name}" if "cursor" in self.node.entries() else None


@dataclass(frozen=True)
class _Table:
    """One entry under `silver`; `known` are the project's streams."""

    reading: Reading
    name: str
    node: Node
    known: Mapping[str, _Stream]

    @property
    def key(self) -> str:
        return f"silver.{self.name}"

    @property
    def mode(self) -> str:
        return self.node.string("mode") or "append"

    @property
    def contract(self) -> Contract | None:
        """None where it has mistakes."""
        return self.reading.contracts.get(self.name)

    @cached_property
    def streams(self) -> list[Node]:
        """The names under `from`."""
        node = self.node.get("from") or _NOTHING
        listed = node.items() if node.is_list else [node]
        return [item for item in listed if isinstance(item.value, str)]

    def places(self, key: str) -> Node | Place:
        """The value of a key, or the table's name where the key is absent."""
        return self.node.get(key) or self.reading.key_place("silver", self.name)

    def error(self, at: Node | Place, message: str, cure: str, key: str = "") -> None:
        self.reading.findings.error(at, message, cure=cure, key=f"{self.key}.{key}" if key else self.key)

    def warning(self, at: Node | Place, message: str, cure: str) -> None:
        self.reading.findings.warning(at, message, cure=cure, key=self.key)

    def full(self, stream: Node) -> bool:
        return stream.value in self.known and self.known[stream.value].full

    @property
    def changes(self) -> Node | None:
        """The first of its streams that brings changes."""
        return next((s for s in self.streams if s.value in self.known and self.known[s.value].changes), None)

    @property
    def is_full(self) -> bool:
        """Whether its streams arrive whole."""
        return bool(self.streams) and all(map(self.full, self.streams))


@dataclass(frozen=True)
class _TableOnTarget(_Table):
    """The same where `own` streams are those of a target."""

    target: str
    own: Mapping[str, _Stream]

    def error(self, at: Node | Place, message: str, cure: str, key: str = "") -> None:
        told = f"{self.key}.{key}: {message}" if key else f"{self.key}: {message}"
        if any(problem.message == told for problem in self.reading.findings.problems):
            return
        mine = [stream.value for stream in self.streams if stream.value in self.own]
        meant = at.value if isinstance(at, Node) and at.value in mine else mine[0]
        source, _, stream = meant.partition(".")
        place = f"targets.{self.target}.sources.{source}.streams.{stream}"
        self.reading.findings.error(self.own[meant].node, told, cure=cure, key=place)


def _from(table: _Table) -> None:
    listed = table.node.get("from")
    if listed is not None and listed.is_list and not listed.items():
        table.error(listed, "from is empty", "write from: source.stream", "from")
    seen: set[str] = set()
    for node in table.streams:
        if settings.has_references(node.value):
            continue
        if node.value in seen:
            table.error(node, f"`{shorten(node.value)}` is listed twice", "remove one", "from")
        elif node.value not in table.known and not _is_told(table.reading, node.value):
            known = list(table.known)
            cure = f"streams are {shorten(', '.join(known), 200)}" if known else "add it under sources"
            cure = did_you_mean(node.value, known) or cure
            table.error(node, f"no stream `{shorten(node.value)}`", cure, "from")
        seen.add(node.value)


def _is_told(reading: Reading, stream: str) -> bool:
    """Whether what is wrong with the stream's source is told already."""
    source = reading.section("sources").get(stream.partition(".")[0])
    return source is not None and not entries(source, "streams")


def _mode(table: _Table) -> None:
    """A mode needs a key, or another key of the table."""
    mode, contract = table.mode, table.contract
    if mode in _KEYED and contract is not None and not contract.key:
        cure = f"add primaryKey: true to a column in {contract.file}"
        table.error(table.places("mode"), f"mode {mode} needs a key, and the contract has none", cure, "mode")
    found = [table.known[stream.value] for stream in table.streams if stream.value in table.known]
    whole = ", or full: true at the stream" if any("full" in stream.takes for stream in found) else ""
    missing = {
        "window": [("event_time", "event_time: <a timestamp column>"), ("lateness", "lateness: 2 days")],
        "delete_insert": [("slice", "slice: [<a column>]")],
        "history": [] if table.is_full or table.changes else [("latest_by", f"latest_by: <a timestamp column>{whole}")],
    }.get(mode, [])
    for key, example in missing:
        if key not in table.node.entries():
            table.error(table.places("mode"), f"mode {mode} needs {key}", f"write {example}", "mode")


def _needs(table: _Table) -> None:
    """What a mode needs of the table's streams."""
    mode, at = table.mode, table.places("from")
    if len(table.streams) > 1:
        if mode in ("replace", "delete_insert"):
            table.error(at, f"mode {mode} takes one stream", "keep one, or write a table for each", "from")
        elif mode in ("merge", "history") and "latest_by" not in table.node.entries() and not table.changes:
            message = f"mode {mode} over several streams needs latest_by: rows of two streams have no order of arrival"
            table.error(at, message, "add latest_by: <a column>", "from")
    for stream in table.streams:
        if stream.value not in table.known or table.known[stream.value].changes:
            continue  # of changes `_changes` tells which modes there are
        full, declared = table.full(stream), table.known[stream.value].node
        if mode == "replace" and not full:
            message = f"mode replace needs a stream that arrives whole, and {stream.value} does not"
            way = table.known[stream.value].made_whole(stream.value)
            table.error(stream, message, "write mode: merge" if way is None else f"{way}, or write mode: merge", "from")
        if mode == "delete_insert" and not full and not _is(declared, "load_per_file", True):
            by_file = "load_per_file" in table.known[stream.value].takes
            lands = "lands files together" if by_file else "has no arrivals that hold one whole"
            message = f"mode delete_insert replaces slices arrival by arrival, and {stream.value} {lands}"
            cure = f"add load_per_file: true to {stream.value}" if by_file else "write mode: merge"
            table.error(stream, message, cure, "from")
        if mode in ("append", "window") and _is(declared, "changed", "reload"):
            kept = "both" if mode == "append" else "the older ones"
            message = f"changed: reload brings rows of {stream.value} again, and mode {mode} would keep {kept}"
            table.error(stream, message, "write changed: fail at the stream, or mode: merge", "from")


def _whole(table: _Table) -> None:
    """A stream that arrives whole brings every row again each time."""
    whole = [stream for stream in table.streams if table.full(stream)]
    if not whole:
        return
    name = whole[0].value
    if table.mode not in _WHOLE:
        message = f"{name} arrives whole each time, and mode {table.mode} would keep every arrival"
        table.error(whole[0], message, "write mode: replace, merge or history", "from")
    elif len(table.streams) > 1:
        message = f"{name} arrives whole, so a key that is not in it was deleted; other streams know nothing of that"
        table.error(whole[0], message, f"take {name} alone", "from")


def _changes(table: _Table) -> None:
    """A log of changes tells by itself what is the latest and what was deleted."""
    stream = table.changes
    if stream is None:
        return
    if table.mode not in ("merge", "history"):
        message = f"{stream.value} brings changes, deletes among them, and mode {table.mode} would keep what is gone"
        table.error(stream, message, "write mode: merge, or mode: history for every version", "from")
    elif len(table.streams) > 1:
        message = f"{stream.value} brings changes in an order of its own; other streams know nothing of that"
        table.error(stream, message, f"take {stream.value} alone", "from")
    for key, what in (("latest_by", "which row is the latest"), ("deleted_when", "which rows were deleted")):
        node = table.node.get(key)
        if node is not None:
            table.error(node, f"{stream.value} is a log of changes, which says {what}", f"remove {key}", key)
    contract = table.contract
    columns = contract.columns if contract is not None and contract.key else ()
    derived = [c.name for c in columns if c.derived and contract is not None and c.name in contract.key]
    if derived:
        message = f"refine makes the key ({', '.join(derived)}), and deletes in {stream.value} never see it"
        cure = "take the key from the source, or make this table in gold"
        table.error(table.places("refine"), message, cure, "refine")


def _unheeded(table: _Table) -> None:
    for key, modes in _HEEDED.items():
        node = table.node.get(key)
        if node is not None and table.mode not in modes:
            cure = f"write mode: {' or '.join(modes)}, or remove it"
            table.warning(node, f"{key} says nothing in mode {table.mode}", cure)
    wait = table.node.get("wait")
    if wait is not None and table.contract is not None and not table.contract.references:
        cure = f"add relationships to {table.contract.file}, or remove it"
        table.warning(wait, "wait says nothing where the contract refers to no other table", cure)


# The types that a key's column may have; any where none are named.
_TYPED: Mapping[str, tuple[str, ...]] = {"event_time": ("timestamp",), "slice": (), "latest_by": ()}


def _columns(table: _Table) -> None:
    """Keys that name columns of the contract."""
    # A delete is as old as its time is.
    forgets = table.mode == "merge" and {"lateness", "deleted_when"} <= set(table.node.entries())
    typed = {**_TYPED, "latest_by": ("timestamp", "date") if table.mode == "history" or forgets else ()}
    for key, types in typed.items():
        node = table.node.get(key) or _NOTHING
        for item in node.items() if node.is_list else [node]:
            _column(table, item, key, types)


def _column(table: _Table, node: Node, key: str, types: Iterable[str]) -> Column | None:
    """The column that is named there; None after a problem, and where the contract cannot be read."""
    columns = table.reading.columns.get(table.name)
    if not isinstance(node.value, str) or settings.has_references(node.value) or columns is None:
        return None
    if node.value not in columns:
        cure = did_you_mean(node.value, columns) or f"columns are {shorten(', '.join(columns), 200)}"
        table.error(node, f"the contract has no column `{shorten(node.value)}`", cure, key)
        return None
    found = next((c for c in table.contract.columns if c.name == node.value), None) if table.contract else None
    if found is not None and types and found.type not in types:
        words = " or a ".join(types)
        fitting = [c.name for c in table.contract.columns if c.type in types] if table.contract else []
        cure = f"there {'is' if len(fitting) == 1 else 'are'} {', '.join(fitting)}" if fitting else f"name a {words}"
        table.error(node, f"`{node.value}` is {found.type}, and this must be a {words}", cure, key)
    return found


def _deleted_when(table: _Table) -> None:
    node = table.node.get("deleted_when")
    if node is None or not isinstance(node.value, str):
        return
    if table.mode not in ("merge", "history"):
        message = f"deleted_when is for mode merge and history: in mode {table.mode} the rows would stay"
        table.error(node, message, "write mode: merge, or remove it", "deleted_when")
    elif table.contract is not None:
        from catchment.reading.odcs.conditions import fault

        wrong = fault(node.value, [column.name for column in table.contract.columns])
        if wrong is not None:
            table.error(node, *wrong, "deleted_when")


def _durations(table: _Table) -> None:
    for key in ("lateness", "wait"):
        node = table.node.get(key)
        text = node.value if node is not None else None
        if node is None or not isinstance(text, str) or settings.has_references(text):
            continue
        if seconds(text) is None:
            table.error(node, f"{node.kind()} is not a length of time", "write one such as 24 hours or 30 min", key)


def _refine(table: _Table) -> None:
    refine, reading = table.node.get("refine"), table.reading
    if refine is None or refine.value is None:
        _underived(table)
        return
    if not isinstance(refine.value, str) or settings.has_references(refine.value):
        return
    path = reading.folder / refine.value
    if not refine.value.endswith(".py"):
        message = f"`{shorten(refine.value)}` is not a Python file"
        table.error(refine, message, f"write refine: silver/{table.name}.py", "refine")
    elif not is_there(path.is_file):
        cure = did_you_mean(path.name, listing(path.parent, (".py",))) or "write it, or remove refine"
        table.error(refine, f"{shorten(refine.value)} is not there", cure, "refine")


def _underived(table: _Table) -> None:
    contract = table.contract
    derived = [column.name for column in contract.columns if column.derived] if contract is not None else []
    if derived:
        message = f"columns with transformLogic ({', '.join(derived)}) need a refine function that makes them"
        at = table.reading.key_place("silver", table.name)
        table.error(at, message, f"add refine: silver/{table.name}.py")


def _lookups(table: _Table) -> None:
    section, silver = table.node.get("with") or _NOTHING, table.reading.section("silver")
    for name, how in section.entries().items():
        place, contract = section.key_place(name), table.reading.contracts.get(name)
        if name == table.name:
            table.error(place, "a table cannot look things up in itself", "remove it", "with")
        elif name not in silver:
            others = [other for other in silver if other != table.name]
            cure = did_you_mean(name, others) or "name another silver table"
            table.error(place, f"no silver table `{shorten(name)}`", cure, "with")
        elif contract is not None and not contract.key:
            cure = f"add primaryKey: true to a column in {contract.file}"
            table.error(place, f"look-up `{name}` has no key to be found by", cure, "with")
        if name in silver and name != table.name and how.is_mapping:
            _as_of(table, name, how)
    if section.entries() and "refine" not in table.node.entries():
        message = "look-ups are for a refine function, and there is none"
        cure = f"add refine: silver/{table.name}.py, or remove with"
        table.error(table.node.key_place("with"), message, cure)


def _as_of(table: _Table, lookup: str, how: Node) -> None:
    """The time of a look-up is a column of the first frame; the other table has to keep what was valid then."""
    node, key = how.get("as_of"), f"with.{lookup}"
    if node is not None:
        column = _column(table, node, key, ("timestamp", "date"))
        if column is not None and column.derived:
            message = f"`{column.name}` is made by the refine function, after the look-up"
            table.error(node, message, "name a column that is read from bronze", key)
    other = table.reading.section("silver")[lookup]
    mode = other.string("mode") or "append"
    if mode != "history":
        message = f"`{lookup}` keeps no versions to look up as of a time: its mode is {mode}"
        table.error(how, message, f"write {lookup}: current, or mode: history for {lookup}", key)


_LOOKS = (_from, _mode, _needs, _whole, _changes, _unheeded, _columns, _deleted_when, _durations, _refine, _lookups)


def _references(table: _Table) -> None:
    """References of the contract against the tables they name, each told where it stands in the contract."""
    contract = table.contract
    wrong = [found for r in contract.references if (found := _fault(table, contract, r))] if contract else []
    if contract is None or not wrong:
        return
    findings = Findings(contract.file)
    places = _places(table.reading, contract)
    for reference, message, cure in wrong:
        findings.error(places.get(reference), message, cure=cure, key=f"{table.name}.relationships")
    table.reading.contract_problems += findings.problems


def _fault(table: _Table, contract: Contract, reference: Reference) -> tuple[Reference, str, str] | None:
    silver = table.reading.section("silver")
    if reference.table not in silver:
        cure = did_you_mean(reference.table, silver) or "add it under silver, or remove the relationship"
        return reference, f"no silver table `{shorten(reference.table)}` to refer to", cure
    columns = table.reading.columns.get(reference.table, [])
    other = table.reading.contracts.get(reference.table)
    own = {column.name: column.type for column in contract.columns}
    theirs = {column.name: column.type for column in other.columns} if other is not None else {}
    for name, to in zip(reference.columns, reference.to, strict=True):
        if columns and to not in columns:
            cure = did_you_mean(to, columns) or f"columns are {shorten(', '.join(columns), 200)}"
            return reference, f"silver table `{reference.table}` has no column `{shorten(to)}`", cure
        if to in theirs and not _comparable(own[name], theirs[to]):
            message = f"`{name}` is {own[name]} and {reference.table}.{to} is {theirs[to]}: they are never equal"
            return reference, message, "give both one logicalType"
    return None


def _comparable(one: str, other: str) -> bool:
    return one == other or {one, other} <= _NUMBERS


def _places(reading: Reading, contract: Contract) -> dict[Reference, Node]:
    from catchment.reading.documents import decode, parse
    from catchment.reading.odcs.document import located_references

    unheard = Findings(contract.file)
    text = decode((reading.folder / contract.file).read_bytes(), unheard)
    root = parse(text, unheard) if text is not None else None
    return dict(located_references(root, contract)) if root is not None else {}


def _cycles(reading: Reading) -> None:
    """One problem for each circle of look-ups and references, at its first table in the file."""
    graph = {table: _looked_at(reading, table, node) for table, node in reading.section("silver").items()}
    told: set[str] = set()
    for start in graph:
        circle = _circle(graph, start)
        if circle is None or told & set(circle):
            continue
        told |= set(circle)
        section = reading.section("silver")[start].get("with") or _NOTHING
        inside = circle[1] in section.entries()
        place = section.key_place(circle[1]) if inside else reading.key_place("silver", start)
        message = f"look-ups and references go round in a circle: {' -> '.join(circle)}"
        key = f"silver.{start}.with" if inside else f"silver.{start}"
        reading.findings.error(place, message, cure="remove one of them", key=key)


def _looked_at(reading: Reading, table: str, node: Node) -> list[str]:
    contract = reading.contracts.get(table)
    referred = [reference.table for reference in contract.references] if contract is not None else []
    return list(dict.fromkeys([*entries(node, "with"), *referred]))


def _circle(graph: Mapping[str, list[str]], start: str) -> list[str] | None:
    """The shortest way from `start` back to it through other tables."""
    ways = [[start, name] for name in graph[start] if name in graph and name != start]
    seen = {start, *graph[start]}
    while ways:
        way = ways.pop(0)
        for name in graph[way[-1]]:
            if name == start:
                return [*way, start]
            if name in graph and name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return None
