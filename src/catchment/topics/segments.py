"""One segment of a topic: a SQLite file that holds the messages of all partitions for a while.

A table for each partition, `p0`, `p1` …, whose rowid is the offset: what is written goes to the end of a tree, what is
read is one range of it. `starts` are the next offsets from before the segment; they never change. `publications`, where
there are any, say how far each has come and who may write for it; the next segment begins with a copy of them.

Every write is made under the topic's file lock, and so is every checkpoint but that of the last one to close a file,
who is alone. That is more than SQLite asks for, and keeps clear of a bug of all versions before 3.51.3, by which
checkpoints beside a write can break a file (https://sqlite.org/wal.html#walresetbug).
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catchment.errors import FatalError, RetryableError
from catchment.records import Message, Offsets, message_schema

if TYPE_CHECKING:
    import pyarrow as pa

# What a later layout counts up from, so that an older Catchment can say that it is too old. A segment has the second
# layout once it holds publications, which an older one would not take over into the next.
LAYOUT, WITH_PUBLICATIONS = 1, 2

# Microseconds since 1970, event time (NULL: as written), and headers as JSON, their bytes as Latin-1 text.
Row = tuple[int | None, bytes | None, bytes | None, str | None]

_PUBLICATIONS = (
    "create table if not exists publications (name text primary key, epoch integer not null, progress text);"
    f"pragma user_version = {WITH_PUBLICATIONS};"
)
_TABLE = "create table p{} (offset integer primary key, written integer not null, at integer, key, value, headers)"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_BUSY_S = 10.0
_BROKEN = "bring the topic's folder back from a copy, or move it away and begin a new topic"

# Made once: `json.dumps` makes one for every call that is not like the others.
_written = json.JSONEncoder(ensure_ascii=False).encode

# A batch ends after so many bytes of keys and values, however few messages that are.
_BATCH_BYTES = 32 << 20

# So many rows are taken at a time, made into Arrow and let go of: they stay in the processor's cache meanwhile, and are
# fewer than those (700) after which Python looks for garbage.
_AT_ONCE = 512

# Connections of a process that was forked: SQLite forbids the child to use them, and even to close them.
_INHERITED: list[sqlite3.Connection] = []


@dataclass(frozen=True)
class Published:
    """How far a publication has come, as JSON, and the number of who opened it last: nobody else may write for it."""

    name: str
    epoch: int
    progress: str | None = None


def microseconds(instant: datetime) -> int:
    """Since 1970; the instant must have a zone."""
    return (instant - _EPOCH) // _MICROSECOND


def instant(microseconds: int) -> datetime:
    """What `microseconds` tells."""
    return _EPOCH + microseconds * _MICROSECOND


def row(message: Message) -> Row:
    """A message as its partition's table keeps it."""
    at = None if message.at is None else microseconds(message.at)
    headers = None
    if message.headers:
        headers = _written([[name, value.decode("latin-1")] for name, value in message.headers])
    return at, message.key, message.value, headers


def create(path: Path, starts: Offsets, created: int, published: Sequence[Published] = ()) -> None:
    """A segment without messages, whole and durable under this name once it returns; `created` in microseconds.

    Called under the topic's lock. What a killed process left of an attempt is replaced.
    """
    draft = path.with_name(f"{path.name}~")
    for left in (draft, *(draft.with_name(f"{draft.name}-{of}") for of in ("journal", "wal", "shm"))):
        left.unlink(missing_ok=True)  # SQLite would replay an old log into the new file
    with _in_words(draft):
        connection = sqlite3.connect(draft, isolation_level=None)
        try:
            connection.executescript(
                f"pragma synchronous = full; pragma journal_mode = off; pragma user_version = {LAYOUT}; begin;"
                "create table about (created integer not null);"
                "create table starts (partition integer primary key, offset integer not null);"
            )
            connection.execute("insert into about values (?)", (created,))
            connection.executemany("insert into starts values (?, ?)", starts.items())
            for partition in starts:
                connection.execute(_TABLE.format(partition))
            connection.execute("commit")
            for one in published:
                _keep(connection, one)
            connection.execute("pragma journal_mode = wal")
        finally:
            connection.close()
    sync(draft)
    draft.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Make a file's content, or the names in a folder, outlast a power cut.

    Never of a segment in use: closing a file gives up the locks that SQLite has on it in this process.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    """SQLite's errors as ours; a wrong call of it is a bug and stays what it is."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise
    except sqlite3.OperationalError as error:
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from error
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            message = f"{path} is busy: another process has kept it for {_BUSY_S:g} s"
            raise RetryableError(message) from error
        message = f"cannot read or write {path}: {error}"
        raise FatalError(message, hint="look at the free space and the rights there, then run again") from error
    except sqlite3.DatabaseError as error:
        message = f"{path} is broken: {error}"
        raise FatalError(message, hint=_BROKEN) from error


class Segment:
    """A segment that one thread has open. It goes on being readable after its file was unlinked."""

    def __init__(self, path: Path, *, is_closed: bool = False) -> None:
        """Raises FileNotFoundError where it is gone. One that `is_closed` nobody writes any more: it is opened without
        the files beside it, for which a full disk has no room."""
        self.path = path
        self._is_closed = is_closed
        self.inode = path.stat().st_ino
        self._process = os.getpid()
        with _in_words(path):
            self._connection = _connected(path, "mode=ro&immutable=1" if is_closed else "mode=rw")
            self.created: int = self._connection.execute("select created from about").fetchone()[0]
            self.starts: Mapping[int, int] = dict(self._connection.execute("select partition, offset from starts"))

    def __del__(self) -> None:
        connection: sqlite3.Connection | None = getattr(self, "_connection", None)  # None: it could not be opened
        if connection is not None and self._process == os.getpid():
            connection.close()
        elif connection is not None:
            _INHERITED.append(connection)

    def version(self) -> int:
        """Changes when somebody else has written."""
        with _in_words(self.path):
            return int(self._connection.execute("pragma data_version").fetchone()[0])

    def bytes(self) -> int:
        """How large it is, with what has not been moved out of SQLite's own log."""
        with _in_words(self.path):
            pages, size = (self._connection.execute(f"pragma {of}").fetchone()[0] for of in ("page_count", "page_size"))
        return int(pages * size)

    def ends(self, partitions: int) -> dict[int, int]:
        """The next offset of each partition, all as of one moment."""
        with _in_words(self.path):
            return self._ends(range(partitions))

    def _ends(self, partitions: Iterable[int]) -> dict[int, int]:
        asked = " union all ".join(f"select {n}, max(offset) from p{n}" for n in partitions)
        found = dict(self._connection.execute(asked))
        return {n: self.starts.get(n, 0) if last is None else last + 1 for n, last in found.items()}

    def all_ends(self) -> dict[int, int]:
        """As `ends`, of the partitions that there were when it was written."""
        with _in_words(self.path):
            return self._ends(self._partitions())

    def _partitions(self) -> list[int]:
        named = self._connection.execute("select name from sqlite_master where name glob 'p[0-9]*'")
        return sorted(int(table[1:]) for (table,) in named)

    def written(self) -> int | None:
        """When the newest message was written, in microseconds; None where there is none."""
        with _in_words(self.path):
            newest = [
                self._connection.execute(f"select written from p{n} order by offset desc limit 1").fetchone()
                for n in self._partitions()
            ]
        return max((found[0] for found in newest if found is not None), default=None)

    def add_partitions(self, partitions: Sequence[int]) -> None:
        """Called under the topic's lock."""
        with _in_words(self.path):
            for partition in partitions:
                create_one = _TABLE.format(partition).replace("create table", "create table if not exists")
                self._connection.execute(create_one)

    def published(self) -> list[Published]:
        """Every publication as it stands, in no order."""
        with _in_words(self.path):
            if self._connection.execute("pragma user_version").fetchone()[0] < WITH_PUBLICATIONS:
                return []
            found = self._connection.execute("select name, epoch, progress from publications").fetchall()
        return [Published(*row) for row in found]

    def publish(self, one: Published) -> None:
        """Keep how a publication stands; called under the topic's lock."""
        with _in_words(self.path):
            _keep(self._connection, one)

    def append(
        self, rows: Mapping[int, Sequence[Row]], written: int, published: Published | None = None
    ) -> dict[int, int]:
        """Write rows by partition, and how far their publication has come then, all or none, durable when it returns;
        called under the topic's lock.

        The next offset of each partition. What a clock says that went back is not taken: retention goes by the newest
        message, and would take with it those that were written before.
        """
        with _in_words(self.path), _transaction(self._connection) as connection:
            ends = {}
            if published is not None:
                kept = "update publications set progress = ? where name = ? and epoch = ?"
                connection.execute(kept, (published.progress, published.name, published.epoch))
            for partition, new in rows.items():
                newest = f"select offset, written from p{partition} order by offset desc limit 1"
                last, before = connection.execute(newest).fetchone() or (None, self.created)
                first = self.starts.get(partition, 0) if last is None else last + 1
                at = max(written, before)
                numbered = ((offset, at, *values) for offset, values in enumerate(new, first))
                connection.executemany(f"insert into p{partition} values (?, ?, ?, ?, ?, ?)", numbered)
                ends[partition] = first + len(new)
        return ends

    def read(self, partition: int, offset: int, until: int, messages: int) -> pa.RecordBatch | None:
        """The next messages from `offset` on and before `until`, None where there are none."""
        parts: list[pa.RecordBatch] = []
        size, several = 0, 16
        asked = f"select offset, coalesce(at, written), key, value, headers from p{partition}"
        with _in_words(self.path):
            cursor = self._connection.execute(
                f"{asked} where offset >= ? and offset < ? order by offset limit ?", (offset, until, messages)
            )
            while size < _BATCH_BYTES and (rows := cursor.fetchmany(several)):
                parts.append(_batch(partition, tuple(zip(*rows, strict=True))))
                rows.clear()
                size += sum(parts[-1].column(name).nbytes for name in ("key", "value"))
                several = min(2 * several, _AT_ONCE)
            cursor.close()  # an open one would hold on to old pages
        return _joined(parts) if parts else None

    def settle(self) -> bool:
        """Move everything into the file itself; whether that is all there. Called under the topic's lock."""
        if self._is_closed:
            return True
        with _in_words(self.path):
            busy, log, moved = self._connection.execute("pragma wal_checkpoint(passive)").fetchone()
        return not busy and bool(log == moved)


def _connected(path: Path, how: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?{how}"
    # Whoever closes a broker may be another thread than the one that opened the file.
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_BUSY_S, check_same_thread=False)
    try:
        connection.executescript("pragma synchronous = full; pragma fullfsync = on")
        layout = connection.execute("pragma user_version").fetchone()[0]
        if not layout:
            message = f"{path} is broken: it is empty, or no segment of a topic"
            raise FatalError(message, hint=_BROKEN)
        if layout not in (LAYOUT, WITH_PUBLICATIONS):
            message = f"{path} has layout {layout}, this Catchment knows {LAYOUT} and {WITH_PUBLICATIONS} only"
            raise FatalError(message, hint="install the version of Catchment that wrote it, or a newer one")
    except BaseException:
        # What could not be opened is not left to whoever holds the error: the other connections of this process would
        # find the file's shared memory as it left it, and its room would stay taken.
        connection.close()
        raise
    return connection


def _keep(connection: sqlite3.Connection, one: Published) -> None:
    """A publication in a segment, in the place of what is said of it there."""
    connection.executescript(_PUBLICATIONS)
    connection.execute("insert or replace into publications values (?, ?, ?)", (one.name, one.epoch, one.progress))


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("begin immediate")
    try:
        yield connection
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise


def _joined(parts: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.concat_batches(parts)


def _batch(partition: int, columns: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    import pyarrow as pa

    schema = message_schema()
    offsets, instants, keys, values, headers = columns
    arrays = [
        pa.repeat(pa.scalar(partition, pa.int32()), len(offsets)),
        pa.array(offsets, pa.int64()),
        pa.array(instants, pa.int64()).view(schema.field("at").type),
        pa.array(keys, pa.binary()),
        pa.array(values, pa.binary()),
        _headers(headers, schema.field("headers").type),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _headers(texts: Sequence[str | None], kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    if not any(texts):
        ends, told = pa.repeat(pa.scalar(0, pa.int32()), len(texts) + 1), []
    else:
        told = json.loads(f"[{','.join(text or '[]' for text in texts)}]")
        ends = pa.array(itertools.accumulate(map(len, told), initial=0), pa.int32())
    names = pa.array([name for of_one in told for name, _ in of_one], pa.string())
    values = pa.array([value.encode("latin-1") for of_one in told for _, value in of_one], pa.binary())
    pairs = pa.StructArray.from_arrays([names, values], fields=list(kind.value_type))
    return pa.ListArray.from_arrays(ends, pairs, type=kind)
