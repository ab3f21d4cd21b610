"""Where a database is, for people, never more of its URL than hosts and ports; and that it cannot be reached."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from catchment.errors import CatchmentError, ConfigError

# What does not look like this is not shown at all: an unescaped password may stand anywhere.
_URL = re.compile(r"[a-z0-9+]+://([^@/?#]*@)?(?P<hosts>[^@/?#]+)([/?][^@]*)?", re.IGNORECASE)

UNKNOWN_HOST = re.compile(
    r"Name or service not known|nodename nor servname|No address associated|getaddrinfo failed", re.IGNORECASE
)
TLS = re.compile(r"\bSSL|certificate", re.IGNORECASE)


def hosts(url: str) -> str:
    """Hosts and ports of a URL; "the server" where they cannot be told from secrets."""
    found = _URL.fullmatch(url)
    return "the server" if found is None else found["hosts"]


def first_line(text: str, longest: int = 200) -> str:
    """What a server or library said, short enough for a message."""
    line = next(iter(text.strip().splitlines()), "no word of why")
    return line if len(line) <= longest else f"{line[:longest]}…"


@contextmanager
def told(kinds: tuple[type[Exception], ...], in_words: Callable[[Exception], CatchmentError]) -> Iterator[None]:
    """Errors of a library in our words, none of which can hold a password."""
    try:
        yield
    except CatchmentError:
        raise
    except kinds as error:
        raise in_words(error) from None


def unreached(said: str, feed: str, where: str, *, look_at: str) -> ConfigError | None:
    """Where a library says that there is no such host, or no secure connection; None where it says anything else.

    `look_at` names what decides on the security.
    """
    if UNKNOWN_HOST.search(said):
        return unresolved(feed, where)
    if TLS.search(said):
        message = f"{feed}: no secure connection with {where}: {first_line(said)}"
        return ConfigError(message, hint=f"look at {look_at} and at the server's certificate")
    return None


def unresolved(feed: str, where: str) -> ConfigError:
    """There is no such host."""
    return ConfigError(f"{feed}: the name of {where} does not resolve", hint="correct the host in the URL")
