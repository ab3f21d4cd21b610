"""What a silver table's rows were made with: kept beside them, compared before every refine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from catchment.contract import Contract
from catchment.naming import TableName, bronze_table, changes_table, shard

if TYPE_CHECKING:
    from catchment.silver.refine import RefineFunction


@dataclass(frozen=True)
class LookedUp:
    """A silver table under `with:`; `as_of` is the column of the first frame that tells the time, None: as it is now.

    `versions` says that the table keeps every version of a key.
    """

    contract: Contract
    as_of: str | None = None
    versions: bool = False


@dataclass(frozen=True)
class Table:
    """One silver table as the project declares it."""

    name: str
    streams: tuple[str, ...]  # source.stream
    contract: Contract
    mode: str
    latest_by: str | None = None
    deleted_when: str | None = None
    slice: tuple[str, ...] = ()
    event_time: str | None = None
    lateness_s: int | None = None
    full: bool = False  # its streams arrive whole
    wait_s: int = 86_400
    function: RefineFunction | None = None
    lookups: Mapping[str, LookedUp] | None = None
    logs: frozenset[str] = frozenset()  # of its streams those that lie in a log with others
    changes: bool = False  # its stream says what happened to rows, deletes among them
    shards: Mapping[str, int] = field(default_factory=dict)  # of streams that land in several bronze tables

    def bronze(self, stream: str, number: int = 0) -> TableName:
        """The bronze table that one of its streams, or a shard of it, lands in."""
        if stream in self.logs:
            return changes_table(stream.partition(".")[0])
        return bronze_table(shard(stream, number))

    def reads(self) -> list[tuple[str, int, TableName]]:
        """Every bronze table that it is made of, with the stream and the shard that land in it."""
        split = [(stream, number) for stream in self.streams for number in range(self.shards.get(stream, 1))]
        return [(stream, number, self.bronze(stream, number)) for stream, number in split]

    @property
    def compares(self) -> bool:
        """Whether each arrival of its stream is compared with the one before it."""
        return self.full and self.mode in ("merge", "history")

    def only_anew(self, *, held: bool) -> bool:
        """Whether rows can be judged again only by making the table anew; `held`: silver may hold some of them.

        What an arrival says depends on those before it, how far a window reaches on rows that silver does not hold, and
        what a truncate took on the rows that were there.
        """
        return self.full or (held and (self.mode == "window" or self.changes))

    def heeded(self) -> frozenset[str]:
        """Columns that decide which rows are there: the mode looks at them, whatever the contract says."""
        named = {*self.slice, *self.contract.key, self.latest_by, self.event_time}
        if self.deleted_when is not None:
            import sqlglot
            from sqlglot import exp

            tree = sqlglot.parse_one(self.deleted_when, read="duckdb")
            spelled = {column.name.lower() for column in tree.find_all(exp.Column)}
            named |= {column.name for column in self.contract.columns if column.name.lower() in spelled}
        return frozenset(name for name in named if name is not None)

    def definition(self) -> dict[str, Any]:
        """Canonical JSON values: whatever is not in here may change without a rebuild."""
        told: dict[str, Any] = {
            "contract": self.contract.definition(),
            "from": sorted(self.streams),
            "mode": self.mode,
            "latest_by": self.latest_by,
            "refine": None if self.function is None else self.function.syntax(),
            "with": sorted(self.lookups or ()),
        }
        # Told only where they are said, so that a key invented later leaves old definitions as they are.
        said = {
            "deleted_when": self.deleted_when,
            "slice": list(self.slice) or None,
            "event_time": self.event_time,
            "lateness_s": self.lateness_s,
            "full": self.full or None,
            "changes": self.changes or None,
            "as_of": {name: found.as_of for name, found in (self.lookups or {}).items() if found.as_of} or None,
        }
        return told | {key: value for key, value in said.items() if value is not None}


def fingerprint(definition: Mapping[str, Any]) -> str:
    canonical = json.dumps(definition, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
