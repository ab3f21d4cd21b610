"""`catchment query`: SQL over every layer."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from catchment.cli.invocation import Invocation, as_of_option, examples, target_option
from catchment.cli.terminal import note, out, plain, values
from catchment.observe.words import aligned

if TYPE_CHECKING:
    import pyarrow as pa

# A cell longer than this is cut on a terminal; in a pipe everything is there.
_WIDEST_CELL = 60

# What would steer the terminal.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@click.command(
    epilog=examples(
        'catchment query "select * from gold.daily_sales limit 10"',
        'catchment query "select status, count(*) from silver.transactions group by all" --csv',
        'catchment query "select count(*) from silver.users" --as-of 1',
    )
)
@click.argument("sql")
@as_of_option
@target_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array with one object a row.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV with a header.")
@click.pass_obj
def query(
    invocation: Invocation, sql: str, as_of: int | datetime | None, target: str | None, as_json: bool, as_csv: bool
) -> None:
    """Read tables with SQL.

    Tables are named by layer: bronze.drops__users, silver.users, quarantine.users, gold.daily_sales. The SQL is
    DuckDB's; nothing can be changed with it. With --as-of every table of the lake is read as it was then; of gold only
    the build that is served is kept.
    """
    if as_json and as_csv:
        message = "--json and --csv exclude each other"
        raise click.UsageError(message)
    from catchment.inspect import query as read

    rows = read(invocation.load(), target, sql, as_of)
    out_rows(rows, as_json=as_json, as_csv=as_csv)


def out_rows(rows: pa.RecordBatchReader, *, as_json: bool, as_csv: bool) -> None:
    """As a table for people, unless a form is named."""
    if as_json:
        out_json_rows(rows)
    elif as_csv:
        out_csv(rows)
    else:
        table = rows.read_all()
        for line in table_lines(table, widest=_WIDEST_CELL if sys.stdout.isatty() else None):
            out(line)
        if table.num_rows == 0:
            note("no rows")


def table_lines(rows: pa.Table, *, widest: int | None = None) -> list[str]:
    """An Arrow table as aligned text with a header; numbers end together."""
    import pyarrow as pa

    kinds = [field.type for field in rows.schema]
    numbers = {
        place
        for place, kind in enumerate(kinds)
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    }
    cells = [[_cell(value, widest) for value in values(column)] for column in rows.columns]
    body = list(zip(*cells, strict=True)) if cells else []
    return aligned([tuple(rows.column_names), *body], right=frozenset(numbers))


def _cell(value: Any, widest: int | None) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = _words(value).replace("\r", "\\r").replace("\n", "\\n").replace("\t", "\\t")
    text = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
    return text if widest is None or len(text) <= widest else text[: widest - 1] + "…"


def _words(value: Any) -> str:
    if isinstance(value, datetime):
        # Instants are UTC throughout; the zone on each would be noise.
        return value.replace(tzinfo=None).isoformat(sep=" ")
    if isinstance(value, dict | list):
        return json.dumps(plain(value), ensure_ascii=False)
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="backslashreplace")
    return str(plain(value))


def out_json_rows(rows: pa.RecordBatchReader) -> None:
    """An array with one object a line, written batch by batch."""
    before = "["
    for batch in rows:
        names = _apart(batch.schema.names)
        for row in zip(*(values(column) for column in batch.columns), strict=True):
            out(before)
            before = json.dumps(plain(dict(zip(names, row, strict=True))), ensure_ascii=False) + ","
    out(before.removesuffix(","))
    out("]")


def _apart(names: Sequence[str]) -> list[str]:
    """`a`, `a` as `a`, `a_2`: one object cannot hold a name twice, and would lose a column."""
    found: list[str] = []
    for name in names:
        candidate, count = name, 2
        while candidate in found:
            candidate, count = f"{name}_{count}", count + 1
        found.append(candidate)
    return found


def out_csv(rows: pa.RecordBatchReader) -> None:
    """CSV by Arrow, batch by batch: null is empty, an empty text is quoted, nested values are JSON."""
    import pyarrow as pa
    from pyarrow import csv

    header = csv.WriteOptions(include_header=True, quoting_style="needed")
    body = csv.WriteOptions(include_header=False, quoting_style="needed")
    _out_csv(pa.Table.from_batches([], rows.schema), header)
    for batch in rows:
        if batch.num_rows:
            _out_csv(pa.Table.from_batches([batch]), body)


def _out_csv(rows: pa.Table, options: Any) -> None:
    import pyarrow as pa
    from pyarrow import csv

    flat = {
        name: pa.array([None if value is None else _words(value) for value in column.to_pylist()], pa.string())
        if pa.types.is_nested(column.type)
        else column
        for name, column in zip(rows.column_names, rows.columns, strict=True)
    }
    sink = io.BytesIO()
    csv.write_csv(pa.table(flat), sink, options)
    out(sink.getvalue().decode("utf-8").removesuffix("\n"))
