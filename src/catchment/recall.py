"""What was worked out before, so that it need not be worked out again: a help that decides nothing.

Each value stands under a key that holds everything it was worked out from. A file that is gone, damaged or made by
other code is an empty one.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import sys
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

JSON = Any


class Recall:
    """JSON values by name, in one file. Two processes at once do each other no harm; the later one's file stays."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before = _read(path)
        self._after: dict[str, list[JSON]] = {}

    def get(self, name: str, key: str) -> JSON | None:
        """The value that was put under `name` with the same `key`, or None."""
        found = self._before.get(name)
        if found is None or found[0] != key:
            return None
        self._after[name] = found
        return found[1]

    def put(self, name: str, key: str, value: JSON) -> None:
        self._after[name] = [key, value]

    def save(self, known: Iterable[str]) -> None:
        """Write what was put, and of the rest what is among the `known` names.

        Only where the folder above is there: what never ran has nothing worth remembering. A disk that is full or may
        not be written to costs time at the next call, nothing else.
        """
        rest = {name: self._before[name] for name in known if name in self._before}
        kept = {**rest, **self._after}
        if kept == self._before or not self._path.parent.parent.is_dir():
            return
        body = json.dumps(kept, separators=(",", ":")).encode()
        draft = self._path.with_suffix(f".{uuid.uuid4().hex}.draft")
        try:
            self._path.parent.mkdir(exist_ok=True)
            draft.write_bytes(_seal(body) + b"\n" + body)
            draft.replace(self._path)
        except OSError:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)


def digest(*parts: str | bytes) -> str:
    """A key made of everything that a value depends on."""
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        content = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        found.update(len(content).to_bytes(8, "little"))
        found.update(content)
    return found.hexdigest()


def _read(path: Path) -> dict[str, list[JSON]]:
    try:
        seal, _, body = path.read_bytes().partition(b"\n")
    except OSError:
        return {}
    # Only whole files of the same code are read, so that what stands in them is what was put.
    found: dict[str, list[JSON]] = json.loads(body) if seal == _seal(body) else {}
    return found


def _seal(body: bytes) -> bytes:
    return digest(_code(), body).encode()


@functools.cache
def _code() -> str:
    """Changes with the package's code, an edit of a checkout too, and with the Python that runs it."""
    found = [sys.version]
    for here, folders, names in os.walk(Path(__file__).parent):
        folders.sort()
        for name in sorted(names):
            if name.endswith(".py"):
                status = os.stat(os.path.join(here, name))  # noqa: PTH116, PTH118 - a hundred files at every start
                found.append(f"{here}/{name} {status.st_size} {status.st_mtime_ns}")
    return digest(*found)
