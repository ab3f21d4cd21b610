"""What a command waits to hear: what a repair came to, in a sentence; whether gold was published."""

from __future__ import annotations

from catchment.events import Event, GoldPublished, RowsReplayed, SpanAccepted
from catchment.interfaces import Listener
from catchment.observe.words import plural


class Repaired(Listener):
    """Remembers what repairs told."""

    def __init__(self) -> None:
        self._told: list[RowsReplayed | SpanAccepted] = []

    def on(self, event: Event) -> None:
        if isinstance(event, RowsReplayed | SpanAccepted):
            self._told.append(event)

    def lines(self, run: str) -> list[str]:
        """A sentence a repair; `run` is the command that brings the rest of the project up to date."""
        return [_accepted(event, run) if isinstance(event, SpanAccepted) else _replayed(event) for event in self._told]


class Published(Listener):
    """Whether gold was published."""

    def __init__(self) -> None:
        self.heard = False

    def on(self, event: Event) -> None:
        self.heard = self.heard or isinstance(event, GoldPublished)


def _replayed(event: RowsReplayed) -> str:
    waiting = f", {event.waiting:,} waiting" if event.waiting else ""
    return (
        f"{plural(event.tried, 'row')} tried again: {event.passed:,} now in silver, {event.rejected:,}"
        f" {'still ' if event.verb == 'replay' else ''}rejected{waiting}."
    )


def _accepted(event: SpanAccepted, run: str) -> str:
    loads = ", ".join(f"{table} up to load {to:,}" for table, to in event.spans.items())
    return f"Held rows of {event.table} will pass ({loads}): {run}"
