"""Why a text is no YAML, and how to mend it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import yaml

    from catchment.reading.documents import Findings, Place


def tell(error: yaml.MarkedYAMLError, text: str, findings: Findings) -> None:
    """Put an error of the parser to the findings."""
    mark = error.problem_mark or error.context_mark
    place = (mark.line + 1, mark.column + 1) if mark is not None else None
    lines = text.splitlines()
    line = lines[place[0] - 1] if place is not None and place[0] <= len(lines) else ""
    indent = line[: len(line) - len(line.lstrip())]
    if "\t" in indent or (place is not None and line[place[1] - 1 : place[1]] == "\t"):
        findings.error(place, "a tab stands where YAML wants spaces", cure="indent with spaces")
        return
    what = (error.problem or error.context or "it cannot be read").replace("\\'", "'")
    context = f" {error.context}" if error.context and error.context != what else ""
    findings.error(place, f"this is not YAML: {what}{context}", cure=_cure(what, line))


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


def odd_character(text: str) -> Place | None:
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
