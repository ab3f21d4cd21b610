"""Before a run: what each step would do now, told from listings, logs and definitions, without reading a row.

The log of a table is always looked at. What a source says of a stream is recalled where neither the stream's listing
nor its table has moved since: over very many tables hardly anything is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from catchment import naming
from catchment.connected import Connected
from catchment.declared import differences
from catchment.errors import CatchmentError, fewer_shards, refused
from catchment.naming import TableName
from catchment.plan import needs, plan
from catchment.project import Project
from catchment.recall import Recall, digest
from catchment.records import Cursor, Description, Feed, Glance, Notice, Pending, Progress, Step
from catchment.silver.definition import Table, fingerprint

if TYPE_CHECKING:
    from catchment.interfaces import Source
    from catchment.silver.differences import Difference

_NOTHING_NEW = "nothing new"
_GOLD = "gold"


def steps(project: Project, target: str | None, select: Sequence[str] = ()) -> tuple[Step, ...]:
    """The plan of a selection; gold waits only for the silver tables that its models read, and an environment lands
    nothing and publishes nothing but its own gold."""
    connected = Connected.of(project, target)
    found = plan(connected.project, select, gold_reads=connected.gold_reads())
    return found if connected.environment is None else tuple(step for step in found if not _is_outside(step))


def _is_outside(step: Step) -> bool:
    return step.kind == "land" or (step.kind == "publish" and step.name != _GOLD)


def pending(project: Project, target: str | None, steps: Sequence[Step]) -> Sequence[Pending]:
    """What each step would do now, in words; reads listings, progress and definitions, no rows.

    A step of which that cannot be told, such as of a source that is down, says why, and the others go on.
    """
    outlook = _Outlook(Connected.of(project, target))
    found: dict[str, Pending] = {}
    before = needs(steps)
    try:
        for step in steps:
            waits = [need for need in sorted(before[step.id]) if found[need].is_new]
            found[step.id] = _told(outlook, step, waits)
    finally:
        outlook.close()
    outlook.recall.save([*(feed.name for feed in outlook.connected.project.feeds()), _GOLD])
    return list(found.values())


def topics(project: Project, target: str | None) -> tuple[Sequence[str], CatchmentError | None]:
    """In words, which declared topics would be created or are otherwise than declared; why that cannot be told."""
    connected = Connected.of(project, target)
    if not connected.project.topics:
        return (), None
    try:
        return differences(connected), None
    except CatchmentError as error:
        return (), error
    finally:
        connected.broker.close()


def _told(outlook: _Outlook, step: Step, waits: Sequence[str]) -> Pending:
    try:
        return outlook.of(step, waits)
    except (CatchmentError, OSError) as error:
        told = refused(error) if isinstance(error, OSError) else error
        cause = told.message.removeprefix(f"{step.name}: ")
        return Pending(step, False, f"cannot be told: {cause}", error=told.message, hint=told.hint)


@dataclass
class _Outlook:
    """One look at a project; each table is glanced at once."""

    connected: Connected
    _sources: dict[str, Source] = field(default_factory=dict)
    _glances: dict[TableName, Glance | None] = field(default_factory=dict)

    def of(self, step: Step, waits: Sequence[str]) -> Pending:
        """`waits` are the steps before this one that have something to do."""
        told: Mapping[str, Callable[[Step, Sequence[str]], Pending]] = {
            "land": self._land,
            "refine": self._refine,
            "publish": self._publish if step.name == _GOLD else self._publish_rows,
            "feed": self._feed,
            "model": self._model,
        }
        return told[step.kind](step, waits)

    def close(self) -> None:
        """Let go of the outside."""
        for source in self._sources.values():
            source.close()
        if "live_store" in self.connected.__dict__:
            self.connected.live_store.close()
        if "broker" in self.connected.__dict__:
            self.connected.broker.close()

    @cached_property
    def recall(self) -> Recall:
        return Recall(self.connected.state / "plan" / f"{self.connected.target_name}.json")

    def _glance(self, name: TableName) -> Glance | None:
        if name not in self._glances:
            self._glances[name] = self.connected.lake.glance(name)
        return self._glances[name]

    def _land(self, step: Step, _: Sequence[str]) -> Pending:
        about = self._described(self.connected.project.feed(step.name))
        size = f", {about.bytes / 1e6:,.1f} MB" if about.bytes >= 1e5 else f", {about.bytes / 1e3:,.1f} kB"
        least = "at least " if about.at_least else ""
        news = f"{least}{about.items:,} new {about.item}{'' if about.items == 1 else 's'}{size if about.bytes else ''}"
        words = "; ".join([news if about.is_new else _NOTHING_NEW, *(notice.message for notice in about.notices)])
        return Pending(step, about.is_new, words)

    def _described(self, feed: Feed) -> Description:
        outside, table = self.connected.mark(feed.name), self._glance(feed.table)
        if outside is None:
            return self._describe(feed)
        key = digest(outside, "" if table is None else table.mark)
        recalled = self.recall.get(feed.name, key)
        if recalled is not None:
            notices = tuple(Notice(**notice) for notice in recalled["notices"])
            return Description(**{**recalled, "notices": notices})
        found = self._describe(feed)
        self.recall.put(feed.name, key, asdict(found))
        return found

    def _describe(self, feed: Feed) -> Description:
        source = self._source(feed)
        glance, since = self._glance(feed.table), None
        if feed.shards > 1:
            from catchment.bronze.sharing import Sharing

            lake = self.connected.lake
            since = Sharing(lake, feed, source).since(lake.open(feed.table))
        elif glance is not None:
            if glance.progress.shards > 1:
                raise fewer_shards(feed.stream, glance.progress.shards, 1)
            value = glance.progress.cursors.get("land")
            since = None if value is None else Cursor(value, self.connected.lake.seen(feed.table, glance.progress))
        return source.describe(feed, since)

    def _source(self, feed: Feed) -> Source:
        """One of its kind for all streams, so that a database is reached once; topics are reached by their broker, and
        may differ in what they need."""
        name = feed.name.partition(".")[0]
        of_topics = self.connected.project.sources[name].reads_topics
        key = feed.stream if of_topics else name
        if key not in self._sources:
            self._sources[key] = self.connected.feeding(feed) if of_topics else self.connected.source(name)
        return self._sources[key]

    def _refine(self, step: Step, waits: Sequence[str]) -> Pending:
        table = self.connected.silver(step.name.partition(".")[2])
        silver = self._glance(naming.silver_table(table.name))
        progress = silver.progress if silver is not None else Progress()
        inputs = list(dict.fromkeys(bronze for _, _, bronze in table.reads()))
        found = self._differences(table, progress)
        changed = tuple((difference.words, difference.effect) for difference in found)
        if found:
            from catchment.silver.differences import choices

            orders = choices(table.name, found)
            if orders:
                rows = sum(self._rows(bronze) for bronze in inputs)
                return Pending(step, True, "definition changed", changed=changed, choices=orders, rows=rows)
        if waits:
            return Pending(step, True, _after(waits), changed=changed)
        words = [told for bronze in inputs if (told := self._new(bronze, progress)) is not None]
        if self._tries_again(table, progress):
            words.append("rows that waited for others, once more")
        if changed and not words:
            words.append("definition changed")
        return Pending(step, bool(words), ", ".join(words) or _NOTHING_NEW, changed=changed)

    def _tries_again(self, table: Table, progress: Progress) -> bool:
        if not progress.waiting:
            return False
        from catchment.silver.span import refers_anew

        return refers_anew(table, self.connected.reads, progress)

    def _differences(self, table: Table, progress: Progress) -> Sequence[Difference]:
        """How the table's definition differs from the one that its rows were made with."""
        definition = table.definition()
        if progress.definition in (None, fingerprint(definition)):
            return ()
        from catchment.silver.differences import differences

        return differences(self.connected.lake.definition(progress.definition or ""), definition)

    def _new(self, name: TableName, progress: Progress) -> str | None:
        """What is new in a bronze table for the silver table with this progress; None: nothing. Raises Unfenced."""
        glance = self._glance(name)
        taken = progress.cursors.get("refine", {}).get(str(name), 0)
        if glance is None or glance.progress.generation == taken:
            return None
        from catchment.silver.span import span

        bronze = self.connected.lake.open(name)
        new = span(bronze, progress) if bronze is not None else None
        return f"loads {new.after + 1}-{new.to} of {name}" if new is not None and new.scan.files else None

    def _rows(self, name: TableName) -> int:
        table = self.connected.lake.open(name)
        return 0 if table is None else table.scan().rows

    def _model(self, step: Step, waits: Sequence[str]) -> Pending:
        if waits:
            return Pending(step, True, _after(waits))
        why = self._gold_changes(step)
        return Pending(step, bool(why), "; ".join(why) or _NOTHING_NEW)

    def _gold_changes(self, step: Step) -> Sequence[str]:
        """Why gold has to be built, recalled where neither its tables nor its project nor what is served moved."""
        from catchment.gold import dbt
        from catchment.gold.build import changes

        served, project = self.connected.warehouse.served(), dbt.fingerprint(self.connected.dbt.folder)
        tables = [(name, self._glance(TableName.parse(name))) for name in step.reads]
        marks = [f"{name} {'' if glance is None else glance.mark}" for name, glance in tables]
        key = digest(repr(served), project, *marks)
        recalled: Sequence[str] | None = self.recall.get(_GOLD, key)
        if recalled is not None:
            return recalled
        why = changes(served, self.connected.pinned(), project)
        self.recall.put(_GOLD, key, why)
        return why

    def _publish(self, step: Step, waits: Sequence[str]) -> Pending:
        return Pending(step, bool(waits), "after model" if waits else _NOTHING_NEW)

    def _publish_rows(self, step: Step, waits: Sequence[str]) -> Pending:
        from catchment.publishing import standing

        found = standing(self.connected, step.name.partition(".")[2])
        if found.stopped is not None:
            return Pending(step, True, f"stopped: {found.stopped}", choices=found.choices)
        if not found.behind:
            return Pending(step, bool(waits), _after(waits) if waits else _NOTHING_NEW)
        commits = f"{found.behind:,} commit{'' if found.behind == 1 else 's'}"
        words = f"{'all ' if found.is_new else ''}{commits} of silver into topic {found.topic}"
        return Pending(step, True, words)

    @cached_property
    def _edited(self) -> Sequence[tuple[str, str]]:
        """Metrics that are otherwise in the live store than the project says: one of them stops every feed."""
        from catchment.figures.applied import edited

        return edited(self.connected)

    def _feed(self, step: Step, waits: Sequence[str]) -> Pending:
        from catchment.figures import applied, standing

        edited = self._edited
        if edited:
            told = "; ".join(f"live.{name}: {words}" for name, words in edited)
            return Pending(step, True, f"stopped: {told}", choices=(applied.APPLY,))
        if waits:
            return Pending(step, True, _after(waits))
        table = step.name.partition(".")[2]
        behind = standing.lacking(self.connected, table)
        if behind is None:
            reset = standing.was_fed(self.connected, table)
            return Pending(step, True, "to be fed anew" if reset else "never fed")
        commits = f"{behind:,} commit{'' if behind == 1 else 's'} of silver"
        return Pending(step, bool(behind), commits if behind else _NOTHING_NEW)


def _after(waits: Sequence[str]) -> str:
    return f"after {', '.join(sorted({need.partition(':')[0] for need in waits}))}"
