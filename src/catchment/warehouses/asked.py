"""What may be asked of tables and gold in SQL, and what is answered: rows, a file, or an error in words."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb

from catchment.errors import ConfigError
from catchment.naming import SCHEMAS, nearest
from catchment.warehouses.views import quoted

if TYPE_CHECKING:
    import pyarrow as pa

    from catchment.naming import TableName
    from catchment.records import FileForm

_MENTIONED = re.compile(rf'\b"?({"|".join(SCHEMAS)})"?\s*\.\s*(?:"([^"]+)"|(\w+))', re.IGNORECASE)
_EXPLAIN = re.compile(r"\s*explain\s+(?:analyze\s+)?(?:\([^)]*\)\s*)?", re.IGNORECASE)
_WATCHED_EVERY_S = 0.2

# How DuckDB writes a file of each form.
FORMS: Mapping[FileForm, str] = {
    "parquet": "format parquet, compression zstd, write_bloom_filter false",  # see engines/duckdb.py
    "csv": "format csv, header true, timestampformat '%Y-%m-%dT%H:%M:%S.%fZ'",
    "jsonl": "format json, timestampformat '%Y-%m-%dT%H:%M:%S.%fZ'",
}


def mentioned(sql: str) -> list[tuple[str, str]]:
    """`layer.name` wherever it stands in the text: cheap, and a string that looks like one costs a view, no more."""
    found = {(layer.lower(), (quoted or plain).lower()) for layer, quoted, plain in _MENTIONED.findall(sql)}
    return sorted(found)


def refuse_writing(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Reading statements only. DuckDB makes PIVOT of two: a type in memory, and the SELECT."""
    kinds = duckdb.StatementType
    allowed = {kinds.SELECT, kinds.EXPLAIN} | ({kinds.CREATE} if re.search(r"\bpivot\b", sql, re.IGNORECASE) else set())
    statements = connection.extract_statements(sql)
    refused = [s.type for s in statements if s.type not in allowed]
    for statement in statements:
        if statement.type == kinds.EXPLAIN:
            inner = connection.extract_statements(_EXPLAIN.sub("", statement.query, count=1))
            refused += [s.type for s in inner if s.type != kinds.SELECT]
    if not statements or refused:
        what = refused[0].name if refused else "an empty statement"
        message = f"a query only reads: {what} is refused"
        raise ConfigError(message, hint='catchment query "select … from silver.…"')


def explained(error: duckdb.Error, sql: str, known: Sequence[TableName]) -> ConfigError:
    """DuckDB's own words, except for a table of ours that is not there."""
    names = sorted(str(name) for name in known)
    if isinstance(error, duckdb.CatalogException):
        for layer, name in mentioned(sql):
            wanted = f"{layer}.{name}"
            if wanted not in {known_name.lower() for known_name in names}:
                meant = nearest(wanted, names)
                cure = "" if meant is None else f"; did you mean {meant}?"
                hint = None if names else "there is nothing yet: catchment run"
                return ConfigError(f"no table {wanted}{cure}", hint=hint)
    if isinstance(error, duckdb.IOException):
        message = f"the query could not be answered: {error}"
        return ConfigError(message, hint="was the project moved? catchment run builds gold where it lies now")
    return ConfigError(f"the query was not understood: {error}")


def exported(name: str, kind: str, form: FileForm) -> str:
    """A column as it goes into a file: what DuckDB would write with fewer digits, or in words of its own, is cast."""
    column = quoted(name)
    if kind in ("HUGEINT", "UHUGEINT") and form == "parquet":
        return f"cast({column} as decimal(38, 0)) as {column}"  # Parquet has none such, a double would be written
    if kind in ("DOUBLE", "FLOAT") and form == "jsonl":
        return f"case when isfinite({column}) then {column} end as {column}"  # JSON has neither NaN nor infinity
    if form == "csv" and re.search(r"\[\d*\]$|^(STRUCT|MAP|UNION)\(", kind):
        return f"cast(to_json({column}) as varchar) as {column}"
    return column


@contextmanager
def watched(connection: duckdb.DuckDBPyConnection, told: Callable[[float], None] | None) -> Iterator[None]:
    """Tell `told`, from a thread of its own, how far the statement is that runs meanwhile."""
    if told is None:
        yield
        return
    connection.execute("set enable_progress_bar = true; set enable_progress_bar_print = false")
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_WATCHED_EVERY_S):
            told(max(0.0, connection.query_progress() / 100))

    watching = threading.Thread(target=watch, name="export-progress", daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()


def streamed(rows: pa.RecordBatchReader, connection: duckdb.DuckDBPyConnection) -> pa.RecordBatchReader:
    """Rows as they are computed; the connection lives as long as somebody reads."""
    import pyarrow as pa

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from rows
        except (duckdb.Error, OSError) as error:
            message = f"the query failed: {error}"
            raise ConfigError(message) from error
        finally:
            connection.close()

    return pa.RecordBatchReader.from_batches(rows.schema, batches())
