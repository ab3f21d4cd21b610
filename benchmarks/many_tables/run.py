"""A project of 1,000 streams and 1,000 silver tables: landed and refined once, then planned again and again.

    python benchmarks/many_tables/run.py [--tables 1000] [--rounds 9] [--folder /tmp/many]

Prints JSON: seconds of whole processes (median, lowest, highest). With `--folder` the project stays there and is taken
as it is by the next call. `nothing recalled` is a plan without `.catchment/plan`, as after an upgrade; `every stream
moved` one that knows the contracts but no stream, as after a run that landed something everywhere; `new files` one
after ten streams got a file each, which the benchmark takes away again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

CATCHMENT = str(Path(sys.executable).with_name("catchment"))
GROWING = 10
ROWS = 20

CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: many-{name}
name: {name}
version: 1.0.0
status: active
description:
  purpose: One of many.
schema:
  - name: {name}
    logicalType: object
    physicalType: table
    description: One row per thing.
    properties:
      - name: {name}_id
        logicalType: integer
        primaryKey: true
        required: true
        description: Its identity.
      - name: name
        logicalType: string
        logicalTypeOptions: {{maxLength: 80}}
        required: true
        description: What people call it.
      - name: amount
        logicalType: number
        physicalType: decimal(12,2)
        logicalTypeOptions: {{minimum: 0}}
        description: What it costs.
      - name: status
        logicalType: string
        enum: [{{value: open}}, {{value: closed}}]
        description: Whether it goes on.
      - name: made_on
        logicalType: date
        logicalTypeOptions: {{format: yyyy-MM-dd}}
        description: Its first day.
      - name: updated_at
        logicalType: timestamp
        logicalTypeOptions: {{format: "yyyy-MM-dd'T'HH:mm:ssX"}}
        required: true
        description: When it last changed, in UTC.
"""


def names(tables: int) -> list[str]:
    return [f"t{number:04d}" for number in range(tables)]


def rows(name: str, part: int) -> str:
    lines = [f"{name}_id,name,amount,status,made_on,updated_at"]
    for row in range(part * ROWS, (part + 1) * ROWS):
        day, status = row % 28 + 1, "open" if row % 2 else "closed"
        lines.append(f"{row},thing {row},{row}.50,{status},2026-01-{day:02d},2026-02-{day:02d}T12:00:00Z")
    return "\n".join(lines) + "\n"


def write_project(folder: Path, tables: int) -> None:
    lines = ["name: many", "sources:", "  drops:", "    type: files", "    streams:"]
    lines += [f'      {name}: {{path: "data/{name}/*.csv"}}' for name in names(tables)]
    lines += ["silver:"]
    lines += [f"  {name}: {{from: drops.{name}, mode: merge, latest_by: updated_at}}" for name in names(tables)]
    (folder / "contracts").mkdir(parents=True)
    (folder / "catchment.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name in names(tables):
        (folder / "contracts" / f"{name}.odcs.yaml").write_text(CONTRACT.format(name=name), encoding="utf-8")
        (folder / "data" / name).mkdir(parents=True)
        (folder / "data" / name / "0.csv").write_text(rows(name, 0), encoding="utf-8")


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def spread(found: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(found), 3),
        "lowest": round(min(found), 3),
        "highest": round(max(found), 3),
    }


def measure(folder: Path, tables: int, rounds: int) -> dict[str, dict[str, float]]:
    plan = [CATCHMENT, "--project", str(folder), "plan"]
    caches = folder / ".catchment" / "plan"

    def without(forget: Callable[[], object]) -> list[float]:
        found = []
        for _ in range(3):
            forget()
            found.append(seconds(plan))
        return found

    figures = {
        "nothing recalled": spread(without(lambda: shutil.rmtree(caches, ignore_errors=True))),
        "every stream moved": spread(without((caches / "local.json").unlink)),
        "nothing new": spread([seconds(plan) for _ in range(rounds)]),
    }
    grown = [folder / "data" / name / "1.csv" for name in names(tables)[:GROWING]]
    for path in grown:
        path.write_text(rows(path.parent.name, 1), encoding="utf-8")
    try:
        figures[f"{GROWING} new files"] = spread([seconds(plan) for _ in range(rounds)])
    finally:
        for path in grown:
            path.unlink()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary) / "many"
        figures: dict[str, object] = {"tables": asked.tables}
        if not (folder / "lake").exists():
            write_project(folder, asked.tables)
            figures["first run"] = round(seconds([CATCHMENT, "--project", str(folder), "run"]), 1)
        figures["plan"] = measure(folder, asked.tables, asked.rounds)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
