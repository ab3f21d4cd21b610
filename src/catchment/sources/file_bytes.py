"""Files as bytes: read once from beginning to end, unpacked and hashed on the way."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from catchment.errors import DataError, RetryableError

CHUNK = 16 << 20
GZIP_MAGIC = b"\x1f\x8b"

# So much of a file of which nothing could be unpacked is told.
_BEGINNING = 64 << 10

T = TypeVar("T")


@dataclass(frozen=True)
class FoundFile:
    """A file as the folder lists it. `origin` is its name in `_origin`; the time is of its last change."""

    origin: str
    path: Path
    size: int
    modified_us: int


@dataclass(frozen=True)
class ReadFile:
    """A file that was read whole: the time is from before the first byte, size and hash are of the bytes read."""

    origin: str
    size: int
    modified_us: int
    sha256: str
    rows: int = 0


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


def read_small(file: FoundFile) -> tuple[bytes, ReadFile]:
    """A whole file at once, as it lies there."""
    with reading(file.origin), file.path.open("rb", buffering=0) as opened:
        modified = os.fstat(opened.fileno()).st_mtime_ns // 1000
        data = opened.read()
    return data, ReadFile(file.origin, len(data), modified, hashlib.sha256(data).hexdigest())


def content_hash(file: FoundFile) -> str:
    """SHA-256 of what the file holds now."""
    with reading(file.origin), file.path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


class FileBytes:
    """One pass over a file. After `chunks` is exhausted `receipt` says what was read, `broken` where gzip broke off."""

    def __init__(self, file: FoundFile) -> None:
        self.file = file
        self.broken: str | None = None
        self._hash = hashlib.sha256()
        self.size = 0  # bytes of the file read so far
        self.beginning = b""  # of the file as it lies there, for one of which nothing could be unpacked
        self._modified = 0

    def chunks(self) -> Iterator[bytes]:
        """About 16 MB each, unpacked where the file is gzip (by its name or its first bytes), never empty."""
        with reading(self.file.origin), self.file.path.open("rb", buffering=0) as opened:
            self._modified = os.fstat(opened.fileno()).st_mtime_ns // 1000
            raw = self._hashed(opened)
            first = next(raw, b"")
            self.beginning = first[:_BEGINNING]
            packed = first.startswith(GZIP_MAGIC) or (self.file.origin.lower().endswith(".gz") and first != b"")
            yield from _whole_chunks(self._unpacked(first, raw)) if packed else _with_first(first, raw)

    def receipt(self, rows: int) -> ReadFile:
        return ReadFile(self.file.origin, self.size, self._modified, self._hash.hexdigest(), rows)

    def _hashed(self, opened: object) -> Iterator[bytes]:
        while data := opened.read(CHUNK):  # type: ignore[attr-defined]
            self._hash.update(data)
            self.size += len(data)
            yield data

    def _unpacked(self, first: bytes, raw: Iterator[bytes]) -> Iterator[bytes]:
        """The members of a gzip file one after the other; zero bytes after the last one are padding."""
        unpacker, begun = zlib.decompressobj(wbits=31), False
        for data in _with_first(first, raw):
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


def _with_first(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


def _whole_chunks(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Parts of any size, as chunks of about the usual one."""
    waiting: list[bytes] = []
    for part in parts:
        waiting.append(part)
        if sum(map(len, waiting)) >= CHUNK // 2:
            yield b"".join(waiting)
            waiting = []
    if waiting:
        yield b"".join(waiting)


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, the next one made in a thread while the last one is used."""
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item
