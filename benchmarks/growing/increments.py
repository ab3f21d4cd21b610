"""A table that grows by one file a day: is the cost of a day the same on day 100 as on day 15?

    python benchmarks/growing/increments.py [--days 100] [--rows 50000] [--modes append merge history random]

Each day is landed and refined by a run of its own, in this process, so that start-up (benchmarks/start_up) does not
hide what grows. 5 % of a day's rows are new states of orders of the last three days. Order numbers grow; `random` is
`merge` over keys in no order, where no statistics can tell which files hold them: it is told, and has no limit. Nor is
the table tidied meanwhile, as `catchment maintain` would.

Prints mean seconds of CPU and wall for early and late days, land and refine apart. Exit code 1 where late days cost
more than 1.2 times the CPU of early ones. (On a busy machine wall seconds say little.)
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from orders import Mode, Orders, as_json, told

import catchment
from catchment.events import Event, StepFinished, StepStarted
from catchment.interfaces import Listener

LIMIT = 1.2


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Clock(Listener):
    """CPU and wall seconds of each step of one run."""

    def __init__(self) -> None:
        self.cpu: dict[str, float] = {}
        self.wall: dict[str, float] = {}
        self._began = (0.0, 0.0)

    def on(self, event: Event) -> None:
        if isinstance(event, StepStarted):
            self._began = (cpu(), time.perf_counter())
        elif isinstance(event, StepFinished):
            self.cpu[event.kind] = cpu() - self._began[0]
            self.wall[event.kind] = time.perf_counter() - self._began[1]


def grow(folder: Path, name: str, days: int, rows: int) -> dict[str, list[float]]:
    """Seconds of each day: `cpu`, `wall`, and the CPU of each kind of step."""
    orders = Orders(folder / "data", rows, random_keys=name == "random")
    mode = cast("Mode", "merge" if name == "random" else name)
    project = orders.project(folder / "project", mode, "2GB")
    found: dict[str, list[float]] = {"cpu": [], "wall": [], "land": [], "refine": []}
    for day in range(days):
        orders.write([day])
        clock = Clock()
        # Opened anew, as by a process of its own: nothing is remembered from yesterday.
        catchment.open(project).run(listeners=[clock])
        found["cpu"].append(sum(clock.cpu.values()))
        found["wall"].append(sum(clock.wall.values()))
        for kind in ("land", "refine"):
            found[kind].append(clock.cpu[kind])
    return found


def compare(found: dict[str, list[float]], early: slice, late: slice) -> dict[str, dict[str, float]]:
    return {
        what: {
            "early": round(statistics.mean(days[early]), 3),
            "late": round(statistics.mean(days[late]), 3),
            "ratio": round(statistics.mean(days[late]) / statistics.mean(days[early]), 2),
        }
        for what, days in found.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=100)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--modes", nargs="+", default=["append", "merge", "history", "random"])
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    if asked.days < 30:
        parser.error("--days: early days are 11 to 20, late ones the last ten: 30 at least")
    figures = {}
    for name in asked.modes:
        with tempfile.TemporaryDirectory(prefix="catchment-bench-") as temporary:
            found = grow(Path(temporary), name, asked.days, asked.rows)
        figures[name] = compare(found, slice(10, 20), slice(asked.days - 10, asked.days))
    late = f"days {asked.days - 9}-{asked.days}"
    table = [
        [name, what, one["early"], one["late"], one["ratio"]]
        for name, parts in figures.items()
        for what, one in parts.items()
    ]
    print(as_json(figures) if asked.json else told(table, ("mode", "seconds of", "days 11-20", late, "ratio")))
    missed = [name for name, parts in figures.items() if name != "random" and parts["cpu"]["ratio"] > LIMIT]
    for name in missed:
        print(
            f"{name}: late days cost {figures[name]['cpu']['ratio']} times early ones, limit {LIMIT}", file=sys.stderr
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
