"""What a stream's path means among the keys of a bucket: as `glob` has it among files, where S3 knows prefixes only."""

from __future__ import annotations

import glob
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from catchment.sources.files.listing import fixed_part


@dataclass(frozen=True)
class Meant:
    """Keys to list, by `prefix`, and which of them are meant; `is_flat` where nothing below a further `/` is.

    `pattern` is None for a folder, all that lies below it but hidden names (`.x`, `_x`).
    """

    prefix: str
    pattern: Sequence[str] | None
    is_flat: bool = False

    @property
    def is_folder(self) -> bool:
        return self.pattern is None

    def takes(self, key: str) -> bool:
        """Whether the key is meant; one that ends in `/` is what some programs leave for a folder."""
        if key.endswith("/"):
            return False
        if self.pattern is None:
            return not any(name.startswith((".", "_")) for name in key.removeprefix(self.prefix).split("/"))
        return _matches(key.split("/"), self.pattern)


def meant(path: str, exists: Callable[[str], bool]) -> Meant:
    """`path` lies below a bucket; `exists` tells whether there is an object of just that name."""
    if glob.has_magic(path):
        prefix = fixed_part(path)
        # One level is asked for as such, so that what lies below other folders there is not listed.
        is_flat = "/" not in path[len(prefix) :] and not path.endswith("**")
        return Meant(prefix, path.split("/"), is_flat)
    if path and not path.endswith("/") and exists(path):
        return Meant(path, path.split("/"), is_flat=True)
    folder = path.rstrip("/")
    return Meant(f"{folder}/" if folder else "", None)


def _matches(names: Sequence[str], patterns: Sequence[str]) -> bool:
    if not patterns:
        return not names
    first, rest = patterns[0], patterns[1:]
    if first == "**":
        if not rest:
            return bool(names) and not any(map(_is_hidden, names))
        return _matches(names, rest) or (len(names) > 1 and not _is_hidden(names[0]) and _matches(names[1:], patterns))
    return bool(names) and _is_like(names[0], first) and _matches(names[1:], rest)


def _is_like(name: str, pattern: str) -> bool:
    if not glob.has_magic(pattern):
        return name == pattern
    return fnmatchcase(name, pattern) and (pattern.startswith(".") or not _is_hidden(name))


def _is_hidden(name: str) -> bool:
    return name.startswith(".")
