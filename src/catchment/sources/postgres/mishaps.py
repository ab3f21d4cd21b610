"""Addresses of PostgreSQL, what its sessions are told, and what goes wrong with them in words: of any driver."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

from catchment.errors import CatchmentError, ConfigError, DataError, RetryableError

# What libpq is told unless the URL says it: who asks, and when a line is taken for dead.
_DEFAULTS = {
    "fallback_application_name": "catchment",
    "connect_timeout": "15",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}

# How values become text, whatever the server or the role prefers; and no scan that begins in the middle of a table.
SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "iso_8601",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "xmloption": "content",
    "synchronize_seqscans": "off",
}


def place_of(url: str) -> str:
    """Host, port and database of an address, for people: no user and no password."""
    try:
        parts = urlsplit(url)
        said = parse_qs(parts.query)
    except ValueError:
        return "the address"
    host = (parts.netloc.rpartition("@")[2] or ",".join(said.get("host", []))) or "localhost"
    database = parts.path.strip("/") or next(iter(said.get("dbname", [])), "")
    return f"{host}/{database}" if database else host


def completed(url: str) -> str:
    """The address with our defaults where it says nothing."""
    said = url.partition("?")[2]
    absent = [f"{key}={value}" for key, value in _DEFAULTS.items() if f"{key}=" not in said]
    return f"{url}{'&' if said else ('' if url.endswith('?') else '?')}{'&'.join(absent)}"


# What libpq and the server say while connecting -> whether it may pass, our words, and the cure.
_REFUSALS: tuple[tuple[str, bool, str, str], ...] = (
    (
        r"translate host name|failed to resolve host",
        False,
        "the host's name does not resolve",
        "is it spelled right, and can this machine look it up?",
    ),
    (r"password|authentication failed|authorization", False, "user or password is wrong", "look at the source's `url`"),
    (r"no pg_hba.conf entry", False, "the server lets nobody in from here", "its pg_hba.conf must name this user"),
    (r'database ".*" does not exist', False, "there is no such database", "look at the end of the source's `url`"),
    (r'role ".*" does not exist', False, "there is no such user", "look at the source's `url`"),
    (
        r"does not support SSL|SSL error|certificate|sslmode",
        False,
        "no encrypted connection can be made",
        "look at `sslmode` in the source's `url`",
    ),
    (r"permission denied|CONNECT privilege", False, "this user may not connect", "grant connect on the database"),
    (r"too many|reserved for", True, "it has no connection left", "end some, or raise max_connections"),
    (r"starting up|shutting down|recovery mode", True, "the server is starting or stopping", "wait a moment"),
    (r"refused", True, "connection refused", "is it running, and is the port right?"),
    (r"timeout|timed out", True, "it does not answer", "is the host right, and does a firewall stand between?"),
    (
        r"invalid (URI|percent|connection|port|integer|option)|missing (\"|key|\W=)|unexpected (character|spaces)",
        False,
        "the address cannot be read",
        "write postgresql://user:password@host:port/database, special characters in the password as %40",
    ),
)


def refused(said: str, who: str, place: str) -> CatchmentError:
    for pattern, passes, words, cure in _REFUSALS:
        if re.search(pattern, said, re.IGNORECASE) and not ("closed the connection" in said and not passes):
            kind = RetryableError if passes else ConfigError
            return kind(f"{who}: cannot connect to {place}: {words}", hint=cure)
    message = f"{who}: cannot connect to {place}: the connection broke off"
    return RetryableError(message, hint="is it PostgreSQL that listens there, and is it running?")


_BROKEN = r"closed the connection|connection.*(lost|reset|broken)|terminating connection|could not (receive|send)|EOF"
# The server's own words for mishaps that come in the middle of rows, where its code does not reach us.
_MISHAPS: tuple[tuple[str, type[CatchmentError], str, str], ...] = (
    (
        r"57014|statement timeout",
        ConfigError,
        "the server's statement_timeout ended the query",
        "raise it for this user (ALTER ROLE … SET statement_timeout), or give the cursor column an index",
    ),
    (
        r"55P03|lock timeout",
        RetryableError,
        "somebody holds a lock on the table",
        "somebody alters it: wait until that is done",
    ),
    (r"42501|permission denied", ConfigError, "no right to read it", "grant select on the table to this user"),
    (_BROKEN, RetryableError, "the connection broke off", "what was committed stays; the next run goes on behind it"),
    (
        r"40001|conflict with recovery|canceling statement|57P0|53\d\d\d",
        RetryableError,
        "the server ended the query",
        "run again; on a replica, max_standby_streaming_delay says how long a query may last",
    ),
    (
        r"42P01|42703|42883|42601|42804|22P02",
        ConfigError,
        "the server refuses the query",
        "look at table, columns and where of the stream",
    ),
)


def failed(error: Exception, who: str, place: str) -> CatchmentError:
    state = str(getattr(error, "sqlstate", None) or "")
    told = str(error).partition("Query was:")[0]
    said = _first(told)
    for pattern, kind, words, cure in _MISHAPS:
        if re.search(pattern, state or told, re.IGNORECASE):
            detail = "" if kind is RetryableError else f": {said}"
            return kind(f"{who} at {place}: {words}{detail}", hint=cure)
    if isinstance(error, OSError) and "PGRES_FATAL_ERROR" not in told:
        return RetryableError(f"{who} at {place}: the connection broke off", hint="the next run goes on behind it")
    return DataError(f"{who} at {place}: {said}", hint="look at `where`, and at what the table is made of")


def _first(said: str) -> str:
    """The server's first line, without what the driver wraps around it."""
    found = re.search(r"(?:ERROR|FATAL):\s*(.*)", said)
    return (found.group(1) if found else said.splitlines()[0] if said else "")[:200]
