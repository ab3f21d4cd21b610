"""A drafted project on disk: catchment.yaml, a contract per table with its evidence, a stg model per table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from catchment.draft.contracts import contract_text
from catchment.draft.drafted import DraftedSource, DraftedTable
from catchment.draft.files import drafted_files
from catchment.draft.scalars import beside, comment, folded, scalar
from catchment.draft.streams import snake_case
from catchment.draft.tables import TableGuess
from catchment.naming import SCHEMAS, is_name, quoted
from catchment.observe.words import pad

_TAKEN = frozenset({*SCHEMAS, "stg", "std", "cur", "main", "temp", "system", "memory"})


def project_name(folder: Path) -> str:
    """A legal name for the project in this folder."""
    name = re.sub(r"_+", "_", snake_case(folder.absolute().name))
    if not is_name(name):
        name = "project"
    return f"{name}_project" if name in _TAKEN else name


def write_draft(tables: Sequence[TableGuess], folder: Path) -> list[Path]:
    """A project over files that were studied: see `write_project`."""
    return write_project(drafted_files(tables, folder), folder)


def write_project(source: DraftedSource, folder: Path) -> list[Path]:
    """Write the project and give every file; raises ConfigError, having written nothing, where one is in the way."""
    from catchment.templates import write_template

    name = project_name(folder)
    tables = [table for table in source.tables if table.columns]
    stg = folder / "gold" / "models" / "stg"
    texts = {folder / "contracts" / f"{table.name}.odcs.yaml": contract_text(table, name) for table in tables}
    texts |= {stg / f"stg_{table.name}.sql": _model(table) for table in tables}
    _refuse_to_overwrite(folder, list(texts))
    written = write_template("blank", folder, project_name=name)
    texts |= {
        folder / "catchment.yaml": _project(source, name),
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


def _project(source: DraftedSource, name: str) -> str:
    lines = [
        f"# {comment(source.head)}",
        f"name: {name}",
        "",
        *(f"# {line}" for line in source.above),
        "sources:",
        f"  {source.name}:",
        *(f"    {line}" for line in source.keys),
        "    streams:",
        *(f"      {line}" for table in source.tables for line in table.stream),
        "",
        *(f"# {line}" for line in source.modes),
        "silver:",
        *_silver(source),
        "",
        "# An ordinary dbt project: stg renames and casts, std joins, cur aggregates.",
        "gold: {dbt: gold/}",
        "",
        "targets:",
        "  local: {default: true}      # DuckDB, Delta under ./lake, no servers",
    ]
    return "\n".join(folded(lines)) + "\n"


def _silver(source: DraftedSource) -> Iterator[str]:
    entries = {}
    for table in source.tables:
        latest = f", latest_by: {table.latest_by}" if table.latest_by is not None else ""
        if table.columns:
            entries[f"  {table.name}: {{from: {source.name}.{table.name}, mode: {table.mode}{latest}}}"] = table.beside
    width = max((len(entry) for entry in entries), default=0)
    for entry, words in entries.items():
        yield from beside(pad(entry, width), words)


def _model(table: DraftedTable) -> str:
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


def _sources(tables: Sequence[DraftedTable]) -> str:
    lines = [
        "version: 2",
        "",
        "sources:",
        "  - name: silver",
        "    schema: silver",
        "    description: Tables that satisfy their contracts, as of the versions that this build reads.",
        "    tables:",
        *(f"      - {{name: {scalar(t.name)}, description: contracts/{t.name}.odcs.yaml}}" for t in tables),
    ]
    return "\n".join(lines) + "\n"


def _models(tables: Sequence[DraftedTable]) -> str:
    lines = ["version: 2", "", "models:"]
    for table in tables:
        lines += [f"  - name: stg_{table.name}", "    description: As silver has it, instants as UTC timestamps."]
        if len(table.key.columns) == 1:
            # A guessed key warns: only its owner knows whether a second row is a mistake.
            tests = "[not_null, {unique: {config: {severity: warn}}}]"
            lines += ["    columns:", f"      - {{name: {scalar(table.key.columns[0])}, data_tests: {tests}}}"]
    return "\n".join(lines) + "\n"
