"""A run as people follow it: one calm line when a step ends, a summary at the end, bars only on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from catchment.events import (
    CheckFailed,
    Event,
    GoldBuilt,
    GoldPublished,
    Noticed,
    RowsFed,
    RowsLanded,
    RowsPublished,
    RowsRefined,
    RowsReplayed,
    RunFinished,
    RunStarted,
    SchemaChanged,
    SpanAccepted,
    StepFinished,
    StepProgress,
    StepRetried,
    StepStarted,
    TableRestored,
)
from catchment.interfaces import Listener
from catchment.observe.causes import causes
from catchment.observe.words import pad, plural, seconds, size
from catchment.settings import redact

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.progress import Progress, TaskID

Piece = tuple[str, str]  # text and rich's name of a style

# How many tables with rejected rows, and how many failed steps' causes, a summary names.
_MOST_HINTS = 3
_MOST_CAUSES = 5
_LONGEST_NOTE = 200

# Columns of a step's line: names and details where there is room; kind, figure, time and the gaps between them.
_NAME = 24
_DETAIL = 31
_OTHERS = 2 + 8 + 1 + 1 + 14 + 3 + 2 + 6

# Of rich's styles those that shout.
_CALM = {
    "bar.complete": "cyan",
    "bar.finished": "cyan",
    "bar.pulse": "cyan",
    "bar.back": "dim",
    "progress.elapsed": "dim",
}


@dataclass
class _Step:
    """What one step has told so far."""

    rows: int = 0
    items: int = 0
    defects: int = 0
    rejected: int = 0
    superseded: int = 0
    filtered: int = 0
    waiting: int = 0
    deleted: int = 0
    unchanged: int = 0
    deed: tuple[str, str] | None = None  # what a step did that is about no rows: its verb, and in words
    gold: GoldBuilt | None = None
    build: int | None = None
    into: list[str] = field(default_factory=list)  # where rows of silver went: topics, or a live store
    notes: list[tuple[str, str]] = field(default_factory=list)

    def figures(self, kind: str) -> tuple[str, str]:
        """The two middle columns of a step's line."""
        if kind == "land":
            return plural(self.rows, "row"), _listed(
                plural(self.items, "file") if self.items else "", _some(self.defects, "defect", plain="defects")
            )
        if kind == "refine":
            return plural(self.rows, "row"), _listed(
                _some(self.rejected, "rejected"),
                _some(self.waiting, "waiting"),
                _some(self.superseded, "superseded"),
                _some(self.unchanged, "unchanged"),
                _some(self.deleted, "deleted"),
                _some(self.filtered, "filtered out"),
            )
        if self.into:
            return plural(self.rows, "row"), _listed(*self.into)
        if self.gold is not None:
            passed = self.gold.tests - self.gold.failures - self.gold.warnings
            return plural(self.gold.models, "model"), _listed(
                f"{plural(passed, 'test')} passed" if self.gold.tests else "",
                _some(self.gold.warnings, "warning", plain="warnings"),
                _some(self.gold.failures, "failed"),
            )
        return (f"build {self.build}" if self.build is not None else ""), ""


@dataclass
class _Totals:
    landed: int | None = None
    refined: int | None = None
    built: int | None = None
    rejected: dict[str, int] = field(default_factory=dict)
    done: int = 0
    skipped: int = 0
    failed: list[StepFinished] = field(default_factory=list)
    published: bool = False

    def sentence(self) -> str:
        """What came of the run, without what did not take part in it."""
        quarantined = sum(self.rejected.values())
        parts = [
            f"{plural(self.landed, 'row')} landed" if self.landed is not None else "",
            f"{self.refined:,} in silver" if self.refined is not None else "",
            f"{quarantined:,} in quarantine" if quarantined else "",
            # Models of a build that was not published are gone: nobody is served them.
            plural(self.built, "gold model") if self.built is not None and self.published else "",
        ]
        return ", ".join(part for part in parts if part)


class Console(Listener):
    """Writes to `stream`. `names` are the steps' names, for the width of their column; `bars` wants a terminal.
    `columns` is the terminal's width, None where there is none; `named` is how commands are told.

    Use it as a context manager, or call `close`: the terminal is given back then, also after Ctrl-C.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        names: Sequence[str] = (),
        bars: bool = False,
        colour: bool = False,
        columns: int | None = None,
        named: Callable[[str], str] = str,
    ) -> None:
        self._stream = stream
        self._named = named
        self._width, self._detail = _widths(max((len(name) for name in names), default=0), columns)
        self._bars = bars
        self._colour = colour
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._steps: dict[str, _Step] = {}
        self._started: RunStarted | None = None
        self._headed = False
        self.totals = _Totals()

    def __enter__(self) -> Console:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def on(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._started = event
        elif isinstance(event, StepStarted):
            self._steps[event.step] = _Step()
            self._show(event)
        elif isinstance(event, StepProgress):
            self._advance(event)
        elif isinstance(event, StepRetried):
            self._head()
            kind, _, name = event.step.partition(":")
            self._line(kind, name, f"try {event.attempt}: {_one_line(event.message)}", "", "", style="yellow")
        elif isinstance(event, StepFinished):
            self._finished(event)
        elif isinstance(event, RunFinished):
            self.close()
            self._summary(event)
        else:
            self._count(event)

    def _count(self, event: Event) -> None:
        """Add one fact to its step."""
        name = getattr(event, "step", None)
        if not name:
            self._aside(event)
            return
        step = self._steps.setdefault(name, _Step())
        if isinstance(event, RowsLanded):
            step.rows, step.items, step.defects = (
                step.rows + event.rows,
                step.items + event.items,
                step.defects + event.defects,
            )
            self.totals.landed = (self.totals.landed or 0) + event.rows
        elif isinstance(event, RowsRefined):
            # RowsQuarantined told the same rows before.
            step.rows += event.written
            step.rejected, step.superseded = step.rejected + event.rejected, step.superseded + event.superseded
            step.filtered, step.unchanged = step.filtered + event.filtered, step.unchanged + event.unchanged
            step.waiting, step.deleted = step.waiting + event.waiting, step.deleted + event.deleted
            self.totals.refined = (self.totals.refined or 0) + event.written
            if event.rejected:
                self.totals.rejected[event.table] = self.totals.rejected.get(event.table, 0) + event.rejected
        elif isinstance(event, RowsReplayed):
            step.rows, step.rejected = step.rows + event.passed, step.rejected + event.rejected
            step.waiting += event.waiting
        elif isinstance(event, RowsPublished):
            step.rows += event.rows
            step.into.append(f"into {event.topic}")
        elif isinstance(event, RowsFed):
            step.rows += event.rows
            step.into.append("anew" if event.anew else "into the live store")
        elif isinstance(event, GoldBuilt):
            step.gold, self.totals.built = event, event.models
        elif isinstance(event, GoldPublished):
            step.build, self.totals.published = event.build, True
        else:
            self._note(step, event)

    def _aside(self, event: Event) -> None:
        """What concerns the run and none of its steps, at once."""
        if isinstance(event, Noticed):
            self._say((f"note: {event.message}", "yellow"))

    def _note(self, step: _Step, event: Event) -> None:
        if isinstance(event, SchemaChanged | Noticed):
            step.notes.append(("note", event.message))
        elif isinstance(event, TableRestored):
            step.deed = event.verb, _restored(event)
        elif isinstance(event, SpanAccepted):
            step.deed = "accept", "what is held passes with the next run"
        elif isinstance(event, CheckFailed):
            words = event.message if event.rule in event.message else f"{event.rule}: {event.message}"
            step.notes.append(("warning" if event.severity == "warn" else "failed", words))

    # What is drawn.

    def _head(self) -> None:
        if self._headed or self._started is None:
            return
        self._headed = True
        self._say((f"{self._where()} · {plural(self._started.steps, 'step')}", "bold"))

    def _where(self) -> str:
        assert self._started is not None
        return f"{self._started.project} · target {self._started.target}"

    def _finished(self, event: StepFinished) -> None:
        step = self._steps.pop(event.step, _Step())
        if self._progress is not None and event.step in self._tasks:
            self._progress.remove_task(self._tasks.pop(event.step))
        if event.outcome == "done":
            self.totals.done += 1
            self._head()
            if step.deed is not None:
                verb, words = step.deed
                self._line(verb, event.name, f"  {words}", "", "")
            else:
                amount, detail = step.figures(event.kind)
                self._line(event.kind, event.name, amount, detail, seconds(event.seconds))
        elif event.outcome == "failed":
            self.totals.failed.append(event)
            self._head()
            self._line(event.kind, event.name, "failed", "", seconds(event.seconds), style="red")
        elif event.outcome == "skipped":
            self.totals.skipped += 1
        elif event.outcome == "stopped":
            self._head()
            self._line(event.kind, event.name, "stopped", "", seconds(event.seconds))
        if step.notes:
            self._head()
        for word, message in step.notes:
            self._line(word, event.name, _one_line(message), "", "", style="red" if word == "failed" else "yellow")

    def _line(self, kind: str, name: str, amount: str, detail: str, end: str, *, style: str = "") -> None:
        """One line of the step table: kind, name, figure, detail, time."""
        figure = pad(amount, 14, right=amount[:1].isdigit())
        head = f"  {pad(kind, 8)} {pad(name, self._width)} "
        middle = f"{figure}   {pad(detail, self._detail)}  " if end else amount
        self._say((head, ""), (middle.rstrip() if not end else middle, style), (end, "dim"))

    def _summary(self, event: RunFinished) -> None:
        spent = seconds(event.seconds)
        if event.outcome == "nothing_new" and not self._headed:
            self._say((f"{self._where()} · nothing new ({spent})" if self._started else f"Nothing new ({spent})", ""))
            return
        self._head()
        what = self.totals.sentence()
        self._say(("", ""))
        if event.outcome == "failed":
            self._failure(spent, what)
        elif event.outcome == "stopped":
            kept = f": {what}" if what else ""
            self._say(
                (f"Stopped after {spent}{kept}. ", "bold"), ("What was committed is kept; run again to go on.", "")
            )
        elif event.outcome == "nothing_new":
            self._say((f"Nothing new ({spent}).", ""))
        else:
            self._say((f"Done in {spent}{': ' if what else ''}{what}.", "bold"))
        self._rejected()

    def _failure(self, spent: str, what: str) -> None:
        failed = self.totals.failed
        told = causes(failed)
        for words, hint in told[:_MOST_CAUSES]:
            cause, *more = words.splitlines()
            self._say(("error: ", "bold red"), (cause, ""))
            for line in more:
                self._say((line if line.startswith(" ") else f"  {line}", ""))
            if hint:
                self._say(("hint: ", "bold"), (hint, ""))
        if len(told) > _MOST_CAUSES:
            self._say((f"… and {plural(len(told) - _MOST_CAUSES, 'error')} more", ""))
        self._say(("", ""))
        which = "it" if len(failed) == 1 else "them"
        depends = "depends" if self.totals.skipped == 1 else "depend"
        was = "was" if self.totals.skipped == 1 else "were"
        skipped = (
            f"; {plural(self.totals.skipped, 'step')} that {depends} on {which} {was} skipped"
            if self.totals.skipped
            else ""
        )
        kept = f" What the others did is kept: {what}." if what else ""
        self._say((f"Failed in {spent}: {plural(len(failed), 'step')} failed{skipped}.", "bold"), (kept, ""))

    def _rejected(self) -> None:
        most = sorted(self.totals.rejected.items(), key=lambda found: -found[1])
        for table, rows in most[:_MOST_HINTS]:
            was = "was" if rows == 1 else "were"
            self._say((f"  {plural(rows, 'row')} of {table} {was} rejected: catchment quarantine show {table}", ""))
        if len(most) > _MOST_HINTS:
            self._say(("  more tables have rejected rows: catchment quarantine list", ""))

    # Bars.

    def _show(self, event: StepStarted) -> None:
        if not self._bars:
            return
        if self._progress is None:
            self._progress = _progress(self._stream, colour=self._colour)
            self._progress.start()
        words = f"  {pad(event.kind, 8)} {pad(event.name, self._width)}"
        self._tasks[event.step] = self._progress.add_task(words, total=None, amount="")

    def _advance(self, event: StepProgress) -> None:
        if self._progress is None or event.step not in self._tasks:
            return
        amount = size(event.done) if event.unit == "bytes" else f"{event.done:,} {event.unit}"
        if event.total:
            whole = size(event.total) if event.unit == "bytes" else f"{event.total:,} {event.unit}"
            amount = f"{amount if event.unit == 'bytes' else f'{event.done:,}'} of {whole}"
        self._progress.update(self._tasks[event.step], completed=event.done, total=event.total, amount=amount)

    def _say(self, *pieces: Piece) -> None:
        """One line; above the bars where there are some."""
        clean = [(redact(self._named(text)), style) for text, style in pieces]
        if self._progress is None and not self._colour:
            self._stream.write("".join(text for text, _ in clean).rstrip() + "\n")
            self._stream.flush()
            return
        from rich.text import Text

        console = self._progress.console if self._progress is not None else _terminal(self._stream, colour=self._colour)
        line = Text.assemble(*clean)
        line.rstrip()
        console.print(line, soft_wrap=True, highlight=False)


def _widths(longest: int, columns: int | None) -> tuple[int, int]:
    """How wide the columns of names and details are: as wide as calm wants, and narrower before a line breaks."""
    name, detail = max(_NAME, longest), _DETAIL
    spare = _OTHERS + name + detail - columns if columns is not None else 0
    if spare <= 0:
        return name, detail
    less = min(spare, name - longest)
    return name - less, max(0, detail - (spare - less))


def _terminal(stream: TextIO, *, colour: bool) -> RichConsole:
    from rich.console import Console as RichConsole
    from rich.theme import Theme

    return RichConsole(file=stream, no_color=not colour, highlight=False, theme=Theme(_CALM))


def _progress(stream: TextIO, *, colour: bool) -> Progress:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=14),
        TextColumn("{task.fields[amount]}", markup=False, style="dim"),
        TimeElapsedColumn(),
        console=_terminal(stream, colour=colour),
        transient=True,
        refresh_per_second=8,
    )


def _some(number: int, word: str, *, plain: str | None = None) -> str:
    """`7 rejected`, `131 duplicates`; empty for none."""
    return f"{number:,} {word if number == 1 or plain is None else plain}" if number else ""


def _one_line(message: str) -> str:
    line = " ".join(message.split())
    # A command that is cut off is no cure.
    return line if len(line) <= _LONGEST_NOTE or "catchment " in line else line[: _LONGEST_NOTE - 1] + "…"


def _restored(event: TableRestored) -> str:
    where = (
        f"as it was at generation {event.to}" if event.to else "at its beginning" if event.to == 0 else "taken as it is"
    )
    gone = ", ".join(f"{first}-{last}" for first, last in event.cut_off)
    return f"{where}: {plural(event.rows, 'row')}" + (f"; cut off: {gone}" if gone else "")


def _listed(*parts: str) -> str:
    return " · ".join(part for part in parts if part)
