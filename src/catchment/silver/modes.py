"""Write modes as reducers: (present rows of the touched keys, new rows) -> the rows that shall be there.

Frames are named `present` and `fresh`. Each reducer gives queries whose results together are the rows to write; several
only where one would need more memory than the engine has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from catchment.naming import quoted
from catchment.silver.judge import parsed

if TYPE_CHECKING:
    from sqlglot import exp

# A window keeps whole rows; measured at about 250 bytes a row of nine columns, doubled for wide ones.
_BYTES_A_ROW = 500


@dataclass(frozen=True)
class Merge:
    """The latest row of each key, by `latest_by` (null is oldest), then by identity."""

    key: tuple[str, ...]
    latest_by: str | None

    def keys(self) -> exp.Query:
        """The distinct keys of `fresh`."""
        return parsed(f"SELECT DISTINCT {self._key} FROM fresh")

    def touched(self, file_column: str) -> exp.Query:
        """The files of `present` that hold a key of `keys`, with their rows."""
        file = quoted(file_column)
        return parsed(
            f"SELECT {file} AS file FROM present WHERE {file} IN"
            f" (SELECT {file} FROM present SEMI JOIN keys USING ({self._key})) GROUP BY ALL"
        )

    def contested(self) -> exp.Query:
        """The keys that several rows share, and how many."""
        return parsed(f"SELECT {self._key}, count(*) AS _n FROM {_ALL} GROUP BY {self._key} HAVING count(*) > 1")

    def reduce(self, contested_rows: int, memory_bytes: int) -> Sequence[exp.Query]:
        """Rows alone with their key pass; those of `contested` keys are ranked, in hash buckets that fit in memory."""
        if contested_rows == 0:
            return [parsed(f"SELECT * FROM {_ALL}")]
        alone = f"SELECT * FROM {_ALL} ANTI JOIN contested USING ({self._key})"
        buckets = 1 + contested_rows * _BYTES_A_ROW // max(1, memory_bytes // 2)
        if buckets == 1:
            return [parsed(f"({alone}) UNION ALL BY NAME ({self._ranked('')})")]
        inside = (f" WHERE hash({self._key}) % {buckets} = {bucket}" for bucket in range(buckets))
        return [parsed(alone), *(parsed(self._ranked(one)) for one in inside)]

    def _ranked(self, inside: str) -> str:
        latest = [] if self.latest_by is None else [f"{quoted(self.latest_by)} DESC NULLS LAST"]
        order = ", ".join([*latest, "_load DESC", "_row DESC", "_shard DESC", "_stream DESC"])
        return (
            f"SELECT * FROM (SELECT * FROM {_ALL}{inside}) SEMI JOIN contested USING ({self._key})"
            f" QUALIFY row_number() OVER (PARTITION BY {self._key} ORDER BY {order}) = 1"
        )

    @property
    def _key(self) -> str:
        return ", ".join(quoted(column) for column in self.key)


_ALL = "(SELECT * FROM present UNION ALL BY NAME SELECT * FROM fresh)"
