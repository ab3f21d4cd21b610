"""What can go wrong, chosen by what the reader does next.

CatchmentError                 message = what, where; `hint` = the cure
├── ConfigError                fix the project, then run again
│   └── ProjectProblems        every mistake of a project at once, each a `Problem`
├── RetryableError             the runner tries again by itself
│   └── Conflict               another writer was faster; what was not committed is thrown away
├── DataError                  the rows are at fault; they are held or quarantined, and the message says where
│   ├── SchemaDrift            what arrives no longer has the shape that was pinned
│   ├── ChangedFile            a file that was read has other content now
│   ├── Passed                 a log no longer keeps what comes next: rows of it are lost
│   └── Held                   a rule over a whole load stops it before the commit; its rows are held
├── DefinitionChanged          a table's definition is not the one its rows were made with
├── Unfenced                   a table holds rows without our fence: a foreign restore or clone
├── FatalError                 nothing that trying again would mend: memory, disk, a broken file of ours
├── MissingExtra               a package is not installed
└── Stopped                    somebody pressed Ctrl-C; nothing uncommitted was kept
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class CatchmentError(Exception):
    """The root: everything that the command line prints without a traceback."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint is not None:
            self.add_note(f"hint: {hint}")  # for tracebacks, in notebooks above all


@dataclass(frozen=True)
class Problem:
    """One mistake in a project: where it stands, what it is, what to write instead.

    `file` is relative to the project; `line` and `column` count from 1 and are None where a whole file is meant.
    """

    file: str
    message: str
    line: int | None = None
    column: int | None = None
    key: str | None = None
    cure: str | None = None
    severity: str = "error"  # error | warning

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        words = [f"{place}  {self.message}"]
        if self.cure is not None:
            words.append(self.cure)
        return "; ".join(words)


class ConfigError(CatchmentError):
    """The project or the command is wrong; the same call will fail again until somebody changes it."""


class ProjectProblems(ConfigError):
    """Every mistake that a project holds, found in one pass."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


class RetryableError(CatchmentError):
    """Something outside was not there for a moment."""


class Conflict(RetryableError):
    """Another writer committed first; the step starts over from the table as it is now."""


class DataError(CatchmentError):
    """Rows are at fault, not the project."""


class SchemaDrift(DataError):
    """A feed no longer has the columns or the dialect that its first load pinned."""


class ChangedFile(DataError):
    """A file that has landed was changed afterwards."""


class Passed(DataError):
    """A log keeps no longer what comes after what was read: what lay between is lost, and somebody has to say so."""


class Held(DataError):
    """A rule over a whole load is broken and says stop: nothing was committed but the rejected rows, as held."""


class DefinitionChanged(CatchmentError):
    """The contract, mode or refine function differs from the one a table's rows were made with."""


class Unfenced(CatchmentError):
    """Rows without our fence: the table was restored, cloned or written by something else."""


class FatalError(CatchmentError):
    """Trying again would not mend it."""


class MissingExtra(CatchmentError):
    """An optional package is needed and absent."""


class Stopped(CatchmentError):
    """Asked to stop between two commits."""


def in_short(error: CatchmentError | OSError, about: str) -> str:
    """What went wrong about a table and the cure, where there is one line for it."""
    told = refused(error) if isinstance(error, OSError) else error
    words = " ".join(told.message.split()) + ("" if told.hint is None else f" ({told.hint})")
    return words if about in words else f"{about}: {words}"


def refused(error: OSError) -> FatalError:
    """What the operating system does not let us do, in words: no bug of ours, and none of the project's either."""
    where = "" if error.filename is None else f" {error.filename}"
    message = f"cannot read or write{where}: {(error.strerror or str(error)).lower()}"
    return FatalError(message, hint="look at the rights, the free space and what lies there, then run again")


def fewer_shards(stream: str, known: int, said: int) -> ConfigError:
    """A stream is landed in more shards than the project says: what lies in the others would not be seen."""
    message = f"{stream} is landed in {known} shards, and the project says {said}"
    return ConfigError(message, hint=f"write `shards: {known}`: there can be more later, never fewer")
