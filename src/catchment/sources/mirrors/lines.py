"""Objects that an S3 sink of Kafka Connect wrote, as messages: a line each, with the message's bytes and its place.

A line is `{"value": "<base64>", "partition": 0, "offset": 17, "at": <ms>}`, as two transforms make it of any message
(`deploy/connect/sinks.py`), or the same under `value` beside a `key`, as Aiven's connector has it.
"""

from __future__ import annotations

import gzip
import json
import zlib
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.json

from catchment.errors import DataError
from catchment.records import message_schema

if TYPE_CHECKING:
    import duckdb

_CURE = "have Connect write it again as `catchment connect show` says, or take it out of the bucket"

_PLAIN = (("value", pa.string()), ("partition", pa.int64()), ("offset", pa.int64()), ("at", pa.int64()))
_MESSAGE = pa.schema(_PLAIN)
_WRAPPED = pa.schema([("key", pa.string()), ("value", pa.struct(list(_PLAIN)))])


class Lines:
    """Reads objects. Kept between them: it holds what decodes base64."""

    def messages(self, content: bytes, origin: str, partition: int) -> pa.Table:
        """The messages of one object by offset, each once; columns as `records.message_schema`.

        Raises DataError for an object that is none of ours.
        """
        try:
            data = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
            rows = self._parsed(data)
        except (OSError, EOFError, zlib.error, ValueError, pa.ArrowException) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0][:200]
            message = f"{origin} holds no messages as the connector writes them: {first}"
            raise DataError(message, hint=_CURE) from error
        if rows.column("offset").null_count or set(rows.column("partition").unique().to_pylist()) - {partition}:
            message = f"{origin} holds messages that do not say where they were, or were somewhere else"
            raise DataError(message, hint=_CURE)
        return _in_order(rows)

    def _parsed(self, data: bytes) -> pa.Table:
        if not data.strip():
            return message_schema().empty_table()
        first = json.loads(data.split(b"\n", 1)[0])
        is_wrapped = isinstance(first, dict) and isinstance(first.get("value"), dict)
        told = pa.json.read_json(
            pa.BufferReader(data),
            # A line that does not fit into a block would be refused.
            read_options=pa.json.ReadOptions(use_threads=False, block_size=max(len(data) + 1, 1 << 20)),
            parse_options=pa.json.ParseOptions(
                explicit_schema=_WRAPPED if is_wrapped else _MESSAGE, unexpected_field_behavior="ignore"
            ),
        )
        keys = pa.nulls(told.num_rows, pa.string())
        if is_wrapped:
            keys, inner = told.column("key"), told.column("value").combine_chunks()
            told = pa.Table.from_arrays([inner.field(name) for name, _ in _PLAIN], names=[name for name, _ in _PLAIN])
        return self._decoded(told.append_column("key", keys))

    def _decoded(self, told: pa.Table) -> pa.Table:
        self._connection.register("told", told)
        try:
            found = self._connection.execute(
                'SELECT "partition", "offset", "at", from_base64(key) AS key, from_base64(value) AS value FROM told'
            ).to_arrow_table()
        except self._errors as error:
            raise ValueError(str(error)) from error
        finally:
            self._connection.unregister("told")
        instants = found.column("at").cast(pa.timestamp("ms")).cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
        columns = {name: found.column(name) for name in ("partition", "offset", "key", "value")}
        headers = pa.nulls(found.num_rows, message_schema().field("headers").type)
        whole = {**columns, "at": instants, "headers": headers}
        schema = message_schema()
        return pa.Table.from_arrays(
            [pa.chunked_array(_cast(whole[one.name], one.type)) for one in schema], schema=schema
        )

    @property
    def _errors(self) -> type[Exception]:
        import duckdb

        return duckdb.Error

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        import duckdb

        connection = duckdb.connect()
        connection.execute("SET threads = 1; SET memory_limit = '1GB'; SET temp_directory = ''")
        return connection


def _cast(column: Any, kind: pa.DataType) -> list[pa.Array]:
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return [whole.cast(kind)]


def _in_order(rows: pa.Table) -> pa.Table:
    """As it is, mostly."""
    offsets = rows.column("offset").to_numpy()
    if (np.diff(offsets) > 0).all():
        return rows
    _, places = np.unique(offsets, return_index=True)
    return rows.take(pa.array(places))
