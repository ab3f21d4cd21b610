"""What can be exchanged: where rows come from, how tables rest, who computes, where gold lives, who listens.

Each interface is implemented by one file per technology and proven by one promise suite in `catchment.testing`.
Nothing here imports an implementation.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from catchment.records import (
    Abilities,
    Batch,
    Budget,
    Change,
    Claim,
    Commit,
    Cursor,
    DataFile,
    Description,
    Feed,
    FileForm,
    Finding,
    Glance,
    Kept,
    Leftover,
    LiveDifference,
    Message,
    Offsets,
    Pin,
    Progress,
    Scan,
    Token,
    TopicSpec,
)

if TYPE_CHECKING:
    import narwhals as nw
    import pyarrow as pa
    from sqlglot import exp

    from catchment.events import Event
    from catchment.metric import Live, LiveFeed
    from catchment.naming import TableName

Frame = TypeVar("Frame")
Tell = Callable[["Event"], None]


class Source(ABC):
    """Reads rows from outside. One instance a step, which a stream reads again and again, in one thread; made of its
    name, its streams, the project's folder and the other keys that its type has in catchment.yaml, references in them
    resolved.

    Guarantee: at least once from outside; exactly once in bronze, because the cursor rides in the commit that adds
    the rows.
    """

    abilities: ClassVar[Abilities]

    @abstractmethod
    def feeds(self) -> Sequence[Feed]:
        """Every feed, in the project's order; opens nothing."""

    @abstractmethod
    def describe(self, feed: Feed, since: Cursor | None) -> Description:
        """What is new after `since`, for `plan`; reads no rows and changes nothing."""

    @abstractmethod
    def read(self, feed: Feed, since: Cursor | None, budget: Budget) -> Iterator[Batch]:
        """The rows after `since`, oldest first, what cannot be read among them as defects.

        The same `since` over the same outside gives the same rows in the same order. The last batch has a cursor.
        Raises SchemaDrift, ChangedFile, or RetryableError where trying again may help.
        """

    @abstractmethod
    def acknowledge(self, feed: Feed, cursor: Cursor) -> None:
        """Called after the commit that holds `cursor`; may be repeated, may never come."""

    def wait(self, feed: Feed, since: Cursor | None, seconds: float) -> bool:
        """Wait until something is there after `since`, at most so long; whether it is, as far as can be told.

        Asked by a stream between two reads of one that has the ability `wakes`; the others are read at their pace.
        Raises RetryableError where the outside does not answer.
        """
        time.sleep(seconds)
        return False

    def joined(self, feed: Feed, cursors: Sequence[Cursor]) -> Cursor:
        """Where a shard is read on, told by the cursors of all tables that held its part before.

        Asked only of a stream that is declared with shards.
        """
        message = f"{feed.name} has no shards"
        raise NotImplementedError(message)

    @abstractmethod
    def recognize(self, feed: Feed, origins: pa.Table) -> Cursor:
        """The cursor after everything in `origins`, for a table whose own was lost: `_origin`, how many `rows` of each,
        and the greatest `_position` of them, `last`.

        Raises ConfigError where origins do not tell how far a feed was read.
        """

    @abstractmethod
    def probe(self, feed: Feed) -> Sequence[Finding]:
        """What a run would meet, found by connecting: no such table, no right to read it, a cursor without an index.

        One finding `ok` where nothing is wrong. Reads no rows, or one. Raises CatchmentError where nothing can be asked
        at all, as `read` would.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back what is held of the outside, such as connections; it may be used again after that."""


class Broker(ABC):
    """Keeps topics: ordered, partitioned logs of messages. Safe to use from several processes, each with its own.

    Offsets are the next to read. A message is there for everybody once `write` has returned, and for nobody before.
    """

    @abstractmethod
    def declare(self, topics: Sequence[TopicSpec], *, change: bool = True) -> Sequence[str]:
        """Create topics that are absent; in words, what differs in those that are there, or (without `change`) what
        would be created. Twice is once. Raises ConfigError for what cannot be."""

    @abstractmethod
    def topics(self) -> Sequence[str]:
        """Every topic by name."""

    @abstractmethod
    def spec(self, topic: str) -> TopicSpec:
        """A topic as it is. Raises ConfigError where there is no such topic."""

    @abstractmethod
    def size(self, topic: str) -> int | None:
        """Bytes that a topic takes, None where the broker does not tell. Raises ConfigError as `spec` does."""

    @abstractmethod
    def bounds(self, topic: str) -> Mapping[int, tuple[int, int]]:
        """First kept and next offset by partition. Raises ConfigError where there is no such topic."""

    @abstractmethod
    def identity(self, topic: str) -> str | None:
        """What tells a topic from one of the same name that was removed before it was made; None where nobody knows.

        As old as the answer of `bounds` at most: asked right after that it costs nothing. Raises as that does.
        """

    @abstractmethod
    def read(self, topic: str, offsets: Offsets, until: Offsets, *, messages: int = 32_768) -> Iterator[pa.RecordBatch]:
        """Messages from `offsets` (a partition that is not named: from the first one kept) up to `until`, those not
        named not at all; in batches of at most so many of one partition each, in the order of offsets.

        It ends where `until` is reached or nothing more is there; it does not wait. Columns: `records.message_schema`.
        Raises Passed where retention has taken a message that was asked for.
        """

    @abstractmethod
    def wait(self, topic: str, offsets: Offsets, seconds: float) -> bool:
        """Wait until a message at or after `offsets` is there, at most so long; whether one is."""

    @abstractmethod
    def write(self, topic: str, messages: Sequence[Message]) -> Offsets:
        """All of them or none, durable when it returns; the next offset of each partition that got one.

        Raises ConfigError where there is no such topic or partition, RetryableError where the broker does not answer,
        DataError for a message that is larger than it takes.
        """

    @abstractmethod
    def publication(self, topic: str, name: str) -> Publication:
        """Open the publication of that name into a topic; every one of the same name that was open is fenced by it.

        Raises ConfigError where there is no such topic, RetryableError where the broker does not answer.
        """

    @abstractmethod
    def published(self, topic: str, name: str) -> Mapping[str, Any] | None:
        """What a publication has last committed as its progress, None where it never did; disturbs nobody."""

    @abstractmethod
    def publications(self, topic: str) -> Mapping[str, Mapping[str, Any]]:
        """By name what every publication that ever committed something into a topic of that name has committed last, as
        far as the broker still knows; disturbs nobody. Raises ConfigError where there is no such topic."""

    @abstractmethod
    def expire(self, topic: str, now: datetime) -> int:
        """Forget what is older than the topic's retention; how many bytes went. A broker that does so itself: 0."""

    @abstractmethod
    def close(self) -> None:
        """Give back what is open; it may be used again after that."""


class Publication(ABC):
    """Writes into one topic in transactions, each with how far its writer has come. One thread at a time.

    Guarantee: messages and progress of a `write` are there together, for everybody, or neither is; who was fenced
    writes nothing any more. After an error it is closed and opened again: then `progress` says what was committed.
    """

    @abstractmethod
    def progress(self) -> Mapping[str, Any] | None:
        """What the last committed `write` of this name said, whoever made it; None where there was none."""

    @abstractmethod
    def write(self, messages: Iterable[Message], progress: Mapping[str, Any]) -> None:
        """All of the messages and the progress, or nothing; durable when it returns, and shown within moments. No
        message is fine.

        `progress` is small and JSON. Raises Conflict where another publication of the name was opened meanwhile,
        RetryableError where it is not known whether it was committed, else as `Broker.write` does.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back what is open."""


class Lake(ABC):
    """Finds tables. Names are `layer.name`; where the files lie is its own business."""

    @abstractmethod
    def open(self, name: TableName, at: int | datetime | None = None) -> Table | None:
        """The table as of now, as of a version, or as of an instant; None where there is no table, or none yet.

        Raises ConfigError where that version is no longer kept. What is opened in the past can only be read.
        """

    @abstractmethod
    def glance(self, name: TableName) -> Glance | None:
        """What `open` would tell, as cheaply as it can be told: for plans over very many tables. Raises Unfenced."""

    @abstractmethod
    def seen(self, name: TableName, progress: Progress) -> pa.Table | None:
        """`Table.seen` of a table in this state, unopened."""

    @abstractmethod
    def seen_files(self, name: TableName, progress: Progress) -> Sequence[str]:
        """The Parquet files that hold it, oldest first."""

    @abstractmethod
    def create(self, name: TableName, schema: pa.Schema) -> Table:
        """A new table at generation 0; the one that is there where another process was faster."""

    @abstractmethod
    def list(self, layer: str | None = None) -> Sequence[TableName]:
        """Every table, by name, unopened."""

    @abstractmethod
    def upkeep(self, name: TableName) -> Upkeep | None:
        """Who keeps a table tidy, None where there is no table."""

    @abstractmethod
    def at_work(self) -> AbstractContextManager[None]:
        """Until the end of the block nothing is taken that was there at its beginning, whatever the retention is."""

    @abstractmethod
    def at_work_since(self) -> datetime | None:
        """When the one began who has been at work for longest, on this machine; None where nobody is."""

    @abstractmethod
    def definitions(self) -> Sequence[Leftover]:
        """Every definition that is kept, named by its fingerprint."""

    @abstractmethod
    def forget_definitions(self, found: Sequence[Leftover], since: datetime) -> int:
        """Remove definitions that nobody has kept or kept again since an instant; how many bytes went."""

    @abstractmethod
    def keep_definition(self, fingerprint: str, definition: Mapping[str, Any]) -> None:
        """Keep what tables' rows are made with, before the first commit that names the fingerprint; twice is once."""

    @abstractmethod
    def definition(self, fingerprint: str) -> Mapping[str, Any] | None:
        """What `keep_definition` kept, or None."""


class Table(ABC):
    """One handle at one version: what is read and what is committed through it belong together."""

    name: TableName

    @property
    @abstractmethod
    def pin(self) -> Pin:
        """The version of this handle."""

    @abstractmethod
    def schema(self) -> pa.Schema:
        """Columns in table order."""

    @abstractmethod
    def progress(self, shard: int = 0) -> Progress:
        """Generation and state of this handle's version; raises Unfenced."""

    @abstractmethod
    def put_back(self, shard: int = 0) -> int | None:
        """The version whose rows another program brought back over ours; None where it did not, or where nobody
        knows."""

    @abstractmethod
    def descends(self, generation: int, shard: int = 0) -> bool:
        """Whether this version was made over that generation, so that its loads are still in the table.

        A generation that a restore or a rewind has cut off is none; one that is so old that nobody kept it is.
        """

    @abstractmethod
    def seen(self, shard: int = 0) -> pa.Table | None:
        """Everything that commits up to this version added as `seen`, or None: of bronze the files that were read, of
        silver the figures of its loads."""

    @abstractmethod
    def scan(
        self,
        *,
        loads: tuple[int, int] | None = None,
        within: Mapping[str, tuple[Any, Any]] | None = None,
        hidden: bool = False,
    ) -> Scan:
        """The files of this version that may hold rows of the span `(after, to]`, chosen by their statistics.

        `within` names columns and the least and greatest value that matter: files without them are left out, the rows
        of the others are not. Rows that the table keeps for itself are shown with `hidden` only.
        """

    @abstractmethod
    def files(self) -> Sequence[DataFile]:
        """Every file of this version with its statistics, so that a later version can have it again."""

    @abstractmethod
    def folder(self) -> str:
        """Where new data files of this table are to be written; they count once they are committed."""

    @abstractmethod
    def claim(self, shard: int = 0, *, above: int = 0) -> Claim:
        """A number that nobody else has or will have, taken before the first row is written.

        It lies above `above`, too: rows can hold numbers that nobody remembers.
        """

    @abstractmethod
    def add_columns(self, claim: Claim, columns: pa.Schema, progress: Progress) -> Table:
        """Widen the table in a generation of its own; the handle after it. Raises Conflict."""

    @abstractmethod
    def commit(self, claim: Claim, change: Change, progress: Progress, *, seen: pa.Table | None = None) -> Commit:
        """State first, then files out and in, in one commit through this handle. Raises Conflict.

        What was `seen` is kept beside the state, and is there where the commit is.
        The generation of `progress` becomes the new one's parent: what is committed was made over it, mostly over the
        newest. A file of an older version may come in again. After it this handle is stale: open the table again.
        """

    @abstractmethod
    def history(self, limit: int | None = None) -> Sequence[Commit]:
        """Newest first."""


class Upkeep(ABC):
    """Keeps one table tidy. It changes no row and no state, so none of it needs a fence; a run may go on beside it.

    `since` is when the retention begins: whatever is younger stays, so that no reader and no writer is harmed.
    """

    @abstractmethod
    def kept(self, since: datetime, pinned: Collection[int] = ()) -> Kept:
        """What must stay: the version that was the newest at `since`, all after it, and the pinned ones.

        Raises ConfigError where it cannot be told what a pinned version needs.
        """

    @abstractmethod
    def states(self, kept: Kept) -> Iterator[Progress]:
        """The states of the versions that are kept, as far as they can be read."""

    @abstractmethod
    def small(self) -> Sequence[Leftover]:
        """Files of the newest version that `compact` would join."""

    @abstractmethod
    def compact(self) -> int:
        """Join small files in a commit of its own; how many went. Raises Conflict."""

    @abstractmethod
    def checkpoint(self) -> None:
        """Make the table quick to open."""

    @abstractmethod
    def expired(self, kept: Kept, since: datetime) -> Sequence[Leftover]:
        """What only tells of versions that are neither kept nor younger."""

    @abstractmethod
    def expire(self, kept: Kept, since: datetime) -> int:
        """Remove what `expired` names; how many bytes went."""

    @abstractmethod
    def unnamed(self, kept: Kept, since: datetime) -> Sequence[Leftover]:
        """Older data files that nothing kept names, those of processes that died before their commit among them."""

    @abstractmethod
    def unnamed_states(self, kept: Kept, since: datetime, least: int | None) -> Sequence[Leftover]:
        """Older progress objects that nothing kept names.

        From generation `least` on all are left: somebody asks whether the table descends from it.
        """

    @abstractmethod
    def remove(self, found: Sequence[Leftover], since: datetime) -> int:
        """Remove what is still older; how many bytes went."""


class Engine(ABC, Generic[Frame]):
    """Computes on frames of its own, lazily. One instance a step, one thread; memory under its declared limit.

    Queries are sqlglot trees in DuckDB's dialect, rendered for the engine; identifiers in them are quoted.
    """

    memory_bytes: int

    @abstractmethod
    def frame(self, rows: Scan | pa.Table, *, file_column: str | None = None) -> Frame:
        """Rows of table files within the scan's span, columns that a file lacks as nulls; or an Arrow table.

        `file_column` adds one that names each row's file.
        """

    @abstractmethod
    def query(self, sql: exp.Query, frames: Mapping[str, Frame]) -> Frame:
        """A query over named frames; names are matched as they are written."""

    @abstractmethod
    def kept(self, frame: Frame) -> Frame:
        """The same rows, computed now and once, under the memory limit; for what is read several times."""

    @abstractmethod
    def lazy(self, frame: Frame) -> nw.LazyFrame[Any]:
        """The frame as user code sees it."""

    @abstractmethod
    def native(self, lazy: nw.LazyFrame[Any]) -> Frame:
        """What user code gave back, as a frame again."""

    @abstractmethod
    def schema(self, frame: Frame) -> pa.Schema:
        """Columns and types that the frame will have; computes nothing."""

    @abstractmethod
    def tree(self, frame: Frame) -> exp.Expr:
        """How the frame will be computed, for the rules of a refine function; computes nothing."""

    @abstractmethod
    def fetch(self, sql: exp.Query, frames: Mapping[str, Frame]) -> pa.Table:
        """A small result: figures for verdicts and events, rows for people."""

    @abstractmethod
    def write(self, frame: Frame, folder: str, prefix: str) -> Sequence[DataFile]:
        """Parquet files of about 128 MB with statistics, named `prefix-….parquet`; no file where there is no row."""

    @abstractmethod
    def write_batches(
        self, batches: Iterable[pa.RecordBatch], schema: pa.Schema, folder: str, prefix: str
    ) -> Sequence[DataFile]:
        """The same from Arrow, streamed."""

    @abstractmethod
    def close(self) -> None:
        """Give memory and spill files back."""


class Build(ABC):
    """A place beside the served gold where dbt works.

    `base` is what was served when it was begun: over anything else it cannot be published. `untold` are loaded tables
    of which it cannot be told what changed since the build that this one goes on from.
    """

    number: int
    path: Path
    base: Mapping[str, Any] | None
    untold: list[TableName]


class Warehouse(ABC):
    """Holds gold. What is served changes only in publish."""

    abilities: ClassVar[Abilities]

    @abstractmethod
    def served(self) -> Mapping[str, Any] | None:
        """What the served gold was made of (`build`, `pins`, `project`, `models`), or None where there is none.

        `rows` are those of its tables, by `schema.name`.
        """

    @abstractmethod
    def kept(self) -> Sequence[Mapping[str, Any]]:
        """What the builds that can be served were made of, as `served` tells it: the served one, then the newest."""

    @abstractmethod
    def build(self, of: int | None = None, keep: Collection[str] | None = None) -> Build:
        """A fresh place; what a dead process left behind is removed.

        Empty, or with all that build `of` holds, or with its tables `keep` (`schema.name`) only, which then go on: what
        is loaded shows the rows that came and left since. Of those, the ones that are no model of what is published are
        dropped then. Raises Conflict where build `of` is no longer kept.
        """

    @abstractmethod
    def load(
        self, build: Build, name: TableName, scan: Scan, columns: Sequence[str], also: Collection[str] = ()
    ) -> None:
        """Make a table of the lake readable in the build, pinned to one version; `also` under these `schema.name`."""

    @abstractmethod
    def profile(self, build: Build, at: Path | None = None) -> Mapping[str, Any]:
        """dbt's output block for this build, once all is loaded; `at` is a lasting name of the build's folder."""

    @abstractmethod
    def publish(self, build: Build, made_of: Mapping[str, Any]) -> None:
        """Serve it, together with what it was made of; twice is once. Raises Conflict over a newer one.

        The last three builds are kept; `of` in `made_of` names one whose content this one has, which is then not.
        """

    @abstractmethod
    def discard(self, build: Build) -> None:
        """Drop the build and nothing else."""

    @abstractmethod
    def query(
        self, sql: str, tables: Mapping[TableName, Scan] | None = None, *, gold: bool = True
    ) -> pa.RecordBatchReader:
        """Read the served gold and the lake's `tables`, of which only those are looked up that `sql` mentions.

        Works where there is no gold yet; without `gold` as if there were none. What cannot be read is a ConfigError
        with the warehouse's own words.
        """

    @abstractmethod
    def export(
        self,
        sql: str,
        tables: Mapping[TableName, Scan],
        path: Path,
        form: FileForm,
        *,
        gold: bool = True,
        told: Callable[[float], None] | None = None,
    ) -> int:
        """Write what `query` would read into a new file, in bounded memory; the number of rows.

        No digit is lost: in Parquet types stay, in text decimals are written out, instants are ISO 8601 in UTC and
        nested values JSON; in CSV a null is nothing and an empty text is quoted. `told` hears now and then which share
        (0-1) is done. Raises as `query` does, and may leave a part of the file behind then.
        """


class LiveStore(ABC):
    """Keeps figures of now: rows of silver tables as they are by the newest version of each key, and metrics over them
    as views. One instance a process, one thread; two processes that feed one store wait for each other or do no harm.

    Guarantee: rows that come again, in whatever order and however often, change no figure; a process that is killed
    anywhere leaves figures that the next feed makes right.
    """

    @abstractmethod
    def apply(self, live: Live, mode: Literal["show", "do"]) -> Sequence[LiveDifference]:
        """What is not as the project says, in words; with `do` it is made so, but for rows: of a feed whose definition
        changed the figures of before stay until it is fed anew."""

    @abstractmethod
    def progress(self, feed: LiveFeed) -> Token | None:
        """How far the feed has come here; None where it has to be fed anew, made by this definition."""

    @abstractmethod
    def feed(
        self,
        feed: LiveFeed,
        rows: pa.RecordBatchReader,
        token: Token,
        *,
        anew: bool = False,
        since: Token | None = None,
    ) -> int:
        """Take the rows and then the token; how many rows were new. A token that is not after the progress is nothing.

        `since` is the progress that they go on from: where it is another by now, nothing is taken and Conflict raised.
        `rows` have the feed's columns, those of `metric.VERSION`, `metric.DELETED` and `metric.EXPIRES`. With `anew`
        they are all rows: what was there is served until they are whole, then they in its place, in one change.
        """

    @abstractmethod
    def query(self, sql: str) -> pa.RecordBatchReader:
        """A reading statement; metrics are views in schema `live`. Raises ConfigError with the store's own words."""

    @abstractmethod
    def statements(self, live: Live, columns: Mapping[str, pa.Schema]) -> Sequence[str]:
        """The store's own SQL of all that it is made of once these metrics are applied and fed, for people; `columns`
        are those of each feed's rows. Nothing is changed, and no secret told."""

    @abstractmethod
    def close(self) -> None:
        """Give back what is open; it may be used again after that."""


class Listener(ABC):
    """Hears a run."""

    @abstractmethod
    def on(self, event: Event) -> None:
        """In order, one at a time, from any thread; what it raises is reported, never passed to the run."""
