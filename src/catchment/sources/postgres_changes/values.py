"""Values as PostgreSQL writes them, as JSON text: what silver reads out of it equals what it reads of a polled table.

The forms are those of `catchment.sources.postgres`: exact numerics as text, instants with their offset, intervals as
ISO 8601. The sessions set the server's output accordingly (`session.SETTINGS`).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from json.encoder import encode_basestring
from typing import Any, Protocol

Render = Callable[[bytes], str]

# Numbers of types that are the same in every server (pg_type.dat).
BOOL, BYTEA, CHAR, INT8, INT2, INT4, OID, JSON, FLOAT4, FLOAT8, MONEY, JSONB = (
    16, 17, 18, 20, 21, 23, 26, 114, 700, 701, 790, 3802,
)  # fmt: skip
_VECTORS = (22, 30)  # int2vector and oidvector are shown as numbers with blanks between them
# Types of PostgreSQL that are shown as they land, as text.
_TEXTS = frozenset(
    (
        *(CHAR, 19, 25, 142, 650, 774, 829, 869, 1042, 1043, 1082, 1083, 1114, 1184, 1186, 1266, 1560, 1562, 1700),
        *(2950, 3220, 3614, 3615, *_VECTORS),
    )
)
# Arrays -> what they are made of.
_ARRAYS = {
    1000: BOOL, 1001: BYTEA, 1005: INT2, 1007: INT4, 1009: 25, 1014: 1042, 1015: 1043, 1016: INT8, 1021: FLOAT4,
    1022: FLOAT8, 1115: 1114, 1182: 1082, 1185: 1184, 1231: 1700, 2951: 2950, 199: JSON, 3807: JSONB,
}  # fmt: skip


class Kind(Protocol):
    """What the catalog says of a type that is not in every server: what it is made of, its domains followed."""

    @property
    def base(self) -> int: ...
    @property
    def element(self) -> int | None: ...
    @property
    def delimiter(self) -> str: ...


def known(oid: int) -> bool:
    """Whether a type needs no look into the catalog."""
    return oid in _RENDERS or oid in _TEXTS or oid in _ARRAYS


def renders(oid: int, kinds: Mapping[int, Kind], money_digits: int) -> Render:
    """What makes JSON text of a value of a type; of one that nobody knows any more, its text."""
    found = kinds.get(oid)
    base = oid if found is None else found.base
    if base in _VECTORS:
        return text
    element = _ARRAYS.get(base) if found is None or found.element is None else found.element
    if element is not None:
        return _arrays(element, kinds, "," if found is None else found.delimiter)
    if base == MONEY:
        return _monies(money_digits)
    return _RENDERS.get(base, text)


def text(value: bytes) -> str:
    return encode_basestring(value.decode())


def _boolean(value: bytes) -> str:
    return "true" if value == b"t" else "false"


def _float8(value: bytes) -> str:
    """JSON has no words for what is no number."""
    shown = value.decode()
    return f'"{shown}"' if shown[-1] in "yN" else shown


def _float4(value: bytes) -> str:
    """The very number that a real is, which takes more digits as a double: a polled one is cast the same way."""
    shown = value.decode()
    if shown[-1] in "yN":
        return f'"{shown}"'
    return repr(struct.unpack("f", struct.pack("f", float(shown)))[0])


_BYTES = [chr(one) if 32 <= one <= 126 and chr(one) not in "\\'\"" else f"\\x{one:02X}" for one in range(256)]


def _bytea(value: bytes) -> str:
    """As DuckDB shows binary values, which is what silver makes of a polled column."""
    return encode_basestring("".join(map(_BYTES.__getitem__, bytes.fromhex(value[2:].decode()))))


def _json(value: bytes) -> str:
    """As it stands there. Raises ValueError for half a character, which `json` may hold and no reader takes."""
    shown = value.decode()
    if "\\u" in shown:
        json.dumps(json.loads(shown), ensure_ascii=False).encode()
    return shown


_RENDERS: Mapping[int, Render] = {
    BOOL: _boolean,
    BYTEA: _bytea,
    **dict.fromkeys((INT2, INT4, INT8, OID), bytes.decode),
    FLOAT4: _float4,
    FLOAT8: _float8,
    JSON: _json,
    JSONB: bytes.decode,
}


def _monies(digits: int) -> Render:
    """Amounts without the signs of the server's language."""

    def render(value: bytes) -> str:
        plain = "".join(sign for sign in value.decode() if sign.isdigit()).rjust(digits + 1, "0")
        sign = "-" if b"-" in value or b"(" in value else ""
        return f'"{sign}{plain[:-digits]}.{plain[-digits:]}"' if digits else f'"{sign}{plain}"'

    return render


def _arrays(element: int, kinds: Mapping[int, Kind], delimiter: str) -> Render:
    found = kinds.get(element)
    base = element if found is None else found.base
    # As the polling source lands them: lists of truth values and numbers, of all else lists of text.
    item = _RENDERS[base] if base in (BOOL, INT2, INT4, INT8, FLOAT4, FLOAT8) else text

    def render(value: bytes) -> str:
        shown = value.decode()
        if shown[0] == "[":  # where its numbering does not begin at 1
            shown = shown.partition("=")[2]
        return _array(shown, delimiter, lambda one: item(one.encode()))

    return render


def _array(shown: str, delimiter: str, item: Callable[[str], str]) -> str:
    if '"' not in shown and "{" not in shown[1:]:
        inner = shown[1:-1]
        return (
            f"[{','.join('null' if one == 'NULL' else item(one) for one in inner.split(delimiter))}]" if inner else "[]"
        )
    return _dumped(_parsed(shown, delimiter), item)


def _dumped(parsed: Sequence[Any], item: Callable[[str], str]) -> str:
    parts = ("null" if one is None else _dumped(one, item) if isinstance(one, list) else item(one) for one in parsed)
    return f"[{','.join(parts)}]"


def _parsed(shown: str, delimiter: str) -> list[Any]:
    """PostgreSQL's array text as lists of text and None."""
    outer: list[Any] = []
    open_lists = [outer]
    at, end = 0, len(shown)
    while at < end:
        sign = shown[at]
        if sign == "{":
            inner: list[Any] = []
            open_lists[-1].append(inner)
            open_lists.append(inner)
            at += 1
        elif sign == "}":
            open_lists.pop()
            at += 1
        elif sign == delimiter:
            at += 1
        else:
            value, at = _quoted(shown, at + 1) if sign == '"' else _plain(shown, at, delimiter)
            open_lists[-1].append(value)
    found: list[Any] = outer[0]
    return found


def _quoted(shown: str, at: int) -> tuple[str, int]:
    parts = []
    while shown[at] != '"':
        if shown[at] == "\\":
            at += 1
        parts.append(shown[at])
        at += 1
    return "".join(parts), at + 1


def _plain(shown: str, at: int, delimiter: str) -> tuple[str | None, int]:
    end = at
    while shown[end] not in (delimiter, "}"):
        end += 1
    value = shown[at:end]
    return (None if value == "NULL" else value), end
