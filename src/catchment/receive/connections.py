"""How many connections there may be at once: each is an open file, and without one left nothing can be written either.

asyncio asks for connections as many times as may wait, without a pause where the system has no file left, and tells
each time (https://github.com/python/cpython/issues/151615): everybody would wait for that.
"""

from __future__ import annotations

import contextlib
import resource

MOST = 10_000
# So many may wait to be taken, and are taken before any of them is counted.
WAITING = 256
# Files that are no connections: the topics', the system's libraries, standard streams.
_OTHERS = 100
_LEAST = 16


def most_connections() -> int:
    """Raises this process's limit of open files as far as it may and is needed; how many connections it is enough
    for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST + WAITING + _OTHERS
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    if soft == resource.RLIM_INFINITY:
        return MOST
    return max(_LEAST, min(MOST, soft - WAITING - _OTHERS))
