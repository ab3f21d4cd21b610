"""Many texts asked at once whether they are JSON: simdjson reads them as one document, in half of DuckDB's time.

It is stricter than DuckDB, which reads them later, and than Python: what it takes is what RFC 8259 says, in UTF-8, with
numbers that 64 bits hold. Of what it refuses it does not say which text it was, and that may be JSON all the same.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterator

# So many bytes are read in one go, more or less: all that is made of them stays in the processor's cache, and few rows
# are asked about one by one where one among them is none.
_AT_ONCE = 1 << 17

# It takes about ten times a document's bytes, so that long ones are left to others.
_LONGEST = 1 << 20


class Proof:
    """One for all batches of a read, and for one thread."""

    def __init__(self) -> None:
        try:
            import simdjson
        except ImportError:  # where there is no wheel of it nothing is proven, and all is asked about one by one
            self._parser = None
        else:
            self._parser = simdjson.Parser()
        # Nobody who writes messages can know it. Where it is found as often as there are messages, and nothing else
        # beside it, each of them is one value: none began or ended within another.
        self._key = secrets.token_hex(8)
        self._head, self._between = f'{{"{self._key}":'.encode(), f',"{self._key}":'.encode()

    def parts(self, values: pa.Array) -> Iterator[tuple[pa.Array, bool]]:
        """Binary values without nulls, cut into parts, each with whether all of it is sure to be JSON on one line."""
        size = pc.sum(pc.binary_length(values)).as_py() or 0
        rows = max(1, _AT_ONCE * len(values) // size) if size else max(1, len(values))
        for place in range(0, len(values), rows):
            part = values.slice(place, rows)
            yield part, self._is_json(part)

    def _is_json(self, values: pa.Array) -> bool:
        whole = pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)
        joined = pc.binary_join(whole, self._between)[0].as_buffer()
        if joined.size > _LONGEST or self._parser is None:
            return False
        document = b"".join((self._head, joined, b"}"))
        if b"\n" in document or b"\r" in document:
            return False
        try:
            found: Any = self._parser.parse(document)
        except (ValueError, RuntimeError):  # the second: deep nesting, and integers of more than 64 bits
            return False
        return list(found) == [self._key] * len(values)
