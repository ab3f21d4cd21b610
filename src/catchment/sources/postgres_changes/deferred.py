"""Keys that two rows have for a moment: where the server asks only at the end of a transaction that they are unique."""

from __future__ import annotations

from collections.abc import Sequence

# Of a transaction that gives more rows a key, a key that was given before so many may be taken for one that goes.
MOST_KEYS = 1 << 20


class Deferred:
    """Which row of one transaction has a key by now, as far as the transaction has given it one.

    `UPDATE t SET id = 3 - id` gives row 1 the key 2 before the row that had it gives it up.
    """

    def __init__(self) -> None:
        self._rows: dict[int, int] = {}

    def begin(self) -> None:
        """Another transaction, or nothing is there any more."""
        self._rows.clear()

    def comes(self, oid: int, key: Sequence[bytes | None], row: Sequence[bytes | None]) -> None:
        """A row of a table has a key from here on."""
        self._rows[hash((oid, *key))] = hash(tuple(row))
        if len(self._rows) > MOST_KEYS:
            self._rows.pop(next(iter(self._rows)))

    def goes(self, oid: int, key: Sequence[bytes | None], row: Sequence[bytes | None]) -> bool:
        """Whether a key is gone where a row gives it up; not where another row has got it meanwhile."""
        place, own = hash((oid, *key)), hash(tuple(row))
        if self._rows.get(place, own) != own:
            return False
        self._rows.pop(place, None)
        return True
