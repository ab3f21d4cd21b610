"""A drafted project on disk: catchment.yaml, a contract per table with its evidence, a stg model per table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from catchment.draft.streams import SOURCE, snake_case
from catchment.draft.tables import TableGuess, shown_path
from catchment.draft.types import ColumnGuess
from catchment.naming import LAYERS, is_name, quoted
from catchment.observe.words import pad, plural

# Plain in YAML 1.1 and 1.2 alike.
_PLAIN = re.compile(r"[A-Za-z_$][A-Za-z0-9_.$/ -]*(?<! )")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n", "inf", "nan"})
_TAKEN = frozenset({*LAYERS, "stg", "std", "cur", "main", "temp", "system", "memory"})


def project_name(folder: Path) -> str:
    """A legal name for the project in this folder."""
    name = re.sub(r"_+", "_", snake_case(folder.absolute().name))
    if not is_name(name):
        name = "project"
    return f"{name}_project" if name in _TAKEN else name


def write_draft(tables: Sequence[TableGuess], folder: Path) -> list[Path]:
    """Write the project and give every file; raises ConfigError, having written nothing, where one is in the way."""
    from catchment.templates import write_template

    name = project_name(folder)
    stg = folder / "gold" / "models" / "stg"
    texts = {folder / "contracts" / f"{table.name}.odcs.yaml": _contract(table, name) for table in tables}
    texts |= {stg / f"stg_{table.name}.sql": _model(table) for table in tables}
    _refuse_to_overwrite(folder, list(texts))
    written = write_template("blank", folder, project_name=name)
    texts |= {
        folder / "catchment.yaml": _project(tables, folder, name),
        stg / "sources.yml": _sources(tables),
        stg / "stg.yml": _models(tables),
    }
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(dict.fromkeys([*written, *texts]))


def _refuse_to_overwrite(folder: Path, paths: Sequence[Path]) -> None:
    from catchment.errors import ConfigError

    present = [str(path.relative_to(folder)) for path in paths if path.exists()]
    if present:
        message = f"nothing was written: {', '.join(present[:5])} in {folder} would be overwritten"
        raise ConfigError(message, hint="choose a new folder, or move these away")


def _project(tables: Sequence[TableGuess], folder: Path, name: str) -> str:
    files, rows = sum(len(table.stream.files) for table in tables), sum(table.rows for table in tables)
    lines = [
        f"# Drafted from {plural(files, 'file')} with {plural(rows, 'row')}: guesses with their evidence.",
        f"name: {name}",
        "",
        "# New files land once in bronze, as they are.",
        "sources:",
        f"  {SOURCE}:",
        "    type: files",
        "    streams:",
        *(line for table in tables for line in _stream(table, folder)),
        "",
        "# `append` keeps every good row, `merge` the newest of each key. Merge is drafted only where a column tells",
        "# which row is newer: a wrong guess would lose rows. Rows that break their contract wait in quarantine.",
        "silver:",
        *_silver(tables),
        "",
        "# An ordinary dbt project: stg renames and casts, std joins, cur aggregates.",
        "gold: {dbt: gold/}",
        "",
        "targets:",
        "  local: {default: true}      # DuckDB, Delta under ./lake, no servers",
    ]
    return "\n".join(lines) + "\n"


def _stream(table: TableGuess, folder: Path) -> Iterator[str]:
    if table.has_odd_header:
        names = ", ".join(f"column_{place}" for place in range(1, len(table.columns) + 1))
        yield "      # The first line looks like a row. If it is one, name the columns here, as in"
        yield f"      # header: [{names}], and in the contract (transformSourceObjects)."
    yield f"      {table.name}: {{path: {_text(shown_path(table.stream.path, folder), always=True)}}}"


def _silver(tables: Sequence[TableGuess]) -> Iterator[str]:
    entries = []
    for table in tables:
        latest = f", latest_by: {table.key.latest_by}" if table.key.latest_by is not None else ""
        entries.append(f"  {table.name}: {{from: {SOURCE}.{table.name}, mode: {table.mode}{latest}}}")
    width = max(len(entry) for entry in entries)
    for entry, table in zip(entries, tables, strict=True):
        told = table.key.evidence if table.key.columns else table.key.words
        yield f"{pad(entry, width)}    # {_comment(told)}"


def _contract(table: TableGuess, project: str) -> str:
    unread = f"; {plural(table.defects, 'line')} cannot be read and will wait in quarantine" if table.defects else ""
    files = f"{plural(len(table.stream.files), 'file')} ({_comment(table.stream.shown)})"
    lines = [
        f"# Drafted from {files}, {plural(table.rows, 'row')}{unread}.",
        "# Each column says what its type rests on. Correct what you know better, then delete the comments.",
        "apiVersion: v3.2.0",
        "kind: DataContract",
        f"id: {project}-{table.name}",
        f"name: {_text(table.name)}",
        "version: 0.1.0",
        "status: draft",
        "schema:",
        f"  - name: {_text(table.name)}",
        "    logicalType: object",
        "    physicalType: table",
        f"    # key: {_comment(table.key.evidence)}",
        "    properties:",
        *(line for column in table.columns for line in _property(column, table)),
    ]
    return "\n".join(lines) + "\n"


def _property(column: ColumnGuess, table: TableGuess) -> Iterator[str]:
    indent = " " * 8
    yield f"      # {_comment(column.evidence)}"
    yield f"      - name: {_text(column.name)}"
    yield f"{indent}logicalType: {column.type}"
    if column.physical is not None:
        yield f"{indent}physicalType: {column.physical}"
    if len(column.formats) == 1:
        yield f"{indent}logicalTypeOptions: {{format: {_text(column.formats[0], always=True)}}}"
    if column.source != column.name:
        yield f"{indent}transformSourceObjects: [{_text(column.source, always=True)}]"
    if column.name in table.key.columns:
        yield f"{indent}primaryKey: true"
        yield f"{indent}primaryKeyPosition: {table.key.columns.index(column.name) + 1}"
    if column.required:
        yield f"{indent}required: true"
    yield from _custom(column, indent)


def _custom(column: ColumnGuess, indent: str) -> Iterator[str]:
    custom = []
    if len(column.formats) > 1:
        custom.append(("formats", column.formats))
    if column.null_markers:
        custom.append(("nullMarkers", column.null_markers))
    if custom:
        yield f"{indent}customProperties:"
    for name, values in custom:
        yield f"{indent}  - {{property: {name}, value: [{', '.join(_text(value, always=True) for value in values)}]}}"


def _model(table: TableGuess) -> str:
    reserved = _reserved()
    columns = []
    for column in table.columns:
        name = quoted(column.name) if column.name in reserved else column.name
        # Silver keeps instants; whoever asks gold thinks in UTC timestamps.
        utc = "{{ utc('" + name + "') }} as " + name
        columns.append(f"    {utc if column.type == 'timestamp' else name}")
    listed = ",\n".join(columns)
    return f"select\n{listed}\nfrom {{{{ source('silver', '{table.name}') }}}}\n"


def _reserved() -> frozenset[str]:
    """Words that SQL must see in quotes when they are columns."""
    import duckdb

    with duckdb.connect() as connection:
        found = connection.execute("SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'")
        return frozenset(name for (name,) in found.fetchall())


def _sources(tables: Sequence[TableGuess]) -> str:
    lines = [
        "version: 2",
        "",
        "sources:",
        "  - name: silver",
        "    schema: silver",
        "    description: Tables that satisfy their contracts, as of the versions that this build reads.",
        "    tables:",
        *(f"      - {{name: {_text(t.name)}, description: contracts/{t.name}.odcs.yaml}}" for t in tables),
    ]
    return "\n".join(lines) + "\n"


def _models(tables: Sequence[TableGuess]) -> str:
    lines = ["version: 2", "", "models:"]
    for table in tables:
        lines += [f"  - name: stg_{table.name}", "    description: As silver has it, instants as UTC timestamps."]
        if len(table.key.columns) == 1:
            # A guessed key warns: only its owner knows whether a second row is a mistake.
            tests = "[not_null, {unique: {config: {severity: warn}}}]"
            lines += ["    columns:", f"      - {{name: {_text(table.key.columns[0])}, data_tests: {tests}}}"]
    return "\n".join(lines) + "\n"


def _text(text: str, *, always: bool = False) -> str:
    """A YAML scalar that every reader takes for text."""
    if not always and _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _comment(text: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in text)
