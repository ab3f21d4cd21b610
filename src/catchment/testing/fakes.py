"""Fakes for tests of steps: a source that follows a script, a listener that remembers, a bench to work on."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, TypeVar

import pyarrow as pa

from catchment import naming
from catchment.contract import Column, Contract
from catchment.errors import RetryableError
from catchment.events import Event
from catchment.interfaces import Engine, Lake, Listener, Source
from catchment.project import Project
from catchment.reading.declaration import Gold, SilverTable, Target
from catchment.reading.kinds.files import FilesSource, FileStream
from catchment.records import Abilities, Batch, Budget, Cursor, Description, Feed, Finding, Notice, Order

E = TypeVar("E", bound=Event)

FEED = "src.rows"


@dataclass(frozen=True)
class Open:
    """Rows after which a load may not end."""

    rows: pa.Table


@dataclass(frozen=True)
class Tell:
    """Rows that come with notices."""

    rows: pa.Table
    notices: Sequence[Notice]


@dataclass(frozen=True)
class Same:
    """Rows that end a load which holds what the last one held."""

    rows: pa.Table


@dataclass(frozen=True)
class Seen:
    """Rows, and all that the source wants to be given as seen from now on."""

    rows: pa.Table
    seen: pa.Table


@dataclass(frozen=True)
class Crash:
    """The read ends here with this error, `times` times; then the script goes on."""

    error: Exception
    times: int = 1


@dataclass(frozen=True)
class Transient:
    """The outside is not there for a moment: `times` reads end here with a RetryableError."""

    times: int = 1


@dataclass(frozen=True)
class End:
    """All there is when this is first met; the next read goes past it."""


Part: TypeAlias = Open | Tell | Same | Seen | Crash | Transient | End | Any  # or a table of Arrow


class ScriptedSource(Source):
    """Gives what its script says: a table is a batch with a cursor after it, the rest are the markers above.

    It counts its `reads` and keeps what it heard in `acknowledged`; `script` may grow between reads.
    """

    abilities: ClassVar[Abilities] = Abilities(keeps_types=True)

    def __init__(self, script: Sequence[Part], *, feed: str = FEED) -> None:
        self.script = list(script)
        self.reads = 0
        self.acknowledged: list[Cursor] = []
        self._feed = Feed(feed, naming.bronze_table(feed))
        self._met: Counter[int] = Counter()

    def feeds(self) -> Sequence[Feed]:
        return [self._feed]

    def describe(self, feed: Feed, since: Cursor | None) -> Description:
        left = self.script[_place(since) :]
        return Description(items=sum(not isinstance(part, Crash | Transient | End) for part in left), item="batch")

    def read(self, feed: Feed, since: Cursor | None, budget: Budget) -> Iterator[Batch]:
        self.reads += 1
        for place in range(_place(since), len(self.script)):
            part = self.script[place]
            if isinstance(part, Crash | Transient | End):
                if self._ends(place, part):
                    return
                continue
            rows = part if isinstance(part, pa.Table) else part.rows
            cursor = None if isinstance(part, Open) else Cursor({"place": place + 1})
            if isinstance(part, Seen):
                cursor = Cursor({"place": place + 1}, part.seen, anew=True)
            notices = part.notices if isinstance(part, Tell) else ()
            yield Batch(rows, cursor, rows.nbytes, notices, unchanged=isinstance(part, Same))

    def _ends(self, place: int, marker: Crash | Transient | End) -> bool:
        """Whether the read is over at this marker; raises what the marker says."""
        self._met[place] += 1
        times = 1 if isinstance(marker, End) else marker.times
        if self._met[place] > times:
            return False
        if isinstance(marker, Crash):
            raise marker.error
        if isinstance(marker, Transient):
            message = "the outside is not there for a moment"
            raise RetryableError(message)
        return True

    def acknowledge(self, feed: Feed, cursor: Cursor) -> None:
        self.acknowledged.append(cursor)

    def recognize(self, feed: Feed, origins: pa.Table) -> Cursor:
        return Cursor({"place": len(self.script)})

    def probe(self, feed: Feed) -> Sequence[Finding]:
        return [Finding(feed.name, "ok", f"{len(self.script)} parts")]

    def close(self) -> None:
        """Nothing is held."""


def _place(since: Cursor | None) -> int:
    return 0 if since is None else int(since.value["place"])


def arrived(
    columns: Mapping[str, Any] | pa.Table, *, origin: str = "script", defects: Mapping[int, str] | None = None
) -> pa.Table:
    """Rows as a source gives them; `defects` names what is wrong by ordinal, and empties the row but for `_raw`."""
    rows = columns if isinstance(columns, pa.Table) else pa.table(dict(columns))
    wrong = defects or {}
    places = range(rows.num_rows)
    ours = {
        "_origin": pa.array([origin] * rows.num_rows, pa.string()),
        "_position": pa.array(places, pa.int64()),
        "_defect": pa.array([wrong.get(place) for place in places], pa.string()),
        "_raw": pa.array([f"raw {place}".encode() if place in wrong else None for place in places], pa.binary()),
    }
    emptied = {
        name: pa.array([None if p in wrong else v for p, v in enumerate(rows.column(name).to_pylist())], kind)
        for name, kind in zip(rows.schema.names, rows.schema.types, strict=True)
    }
    return pa.table({**ours, **(emptied if wrong else {name: rows.column(name) for name in rows.schema.names})})


class Heard(Listener):
    """Keeps every event, and can be used as `Tell` as well."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._lock = threading.Lock()

    def on(self, event: Event) -> None:
        with self._lock:
            self.events.append(event)

    __call__ = on

    def of(self, kind: type[E]) -> list[E]:
        """The events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]


def contract(table: str, *columns: Column, **rest: Any) -> Contract:
    """A contract without ceremony; `rest` are fields of Contract."""
    return Contract(
        id=table, version="1.0.0", table=table, columns=columns, file=f"contracts/{table}.odcs.yaml", **rest
    )


def column(name: str, kind: Any = "string", **rest: Any) -> Column:
    """A column read from the source column of its own name."""
    return Column(**{"name": name, "type": kind, "source": name, **rest})


def project(
    folder: Path,
    contracts: Sequence[Contract] = (),
    silver: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    streams: Sequence[str] = ("rows",),
    gold: bool = False,
) -> Project:
    """A project as a value, read from no file: source `src` with `streams`, each from `<stream>/*.csv`."""
    return Project(
        name="small",
        folder=folder,
        sources={
            "src": FilesSource(type="files", streams={name: FileStream(path=f"{name}/*.csv") for name in streams})
        },
        silver={name: SilverTable.model_validate(keys) for name, keys in (silver or {}).items()},
        gold=Gold(dbt="gold/", command=None) if gold else None,
        targets={"local": Target(default=True, memory="256MB", threads=1)},
        contracts={found.table: found for found in contracts},
    )


class Workbench:
    """A lake and an engine, to land and refine on by hand what a test has in its hands.

    Nothing stands in for anything: the steps are the ones that a run makes, over whatever lake and engine are given.
    """

    def __init__(self, lake: Lake, engine: Engine[Any]) -> None:
        self.lake = lake
        self.engine = engine
        self.heard = Heard()
        self._sources: dict[str, ScriptedSource] = {}

    def land(self, *script: Part, feed: str = FEED) -> bool:
        """Land what is added to the feed's script."""
        from catchment.bronze.land import Landing

        source = self._sources.setdefault(feed, ScriptedSource([], feed=feed))
        source.script += script
        step = f"land:{feed}"
        return Landing(step, source.feeds()[0], source, self.lake, self.engine, self.heard, _never).run()

    def refine(self, table: Any, order: Order | None = None) -> bool:
        """Refine what is new in the table's streams, or do what is ordered."""
        from catchment.silver.step import Refining

        return Refining(
            step=f"refine:silver.{table.name}",
            table=table,
            lake=self.lake,
            engine=self.engine,
            tell=self.heard,
            stopping=_never,
            order=order,
        ).run()

    def rows(self, name: str, sql: str = "SELECT * FROM t") -> list[dict[str, Any]]:
        """Rows of a table, by its full name, as it is now; `sql` reads it as `t`. No rows where there is no table."""
        import sqlglot
        from sqlglot import exp

        table = self.lake.open(naming.TableName.parse(name))
        if table is None:
            return []
        query = sqlglot.parse_one(sql, read="duckdb")
        assert isinstance(query, exp.Query)
        found: list[dict[str, Any]] = self.engine.fetch(query, {"t": self.engine.frame(table.scan())}).to_pylist()
        return found

    def standing_rejects(self, name: str) -> list[dict[str, Any]]:
        """Rows in quarantine whose verdict counts: silver's state names its number."""
        silver = self.lake.open(naming.silver_table(name))
        judged = () if silver is None else silver.progress().judged
        rows = self.rows(f"quarantine.{name}")
        return [row for row in rows if any(first <= row["_judged"] <= last for first, last in judged)]


def _never() -> None:
    """Nobody asks to stop."""
