"""What every command knows about the call, and the options that several commands share."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from catchment.cli import hints
from catchment.cli.values import MOMENT

if TYPE_CHECKING:
    from catchment.project import Project

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Invocation:
    """The options before the command's name."""

    project_folder: Path | None = None
    debug: bool = False
    no_colour: bool = False

    def load(self, *, tables_too: bool = True) -> Project:
        """The project that this call is about; raises ConfigError, or ProjectProblems with every mistake in it.

        Without `tables_too` it serves those only who ask for sources, topics and targets; contracts may be missing.
        """
        from catchment.project import load_project

        return load_project(self.folder(), tables_too=tables_too)

    def folder(self) -> Path:
        """Where the project lies; raises ConfigError where there is none."""
        if self.project_folder is not None:
            return self.project_folder
        from catchment.project import find_project

        return find_project(Path.cwd())

    def command(self, words: str) -> str:
        """How to call `catchment <words>` for the same project, target and environment."""
        return hints.named(f"catchment {words}")

    @property
    def colour(self) -> bool:
        """Whether what people read on stderr has colours."""
        plain = self.no_colour or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        return sys.stderr.isatty() and not plain


def examples(*lines: str) -> str:
    """A command's examples as they stand at the end of its help; each one works in the shop project."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


_target = click.option(
    "--target", metavar="NAME", help="A target of catchment.yaml; without it the one marked `default`."
)
_environment = click.option(
    "--env",
    "environment",
    metavar="NAME",
    envvar="CATCHMENT_ENV",
    help="An environment of your own in the target: reads its bronze, and its silver where you have made none, and"
    " writes your own. Also from CATCHMENT_ENV.",
)


def target_option(command: Command) -> Command:
    """`--target` and `--env`; the command gets both as one name of a place, `local@alice`."""

    @functools.wraps(command)
    def placed(*given: Any, target: str | None, environment: str | None, **options: Any) -> Any:
        hints.at(target, environment)
        place = target if environment is None else f"{target or ''}@{environment}"
        return command(*given, target=place, **options)

    return _target(_environment(placed))  # type: ignore[return-value]


select_option = click.option(
    "--select",
    "select",
    multiple=True,
    metavar="STEP",
    help="Only these steps: silver.users; +silver.users with what it needs; silver.users+ with what needs it."
    " Repeatable.",
)
as_of_option = click.option(
    "--as-of",
    type=MOMENT,
    metavar="WHEN",
    help="As the tables were then: a time (2026-11-01T08:30Z; without a zone UTC, a day is its start), or a version of"
    " the one table that is named.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON (docs/reference/json.md).")


def limit_option(number: int) -> Callable[[Command], Command]:
    return click.option(
        "--limit", type=click.IntRange(min=1), default=number, show_default=True, help="At most so many rows."
    )


def target_name(project: Project, target: str | None) -> str:
    """The name of the target that is meant; raises ConfigError where there is no such target."""
    return project.target(target)[0]
