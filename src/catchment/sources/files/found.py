"""Files as bytes, wherever they lie: read once from beginning to end, unpacked and hashed on the way."""

from __future__ import annotations

import hashlib
import zlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import IO, Literal, Protocol, TypeVar

import pyarrow as pa

from catchment.errors import DataError, RetryableError

CHUNK = 16 << 20

# Files up to this size are taken whole, several at once where they lie far away.
SMALL = 1 << 20

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

# Arrow keeps nothing of a step in which Zstandard data breaks, so that steps are small.
_ZSTD_STEP = 1 << 10

# So much of a file of which nothing could be unpacked is told.
_BEGINNING = 64 << 10

Item = TypeVar("Item")
T = TypeVar("T")


class Opened(Protocol):
    """A file while it is read from its beginning. The time is of its last change, from before the first byte."""

    @property
    def modified_us(self) -> int: ...
    def read(self, count: int = -1, /) -> bytes: ...


class FilePlace(Protocol):
    """Where files lie: a folder, or buckets. `workers` small files are read at the same time.

    What it refuses comes as CatchmentError, or within `reading` as OSError.
    """

    @property
    def workers(self) -> int: ...

    def found(self, path: str, after: str | None = None) -> Listing:
        """What a stream's path means now; only what sorts behind the origin `after`."""

    def open(self, file: FoundFile) -> AbstractContextManager[Opened]:
        """One version of it, the one that was found or a newer one; never parts of two."""

    def whole(self, file: FoundFile) -> AbstractContextManager[tuple[IO[bytes], ReadFile]]:
        """The file to be read anywhere in it, and what it is; raises RetryableError where it changed meanwhile."""

    def touch(self, file: FoundFile) -> None:
        """Raises where it may not be read; reads a byte at most."""

    def close(self) -> None:
        """Give back connections; it may be used again after that."""


@dataclass(frozen=True)
class FoundFile:
    """A file as its place lists it. `origin` is its name in `_origin`, `at` its name there; the time is of its last
    change, `tag` what the place says of its content, if anything."""

    origin: str
    place: FilePlace = field(repr=False)
    at: str
    size: int
    modified_us: int
    tag: str = ""


@dataclass(frozen=True)
class Listing:
    """Files by origin. In a folder a file's name has to tell that it is meant; a pattern takes what it matches."""

    files: Sequence[FoundFile]
    is_folder: bool


@dataclass(frozen=True)
class ReadFile:
    """A file that was read whole: time and tag are from before the first byte, size and hash are of the bytes read."""

    origin: str
    size: int
    modified_us: int
    sha256: str
    rows: int = 0
    broken: str | None = None  # why not all that it should hold could be read
    tag: str = ""


Small = tuple[bytes, ReadFile]


@contextmanager
def reading(origin: str) -> Iterator[None]:
    """What the file system refuses, as errors of ours that name the file."""
    try:
        yield
    except PermissionError as error:
        message = f"cannot read {origin}: permission denied"
        raise DataError(
            message, hint="give this user the right to read it, or take it out of the stream's path"
        ) from error
    except OSError as error:
        message = f"cannot read {origin}: {error.strerror or error}"
        raise RetryableError(
            message, hint="was it moved or is it still being copied? it is looked for again"
        ) from error


def read_small(file: FoundFile) -> Small:
    """A whole file at once, as it lies there."""
    with reading(file.origin), file.place.open(file) as opened:
        modified = opened.modified_us
        data = opened.read()
    return data, ReadFile(file.origin, len(data), modified, hashlib.sha256(data).hexdigest(), tag=file.tag)


def fetched(files: Sequence[FoundFile]) -> Iterator[tuple[FoundFile, Small | None]]:
    """Each file in order, with what it holds where it is small."""
    workers = max((file.place.workers for file in files), default=1)
    small = in_order(read_small, (file for file in files if file.size <= SMALL), workers)
    for file in files:
        yield file, next(small) if file.size <= SMALL else None


def content_hash(file: FoundFile) -> str:
    """SHA-256 of what the file holds now."""
    told = hashlib.sha256()
    with reading(file.origin), file.place.open(file) as opened:
        while data := opened.read(CHUNK):
            told.update(data)
    return told.hexdigest()


def packing(name: str, first: bytes) -> Literal["gz", "zst"] | None:
    """How a file of that name that begins so is packed; an empty one is not."""
    lowered = name.lower()
    if first.startswith(GZIP_MAGIC) or (lowered.endswith(".gz") and first):
        return "gz"
    return "zst" if first.startswith(ZSTD_MAGIC) or (lowered.endswith(".zst") and first) else None


class FileBytes:
    """One pass over a file. After `chunks` is exhausted `receipt` says what was read, `broken` why it ended early."""

    def __init__(self, file: FoundFile) -> None:
        self.file = file
        self.broken: str | None = None
        self._hash = hashlib.sha256()
        self.size = 0  # bytes of the file read so far
        self.beginning = b""  # of the file as it lies there, for one of which nothing could be unpacked
        self._modified = 0

    def chunks(self) -> Iterator[bytes]:
        """About 16 MB each, unpacked where the file is gzip or Zstandard (by its name or first bytes), never empty."""
        with reading(self.file.origin), self.file.place.open(self.file) as opened:
            self._modified = opened.modified_us
            raw = self._hashed(opened)
            first = next(raw, b"")
            self.beginning = first[:_BEGINNING]
            packed = packing(self.file.origin, first)
            data = _with_first(first, raw)
            if packed is None:
                yield from data
            else:
                yield from _whole_chunks(self._unzipped(data) if packed == "gz" else self._decompressed(data))

    def receipt(self, rows: int, broken: str | None) -> ReadFile:
        """What was read, and how many rows it held."""
        hashed = self._hash.hexdigest()
        return ReadFile(self.file.origin, self.size, self._modified, hashed, rows, broken, self.file.tag)

    def _hashed(self, opened: Opened) -> Iterator[bytes]:
        while data := opened.read(CHUNK):
            self._hash.update(data)
            self.size += len(data)
            yield data

    def _unzipped(self, raw: Iterator[bytes]) -> Iterator[bytes]:
        """The members of a gzip file one after the other; zero bytes after the last one are padding."""
        unpacker, begun = zlib.decompressobj(wbits=31), False
        for data in raw:
            rest = data
            while rest and self.broken is None:
                if unpacker.eof:
                    rest = rest.lstrip(b"\0")
                    if not rest:
                        break
                    unpacker = zlib.decompressobj(wbits=31)
                try:
                    text = unpacker.decompress(rest, CHUNK)
                except zlib.error as error:
                    self.broken = f"gzip data is broken ({str(error).rpartition(': ')[2]})"
                    break
                begun = True
                rest = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
                if text:
                    yield text
        if self.broken is None and begun and not unpacker.eof:
            self.broken = "gzip data ends before its end"

    def _decompressed(self, raw: Iterator[bytes]) -> Iterator[bytes]:
        """The frames of a Zstandard file one after the other."""
        with pa.CompressedInputStream(pa.PythonFile(_Readable(raw), "r"), "zstd") as unpacked:
            while True:
                try:
                    text = unpacked.read(_ZSTD_STEP)
                except OSError as error:
                    if error.errno is not None:
                        raise  # the disk's fault; Arrow's own OSErrors about bad contents have no number
                    self.broken = _zstd_words(str(error))
                    break
                if not text:
                    break
                yield text
        for _ in raw:  # the hash is of the whole file
            pass


class _Readable:
    """Chunks as a file that Arrow reads from."""

    closed = False

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._now = memoryview(b"")

    def read(self, count: int) -> bytes:
        if not self._now:
            self._now = memoryview(next(self._chunks, b""))
        data, self._now = self._now[:count], self._now[count:]
        return bytes(data)

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


def _zstd_words(message: str) -> str:
    if "runcated" in message:
        return "Zstandard data ends before its end"
    return f"Zstandard data is broken ({message.rpartition(': ')[2].lower()})"


def _with_first(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


def _whole_chunks(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Parts of any size, as chunks of about the usual one."""
    waiting: list[bytes] = []
    size = 0
    for part in parts:
        waiting.append(part)
        size += len(part)
        if size >= CHUNK // 2:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, the next one made in a thread while the last one is used."""
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


def in_order(work: Callable[[Item], T], items: Iterable[Item], workers: int) -> Generator[T, None, None]:
    """What `work` makes of each item, in their order, so many at the same time; no more are made in advance."""
    if workers == 1:
        yield from map(work, items)
        return
    coming: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="fetch")
    try:
        for item in items:
            coming.append(pool.submit(work, item))
            if len(coming) >= workers:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
