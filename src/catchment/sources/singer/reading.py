"""One run of a tap for one stream, cut into loads.

A load ends at a STATE message. What follows the last one is kept as well, once the tap has ended well: full tables are
often written without any. The run after it is given that last state and may give those rows again; they are remembered
and left out (see `bridged`). Where the tap fails, what it gave up to its last state is kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from catchment.errors import CatchmentError, ConfigError, DataError
from catchment.records import Batch, Notice
from catchment.sources.bridged import MOST, Given, Landed, Repeats, cursor, documents
from catchment.sources.document_rows import Digest, mark
from catchment.sources.files.json_lines import Validity
from catchment.sources.singer.messages import ActivateVersion, Files, Record, Rubbish, Schema, State, message
from catchment.sources.singer.tap import Long

_BYTES = 4 << 20


@dataclass(frozen=True)
class Wanted:
    """The stream, as its messages may call it; `most` bytes are to make a load, `limit` rows are enough for a look."""

    feed: str
    origin: str
    names: Collection[str]
    full: bool
    most: int
    limit: int | None = None


@dataclass
class _Rows:
    """Rows on their way, with the mark of each and that of its key."""

    given: list[Given] = field(default_factory=list)
    marks: list[bytes] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    size: int = 0

    def add(self, one: Given, key: bytes | None) -> None:
        self.given.append(one)
        self.marks.append(mark(one.raw))
        self.keys.append(key)
        self.size += len(one.raw)


class Reading:
    """`warnings` gives what the tap has warned of, for people to hear."""

    def __init__(self, wanted: Wanted, landed: Landed, warnings: Callable[[], list[str]]) -> None:
        self._wanted = wanted
        self._landed = landed
        self._warnings = warnings
        self._repeats = Repeats(b"" if wanted.full else landed.marks)
        self._digest = Digest()
        self._validity = Validity()
        self._state = None if wanted.full else landed.state  # the last one that the tap told
        self._kept = self._state  # the one of the last cursor
        self._position = landed.rows
        self._after = _Rows()  # rows after the last STATE
        self._ready: list[Given] = []  # new ones before it, not handed over yet
        self._size = 0  # of what is ready, and of what came before it in this load
        self._load = 0
        self._is_open = False  # rows of this load were handed over
        self._is_beyond = False  # some of them lie after the last STATE
        self._key: list[str] = []
        self._notices: list[Notice] = []
        self._told: set[str] = set()

    def batches(self, lines: Iterator[bytes | Long | None]) -> Iterator[Batch]:
        """Raises what `lines` raises, once what can be kept was handed over; DataError and ConfigError."""
        try:
            for line in lines:
                if line is None:
                    if self._is_open:  # so that whoever takes them can stop between two batches
                        yield self._batch()
                    continue
                yield from self._take(line)
                if self._wanted.limit is not None and self._found >= self._wanted.limit:
                    self._settle()
                    yield self._end_load(done=False)
                    return
        except CatchmentError:
            if not self._wanted.full and not self._is_beyond and (self._is_open or self._ready):
                yield self._end_load(done=False)
            raise
        yield from self._end()

    @property
    def _found(self) -> int:
        """Rows that are new, or may be."""
        return self._position - self._landed.rows + len(self._ready) + len(self._after.given)

    def _take(self, line: bytes | Long) -> Iterator[Batch]:
        said = message(line)
        if isinstance(said, State):
            yield from self._at_state(said)
        elif isinstance(said, Rubbish):
            self._after.add(Given(said.raw, said.reason), None)
        elif said is None or said.stream not in self._wanted.names:
            pass  # a tap may give streams that were not selected
        elif isinstance(said, Record):
            self._after.add(Given(said.text.encode()), self._named(said))
        elif isinstance(said, Schema):
            self._key = list(said.key)
        elif isinstance(said, ActivateVersion):
            self._tell_whole()
        else:
            self._refuse(said)
        if self._after.size >= _BYTES:
            self._settle()
            self._is_beyond = self._is_beyond or bool(self._ready)
            yield from self._hand_over()

    def _at_state(self, said: State) -> Iterator[Batch]:
        self._settle()
        self._state, self._is_beyond = said.text, False
        is_much = self._load >= self._wanted.most and not self._wanted.full
        if is_much and (self._is_open or self._ready):
            yield self._end_load(done=False)
        elif self._size >= _BYTES:
            yield from self._hand_over()

    def _named(self, record: Record) -> bytes | None:
        parts = [record.value.get(name) for name in self._key] if self._landed.marks else [None]
        return None if not parts or None in parts else mark(json.dumps(parts, sort_keys=True).encode())

    def _tell_whole(self) -> None:
        if not self._wanted.full:
            message = f"{self._wanted.origin} replaces its whole table in each run: rows that are gone stay"
            self._tell(Notice("replaces_all", f"{message}; write `full: true`", {"stream": self._wanted.feed}))

    def _refuse(self, said: Files) -> None:
        message = f"{self._wanted.feed}: the tap hands over files (BATCH messages of `{said.stream}`), not rows"
        raise ConfigError(message, hint="remove `batch_config` from the tap's config")

    def _tell(self, notice: Notice) -> None:
        if notice.message not in self._told:
            self._told.add(notice.message)
            self._notices.append(notice)

    def _settle(self) -> None:
        """Of the rows after the last STATE, keep those that are new."""
        after, self._after = self._after, _Rows()
        if self._wanted.full:
            for one in after.marks:
                self._digest.add(one)
            self._ready += after.given
        elif after.given:
            kept = self._repeats.new(after.marks, after.keys)
            self._ready += [one for one, is_new in zip(after.given, kept, strict=True) if is_new]
        self._size += after.size
        self._load += after.size

    def _hand_over(self) -> Iterator[Batch]:
        if self._ready:
            self._is_open = True
            yield self._batch()

    def _batch(self) -> Batch:
        for text in self._warnings():
            self._tell(Notice("said", f"{self._wanted.origin}: {text}", {"stream": self._wanted.feed}))
        notices, self._notices = self._notices, []
        rows = documents(self._ready, self._wanted.origin, self._position, self._validity)
        self._position += len(self._ready)
        size, self._size, self._ready = self._size, 0, []
        return Batch(rows, None, size, notices)

    def _end_load(self, *, done: bool) -> Batch:
        batch = self._batch()
        self._load, self._is_open, self._kept = 0, False, self._state
        at = cursor({"rows": self._position}, self._state, self._repeats.marks(done=done))
        return Batch(batch.rows, at, batch.bytes, batch.notices)

    def _end(self) -> Iterator[Batch]:
        """All was read, and the tap has ended well."""
        self._settle()
        if self._wanted.full:
            yield from self._end_whole()
        elif self._is_open or self._ready or not _is_same(self._state, self._kept):
            self._refuse_endless()
            yield self._end_load(done=True)

    def _refuse_endless(self) -> None:
        if _is_same(self._state, self._landed.state) and self._repeats.count > MOST:
            message = f"{self._wanted.feed}: {self._wanted.origin} gives {self._repeats.count:,} rows and no new state"
            hint = f"of {MOST:,} it can be told which came before: write `full: true`, or choose a replication method"
            raise DataError(message, hint=hint)

    def _end_whole(self) -> Iterator[Batch]:
        is_same = (self._landed.value or {}).get("digest") == str(self._digest)
        if not self._digest.count and (self._landed.is_nothing or is_same):
            return
        if not self._digest.count:
            message = f"{self._wanted.origin} gives no row any more; an empty run deletes nothing"
            self._tell(Notice("empty_file", message, {"stream": self._wanted.feed}))
        batch = self._batch()
        at = cursor({"rows": self._position, "digest": str(self._digest)}, None, b"")
        yield Batch(batch.rows, at, batch.bytes, batch.notices, unchanged=is_same)


def _is_same(one: str | None, other: str | None) -> bool:
    """Whether a run with one state would give what a run with the other gives."""
    return _plain(one) == _plain(other)


def _plain(text: str | None) -> object:
    value = None if text is None else json.loads(text)
    if isinstance(value, dict):
        value = {name: inner for name, inner in value.items() if name != "currently_syncing"}
    return value or None
