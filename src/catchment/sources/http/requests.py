"""What is asked and what is answered, as values that know no HTTP library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from catchment.errors import CatchmentError
from catchment.settings import redact

Param = str | int | float | bool | Sequence[str | int | float | bool]


@dataclass(frozen=True)
class Request:
    """One question. With a `body` it is a POST, and parameters of paging and cursor are members of that."""

    url: str
    method: str = "GET"
    params: Mapping[str, Param] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None

    def saying(self, name: str, value: Any) -> Request:
        """The same with one more parameter; `a.b` reaches into a body."""
        if self.body is None:
            return replace(self, params={**self.params, name: value})
        return replace(self, body=_put(self.body, name.split("."), value))

    @property
    def shown(self) -> str:
        return f"{self.method} {shown(self.url)}"


@dataclass(frozen=True)
class Answer:
    """What came: header names are in small letters, `url` is where it came from in the end."""

    url: str
    status: int
    headers: Mapping[str, str]
    content: bytes
    charset: str | None = None


class Again(Exception):
    """This answer may pass: ask again, after `wait_s` where the server says so; `error` if it does not pass."""

    def __init__(self, error: CatchmentError, wait_s: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.wait_s = wait_s


def shown(url: str) -> str:
    """An address for people: nothing of its query, no name or password, no value from outside."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return redact(urlunsplit((parts.scheme, host, parts.path, "", "")))


def place(url: str, path: str = "") -> str:
    """An address for `_origin`: the host, and a path of the project's. What else stands in `url` may be a secret.

    It is the same in every process, whatever was resolved in it: nothing is redacted.
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path and '/' + path.partition('?')[0].lstrip('/')}"


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Whose credentials an address may be shown."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, port


def _put(body: Mapping[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    name, *below = path
    if not below:
        return {**body, name: value}
    inside = body.get(name)
    return {**body, name: _put(inside if isinstance(inside, Mapping) else {}, below, value)}
