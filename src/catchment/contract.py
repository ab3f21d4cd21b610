"""An ODCS document (`contracts/*.odcs.yaml`) as a frozen Contract: what silver must satisfy."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any, Literal

ColumnType = Literal[
    "string", "integer", "number", "decimal", "boolean", "date", "timestamp", "time", "object", "array"
]


@dataclass(frozen=True)
class Column:
    """One column of a silver table.

    `source` is the bronze column's header, or a path in the document (`$.customer.id`). `type` is the ODCS
    logicalType, but `decimal` where `physicalType` declares one. `formats` are JDK date patterns, tried in order.
    `time`, `object` and `array` are kept as text (`HH:mm:ss`, JSON).
    """

    name: str
    type: ColumnType
    source: str
    precision: int | None = None
    scale: int | None = None
    required: bool = False
    unique: bool = False
    key_position: int | None = None  # from 1, None outside the key
    formats: tuple[str, ...] = ()
    null_markers: tuple[str, ...] = ()
    timezone: str = "UTC"  # in which naive timestamps are read
    enum: tuple[str | int | float | bool, ...] = ()
    pattern: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    minimum: str | int | float | None = None
    maximum: str | int | float | None = None
    exclusive_minimum: str | int | float | None = None
    exclusive_maximum: str | int | float | None = None
    multiple_of: int | float | None = None
    derived: bool = False  # made by the refine function (`transformLogic`), not read from bronze
    weight: float = 1.0  # in a load's score; 0 leaves the column out of it
    description: str | None = None
    classification: str | None = None


@dataclass(frozen=True)
class RowRule:
    """An SQL condition (DuckDB's dialect) over a contract's columns that every row must meet; null is met."""

    name: str
    condition: str
    message: str
    column: str | None = None
    weight: float = 1.0  # in a load's score, of a rule that is no column's


@dataclass(frozen=True)
class SetRule:
    """A figure over one load and the bounds it must lie in (None: open, bounds belong to the range).

    `measure`: `rows` refined, `rejected_share` (0-1) of rows read, `duplicates` of `columns` in the load, `nulls` in
    `columns`, the `score` (0-100), or whether the load is `usual`.
    """

    name: str
    measure: Literal["rows", "rejected_share", "duplicates", "nulls", "score", "usual"]
    message: str
    columns: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    unit: Literal["rows", "percent"] = "rows"
    severity: Literal["warn", "stop"] = "warn"  # stop: before the commit
    usual: Usual | None = None


@dataclass(frozen=True)
class Usual:
    """A load is compared with the `loads` before it and may lie so many deviations beside them.

    `of` are (measure, column or None); empty: everything that is measured.
    """

    loads: int = 30
    deviations: float = 3.0
    of: tuple[tuple[str, str | None], ...] = ()

    def covers(self, measure: str, column: str | None) -> bool:
        return not self.of or (measure, column) in self.of


# With fewer loads before it nothing is said of whether a load is usual.
LEAST_LOADS = 7

# What of a load is compared with the loads before it.
TABLE_MEASURES = ("rows", "rejected_share", "score", "freshness")


def column_measures(kind: str) -> tuple[str, ...]:
    """The same of a column, by its type: the share of nulls, the mean, the share that is true, the mean length."""
    more = {
        **dict.fromkeys(("integer", "number", "decimal"), ("mean",)),
        **dict.fromkeys(("string", "object", "array"), ("length",)),
        "boolean": ("true",),
    }
    return ("nulls", *more.get(kind, ()))


@dataclass(frozen=True)
class Freshness:
    """The newest `column` of the table may be this old, in seconds."""

    column: str
    seconds: int


@dataclass(frozen=True)
class Reference:
    """`columns` of a row name a row of silver table `table` by its columns `to`; where one of them is null, none."""

    columns: tuple[str, ...]
    table: str
    to: tuple[str, ...]


@dataclass(frozen=True)
class Contract:
    """What a silver table promises. `file` is relative to the project."""

    id: str
    version: str
    table: str
    columns: tuple[Column, ...]
    row_rules: tuple[RowRule, ...] = ()
    set_rules: tuple[SetRule, ...] = ()
    references: tuple[Reference, ...] = ()
    freshness: Freshness | None = None
    description: str | None = None
    file: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """Names of the key's columns in their declared order; empty without a key."""
        keyed = [c for c in self.columns if c.key_position is not None]
        return tuple(c.name for c in sorted(keyed, key=lambda c: c.key_position or 0))

    def definition(self) -> dict[str, Any]:
        """What decides which rows are good and how they look, as canonical JSON values; words about it are left out."""
        told: dict[str, Any] = {
            "columns": {c.name: _attributes(c) for c in sorted(self.columns, key=lambda c: c.name)},
            "key": list(self.key),
            "row_rules": sorted({rule.condition for rule in self.row_rules}),
        }
        if self.references:
            told["references"] = sorted([list(r.columns), r.table, list(r.to)] for r in self.references)
        return told


# What people read, what verdicts over a whole load and its score use, and what `key` says already.
_WORDS = frozenset({"name", "description", "classification", "unique", "key_position", "weight"})
_UNORDERED = frozenset({"enum", "null_markers"})
_DECIDING = tuple((attribute.name, attribute.default) for attribute in fields(Column) if attribute.name not in _WORDS)


def _attributes(column: Column) -> dict[str, Any]:
    """What is not at its default, so that an attribute invented later leaves old definitions as they are."""
    told = {}
    for name, default in _DECIDING:
        value = getattr(column, name)
        if value == default and name != "timezone":
            continue
        if name == "timezone" and column.type not in ("timestamp", "time"):
            continue
        told[name] = _canonical(value, sort=name in _UNORDERED)
    return told


def _canonical(value: Any, *, sort: bool = False) -> Any:
    if isinstance(value, tuple):
        items = [_canonical(item) for item in value]
        return sorted(items, key=lambda item: (type(item).__name__, str(item))) if sort else items
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


# JDK DateTimeFormatter letters by the shortest count from which the strptime code holds.
_JDK: dict[str, tuple[tuple[int, str], ...]] = {
    "y": ((1, "%Y"), (2, "%y"), (3, "%Y")),
    "u": ((1, "%Y"), (2, "%y"), (3, "%Y")),
    "M": ((1, "%-m"), (2, "%m"), (3, "%b"), (4, "%B")),
    "L": ((1, "%-m"), (2, "%m"), (3, "%b"), (4, "%B")),
    "d": ((1, "%-d"), (2, "%d")),
    "D": ((1, "%-j"), (3, "%j")),
    "H": ((1, "%-H"), (2, "%H")),
    "h": ((1, "%-I"), (2, "%I")),
    "m": ((1, "%-M"), (2, "%M")),
    "s": ((1, "%-S"), (2, "%S")),
    "S": ((1, "%f"), (7, "%n")),
    "a": ((1, "%p"),),
    "E": ((1, "%a"), (4, "%A")),
    "X": ((1, "%z"),),
    "x": ((1, "%z"),),
    "Z": ((1, "%z"),),
    "z": ((1, "%Z"),),
    "V": ((2, "%Z"),),
}
_JDK_PART = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|(.)", re.DOTALL)


def strptime_format(jdk: str) -> str:
    """A JDK date pattern as DuckDB's strptime has it; ValueError says what is not supported and what to write.

    `X` allows the letter Z for UTC in Java, where DuckDB's `%z` wants digits: whoever parses replaces a final `Z` by
    `+00` first. A two-digit year of 69-99 is of the last century.
    """
    codes = []
    for match in _JDK_PART.finditer(jdk):
        literal, letter, other = match.group(1, 2, 3)
        if letter is not None:
            codes.append(_strptime_code(letter, len(match.group())))
        elif other is not None and other in "'[]{}#":
            cure = "write each form as a format of its own" if other in "[]" else "put it between single quotes"
            message = (
                f"`{other}` has a meaning that is not supported; {cure}"
                if other != "'"
                else "a single quote is not closed"
            )
            raise ValueError(message)
        else:
            codes.append(("'" if match.group() == "''" else other or literal.replace("''", "'")).replace("%", "%%"))
    if not any(code.startswith("%") and code != "%%" for code in codes):
        message = "it holds no date or time; write one such as yyyy-MM-dd"
        raise ValueError(message)
    if "h" in _letters(jdk) and "a" not in _letters(jdk):
        message = "`h` counts to 12 and needs `a` (AM or PM); write HH for 24 hours"
        raise ValueError(message)
    return "".join(codes)


def _strptime_code(letter: str, count: int) -> str:
    code = next((code for least, code in reversed(_JDK.get(letter, ())) if count >= least), None)
    if code is None:
        message = (
            f"pattern letter `{letter * count}` is not supported; there are y M d D H h m s S a E X x Z z VV and 'text'"
        )
        raise ValueError(message)
    return code


def _letters(jdk: str) -> set[str]:
    """The pattern letters, those between quotes left out."""
    return {match.group(2) for match in _JDK_PART.finditer(jdk) if match.group(2) is not None}
