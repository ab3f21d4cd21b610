"""Upkeep of a project's lake: fewer files, shorter logs, nothing left over that no kept version names.

First `survey` says what could be done; `Maintaining` does it, deciding anew table by table, so that a run may go on at
the same time. What changes rows or states (judged numbers, void verdicts) is a fenced commit like any other; the rest
touches only what is older than the retention. Gold's pins count as kept for as long as that build is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catchment import naming
from catchment.connected import Connected
from catchment.errors import ConfigError, Conflict, Unfenced
from catchment.naming import TableName
from catchment.records import Change, Kept, Leftover, Progress, Scan
from catchment.silver.judge import parsed

if TYPE_CHECKING:
    from catchment.interfaces import Engine, Table, Upkeep
    from catchment.project import Project

RETENTION = timedelta(days=7)

# A log is small, and people like to look back in it: it is kept for as long as Delta itself would.
LOG = timedelta(days=30)

# A fold is a new generation, after which gold is built again: it must be worth that.
_WORTH_FOLDING = 16

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Chore:
    """One kind of work on one table: so many `items` of so many `bytes`."""

    kind: str  # compact, fold, verdicts, log, files, states
    items: int
    bytes: int = 0


@dataclass(frozen=True)
class Tidied:
    """What there is to do, or was done, for one table; `note` says what was left alone and why."""

    table: str
    chores: Sequence[Chore] = ()
    note: str | None = None


def survey(
    project: Project, target: str | None, select: Sequence[str] = (), *, retention: timedelta = RETENTION
) -> Sequence[Tidied]:
    """What upkeep would do now, table by table; reads logs and listings, and of quarantine its numbers."""
    return _Maintaining(Connected.of(project, target), datetime.now(UTC), retention, do=False).all(select)


def maintain(
    project: Project,
    target: str | None,
    select: Sequence[str] = (),
    *,
    retention: timedelta = RETENTION,
    log: timedelta = LOG,
    reached: Callable[[str], None] | None = None,
) -> Sequence[Tidied]:
    """Do it; what was done, table by table. Entries of logs are kept for `log`, or the retention where that is longer.

    A table that a run rewrites at the same moment is left for the next time, and says so.
    """
    connected = Connected.of(project, target) if reached is None else Connected.of(project, target, reached)
    return _Maintaining(connected, datetime.now(UTC), retention, do=True, log=log).all(select)


@dataclass
class _Maintaining:
    connected: Connected
    now: datetime
    retention: timedelta
    do: bool
    log: timedelta = LOG

    @cached_property
    def since(self) -> datetime:
        """When the retention begins: earlier where somebody at work began earlier."""
        working = min(filter(None, (one.lake.at_work_since() for one in self._sharing())), default=self.now)
        return min(self.now - self.retention, working)

    @property
    def since_log(self) -> datetime:
        return min(self.since, self.now - self.log)

    def all(self, select: Sequence[str]) -> Sequence[Tidied]:
        chosen = self._chosen(select)
        found = {name: self._table(name, self._chores) for name in chosen}
        # Numbers last: gaps close once the verdicts in them have gone.
        for name in chosen:
            if name.layer == "silver" and found[name].note is None:
                folded = self._table(name, self._fold)
                found[name] = replace(folded, chores=(*found[name].chores, *folded.chores))
        told = [*found.values(), *(() if select else (*self._definitions(), *self._topics()))]
        return [one for one in told if one.chores or one.note]

    def _chosen(self, select: Sequence[str]) -> list[TableName]:
        there = {str(name): name for name in self.connected.lake.list()}
        for asked in select:
            if asked not in there:
                message = f"no table {asked} in the lake"
                known = naming.did_you_mean(asked, there) or f"there are {', '.join(there) or 'no tables yet'}"
                raise ConfigError(message, hint=known)
        # Silver before its quarantine: states that could be restored go before the verdicts that they name.
        order = ("bronze", "silver", "quarantine")
        return sorted((there[asked] for asked in (select or there)), key=lambda name: (order.index(name.layer), name))

    def _table(self, name: TableName, work: Callable[[TableName], Iterator[Chore]]) -> Tidied:
        chores: list[Chore] = []
        note = None
        try:
            for chore in work(name):
                if chore.items:
                    chores.append(chore)
        except Conflict:
            note = "a run is rewriting it: left for the next time"
        except (Unfenced, ConfigError) as error:
            note = f"left alone: {error.message}"
        return Tidied(str(name), tuple(chores), note)

    def _chores(self, name: TableName) -> Iterator[Chore]:
        upkeep = self.connected.lake.upkeep(name)
        table = self.connected.lake.open(name)
        if upkeep is None or table is None:
            return
        table.progress()  # a table that is not fenced is touched by nobody
        kept = upkeep.kept(self.since, self._pins.get(str(name), ()))
        if name.layer == "quarantine":
            yield self._verdicts(name)
        yield self._compact(upkeep)
        yield from self._leftovers(name, upkeep, kept)

    # Small files, logs, left-overs.

    def _compact(self, upkeep: Upkeep) -> Chore:
        small = upkeep.small()
        chore = Chore("compact", len(small), sum(one.bytes for one in small))
        if not self.do or not small:
            return chore
        return replace(chore, items=upkeep.compact())

    def _leftovers(self, name: TableName, upkeep: Upkeep, kept: Kept) -> Iterator[Chore]:
        if self.do:
            upkeep.checkpoint()
            # What was kept before still is; what was committed since is, too.
            kept = upkeep.kept(self.since, self._pins.get(str(name), ()))
        expired = upkeep.expired(kept, self.since_log)
        yield _chore("log", expired)
        if self.do and expired:
            upkeep.expire(kept, self.since_log)
        for kind, found in (
            ("files", upkeep.unnamed(kept, self.since)),
            ("states", upkeep.unnamed_states(kept, self.since, self._least(name))),
        ):
            yield _chore(kind, found)
            if self.do and found:
                upkeep.remove(found, self.since)

    def _least(self, name: TableName) -> int | None:
        """The oldest generation that a silver table may ask a bronze table about."""
        found = [cursors.get(str(name)) for cursors in self._cursors]
        return min((int(load) for load in found if load), default=None)

    @cached_property
    def _cursors(self) -> Sequence[Mapping[str, Any]]:
        """How far silver tables have refined, in every state that can be restored."""
        lakes = [connected.lake for connected in self._sharing()]
        keepers = [lake.upkeep(name) for lake in lakes for name in lake.list("silver")]
        return [
            state.cursors.get("refine", {})
            for keeper in keepers
            if keeper is not None
            for state in keeper.states(keeper.kept(self.since))
        ]

    @cached_property
    def _pins(self) -> Mapping[str, Sequence[int]]:
        """Versions that builds of gold read which can be served, by table; of every target that shares this lake, and
        of their environments, which may read a table of the same name from here or from their own."""
        found: dict[str, list[int]] = {}
        for connected in self._sharing():
            builds = connected.warehouse.kept() if connected.project.gold is not None else ()
            for name, pin in (item for build in builds for item in build.get("pins", {}).items()):
                found.setdefault(name, []).append(int(pin["version"]))
        return found

    def _sharing(self) -> Iterator[Connected]:
        ours = self.connected
        for name, target in ours.project.targets.items():
            if target.lake == ours.target.lake:
                base = Connected.of(ours.project, name)
                for one in (base, *base.environments()):
                    yield ours if one.target_name == ours.target_name else one

    # Verdicts and the numbers that name them.

    def _verdicts(self, name: TableName) -> Chore:
        """Rejected rows whose refine never committed, or was undone, and that no kept state can count again."""
        table, silver = self.connected.lake.open(name), naming.silver_table(name.name)
        keeper = self.connected.lake.upkeep(silver)
        if table is None or keeper is None:
            return Chore("verdicts", 0)
        kept = keeper.kept(self.since)
        named = _union([*_numbers(keeper.states(kept)), *_held(table.progress())])
        with _engine(self.connected) as engine:
            return self._void(engine, table, named, below=kept.oldest)

    def _void(self, engine: Engine[Any], table: Table, named: Ranges, *, below: int) -> Chore:
        if below <= 1:
            return Chore("verdicts", 0)
        scan = table.scan(within={"_judged": (1, below - 1)}, hidden=True)
        count = f"SELECT _file AS file, count(*) AS n FROM q WHERE {_is_void(named, below)} GROUP BY 1"
        frames = {"q": engine.frame(scan, file_column="_file")}
        found = engine.fetch(parsed(count), frames).to_pylist() if scan.files else []
        rows = sum(row["n"] for row in found)
        if self.do and rows:
            self._rewrite(engine, table, [row["file"] for row in found], f"({_is_void(named, below)}) IS NOT TRUE")
        return Chore("verdicts", rows)

    def _rewrite(self, engine: Engine[Any], table: Table, files: Sequence[str], condition: str) -> None:
        claim = table.claim()
        scan = Scan(files=tuple(files), schema=table.schema())
        left = engine.query(parsed(f"SELECT * FROM q WHERE {condition}"), {"q": engine.frame(scan)})
        written = engine.write(left, table.folder(), f"{claim.number:06d}")
        table.commit(claim, Change(add=written, remove=files, what="maintain"), table.progress())

    def _fold(self, name: TableName) -> Iterator[Chore]:
        """Close gaps between judged numbers that hold no row, in a generation without rows.

        Only below the generation that the table had when the retention began: whoever claimed such a number is gone.
        """
        upkeep, silver = self.connected.lake.upkeep(name), self.connected.lake.open(name)
        if upkeep is None or silver is None:
            return
        progress = silver.progress()
        folded = self._folded(name, progress, upkeep.kept(self.since).oldest)
        closed = len(progress.judged) - len(folded)
        if closed < _WORTH_FOLDING:
            return
        if self.do:
            silver.commit(silver.claim(), Change(what="maintain"), replace(progress, judged=folded))
        yield Chore("fold", closed)

    def _folded(self, name: TableName, progress: Progress, below: int) -> Ranges:
        judged = tuple(progress.judged)
        gaps = [(before[1] + 1, after[0] - 1) for before, after in pairwise(judged)]
        if len(gaps) < _WORTH_FOLDING:
            return judged
        quarantine = self.connected.lake.open(naming.quarantine_table(name))
        taken = [*progress.waiting, *_held(quarantine.progress() if quarantine is not None else Progress())]
        numbers = _present(self.connected, quarantine) if quarantine is not None else []
        taken += [(number, number) for number in numbers]
        closed = [gap for gap in gaps if gap[1] < below and not any(_meet(gap, one) for one in taken)]
        return _union([*judged, *closed])

    # What tables' rows were made with.

    def _definitions(self) -> list[Tidied]:
        """Definitions that no state names any more, in any table of the lake."""
        lake = self.connected.lake
        old = [one for one in lake.definitions() if Path(one.path).stat().st_mtime < self.since.timestamp()]
        if not old:
            return []
        named = {state.definition for name in lake.list() for state in self._states(name)}
        gone = [one for one in old if Path(one.path).stem not in named]
        if self.do and gone:
            lake.forget_definitions(gone, self.since)
        return [Tidied("definitions", (_chore("states", gone),))] if gone else []

    def _topics(self) -> Iterator[Tidied]:
        """Messages that are older than their topic keeps them, where nobody else forgets them."""
        if not self.do or not self.connected.keeps_topics:
            return
        for topic in self.connected.broker.topics():
            size = self.connected.broker.expire(topic, self.now)
            if size:
                yield Tidied(f"topic {topic}", (Chore("messages", 1, size),))

    def _states(self, name: TableName) -> Iterator[Progress]:
        keeper = self.connected.lake.upkeep(name)
        if keeper is not None:
            yield from keeper.states(keeper.kept(self.since))


@contextmanager
def _engine(connected: Connected) -> Iterator[Engine[Any]]:
    engine = connected.engine()
    try:
        yield engine
    finally:
        engine.close()


def _chore(kind: str, found: Sequence[Leftover]) -> Chore:
    return Chore(kind, len(found), sum(one.bytes for one in found))


def _numbers(states: Iterator[Progress]) -> Iterator[tuple[int, int]]:
    for state in states:
        yield from state.judged
        yield from state.waiting


def _held(quarantine: Progress) -> Ranges:
    """The number of rows that a rule holds back: people look at them until the table goes on."""
    number = quarantine.cursors.get("held", {}).get("judged")
    return () if number is None else ((int(number), int(number)),)


def _union(ranges: Sequence[tuple[int, int]]) -> Ranges:
    """Closed ranges in order, none touching another."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)


def _meet(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _is_void(named: Ranges, below: int) -> str:
    ranges = " OR ".join(f"_judged BETWEEN {first:d} AND {last:d}" for first, last in named) or "FALSE"
    return f"_judged < {below:d} AND NOT ({ranges})"


def _present(connected: Connected, quarantine: Table) -> list[int]:
    with _engine(connected) as engine:
        frames = {"q": engine.frame(quarantine.scan(hidden=True))}
        found = engine.fetch(parsed("SELECT DISTINCT _judged AS n FROM q"), frames)
    return [int(number) for number in found.column("n").to_pylist()]
