"""Chance by number: what any event of an endless sequence is like, without making those before it.

`draws.py` deals days out in SQL; a sequence that goes on is asked for some numbers at a time, in any order, and as fast
as a machine gives. All of it is integer arithmetic on 64 bits (SplitMix64), so it is the same on every machine.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Numbers = npt.NDArray[np.uint64]
    Integers = npt.NDArray[np.int64]

_DIGITS = b"0123456789abcdef"


def drawn(seed: int, tag: str, keys: Integers | Numbers) -> Numbers:
    """64 even bits for each key; other tags and seeds have others."""
    import numpy as np

    salt = int.from_bytes(hashlib.md5(f"{seed}:{tag}".encode(), usedforsecurity=False).digest()[:8], "big")
    z = keys.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def pick(draws: Numbers, place: int, below: int) -> Integers:
    """An even number from 0 to `below` - 1 out of one of the four slices of 16 bits; `below` is at most 65,536."""
    import numpy as np

    slices = (draws >> np.uint64(16 * place)) & np.uint64(0xFFFF)
    return ((slices * np.uint64(below)) >> np.uint64(16)).astype(np.int64)


def wide(draws: Numbers, place: int, below: int) -> Integers:
    """As `pick`, out of one of the two halves; `below` is at most 2 ** 32."""
    import numpy as np

    halves = (draws >> np.uint64(32 * place)) & np.uint64(0xFFFFFFFF)
    return ((halves * np.uint64(below)) >> np.uint64(32)).astype(np.int64)


def hexadecimal(draws: Numbers) -> npt.NDArray[np.uint8]:
    """The 16 digits of each number, a row each."""
    import numpy as np

    digits = np.frombuffer(_DIGITS, np.uint8)
    octets = draws.astype(">u8").view(np.uint8).reshape(-1, 8)
    found = np.empty((len(draws), 16), np.uint8)
    found[:, 0::2], found[:, 1::2] = digits[octets >> 4], digits[octets & 15]
    return found


def texts(letters: npt.NDArray[np.uint8]) -> pa.Array:
    """Rows of ASCII letters, all of one length, as text."""
    import numpy as np
    import pyarrow as pa

    rows, length = letters.shape
    offsets = np.arange(rows + 1, dtype=np.int32) * np.int32(length)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(letters))]
    return pa.Array.from_buffers(pa.string(), rows, buffers)


def names_of(seed: int, tag: str, keys: Integers | Numbers) -> pa.Array:
    """A UUID for each key, in its usual form."""
    import numpy as np

    digits = np.concatenate(
        [hexadecimal(drawn(seed, f"{tag}:high", keys)), hexadecimal(drawn(seed, f"{tag}:low", keys))], axis=1
    )
    found = np.full((len(digits), 36), ord("-"), np.uint8)
    done = 0
    for start, length in ((0, 8), (9, 4), (14, 4), (19, 4), (24, 12)):
        found[:, start : start + length] = digits[:, done : done + length]
        done += length
    return texts(found)


def joined(*parts: pa.Array | str) -> pa.Array:
    """Texts put together row by row."""
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(*parts, "")


def money(cents: Integers) -> pa.Array:
    """Amounts of at least 0 as they are written, `12.05`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    small = pa.array([f"{number:02d}" for number in range(100)])
    return joined(pc.cast(pa.array(cents // 100), pa.string()), ".", small.take(pa.array(cents % 100)))


def instants(seconds: Integers) -> pa.Array:
    """Seconds since 1970 as `2026-11-21T00:00:00Z`."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    # Of a batch only few seconds differ.
    several, places = np.unique(seconds, return_inverse=True)
    told = pc.strftime(pa.array(several.astype("datetime64[s]")), format="%Y-%m-%dT%H:%M:%SZ")
    return told.take(pa.array(places.reshape(-1)))
