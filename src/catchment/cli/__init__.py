"""The command line: one file per command, which parses, calls and prints. Errors are caught here and nowhere else."""

from __future__ import annotations

import shlex
import sys
import traceback
from collections.abc import Sequence

import click

from catchment.cli.group import catchment
from catchment.cli.terminal import note, styled
from catchment.errors import CatchmentError, ProjectProblems, Stopped, refused
from catchment.observe.words import plural

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; what comes back is the exit code: 0 done, 1 failed, 2 wrong use, 130 stopped by Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        result = catchment.main(words, prog_name="catchment", standalone_mode=False)
        return result if isinstance(result, int) else DONE
    except click.exceptions.Exit as asked:
        return asked.exit_code
    except click.ClickException as mistake:
        _tell_wrong_use(mistake)
        return mistake.exit_code
    except (KeyboardInterrupt, click.Abort, Stopped):
        note("stopped")
        return INTERRUPTED
    except SystemExit:
        # click says so, and nothing else does: the reader of our pipe (`| head`) has seen enough, nothing went wrong.
        return DONE
    except CatchmentError as error:
        _tell(error)
        return _failed(words)
    except OSError as error:
        _tell(refused(error))
        return _failed(words)
    except Exception as error:
        _tell_bug(error, words)
        return _failed(words)


def _failed(words: Sequence[str]) -> int:
    if "--debug" in words:
        note(traceback.format_exc().rstrip())
    return FAILED


def _tell(error: CatchmentError) -> None:
    if isinstance(error, ProjectProblems):
        for problem in error.problems:
            note(str(problem))
        note(f"{plural(len(error.problems), 'problem')}. Nothing was run.")
        return
    note(styled("error:", fg="red", bold=True) + " " + error.message)
    if error.hint is not None:
        note(styled("hint:", bold=True) + " " + error.hint)


def _tell_bug(error: Exception, words: Sequence[str]) -> None:
    lines = str(error).strip().splitlines()
    what = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    note(styled("error:", fg="red", bold=True) + f" {what}")
    note("  this is a bug in catchment, not in your project")
    if "--debug" not in words:
        note(
            styled("hint:", bold=True) + f" the same with a traceback to report: catchment --debug {shlex.join(words)}"
        )


def _tell_wrong_use(mistake: click.ClickException) -> None:
    context = getattr(mistake, "ctx", None)
    if isinstance(mistake, click.exceptions.NoArgsIsHelpError):
        note(mistake.format_message())
        return
    note(styled("error:", fg="red", bold=True) + " " + mistake.format_message())
    if context is not None:
        note(styled("hint:", bold=True) + f" {context.command_path} --help")
