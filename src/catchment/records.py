"""Values that cross seams. All frozen; rows travel as Arrow, instants as UTC microseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal

from catchment.naming import CHANGE_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

    from catchment.naming import TableName

JSON = Any

# Files that rows can be exported to.
FileForm = Literal["parquet", "csv", "jsonl"]


@dataclass(frozen=True)
class Abilities:
    """What an implementation can do; code asks these, never the implementation's name."""

    acknowledges: bool = False  # the outside wants to hear that a cursor is committed
    keeps_types: bool = False  # rows arrive typed, not as text
    brings_documents: bool = False  # rows arrive as documents, in one column of JSON text
    takes_new: bool = False  # can bring what is new since the last read alone
    takes_whole: bool = False  # can bring all there is each time, so that what is gone shows
    resumes: bool = False  # a read that breaks off goes on behind its last load, the very first one too
    wakes: bool = False  # `wait` tells within moments that something is new
    swaps: bool = False  # publishes all tables in one atomic change


@dataclass(frozen=True)
class Cursor:
    """A place in a feed: what lies before it has been read.

    `value` is small and goes into the progress object itself. `seen` names things that no order can tell (files that
    were read); a source *receives* all of them and *returns* only those it adds, or, with `anew`, all that it wants to
    receive the next time. `counts` says that each thing seen is an item that was read, as a file is.
    """

    value: Mapping[str, JSON] = field(default_factory=dict)
    seen: pa.Table | None = None
    anew: bool = False
    counts: bool = True


@dataclass(frozen=True)
class Feed:
    """What lands in one bronze table: one stream, one of its `shards`, or one log of several streams."""

    name: str  # source.stream, source.stream/1 for a shard after the first; the source's name for a log of several
    table: TableName
    shard: int = 0
    shards: int = 1

    @property
    def stream(self) -> str:
        """`source.stream`, whichever shard of it this is."""
        return self.name.partition("/")[0]


@dataclass(frozen=True)
class Budget:
    """How much one load may take before it is committed, in bytes of the source.

    With `rows` somebody wants a look only: what is read after so many is thrown away, so that a source may ask for no
    more.
    """

    bytes: int = 4 << 30
    rows: int | None = None


@dataclass(frozen=True)
class Message:
    """What somebody writes to a topic. Messages of one key come into one partition, in the order of their writing."""

    value: bytes | None  # None: a tombstone, the key is gone
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()
    at: datetime | None = None  # when it happened; by default when it is written
    partition: int | None = None  # by default what the key says, or any


@dataclass(frozen=True)
class TopicSpec:
    """A topic as a project wants it. What is None is left as it is, or to the broker."""

    name: str
    partitions: int = 3
    retention_s: int | None = None  # how long messages are kept
    compact: bool | None = None  # of each key at least the newest message is kept
    replication: int | None = None  # so many servers keep each message
    min_insync: int | None = None  # so many of them have it before a write is acknowledged


# By partition the next offset to read or to be written: offsets are numbers of messages, the first is 0.
Offsets = Mapping[int, int]


@dataclass(frozen=True)
class MessageSchema:
    """What messages were written with. `beside` are the schemas that it refers to, by name, each after its own."""

    kind: Literal["avro", "protobuf", "json"]
    text: str
    beside: tuple[tuple[str, str], ...] = ()


def message_schema() -> pa.Schema:
    """Messages as they are read: columns `partition`, `offset`, `at`, `key`, `value`, `headers`."""
    import pyarrow as pa

    header = pa.struct([("name", pa.string()), ("value", pa.binary())])
    return pa.schema(
        [
            pa.field("partition", pa.int32(), nullable=False),
            pa.field("offset", pa.int64(), nullable=False),
            pa.field("at", pa.timestamp("us", tz="UTC"), nullable=False),
            ("key", pa.binary()),
            ("value", pa.binary()),
            ("headers", pa.list_(header)),
        ]
    )


@dataclass(frozen=True)
class Notice:
    """Something a source found and people should hear of; `kind` is a word for machines."""

    kind: Literal[
        "columns_added",
        "columns_missing",
        "columns_refused",
        "dialect",
        "empty_file",
        "file_changed",
        "left_out",
        "lost",
        "nothing_found",
        "replaces_all",
        "renamed_columns",
        "said",
        "window_shortened",
    ]
    message: str
    detail: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """Rows of a feed in reading order.

    Columns: `_origin` string, `_position` int64, `_defect` string and `_raw` binary (both null in a good row), then the
    feed's own. `cursor` lies after the last row, or is None where a load may not end. `unchanged` says, of a batch with
    a cursor, that the load which ends with it holds just what the last one held: it is thrown away.
    """

    rows: pa.Table
    cursor: Cursor | None = None
    bytes: int = 0
    notices: Sequence[Notice] = ()
    unchanged: bool = False


@dataclass(frozen=True)
class Finding:
    """What connecting told of a feed: `error`, a run would fail; `warning`, it would be slow or miss something."""

    feed: str
    severity: Literal["error", "warning", "ok"]
    message: str
    hint: str | None = None


@dataclass(frozen=True)
class FoundColumn:
    """A column as a database declares it. `type` is a contract's logical type, `physical` the database's own word.

    `path` says where it stands in a document (`$.price."$numberDecimal"`), where not under its name.
    """

    name: str
    type: str
    physical: str = ""
    required: bool = False
    description: str = ""
    path: str = ""


@dataclass(frozen=True)
class FoundStream:
    """A table, collection or list that a source could bring; `keys` are what its stream says in catchment.yaml.

    `key` names its primary key, `references` are (columns, table, its columns), `rows` about how many there are.
    `evidence` says by column or key of the stream why it is proposed.
    """

    name: str
    keys: Mapping[str, JSON]
    columns: Sequence[FoundColumn] = ()
    key: Sequence[str] = ()
    references: Sequence[tuple[Sequence[str], str, Sequence[str]]] = ()
    rows: int | None = None
    evidence: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Description:
    """What a feed looks like and what is new in it, without reading rows."""

    items: int = 0  # new files, pages, partitions
    bytes: int = 0
    item: str = "file"
    notices: Sequence[Notice] = ()
    at_least: bool = False  # more than `items` may follow: nobody tells how many without reading them

    @property
    def is_new(self) -> bool:
        return self.items > 0


@dataclass(frozen=True)
class Pin:
    """A version of a table that can be read again while it is kept."""

    version: int
    generation: int


@dataclass(frozen=True)
class Progress:
    """How far a table has come; rides in the commit that moved it.

    `cursors` by step (`land`, `refine`), `judged` the numbers of refine runs whose verdicts count, as closed ranges,
    `waiting` those whose rows still wait for a reference, `definition` the fingerprint of what its rows were made
    with, `segments` what was seen on the way (files that were read, figures of loads), `cut_off` the loads that were
    taken out again (a rewind, a restore), as closed ranges.
    """

    generation: int = 0
    parent: int | None = None
    cursors: Mapping[str, Mapping[str, JSON]] = field(default_factory=dict)
    judged: Sequence[tuple[int, int]] = ()
    waiting: Sequence[tuple[int, int]] = ()
    definition: str | None = None
    segments: Sequence[str] = ()
    cut_off: Sequence[tuple[int, int]] = ()

    @property
    def shards(self) -> int:
        """Of how many bronze tables of its stream this is one."""
        return int(str(self.cursors.get("shards", {}).get("of", 1)))


@dataclass(frozen=True)
class Token:
    """How far a live store has come with a silver table: everything up to `generation` is in it.

    `at` is when that commit was made: another table can have the same numbers. `rows` are those that the table shows
    then, `definition` the fingerprint of what they were made with.
    """

    generation: int
    version: int
    at: str = ""
    definition: str | None = None
    rows: int = 0


@dataclass(frozen=True)
class LiveDifference:
    """What applying metrics to a live store would do to a metric, or to a silver table's rows there (`anew`)."""

    name: str
    kind: Literal["add", "change", "remove", "anew"]
    words: str


@dataclass(frozen=True)
class Glance:
    """Where a table stands. `mark` is another one after every commit, and where the table is another."""

    pin: Pin
    progress: Progress
    mark: str


@dataclass(frozen=True)
class Claim:
    """A generation that nobody else will ever write; `base` is the one it was made over."""

    table: TableName
    shard: int
    number: int
    base: int


@dataclass(frozen=True)
class DataFile:
    """A Parquet file with the statistics that its table keeps: per column (min, max, null count)."""

    path: str  # absolute
    rows: int
    bytes: int
    statistics: Mapping[str, tuple[JSON, JSON, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Leftover:
    """A file that upkeep may take away or join with others."""

    path: str  # absolute
    bytes: int


@dataclass(frozen=True)
class Kept:
    """What of one table must stay readable: versions from `first` on, which name `files` and, by shard, `generations`.

    `oldest` is the generation that the table had when the retention began, 0 where it is younger: numbers below it
    were all claimed before that.
    """

    first: int
    files: frozenset[str]
    generations: Mapping[int, frozenset[int]]
    oldest: int


@dataclass(frozen=True)
class Change:
    """Files in and out, in one commit. `schema` only where `remove` is "all": the table is made anew.

    `what` is the word under which the table's history tells it.
    """

    add: Sequence[DataFile] = ()
    remove: Sequence[str] | Literal["all"] = ()
    schema: pa.Schema | None = None
    what: str = ""


# What a commit of silver may have done for its new rows to be all that changed; the last two are an upkeep's and
# delta-rs' own.
ADDITIVE = frozenset({"refine", "go on", "accept", "widen", "maintain", "OPTIMIZE"})


@dataclass(frozen=True)
class Commit:
    """What a table became."""

    pin: Pin
    at: datetime
    rows_added: int | None = None
    operation: str = ""


@dataclass(frozen=True)
class Scan:
    """Files to read, their common schema, and the span of loads that rows must lie in, `(after, to]`.

    `judged`, of a quarantine table, are the numbers of refine runs whose verdicts count, as closed ranges; with
    `waiting`, those of the rows that still wait, it is asked for a row's status as well. `shown`
    leaves out the rows that a table only keeps for itself (`naming.HIDDEN`).
    """

    files: Sequence[str]
    schema: pa.Schema
    loads: tuple[int, int] | None = None
    rows: int = 0  # in the files, before the span is applied; those that are shown, where only they are read
    judged: Sequence[tuple[int, int]] | None = None
    waiting: Sequence[tuple[int, int]] | None = None
    shown: bool = False


@dataclass(frozen=True)
class Verdict:
    """What a rule over a whole load says."""

    rule: str
    passed: bool
    message: str
    severity: Literal["warn", "stop"] = "warn"


@dataclass(frozen=True)
class Step:
    """One thing to do: reads named tables, writes one table; doing it twice changes nothing."""

    kind: Literal["land", "refine", "publish", "feed", "model"]
    name: str  # feed for land, table for refine, "gold" for model and publish; silver table or live feed for the others
    reads: tuple[str, ...] = ()
    writes: str = ""

    @property
    def id(self) -> str:
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True)
class Order:
    """What somebody asked of one step, instead of taking what is new.

    `loads` is the span to backfill, `(after, to]`, of `stream` where a table has several; `to` the generation to go
    back to, for restore and rewind.
    """

    verb: Literal["rebuild", "forward", "replay", "accept", "backfill", "restore", "rewind", "adopt"]
    loads: tuple[int, int] | None = None
    stream: str | None = None
    to: int | None = None


@dataclass(frozen=True)
class Pending:
    """What one step would do now.

    `changed` says how the definition differs from the one that the table's rows were made with: (edit, effect).
    `choices` are the orders of which a run wants one, none where it goes on by itself; a rebuild reads `rows`.
    `error` says why it cannot be told, and `hint` the cure; then `is_new` is False.
    """

    step: Step
    is_new: bool
    words: str  # "2 new files, 11 MB", "after land", "nothing new"
    changed: Sequence[tuple[str, str]] = ()
    choices: Sequence[str] = ()
    rows: int | None = None
    error: str | None = None
    hint: str | None = None


@dataclass(frozen=True)
class Rejected:
    """One row in quarantine. `reasons` are (column or None, rule, message, value or None); `raw` is JSON text.

    `status` is rejected, waiting (for a row that it refers to) or held.
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
    """A live figure, and how many commits of its silver table it is behind: None where it has never been fed."""

    metric: str
    table: str
    behind: int | None
    differences: Sequence[str] = ()


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

    one: Mapping[str, JSON] | None = None
    other: Mapping[str, JSON] | None = None


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


def bronze_schema(columns: Sequence[str | pa.Field]) -> pa.Schema:
    """A bronze table's columns: ours (`naming.BRONZE_COLUMNS`), then a feed's own; a bare name is text."""
    import pyarrow as pa

    ours = (
        ("_shard", pa.int32()),
        ("_load", pa.int64()),
        ("_row", pa.int64()),
        ("_origin", pa.string()),
        ("_position", pa.int64()),
        ("_loaded_at", pa.timestamp("us", tz="UTC")),
        ("_defect", pa.string()),
        ("_raw", pa.binary()),
    )
    return pa.schema([*ours, *(pa.field(c, pa.string()) if isinstance(c, str) else c for c in columns)])


def change_columns() -> list[pa.Field]:
    """What a source of changes brings: `naming.CHANGE_COLUMNS`."""
    import pyarrow as pa

    at = pa.timestamp("us", tz="UTC")
    return [pa.field(name, at if name == "committed_at" else pa.string()) for name in CHANGE_COLUMNS]
