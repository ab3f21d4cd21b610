"""Whether a publication may go on: what was published has to be what silver still says of those commits.

It is told from the table's log and state, without reading a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from catchment.errors import ConfigError
from catchment.records import ADDITIVE, Commit

if TYPE_CHECKING:
    from catchment.interfaces import Table
    from catchment.refined.place import Place


# The rows of these tables count from the beginning: an id that readers know is that of another row.
_MADE_ANEW = "the table was put back or made anew, and its ids name other rows now"
_ANOTHER = "it is another table, and its ids name other rows"
OTHER_ROWS = frozenset({_MADE_ANEW, _ANOTHER})

TOPIC_MADE_ANEW = "the topic was removed and made anew since, and what it had is no longer there"


def is_done(table: Table, before: Place) -> bool:
    """Whether all that the table has is published. One that was made anew may have as many commits: when one was made
    tells them apart, as far as the log goes."""
    count = table.pin.version - before.version
    if count < 0 or not before.is_at(table.progress().generation):
        return False
    told = table.history(count + 1)
    return len(told) <= count or told[-1].at.isoformat() == before.at


def changed(
    table: Table, before: Place, then: Callable[[int], Table | None], *, makes_several: bool = False
) -> str | None:
    """Why rows that were published may not be what they were, None where they are. `then` opens the table at an earlier
    version; raises ConfigError. `makes_several` says that one row of bronze may have become several."""
    version = table.pin.version
    if before.version > version:
        return _MADE_ANEW
    if not table.descends(before.generation):
        # A restore of ours says which commits it cut off, and their numbers do not come again.
        restored = any(first <= before.generation <= last for first, last in table.progress().cut_off)
        return "the table was put back" if restored else _MADE_ANEW
    count = version - before.version
    told = table.history(count + 1)
    if len(told) <= count:
        return None if _is_whole(table, before) else "it is so much later that nobody knows what was done since"
    if told[-1].at.isoformat() != before.at:
        return _ANOTHER
    # A replay only adds rows, unless one row of bronze becomes several, of which some are there.
    allowed = allowed_orders(makes_several=makes_several)
    orders = [commit for commit in told[:-1] if commit.operation not in allowed]
    done = {commit.operation for commit in orders if commit.operation != "forward" or not _left_rows(commit, then)}
    return f"rows of older commits were changed ({', '.join(sorted(done))})" if done else None


def allowed_orders(*, makes_several: bool) -> frozenset[str]:
    """What a commit may have done for a publication to go on behind it."""
    return ADDITIVE if makes_several else ADDITIVE | {"replay"}


def _left_rows(commit: Commit, then: Callable[[int], Table | None]) -> bool:
    """Whether an order to go forward left the files as they were: then only rows that came later are made otherwise."""
    versions: Sequence[int] = (commit.pin.version - 1, commit.pin.version)
    try:
        tables = [then(version) for version in versions]
    except ConfigError:  # they are no longer kept
        return False
    files = [set(table.scan(hidden=True).files) for table in tables if table is not None]
    return len(files) == len(versions) and files[0] == files[1]


def _is_whole(table: Table, before: Place) -> bool:
    """Whether no order changed older rows, told by the table's state, without its log: after a rebuild, a replay or
    a backfill only verdicts under the order's number and later ones count, `forward` has another definition, and
    what was put back does not descend."""
    progress = table.progress()
    first = progress.judged[0][0] if progress.judged else None
    return progress.definition == before.definition and first is not None and first <= before.generation


def cure(table: str, why: str) -> str:
    """The two ways to go on, in words; `why` is what `changed` says."""
    from_now, again = choices(table)
    if why in OTHER_ROWS:
        return (
            "readers that keep ids have to begin anew, or give them a new topic (`publish` of the table in"
            f" catchment.yaml). In this topic, all of it: {again}   ·   only what comes from now on: {from_now}"
        )
    return f"go on behind what is there: {from_now}   ·   publish all of it again, under the same ids: {again}"


def choices(table: str) -> tuple[str, str]:
    """The two ways to go on, as commands; `table` is the full name of a silver table."""
    return f"catchment publish {table} --from-now", f"catchment publish {table} --again"
