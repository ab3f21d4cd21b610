"""docs/reference/commands.md, made of the commands themselves: `python -m catchment.cli.reference`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from catchment.cli.group import catchment

_WIDTH = 100

_HEAD = """# Commands

Made from the commands' own help: `python -m catchment.cli.reference > docs/reference/commands.md`.

Data goes to stdout, the rest to stderr. Exit codes: 0 done, 1 failed (also: a mistake in the project), 2 wrong use of
the command line, 130 stopped by Ctrl-C. Ctrl-C stops after the commit that is being made; pressed again, at once.
Shapes of JSON: [json](json.md), [events](events.md).
"""


def reference() -> str:
    """The page."""
    return "\n".join([_HEAD, *(section for path, command in commands() for section in _section(path, command))])


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with its full name, the root first."""
    yield from _below("catchment", catchment)


def _below(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _below(f"{path} {name}", found)


def _section(path: str, command: click.Command) -> Iterator[str]:
    settings = {"help_option_names": ["-h", "--help"], "terminal_width": _WIDTH, "max_content_width": _WIDTH}
    with click.Context(command, info_name=path, **settings) as context:  # type: ignore[arg-type]
        yield f"## {path}\n"
        yield f"```text\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    click.echo(reference(), nl=False)
