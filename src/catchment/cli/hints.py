"""Commands in what people are told, for the project, the target and the environment that this call is about.

Whoever writes a hint writes `catchment run --rebuild silver.users`; where the call was for another target than the
default, this is what makes `catchment run --target two --rebuild silver.users` of it, in the moment it is printed.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

import click

_COMMAND = re.compile(r"(?<![\w./-])catchment (?P<first>[a-z]+)(?: (?P<second>[a-z]+))?(?![\w-])")
# A command's words end here at the latest; what is behind belongs to the next one or to the sentence.
_END = re.compile(r"[;\n`·]|\bcatchment ")
# They make a project of their own.
_ELSEWHERE = ("init", "demo")

# One process is one call; in here are the command that has all others below it, and what the call was given.
_root: list[click.Group] = []
_project: list[str] = []
_place: list[str] = []


def begin(command: str | None, project: str | None, root: click.Group | None = None) -> None:
    """A call begins, with --project if that was given. Without a `root` no command is known."""
    _place.clear()
    _root[:] = [] if root is None else [root]
    _project[:] = [] if project is None or command in _ELSEWHERE else ["--project", project]


def at(target: str | None, environment: str | None) -> None:
    """The call's command is about this place."""
    given = (("--target", target), ("--env", environment))
    _place[:] = [word for name, value in given if value for word in (name, value)]


def named(text: str) -> str:
    """The text, its commands with --project, --target and --env as this call had them, if they take them.

    A command that says so by itself stays as it is, so that naming twice is naming once.
    """
    if not _root or not (_project or _place) or "catchment " not in text:
        return text
    return _COMMAND.sub(_full, text)


def named_value(value: Any) -> Any:
    """A JSON value, every text in it named."""
    if isinstance(value, str):
        return named(value)
    if isinstance(value, Mapping):
        return {key: named_value(item) for key, item in value.items()}
    return [named_value(item) for item in value] if isinstance(value, list) else value


def _full(found: re.Match[str]) -> str:
    first, second = found["first"], found["second"]
    command = _root[0].get_command(click.Context(_root[0]), first)
    if command is None or first in _ELSEWHERE:
        return found[0]
    words, behind = first, found.string[found.end("first") :]
    if isinstance(command, click.Group) and second in command.commands:
        command, words, behind = command.commands[second], f"{first} {second}", found.string[found.end() :]
    options = _END.split(behind, maxsplit=1)[0]
    takes = any(option.name == "target" for option in command.params)
    place = _place if takes and not re.search(r"--(target|env|help)\b", options) else []
    rest = found[0].removeprefix(f"catchment {words}")
    return f"{shlex.join(['catchment', *_project, *words.split(), *place])}{rest}"
