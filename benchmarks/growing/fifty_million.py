"""Fifty million orders under the same memory limit as five million: does the peak grow with the rows?

    python benchmarks/growing/fifty_million.py [--rows 5000000 50000000] [--modes append merge] [--memory 2GB]

Files of a million rows, 5 % of them new states of orders of the last three files, landed and refined as one first run
each; then a run after another 1 % has come: the increment. Peak memory is that of the run's whole process tree
(resident, looked at every 50 ms). Fifty million rows need about 15 GB in the temporary folder (`--folder`), which is
empty again afterwards; their source files stay for the next mode.

Prints tables. Exit code 1 where a peak is more than 1.25 times the memory limit, which DuckDB alone keeps to: what is
left of it is used, whatever the number of rows.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orders import Orders, as_json, told

from catchment.project import memory_bytes

CATCHMENT = str(Path(sys.executable).with_name("catchment"))
A_FILE = 1_000_000
BEYOND = 1.25  # Python, Arrow, and what DuckDB does not count


def resident(root: int) -> int:
    """Resident bytes of a process and all that it has started."""
    parents: dict[int, int] = {}
    bytes_: dict[int, int] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 - a name is all that is wanted
        if not entry.isdigit():
            continue
        try:
            after = Path(f"/proc/{entry}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:  # gone between two looks
            continue
        parents[int(entry)], bytes_[int(entry)] = int(after[1]), int(after[21]) * os.sysconf("SC_PAGE_SIZE")
    found, total = [root], 0
    while found:
        one = found.pop()
        total += bytes_.get(one, 0)
        found += [child for child, parent in parents.items() if parent == one]
    return total


def run(project: Path, step: str) -> dict[str, float]:
    """Wall and CPU seconds and peak megabytes of one step as a process of its own, which must succeed."""
    command = [CATCHMENT, "--project", str(project), "run", "--select", step]
    began, peak = time.perf_counter(), 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while True:
        ended, code, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        peak = max(peak, resident(process.pid))
        time.sleep(0.05)
    if code:
        assert process.stderr is not None
        sys.exit(process.stderr.read().decode())
    return {
        "wall_s": round(time.perf_counter() - began, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mb": round(max(peak, usage.ru_maxrss * 1024) / 1e6),
    }


def measure(folder: Path, rows: int, mode: Any, memory: str) -> dict[str, dict[str, float]]:
    """Land and refine of all rows, and of 1 % more, each in a lake of its own."""
    files = max(1, round(rows / A_FILE))
    orders = Orders(folder / f"data-{rows}", rows // files)
    present = len(list(orders.folder.glob("*.csv")))
    orders.write(range(present, files))
    project = orders.project(folder / "project", mode, memory)
    steps = {"land": "drops.orders", "refine": "silver.orders"}
    found = {kind: run(project, step) for kind, step in steps.items()}
    more = orders.write_more(files, rows // 100)
    found |= {f"{kind} 1 % more": run(project, step) for kind, step in steps.items()}
    more.unlink()
    shutil.rmtree(project)
    return found


def missed(figures: dict[str, dict[int, dict[str, dict[str, float]]]], limit: int) -> list[str]:
    return [
        f"{mode}, {rows:,} rows, {kind}: {one['peak_mb']:,} MB are more than {BEYOND} times the limit"
        for mode, by_rows in figures.items()
        for rows, found in by_rows.items()
        for kind, one in found.items()
        if one["peak_mb"] * 1e6 > BEYOND * limit
    ]


def ratios(figures: dict[str, dict[int, dict[str, dict[str, float]]]]) -> list[list[Any]]:
    """Peaks of the most rows against those of the fewest, and 1 % more rows against all."""
    rows: list[list[Any]] = []
    for mode, by_rows in figures.items():
        fewest, most = min(by_rows), max(by_rows)
        for kind in ("land", "refine"):
            peak = by_rows[most][kind]["peak_mb"] / by_rows[fewest][kind]["peak_mb"]
            rows.append([f"{mode} {kind}", f"peak, {most:,} rows to {fewest:,}", round(peak, 2)])
        for number, found in by_rows.items():
            for what in ("wall_s", "cpu_s"):
                all_, more = (
                    sum(found[kind + tail][what] for kind in ("land", "refine")) for tail in ("", " 1 % more")
                )
                rows.append([mode, f"{what}, 1 % more to {number:,} rows", round(more / all_, 3)])
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[5_000_000, 50_000_000])
    parser.add_argument("--modes", nargs="+", default=["append", "merge"])
    parser.add_argument("--memory", default="2GB")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    figures: dict[str, dict[int, dict[str, dict[str, float]]]] = {}
    with tempfile.TemporaryDirectory(prefix="catchment-bench-", dir=asked.folder) as temporary:
        for rows in sorted(asked.rows):
            for mode in asked.modes:
                figures.setdefault(mode, {})[rows] = measure(Path(temporary), rows, mode, asked.memory)
            shutil.rmtree(Path(temporary) / f"data-{rows}")
    table = [
        [mode, f"{rows:,}", kind, *one.values()]
        for mode, by_rows in figures.items()
        for rows, found in by_rows.items()
        for kind, one in found.items()
    ]
    header = ("mode", "rows", "step", "wall s", "CPU s", "peak MB")
    print(as_json(figures) if asked.json else told(table, header))
    if not asked.json:
        print("\n" + told(ratios(figures), ("mode", "of", "ratio")))
    words = missed(figures, memory_bytes(asked.memory))
    for line in words:
        print(line, file=sys.stderr)
    return 1 if words else 0


if __name__ == "__main__":
    sys.exit(main())
