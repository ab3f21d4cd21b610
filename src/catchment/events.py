"""Everything a run can tell. Listeners hear these in order; `--json` prints them (docs/reference/events.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, datetime
from typing import Any


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Event:
    """`at` is an instant in UTC."""

    at: datetime = field(default_factory=_now)

    def json(self) -> dict[str, Any]:
        """The documented shape: `event` is the class name, the rest its fields."""
        return {"event": type(self).__name__, **{f.name: _plain(getattr(self, f.name)) for f in fields(self)}}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


@dataclass(frozen=True, kw_only=True)
class RunStarted(Event):
    run: str
    project: str
    target: str
    steps: int


@dataclass(frozen=True, kw_only=True)
class StepStarted(Event):
    step: str
    kind: str
    name: str


@dataclass(frozen=True, kw_only=True)
class StepProgress(Event):
    """How far a long step is; `total` is None where nobody knows. `unit` is bytes, rows or models."""

    step: str
    done: int
    total: int | None = None
    unit: str = "bytes"


@dataclass(frozen=True, kw_only=True)
class RowsLanded(Event):
    """One load is in bronze."""

    step: str
    table: str
    load: int
    rows: int
    defects: int
    items: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class RowsRefined(Event):
    """A span is in silver: `rows` = `written` + `rejected` + `waiting` + `superseded` + `unchanged` + `filtered`.

    `superseded` rows lost to a newer row of their key, or say that it was deleted; `unchanged` ones say what the
    version of their key before them says; `filtered` ones were dropped by the refine function, `waiting` ones refer to
    rows that are not there yet. `deleted` are keys that were deleted.
    """

    step: str
    table: str
    rows: int
    written: int
    rejected: int
    superseded: int
    filtered: int
    load: int
    waiting: int = 0
    deleted: int = 0
    unchanged: int = 0


@dataclass(frozen=True, kw_only=True)
class RowsPublished(Event):
    """Rows of silver's commits up to `generation` are in a topic."""

    step: str
    table: str
    topic: str
    rows: int
    generation: int


@dataclass(frozen=True, kw_only=True)
class RowsFed(Event):
    """A live store has taken rows of silver's commits up to `generation`; `anew` says why it took all of them."""

    step: str
    table: str
    rows: int
    generation: int
    anew: str | None = None


@dataclass(frozen=True, kw_only=True)
class RowsReplayed(Event):
    """Rows were judged again, out of quarantine or out of a span: `tried` = `passed` + `rejected` + `waiting`."""

    step: str
    table: str
    verb: str  # replay or backfill
    tried: int
    passed: int
    rejected: int
    waiting: int = 0


@dataclass(frozen=True, kw_only=True)
class SpanAccepted(Event):
    """What is held of a table will pass; `spans` are the last loads that do, by bronze table."""

    step: str
    table: str
    spans: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class RowsQuarantined(Event):
    """Rows that broke their contract wait; `reasons` counts their reasons by words, most frequent first."""

    step: str
    table: str
    rows: int
    reasons: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True, kw_only=True)
class TableRestored(Event):
    """A table went back: it has the `rows` and the state of generation `to` again, under the new number `generation`.

    `verb` is restore, rewind or adopt; `to` is None where a state was lost and found anew. `cut_off` are the loads that
    were taken out, as closed ranges.
    """

    step: str
    table: str
    verb: str
    generation: int
    to: int | None
    rows: int
    cut_off: Sequence[tuple[int, int]] = ()


@dataclass(frozen=True, kw_only=True)
class SchemaChanged(Event):
    step: str
    table: str
    message: str
    added: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Noticed(Event):
    """Something people should hear of that stops nothing: a changed file that is ignored, a missing column."""

    step: str
    kind: str
    message: str


@dataclass(frozen=True, kw_only=True)
class CheckFailed(Event):
    """A rule over a load, a gold test, or the `freshness` of a table that gold was built over.

    `severity` is warn or stop.
    """

    step: str
    table: str
    rule: str
    message: str
    severity: str = "warn"


@dataclass(frozen=True, kw_only=True)
class GoldBuilt(Event):
    step: str
    models: int
    tests: int
    warnings: int
    failures: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class GoldPublished(Event):
    step: str
    build: int


@dataclass(frozen=True, kw_only=True)
class Reached(Event):
    """A named point inside a step; the crash harness kills here, people never see it."""

    step: str
    point: str


@dataclass(frozen=True, kw_only=True)
class StepRetried(Event):
    step: str
    attempt: int
    message: str


@dataclass(frozen=True, kw_only=True)
class StepFinished(Event):
    """`outcome` is done, nothing_new, failed or skipped; `cause` and `hint` are set where it is not done."""

    step: str
    kind: str
    name: str
    outcome: str
    seconds: float
    cause: str | None = None
    hint: str | None = None


@dataclass(frozen=True, kw_only=True)
class StreamStarted(Event):
    """A run that goes on: the feeds that it follows and the silver tables that it refines, by name, and where it passes
    their rows on to: refined topics, live figures."""

    run: str
    project: str
    target: str
    feeds: Sequence[str]
    tables: Sequence[str]
    sinks: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class StreamReady(Event):
    """Silver has taken what the first read of every feed brought; what fails is left aside."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class StreamIdle(Event):
    """Nothing is new: each feed's last read brought nothing, and silver has taken all that landed."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class StreamProgress(Event):
    """How one table of a stream stands.

    `rows`, `rejected` since the stream began; `rate` in rows a second over the last minute. Behind are, of bronze, the
    `items` and `bytes` that a source knows of and the seconds since the last read that came to its end began; of silver
    the bronze `loads` that it has not taken and the seconds since the oldest of them arrived; of what rows are passed
    on to (`topic …`, `live.…`) the loads that silver has and it has not. Latencies, from the beginning of the read that
    brought a row to the commit of this table, are None where there was none lately.
    """

    step: str
    table: str
    rows: int
    rejected: int
    rate: float
    behind_s: float
    behind_loads: int = 0
    behind_items: int = 0
    behind_bytes: int = 0
    latency_p50_s: float | None = None
    latency_p95_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class StepFailing(Event):
    """A step of a stream failed, or fails for another reason than before; it is tried again until it works."""

    step: str
    kind: str
    name: str
    cause: str
    hint: str | None = None


@dataclass(frozen=True, kw_only=True)
class StepRecovered(Event):
    """A step of a stream works again; `seconds` is for how long it did not."""

    step: str
    kind: str
    name: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class TableCompacted(Event):
    """So many small files of a table were joined."""

    table: str
    files: int


@dataclass(frozen=True, kw_only=True)
class RunFinished(Event):
    """`outcome` is done, nothing_new, failed or stopped."""

    run: str
    outcome: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ReceiverStarted(Event):
    """Webhooks are taken at `address`; `endpoints` are (path, stream, topic)."""

    address: str
    endpoints: Sequence[tuple[str, str, str]]


@dataclass(frozen=True, kw_only=True)
class DeliveriesCounted(Event):
    """What came to one stream since this was told last; `stream` is empty where no endpoint was meant.

    `taken` are durable in the topic, `repeated` were so before; `refused` counts the others by reason. The percentiles
    are milliseconds from a delivery's headers to its answer, None where none was taken.
    """

    stream: str
    taken: int
    repeated: int
    refused: Mapping[str, int]
    p50_ms: float | None = None
    p99_ms: float | None = None


@dataclass(frozen=True, kw_only=True)
class ReceiverStopped(Event):
    """In all, since the start."""

    taken: int
    repeated: int
    refused: Mapping[str, int]
    seconds: float
