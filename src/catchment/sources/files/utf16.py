"""UTF-16 as UTF-8 and back: files are cut as UTF-8, their places and raw bytes are told as they lie in the file.

Every unit of two bytes has its place in both forms: one that is no text (half of a surrogate pair) becomes three bytes
that are no UTF-8, and a single byte at the end of a file a sign of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from catchment.errors import DataError, SchemaDrift

Order = Literal["utf-16-le", "utf-16-be"]

MARKS: dict[bytes, Order] = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_UTF_32 = (b"\xff\xfe\0\0", b"\0\0\xfe\xff")

# Begins the three bytes that stand for a last one without its twin: no byte of UTF-8, and no line end in them.
_SINGLE = 0xFF

# Bytes of UTF-16 for each byte of UTF-8, counted at the first of a character.
_BYTES = np.zeros(256, np.uint8)
_BYTES[0x00:0x80], _BYTES[0xC0:0xF0], _BYTES[0xF0:] = 2, 2, 4


def order_of(feed: str, origin: str, first: bytes, encoding: str | None) -> Order | None:
    """Which UTF-16 a file is that begins with `first`, in a stream of this encoding (None: not known yet).

    None where it is something else. Raises DataError, and SchemaDrift where the stream is of another encoding.
    """
    if first.startswith(_UTF_32):
        message = f"{origin} is written in UTF-32, which is not read"
        raise DataError(message, hint=f"convert it: iconv -f utf-32 -t utf-8 {origin} > new-name")
    mark = MARKS.get(first[:2])
    if encoding is None or mark == encoding or not first:
        return mark
    if encoding == "utf-16":
        if mark is None:
            message = f"{origin} does not begin with the byte order mark of UTF-16"
            raise DataError(message, hint="say which it is: `encoding: utf-16-le` or `utf-16-be`; or convert it")
        return mark
    if mark is not None:
        message = f"{origin} is written in {mark}; {feed} is read as {encoding}"
        raise SchemaDrift(message, hint="convert it, or land such files as a stream of their own")
    return "utf-16-le" if encoding == "utf-16-le" else "utf-16-be" if encoding == "utf-16-be" else None


def recoded(chunks: Iterator[bytes], order: Order) -> Iterator[bytes]:
    """The same text in UTF-8; no character is cut in two."""
    rest = b""
    for chunk in chunks:
        data = rest + chunk
        whole = len(data) & ~1
        if whole and _is_high(data[whole - 2 : whole], order):
            whole -= 2  # its other half is to come
        rest = data[whole:]
        if whole:
            yield _utf8(data[:whole], order)
    pairs = rest[: len(rest) & ~1]
    last = _utf8(pairs, order) + b"".join(bytes([_SINGLE, 0x80 | b >> 6, 0x80 | b & 0x3F]) for b in rest[len(pairs) :])
    if last:
        yield last


def _utf8(data: bytes, order: Order) -> bytes:
    return data.decode(order, "surrogatepass").encode("utf-8", "surrogatepass")


def _is_high(unit: bytes, order: Order) -> bool:
    return 0xD8 <= unit[1 if order == "utf-16-le" else 0] < 0xDC


def length(text: bytes) -> int:
    """How many bytes of UTF-16 so much of the recoded text was, from the beginning of a character."""
    return int(_BYTES[np.frombuffer(text, np.uint8)].sum(dtype=np.int64))


def places(text: bytes, starts: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Distinct places in recoded text, in rising order, as places in the UTF-16 it was made of."""
    if not len(starts):
        return starts
    steps = np.zeros(len(starts), np.int64)
    steps[0] = length(text[: int(starts[0])])
    if len(starts) > 1:
        between = _BYTES[np.frombuffer(text, np.uint8, int(starts[-1]))]
        steps[1:] = np.add.reduceat(between, starts[:-1], dtype=np.int64)
    return np.cumsum(steps)


def as_written(text: bytes, order: Order) -> bytes:
    """Recoded text, whose last character may be cut off, as it lies in the file."""
    single = b""
    if len(text) >= 3 and text[-3] == _SINGLE:
        single = bytes([(text[-2] & 3) << 6 | text[-1] & 0x3F])
        text = text[:-3]
    return text[: _whole(text)].decode("utf-8", "surrogatepass").encode(order, "surrogatepass") + single


def _whole(text: bytes) -> int:
    """Where the last whole character ends."""
    for back in range(1, min(4, len(text)) + 1):
        lead = text[-back]
        if lead & 0xC0 != 0x80:
            wanted = 1 if lead < 0x80 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
            return len(text) if back >= wanted else len(text) - back
    return len(text)
