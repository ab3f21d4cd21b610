"""What the commands answer with, for people and `--json`. All frozen; instants in UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Rejected:
    """One row in quarantine. `reasons` are (column or None, rule, message, value or None); `raw` is JSON text.

    `status` is rejected, waiting (for a row that it refers to) or held. `stream` is the one that brought it.
    """

    table: str
    origin: str
    position: int
    load: int
    row: int
    judged: int
    reasons: Sequence[tuple[str | None, str, str, str | None]]
    raw: str
    status: str = "rejected"
    stream: str = ""


@dataclass(frozen=True)
class QuarantineSummary:
    """The rejected rows of one table; `newest` is when the newest of them landed, UTC."""

    table: str
    rows: int
    newest: datetime | None
    reasons: Sequence[tuple[str, int]]  # words and how often, most frequent first


@dataclass(frozen=True)
class Preview:
    """What a refine of everything in its input would give; nothing was written."""

    table: str
    read: int
    passed: int
    failed: int
    reasons: Sequence[tuple[str, int]]
    good: pa.Table  # the first few rows that would pass
    bad: Sequence[Rejected]


@dataclass(frozen=True)
class TableStatus:
    """Where one table stands. `newest` is the newest instant in its freshness column, `age_s` how old that is."""

    table: str
    rows: int
    version: int | None
    newest: datetime | None = None
    age_s: float | None = None
    fresh_within_s: int | None = None
    rejected: int | None = None
    rejected_share: float | None = None
    behind: int | None = None  # loads of its input that it has not taken
    waiting: int | None = None  # rows that refer to rows which are not there yet
    held: int | None = None  # rows of a span that a rule stopped
    gaps: Sequence[tuple[date, date]] | None = None  # first and last day without a row; None where nobody looked
    score: float | None = None  # of the newest load, 0-100
    problem: str | None = None  # why the score cannot be told


@dataclass(frozen=True)
class Measured:
    """A figure of a load, of one column or of the table, and between what it usually lies.

    None on a side on which nothing is bad; both where too few loads came before.
    """

    measure: str
    column: str | None
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class QualityOfLoad:
    """How good one load of a silver table was; `load` is the number of its commit, `rows` those that were judged."""

    load: int
    at: datetime
    score: float | None
    rows: int
    rejected: int
    measures: Sequence[Measured] = ()
    unusual: Sequence[str] = ()


@dataclass(frozen=True)
class QualityOfTable:
    """The loads of a silver table, newest last; `problem` says why they cannot be told."""

    table: str
    loads: Sequence[QualityOfLoad] = ()
    problem: str | None = None


@dataclass(frozen=True)
class TableVersion:
    """A version of a table that can still be read; `what` made it."""

    version: int
    generation: int
    at: datetime
    rows: int
    what: str


@dataclass(frozen=True)
class ModelStatus:
    """A model, seed or snapshot of the served gold. `rows` is None for what is no table, `seconds` went into making it.

    `is_fresh` is False where a silver table that it is made of is older by now, as gold holds it, than was promised;
    None where nothing is promised.
    """

    table: str
    layer: str | None
    materialized: str
    rows: int | None
    seconds: float | None
    is_fresh: bool | None = None


@dataclass(frozen=True)
class GoldStatus:
    """The served gold. `content_of` is the build whose content it has: another where somebody went back to it.

    `history` are models and snapshots (`schema.name`) that go on from build to build; `tests` were run on this build,
    `warnings` are those of them that warned. `tables` and the `slowest` five of them are empty where it is not known
    any more what dbt told of the build. `late` are silver tables that are older by now, as gold holds them, than was
    promised.
    """

    build: int | None
    published_at: datetime | None
    models: Sequence[str] = ()
    is_current: bool | None = None  # None: no gold in the project
    content_of: int | None = None
    history: Sequence[str] = ()
    tests: int | None = None
    warnings: Sequence[str] = ()
    exposures: Sequence[str] = ()
    tables: Sequence[ModelStatus] = ()
    slowest: Sequence[str] = ()
    is_fresh: bool | None = None
    late: Sequence[str] = ()


@dataclass(frozen=True)
class LastRun:
    run: str
    started_at: datetime
    seconds: float | None
    outcome: str


@dataclass(frozen=True)
class PublishedStatus:
    """The refined topic of a silver table: `messages` were written so far, None where nobody has counted, and `behind`
    commits of silver are not in it. `stopped` says why publishing does not go on, `problem` why that cannot be told."""

    table: str
    topic: str | None = None
    messages: int | None = None
    behind: int | None = None
    stopped: str | None = None
    choices: Sequence[str] = ()
    problem: str | None = None


@dataclass(frozen=True)
class MetricStanding:
    """A live figure, and how many commits of its silver table it is behind: None where it has to be fed anew. With
    `reset` it was fed before, and the figures of then are served; one that is not `declared` is only in the store."""

    metric: str
    table: str
    behind: int | None
    differences: Sequence[str] = ()
    reset: bool = False
    declared: bool = True


@dataclass(frozen=True)
class LiveStatus:
    """The live figures in their store; `problem` says why they cannot be told."""

    store: str
    metrics: Sequence[MetricStanding] = ()
    problem: str | None = None


@dataclass(frozen=True)
class Status:
    project: str
    target: str
    tables: Sequence[TableStatus]
    gold: GoldStatus
    last_run: LastRun | None = None
    topics: Sequence[PublishedStatus] = ()
    live: LiveStatus | None = None


@dataclass(frozen=True)
class RowPair:
    """One row in two places; None where a place has no such row."""

    one: Mapping[str, Any] | None = None
    other: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Compared:
    """A table in two places. `only` are rows that one or the other has alone, `differ` rows of one key that are not
    equal, by column in `by_column`; `only_in` names the one place that has the table at all."""

    table: str
    rows: tuple[int, int] = (0, 0)
    only_in: str | None = None
    key: Sequence[str] = ()
    only: tuple[int, int] = (0, 0)
    differ: int = 0
    by_column: Mapping[str, int] = field(default_factory=dict)
    columns_in_one: Sequence[str] = ()
    types_differ: Sequence[str] = ()
    examples: Sequence[RowPair] = ()

    @property
    def is_equal(self) -> bool:
        return not (self.only_in or any(self.only) or self.differ or self.columns_in_one or self.types_differ)


@dataclass(frozen=True)
class Traced:
    """A column and what it is made of: (table, column) pairs; the column "*" of a table stands for its rows.

    `words` say how: an expression as it stands in the SQL, empty where the column is passed on as it is.
    """

    name: str
    of: Sequence[tuple[str, str]] = ()
    words: str = ""


@dataclass(frozen=True)
class TracedTable:
    """A place where columns are: a stream (`drops.users`), `silver.users`, `gold.daily_sales`, `exposure.board`.

    `rows` are the columns, and the tables as ("gold.x", "*"), that decide which rows it has. `unsure` says why columns
    may be missing or be made of more than is told. `file`, relative to the project, says how the table is made.
    """

    name: str
    kind: Literal["stream", "silver", "source", "seed", "model", "snapshot", "exposure"]
    columns: Sequence[Traced] = ()
    rows: Sequence[tuple[str, str]] = ()
    file: str = ""
    unsure: str | None = None


@dataclass(frozen=True)
class Lineage:
    """Where every column of a project comes from; tables from sources to exposures, each after what it reads."""

    tables: Mapping[str, TracedTable] = field(default_factory=dict)
