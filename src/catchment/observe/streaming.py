"""A stream as people follow it: one line that tells how it stands, and a line for everything out of the ordinary."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TextIO

from catchment.events import (
    CheckFailed,
    Event,
    Noticed,
    RowsLanded,
    RowsRefined,
    RunFinished,
    SchemaChanged,
    StepFailing,
    StepFinished,
    StepRecovered,
    StepRetried,
    StreamIdle,
    StreamProgress,
    StreamReady,
    StreamStarted,
)
from catchment.interfaces import Listener
from catchment.observe.causes import causes
from catchment.observe.words import plural, seconds, share
from catchment.settings import redact

# In a log a line is worth reading where something has moved, and not every few seconds.
_LOG_EVERY_S = 10.0


class StreamConsole(Listener):
    """Writes to `stream`. With `redraw`, which wants a terminal, how it stands is drawn over the last; `named` is how
    commands are told."""

    def __init__(
        self,
        stream: TextIO,
        *,
        redraw: bool = False,
        columns: int | None = None,
        named: Callable[[str], str] = str,
    ) -> None:
        self._stream = stream
        self._named = named
        self._redraw = redraw
        self._columns = columns or 80
        self._drawn = False
        self._started: StreamStarted | None = None
        self._tables: dict[str, StreamProgress] = {}
        self._last: list[StreamProgress] = []
        self._failing: set[str] = set()
        self._said: tuple[datetime | None, tuple[int, int]] = (None, (0, 0))
        self._idle = False
        self._landed = 0
        self._refined = 0
        self._rejected: dict[str, int] = {}
        self._failed: list[StepFinished] = []

    def on(self, event: Event) -> None:
        if isinstance(event, StreamStarted):
            self._head(event)
        elif isinstance(event, RowsLanded | RowsRefined):
            self._count(event)
        elif isinstance(event, StreamProgress):
            self._progress(event)
        elif isinstance(event, StreamIdle):
            self._idle = True
        elif isinstance(event, StepFinished) and event.outcome == "failed":
            self._failed.append(event)
        elif isinstance(event, RunFinished):
            self._end(event)
        else:
            if isinstance(event, StepFailing | StepRecovered):
                (self._failing.add if isinstance(event, StepFailing) else self._failing.discard)(event.step)
            words = self._ready(event) if isinstance(event, StreamReady) else _aside(event)
            if words is not None:
                self._line(f"  {event.at:%H:%M:%S}  {words}")

    def _head(self, event: StreamStarted) -> None:
        self._started = event
        streams, tables = plural(len(event.feeds), "stream"), plural(len(event.tables), "silver table")
        following = f"following {streams} into {tables}" if event.feeds else f"refining {tables}"
        following = following if event.tables else f"following {streams}"
        following += f", passed on to {', '.join(event.sinks)}" if event.sinks else ""
        self._line(f"{event.project} · target {event.target} · {following}   (Ctrl-C stops cleanly)")

    def _count(self, event: RowsLanded | RowsRefined) -> None:
        self._idle = False
        if isinstance(event, RowsLanded):
            self._landed += event.rows
        else:
            self._refined += event.written
            if event.rejected:
                self._rejected[event.table] = self._rejected.get(event.table, 0) + event.rejected

    def _ready(self, event: StreamReady) -> str:
        rest = f", but for what {', '.join(sorted(self._failing))} would bring" if self._failing else ""
        return f"ready after {seconds(event.seconds)}: everything that was there is in silver{rest}"

    # How it stands.

    def _progress(self, event: StreamProgress) -> None:
        self._tables[event.table] = event
        told = self._started
        known = 0 if told is None else len(told.feeds) + len(told.tables) + len(told.sinks)
        if len(self._tables) < known:
            return
        tables, self._tables = list(self._tables.values()), {}
        self._last = tables
        line = f"  {event.at:%H:%M:%S}  {self._standing(tables)}"
        if self._redraw:
            self._draw(line)
            return
        said, moved = self._said
        figures = (self._landed, self._refined)
        if figures != moved and (said is None or (event.at - said).total_seconds() >= _LOG_EVERY_S):
            self._said = (event.at, figures)
            self._line(line)

    def _standing(self, tables: list[StreamProgress]) -> str:
        bronze = [table for table in tables if table.table.startswith("bronze.")]
        silver = [table for table in tables if table.table.startswith("silver.")]
        sinks = [table for table in tables if table not in bronze and table not in silver]
        latencies = [table.latency_p95_s for table in (*silver, *sinks) if table.latency_p95_s is not None]
        refined, rejected = sum(table.rows for table in silver), sum(table.rejected for table in silver)
        items = sum(table.behind_items for table in bronze)
        parts = [
            f"{sum(table.rate for table in bronze or silver):,.0f} rows/s",
            f"bronze {seconds(max(table.behind_s for table in bronze))} behind" if bronze else "",
            f"silver {seconds(max(table.behind_s for table in silver))} behind" if silver else "",
            f"passed on {seconds(max(table.behind_s for table in sinks))} behind" if sinks else "",
            f"p95 {seconds(max(latencies))}" if latencies else "",
            f"rejected {share(rejected / (refined + rejected))}" if rejected else "",
            f"lag {items:,}" if items else "",
            "idle" if self._idle else "",
        ]
        return "   ".join(part for part in parts if part)

    def _draw(self, line: str) -> None:
        self._stream.write(f"\r\x1b[2K{redact(line)[: self._columns - 1]}")
        self._stream.flush()
        self._drawn = True

    def _line(self, text: str) -> None:
        """A line that stays."""
        self._stream.write(("\r\x1b[2K" if self._drawn else "") + redact(self._named(text)) + "\n")
        self._stream.flush()
        self._drawn = False

    # The end.

    def _end(self, event: RunFinished) -> None:
        counted = [f"{plural(self._landed, 'row')} landed", f"{self._refined:,} in silver"]
        if self._rejected:
            counted.append(f"{sum(self._rejected.values()):,} in quarantine")
        head = {"stopped": "Stopped", "done": "Done", "failed": "Ended, and something still fails,"}[event.outcome]
        self._line("")
        for words, hint in causes(self._failed):
            self._line(f"error: {words}")
            if hint:
                self._line(f"hint: {hint}")
        self._line(f"{head} after {seconds(event.seconds)}: {', '.join(counted)}.")
        for table in self._tables.values() or self._last:
            if table.behind_loads:
                loads = plural(table.behind_loads, "load")
                of = "bronze" if table.table.startswith("silver.") else "silver"
                self._line(f"  {table.table} lacks {loads} of {of}: the next run or stream takes them")


def _aside(event: Event) -> str | None:
    """What is told at once; None where that is nothing."""
    if isinstance(event, StepFailing):
        hint = f"; {event.hint}" if event.hint else ""
        return f"{event.kind} {event.name} fails and is tried again: {_one_line(event.cause)}{hint}"
    if isinstance(event, StepRecovered):
        return f"{event.kind} {event.name} works again, after {seconds(event.seconds)}"
    if isinstance(event, StepRetried):
        kind, _, name = event.step.partition(":")
        return f"{kind} {name}: try {event.attempt}: {_one_line(event.message)}"
    if isinstance(event, SchemaChanged | Noticed):
        return f"note: {_one_line(event.message)}"
    if isinstance(event, CheckFailed):
        return f"{event.table}: {event.rule}: {_one_line(event.message)}"
    return None


def _one_line(text: str) -> str:
    return " ".join(text.split())
