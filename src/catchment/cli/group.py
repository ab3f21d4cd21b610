"""The root command. A command's module is imported when it is called or listed, a heavy package when it works."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import click

from catchment import __version__
from catchment.cli import hints
from catchment.cli.invocation import Invocation, examples
from catchment.naming import did_you_mean

# In the order in which a newcomer meets them.
COMMANDS = (
    *("init", "demo", "generate", "sources", "peek", "check", "test", "plan", "run", "stream"),
    *("receive", "preview", "status", "quality", "query", "export", "compare", "publish", "live", "lineage", "impact"),
    *("quarantine", "backfill", "rewind", "restore", "adopt", "maintain", "topics", "connect", "gold", "docs"),
)


class LazyGroup(click.Group):
    """Commands are files beside this one, found by their name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(f"catchment.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            cure = did_you_mean(name, COMMANDS)
            ctx.fail(f"no command `{name}`" + (f"; {cure}" if cure else ""))
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples("catchment init shop && cd shop && catchment run"),
)
@click.option(
    "--project",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The project's folder; without it this folder or the nearest one above that holds catchment.yaml.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option("--no-color", is_flag=True, help="No colours, as with NO_COLOR set.")
@click.version_option(__version__, message="catchment %(version)s")
@click.pass_context
def catchment(context: click.Context, project: Path | None, debug: bool, no_color: bool) -> None:
    """From every source to tested gold tables, in one project.

    Exit codes: 0 done, 1 failed, 2 wrong use, 130 stopped by Ctrl-C. Data goes to stdout, the rest to stderr.
    """
    if debug:
        import logging

        # A step that fails by a bug of ours ends its own part of a run only; its traceback is logged.
        logging.basicConfig(stream=sys.stderr, format="%(message)s")
        logging.getLogger("catchment").setLevel(logging.DEBUG)
    hints.begin(context.invoked_subcommand, None if project is None else str(project), catchment)
    context.obj = Invocation(project_folder=project, debug=debug, no_colour=no_color)
