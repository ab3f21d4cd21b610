"""An ODCS document (`contracts/*.odcs.yaml`) as a frozen Contract: what silver must satisfy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

ColumnType = Literal["string", "integer", "number", "decimal", "boolean", "date", "timestamp", "time", "object", "array"]


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
    description: str | None = None
    classification: str | None = None


@dataclass(frozen=True)
class RowRule:
    """An SQL condition (DuckDB's dialect) over a contract's columns that every row must meet; null is met."""

    name: str
    condition: str
    message: str
    column: str | None = None


@dataclass(frozen=True)
class SetRule:
    """A figure over one load and the bounds it must lie in (None: open, bounds belong to the range).

    `measure`: `rows` refined, `rejected_share` (0-1) of rows read, `duplicates` of `columns` in the load, `nulls` in
    `columns`.
    """

    name: str
    measure: Literal["rows", "rejected_share", "duplicates", "nulls"]
    message: str
    columns: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    unit: Literal["rows", "percent"] = "rows"


@dataclass(frozen=True)
class Freshness:
    """The newest `column` of the table may be this old, in seconds."""

    column: str
    seconds: int


@dataclass(frozen=True)
class Contract:
    """What a silver table promises. `file` is relative to the project."""

    id: str
    version: str
    table: str
    columns: tuple[Column, ...]
    row_rules: tuple[RowRule, ...] = ()
    set_rules: tuple[SetRule, ...] = ()
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
        raise NotImplementedError
