"""What Catchment adds to a plain `dbt build`: the shop's gold over the same silver, in turns, in one run.

    python benchmarks/gold_build/run.py [--rounds 5]

The peer is what people do by hand: a profile naming a DuckDB file with a view per silver table, and `dbt build`. Its
parse cache is warm, as ours is, and it has the same threads and memory. Three cases, each with new figures a round:

    steps     a day of data came: `catchment run`, of which the steps model and publish count
    process   the same day, landed and refined before: `catchment run --select gold`, our start-up and all
    edited    a model was edited: `catchment run`, our start-up, looking at every source and all

Beside them `catchment run --select gold` with nothing new: what of the whole processes is start-up. Prints JSON:
seconds and CPU seconds of both sides, medians, and the ratios of medians and of the lowest figures, which a machine
that does other work as well disturbs least.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
WORK = ROOT / "build" / "bench" / "gold_build"
BIN = Path(sys.executable).parent
EDITED = "models/cur/funnel.sql"
TABLES = ("users", "products", "transactions", "user_events")
_DAYS = 30


class Sides:
    """One project run by us, and its dbt project run by hand over the same silver."""

    def __init__(self, rounds: int) -> None:
        self.ours, self.hand, self.days = WORK / "shop", WORK / "hand", WORK / "days"
        self._coming = iter(self._make(rounds))
        self._edits = 0

    def _make(self, rounds: int) -> Sequence[str]:
        from catchment.generate import SHOP_START, generate_shop

        shutil.rmtree(WORK, ignore_errors=True)
        WORK.mkdir(parents=True)
        generate_shop(self.days, days=_DAYS + 2 * rounds + 1)
        run([str(BIN / "catchment"), "init", str(self.ours)])
        shutil.rmtree(self.ours / "data")
        shutil.copytree(self.ours / "gold", self.hand / "gold")
        days = [(SHOP_START + timedelta(days=number)).isoformat() for number in range(_DAYS + 2 * rounds + 1)]
        for day in days[:_DAYS]:
            self._bring(day)
        return days[_DAYS:]

    def _bring(self, day: str) -> None:
        for table in TABLES:
            (self.ours / "data" / table).mkdir(parents=True, exist_ok=True)
            for file in (self.days / "data" / table).glob(f"*{day}*"):
                shutil.copy(file, self.ours / "data" / table)

    def a_day_comes(self) -> None:
        self._bring(next(self._coming))

    def a_model_is_edited(self) -> None:
        self._edits += 1
        for folder in (self.ours, self.hand):
            with (folder / "gold" / EDITED).open("a") as file:
                file.write(f"\n-- edit {self._edits}\n")

    def catchment_watched(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """`catchment run`, the whole process and of it the steps of gold."""
        whole = run([sys.executable, str(Path(__file__)), "--watched", str(self.ours)])
        steps = json.loads((WORK / "output").read_text().splitlines()[-1])
        return whole, (steps["seconds"], steps["cpu_seconds"])

    def catchment(self, *words: str) -> tuple[float, float]:
        return run([str(BIN / "catchment"), "--project", str(self.ours), "run", *words])

    def dbt(self) -> tuple[float, float]:
        """`dbt build` by hand; the views are made new before, untimed, over the files of silver as they are now."""
        self._show_silver()
        gold = str(self.hand / "gold")
        return run([str(BIN / "dbt"), "build", "--project-dir", gold, "--profiles-dir", str(self.hand)])

    def _show_silver(self) -> None:
        import duckdb

        from catchment.connected import Connected
        from catchment.project import load_project

        connected = Connected.of(load_project(self.ours))
        with duckdb.connect(str(self.hand / "shop.duckdb")) as connection:
            connection.execute("create schema if not exists silver")
            for name, pinned in connected.pinned().items():
                files = ", ".join(f"'{file}'" for file in pinned.scan.files)
                columns = ", ".join(f'"{column}"' for column in pinned.columns)
                view = f'create or replace view silver."{name.name}" as select {columns} from read_parquet([{files}]'
                connection.execute(f"{view}, union_by_name = true)")
        settings = {"TimeZone": "UTC", "memory_limit": f"{connected.memory}B"}
        place = {"type": "duckdb", "path": str(self.hand / "shop.duckdb"), "schema": "main", "settings": settings}
        outputs = {"dev": {**place, "threads": min(4, os.cpu_count() or 1)}}
        (self.hand / "profiles.yml").write_text(json.dumps({"catchment": {"target": "dev", "outputs": outputs}}))


def watched(project: Path) -> None:
    """`catchment run` of a project in this process; prints what the steps of gold took, dbt and all."""
    from catchment.events import Event, StepFinished, StepStarted
    from catchment.interfaces import Listener
    from catchment.outlook import steps
    from catchment.project import load_project
    from catchment.run import run

    figures: list[tuple[float, float]] = []
    ends = {(StepStarted, "model"), (StepFinished, "publish")}

    class Watch(Listener):
        def on(self, event: Event) -> None:
            if (type(event), getattr(event, "kind", None)) in ends:
                figures.append((time.perf_counter(), cpu_seconds()))

    found = load_project(project)
    outcome = run(found, None, steps(found, None), listeners=[Watch()])
    if outcome != "done":
        sys.exit(f"the run is {outcome}")
    (began, cpu_before), (ended, cpu_after) = figures
    print(json.dumps({"seconds": ended - began, "cpu_seconds": cpu_after - cpu_before}))


def cpu_seconds() -> float:
    """Of this process and of those that it has seen end."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def run(command: list[str]) -> tuple[float, float]:
    """(seconds, CPU seconds with children) of a command that must succeed."""
    began = time.perf_counter()
    with (WORK / "output").open("w") as output:
        told = {**os.environ, "DO_NOT_TRACK": "1"}  # or plain dbt calls home
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=told)
        _, code, usage = os.wait4(process.pid, 0)
    if code != 0:
        sys.exit(f"{command}: {(WORK / 'output').read_text()}")
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime


def in_turns(number: int, ours: Callable[[], object], theirs: Callable[[], object]) -> None:
    for side in (ours, theirs) if number % 2 else (theirs, ours):
        side()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--watched", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.watched is not None:
        watched(options.watched)
        return
    rounds = options.rounds
    sides = Sides(rounds)
    sides.catchment()
    sides.dbt()
    found: dict[str, list[tuple[float, float]]] = {}

    def note(name: str, measured: tuple[float, float]) -> None:
        found.setdefault(name, []).append(measured)

    for number in range(rounds):
        sides.a_day_comes()
        whole, steps = sides.catchment_watched()
        note("run", whole)
        note("steps", steps)
        note("steps by hand", sides.dbt())
        sides.a_day_comes()
        sides.catchment("--select", "bronze", "--select", "silver")
        in_turns(
            number,
            lambda: note("process", sides.catchment("--select", "gold")),
            lambda: note("process by hand", sides.dbt()),
        )
        note("nothing new", sides.catchment("--select", "gold"))
        sides.a_model_is_edited()
        in_turns(number, lambda: note("edited", sides.catchment()), lambda: note("edited by hand", sides.dbt()))
    print(json.dumps(told(found), indent=2))


def told(found: dict[str, list[tuple[float, float]]]) -> dict[str, object]:
    pairs = ("steps", "process", "edited")
    figures: dict[str, object] = {}
    for place, unit in enumerate(("seconds", "cpu_seconds")):
        median = {name: statistics.median(one[place] for one in measured) for name, measured in found.items()}
        figures[unit] = {name: [round(one[place], 2) for one in measured] for name, measured in found.items()}
        lowest = {name: min(one[place] for one in measured) for name, measured in found.items()}
        figures[f"median_{unit}"] = {name: round(figure, 2) for name, figure in median.items()}
        figures[f"ratio_{unit}"] = {name: round(median[name] / median[f"{name} by hand"], 3) for name in pairs}
        figures[f"ratio_lowest_{unit}"] = {name: round(lowest[name] / lowest[f"{name} by hand"], 3) for name in pairs}
    return figures


if __name__ == "__main__":
    main()
