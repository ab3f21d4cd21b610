"""Rows as Avro, by what a reader of Avro makes of them."""

from __future__ import annotations

import io
import struct

import fastavro
import pyarrow as pa
import pytest

from catchment.refined.avro import AvroRows, schema
from catchment.testing.fakes import column, contract

CONTRACT = contract("t", column("at", "timestamp"), column("day", "date"))
ROWS = AvroRows(CONTRACT, schema(CONTRACT, "t"), 7)


@pytest.mark.parametrize(
    ("at", "day"),
    [(0, 0), (253_402_300_800_000_000, 2_932_897), (-62_135_596_800_000_001, -719_163), (None, None)],
    ids=["1970", "after 9999", "before the year 1", "none"],
)
def test_instants_and_days_are_written_whatever_their_year(at: int | None, day: int | None) -> None:
    columns = {"_c0": pa.array([at], pa.timestamp("us", "UTC")), "_c1": pa.array([day], pa.date32())}
    (value,) = ROWS.values(pa.table(columns))
    assert value[:5] == struct.pack(">bI", 0, 7)
    # Python's own types end with the year 9999: read as the numbers that they are.
    kinds = [{"name": "at", "type": ["null", "long"]}, {"name": "day", "type": ["null", "int"]}]
    plain = fastavro.parse_schema({"type": "record", "name": "t", "fields": kinds})
    assert fastavro.schemaless_reader(io.BytesIO(value[5:]), plain, None) == {"at": at, "day": day}
