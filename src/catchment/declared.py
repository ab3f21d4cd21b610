"""The topics that a project declares, beside those that there are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from catchment.errors import ConfigError
from catchment.reading.durations import seconds
from catchment.records import TopicSpec
from catchment.settings import resolve

if TYPE_CHECKING:
    from catchment.connected import Connected
    from catchment.records import Feed


def specs(connected: Connected, names: Collection[str] | None = None) -> list[TopicSpec]:
    """Every topic that is declared, or those of these names, references resolved."""
    return [
        TopicSpec(
            name,
            topic.partitions,
            None if topic.retention is None else _seconds(connected, name, topic.retention),
            compact=topic.compact,
            replication=topic.replication,
            min_insync=topic.min_insync,
        )
        for name, topic in connected.project.topics.items()
        if names is None or name in names
    ]


def _seconds(connected: Connected, name: str, retention: str) -> int:
    place = f"topics.{name}.retention"
    found = seconds(resolve(retention, connected.project.folder, place=place))
    if not found:
        message = f"{place}: {retention} is no length of time"
        raise ConfigError(message, hint="write one such as 7 days")
    return found


def differences(connected: Connected) -> Sequence[str]:
    """In words, what would be created and what is otherwise than declared. Nobody is asked where nothing is declared.

    Raises CatchmentError where the broker does not answer, or cannot have what is declared.
    """
    told, refused = list[str](), list[ConfigError]()
    for wanted in specs(connected):
        try:
            told += connected.broker.declare([wanted], change=False)
        except ConfigError as error:
            refused.append(error)
    if refused:
        raise ConfigError("\n  ".join(error.message for error in refused), hint=refused[0].hint)
    return told


def apply(connected: Connected) -> Sequence[str]:
    """Make the topics so, and say what was done. Raises as `differences` does, before any of them is changed."""
    differences(connected)
    return connected.broker.declare(specs(connected))


def create_absent(connected: Connected, feed: Feed) -> Sequence[str]:
    """Create those topics of a feed that are declared and not there, and say so; the others stay as they are.

    Raises as `differences` does.
    """
    wanted = specs(connected, _read_by(connected, feed))
    if not wanted:
        return ()
    there = set(connected.broker.topics())
    return connected.broker.declare([spec for spec in wanted if spec.name not in there])


def _read_by(connected: Connected, feed: Feed) -> set[str]:
    """The topics of a feed; none where its source reads no topics."""
    source, _, name = feed.stream.partition(".")
    found = connected.project.sources[source]
    if not connected.project.topics or not found.reads_topics:
        return set()
    streams = found.streams if not name else {name: found.streams[name]}
    folder = connected.project.folder
    return {
        resolve(getattr(stream, "topic", None) or of, folder, place=f"sources.{source}.streams.{of}.topic")
        for of, stream in streams.items()
    }
