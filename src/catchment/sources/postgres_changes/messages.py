"""What pgoutput sends, in version 1 of its protocol: bytes taken apart, values left as they are.

Every message begins with 25 bytes of the stream around it; `padded` puts some behind it, so that nothing reads past the
end.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

# Where a message's own bytes begin.
HEAD = 25
_PAD = b"\0" * 8

BEGIN, COMMIT, RELATION, INSERT, UPDATE, DELETE, TRUNCATE = b"BCRIUDT"
NEW, KEY, OLD = b"NKO"

# A value that is stored beside its row and was not changed: the log does not have it. No value can hold this byte.
UNCHANGED = b"\0unchanged"

_NULL, _TEXT = b"nt"
_value = Struct(">BI").unpack_from
_begin = Struct(">Qq").unpack_from
_end = Struct(">BQQ").unpack_from
_count = Struct(">H").unpack_from
_number = Struct(">I").unpack_from
_type = Struct(">Ii").unpack_from

Fields = list[bytes | None]


def padded(data: bytes | memoryview) -> bytes:
    return b"".join((data, _PAD))


@dataclass(frozen=True)
class RelationColumn:
    name: str
    type: int
    is_key: bool


@dataclass(frozen=True)
class Relation:
    """A table as it was when what follows was written. `identity` is d, n, f or i, as in pg_class.relreplident."""

    oid: int
    shown: str
    identity: str
    columns: tuple[RelationColumn, ...]


def begun(data: bytes) -> tuple[int, int]:
    """Where the transaction's commit lies, and its instant in microseconds of PostgreSQL's own count."""
    lsn, at_us = _begin(data, HEAD + 1)
    return lsn, at_us


def committed(data: bytes) -> int:
    """Where the commit ends."""
    end: int = _end(data, HEAD + 1)[2]
    return end


def relation(data: bytes) -> Relation:
    (oid,) = _number(data, HEAD + 1)
    schema, at = _word(data, HEAD + 5)
    name, at = _word(data, at)
    identity = chr(data[at])
    (count,) = _count(data, at + 1)
    at += 3
    columns = []
    for _ in range(count):
        is_key = bool(data[at] & 1)
        column, at = _word(data, at + 1)
        columns.append(RelationColumn(column, _type(data, at)[0], is_key))
        at += 8
    return Relation(oid, f"{schema or 'pg_catalog'}.{name}", identity, tuple(columns))


def _word(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(0, at)
    return data[at:end].decode(errors="replace"), end + 1


def fields(data: bytes, at: int) -> tuple[Fields, int, bool]:
    """The values of a row, where what follows them begins, and whether any of them is not in the log."""
    (count,) = _count(data, at)
    at += 2
    found: Fields = []
    some = False
    for _ in range(count):
        kind, size = _value(data, at)
        if kind == _TEXT:
            found.append(data[at + 5 : (at := at + 5 + size)])
        else:
            some = some or kind != _NULL
            found.append(None if kind == _NULL else UNCHANGED)
            at += 1
    return found, at, some


def truncated(data: bytes) -> list[int]:
    """The relations that were emptied."""
    (count,) = _number(data, HEAD + 1)
    return [_number(data, HEAD + 6 + 4 * place)[0] for place in range(count)]
