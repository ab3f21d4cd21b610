"""Tables of the lake as views of DuckDB, and names and values as its SQL has them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from catchment.naming import HIDDEN

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from catchment.records import Scan


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def text(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def create_view(connection: duckdb.DuckDBPyConnection, view: str, scan: Scan, columns: Sequence[str]) -> None:
    """A view with exactly the types of the scan's schema, whatever the single files hold."""
    types = dict(zip(scan.schema.names, _types(connection, scan.schema), strict=True))
    if scan.files:
        files = ", ".join(text(_literally(path)) for path in scan.files)
        source = f"read_parquet([{files}], union_by_name = true, hive_partitioning = false)"
        described = connection.execute(f"describe select * from {source}").fetchall()
        found = {name: kind for name, kind, *_ in described}
    else:
        source, found = "(select 1) where false", {}  # read_parquet([]) fails
    items = ", ".join(_item(column, types[column], found.get(column)) for column in columns)
    span = _within(scan) if scan.files else ""
    connection.execute(f"create or replace view {view} as select {items} from {source}{span}")


def _within(scan: Scan) -> str:
    """The rows of the scan's files that are meant."""
    wanted = [] if scan.loads is None else [f'"_load" > {scan.loads[0]:d} and "_load" <= {scan.loads[1]:d}']
    if scan.shown:
        wanted.append(f'"{HIDDEN}" is null')
    if scan.judged is not None:
        counted = _numbered(scan.judged)
        if scan.waiting is not None:
            counted = f"(status = 'rejected' and {counted} or status = 'waiting' and {_numbered(scan.waiting)})"
        wanted.append(counted)
    return f" where {' and '.join(wanted)}" if wanted else ""


def _numbered(ranges: Sequence[tuple[int, int]]) -> str:
    """Whether a verdict's number lies in one of the closed ranges."""
    between = [f'"_judged" between {first:d} and {last:d}' for first, last in ranges]
    return f"({' or '.join(between) or 'false'})"


def _types(connection: duckdb.DuckDBPyConnection, schema: pa.Schema) -> Iterable[str]:
    return [str(kind) for kind in connection.from_arrow(schema.empty_table()).types]


def _item(column: str, wanted: str, found: str | None) -> str:
    name = quoted(column)
    if found == wanted:
        return name
    value = "null" if found is None else name  # a column added after the last row has no file yet
    return f"cast({value} as {wanted}) as {name}"


def _literally(path: str) -> str:
    """DuckDB reads every path as a pattern; in brackets a sign stands for itself."""
    return re.sub(r"[\[*?]", r"[\g<0>]", path) if re.search(r"[\[*?]", path) else path
