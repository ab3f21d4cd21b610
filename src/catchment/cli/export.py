"""`catchment export`: rows into a Parquet, CSV or JSON Lines file."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from catchment.cli.invocation import Invocation, as_of_option, examples, target_option
from catchment.cli.terminal import note
from catchment.observe.words import plural, seconds, size

if TYPE_CHECKING:
    from datetime import datetime

    from catchment.project import Project
    from catchment.records import FileForm

_STDOUT = "-"


@click.command(
    epilog=examples(
        "catchment export silver.transactions transactions.parquet",
        "catchment export silver.users gold_users.csv --where \"tier = 'gold'\"",
        'catchment export --query "select * from gold.daily_sales" days.jsonl',
    )
)
@click.argument("words", nargs=-1, required=True, metavar="[TABLE] FILE")
@click.option("--query", "sql", metavar="SQL", help="The rows of this statement instead of a table's.")
@click.option("--where", metavar="SQL", help="Only rows that meet this condition.")
@as_of_option
@click.option(
    "--format",
    "form",
    type=click.Choice(("parquet", "csv", "jsonl")),
    help="By default what the file's ending says.",
)
@click.option("--overwrite", is_flag=True, help="Replace the file where it is there already.")
@target_option
@click.pass_obj
def export(
    invocation: Invocation,
    words: Sequence[str],
    sql: str | None,
    where: str | None,
    as_of: int | datetime | None,
    form: FileForm | None,
    overwrite: bool,
    target: str | None,
) -> None:
    """Write a table, or the rows of a query, into a file.

    The ending of FILE says what it becomes: .parquet keeps every type; .csv has a header, ISO times in UTC, nothing for
    a null and "" for an empty text; .jsonl has one object a line. The file appears when it is whole. `-` is stdout.
    """
    statement, place = _asked(words, sql, where)
    project = invocation.load()
    if place == _STDOUT:
        _to_stdout(project, target, statement, form, as_of)
    else:
        _to_file(project, target, statement, Path(place), form, as_of, overwrite=overwrite)


def _asked(words: Sequence[str], sql: str | None, where: str | None) -> tuple[str, str]:
    """(statement, file); raises UsageError for what does not belong together."""
    from catchment.export import whole_table

    if len(words) != (2 if sql is None else 1):
        message = "name a table and a file, or a file and --query"
        raise click.UsageError(message)
    if sql is not None and where is not None:
        message = "--query has its own conditions: leave --where out"
        raise click.UsageError(message)
    return (whole_table(words[0], where) if sql is None else sql), words[-1]


def _to_file(
    project: Project,
    target: str | None,
    sql: str,
    path: Path,
    form: FileForm | None,
    as_of: int | datetime | None,
    *,
    overwrite: bool,
) -> None:
    from time import monotonic

    from catchment.export import export as write

    began = monotonic()
    with _progress(path.name) as told:
        found = write(project, target, sql, path, form=form, as_of=as_of, overwrite=overwrite, told=told)
    note(f"{path}: {plural(found.rows, 'row')}, {size(found.bytes)}, {seconds(monotonic() - began)}")


def _to_stdout(
    project: Project, target: str | None, sql: str, form: FileForm | None, as_of: int | datetime | None
) -> None:
    """By way of a file, so that memory stays bounded and nothing comes out of a query that fails."""
    from catchment.export import export as write

    if form not in ("csv", "jsonl"):
        message = "stdout needs --format csv or --format jsonl"
        raise click.UsageError(message)
    with tempfile.TemporaryDirectory(prefix="catchment-export-") as folder:
        found = write(project, target, sql, Path(folder) / "rows", form=form, as_of=as_of)
        with found.path.open("rb") as rows:
            shutil.copyfileobj(rows, sys.stdout.buffer)
        sys.stdout.flush()


@contextmanager
def _progress(name: str) -> Iterator[Callable[[float], None] | None]:
    """Draws on a terminal only."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("  export   {task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)
        # Until the engine says how far it is, the bar only shows that something goes on.
        yield lambda share: bar.update(task, total=1.0, completed=share) if share else None
