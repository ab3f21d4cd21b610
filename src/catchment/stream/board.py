"""What the workers of a stream know of each other: how far each feed was read and each silver table refined.

A batch lands everything before it refines, so that an event finds the user that it names. A stream has to keep that
order by itself: a table that looks things up `as_of` a time takes a load only once its look-ups hold all that was there
outside when the load was committed. Up to when a table holds everything is its *frontier*.

Instants are those of a monotonic clock. Everything here is remembered only; the lake says what is so.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from catchment.events import Event, RowsFed, RowsLanded, RowsPublished, RowsQuarantined, RowsRefined
from catchment.interfaces import Listener
from catchment.records import Step
from catchment.stream.figures import Figures

_NEVER = -math.inf

# A table that fails for days takes nothing, while its streams go on.
_MOST_LOADS = 4_096


@dataclass(frozen=True)
class Load:
    """Commits of a bronze table, mostly one: when the read began that brought them, and when the last was made."""

    first: int
    last: int
    arrived: float
    at: float
    rows: int = 0


@dataclass
class Attempts:
    """How it goes with one step."""

    step: Step
    tries: int = 0
    did: bool = False
    busy_s: float = 0.0
    failures: int = 0  # one after the other
    failing_since: float | None = None
    cause: str | None = None
    hint: str | None = None


@dataclass
class Bronze:
    """A bronze table: `newest` is its generation, `loads` those that some silver table has not taken.

    `read_until`: all that was there outside at that instant has landed; for ever, where nobody reads it here. Where
    another process lands it, it is quiet once nothing new was found in it for `quiet_s` since `found`.
    """

    attempts: Attempts | None = None
    newest: int = 0
    loads: deque[Load] = field(default_factory=deque)
    read_until: float = math.inf
    reading_since: float | None = None
    brought: bool = False  # the last read that came to its end did
    items: int = 0
    bytes: int = 0
    quiet_s: float = 0.0
    found: float = _NEVER

    def is_quiet(self, now: float) -> bool:
        return now >= self.found + self.quiet_s


@dataclass
class Silver:
    """A silver table: what it reads, and the last load of each that it has taken.

    `before` are the other tables of the stream that it looks at, `as_of` those of them that it looks at in time.
    """

    name: str
    attempts: Attempts
    pace: float
    reads: tuple[str, ...]
    before: tuple[str, ...]
    as_of: tuple[str, ...]
    taken: dict[str, int] = field(default_factory=dict)
    frontier: float = _NEVER
    busy: bool = False
    began: float = _NEVER
    wrote: float = _NEVER
    not_before: float = _NEVER
    waits: bool = False  # rows of it wait for others
    again: bool = True  # it is to be refined though nothing has landed: those may have come, or nobody has looked yet

    def lacks(self, bronze: Mapping[str, Bronze]) -> bool:
        return any(bronze[name].newest > self.taken.get(name, 0) for name in self.reads)


@dataclass
class Sink:
    """What takes the rows of a silver table further. `waiting`: of rows that it has not taken, when they arrived, and
    how many there are; `again`: there may be something to take."""

    attempts: Attempts
    table: str
    waiting: list[tuple[float, int]] = field(default_factory=list)
    again: bool = True
    busy: bool = False


@dataclass(frozen=True)
class Turn:
    """One refine of one table: up to which loads; `until` is its frontier once it is done."""

    table: Silver
    upto: Mapping[str, int]
    until: float
    again: bool


class Board(Listener):
    """Safe for threads; `changed` is notified of everything that somebody may wait for."""

    def __init__(
        self, bronze: Mapping[str, Bronze], silver: Mapping[str, Silver], sinks: Mapping[str, Sink] | None = None
    ) -> None:
        self.bronze = dict(bronze)
        self.silver = dict(silver)
        self.sinks = dict(sinks or {})  # by what their step writes
        self.figures = {name: Figures() for name in (*bronze, *silver, *self.sinks)}
        self.uncompacted: dict[str, int] = {}
        self.changed = threading.Condition()
        self._first: dict[str, int] | None = None
        self.hurry = False  # paces hold nothing back once every feed was read to its end

    # What is told.

    def on(self, event: Event) -> None:
        now = time.monotonic()
        with self.changed:
            if isinstance(event, RowsLanded):
                self._count(event.table, now, event.rows, event.defects)
                self._landed(event.table, event.load, event.rows, now)
            elif isinstance(event, RowsRefined):
                self._count(event.table, now, event.written, event.rejected)
            elif isinstance(event, RowsPublished | RowsFed):
                self._passed_on(event.step, event.rows, now)
            elif isinstance(event, RowsQuarantined):
                self.uncompacted[event.table] = self.uncompacted.get(event.table, 0) + 1

    def _count(self, table: str, now: float, rows: int, rejected: int) -> None:
        self.figures[table].count(now, rows, rejected)
        self.uncompacted[table] = self.uncompacted.get(table, 0) + 1

    def _passed_on(self, step: str, rows: int, now: float) -> None:
        for name, sink in self.sinks.items():
            if sink.attempts.step.id == step:
                self.figures[name].count(now, rows)

    def _landed(self, table: str, number: int, rows: int, now: float) -> None:
        found = self.bronze[table]
        arrived = now if found.reading_since is None else found.reading_since
        found.newest = max(found.newest, number)
        found.loads.append(Load(number, number, arrived, now, rows))
        if len(found.loads) > _MOST_LOADS:
            found.loads = deque(_in_pairs(found.loads))
        self.figures[table].took(now, now - arrived, rows)
        self.changed.notify_all()

    def found(self, table: str, generation: int) -> None:
        """Somebody saw a bronze table at a generation; a load that nobody here landed is another process's."""
        with self.changed:
            known = self.bronze[table]
            if generation > known.newest and known.reading_since is None:
                now = time.monotonic()
                known.loads.append(Load(known.newest + 1, generation, now, now))
                known.newest, known.found = generation, now
                self.changed.notify_all()

    # Reading.

    @contextmanager
    def reading(self, table: str) -> Iterator[Callable[[bool], None]]:
        """A read of a feed; what is yielded is called when it came to its end, with whether it brought anything."""
        found, began = self.bronze[table], time.monotonic()
        with self.changed:
            found.reading_since = began
        brings = False

        def ended(brought: bool) -> None:
            nonlocal brings
            brings = brought
            with self.changed:
                found.read_until, found.items, found.bytes = began, 0, 0

        try:
            yield ended
        finally:
            with self.changed:
                found.reading_since, found.brought = None, brings
                self.changed.notify_all()

    def is_awaited(self, table: str) -> bool:
        """Whether rows have landed that wait for a look-up which is made of this bronze table."""
        with self.changed:
            return any(
                other.lacks(self.bronze) and table in self.silver[name].reads
                for other in self.silver.values()
                for name in other.as_of
            )

    def behind(self, table: str, items: int, size: int) -> None:
        """What a source says is new in a feed."""
        with self.changed:
            self.bronze[table].items, self.bronze[table].bytes = items, size

    # Refining.

    def turn(self, seconds: float) -> Turn | None:
        """The table whose turn it is, marked as busy; None where there is none within so many seconds."""
        until = time.monotonic() + seconds
        with self.changed:
            while True:
                now = time.monotonic()
                due = [turn for table in self.silver.values() if (turn := self._turn(table, now)) is not None]
                if due:
                    chosen = min(due, key=lambda turn: turn.table.began)
                    chosen.table.busy, chosen.table.began, chosen.table.again = True, now, False
                    return chosen
                if now >= until:
                    return None
                self.changed.wait(min(until - now, 0.1))

    def _turn(self, table: Silver, now: float) -> Turn | None:
        if table.busy or now < table.not_before or not self._in_order(table):
            return None
        if table.attempts.tries and not self._hurries and now < table.began + table.pace:
            return None
        return self._wanted(table)

    @property
    def _hurries(self) -> bool:
        return self.hurry and not any(found.brought for found in self.bronze.values())

    def _in_order(self, table: Silver) -> bool:
        """The first time a table is refined its streams were read once, and what it looks at was refined."""
        first = [self.bronze[name].attempts for name in table.reads]
        first += [self.silver[name].attempts for name in table.before]
        return table.attempts.tries > 0 or all(attempts is None or attempts.tries for attempts in first)

    def _wanted(self, table: Silver) -> Turn | None:
        """What the table would take now; None where that is nothing."""
        upto = {name: self._upto(table, name) for name in table.reads}
        if not table.again and all(upto[name] <= table.taken.get(name, 0) for name in table.reads):
            return None
        is_whole = all(upto[name] >= self.bronze[name].newest for name in table.reads)
        until = self._seen(table) if is_whole else table.frontier
        return Turn(table, upto, until, table.again)

    def _upto(self, table: Silver, name: str) -> int:
        """The last load of a bronze table that the look-ups of a silver table are ready for."""
        bronze, least = self.bronze[name], self.bronze[name].newest
        for one in table.as_of:
            lookup = self.silver[one]
            if lookup.reads == (name,) and not lookup.as_of:  # both lie in one log, which orders them
                least = min(least, lookup.taken.get(name, 0))
                continue
            least = min(least, _before(bronze, self._frontier(lookup), table.taken.get(name, 0)))
        return least

    def _frontier(self, table: Silver) -> float:
        """Up to when a table holds all that was there outside."""
        if table.lacks(self.bronze) or table.busy:
            return table.frontier
        return max(table.frontier, self._seen(table))

    def _seen(self, table: Silver) -> float:
        """Up to when the streams of a table, and of what it looks at in time, have landed or been refined."""
        lookups = [self._frontier(self.silver[name]) for name in table.as_of]
        return min([*(self.bronze[name].read_until for name in table.reads), *lookups])

    def refined(self, turn: Turn, *, did: bool, waits: bool) -> None:
        """A turn came to its end."""
        table, now = turn.table, time.monotonic()
        with self.changed:
            for name, number in turn.upto.items():
                for load in self.bronze[name].loads:
                    if did and table.taken.get(name, 0) < load.last <= number:
                        self.figures[table.name].took(now, now - load.arrived, load.rows)
                        self._to_be_passed(table.name, load)
                table.taken[name] = max(number, table.taken.get(name, 0))
                self._forget_taken(name)
            table.frontier, table.waits = max(table.frontier, turn.until), waits
            table.wrote = now if did else table.wrote
            # What its rows wait for may have come after it looked, before anybody knew that they wait.
            table.again = table.again or (waits and any(self.silver[one].wrote >= table.began for one in table.before))
            for other in self.silver.values():
                other.again = other.again or (did and other.waits and table.name in other.before)
            for sink in self.sinks.values():
                sink.again = sink.again or (did and sink.table == table.name)
            self._free(table)

    def failed(self, turn: Turn, pause: float) -> None:
        """A turn failed; the table's next one comes after a pause."""
        with self.changed:
            turn.table.not_before = time.monotonic() + pause
            turn.table.again = turn.table.again or turn.again
            self._free(turn.table)

    def _free(self, table: Silver) -> None:
        table.busy = False
        self.changed.notify_all()

    def _forget_taken(self, name: str) -> None:
        least = min(table.taken.get(name, 0) for table in self.silver.values() if name in table.reads)
        loads = self.bronze[name].loads
        while loads and loads[0].last <= least:
            loads.popleft()

    # Passing on.

    def _to_be_passed(self, table: str, load: Load) -> None:
        for sink in self.sinks.values():
            if sink.table == table and len(sink.waiting) < _MOST_LOADS:
                sink.waiting.append((load.arrived, load.rows))

    def to_pass(self, sink: Sink, seconds: float) -> list[tuple[float, int]]:
        """The rows that a sink may take now, once its table has a commit, or after so long; it is marked as busy."""
        with self.changed:
            self.changed.wait_for(lambda: sink.again, seconds)
            sink.again, sink.busy = False, True
            taken, sink.waiting = sink.waiting, []
            return taken

    def passed(self, sink: Sink, taken: list[tuple[float, int]]) -> None:
        """A sink has all that its table had when it was asked to take it."""
        now = time.monotonic()
        with self.changed:
            for arrived, rows in taken:
                self.figures[sink.attempts.step.writes].took(now, now - arrived, rows)
            sink.busy = False

    def not_passed(self, sink: Sink, taken: list[tuple[float, int]]) -> None:
        """A sink failed, or was to end."""
        with self.changed:
            sink.waiting, sink.again, sink.busy = [*taken, *sink.waiting], True, False

    def try_again(self) -> None:
        """Rows that have waited long enough are judged by a refine, which nothing else would wake."""
        with self.changed:
            for table in self.silver.values():
                table.again = table.again or table.waits

    # How it stands.

    def attempts(self) -> list[Attempts]:
        feeds = [found.attempts for found in self.bronze.values() if found.attempts is not None]
        silver = [table.attempts for table in self.silver.values()]
        return [*feeds, *silver, *(sink.attempts for sink in self.sinks.values())]

    def is_ready(self) -> bool:
        """Whether silver has taken what every feed's first read brought, as far as nothing fails."""
        with self.changed:
            if self._first is None:
                if not all(found.attempts is None or found.attempts.tries for found in self.bronze.values()):
                    return False
                self._first = {name: found.newest for name, found in self.bronze.items()}
            silver = all(self._has_first(table, self._first) for table in self.silver.values())
            return silver and all(sink.attempts.tries for sink in self.sinks.values())

    def _has_first(self, table: Silver, first: Mapping[str, int]) -> bool:
        took = all(table.taken.get(name, 0) >= first[name] for name in table.reads)
        return table.attempts.tries > 0 and (took or self._is_blocked(table))

    def is_idle(self) -> bool:
        """Whether each feed's last read brought nothing, those that others read are quiet, and silver has taken all
        that it can."""
        now = time.monotonic()
        with self.changed:
            quiet = all(found.is_quiet(now) for found in self.bronze.values())
            fed = [found for found in self.bronze.values() if found.attempts is not None]
            read = all(found.attempts is not None and found.attempts.tries and not found.brought for found in fed)
            still = all(found.reading_since is None for found in fed)
            settled = all(self._is_settled(table) for table in self.silver.values())
            passed = all(sink.attempts.failures or not (sink.again or sink.busy) for sink in self.sinks.values())
            return quiet and read and still and settled and passed

    def _is_settled(self, table: Silver) -> bool:
        if table.busy or not self._in_order(table):
            return False
        return self._is_blocked(table) or not (table.again or table.lacks(self.bronze))

    def _is_blocked(self, table: Silver) -> bool:
        """Whether it fails, or waits for a look-up that does, or whose streams cannot be read."""
        if table.attempts.failures:
            return True
        for name in table.as_of:
            lookup = self.silver[name]
            fed = [self.bronze[one].attempts for one in lookup.reads]
            if self._is_blocked(lookup) or any(attempts is not None and attempts.failures for attempts in fed):
                return True
        return False

    def behind_s(self, name: str, now: float) -> tuple[float, int]:
        """For how long a table lacks something, and how many loads it lacks, of silver."""
        if name in self.bronze:
            found = self.bronze[name]
            failing = None if found.attempts is None else found.attempts.failing_since
            since = found.reading_since if failing is None else failing
            return (0.0 if since is None else now - since), 0
        if name in self.sinks:
            waiting = self.sinks[name].waiting
            return (now - min(arrived for arrived, _ in waiting) if waiting else 0.0), len(waiting)
        table = self.silver[name]
        lacking = [
            load
            for bronze in table.reads
            for load in self.bronze[bronze].loads
            if load.last > table.taken.get(bronze, 0)
        ]
        return (now - min(load.arrived for load in lacking) if lacking else 0.0), len(lacking)


def _before(bronze: Bronze, frontier: float, taken: int) -> int:
    """The last load that was made by then. Numbers have gaps, and silver's cursor must name a load that there is."""
    last = taken
    for load in bronze.loads:
        if load.at > frontier:
            return last
        last = max(last, load.last)
    return bronze.newest


def _in_pairs(loads: Iterable[Load]) -> Iterator[Load]:
    """Half as many, each of which counts as made when the second was, so that none is taken too early."""
    for first in (both := iter(loads)):
        second = next(both, first)
        rows = first.rows + (second.rows if second is not first else 0)
        yield Load(first.first, second.last, first.arrived, second.at, rows)
