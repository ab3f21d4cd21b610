"""Versions and instants as people write them: `5`, `2026-11-01T08:30Z`, `2026-11-01`."""

from __future__ import annotations

from datetime import UTC, datetime

from catchment.errors import ConfigError


def moment(text: str) -> int | datetime:
    """A version number, or an instant in UTC: without a zone it is read as UTC, and a day means its first moment.

    Raises ConfigError for anything else.
    """
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return in_utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError) as error:
        message = f"`{text}` is neither a version nor a time"
        raise ConfigError(message, hint="write 5, 2026-11-01T08:30Z or 2026-11-01 (its start, in UTC)") from error


def in_utc(found: datetime) -> datetime:
    """The same instant with UTC as its zone; one without a zone is read as UTC."""
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def words(at: int | datetime) -> str:
    """`version 5`, or `2026-11-01 08:30:00 UTC`."""
    if isinstance(at, int):
        return f"version {at}"
    return f"{in_utc(at).replace(tzinfo=None).isoformat(sep=' ')} UTC"
