"""JSON that is not one document a line: an array of documents, or documents written over several lines.

A document is cut where Python's parser says that it ends, and looked at again by the one that reads it later. Where the
parser finds no document, nothing after that place can be trusted: it is one defect, to the end of the file. What is
found does not depend on where chunks begin and end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from catchment.sources.files.cuts import LONGEST_RECORD, Cut, Defect, Places, place_in_row
from catchment.sources.files.json_lines import DOCUMENT, Validity

_BLANK = re.compile(r"[ \t\r\n]*")
_COMMA = re.compile(r"[ \t\r\n]*,[ \t\r\n]*")
_MORE_OF_A_NUMBER = re.compile(r"[.eE+-]{0,2}")
# Only ends are asked for: numbers stay text, however long.
_PARSER = json.JSONDecoder(parse_int=str, parse_float=str)
_scan: Callable[[str, int], tuple[object, int]] = _PARSER.scan_once  # type: ignore[attr-defined]


@dataclass
class _Found:
    """Documents of one chunk, whose bytes are the characters of `text`; `at` is how far it was looked at."""

    text: str
    at: int = 0
    starts: list[int] = field(default_factory=list)
    stops: list[int] = field(default_factory=list)
    rest: str | None = None

    def take(self, end: int) -> None:
        """What lies up to there is a document."""
        self.starts.append(self.at)
        self.stops.append(end)
        self.at = end


class DocumentCutter:
    """Cuts one file; the next piece of it must follow what was `used` of the one before.

    In an `array` commas stand between documents and a bracket ends them, else blanks do.
    """

    def __init__(self, encoding: str, validity: Validity, *, array: bool, longest: int = LONGEST_RECORD) -> None:
        self.longest = longest
        self._encoding = encoding
        self._validity = validity
        self._array = array
        self._first = True
        self._closed = False

    def cut_whole(self, data: bytes, begins: Places) -> Cut | None:
        """Each file by itself."""
        return None

    def cut(self, data: bytes, *, last: bool) -> Cut:
        """The documents that `data` holds whole."""
        # All signs of JSON are ASCII: a byte more or less in a text is nothing to the parser.
        found = _Found(data.decode("latin-1"))
        if self._array and not self._closed:
            self._go_on(found)
        while self._step(found, last=last):
            pass
        return self._cut(found, data)

    def _go_on(self, found: _Found) -> None:
        """Take documents of an array as long as nothing about them is out of the ordinary."""
        text, at = found.text, _after_blanks(found.text, 0)
        while True:
            try:
                end = _scan(text, at)[1]
            except (ValueError, StopIteration, RecursionError):
                break
            comma = _COMMA.match(text, end)
            if comma is None or comma.end() - at > self.longest:
                break
            found.starts.append(at)
            found.stops.append(end)
            at = comma.end()
        if found.starts:
            found.at, self._first = at, False

    def _step(self, found: _Found, *, last: bool) -> bool:
        """Go past one document; False where there is none, or none yet."""
        found.at = _after_blanks(found.text, found.at)
        if found.at == len(found.text):
            if last and self._array and not self._closed:
                found.rest = "the array is not closed"
            return False
        if self._closed:
            found.rest = "there is text after the array"
            return False
        if self._array and self._first and found.text[found.at] == "]":
            self._closed = True
            found.at += 1
            return True
        end = self._end(found, last=last)
        return end is not None and self._take(found, end, last=last)

    def _end(self, found: _Found, *, last: bool) -> int | None:
        """Where the document at hand ends; None where it does not, or more bytes may tell."""
        try:
            end = _scan(found.text, found.at)[1]
        except (ValueError, StopIteration, RecursionError):
            if last or len(found.text) - found.at > self.longest:
                found.rest = self._why(found)
            return None
        if end - found.at > self.longest:
            found.rest = self._why(found)
            return None
        return end

    def _take(self, found: _Found, end: int, *, last: bool) -> bool:
        """Take the document that ends there, if what follows shows that it does; whether to go on."""
        after = _after_blanks(found.text, end)
        at_end = after == len(found.text)
        closes_itself = found.text[end - 1] in '}]"'
        if self._array and after - found.at > self.longest:
            found.rest = f"there are more than {self.longest:,} bytes before the next comma"
            return False
        unfinished = not closes_itself and _MORE_OF_A_NUMBER.fullmatch(found.text, end) is not None
        if not last and (unfinished or (at_end and self._array)):
            return False
        if self._array and end == len(found.text) and not closes_itself:
            found.rest = "the array is not closed"  # and a number may have lost its end
            return False
        found.take(end)
        self._first = False
        if not self._array or at_end:
            return True
        found.at = after
        if found.text[after] not in ",]":
            found.rest = "there is no comma between two documents"
            return False
        self._closed = found.text[after] == "]"
        found.at += 1
        return True

    def _why(self, found: _Found) -> str:
        """Why there is no document; told of so many bytes as always are at hand."""
        window = found.text[found.at : found.at + self.longest + 1]
        try:
            _PARSER.raw_decode(window)
        except json.JSONDecodeError as error:
            cut_off = error.pos > len(window) - 16 or error.msg.startswith("Unterminated")
            if len(window) <= self.longest or not cut_off:
                place = place_in_row(window.encode("latin-1"), error.pos, self._encoding)
                return f"not valid JSON: {error.msg} at byte {place}"
        except RecursionError:
            return "not valid JSON: nested too deeply"
        return f"a document that is broken or of more than {self.longest:,} bytes"

    def _cut(self, found: _Found, data: bytes) -> Cut:
        starts: Places = np.array(found.starts, np.int64)
        raw = pa.array([data[a:b] for a, b in zip(found.starts, found.stops, strict=True)], pa.binary())
        text, kept, reasons = self._validity.sort(raw, self._encoding)
        defects = [Defect(found.starts[place], found.stops[place], why) for place, why in reasons.items()]
        rest = None if found.rest is None else f"{found.rest}; what follows in the file cannot be read"
        return Cut(pa.table({DOCUMENT: text}), starts[kept], defects, found.at, rest)


def _after_blanks(text: str, place: int) -> int:
    found = _BLANK.match(text, place)
    assert found is not None  # it matches nothing at all, too
    return found.end()
