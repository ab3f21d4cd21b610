"""Where a database is, for people: never more of its URL than hosts and ports."""

from __future__ import annotations

import re

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
