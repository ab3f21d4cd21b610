"""A project from Python, in the words of the command line: `catchment.open("shop").table("silver.sales").df()`.

Reading holds no lock: a run may go on meanwhile, and every call reads what is there at that moment.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catchment import naming
from catchment.errors import CatchmentError, ConfigError, MissingExtra, Stopped
from catchment.interfaces import Listener
from catchment.naming import TableName

if TYPE_CHECKING:
    import pyarrow as pa

    from catchment.answers import Preview, QualityOfTable, QuarantineSummary, Rejected, Status, TableVersion
    from catchment.errors import Problem
    from catchment.events import Event, StepFinished
    from catchment.export import Exported
    from catchment.maintain import Tidied
    from catchment.project import Project
    from catchment.records import FileForm, Order, Pending, Step
    from catchment.restore import WayBack
    from catchment.site import Site
    from catchment.trial import Trial

_log = logging.getLogger(__name__)

# A version, or an instant; a text is either as the command line takes it, a day means its start, no zone means UTC.
When = int | str | datetime | date


@dataclass(frozen=True, repr=False)
class OpenProject:
    """A project on one target.

    What is said of one command in its help holds for the method of its name. Whatever fails raises CatchmentError.
    """

    project: Project
    target: str | None = None

    def __repr__(self) -> str:
        return f"<project {self.project.name} in {self.project.folder}>"

    # Running.

    def run(
        self,
        *,
        select: str | Sequence[str] = (),
        rebuild: str | Sequence[str] = (),
        forward: str | Sequence[str] = (),
        jobs: int = 1,
        listeners: Sequence[Listener] = (),
    ) -> str:
        """Run what is new: `done` or `nothing_new`. Raises CatchmentError with the cause of every step that failed."""
        from catchment.outlook import steps
        from catchment.records import Order

        orders = {name: Order("forward") for name in _listed(forward)}
        orders.update({name: Order("rebuild") for name in _listed(rebuild)})
        return self._run(steps(self.project, self.target, _listed(select)), orders, jobs=jobs, listeners=listeners)

    def plan(self, *, select: str | Sequence[str] = ()) -> Sequence[Pending]:
        """What each step of a run would do now; runs nothing."""
        from catchment.outlook import pending, steps

        return pending(self.project, self.target, steps(self.project, self.target, _listed(select)))

    def check(self) -> Sequence[Problem]:
        """Every mistake and warning in the project; reads no row. (Opening a project with a mistake raises it.)"""
        from catchment.check import CHECKERS, check_project
        from catchment.inspect import rehearsals

        return check_project(self.project.folder, [rehearsals, *CHECKERS])

    def test(self, *tables: str) -> Sequence[Trial]:
        """What came of every test of the tables, of all without a name."""
        from catchment.trial import trials

        return list(trials(self.project, tables))

    # Looking.

    def status(self, *, gaps: bool = False) -> Status:
        """Where every table stands; with `gaps` also the days without a row in silver."""
        from catchment.status import status

        return status(self.project, self.target, gaps=gaps)

    def quality(self, table: str | None = None, *, loads: int = 30) -> Sequence[QualityOfTable]:
        """How good the last loads of every silver table were, or of one, and what about them was unusual."""
        from catchment.quality import quality

        return quality(self.project, self.target, table, loads)

    def tables(self) -> list[TableName]:
        """Every table of the lake, and every model of the served gold."""
        from catchment.connected import Connected

        connected = Connected.of(self.project, self.target)
        served = connected.warehouse.served() or {}
        return [*connected.reads.list(), *(TableName("gold", model) for model in sorted(served.get("models", ())))]

    def table(self, name: str, as_of: When | None = None) -> OpenTable:
        """A table by its name (`silver.sales`, `gold.daily_sales`). Raises ConfigError, with the nearest name."""
        known = [str(found) for found in self.tables()]
        if name not in known:
            message = f"no table {name}"
            raise ConfigError(
                message, hint=naming.did_you_mean(name, known) or f"there are {', '.join(known) or 'none yet'}"
            )
        return OpenTable(self, TableName.parse(name), None if as_of is None else _moment(as_of))

    def query(self, sql: str, as_of: When | None = None) -> pa.RecordBatchReader:
        """Rows of a reading statement, streamed; of the lake as it was then."""
        from catchment.inspect import query

        return query(self.project, self.target, sql, None if as_of is None else _moment(as_of))

    def export(
        self,
        sql: str,
        path: str | Path,
        *,
        as_of: When | None = None,
        form: FileForm | None = None,
        overwrite: bool = False,
    ) -> Exported:
        """Write the rows of a reading statement into a Parquet, CSV or JSON Lines file, as its ending says."""
        from catchment.export import export

        at = None if as_of is None else _moment(as_of)
        return export(self.project, self.target, sql, Path(path), form=form, as_of=at, overwrite=overwrite)

    def docs(self, to: str | Path | None = None) -> Site:
        """Write the project's web site into a folder, by default `site` in the project; what was written."""
        from catchment.site import build_site

        return build_site(self.project, self.target, None if to is None else Path(to))

    def preview(self, table: str, limit: int = 10) -> Preview:
        """What a refine of everything in a silver table's input would give; writes nothing."""
        from catchment.inspect import preview

        return preview(self.project, self.target, table, limit)

    @property
    def quarantine(self) -> OpenQuarantine:
        """The rows that broke their contract."""
        return OpenQuarantine(self)

    # Repairing.

    def backfill(
        self,
        table: str,
        *,
        loads: tuple[int, int] | None = None,
        since: When | None = None,
        until: When | None = None,
        stream: str | None = None,
    ) -> None:
        """Judge loads of bronze again: `loads` are the first and the last of them, or those that landed from `since` on
        and before `until`; without either all that were taken. `stream` where the table has several."""
        from catchment.inspect import loads_between

        if loads is not None and (since is not None or until is not None):
            message = "loads and times both name the span"
            raise ConfigError(message, hint="give one of them")
        span = None if loads is None else (loads[0] - 1, loads[1])
        if since is not None or until is not None:
            first, last = (None if when is None else _moment(when) for when in (since, until))
            span = loads_between(self.project, self.target, table, stream, first, last)
        self._order(table, "backfill", loads=span, stream=stream)

    def restore(self, table: str, to: When) -> WayBack:
        """Put a table back as it was at a version or a time, in a new version; what that did."""
        return self._go_back("restore", TableName.parse(table), _moment(to))

    def rewind(self, stream: str, to: When | None = None, *, lose_rows: bool = False) -> WayBack:
        """Take out of bronze what landed after a load (a number) or a time, everything without one; the next run reads
        it again. Raises ConfigError where the source has some of it no longer, unless with `lose_rows`."""
        from catchment.restore import Load

        moment = Load(0) if to is None else _moment(to)
        known = [feed.name for feed in self.project.feeds()]
        if stream not in known:
            message = f"no stream {stream}"
            raise ConfigError(message, hint=naming.did_you_mean(stream, known) or f"there are {', '.join(known)}")
        place = Load(moment) if isinstance(moment, int) else moment
        return self._go_back("rewind", self.project.feed(stream).table, place, lose_rows=lose_rows)

    def adopt(self, table: str) -> None:
        """Give a table whose rows lost their state, by a copy or another program, a state again."""
        self._order(table, "adopt")

    def maintain(
        self, *, do: bool = False, select: str | Sequence[str] = (), retention: timedelta | None = None
    ) -> Sequence[Tidied]:
        """What upkeep would do for each table; with `do` it is done."""
        from catchment.maintain import RETENTION, maintain, survey

        work = maintain if do else survey
        kept = RETENTION if retention is None else retention
        return work(self.project, self.target, _listed(select), retention=kept)

    def _go_back(self, verb: Any, name: TableName, moment: Any, *, lose_rows: bool = True) -> WayBack:
        from catchment.connected import Connected
        from catchment.records import Order
        from catchment.restore import way_back

        way = way_back(Connected.of(self.project, self.target), name, moment)
        lost = 0 if way.again is None else way.again.lost_count
        if lost and not lose_rows:
            message = f"{lost:,} of what was landed in {name} can no longer be read: its rows would be lost"
            raise ConfigError(message, hint="bring it back, or rewind with lose_rows=True")
        if not way.is_nothing:
            self._run(self._steps(way.step), {way.step: Order(verb, to=way.to)})
        return way

    def _order(self, table: str, verb: Any, **what: Any) -> None:
        from catchment.records import Order

        steps = self._steps(table)
        self._run(steps, {steps[0].name: Order(verb, **what)})

    def _steps(self, name: str) -> Sequence[Step]:
        """The one step that writes a table. Raises ConfigError."""
        from catchment.plan import plan

        return plan(self.project, [name])

    def _run(
        self,
        steps: Sequence[Step],
        orders: Mapping[str, Order],
        *,
        jobs: int = 1,
        listeners: Sequence[Listener] = (),
    ) -> str:
        from catchment.observe.history import History
        from catchment.run import run

        failures = _Failures()
        heard = [*listeners, failures, History(self.project.folder, report=_log.warning)]
        outcome = run(self.project, self.target, steps, listeners=heard, jobs=jobs, orders=orders)
        if outcome == "stopped":
            message = "stopped: what was committed stays, the next run goes on"
            raise Stopped(message)
        if outcome == "failed":
            raise failures.error()
        return outcome


@dataclass(frozen=True, repr=False)
class OpenTable:
    """One table, read anew at each call, or as it was at `at`."""

    opened: OpenProject
    name: TableName
    at: int | datetime | None = None

    def __repr__(self) -> str:
        return f"<{self.name} of {self.opened.project.name}>"

    def reader(self) -> pa.RecordBatchReader:
        """Rows as Arrow batches: bounded memory."""
        return self.opened.query(self._sql, self.at)

    def arrow(self) -> pa.Table:
        """All rows as one Arrow table."""
        return self.reader().read_all()

    def df(self) -> Any:
        """All rows as a pandas data frame. Raises MissingExtra where pandas is not installed."""
        _refuse_missing("pandas")
        return self.arrow().to_pandas()

    def polars(self) -> Any:
        """All rows as a Polars data frame. Raises MissingExtra where Polars is not installed."""
        _refuse_missing("polars")
        return importlib.import_module("polars").from_arrow(self.arrow())

    def versions(self, limit: int | None = None) -> Sequence[TableVersion]:
        """The versions that can be read or restored, newest first."""
        from catchment.status import versions

        return versions(self.opened.project, self.opened.target, str(self.name), limit)

    def export(self, path: str | Path, *, form: FileForm | None = None, overwrite: bool = False) -> Exported:
        """Write all rows into a Parquet, CSV or JSON Lines file, as its ending says."""
        return self.opened.export(self._sql, path, as_of=self.at, form=form, overwrite=overwrite)

    @property
    def _sql(self) -> str:
        return f"SELECT * FROM {self.name.layer}.{naming.quoted(self.name.name)}"


@dataclass(frozen=True, repr=False)
class OpenQuarantine:
    """Rejected rows, and what can be done about them."""

    opened: OpenProject

    def list(self) -> Sequence[QuarantineSummary]:
        """One line a table that has rejected rows."""
        from catchment.inspect import quarantine_summaries

        return quarantine_summaries(self.opened.project, self.opened.target)

    def show(self, table: str, limit: int = 10, *, held: bool = False) -> Sequence[Rejected]:
        """The newest rejected rows of a silver table, or those that a rule holds back."""
        from catchment.inspect import quarantine_rows

        return quarantine_rows(self.opened.project, self.opened.target, table, limit, held=held)

    def replay(self, table: str) -> None:
        """Judge the rejected rows of a table again, after its contract or function was corrected."""
        self.opened._order(table, "replay")

    def accept(self, table: str) -> None:
        """Let the span pass that a rule holds back; the next run takes it."""
        self.opened._order(table, "accept")

    def __repr__(self) -> str:
        return f"<quarantine of {self.opened.project.name}>"


@dataclass
class _Failures(Listener):
    """Why steps failed."""

    found: list[StepFinished] = field(default_factory=list)

    def on(self, event: Event) -> None:
        from catchment.events import StepFinished

        if isinstance(event, StepFinished) and event.outcome == "failed":
            self.found.append(event)

    def error(self) -> CatchmentError:
        """One error of all of them, with the cure of the first."""
        causes = [f"{one.name}: {one.cause}" for one in self.found]
        hint = next((one.hint for one in self.found if one.hint is not None), None)
        return CatchmentError("\n".join(causes) or "the run failed", hint=hint)


def open_project(folder: str | Path = ".", target: str | None = None) -> OpenProject:
    """The project in `folder` or above it. Raises ConfigError, ProjectProblems."""
    from catchment.project import find_project, load_project

    project = load_project(find_project(Path(folder)))
    return OpenProject(project.on(target), target)


def _listed(names: str | Sequence[str]) -> Sequence[str]:
    return (names,) if isinstance(names, str) else tuple(names)


def _moment(when: When) -> int | datetime:
    from catchment.reading.moments import in_utc, moment

    if isinstance(when, str):
        return moment(when)
    if isinstance(when, datetime):
        return in_utc(when)
    return datetime.combine(when, time(), UTC) if isinstance(when, date) else when


def _refuse_missing(package: str) -> None:
    """Raises MissingExtra."""
    if importlib.util.find_spec(package) is None:
        message = f"cannot make a data frame: package `{package}` is not installed"
        raise MissingExtra(message, hint=f"pip install {package}, or use .arrow(), which needs nothing")
