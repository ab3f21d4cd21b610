"""Folders as a place of files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import IO, ClassVar

from catchment.errors import RetryableError
from catchment.sources.files.found import FoundFile, Listing, ReadFile, content_hash, reading
from catchment.sources.files.listing import names


class _File(FileIO):
    @property
    def modified_us(self) -> int:
        return os.fstat(self.fileno()).st_mtime_ns // 1000


@dataclass(frozen=True)
class Folder:
    """Files on this machine; paths are relative to `path`, the project's folder."""

    path: Path
    workers: ClassVar[int] = 1

    def found(self, path: str, after: str | None = None) -> Listing:
        """What a stream's path means now, by origin."""
        files = [
            file
            for name in names(self.path / path, path, self.path)
            if (file := self._file(name)) is not None and (after is None or file.origin > after)
        ]
        return Listing(sorted(files, key=lambda file: file.origin), (self.path / path).is_dir())

    def open(self, file: FoundFile) -> _File:
        """The file as it is now."""
        return _File(file.at)

    @contextmanager
    def whole(self, file: FoundFile) -> Iterator[tuple[IO[bytes], ReadFile]]:
        """Hashes it before it is read; raises RetryableError where it changed meanwhile."""
        path = Path(file.at)
        before = path.stat()
        size, modified = before.st_size, before.st_mtime_ns // 1000
        receipt = ReadFile(file.origin, size, modified, content_hash(file))
        with path.open("rb") as handle:
            yield handle, receipt
        after = path.stat()
        if (after.st_size, after.st_mtime_ns // 1000) != (size, modified):
            message = f"{file.origin} changed while it was read"
            raise RetryableError(message, hint="is it still being written? it is read again")

    def touch(self, file: FoundFile) -> None:
        """Opens it."""
        with reading(file.origin):
            self.open(file).close()

    def close(self) -> None:
        """Files are open while they are read."""

    def _file(self, name: str) -> FoundFile | None:
        path = self.path / name
        try:
            status = path.stat()
        except OSError:
            return None  # gone between two looks
        if not stat.S_ISREG(status.st_mode):
            return None
        return FoundFile(_origin(name, self.path), self, str(path), status.st_size, status.st_mtime_ns // 1000)


def _origin(name: str, folder: Path) -> str:
    """A file's name relative to the project; absolute where the project says so and it lies elsewhere.

    Bytes in it that are no UTF-8 are spelled out (`\\xff`).
    """
    plain = os.path.normpath(name).removeprefix(f"{folder}{os.sep}")
    return os.fsencode(plain.replace(os.sep, "/")).decode("utf-8", "backslashreplace")
