"""What catchment.yaml says of the paces of a stream, one against the other.

Read from the nodes, as `pointers` does: a wrong key in one place hides nothing in another.
"""

from __future__ import annotations

from catchment.reading.declaration import Stream
from catchment.reading.documents import Node
from catchment.reading.durations import pace
from catchment.reading.pointers import Reading


def follow(reading: Reading) -> None:
    """Look at paces that do less than they seem to; what deserves a word goes to the problems."""
    stream = reading.section("stream")
    flush = stream.get("flush")
    if flush is None:
        return
    seldom, often = _seconds(flush, ""), _seconds(stream.get("merge_every"), Stream().merge_every)
    if seldom is not None and often is not None and seldom > often:
        merged = stream["merge_every"].text if "merge_every" in stream else f"{Stream().merge_every}, the default"
        message = (
            f"{flush.text} is more than merge_every ({merged}): what is published or has live figures is passed on"
            f" every {flush.text}, however often silver has something new"
        )
        cure = "write less, or leave it where readers can wait so long"
        reading.findings.warning(flush, message, cure=cure, key="stream.flush")


def _seconds(node: Node | None, otherwise: str) -> float | None:
    """None for a reference, and for what is no length of time."""
    return pace(otherwise if node is None else node.text)
