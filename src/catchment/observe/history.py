"""The log of runs, for people: `.catchment/runs.sqlite` beside the project. It decides nothing and may be deleted."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from catchment.answers import LastRun
from catchment.events import (
    Event,
    RowsLanded,
    RowsQuarantined,
    RowsRefined,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
)
from catchment.interfaces import Listener
from catchment.settings import redact

# A run does not wait for its log.
_PATIENCE_S = 0.5

# Newer files of ours than this program knows are left alone.
_VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    run TEXT PRIMARY KEY, project TEXT NOT NULL, target TEXT NOT NULL, started_at TEXT NOT NULL, seconds REAL,
    outcome TEXT
);
CREATE INDEX IF NOT EXISTS runs_by_time ON runs (started_at);
CREATE TABLE IF NOT EXISTS steps (
    run TEXT NOT NULL, step TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, started_at TEXT,
    seconds REAL NOT NULL, outcome TEXT NOT NULL, rows_in INTEGER, rows_out INTEGER, rejected INTEGER, cause TEXT,
    PRIMARY KEY (run, step)
);
"""


@dataclass
class _Figures:
    started_at: datetime | None = None
    rows_in: int | None = None
    rows_out: int | None = None
    rejected: int | None = None
    held: int = 0  # a refine that stops has rejected rows and never says RowsRefined

    def add(self, rows_in: int, rows_out: int, rejected: int) -> None:
        self.rows_in = (self.rows_in or 0) + rows_in
        self.rows_out = (self.rows_out or 0) + rows_out
        self.rejected = (self.rejected or 0) + rejected


@dataclass(frozen=True)
class StepRun:
    """One step of a past run; figures are None where the step has none."""

    step: str
    kind: str
    name: str
    outcome: str
    seconds: float
    rows_in: int | None = None
    rows_out: int | None = None
    rejected: int | None = None
    cause: str | None = None


@dataclass(frozen=True)
class PastRun(LastRun):
    """A run with its steps, in the order they ended."""

    target: str = ""
    steps: Sequence[StepRun] = field(default_factory=tuple)


class History(Listener):
    """Writes each run and its steps. A log that cannot be written never fails a run: `report` is told once."""

    def __init__(self, folder: Path, *, report: Callable[[str], None]) -> None:
        self._path = history_file(folder)
        self._report = report
        self._connection: sqlite3.Connection | None = None
        self._broken = False
        self._run = ""
        self._figures: dict[str, _Figures] = {}

    def on(self, event: Event) -> None:
        if self._broken:
            return
        try:
            self._write(event)
        except (sqlite3.Error, OSError) as error:
            self._broken = True
            self._close()
            self._report(f"this run is not in the log of runs: {self._path}: {error}")

    def _write(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._run = event.run
            self._execute(
                "INSERT OR REPLACE INTO runs (run, project, target, started_at) VALUES (?, ?, ?, ?)",
                (event.run, event.project, event.target, event.at.isoformat()),
            )
        elif isinstance(event, StepStarted):
            self._figures[event.step] = _Figures(started_at=event.at)
        elif isinstance(event, RowsLanded):
            self._of(event.step).add(event.rows, event.rows - event.defects, event.defects)
        elif isinstance(event, RowsRefined):
            self._of(event.step).add(event.rows, event.written, event.rejected)
        elif isinstance(event, RowsQuarantined):
            self._of(event.step).held += event.rows
        elif isinstance(event, StepFinished):
            self._step(event)
        elif isinstance(event, RunFinished):
            self._execute(
                "UPDATE runs SET seconds = ?, outcome = ? WHERE run = ?", (event.seconds, event.outcome, event.run)
            )
            self._close()

    def _of(self, step: str) -> _Figures:
        return self._figures.setdefault(step, _Figures())

    def _step(self, event: StepFinished) -> None:
        figures = self._figures.pop(event.step, _Figures())
        self._execute(
            "INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._run,
                event.step,
                event.kind,
                event.name,
                figures.started_at.isoformat() if figures.started_at is not None else None,
                event.seconds,
                event.outcome,
                figures.rows_in,
                figures.rows_out,
                figures.rejected if figures.rejected is not None else figures.held or None,
                redact(event.cause) if event.cause is not None else None,
            ),
        )

    def _execute(self, sql: str, values: Sequence[object]) -> None:
        if self._connection is None:
            self._connection = _open_for_writing(self._path)
        self._connection.execute(sql, values)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def history_file(folder: Path) -> Path:
    """Where a project keeps its log of runs."""
    return folder / ".catchment" / "runs.sqlite"


def last_run(folder: Path) -> LastRun | None:
    """The newest run, or None; also None where the log cannot be read."""
    found = runs(folder, 1)
    return found[0] if found else None


def runs(folder: Path, limit: int = 20) -> Sequence[PastRun]:
    """Newest first. A run that never said how it ended has the outcome `unknown`: it goes on, or it was killed."""
    path = history_file(folder)
    if not path.exists():
        return ()
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_PATIENCE_S)
        ) as connection:
            found = connection.execute(
                "SELECT run, started_at, seconds, coalesce(outcome, 'unknown'), target FROM runs"
                " ORDER BY started_at DESC, rowid DESC LIMIT ?",
                (limit,),
            ).fetchall()
            return tuple(_past_run(connection, row) for row in found)
    except sqlite3.Error:
        return ()


def _past_run(connection: sqlite3.Connection, row: tuple[str, str, float | None, str, str]) -> PastRun:
    run, started_at, seconds, outcome, target = row
    steps = connection.execute(
        "SELECT step, kind, name, outcome, seconds, rows_in, rows_out, rejected, cause FROM steps WHERE run = ?"
        " ORDER BY rowid",
        (run,),
    )
    return PastRun(
        run=run,
        started_at=datetime.fromisoformat(started_at),
        seconds=seconds,
        outcome=outcome,
        target=target,
        steps=tuple(StepRun(*step) for step in steps),
    )


def _open_for_writing(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Events come one at a time but from any thread.
    connection = sqlite3.connect(path, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False)
    try:
        if connection.execute("PRAGMA user_version").fetchone()[0] > _VERSION:
            message = "a newer catchment made this file"
            raise sqlite3.DatabaseError(message)
        # It is a log: losing the last line in a power cut is cheaper than a flush per step.
        connection.execute("PRAGMA synchronous = OFF")
        connection.executescript(f"{_SCHEMA} PRAGMA user_version = {_VERSION};")
    except sqlite3.Error:
        connection.close()
        raise
    return connection
