"""Rows of the project into a file of the user's: whole or not at all, and never over another by accident."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import get_args

from catchment import naming
from catchment.errors import ConfigError
from catchment.inspect import write_query
from catchment.naming import TableName, did_you_mean
from catchment.project import Project
from catchment.records import FileForm

_FORMS: tuple[FileForm, ...] = get_args(FileForm)
_ENDINGS: dict[str, FileForm] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}


@dataclass(frozen=True)
class Exported:
    """A file that was written."""

    path: Path
    form: FileForm
    rows: int
    bytes: int


def export(
    project: Project,
    target: str | None,
    sql: str,
    path: Path,
    *,
    form: FileForm | None = None,
    as_of: int | datetime | None = None,
    overwrite: bool = False,
    told: Callable[[float], None] | None = None,
) -> Exported:
    """Write the rows of a reading statement into `path`, in bounded memory; `form` is what the ending says.

    The file appears whole, under its name, once it is written; what lies there is kept without `overwrite`. `told`
    hears now and then which share (0-1) is done. Raises ConfigError.
    """
    chosen = form or form_of(path)
    _refuse_present(path, overwrite=overwrite)
    if not path.parent.is_dir():
        message = f"cannot write {path}: there is no folder {path.parent}"
        raise ConfigError(message, hint="make it, or name another place")
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        rows = write_query(project, target, sql, draft, chosen, as_of=as_of, told=told)
        _refuse_present(path, overwrite=overwrite)  # somebody may have been faster
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return Exported(path, chosen, rows, path.stat().st_size)


def whole_table(name: str, where: str | None = None) -> str:
    """The statement that reads a table, or those of its rows that meet a condition. Raises ConfigError."""
    try:
        table = TableName.parse(name)
    except ValueError as error:
        raise ConfigError(str(error), hint="name a table with its layer") from error
    sql = f"SELECT * FROM {table.layer}.{naming.quoted(table.name)}"
    return sql if where is None else f"{sql} WHERE (\n{where}\n)"


def form_of(path: Path) -> FileForm:
    """What a file's ending says it holds. Raises ConfigError for one that says nothing."""
    form = _ENDINGS.get(path.suffix.lower())
    if form is None:
        message = f"cannot tell from `{path.name}` what to write"
        near = did_you_mean(path.suffix, _ENDINGS) if path.suffix else None
        raise ConfigError(message, hint=near or f"end it with .{', .'.join(_FORMS)}")
    return form


def _refuse_present(path: Path, *, overwrite: bool) -> None:
    if path.is_dir():
        message = f"cannot write {path}: it is a folder"
        raise ConfigError(message, hint="name a file in it")
    if path.exists() and not overwrite:
        message = f"nothing was written: {path} is there already"
        raise ConfigError(message, hint="replace it with --overwrite, or name another file")
