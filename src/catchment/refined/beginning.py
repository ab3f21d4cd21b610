"""Whether a publication may begin in a topic: a topic holds what one table publishes.

The ids of two tables' messages name different rows, and a reader that passes over ids that it has would lose rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from catchment.naming import ROW_ID
from catchment.refined.continuing import choices
from catchment.refined.place import Place, claim

if TYPE_CHECKING:
    from catchment.interfaces import Broker, Publication

# So many offsets before the end of each partition are looked at; marks of transactions are among them.
_LOOKED_AT = 100

_NO_TOPIC = ""

_OF_NOBODY = "it holds messages of a refined topic already, and nobody knows any more who published them"


def begin(broker: Broker, topic: str, name: str, publication: Publication) -> str | None:
    """Claim the topic for a publication that has not begun; why it may not begin, None where it may.

    Looked at again once the claim is made: of two that begin at the same moment one sees the other's at least, and
    takes its own back.
    """
    why, mine = taken(broker, topic, name), claim(broker.identity(topic))
    if why is not None or publication.progress() == mine:
        return why
    publication.write([], mine)
    why = taken(broker, topic, name)
    if why is not None:
        publication.write([], claim(_NO_TOPIC))
    return why


def taken(broker: Broker, topic: str, name: str) -> str | None:
    """Why a publication that has not begun may not begin in a topic, None where it may. Disturbs nobody."""
    bounds, identity = broker.bounds(topic), broker.identity(topic)
    was_written = any(end for _, end in bounds.values())
    known = broker.publications(topic)
    for other, told in sorted(known.items()):
        if other != name and _is_here(told, identity, was_written=was_written):
            return f"it has what {other} publishes, and the ids of both would name different rows"
    return _OF_NOBODY if was_written and _holds_rows(broker, topic, bounds) else None


def _is_here(told: Mapping[str, Any], identity: str | None, *, was_written: bool) -> bool:
    """Whether that is progress in this topic, and not in one of its name that was removed."""
    topic = told.get("topic")
    return was_written if topic is None or identity is None else bool(topic == identity)


def _holds_rows(broker: Broker, topic: str, bounds: Mapping[int, tuple[int, int]]) -> bool:
    """Whether the newest messages have the header of rows."""
    starts = {partition: max(first, end - _LOOKED_AT) for partition, (first, end) in bounds.items()}
    ends = {partition: end for partition, (_, end) in bounds.items()}
    return any(
        one["name"] == ROW_ID
        for batch in broker.read(topic, starts, ends, messages=_LOOKED_AT)
        for headers in batch.column("headers").to_pylist()
        for one in headers or ()
    )


def is_another(place: Place, identity: str | None) -> bool:
    """Whether the topic that was published into is another one than that of its name now."""
    return place.topic is not None and identity is not None and place.topic != identity


def cure(table: str) -> str:
    """What to do where a publication may not begin, in words."""
    from_now, again = choices(table)
    return (
        "give it a topic of its own (`publish` of the table in catchment.yaml). Where that was this table itself under"
        f" another name, go on behind what is there: {from_now}   ·   publish all of it again, under the same ids:"
        f" {again}"
    )
