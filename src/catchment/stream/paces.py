"""How often each worker of a stream does its work, in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from catchment.connected import Connected
from catchment.errors import ConfigError
from catchment.project import Project
from catchment.reading.declaration import SilverTable
from catchment.reading.durations import pace
from catchment.records import Feed
from catchment.settings import resolve

_POLL_S = 30
_LEAST_RETENTION_S = 60.0


@dataclass(frozen=True)
class Paces:
    """At most so often, in seconds; `every` is by feed. So many commits, `compact_files`, are compacted sooner.

    `awaited` are the silver tables whose rows are passed on as soon as they are there.
    """

    commit_every: float
    merge_every: float
    flush: float
    compact_every: float
    compact_files: int
    upkeep_every: float
    retention: float
    every: Mapping[str, float]
    awaited: frozenset[str]

    def refines(self, name: str, table: SilverTable) -> float:
        """How often a silver table is refined."""
        if table.mode != "append":
            return self.merge_every
        return min(self.flush, self.commit_every) if name in self.awaited else self.commit_every

    @classmethod
    def of(cls, connected: Connected) -> Paces:
        """As the project says, references resolved. Raises ConfigError for what is no length of time."""
        said = connected.project.stream

        def length(text: str, key: str) -> float:
            value = resolve(text, connected.project.folder, place=key)
            found = pace(value)
            if not found:
                message = f"{key}: `{value}` is no length of time"
                raise ConfigError(message, hint="write 30s or 250ms, for example")
            return float(found)

        commit_every, flush = length(said.commit_every, "stream.commit_every"), length(said.flush, "stream.flush")
        project, awaited = connected.project, _awaited(connected.project)
        soon = {
            feed for name in awaited for stream in project.silver[name].streams for feed in project.feeds_of(stream)
        }

        def reads(feed: Feed) -> float:
            name = feed.name.partition(".")[0]
            source = project.sources[name]
            if source.every is not None:
                return length(source.every, f"sources.{name}.every")
            if not (source.is_log or source.reads_topics):
                return _POLL_S
            return min(flush, commit_every) if feed in soon else commit_every

        return cls(
            commit_every=commit_every,
            merge_every=length(said.merge_every, "stream.merge_every"),
            flush=flush,
            compact_every=length(said.compact_every, "stream.compact_every"),
            compact_files=said.compact_files,
            upkeep_every=length(said.upkeep_every, "stream.upkeep_every"),
            # A query that says to nobody that it is at work has a minute.
            retention=max(length(said.retention, "stream.retention"), _LEAST_RETENTION_S),
            every={feed.name: reads(feed) for feed in project.feeds()},
            awaited=awaited,
        )


def _awaited(project: Project) -> frozenset[str]:
    """The silver tables that are published or read by live figures."""
    published = (name for name, table in project.silver.items() if table.published is not None)
    return frozenset((*published, *(metric.from_ for metric in project.live.values())))
