"""Values that cross seams. All frozen; rows travel as Arrow, instants as UTC microseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
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
    """What applying metrics to a live store would do to a metric over a silver table (its bare name), or to the table's
    rows there (`anew`)."""

    name: str
    kind: Literal["add", "change", "remove", "anew"]
    words: str
    table: str


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
