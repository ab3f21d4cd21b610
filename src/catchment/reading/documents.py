"""YAML read once into nodes that know where they stand, so that every mistake can name its line and column.

Scalars follow YAML 1.2: `no`, `on` and `2020-01-02` are text, which is what country codes and dates are meant to be.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from catchment.errors import Problem
from catchment.reading.syntax import odd_character, slip

if TYPE_CHECKING:
    import yaml

Place: TypeAlias = tuple[int, int]
Plain: TypeAlias = str | int | float | bool | None

# An alias is counted with everything it stands for: nine lines of aliases of aliases would fill the memory otherwise.
MOST_NODES = 500_000
DEEPEST = 50

_WORDS: dict[str, Plain] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]{1,40}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


class Node:
    """A value at a place: a scalar, a list of nodes or a mapping of nodes; `text` is a scalar as it was written."""

    __slots__ = ("column", "keys", "line", "text", "value")

    def __init__(self, value: Any, place: Place, *, text: str = "", keys: dict[str, Place] | None = None) -> None:
        self.value = value
        self.line, self.column = place
        self.text = text
        self.keys = keys

    @property
    def place(self) -> Place:
        return self.line, self.column

    @property
    def is_mapping(self) -> bool:
        return self.keys is not None

    @property
    def is_list(self) -> bool:
        return isinstance(self.value, list)

    def entries(self) -> dict[str, Node]:
        """The mapping's entries; none where this is no mapping."""
        return self.value if self.keys is not None else {}

    def items(self) -> list[Node]:
        """The list's items; none where this is no list."""
        return self.value if isinstance(self.value, list) else []

    def get(self, key: str) -> Node | None:
        return self.entries().get(key)

    def string(self, key: str) -> str | None:
        """The text under `key`, or None where there is none or something else stands there."""
        node = self.get(key)
        return node.value if node is not None and isinstance(node.value, str) else None

    def key_place(self, key: str) -> Place:
        """Where a key stands; this node's own place where the key is absent."""
        return (self.keys or {}).get(key, self.place)

    def plain(self) -> Any:
        """The value without places, as a JSON reader would have given it."""
        if self.keys is not None:
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def scalars(self, path: str = "") -> Iterator[tuple[str, Node]]:
        """Every scalar with its key path."""
        if self.keys is not None:
            for key, node in self.value.items():
                yield from node.scalars(f"{path}.{key}" if path else key)
        elif isinstance(self.value, list):
            for node in self.value:
                yield from node.scalars(path)
        else:
            yield path, self

    def kind(self) -> str:
        """What stands here, in words."""
        if self.keys is not None:
            return "a mapping"
        if isinstance(self.value, list):
            return "a list"
        return "empty" if self.value is None else f"`{shorten(self.text)}`"


@dataclass
class Findings:
    """The problems of one file, in the order they were found."""

    file: str
    problems: list[Problem] = field(default_factory=list)

    def error(self, at: Node | Place | None, message: str, *, cure: str | None = None, key: str | None = None) -> None:
        self._add(at, message, cure, key, "error")

    def warning(
        self, at: Node | Place | None, message: str, *, cure: str | None = None, key: str | None = None
    ) -> None:
        self._add(at, message, cure, key, "warning")

    def _add(self, at: Node | Place | None, message: str, cure: str | None, key: str | None, severity: str) -> None:
        line, column = at.place if isinstance(at, Node) else at if at is not None else (None, None)
        words = f"{key}: {message}" if key else message
        self.problems.append(Problem(self.file, words, line, column, key, cure, severity))

    @property
    def failed(self) -> bool:
        return any(problem.severity == "error" for problem in self.problems)


def shorten(text: str, limit: int = 60) -> str:
    """One line of at most `limit` characters, for messages."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def decode(content: bytes, findings: Findings) -> str | None:
    """UTF-8 text, with or without a byte order mark; None and a problem where it is something else."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        place = (before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1)
        message = f"byte 0x{content[error.start]:02x} is not UTF-8"
        findings.error(place, message, cure="save the file with encoding UTF-8")
        return None


def parse(text: str, findings: Findings) -> Node | None:
    """The document, or None where nothing can be read; every duplicate key and syntax error is a problem."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _Builder(yaml.parse(text, Loader=loader), findings, text).document()
    except _Unreadable as error:
        findings.error(error.place, error.message, cure=error.cure)
    except yaml.MarkedYAMLError as error:
        place, message, cure = slip(error, text)
        findings.error(place, message, cure=cure)
    except (yaml.YAMLError, UnicodeEncodeError):
        findings.error(
            odd_character(text),
            "a character that YAML does not allow",
            cure="remove it, or write it as \\x… in double quotes",
        )
    return None


class _Unreadable(Exception):
    def __init__(self, place: Place, message: str, cure: str) -> None:
        super().__init__(message)
        self.place, self.message, self.cure = place, message, cure


class _Builder:
    """Events into nodes; one use."""

    def __init__(self, events: Iterator[yaml.Event], findings: Findings, text: str) -> None:
        self.events = events
        self.findings = findings
        self.text = text
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.count = 0

    def document(self) -> Node | None:
        import yaml

        root: Node | None = None
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    raise _Unreadable(
                        _place(event), "a second document begins here", "keep one document in a file; remove `---`"
                    )
                root = self._node(next(self.events), 0)
        return root

    def _node(self, event: yaml.Event, depth: int) -> Node:
        import yaml

        before = self.count
        self.count += 1
        place = _place(event)
        if depth > DEEPEST:
            raise _Unreadable(place, f"nested more than {DEEPEST} levels deep", "flatten it")
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event, place)
        elif isinstance(event, yaml.AliasEvent):
            return self._alias(event, place)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._list(place, depth)
        else:
            node = self._mapping(place, depth)
        if event.anchor is not None:  # type: ignore[attr-defined]
            self.anchors[event.anchor] = (node, self.count - before)  # type: ignore[attr-defined]
        return node

    def _alias(self, event: yaml.AliasEvent, place: Place) -> Node:
        if event.anchor not in self.anchors:
            raise _Unreadable(
                place, f"no anchor `&{event.anchor}` before this alias", "define it first, or put the value into quotes"
            )
        node, size = self.anchors[event.anchor]
        self.count += size
        if self.count > MOST_NODES:
            raise _Unreadable(
                place, f"its aliases stand for more than {MOST_NODES:,} values", "write less through aliases"
            )
        return node

    def _scalar(self, event: yaml.ScalarEvent, place: Place) -> Node:
        if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            tag = str(event.tag).replace("tag:yaml.org,2002:", "!!")
            raise _Unreadable(place, f"tag `{shorten(tag)}` is not understood", "remove the tag")
        plain = event.implicit[0] and event.tag is None
        return Node(_value(event.value) if plain else event.value, place, text=event.value)

    def _list(self, place: Place, depth: int) -> Node:
        import yaml

        items: list[Node] = []
        for event in self.events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self._node(event, depth + 1))
        return Node(items, place)

    def _mapping(self, place: Place, depth: int) -> Node:
        import yaml

        entries: dict[str, Node] = {}
        keys: dict[str, Place] = {}
        merged: list[Node] = []
        cut = _Cut(self.text)
        for event in self.events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key, following = self._key(event), next(self.events)
            if cut.goes_on(event, following):
                entries[cut.key] = cut.joined(event, key)
                continue
            value = self._node(following, depth + 1)
            cut.after(key, following)
            if key == "<<" and (value.is_mapping or value.is_list):
                merged += value.items() or [value]
            elif key in entries:
                self.findings.error(
                    _place(event),
                    f"key `{shorten(key)}` stands here twice, first in line {keys[key][0]}",
                    cure="remove one",
                    key=None,
                )
            else:
                entries[key], keys[key] = value, _place(event)
        cut.tell(self.findings)
        for other in merged:
            for key, value in other.entries().items():
                if key not in entries:
                    entries[key], keys[key] = value, other.key_place(key)
        return Node(entries, place, keys=keys)

    def _key(self, event: yaml.Event) -> str:
        import yaml

        if isinstance(event, yaml.AliasEvent):
            node = self._alias(event, _place(event))
            if not node.is_mapping and not node.is_list:
                return node.text
        if not isinstance(event, yaml.ScalarEvent):
            raise _Unreadable(
                _place(event), "a key must be plain text", "put a value that begins with { or [ into quotes"
            )
        return str(event.value)


class _Cut:
    """Values that a comma has cut in two: in `{retention: 7 days, 3 hours}` what comes after it is a key for YAML.

    They are joined again, so that each is told once and nothing else comes of it.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._value: yaml.ScalarEvent | None = None
        self.key = ""
        self._found: dict[str, tuple[Place, str, str]] = {}

    def after(self, key: str, value: yaml.Event) -> None:
        """A value with its key: one that is not quoted may go on."""
        import yaml

        self.key, self._value = key, None
        if isinstance(value, yaml.ScalarEvent) and value.implicit[0] and value.value and not value.anchor:
            self._value = value

    def goes_on(self, key: yaml.Event, value: yaml.Event) -> bool:
        """Whether what was read as a key with its value is more of the value before: it has no colon."""
        import yaml

        if self._value is None or not (isinstance(key, yaml.ScalarEvent) and isinstance(value, yaml.ScalarEvent)):
            return False
        between = self._text[_index(key.end_mark) : _index(value.start_mark)]
        return bool(key.implicit[0] and not value.value and value.implicit[0] and ":" not in between)

    def joined(self, event: yaml.Event, key: str) -> Node:
        """The value as it was meant."""
        assert self._value is not None
        whole = self._text[_index(self._value.start_mark) : _index(event.end_mark)]
        place, first, _ = self._found.get(self.key, (_place(event), key, ""))
        self._found[self.key] = (place, first, whole)
        return Node(whole, _place(self._value), text=whole)

    def tell(self, findings: Findings) -> None:
        """Each value that was cut, once."""
        for key, (place, first, whole) in self._found.items():
            message = f"`{shorten(first)}` has no value: between {{ and }} a comma ends the value of `{shorten(key)}`"
            quote = "'" if '"' in whole else '"'
            cure = f"put it all into quotes, {shorten(key)}: {quote}{shorten(whole)}{quote}, or give it a value"
            findings.error(place, message, cure=cure)


def _index(mark: Any) -> int:
    """How many characters lie before a place."""
    return int(mark.index)


def _place(event: yaml.Event) -> Place:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)


@lru_cache(maxsize=4096)
def _value(text: str) -> Plain:
    """A plain scalar by YAML 1.2's core schema; what is not finite stays text."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text
