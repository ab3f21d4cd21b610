"""Try a silver table on rows that somebody wrote down: `tests/<table>/given.csv` against `expect.csv`.

A case runs through the real land and refine steps, in a folder of its own that is thrown away; the project's lake is
not touched. What a case holds (docs/guides/tests.md):

    given.csv, given.jsonl          what arrives, as the source would have it; given.2.csv arrives after given.1.csv
    given.<source>.<stream>.csv     the same, where a table has several streams
    <table>.csv                     rows of a silver table that is looked things up in, or referred to
    expect.csv                      the rows that shall be there: any columns of the contract
    rejects.csv                     the rows that shall be rejected, and why
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from catchment.errors import CatchmentError
from catchment.project import Project
from catchment.trial.cases import Case, cases
from catchment.trial.outcome import Difference, Trial

__all__ = ["Case", "Difference", "Trial", "cases", "trials", "tried"]


def trials(project: Project, tables: Sequence[str] = ()) -> Iterator[Trial]:
    """Try every case of the tables, of all without a name, one by one. Raises ConfigError where there is none."""
    for case in cases(project, tables):
        yield tried(project, case)


def tried(project: Project, case: Case) -> Trial:
    """Land and refine what is given, and compare; a case that cannot be tried says so in its `problem`."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="catchment-test-") as folder:
        try:
            from catchment.trial.bench import Bench

            trial = Bench(project, case, Path(folder)).tried()
        except CatchmentError as error:
            words = error.message.replace(f"{project.folder}/", "").replace(f"{folder}/", "")
            trial = Trial(str(case), problem=words, hint=error.hint)
    return replace(trial, seconds=time.monotonic() - began)
