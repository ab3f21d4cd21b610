"""A tap as a process: on its leash, heard line by line, its secrets in a private folder, and never left behind."""

from __future__ import annotations

import json
import os
import re
import selectors
import shlex
import shutil
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from catchment import leash
from catchment.errors import ConfigError, RetryableError
from catchment.settings import redact
from catchment.sources.files.cuts import LONGEST_RECORD
from catchment.sources.files.shape import LONGEST_RAW

_CHUNK = 256 << 10
_GLANCE_S = 1.0
_TOLD = 20  # so many warnings of one run are passed on

# A record of 16 MB has a message around it.
_LONGEST = LONGEST_RECORD + (1 << 20)

_WARNS = re.compile(r"\b(WARN(ING)?|ERROR|CRITICAL|FATAL)\b")
_PASSES = re.compile(
    r"timed? ?out|connection (was )?(refused|reset|aborted)|temporar|unavailable|too many requests|rate limit"
    r"|name resolution|remote end closed|\b(429|500|502|503|504)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Long:
    """A line that is longer than any message may be: its beginning, and how long it was."""

    begin: bytes
    length: int


@dataclass(frozen=True)
class Command:
    """How a tap is started, and what it reads. `silence_s` is how long it may say nothing."""

    feed: str
    words: Sequence[str]
    config: Mapping[str, Any]
    silence_s: float

    @classmethod
    def of(cls, feed: str, command: str, folder: Path, config: Mapping[str, Any], silence_s: float) -> Command:
        """Raises ConfigError where there is no such program."""
        try:
            words = shlex.split(command)
        except ValueError as error:
            message = f"{feed}: command {command!r} is not closed: {error}"
            raise ConfigError(message, hint="close its quotes") from None
        first = str((folder / words[0]).absolute()) if words and "/" in words[0] else "".join(words[:1])
        if not words or shutil.which(first) is None:
            message = f"{feed}: there is no program {words[0] if words else 'in `command`'}"
            hint = "install the tap into an environment of its own: python -m venv .venvs/tap"
            raise ConfigError(message, hint=hint)
        return cls(feed, [first, *words[1:]], config, silence_s)

    @property
    def name(self) -> str:
        return Path(self.words[0]).name


@dataclass
class Tap:
    """One run of a tap, from `with` to its end. `files` are written beside its config, and named in its arguments."""

    command: Command
    options: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    def __enter__(self) -> Tap:
        self._said: deque[str] = deque(maxlen=20)
        self._warnings: list[str] = []
        self._folder = Path(tempfile.mkdtemp(prefix="catchment-tap-"))
        try:
            arguments = [*self.options, "--config", self._private("config", json.dumps(dict(self.command.config)))]
            for name, text in self.files.items():
                arguments += [f"--{name}", self._private(name, text)]
            command = [*self.command.words, *arguments]
            self._process = leash.started(command, stderr=subprocess.PIPE, remove=self._folder)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()

    def end(self) -> None:
        """Ask its group to end, then make it; only ever the group that we started. Twice is once."""
        try:
            leash.end(self._process)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _private(self, name: str, text: str) -> str:
        path = self._folder / f"{name}.json"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        return str(path)

    def lines(self) -> Generator[bytes | Long | None, None, None]:
        """What it writes, line by line; None after each second in which it wrote nothing.

        Raises ConfigError or RetryableError where it does not end well, or says nothing for too long.
        """
        output, errors = _Lines(_LONGEST), _Lines(_LONGEST)
        stdout, stderr = self._process.stdout, self._process.stderr
        assert stdout is not None
        assert stderr is not None
        heard = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ, output)
            selector.register(stderr, selectors.EVENT_READ, errors)
            while selector.get_map():
                ready = selector.select(_GLANCE_S)
                if not ready:
                    self._refuse_silence(time.monotonic() - heard)
                    yield None
                for key, _ in ready:
                    chunk = os.read(key.fd, _CHUNK)
                    if not chunk:
                        selector.unregister(key.fileobj)
                    found = key.data.add(chunk)
                    if key.data is output:
                        yield from found
                    else:
                        self._hear(found)
                heard = time.monotonic() if ready else heard
        self._see_end()

    def warnings(self) -> list[str]:
        """What it warned of since this was asked the last time."""
        taken, self._warnings = self._warnings[:_TOLD], []
        return taken

    def _hear(self, lines: Iterator[bytes | Long]) -> None:
        for line in lines:
            raw = line.begin if isinstance(line, Long) else line
            text = redact(raw.decode(errors="replace").strip())[:300]
            if text:
                self._said.append(text)
                if _WARNS.search(text[:100]) and len(self._warnings) < _TOLD:
                    self._warnings.append(text)

    def _refuse_silence(self, quiet_s: float) -> None:
        if quiet_s > self.command.silence_s:
            limit = f"{self.command.silence_s:,.0f} s"
            message = f"{self.command.feed}: {self.command.name} has said nothing for {limit}{self._last()}"
            raise RetryableError(message, hint="if it needs so long between two messages, write a longer `silence`")

    def _see_end(self) -> None:
        code = self._process.wait()
        if code == 0:
            return
        how = f"was ended by signal {code - 128}" if code > 128 else f"ended with code {code}"
        message = f"{self.command.feed}: {self.command.name} {how}{self._last()}"
        if code > 128 or any(_PASSES.search(line) for line in self._said):
            raise RetryableError(message, hint="run again; if it stays so, start the tap by hand with the same config")
        raise ConfigError(message, hint="look at `config` of the source: the tap says what it misses or refuses")

    def _last(self) -> str:
        return "".join(f"\n  {line}" for line in list(self._said)[-5:])


class _Lines:
    """Cuts what comes in chunks at line feeds; of a line that is too long only the beginning is kept."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._parts: list[bytes] = []
        self._length = 0

    def add(self, chunk: bytes) -> Iterator[bytes | Long]:
        """The lines that this chunk ends; an empty one is the end."""
        first, *rest = chunk.split(b"\n")
        self._put(first)
        for part in rest:
            yield self._take()
            self._put(part)
        if not chunk and self._length:
            yield self._take()

    def _put(self, part: bytes) -> None:
        if self._length <= self._longest:
            self._parts.append(part)
        self._length += len(part)

    def _take(self) -> bytes | Long:
        line, length = b"".join(self._parts), self._length
        self._parts, self._length = [], 0
        return line if length <= self._longest else Long(line[:LONGEST_RAW], length)
