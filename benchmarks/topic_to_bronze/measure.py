"""What a process says of its own work."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable


def measured(work: Callable[[], int]) -> None:
    """Wait for a line, do it, and print messages, seconds, CPU seconds and peak memory in bytes."""
    print("ready", flush=True)
    sys.stdin.readline()
    before, began = _cpu(), time.perf_counter()
    messages = work()
    seconds, cpu = time.perf_counter() - began, _cpu() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"messages": messages, "seconds": seconds, "cpu": cpu, "peak": peak}))


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
