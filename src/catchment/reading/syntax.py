"""Why a text is no YAML, and how to mend it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import yaml


def slip(error: yaml.MarkedYAMLError, text: str) -> tuple[tuple[int, int] | None, str, str]:
    """Where the parser stood, what is wrong there, and the cure."""
    mark = error.problem_mark or error.context_mark
    place = (mark.line + 1, mark.column + 1) if mark is not None else None
    lines = text.splitlines()
    line = lines[place[0] - 1] if place is not None and place[0] <= len(lines) else ""
    indent = line[: len(line) - len(line.lstrip())]
    if "\t" in indent or (place is not None and line[place[1] - 1 : place[1]] == "\t"):
        return place, "a tab stands where YAML wants spaces", "indent with spaces"
    what = (error.problem or error.context or "it cannot be read").replace("\\'", "'")
    context = f" {error.context}" if error.context and error.context != what else ""
    return place, f"this is not YAML: {what}{context}", _cure(what, line)


def _cure(what: str, line: str) -> str:
    if "mapping values are not allowed" in what:
        return "mind the indentation, and put a value that holds `: ` into quotes"
    if "${" in line or "cannot start any token" in what:
        return "put the value into double quotes"
    if "expected ',' or '}'" in what:
        return "close every bracket, and put a value that holds a comma or a quote into quotes"
    if "end of stream" in what:
        return "close the quote"
    return "mind the indentation and close every bracket and quote"


def odd_character(text: str) -> tuple[int, int] | None:
    """Where the first character stands that YAML does not allow."""
    for number, line in enumerate(text.split("\n"), start=1):
        for column, character in enumerate(line, start=1):
            if (
                (character < " " and character not in "\t\r")
                or "\x7f" <= character <= "\x9f"
                or "\ud800" <= character <= "\udfff"
                or character in "\ufffe\uffff"
            ):
                return number, column
    return None
