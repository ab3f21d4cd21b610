"""A run as lines of JSON, one event a line: what `--json` prints (docs/reference/events.md)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TextIO

from catchment.events import Event, Reached
from catchment.interfaces import Listener
from catchment.settings import redact

# What of an event is a sentence.
_WORDS = ("message", "cause", "hint")


class JsonLines(Listener):
    """Each line is flushed, so that a reader at the other end of a pipe hears it at once. `named` is how commands are
    told in words for people."""

    def __init__(self, stream: TextIO, *, named: Callable[[str], str] = str) -> None:
        self._stream = stream
        self._named = named

    def on(self, event: Event) -> None:
        if isinstance(event, Reached):
            return
        told = event.json()
        told |= {name: self._named(told[name]) for name in _WORDS if told.get(name)}
        self._stream.write(redact(json.dumps(told, ensure_ascii=False)) + "\n")
        self._stream.flush()
