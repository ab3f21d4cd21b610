"""Collections of MongoDB: whole documents as extended JSON, by a cursor or all of them.

With a cursor each read begins so much before the last value as the stream's lookback says and leaves out what has
landed: documents that are written late are found, none lands twice, and one that has changed inside the window lands
again. The last value never lies after the server's clock. Without a cursor a collection is read whole, and thrown away
where it holds what it held before. Guarantee: exactly once in bronze, because value and window ride in the commit.
Nothing is written to the database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import pyarrow as pa
from pymongo.collation import Collation
from pymongo.errors import OperationFailure

from catchment import naming
from catchment.errors import ConfigError, DataError, SchemaDrift
from catchment.interfaces import Source
from catchment.records import Abilities, Batch, Budget, Cursor, Description, Feed, Finding, Notice
from catchment.sources.document_rows import Rows, Whole, mark, packed
from catchment.sources.mongodb.cursor import LEAST, Position, Window, comparable, kind_of, lookback_of
from catchment.sources.mongodb.documents import (
    Rendering,
    Unrepresentable,
    documents,
    from_json,
    value_of,
)
from catchment.sources.mongodb.find import find
from catchment.sources.mongodb.server import Documents, Server

__all__ = ["MongoSource", "find"]

# So many new documents are counted one by one in the window; a longer row of them the server counts.
_COUNTED = 10_000

# So many documents are asked for at a time.
_AT_A_TIME = 2000

# Rows wait for each other until they are worth handing on.
_BATCH = 8 << 20


class MongoStream(Protocol):
    """What a project says about a collection."""

    @property
    def collection(self) -> str: ...
    @property
    def cursor(self) -> str | None: ...
    @property
    def lookback(self) -> str | int | None: ...
    @property
    def filter(self) -> Mapping[str, Any] | None: ...
    @property
    def projection(self) -> Sequence[str] | None: ...
    @property
    def extended_json(self) -> Literal["canonical", "relaxed"]: ...


class MongoSource(Source):
    """Streams of collections of one database."""

    abilities: ClassVar[Abilities] = Abilities(
        keeps_types=True, brings_documents=True, takes_new=True, takes_whole=True, resumes=True
    )

    def __init__(
        self, name: str, streams: Mapping[str, MongoStream], folder: Path, *, url: str, database: str | None = None
    ) -> None:
        self.name = name
        self._streams = dict(streams)
        self._server = Server(url, database)

    def feeds(self) -> Sequence[Feed]:
        names = [f"{self.name}.{stream}" for stream in self._streams]
        return [Feed(name, naming.bronze_table(name)) for name in names]

    def describe(self, feed: Feed, since: Cursor | None) -> Description:
        """With a cursor counts what is new; reads the window for it, and keeps nothing."""
        with self._server.told(feed.name):
            asked = self._asked(feed)
            if asked.stream.cursor is None:
                return asked.describe_whole(since)
            return Following(asked, asked.stream.cursor, since).describe()

    def read(self, feed: Feed, since: Cursor | None, budget: Budget) -> Iterator[Batch]:
        """With a cursor a load may end wherever its value changes, else only at the end."""
        with self._server.told(feed.name):
            asked = self._asked(feed)
            limit = budget.rows if since is None and budget.rows is not None else 0
            if asked.stream.cursor is None:
                yield from asked.read_whole(since, limit)
            else:
                yield from Following(asked, asked.stream.cursor, since).read(budget, limit)

    def acknowledge(self, feed: Feed, cursor: Cursor) -> None:
        """A collection does not want to hear."""

    def recognize(self, feed: Feed, origins: pa.Table) -> Cursor:
        """Raises ConfigError: rows in bronze do not tell up to which value a collection was read."""
        message = f"the rows of {feed.table} do not tell how far {feed.name} was read"
        raise ConfigError(message, hint=f"move {feed.table} away and run again: the collection is read anew")

    def probe(self, feed: Feed) -> Sequence[Finding]:
        """Reads one document, its indexes and how many documents have no cursor."""
        with self._server.told(feed.name):
            self._server.client.admin.command("ping")
        try:
            with self._server.told(feed.name):
                asked = self._asked(feed)
                asked.documents.find_one(asked.filter, {"_id": 1})
                warnings = list(_warnings(asked))
                rows = asked.documents.estimated_document_count()
        except ConfigError as error:
            return [Finding(feed.name, "error", error.message, error.hint)]
        return warnings or [Finding(feed.name, "ok", f"about {rows:,} documents in {asked.origin}")]

    def close(self) -> None:
        self._server.close()

    def _asked(self, feed: Feed) -> Asked:
        stream = self._streams[feed.name.removeprefix(f"{self.name}.")]
        found = self._server.collection(feed.name, stream.collection)
        origin = f"{self._server.place}/{self._server.database}.{stream.collection}"
        return Asked(feed.name, origin, stream, found, self._server)


@dataclass(frozen=True)
class Asked:
    """A collection as one stream asks for it."""

    feed: str
    origin: str
    stream: MongoStream
    documents: Documents
    server: Server

    @cached_property
    def filter(self) -> dict[str, Any]:
        said = self.stream.filter
        return {} if said is None else from_json(said, f"{self.feed}: `filter`")

    @cached_property
    def projection(self) -> dict[str, int] | None:
        fields = self.stream.projection
        if fields is None:
            return None
        if fields[0].startswith("-"):
            return {field[1:]: 0 for field in fields}
        return dict.fromkeys([*fields, *([self.stream.cursor] if self.stream.cursor else ()), "_id"], 1)

    @cached_property
    def rendering(self) -> Rendering:
        return Rendering(self.stream.extended_json)

    def blocks(self, query: Mapping[str, Any], order: str, limit: int = 0, *, simple: bool = False) -> Iterator[bytes]:
        """What the server sends at a time, at most 16 MB of documents, sorted by a field; texts by their bytes, where
        that is asked, whatever the collection's own order."""
        # Decoded by us one by one, so that a document which is not valid costs itself alone.
        found: Any = self.documents.find_raw_batches(query, self.projection, sort=[(order, 1)], limit=limit)
        if order != "_id":
            found.allow_disk_use(True)
        if simple:
            found.collation(Collation("simple"))
        found.batch_size(_AT_A_TIME)
        with closing(found):
            yield from found

    def put(self, rows: Rows, raw: bytes) -> None:
        try:
            rows.add(self.origin, self.rendering(raw))
        except Unrepresentable as error:
            rows.add_defect(self.origin, str(error), raw)

    def describe_whole(self, since: Cursor | None) -> Description:
        """Only reading it tells whether it has changed."""
        self.not_followed(since)
        if since is None:
            count = self.documents.count_documents(self.filter)
            return Description(count, self.bytes(count), "document")
        return Description(1, self.bytes(self.documents.estimated_document_count()), "whole read")

    def bytes(self, count: int) -> int:
        """About how much so many documents are; 0 where nobody tells."""
        try:
            told = self.documents.database.command("collStats", self.stream.collection)
        except OperationFailure:
            return 0
        return int(count * told.get("avgObjSize", 0))

    def not_followed(self, since: Cursor | None) -> None:
        """Raises SchemaDrift where the stream had a cursor."""
        if since is not None and "field" in since.value:
            message = f"{self.feed} was read by `{since.value['field']}`; the project now names no cursor"
            hint = f"write `cursor: {since.value['field']}` again, or land it as a new stream"
            raise SchemaDrift(message, hint=hint)

    def read_whole(self, since: Cursor | None, limit: int) -> Iterator[Batch]:
        self.not_followed(since)
        whole = Whole(self.feed, self.origin, since)
        for block in self.blocks(self.filter, "_id", limit):
            rows = whole.rows()
            for raw in documents(block):
                whole.digest.add(mark(raw))
                self.put(rows, raw)
            yield whole.batch(rows, len(block))
        yield from whole.end()


class Following:
    """One read by a cursor, from the lookback before the last value on."""

    def __init__(self, asked: Asked, field: str, since: Cursor | None) -> None:
        self._asked = asked
        self._field = field
        self._path = field.split(".")
        before = Position.of(asked.feed, field, since)
        self._ends = [value for direction in (1, -1) for value in self._end(direction)]
        self.position = before or Position(field, self._kind())
        self._window = Window(asked.feed, since)
        said = asked.stream.lookback
        self._lookback = lookback_of(asked.feed, said, self.position.kind) if self._ends else 0

    def _end(self, direction: int) -> list[Any]:
        """The value of the first document in one direction, none where there is no document."""
        order, wanted = [(self._field, direction)], {self._field: 1}
        found: Any = self._asked.documents.find_raw_batches(self._asked.filter, wanted, sort=order, limit=1)
        with closing(found):
            return [value_of(raw, self._path) for block in found for raw in documents(block)]

    def _kind(self) -> str:
        """The kind of the greatest value, or of the least: MongoDB sorts by kind first. Raises ConfigError."""
        if not self._ends:
            return "date"  # nothing is read, and nothing remembered
        found = kind_of(self._ends[-1]) or kind_of(self._ends[0])
        if found is None:
            message = f"{self._asked.feed}: no document of {self._asked.origin} has a `{self._field}` to go by"
            raise ConfigError(message, hint="a cursor is a date, an ObjectId, a number, a text or a timestamp")
        return found

    @property
    def _query(self) -> dict[str, Any]:
        window = {self._field: {"$gte": self.position.low(self._lookback)}}
        return {"$and": [self._asked.filter, window]} if self._asked.filter else window

    @cached_property
    def left_out(self) -> tuple[Notice, ...]:
        """What to tell where not every document has a cursor of this kind."""
        kind = self.position.kind
        if all(kind_of(end) == kind for end in self._ends):
            return ()
        message = f"documents of {self._asked.origin} whose `{self._field}` is missing or no {kind} are left out"
        return (Notice("left_out", message, {"stream": self._asked.feed, "field": self._field}),)

    def _documents(self, limit: int = 0) -> Iterator[tuple[bytes, bytes, bool]]:
        """Each document of the window and after it: its bytes, its mark, and whether it is new."""
        simple = self.position.kind == "string"
        for block in self._asked.blocks(self._query, self._field, limit, simple=simple):
            found = list(documents(block))
            marks = [mark(raw) for raw in found]
            known = self._window.known.hold(packed(marks)).tolist()
            for raw, one, is_known in zip(found, marks, known, strict=True):
                yield raw, one, not is_known

    def describe(self) -> Description:
        new = [len(raw) for raw, _, is_new in islice(self._documents(), _COUNTED + len(self._window.known)) if is_new]
        if len(new) < _COUNTED:
            return Description(len(new), sum(new), "document", self.left_out if new else ())
        count = self._asked.documents.count_documents(self._query) - len(self._window.known)
        return Description(count, int(count * sum(new) / len(new)), "document", self.left_out)

    def read(self, budget: Budget, limit: int) -> Iterator[Batch]:
        position, rows = self.position, Rows(self.position.rows)
        begun = None if position.at is None else comparable(position.at)
        now_ms = self._asked.server.now_ms()
        last: Any = None
        last_key: Any = None
        size = pending = 0
        for raw, one, is_new in self._documents(limit):
            value = self._value(raw)
            key = comparable(value)
            # Inside the window no load ends: what follows in it may not have landed yet. A document that was changed
            # after the server had sorted it may stand too early or too late: the greatest value counts.
            is_later = last is None or key > last_key
            may_end = last is not None and is_later and (begun is None or last_key >= begun)
            if may_end and size >= max(budget.bytes, 1):
                position = position.after(last, rows.first + len(rows), now_ms)
                yield Batch(rows.table(), self._cursor(position), pending, self.left_out)
                rows, size, pending = Rows(position.rows), 0, 0
            if is_later:
                last, last_key = value, key
            if self._window.add(last, one):
                self._window.drop(position.after(last, 0, now_ms).low(self._lookback))
            if is_new and self._window.meets(one):
                self._asked.put(rows, raw)
                size, pending = size + len(raw), pending + len(raw)
                if pending >= _BATCH:
                    yield Batch(rows.table(), None, pending)
                    rows, pending = Rows(rows.first + len(rows)), 0
        if size:
            position = position.after(last, rows.first + len(rows), now_ms)
            yield Batch(rows.table(), self._cursor(position), pending, self.left_out)

    def _value(self, raw: bytes) -> Any:
        """Raises DataError for what no order can be told of, such as an array."""
        value = value_of(raw, self._path)
        if kind_of(value) != self.position.kind:
            name = value_of(raw, ["_id"])
            message = f"{self._asked.feed}: document {name} has `{self._field}` inside of an array, or is one"
            raise DataError(message, hint="a cursor is one value a document: name another field, or filter these out")
        return value

    def _cursor(self, position: Position) -> Cursor:
        return Cursor(position.value(), self._window.seen(position.low(self._lookback)), anew=True)


def _warnings(asked: Asked) -> Iterator[Finding]:
    """Raises ConfigError where a run would."""
    field = asked.stream.cursor
    if field is None:
        return
    following = Following(asked, field, None)
    kind = following.position.kind
    index = _has_index(asked, field)
    if index is False:
        message = f"{asked.origin} has no index that begins with `{field}`: each read sorts the whole collection"
        yield Finding(asked.feed, "warning", message, f"db.{asked.stream.collection}.createIndex({{{field!r}: 1}})")
    if following.left_out:
        least = {field: {"$gte": LEAST[kind]}}
        total = asked.documents.count_documents(asked.filter)
        left = total - asked.documents.count_documents({"$and": [asked.filter, least]})
        if left:
            message = (
                f"{left:,} documents of {asked.origin} have no `{field}`, or one that is no {kind}: they never land"
            )
            yield Finding(asked.feed, "warning", message, f"set `{field}` in all of them, or read the collection whole")


def _has_index(asked: Asked, field: str) -> bool | None:
    """Whether an index begins with the field; None where nobody tells, as of a view."""
    try:
        return any(next(iter(index["key"]), None) == field for index in asked.documents.list_indexes())
    except OperationFailure:
        return None
