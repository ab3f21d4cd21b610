"""What lies under a stream's path, looked at and not into: names, sizes, times."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

# Paths that begin so are objects in a bucket.
S3 = "s3://"

_MAGIC = re.compile(r"[*?[]")


def fixed_part(pattern: str) -> str:
    """What every path that a pattern means begins with."""
    return _MAGIC.split(pattern, maxsplit=1)[0]


def names(path: Path, pattern: str, folder: Path) -> list[str]:
    """Files that a stream's path means; in a folder all below it but hidden ones (`.x`, `_x`)."""
    if path.is_file():
        return [pattern]
    if not path.is_dir():
        return glob.glob(pattern, root_dir=folder, recursive=True)
    inside = f"{folder}{os.sep}"
    return [
        f"{here.removeprefix(inside)}{os.sep}{name}"
        for here, found in _walk(path)
        for name in found
        if not name.startswith((".", "_"))
    ]


def _walk(path: Path) -> Iterator[tuple[str, list[str]]]:
    for here, folders, found in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        yield here, found


def mark(pattern: str, folder: Path) -> str | None:
    """Changes with every file of a stream that comes, goes, grows or is written anew; reads none of them.

    None for a bucket: to list it for a mark, and again for what is new, would cost twice.
    """
    return None if pattern.startswith(S3) else _mark(pattern, folder)


def _mark(pattern: str, folder: Path) -> str:
    told = hashlib.blake2b(digest_size=16)
    for name in sorted(names(folder / pattern, pattern, folder)):
        try:
            status = (folder / name).stat()
            size, modified, kind = status.st_size, status.st_mtime_ns, status.st_mode
        except OSError:  # gone between two looks
            size, modified, kind = -1, -1, -1
        told.update(os.fsencode(f"{name}\0{size}\0{modified}\0{kind}\n"))
    return told.hexdigest()


def log_mark(table: str, folder: Path) -> str:
    """Changes with every version of a Delta table."""
    return _mark(f"{table}/_delta_log", folder)
