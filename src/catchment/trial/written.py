"""The user's own files as rows: look-ups and expectations are values that silver holds, not what a source sends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from catchment import naming
from catchment.contract import Column, Contract
from catchment.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

# What mode history adds, under the names that people write.
INTERVAL = {"valid_from": naming.VALID_FROM, "valid_to": naming.VALID_TO}


def as_values(contract: Contract) -> Contract:
    """A contract for rows that satisfy it already: types and key, and no rule."""
    return Contract(
        id=contract.id,
        version=contract.version,
        table=contract.table,
        columns=tuple(_as_value(column) for column in contract.columns),
        file=contract.file,
    )


def _as_value(column: Column) -> Column:
    return Column(
        name=column.name,
        type=column.type,
        source=column.name,
        precision=column.precision,
        scale=column.scale,
        key_position=column.key_position,
    )


def compared_contract(contract: Contract, expected: pa.Table, file: Path, mode: str) -> Contract:
    """The columns that expect.csv names, as values. Raises ConfigError for one that the table has not."""
    known = {column.name: column for column in contract.columns}
    if mode == "history":
        known = {**{name: Column(name, "timestamp", name) for name in INTERVAL}, **known}
    unknown = [name for name in expected.column_names if name not in known]
    if unknown:
        message = f"{file.name}: silver.{contract.table} has no column `{unknown[0]}`"
        raise ConfigError(message, hint=naming.did_you_mean(unknown[0], known) or f"there are {', '.join(known)}")
    columns = (replace(_as_value(known[name]), key_position=None) for name in expected.column_names)
    return replace(as_values(contract), columns=tuple(columns))


def comparable(column: Column, made: bool) -> str:
    """A value as text: equal texts are equal values. A number without a declared precision counts to 12 digits."""
    name = naming.quoted(INTERVAL.get(column.name, column.name) if made else column.name)
    if column.name in INTERVAL:
        return f"CAST(CAST({name} AS TIMESTAMPTZ) AS VARCHAR)"
    if column.type == "number":
        return f"printf('%.12g', {name} + 0)"
    return f"CAST(json({name}) AS VARCHAR)" if column.type in ("object", "array") else f"CAST({name} AS VARCHAR)"


def text(path: Path) -> pa.Table:
    """A CSV file as text: nothing is null, a quoted nothing is an empty text."""
    import pyarrow as pa
    from pyarrow import csv

    try:
        with csv.open_csv(path, parse_options=csv.ParseOptions(newlines_in_values=True)) as opened:
            names = opened.schema.names
        options = csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        )
        rows = csv.read_csv(path, parse_options=csv.ParseOptions(newlines_in_values=True), convert_options=options)
    except pa.ArrowInvalid as error:
        message = f"{path.name} cannot be read: {str(error).partition(chr(10))[0]}"
        raise ConfigError(message, hint="write a header line, then one line a row, in UTF-8") from error
    return rows.rename_columns([naming.column(name) for name in names])


def columns_of(rows: pa.Table, contract: Contract, file: Path, *, whole: bool = False) -> pa.Table:
    """The rows with the columns of the contract, `whole` with nulls for those that the file does not name."""
    import pyarrow as pa

    known = [column.name for column in contract.columns]
    unknown = [name for name in rows.column_names if name not in known]
    if unknown:
        message = f"{file.name}: silver.{contract.table} has no column `{unknown[0]}`"
        raise ConfigError(message, hint=naming.did_you_mean(unknown[0], known) or f"there are {', '.join(known)}")
    absent = [name for name in known if name not in rows.column_names] if whole else []
    for name in absent:
        rows = rows.append_column(name, pa.nulls(rows.num_rows, pa.string()))
    return rows
