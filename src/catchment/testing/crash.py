"""The crash harness: a run killed with `kill -9` at every event and named point, then run again.

Every table format, broker and source is put through it. A child process runs a project and dies at the n-th event it
tells, or at one by name; named points inside a step (`silver.filled`, `publish.ready`) are events too. Afterwards an
undisturbed run must leave what it would have left anyway:

    ended = run_until(project, kill_at=7)      # a child of its own; ended.killed, ended.events
    run_until(project)
    assert differences(project, undisturbed) == []
    assert faults(project) == []
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catchment.errors import CatchmentError
from catchment.events import Event, Reached, StepFinished
from catchment.interfaces import Listener
from catchment.records import Order

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, ForkServerProcess

    from catchment.project import Project

# What may differ between two ways to the same rows: numbers of commits, and when they were.
_MAY_DIFFER = ("_load", "_loaded_at", "_judged")

_PRELOAD = ["duckdb", "deltalake", "sqlglot", "catchment.run", "catchment.silver.step", "catchment.bronze.land"]


@dataclass(frozen=True)
class Ended:
    """How a child went: `events` it told before its end, `told` their names, `outcome` None when it was killed."""

    killed: bool
    events: int
    told: Sequence[str]
    outcome: str | None
    causes: Sequence[str]


class _Witness(Listener):
    """Writes down each event before anything can happen to the process, and kills it at the n-th."""

    def __init__(self, log: Path, kill_at: int | str | None) -> None:
        self._log = log.open("a", encoding="utf-8")
        self._kill_at = kill_at
        self._count = 0

    def on(self, event: Event) -> None:
        self._count += 1
        words = event.point if isinstance(event, Reached) else type(event).__name__
        cause = f"\t{event.cause}" if isinstance(event, StepFinished) and event.cause else ""
        self._log.write(f"{words}{cause}".replace("\n", " ") + "\n")
        self._log.flush()
        if self._kill_at in (self._count, words):
            os.kill(os.getpid(), signal.SIGKILL)


def _child(
    folder: Path,
    log: Path,
    kill_at: int | str | None,
    select: Sequence[str],
    orders: Mapping[str, Order],
    target: str | None,
) -> None:
    from catchment.outlook import steps
    from catchment.project import load_project
    from catchment.run import run

    project = load_project(folder)
    witness = _Witness(log, kill_at)
    outcome = run(project, target, steps(project, target, select), listeners=[witness], orders=orders)
    with log.open("a", encoding="utf-8") as file:
        file.write(f"= {outcome}\n")


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    return context


@dataclass
class Child:
    """A run of a project in a process of its own; `kill` ends it without a word."""

    process: ForkServerProcess
    log: Path

    def kill(self) -> None:
        if self.process.pid is not None and self.process.is_alive():
            os.kill(self.process.pid, signal.SIGKILL)

    def join(self, timeout_s: float = 120) -> Ended:
        self.process.join(timeout_s)
        if self.process.is_alive():
            self.kill()
            message = f"a run did not end within {timeout_s} s: {self.log.read_text()[-500:]}"
            raise TimeoutError(message)
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        told = [line for line in lines if not line.startswith("= ")]
        outcome = next((line[2:] for line in lines if line.startswith("= ")), None)
        killed = self.process.exitcode == -signal.SIGKILL
        if outcome is None and not killed:
            message = f"a run broke off with exit code {self.process.exitcode}"
            raise RuntimeError(message)
        causes = [line.partition("\t")[2] for line in told if "\t" in line]
        return Ended(killed, len(told), [line.partition("\t")[0] for line in told], outcome, causes)


def start(
    folder: Path,
    *,
    kill_at: int | str | None = None,
    select: Iterable[str] = (),
    orders: Mapping[str, Order] | None = None,
    target: str | None = None,
) -> Child:
    """Start a run in a process of its own; several at once are meant to be safe."""
    log = folder / ".catchment" / f"crash-{random.getrandbits(48):012x}.log"
    log.parent.mkdir(exist_ok=True)
    process = _context().Process(target=_child, args=(folder, log, kill_at, tuple(select), dict(orders or {}), target))
    process.start()
    return Child(process, log)


def run_until(
    folder: Path,
    *,
    kill_at: int | str | None = None,
    select: Iterable[str] = (),
    orders: Mapping[str, Order] | None = None,
    target: str | None = None,
) -> Ended:
    """Run the project in a process that is killed at its n-th event, at a named point or event, or never."""
    return start(folder, kill_at=kill_at, select=select, orders=orders, target=target).join()


def compact(folder: Path) -> None:
    """Compact every table, as somebody's maintenance would in the middle of a run."""
    from deltalake import DeltaTable
    from deltalake.exceptions import CommitFailedError

    for log in sorted((folder / "lake").glob("*/*/_delta_log")):
        try:
            DeltaTable(str(log.parent)).optimize.compact()
        except CommitFailedError:
            continue


def differences(one: Path, other: Path, *, batched_otherwise: bool = False) -> list[str]:
    """What two projects' tables do not share, in words; empty when they are equal but for numbers of commits, and for
    places in a load where the same files landed in other batches."""
    but = (*_MAY_DIFFER, *(("_row",) if batched_otherwise else ()))
    first, second = _tables(one, but), _tables(other, but)
    found = [f"only one has {name}" for name in sorted(first.keys() ^ second.keys())]
    for name in sorted(first.keys() & second.keys()):
        rows, others = Counter(first[name]), Counter(second[name])
        only = [(rows - others).total(), (others - rows).total()]
        if any(only):
            found.append(f"{name}: {only[0]} rows only in {one.name}, {only[1]} only in {other.name}")
    return found


def _tables(folder: Path, but: Sequence[str]) -> dict[str, list[str]]:
    """Every table's rows as text; quarantine only as far as its verdicts count."""
    from catchment.connected import Connected
    from catchment.inspect import standing_rejects
    from catchment.naming import silver_table
    from catchment.opened import OpenProject

    project = _project(folder)
    opened = OpenProject(project)
    found = {
        str(name): _rows(opened.query(f'SELECT * FROM {name.layer}."{name.name}"').read_all(), but)
        for name in opened.tables()
        if name.layer != "quarantine"
    }
    connected = Connected.of(project)
    engine = connected.engine()
    try:
        for name in project.silver:
            rejects = standing_rejects(connected, engine, silver_table(name))
            if rejects is not None:
                found[f"quarantine.{name}"] = _rows(rejects.to_arrow_table(), but)
    finally:
        engine.close()
    return found


def figures(folder: Path) -> list[str]:
    """What is kept of every load of the silver tables, oldest first, but for numbers of commits and for times."""
    from catchment.connected import Connected
    from catchment.naming import silver_table
    from catchment.silver.quality import loads

    project = _project(folder)
    lake, found = Connected.of(project).lake, []
    for name in project.silver:
        glance = lake.glance(silver_table(name))
        kept = [] if glance is None else loads(lake, silver_table(name), glance.progress)
        for load in kept:
            # Means of floating point are summed in no fixed order.
            told = {name: round(value, 6) for name, value in load.figures.items() if name[0] != "freshness"}
            found.append(f"{name} {load.kind} {told}")
    return found


def _rows(table: Any, but: Sequence[str]) -> list[str]:
    # delta-rs keeps columns where they were when a table is made anew with the same ones in another order.
    kept = table.select(sorted(name for name in table.column_names if name not in but))
    return [repr(row) for row in kept.to_pylist()]


def _project(folder: Path) -> Project:
    from catchment.project import load_project

    return load_project(folder)


def faults(folder: Path) -> list[str]:
    """Promises that one project's tables break by themselves, in words.

    No generation names two commits; every bronze row of an `append` table without a refine function is in silver or in
    quarantine, once.
    """
    from catchment.connected import Connected

    project = _project(folder)
    connected = Connected.of(project)
    found = []
    for name in connected.lake.list():
        table = connected.lake.open(name)
        assert table is not None
        generations = [commit.pin.generation for commit in table.history() if commit.pin.generation]
        if len(set(generations)) != len(generations) or sorted(generations, reverse=True) != generations:
            found.append(f"{name}: generations {generations}")
    for silver, declared in project.silver.items():
        if declared.mode == "append" and declared.refine is None:
            found += _unaccounted(project, silver, declared.streams[0])
    return found


def _unaccounted(project: Project, name: str, stream: str) -> list[str]:
    from catchment.connected import Connected
    from catchment.inspect import standing_rejects
    from catchment.naming import bronze_table, silver_table
    from catchment.silver.judge import parsed

    connected = Connected.of(project)
    engine = connected.engine()
    try:
        bronze, silver = connected.lake.open(bronze_table(stream)), connected.lake.open(silver_table(name))
        rejects = standing_rejects(connected, engine, silver_table(name))
        if bronze is None or silver is None or rejects is None:
            return []
        frames = {"bronze": engine.frame(bronze.scan()), "silver": engine.frame(silver.scan()), "rejects": rejects}
        identity = "_shard, _load, _row"
        judged = f"(SELECT {identity} FROM silver UNION ALL SELECT {identity} FROM rejects)"
        lost = f"SELECT count(*) AS n FROM bronze ANTI JOIN {judged} USING ({identity})"
        more = f"SELECT count(*) - (SELECT count(*) FROM bronze) AS n FROM {judged}"
        said = []
        for words, sql in (("rows are nowhere", lost), ("rows too many", more)):
            count = engine.fetch(parsed(sql), frames).column("n")[0].as_py()
            if count:
                said.append(f"silver.{name}: {count} {words}")
        return said
    except CatchmentError as error:
        return [f"silver.{name}: {error}"]
    finally:
        engine.close()
