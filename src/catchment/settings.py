"""References to what lies outside a project, anywhere in a value of catchment.yaml.

`${env:NAME}`, `${file:path}`, `${aws-secret:name}`, and `${aws-secret:name#key}` where the secret is a JSON object.

A Project keeps the text as it was written, so that whatever prints it prints the reference. `resolve` is called where
the value is used and remembers what it gave out; `redact` puts the references back into anything that people will read.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from catchment.errors import CatchmentError, ConfigError
from catchment.naming import did_you_mean

KINDS = ("env", "file", "aws-secret")
_CURE = "write ${env:NAME}, ${file:path} or ${aws-secret:name}"

# Shorter values are words of everyday life; replacing them would make messages unreadable and hide nothing.
SHORTEST_SECRET = 4

_REFERENCE = re.compile(r"\$\{([^{}]*)\}")
_UNCLOSED = re.compile(r"\$\{[^{}]*$")

# Host and port, several by commas, and nothing beside them that could be a user or a password.
_HOST = r"(?:[A-Za-z0-9_-][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}"
_ADDRESSES = re.compile(rf"\s*{_HOST}(?:\s*,\s*{_HOST})*\s*")

# What was given out in this process, in the forms in which it may turn up, and the reference that stands for it.
_given_out: dict[str, str] = {}


@dataclass(frozen=True)
class Reference:
    """One `${kind:name}` in a text."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"${{{self.kind}:{self.name}}}"


def references(text: str) -> tuple[Reference, ...]:
    """Every reference in a text, well formed or not, in order."""
    return tuple(_reference(match.group(1)) for match in _REFERENCE.finditer(text))


def has_references(text: str) -> bool:
    return "${" in text


def fault(text: str) -> tuple[str, str] | None:
    """What is wrong with the references of a text, and the cure; None where all can be resolved one day."""
    if _UNCLOSED.search(text):
        return "a reference is not closed", _CURE
    for reference in references(text):
        if not reference.kind:
            known = reference.name or "NAME"
            return f"reference `${{{reference.name}}}` does not say where to look", f"write `${{env:{known}}}`"
        if reference.kind not in KINDS:
            cure = did_you_mean(reference.kind, KINDS) or _CURE
            return f"no kind of reference `{reference.kind}`", cure
        if not reference.name:
            return f"reference `{reference}` names nothing", _CURE
        if reference.kind == "aws-secret" and (reference.name.startswith("#") or reference.name.endswith("#")):
            return f"reference `{reference}` names half a secret", "write ${aws-secret:name} or ${aws-secret:name#key}"
    return None


def resolve(text: str, folder: Path, *, place: str | None = None, address: bool = False) -> str:
    """The text with every reference replaced by its value; call it as late as possible and keep the result nowhere.

    Paths are relative to `folder`; one newline at the end of a file is not part of the value. `place` is the key that
    a message names. Where a key holds an `address` by its nature, hosts and ports out of the environment are shown, for
    nobody could tell otherwise what was not reached; anything else is hidden there as well.

    Raises ConfigError, which names the reference and never a value; for secrets kept elsewhere also MissingExtra, or
    RetryableError where asking again may help.
    """
    wrong = fault(text)
    if wrong is not None:
        message, cure = wrong
        raise ConfigError(f"{place}: {message}" if place else message, hint=cure)
    given: list[tuple[str, Reference]] = []

    def replaced(match: re.Match[str]) -> str:
        reference = _reference(match.group(1))
        given.append((_value(reference, folder, place), reference))
        return given[-1][0]

    whole = _REFERENCE.sub(replaced, text)
    is_shown = address and _ADDRESSES.fullmatch(whole) and all(reference.kind == "env" for _, reference in given)
    for value, reference in () if is_shown else given:
        _remember(value, str(reference))
    return whole


def hide(value: str, reference: str) -> None:
    """Have `redact` put the reference in place of a value that came another way, on the command line for one."""
    _remember(value, reference)


def redact(text: str) -> str:
    """The text with every value that `resolve` gave out replaced by its reference."""
    if not any(value in text for value in _given_out):
        return text
    longest_first = sorted(_given_out, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), lambda match: _given_out[match.group()], text)


def _reference(inside: str) -> Reference:
    kind, colon, name = inside.partition(":")
    return Reference(kind.strip(), name.strip()) if colon else Reference("", inside.strip())


def _value(reference: Reference, folder: Path, place: str | None) -> str:
    if reference.kind == "env":
        return _from_environment(reference, place)
    if reference.kind == "file":
        return _from_file(reference, folder, place)
    return _from_aws(reference, place)


def _from_environment(reference: Reference, place: str | None) -> str:
    value = os.environ.get(reference.name)
    if value is None:
        message = f"{_at(place)}environment variable `{reference.name}` is not set, and {reference} asks for it"
        raise ConfigError(message, hint=f"set it before the command: export {reference.name}=…")
    return value


def _from_file(reference: Reference, folder: Path, place: str | None) -> str:
    path = folder / reference.name
    try:
        value = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = "is not UTF-8 text" if isinstance(error, ValueError) else "cannot be read"
        why = "is not there" if isinstance(error, FileNotFoundError) else why
        message = f"{_at(place)}file {path} {why}, and {reference} asks for it"
        raise ConfigError(message, hint="write the value into that file, or correct the path") from None
    return value.removesuffix("\n").removesuffix("\r")


def _from_aws(reference: Reference, place: str | None) -> str:
    from catchment.aws_secrets import secret

    name, hashed, key = reference.name.partition("#")
    try:
        value = secret(name)
    except CatchmentError as error:
        message = f"{_at(place)}{error.message}, and {reference} asks for it"
        raise type(error)(message, hint=error.hint) from None
    return _of_object(value, key, reference, place) if hashed else value


def _of_object(value: str, key: str, reference: Reference, place: str | None) -> str:
    """One value of a JSON object: text as it is, anything else as JSON."""
    try:
        found = json.loads(value)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        message = f"{_at(place)}the secret is no JSON object, and {reference} asks for a key of it"
        raise ConfigError(message, hint="ask for the whole of it, without `#`")
    if found.get(key) is None:
        message = f"{_at(place)}the secret has nothing under `{key}`, and {reference} asks for it"
        raise ConfigError(message, hint=did_you_mean(key, map(str, found)) or "correct the key after `#`")
    return found[key] if isinstance(found[key], str) else json.dumps(found[key])


def _at(place: str | None) -> str:
    return f"{place}: " if place else ""


def _remember(value: str, reference: str) -> None:
    lines = value.splitlines() if "\n" in value else []
    for part in (value, *lines):
        for form in (
            part,
            json.dumps(part)[1:-1],
            json.dumps(part, ensure_ascii=False)[1:-1],
            repr(part)[1:-1],
            quote(part, safe=""),
        ):
            if len(form.strip()) >= SHORTEST_SECRET:
                _given_out.setdefault(form, reference)
