"""A contract as expressions: from a bronze column's text or type to the contract's type.

Every expression is SQL in DuckDB's dialect, read by sqlglot before any engine sees it. A value that will not do is NULL
where its text is not, never an error. Where engines differ in silence the expression settles it: 2.9 is no integer;
"1_000", "- " and "0x1F" are no numbers; half rounds away from zero; "01/02/26" is no date in dd/MM/yyyy; a no-break
space is not trimmed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from catchment import naming
from catchment.contract import Column, Contract, strptime_format
from catchment.errors import ConfigError
from catchment.naming import literal, quoted

if TYPE_CHECKING:
    import pyarrow as pa

DOCUMENT = "document"

_INTEGER = r"\s*[+-]?[0-9]+(\.0*)?\s*"
_NUMBER = r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*"
# No year 0: what reads silver after us (Python, most databases) has none.
_YEAR = r"([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_DATE = rf"\s*{_YEAR}-[0-9]{{2}}-[0-9]{{2}}([T ]00:00(:00(\.0+)?)?)?\s*"
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,9})?)?"
_CLOCK_SECONDS = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?"
_OFFSET = r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)"
_NAIVE = rf"\s*{_YEAR}-[0-9]{{2}}-[0-9]{{2}}([T ]{_CLOCK})?\s*"
_INSTANT = rf"\s*{_YEAR}-[0-9]{{2}}-[0-9]{{2}}[T ]{_CLOCK_SECONDS}\s*{_OFFSET}\s*"
# ISO 8601 lets the seconds go; DuckDB's cast does so only where there is no offset.
_INSTANT_MINUTES = rf"\s*{_YEAR}-[0-9]{{2}}-[0-9]{{2}}[T ]([01][0-9]|2[0-3]):[0-5][0-9]\s*{_OFFSET}\s*"
_TIME = rf"\s*{_CLOCK}\s*"
_STRING = r'"(?:[^"\\]|\\.)*"'
# What DuckDB's reader of JSON takes and JSON has not: numbers that are none, and a comma after the last value.
_NO_JSON = r"[:,\[]\s*-?(?:[iI][nN][fF]|[nN][aA][nN])|,\s*[\]}]"

# Told, for what is trimmed without being told differs between engines.
_SPACES = "' ' || chr(9) || chr(10) || chr(13)"

_ISO_INSTANTS = ("%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d %H:%M:%S%z")

# A strptime directive takes exactly what its JDK letters mean; DuckDB alone would read "26" as the year 26.
_DIRECTIVES = {
    "%Y": _YEAR,
    "%j": "[0-9]{3}",
    "%-j": "[0-9]{1,3}",
    "%Z": "[A-Za-z][A-Za-z0-9_/+-]*",
    "%y": "[0-9]{2}",
    "%z": _OFFSET,
    "%f": "[0-9]{1,6}",
    "%g": "[0-9]{1,3}",
    "%n": "[0-9]{1,9}",
    "%p": "[AaPp][Mm]",
    "%b": "[A-Za-z]{3}",
    "%B": "[A-Za-z]+",
    "%a": "[A-Za-z]{3}",
    "%A": "[A-Za-z]+",
}


@dataclass(frozen=True)
class Conformed:
    """One column ready for a query: `text` is what arrived, `value` what it became, `wrong` how to say it did not."""

    column: Column
    text: str
    value: str
    wrong: str | None
    absent: bool = False  # bronze has no such column yet


def conform(contract: Contract, schema: pa.Schema, *, derived: bool, heeded: Collection[str] = ()) -> list[Conformed]:
    """The contract's columns over `schema`, a bronze table's; `derived` leaves out those that a function will make.

    A column that may be null and has not arrived yet is null, unless one that nothing reads is called much the same.
    Raises ConfigError, naming the nearest column, for any other that bronze lacks; `heeded` ones must be there as well.
    """
    names = {name.lower(): name for name in schema.names if name not in naming.BRONZE_COLUMNS}
    found = []
    for column in contract.columns:
        if column.derived and derived:
            continue  # also where bronze has a column of that name: the function makes it
        origin = _origin(column, names)
        if origin is None and not derived:
            _refuse_absent(contract, column, names, needed=column.required or column.name in heeded)
            absent = _conformed(column, _Origin("CAST(NULL AS VARCHAR)", None), schema)
            found.append(replace(absent, absent=True))
        elif origin is not None:
            found.append(_conformed(column, origin, schema))
    return found


def _refuse_absent(contract: Contract, column: Column, names: Mapping[str, str], *, needed: bool) -> None:
    """Raises ConfigError for a column that bronze has to have, or has under a name that is nearly the same."""
    read = {naming.column(other.source).lower() for other in contract.columns}
    unread = [name for low, name in names.items() if low not in read]
    near = naming.did_you_mean(naming.column(column.source), names.values() if needed else unread)
    if not needed and near is None:
        return
    known = ", ".join(names.values())
    message = f"{contract.file}: column `{column.name}` reads `{column.source}`, which bronze does not have ({known})"
    raise ConfigError(message, hint=near or "name the source column in transformSourceObjects")


@dataclass(frozen=True)
class _Origin:
    sql: str
    name: str | None  # the bronze column, None for a path in the document


def _origin(column: Column, names: dict[str, str]) -> _Origin | None:
    if column.source.startswith("$"):
        return _Origin(_in_document(column.source), None) if DOCUMENT in names else None
    name = names.get(naming.column(column.source).lower())
    if name is not None:
        return _Origin(quoted(name), name)
    if DOCUMENT in names and not column.derived:
        return _Origin(_in_document(f'$."{column.source}"'), None)
    if not names and not column.derived:
        return _Origin("CAST(NULL AS VARCHAR)", None)  # no file could be read yet: every row is a defect
    return None


def _in_document(path: str) -> str:
    return f"json_extract_string({quoted(DOCUMENT)}, {literal(path)})"


def _conformed(column: Column, origin: _Origin, schema: pa.Schema) -> Conformed:
    import pyarrow as pa

    kind = pa.string() if origin.name is None else schema.field(origin.name).type
    text = f"CAST({origin.sql} AS VARCHAR)"
    if pa.types.is_string(kind):
        present = _without_markers(column, origin.sql)
        if column.type == "string":
            return Conformed(column, text, present, None)
        trimmed = _trimmed(present)
        value, wrong = _from_text(column, trimmed)
        return Conformed(column, trimmed, value, wrong)
    native = _from_type(column, origin.sql, kind)
    if native is None:
        value, wrong = _from_text(column, text)
        return Conformed(column, text, value, wrong)
    return Conformed(column, text, native, _wrong(column))


def _trimmed(text: str) -> str:
    """Without spaces around it, nothing as NULL; only text that begins below `!` pays for it, the others' patterns
    allow what follows."""
    return f"CASE WHEN {text} < '!' THEN NULLIF(trim({text}, {_SPACES}), '') ELSE {text} END"


def _without_markers(column: Column, sql: str) -> str:
    if not column.null_markers:
        return sql
    markers = ", ".join(literal(marker) for marker in column.null_markers)
    return f"CASE WHEN {sql} IN ({markers}) THEN NULL ELSE {sql} END"


def _from_text(column: Column, text: str) -> tuple[str, str | None]:
    """(expression over text, words for a failure)."""
    if column.type == "string":
        return text, None
    value = _TEXT_READERS[column.type](column, text)
    return value, _wrong(column)


def _guarded(pattern: str, text: str, value: str) -> str:
    return f"CASE WHEN regexp_full_match({text}, {literal(pattern)}) THEN {value} END"


def _integer(_: Column, text: str) -> str:
    return _guarded(_INTEGER, text, f"TRY_CAST(split_part({text}, '.', 1) AS BIGINT)")


def _number(_: Column, text: str) -> str:
    # 1e400 is written as a number should be, and is none that fits.
    finite = f"CASE WHEN isfinite(TRY_CAST({text} AS DOUBLE)) THEN TRY_CAST({text} AS DOUBLE) END"
    return _guarded(_NUMBER, text, finite)


def _decimal(column: Column, text: str) -> str:
    return _guarded(_NUMBER, text, f"TRY_CAST({text} AS {sql_type(column)})")


def _boolean(_: Column, text: str) -> str:
    word = f"lower(rtrim({text}, {_SPACES}))"
    return (
        f"CASE WHEN {word} IN ('true', 't', 'yes', 'y', '1') THEN TRUE"
        f" WHEN {word} IN ('false', 'f', 'no', 'n', '0') THEN FALSE END"
    )


def _date(column: Column, text: str) -> str:
    if column.formats:
        return f"CAST({_first_format(column, text, instants=False)} AS DATE)"
    return _guarded(_DATE, text, f"TRY_CAST(left({text}, 10) AS DATE)")


def _timestamp(column: Column, text: str) -> str:
    if column.formats:
        return _first_format(column, text, instants=True)
    return timestamp_from(column, text)


def timestamp_from(column: Column, text: str) -> str:
    """ISO 8601 text as an instant; without an offset it is read in the column's zone."""
    naive = _in_zone(column, f"TRY_CAST({text} AS TIMESTAMP)")
    return (
        f"CASE WHEN regexp_full_match({text}, {literal(_INSTANT)}) THEN TRY_CAST({text} AS TIMESTAMPTZ)"
        f" WHEN regexp_full_match({text}, {literal(_NAIVE)}) THEN {naive}"
        f" WHEN regexp_full_match({text}, {literal(_INSTANT_MINUTES)})"
        f" THEN TRY_CAST(regexp_replace({text}, '([T ][0-9]{{2}}:[0-9]{{2}})', '\\1:00') AS TIMESTAMPTZ) END"
    )


def _in_zone(column: Column, naive: str) -> str:
    return f"timezone({literal(column.timezone)}, {naive})"


def _first_format(column: Column, text: str, *, instants: bool) -> str:
    """The first format that reads the text; a format with an offset gives an instant, one without is in the zone."""
    tries = []
    for jdk in column.formats:
        pattern = strptime_format(jdk)
        tries.append(_guarded(_exact(pattern), text, _parsed(column, text, pattern, instants=instants)))
    return f"COALESCE({', '.join(tries)})" if len(tries) > 1 else tries[0]


def _parsed(column: Column, text: str, pattern: str, *, instants: bool) -> str:
    if instants and pattern in _ISO_INSTANTS:
        # What the exact pattern lets through is ISO 8601, which a cast reads at twice the speed.
        return f"TRY_CAST({text} AS TIMESTAMPTZ)"
    if "%z" in pattern or "%Z" in pattern:
        # DuckDB's %z takes an offset but not the letter that ISO 8601 has for none.
        return f"try_strptime(regexp_replace({text}, 'Z\\s*$', '+00:00'), {literal(pattern)})"
    parsed = f"try_strptime({text}, {literal(pattern)})"
    return _in_zone(column, parsed) if instants else parsed


def _exact(pattern: str) -> str:
    """A regular expression for what a strptime pattern takes when it is read strictly."""
    parts = re.split(r"(%-?[A-Za-z%])", pattern)
    exact = (_DIRECTIVES.get(part, "[0-9]{1,2}") if part.startswith("%") else re.escape(part) for part in parts)
    return "".join(exact) + r"\s*"


def _time(column: Column, text: str) -> str:
    if column.formats:
        return f"CAST(CAST({_first_format(column, text, instants=False)} AS TIME) AS VARCHAR)"
    return _guarded(_TIME, text, f"CAST(TRY_CAST({text} AS TIME) AS VARCHAR)")


def _json(column: Column, text: str) -> str:
    kind = "OBJECT" if column.type == "object" else "ARRAY"
    typed = f"CASE WHEN json_type({text}) = '{kind}' THEN {_strict(text)} END"
    return f"CASE WHEN json_valid({text}) THEN {typed} END"


def _strict(text: str) -> str:
    """A text that DuckDB takes for JSON, NULL where it is none: inside of strings everything may stand."""
    odd = literal(_NO_JSON)
    bare = f"regexp_replace({text}, {literal(_STRING)}, '\"\"', 'g')"
    looked = f"CASE WHEN NOT regexp_matches({bare}, {odd}) THEN {text} END"
    return f"CASE WHEN regexp_matches({text}, {odd}) THEN {looked} ELSE {text} END"


_TEXT_READERS = {
    "integer": _integer,
    "number": _number,
    "decimal": _decimal,
    "boolean": _boolean,
    "date": _date,
    "timestamp": _timestamp,
    "time": _time,
    "object": _json,
    "array": _json,
}


def _from_type(column: Column, sql: str, kind: pa.DataType) -> str | None:  # noqa: C901, PLR0911 - a table, a line a pair
    """From a typed source column without a way through text, or None where text is the way."""
    import pyarrow as pa

    types = pa.types
    if column.type == "integer" and types.is_integer(kind):
        return f"CAST({sql} AS BIGINT)"
    if column.type == "integer" and types.is_floating(kind):
        return f"CASE WHEN {sql} = trunc({sql}) THEN TRY_CAST({sql} AS BIGINT) END"
    if column.type in ("number", "decimal") and (types.is_integer(kind) or types.is_decimal(kind)):
        return f"TRY_CAST({sql} AS {sql_type(column)})"
    if column.type in ("number", "decimal") and types.is_floating(kind):
        return f"CASE WHEN isfinite({sql}) THEN TRY_CAST({sql} AS {sql_type(column)}) END"
    if column.type == "boolean" and types.is_boolean(kind):
        return sql
    if column.type == "timestamp" and types.is_timestamp(kind):
        return sql if kind.tz is not None else _in_zone(column, sql)
    if column.type == "timestamp" and types.is_date(kind):
        return _in_zone(column, f"CAST({sql} AS TIMESTAMP)")
    if column.type == "date" and types.is_date(kind):
        return sql
    if column.type == "date" and types.is_timestamp(kind):
        return f"CASE WHEN {sql} = date_trunc('day', {sql}) THEN CAST({sql} AS DATE) END"
    is_list = types.is_list(kind) or types.is_large_list(kind)
    if types.is_nested(kind) and (column.type == "array" if is_list else column.type == "object"):
        return _strict(f"CAST(to_json({sql}) AS VARCHAR)")
    return None


def recast(column: Column, old: Column) -> str:
    """`column` out of the silver column that it was, of another type; as from bronze, NULL where it will not do."""
    sql = quoted(old.name)
    text = f"CAST({sql} AS VARCHAR)"
    if column.type == "string":
        return text
    if column.type == "date" and old.type == "timestamp":
        local = _in_zone(old, sql)
        return f"CASE WHEN {local} = date_trunc('day', {local}) THEN CAST({local} AS DATE) END"
    # 1.005 is written so, and is a little less: rounded as a double it would not be what bronze says.
    written = old.type == "number" and column.type == "decimal"
    native = None if written else _from_type(column, sql, arrow_type(old))
    return native if native is not None else _from_text(column, _trimmed(text))[0]


def _wrong(column: Column) -> str:
    what = {
        "integer": "is not an integer",
        "number": "is not a number",
        "decimal": f"is not a number that fits {sql_type(column).lower()}",
        "boolean": "is not true or false",
        "date": "is not a date",
        "timestamp": "is not a date and time",
        "time": "is not a time of day",
        "object": "is not a JSON object",
        "array": "is not a JSON array",
    }[column.type]
    if column.type in ("date", "timestamp", "time"):
        return f"{what} in {' or '.join(column.formats) or 'ISO 8601'}"
    return what


def sql_type(column: Column) -> str:
    """The SQL type of a contract's column in silver."""
    return {
        "integer": "BIGINT",
        "number": "DOUBLE",
        "decimal": f"DECIMAL({column.precision or 18}, {column.scale or 0})",
        "boolean": "BOOLEAN",
        "date": "DATE",
        "timestamp": "TIMESTAMPTZ",
    }.get(column.type, "VARCHAR")


def arrow_type(column: Column) -> pa.DataType:
    """The Arrow type of a contract's column in silver; instants are microseconds in UTC."""
    import pyarrow as pa

    return {
        "integer": pa.int64(),
        "number": pa.float64(),
        "decimal": pa.decimal128(column.precision or 18, column.scale or 0),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us", tz="UTC"),
    }.get(column.type, pa.string())
