"""Who is at work in a lake: what was there when he began is not taken from him, however short the retention is.

    <lake>/_progress/_at_work/<any name>      locked for as long as somebody is at work; its time is when he began

The lock is the kernel's, so that one of a process that was killed is free, and the file goes with the next look. It
holds between the processes of a machine; on another machine only the retention protects a reader.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path


@contextmanager
def at_work(lake: Path) -> Iterator[None]:
    """Be at work until the end of the block; where nothing can be written nobody is told, where nothing is yet nobody
    needs to be."""
    if not lake.exists():
        yield
        return
    folder = lake / "_progress" / "_at_work"
    place = folder / uuid.uuid4().hex
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Locked before it has its name: who looks meanwhile would take it for one that is free.
        lock = os.open(place.with_suffix(".new"), os.O_CREAT | os.O_WRONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        place.with_suffix(".new").rename(place)
    except OSError:
        yield
        return
    try:
        yield
    finally:
        place.unlink(missing_ok=True)
        os.close(lock)


def since(lake: Path) -> datetime | None:
    """When the one began who has been at work for longest; None where nobody is."""
    found = []
    for place in (lake / "_progress" / "_at_work").glob("*"):
        with suppress(FileNotFoundError), place.open("rb") as opened:
            try:
                fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                found.append(place.stat().st_mtime)
            else:
                if place.suffix != ".new":
                    place.unlink(missing_ok=True)
    return datetime.fromtimestamp(min(found), UTC) if found else None
