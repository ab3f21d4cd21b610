"""How often each worker of a stream does its work, in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from catchment.connected import Connected
from catchment.errors import ConfigError
from catchment.reading.durations import seconds
from catchment.settings import resolve

_POLL_S = 30
_LEAST_RETENTION_S = 3600.0


@dataclass(frozen=True)
class Paces:
    """At most so often, in seconds; `every` is by source. So many commits, `compact_files`, are compacted sooner."""

    commit_every: float
    merge_every: float
    compact_every: float
    compact_files: int
    upkeep_every: float
    retention: float
    every: Mapping[str, float]

    @classmethod
    def of(cls, connected: Connected) -> Paces:
        """As the project says, references resolved. Raises ConfigError for what is no length of time."""
        said = connected.project.stream

        def length(text: str, key: str) -> float:
            value = resolve(text, connected.project.folder, place=key)
            found = seconds(value)
            if not found:
                message = f"{key}: `{value}` is no length of time"
                raise ConfigError(message, hint="write 30s, for example")
            return float(found)

        commit_every = length(said.commit_every, "stream.commit_every")
        every = {
            name: length(source.every, f"sources.{name}.every")
            if source.every is not None
            else (commit_every if source.is_log or source.reads_topics else _POLL_S)
            for name, source in connected.project.sources.items()
        }
        return cls(
            commit_every=commit_every,
            merge_every=length(said.merge_every, "stream.merge_every"),
            compact_every=length(said.compact_every, "stream.compact_every"),
            compact_files=said.compact_files,
            upkeep_every=length(said.upkeep_every, "stream.upkeep_every"),
            # What a run of somebody else goes by now must stay.
            retention=max(length(said.retention, "stream.retention"), _LEAST_RETENTION_S),
            every=every,
        )
