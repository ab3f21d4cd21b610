"""How a file of JSON begins: what comes before its first document, and whether each document is a line."""

from __future__ import annotations

import json
import re

from catchment.errors import SchemaDrift
from catchment.sources.files.cuts import BOM, Head
from catchment.sources.files.json_documents import DocumentCutter
from catchment.sources.files.json_lines import DOCUMENT, JsonCutter, Validity
from catchment.sources.files.shape import FileStream, Shape
from catchment.sources.files.utf16 import Order

_SAMPLE = 1 << 20
_BLANK = b" \t\r\n"
_EMPTY = re.compile(rb"\[[ \t\r\n]*\][ \t\r\n]*")


class JsonHeads:
    """A file of JSON has no header: at most a byte order mark and blanks come before its first row."""

    needs_line = False

    def __init__(self, shape: Shape, settings: FileStream) -> None:
        self._shape = shape
        self._settings = settings
        self._validity = Validity()

    def read(self, origin: str, first: bytes, *, whole: bool, order: Order | None = None) -> Head | None:
        """None where the file, `whole` in `first`, has no rows."""
        encoding = self._encoding(order)
        place = len(BOM) if first.startswith(BOM) and encoding != "latin-1" else 0
        lines = self._has_lines(origin, first[place:], whole=whole)
        body = first[place:].lstrip(b"\r\n" if lines else _BLANK)
        if whole and (not body or (not lines and _EMPTY.fullmatch(body))):
            return None
        if not self._shape.is_pinned:
            self._shape.pin({"format": "jsonl", "encoding": encoding}, [DOCUMENT])
        before = first[: len(first) - len(body)]
        if lines:
            return Head(before, JsonCutter(encoding, self._validity))
        array = body.startswith(b"[")
        return Head(before + body[:1] * array, DocumentCutter(encoding, self._validity, array=array), shared=False)

    def _encoding(self, order: Order | None) -> str:
        said = self._settings.encoding
        asked = "utf-8" if said in (None, "utf-8-sig") else said
        pinned = self._shape.dialect.get("encoding")
        if pinned is not None and said is not None and asked != pinned:
            message = f"{self._shape.feed} landed with `encoding: {pinned}`; the project now says {asked}"
            raise SchemaDrift(message, hint=f"write `encoding: {pinned}` again, or land the files as a new stream")
        if said is None:
            return pinned or ("utf-8" if order is None else "utf-16")
        return str(asked)

    def _has_lines(self, origin: str, text: bytes, *, whole: bool) -> bool:
        """Whether each document is a line: always in a `.jsonl`; in a `.json` what the first lines show."""
        said = self._settings.format
        plain = origin.lower().removesuffix(".gz").removesuffix(".zst")
        if said == "jsonl" or (said is None and not plain.endswith(".json")):
            return True
        sample = text[:_SAMPLE]
        lines = [line for line in sample.split(b"\n") if line.strip()]
        if len(lines) > 1 and not (whole and len(text) <= _SAMPLE):
            lines = lines[:-1]  # the last one may be a part
        if not lines or sample.lstrip(_BLANK).startswith(b"["):
            return len(lines) > 1 and _is_document(lines[0])
        return sum(map(_is_document, lines[:50])) * 2 >= min(len(lines), 50)


def _is_document(line: bytes) -> bool:
    if line.strip()[:1] not in (b"{", b"["):
        return False
    try:
        json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return False
    return True
