"""Rows as Avro: the schema that a contract makes, and records in Confluent's wire format.

Every column may be null, so that a column that is added later breaks no reader.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from catchment.contract import Column, Contract
from catchment.naming import quoted

_TYPES: Mapping[str, Any] = {
    "integer": "long",
    "number": "double",
    "boolean": "boolean",
    "date": {"type": "int", "logicalType": "date"},
    "timestamp": {"type": "long", "logicalType": "timestamp-micros"},
}


def schema(contract: Contract, table: str) -> str:
    """What a message's value is, as Avro's own JSON."""
    fields = [{"name": c.name, "type": ["null", _type(c)], "default": None} for c in contract.columns]
    return json.dumps({"type": "record", "name": table, "namespace": "catchment", "fields": fields})


def _type(column: Column) -> Any:
    if column.type == "decimal":
        precision, scale = column.precision or 18, column.scale or 0
        return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}
    return _TYPES.get(column.type, "string")


@dataclass(frozen=True)
class AvroRows:
    """Writes rows by the schema `text`, which has `number` in the registry."""

    contract: Contract
    text: str
    number: int

    @cached_property
    def _parsed(self) -> Any:
        import fastavro

        return fastavro.parse_schema(json.loads(self.text))

    def columns(self, known: Collection[str]) -> dict[str, str]:
        """What is selected of a row beside its message; what an older table lacks is null."""
        names = [column.name for column in self.contract.columns]
        return {f"_c{place}": quoted(name) if name in known else "NULL" for place, name in enumerate(names)}

    def values(self, rows: pa.Table) -> list[bytes]:
        """The values of messages, in order."""
        import fastavro

        names = [column.name for column in self.contract.columns]
        columns = [_plain(rows.column(f"_c{place}")).to_pylist() for place in range(len(names))]
        # Zero, then the schema's number in four bytes.
        head, found = struct.pack(">bI", 0, self.number), []
        for row in zip(*columns, strict=True):
            written = io.BytesIO()
            fastavro.schemaless_writer(written, self._parsed, dict(zip(names, row, strict=True)))
            found.append(head + written.getvalue())
        return found


def _plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Instants and days as the numbers that Avro writes for them: Python knows none before the year 1 or after 9999."""
    if pa.types.is_timestamp(values.type):
        return values.cast(pa.timestamp("us", values.type.tz)).cast(pa.int64())
    return values.cast(pa.int32()) if pa.types.is_date32(values.type) else values
