"""`catchment init`: a project to start from, out of a template or out of one's own files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from catchment.cli.init_folder import go, refuse_project, shown
from catchment.cli.invocation import examples
from catchment.cli.terminal import note, out
from catchment.errors import ConfigError
from catchment.observe.words import about, aligned, pad, plural

if TYPE_CHECKING:
    from catchment.draft import DraftStream, TableGuess
    from catchment.project import Project

# What the listing says of the folders and files that a template writes.
_PARTS = (
    ("catchment.yaml", "start here"),
    ("contracts", "one data contract per silver table"),
    ("silver", "functions for what a contract cannot say"),
    ("gold", "a dbt project"),
    ("data", "what was sold, with mistakes in it on purpose"),
    ("inbox", "the month that comes next: broken, and as its sender corrects it"),
)

# How many remarks about a table's columns fit into its line.
_MOST_REMARKS = 2

# How many files and folders that no stream takes are named.
_MOST_LEFT_OUT = 3


@click.command(
    epilog=examples(
        "catchment init shop",
        "catchment init --template shop my_shop",
        "catchment init --from 'shop/data/users/*.csv' my_users",
        "catchment init --from sqlite:///legacy.db --tables 'order*' my_orders",
    )
)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option(
    "--template",
    metavar="NAME",
    help="`blank`, `shop` with everything, or `sales` for quality gates; without it the one named like the folder, "
    "else `blank`.",
)
@click.option(
    "--from",
    "pattern",
    metavar="GLOB|URL",
    help="Draft the project from these files (CSV, JSON Lines or Parquet; put the pattern into quotes), or from a "
    "database: postgresql://…, sqlite:///…, mongodb://…, redis://…, or a reference to it such as '${env:SHOP_DB_URL}'.",
)
@click.option(
    "--tables",
    multiple=True,
    metavar="PATTERN",
    help="Of a database only these, such as 'public.*'; by default all that may be read. Repeatable.",
)
def init(folder: Path, template: str | None, pattern: str | None, tables: tuple[str, ...]) -> None:
    """Make a project in FOLDER, this one by default.

    Nothing is ever overwritten. With --from GLOB, every file is read and each table gets a stream, a contract whose
    types and key come with their evidence, and a stg model. With --from URL types, keys and references are those that
    the database declares; the address stays out of the project, which refers to a variable of the environment.
    """
    from catchment.outside import is_address

    if pattern is not None and template is not None:
        message = "--template and --from exclude each other"
        raise click.UsageError(message)
    if tables and (pattern is None or not is_address(pattern)):
        message = "--tables is for a database: --from URL"
        raise click.UsageError(message)
    if pattern is not None and is_address(pattern):
        from catchment.cli.init_database import from_database

        from_database(folder, pattern, tables)
    elif pattern is not None:
        _from_files(folder, pattern)
    else:
        _from_template(folder, template)


def _from_template(folder: Path, asked: str | None) -> None:
    from catchment.project import load_project
    from catchment.templates import template_names, write_template

    own = folder.absolute().name
    template = asked if asked is not None else own if own in template_names() else "blank"
    written = write_template(template, folder, project_name=_name_of(folder))
    out(f"Created {shown(folder)} from template `{template}`: {contents(load_project(folder), folder)}.")
    for line in _listing(folder, written):
        out(line)
    note(f"Next: {go(folder)}{'catchment run' if template != 'blank' else 'write sources into catchment.yaml'}")


def _name_of(folder: Path) -> str:
    from catchment.draft.writing import project_name

    return project_name(folder)


def _listing(folder: Path, written: Sequence[Path]) -> list[str]:
    top = {path.relative_to(folder).parts[0] for path in written}
    rows = [(f"  {name}{'' if name.endswith('.yaml') else '/'}", words) for name, words in _PARTS if name in top]
    width = max((len(name) for name, _ in rows), default=0) + 7
    return [f"{pad(name, width)}{words}" for name, words in rows]


def contents(project: Project, folder: Path) -> str:
    """`4 streams, 4 silver tables, 14 gold models`."""
    models = len(list((folder / project.gold.dbt / "models").glob("**/*.sql"))) if project.gold is not None else 0
    return ", ".join(
        (
            plural(len(project.feeds()), "stream"),
            plural(len(project.silver), "silver table"),
            plural(models, "gold model"),
        )
    )


def _from_files(folder: Path, pattern: str) -> None:
    from catchment.draft import find_streams, left_out, study, write_draft

    refuse_project(folder)
    streams = find_streams(pattern)
    note(f"Reading {plural(sum(len(stream.files) for stream in streams), 'file')} …")
    tables, odd = [], []
    for stream in streams:
        try:
            tables.append(study(stream))
        except ConfigError as error:
            odd.append(error)
    if not tables:
        raise odd[0]
    rows = sum(table.rows for table in tables)
    files = sum(len(table.stream.files) for table in tables)
    out(f"Read {plural(files, 'file')} ({about(rows)} {'row' if rows == 1 else 'rows'}).")
    for line in lines(tables):
        out(line)
    for empty in odd:
        note(f"Left out: {empty.message}.")
    others = left_out(pattern, streams)
    if others:
        note(_left_out(others))
    write_draft(tables, folder)
    out(
        f"Wrote {shown(folder)}/: {plural(len(tables), 'stream')}, {plural(len(tables), 'contract')}"
        f" (each type with its evidence as a comment), {plural(len(tables), 'stg model')}."
    )
    note(f"Next: {go(folder)}catchment preview silver.{tables[0].name}")


def _left_out(others: Sequence[Path]) -> str:
    """`Left out: bookings/, notes.docx and 3 more (no CSV, JSON Lines or Parquet, or a folder).`"""
    shown = ", ".join(f"{path.name}/" if path.is_dir() else path.name for path in others[:_MOST_LEFT_OUT])
    more = f" and {len(others) - _MOST_LEFT_OUT:,} more" if len(others) > _MOST_LEFT_OUT else ""
    return f"Left out: {shown}{more}. A name tells its format (.csv, .jsonl, .parquet …); ** reaches into folders."


def lines(tables: Sequence[TableGuess]) -> list[str]:
    """One line a table: its files, width, key, and what is worth knowing of its columns."""
    return aligned(
        [
            (f"  {_files(table.stream)}", plural(len(table.columns), "column"), table.key.words, _remarks(table))
            for table in tables
        ],
        gap="   ",
    )


def _files(stream: DraftStream) -> str:
    return stream.shown if len(stream.files) == 1 else f"{stream.shown} ({plural(len(stream.files), 'file')})"


def _remarks(table: TableGuess) -> str:
    told = [column.remark for column in table.columns if column.remark is not None]
    if table.has_odd_header:
        told.insert(0, "the first line looks like a row: name the columns with `header: […]` in catchment.yaml")
    if table.defects:
        told.insert(0, f"{plural(table.defects, 'line')} cannot be read")
    more = f" · {len(told) - _MOST_REMARKS} more in the contract" if len(told) > _MOST_REMARKS else ""
    return " · ".join(told[:_MOST_REMARKS]) + more
