"""A run as lines of JSON, one event a line: what `--json` prints (docs/reference/events.md)."""

from __future__ import annotations

import json
from typing import TextIO

from catchment.events import Event, Reached
from catchment.interfaces import Listener
from catchment.settings import redact


class JsonLines(Listener):
    """Each line is flushed, so that a reader at the other end of a pipe hears it at once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def on(self, event: Event) -> None:
        if isinstance(event, Reached):
            return
        self._stream.write(redact(json.dumps(event.json(), ensure_ascii=False)) + "\n")
        self._stream.flush()
