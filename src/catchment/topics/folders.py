"""A topic's folder: what it says of itself, its segments, its lock, and what retention took.

    topics/user_events/
      topic.json              partitions, retention, what tells it from others of its name
      000000000041.sqlite     segments, the newest is written
      gone.json               which messages retention took, and from when they were
      lock                    whoever writes, turns to a new segment or removes one has it

Everything that appears here is complete and durable before it has its name.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import secrets
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from catchment.errors import FatalError, refused
from catchment.records import TopicSpec
from catchment.topics import segments
from catchment.topics.segments import Published, Segment

SPEC = "topic.json"

# Kafka's own defaults.
_PARTITIONS = 3
_RETENTION_S = 604_800

_SEGMENT = re.compile(r"([0-9]{12})\.sqlite")
_SEGMENT_US = 86_400_000_000

# More entries nobody asks for.
_GONE = "gone.json"
_MOST_GONE = 1000

# A thread reads in one old segment mostly, and writes to the newest.
_MOST_OPEN = 4


@dataclass(frozen=True)
class Gone:
    """A segment that retention took: when its messages were written, and where those after it begin."""

    segment: int
    since: int  # microseconds, as is `until`
    until: int
    ends: Mapping[int, int]


class TopicFolder:
    """Safe to use from several threads, each with segments of its own."""

    def __init__(self, path: Path) -> None:
        """Opens nothing."""
        self.path = path
        self._opened = _Opened()
        self._known: tuple[tuple[int, int, int], TopicSpec, str | None] | None = None

    @classmethod
    def create(cls, path: Path, wanted: TopicSpec) -> TopicSpec | None:
        """The topic as it is then; None where another process was faster."""
        # No legal name of a topic begins so.
        draft = path.with_name(f"~{path.name}-{secrets.token_hex(4)}")
        spec = TopicSpec(path.name, wanted.partitions, wanted.retention_s or _RETENTION_S)
        try:
            draft.mkdir(parents=True)
            segments.create(draft / _file(0), dict.fromkeys(range(spec.partitions), 0), now())
            _put(draft / SPEC, _described(spec.partitions, spec.retention_s, secrets.token_hex(8)))
            draft.rename(path)
            segments.sync(path.parent)
        except OSError as error:
            if (path / SPEC).exists():
                return None
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                message = f"topic {path.name} cannot be made: {path} is there already, and no topic (it has no {SPEC})"
                hint = "it may be left of one that was removed while it was written: move it away, then run again"
                raise FatalError(message, hint=hint) from error
            raise refused(error) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return spec

    def spec(self) -> TopicSpec | None:
        """The topic as it is now; None where there is none."""
        path = self.path / SPEC
        try:
            stat = path.stat()
            mark = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if self._known is None or self._known[0] != mark:
                told = json.loads(path.read_bytes())
                spec = TopicSpec(self.path.name, told["partitions"], told["retention_s"])
                self._known = mark, spec, told.get("id")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise refused(error) from error
        except (ValueError, KeyError) as error:
            message = f"{path} is broken: {error}"
            hint = 'write {"partitions": 3, "retention_s": 604800} into it, with as many partitions as the topic has'
            raise FatalError(message, hint=hint) from error
        return self._known[1]

    def _still(self) -> TopicSpec:
        found = self.spec()
        if found is None:
            raise self._removed()
        return found

    def _removed(self) -> FatalError:
        message = f"topic {self.path.name} was removed from {self.path.parent} while it was written"
        return FatalError(message, hint="stop whoever writes a topic before it is removed; then run again")

    def identity(self) -> str | None:
        """Another for every topic that was made; None where that was before there were any, or there is none."""
        return None if self.spec() is None or self._known is None else self._known[2]

    def alter(self, wanted: TopicSpec) -> None:
        """More partitions, or another retention; called under the lock. Somebody else may have done it already."""
        there = self._still()
        partitions = max(there.partitions, wanted.partitions)
        # The tables first: whoever reads how many partitions there are finds them.
        self.open(self.numbers()[-1]).add_partitions(range(there.partitions, partitions))
        retention = there.retention_s if wanted.retention_s is None else wanted.retention_s
        _put(self.path / SPEC, _described(partitions, retention, self.identity()))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One writer at a time, in the order of asking: SQLite's own way of waiting lets one of three starve."""
        try:
            handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise refused(error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        except FileNotFoundError as error:  # who has the lock has nobody beside him who takes segments
            raise self._removed() from error
        finally:
            # Not by closing alone: a process that was forked meanwhile has the handle, too.
            fcntl.flock(handle, fcntl.LOCK_UN)
            os.close(handle)

    def numbers(self) -> list[int]:
        """Of the segments that are there, oldest first; at least one."""
        try:
            names = os.listdir(self.path)  # noqa: PTH208 - asked at every write; half the time of Path.iterdir
        except OSError as error:
            raise refused(error) from error
        found = sorted(int(match[1]) for name in names if (match := _SEGMENT.fullmatch(name)))
        if not found:
            message = f"no segment of topic {self.path.name} is left in {self.path}"
            raise FatalError(message, hint="bring the folder back from a copy, or remove it and begin a new topic")
        return found

    def open(self, number: int) -> Segment:
        """Opened once a thread. Raises FileNotFoundError where it is not there, as when retention took it."""
        return self._opened.segment(self.path / _file(number))

    def has(self, number: int) -> bool:
        """Whether there is such a segment."""
        return (self.path / _file(number)).exists()

    def writable(self, bytes_at_most: int) -> Segment:
        """The newest segment; a new one where that is full, or a day old. Called under the lock."""
        number = self.numbers()[-1]
        newest = self.open(number)
        if newest.bytes() < bytes_at_most and now() - newest.created < _SEGMENT_US:
            return newest
        return self._turned(number, newest)

    def published(self, name: str) -> Published | None:
        """How a publication stands; None where there was none of that name."""
        return next((one for one in self.publications() if one.name == name), None)

    def publications(self) -> list[Published]:
        """How every publication stands, in no order."""
        while True:
            try:
                return self.open(self.numbers()[-1]).published()
            except FileNotFoundError:
                continue  # retention was faster

    def _turned(self, number: int, newest: Segment) -> Segment:
        """The segment after the newest; that one itself where it is empty. Called under the lock."""
        spec = self._still()
        if newest.written() is None:
            return newest
        segments.create(self.path / _file(number + 1), newest.ends(spec.partitions), now(), newest.published())
        newest.settle()
        return self.open(number + 1)

    def forget(self, before: int) -> int:
        """Unlink the oldest segments as long as all in them was written `before` (microseconds); how many bytes went.

        Called under the lock. The one that is written is closed first where all in it is too old.
        """
        # First what is closed: on a full disk there is room for the rest only then.
        freed = self._forget_closed(before)
        if self._turned_where_old(before):
            freed += self._forget_closed(before)
        self._sweep()
        return freed

    def _turned_where_old(self, before: int) -> bool:
        number = self.numbers()[-1]
        newest = self.open(number)
        written = newest.written()
        if written is None or written >= before:
            return False
        self._turned(number, newest)
        return True

    def _forget_closed(self, before: int) -> int:
        freed = 0
        for oldest in self.numbers()[:-1]:
            segment = self._closed(oldest)
            written = segment.written()
            # What SQLite's own log holds must be in the file: a reader may open that when the log is unlinked already.
            if written is None or written >= before or not segment.settle():
                break
            gone, path = Gone(oldest, segment.created, written, segment.all_ends()), segment.path
            del segment  # what is open takes its room still
            freed += self._unlink_as(gone, path)
        return freed

    def _closed(self, number: int) -> Segment:
        """A segment that has a successor. On a full disk it can be opened only as one that nobody will ever change."""
        try:
            return self.open(number)
        except FatalError:
            path = self.path / _file(number)
            log = path.with_name(f"{path.name}-wal")
            if log.exists() and log.stat().st_size:
                raise
            return Segment(path, is_closed=True)

    def _unlink_as(self, gone: Gone, path: Path) -> int:
        """What is remembered is written first, so that a kill may come between; a full disk has room only after."""
        try:
            self._remember(gone)
        except FatalError:
            freed = self._unlink(path)
            self._remember(gone)
            return freed
        return self._unlink(path)

    def _unlink(self, path: Path) -> int:
        self._opened.forget(path)
        freed = 0
        for part in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
            if part.exists():
                freed += part.stat().st_size
                part.unlink(missing_ok=True)
        return freed

    def _sweep(self) -> None:
        """What a kill, or a late reader, left beside segments that are no more. Called under the lock."""
        for part in self.path.glob("*.sqlite-*"):
            if not part.with_name(part.name.rpartition("-")[0]).exists():
                part.unlink(missing_ok=True)

    def _remember(self, gone: Gone) -> None:
        told = [*(one for one in self.gone() if one.segment != gone.segment), gone][-_MOST_GONE:]
        values = [
            {"segment": one.segment, "since": one.since, "until": one.until, "ends": list(one.ends.items())}
            for one in told
        ]
        _put(self.path / _GONE, values)

    def gone(self) -> list[Gone]:
        """What retention took, the newest last."""
        try:
            told = json.loads((self.path / _GONE).read_bytes())
        except FileNotFoundError:
            return []
        return [Gone(one["segment"], one["since"], one["until"], dict(one["ends"])) for one in told]

    def bytes(self) -> int:
        """What all segments take on the disk."""
        found = 0
        for part in self.path.iterdir():
            try:
                found += part.stat().st_size
            except FileNotFoundError:
                continue
        return found


class _Opened(threading.local):
    """What one thread has open; nothing of what it had before a fork."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._segments: OrderedDict[Path, Segment] = OrderedDict()

    def segment(self, path: Path) -> Segment:
        if self._process != os.getpid():
            self._process, self._segments = os.getpid(), OrderedDict()
        found = self._segments.get(path)
        # Another inode: somebody removed the topic's folder, and a new one was made.
        if found is None or found.inode != path.stat().st_ino:
            found = self._segments[path] = Segment(path)
        self._segments.move_to_end(path)
        while len(self._segments) > _MOST_OPEN:
            self._segments.popitem(last=False)
        return found

    def forget(self, path: Path) -> None:
        self._segments.pop(path, None)


def now() -> int:
    """The clock, in microseconds since 1970."""
    return time.time_ns() // 1000


def spoken(seconds: int) -> str:
    """`7 days`, `36 hours`, as one would write it."""
    for size, noun in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds % size == 0:
            return f"{seconds // size} {noun}{'' if seconds == size else 's'}"
    return str(timedelta(seconds=seconds))


def _described(partitions: int, retention_s: int | None, identity: str | None) -> dict[str, Any]:
    """What topic.json says."""
    known = {} if identity is None else {"id": identity}
    return {"partitions": partitions, "retention_s": retention_s, **known}


def _file(number: int) -> str:
    return f"{number:012}.sqlite"


def _put(path: Path, value: Any) -> None:
    """Replace a JSON file whole, durably."""
    draft = path.with_name(f"{path.name}~")
    try:
        draft.write_text(json.dumps(value), encoding="utf-8")
        segments.sync(draft)
        draft.replace(path)
        segments.sync(path.parent)
    except OSError as error:
        raise refused(error) from error
